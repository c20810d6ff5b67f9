"""The area under the ROC curve: exact, and how far each image moves it."""

from __future__ import annotations

import numpy as np


def auc(value: np.ndarray, logit: np.ndarray) -> float:
    """P(logit of a positive > of a negative) + half P(equal), exact; NaN where one value alone occurs.

    `value` (N,) holds 1, 0 or NaN (unknown, left out), `logit` (N,) any numbers without NaN.
    """
    share, positive = _shares(value, logit)
    return float(share[positive].mean()) if positive.any() else np.nan


def _shares(value: np.ndarray, logit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The share of the other value's images that each is ordered rightly against; which are positive.

    Both (N,). Equal logits count half. Shares are NaN, and none is positive, where there is one value alone.
    """
    positive, negative = value == 1, value == 0
    if not positive.any() or not negative.any():
        return np.full(len(value), np.nan), np.zeros(len(value), dtype=bool)
    share = np.zeros(len(value))
    for own, other, sign in ((positive, negative, 1), (negative, positive, -1)):
        others, asked = np.sort(sign * logit[other]), sign * logit[own]
        below = np.searchsorted(others, asked, side="left")
        up_to = np.searchsorted(others, asked, side="right")
        share[own] = (below + up_to) / (2 * len(others))
    return share, positive


def influence(value: np.ndarray, logit: np.ndarray) -> np.ndarray:
    """How far each image (N,) moves the AUC; the sum of squares is its variance (DeLong et al. 1988)."""
    share, positive = _shares(value, logit)
    result = np.zeros(len(value))
    for own in (positive, value == 0):
        if positive.any():
            result[own] = (share[own] - share[positive].mean()) / own.sum()
    return result
