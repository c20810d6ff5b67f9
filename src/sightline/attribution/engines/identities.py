"""How far a method's maps are from what theory says that they sum to: the gap that is stored with them."""

from __future__ import annotations

import numpy as np
from torch import Tensor


def relative_gap(
    total: Tensor | np.ndarray, expected: Tensor | np.ndarray, outputs: np.ndarray
) -> np.ndarray:
    """|total - expected| / |expected|, (B, T) float32; `outputs` (B, ...) are the network's.

    Where little is expected, the difference is measured by a thousandth of the image's largest output
    instead, so that rounding does not look like a fault.
    """
    total, expected = np.asarray(total, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    scale = np.abs(outputs.reshape(len(outputs), -1)).max(axis=1)[:, None]
    floor = np.maximum(1e-3 * scale, np.finfo(np.float32).tiny)
    return (np.abs(total - expected) / np.maximum(np.abs(expected), floor)).astype(np.float32)
