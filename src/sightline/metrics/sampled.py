"""AUC and sAUC from drawn pixels, as the chest x-ray gaze study's authors: for comparison with their noise.

What `similarity` computes exactly is drawn here: 1,000 positives and 1,000 negatives, with replacement
(Bigolin Lanfredi et al. 2022, the authors' code; the SD of one draw is about 0.007 to 0.0135).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from sightline.metrics.similarity import Ranked, References, prepare
from sightline.randomness import generator

DRAWN = 1000
METRICS = {
    "auc_sampled": {
        "references": ("gaze", "region"),
        "center_bias": False,
        "chance": 0.5,
        "symbol": "AUC, sampled",
        "description": "AUC of 1,000 pixels drawn from the reference against 1,000 drawn uniformly.",
    },
    "sauc_sampled": {
        "references": ("gaze", "centred_region"),
        "center_bias": True,
        "chance": 0.5,
        "symbol": "sAUC, sampled",
        "description": "AUC of 1,000 pixels drawn from the reference against 1,000 from the center bias.",
    },
}


def sampled_auc(
    reference: np.ndarray,
    saliency: np.ndarray,
    draws: np.random.Generator,
    center_bias: np.ndarray | None = None,
    n: int = DRAWN,
    mask: np.ndarray | None = None,
) -> float:
    """AUC (sAUC with `center_bias`) of `n` + `n` pixels of arrays of one shape, drawn with replacement.

    Ties count half; NaN for a density without mass. Raises `ValueError` as `similarity.auc` does.
    """
    bias = None if center_bias is None else prepare([center_bias], mask).density[0]
    return _drawn(Ranked(saliency, mask).values, prepare([reference], mask).density[0], bias, draws, n)


def evaluate(
    names: Sequence[str], saliency: Ranked, references: References, center_biases: dict[str, References]
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, leave_out): scores (R,)} of one map against R references; see `similarity.evaluate`.

    The generator follows from the values that are compared, so that a pair of map and reference always
    gives one draw.
    """
    biases: dict[tuple[str, str], np.ndarray | None] = {}
    if "auc_sampled" in names:
        biases["auc_sampled", ""] = None
    for leave_out, bias in center_biases.items() if "sauc_sampled" in names else ():
        biases["sauc_sampled", leave_out] = bias.density[0]
    content = zlib.crc32(saliency.values)
    return {
        key: np.array(
            [
                _drawn(saliency.values, row, bias, generator(content, *key, zlib.crc32(row)), DRAWN)
                for row in references.density
            ]
        )
        for key, bias in biases.items()
    }


def _drawn(
    values: np.ndarray, positive: np.ndarray, negative: np.ndarray | None, draws: np.random.Generator, n: int
) -> float:
    if np.isnan(positive).any() or (negative is not None and np.isnan(negative).any()):
        return float("nan")
    above = values[draws.choice(values.size, n, p=positive)]
    below = np.sort(values[draws.choice(values.size, n, p=negative)])
    wins = np.searchsorted(below, above, "left") + np.searchsorted(below, above, "right")
    return float(wins.mean() / (2 * n))
