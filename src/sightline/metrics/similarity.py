"""How well a saliency map's values follow a reference density: NCC and AUC, and both less the center bias.

Definitions of Bigolin Lanfredi et al. 2022. A region's density is the same on each of its pixels; one whose
reference has a center bias of its own (`centred_region`) is scored by all four. AUCs are exact, not sampled:
P(S+ > S-) + 0.5 P(S+ = S-) where S+ is the saliency at a pixel drawn from the reference and S- at one drawn
uniformly (AUC; the reference's own pixels too, so that a region's share a of the area leaves 1 - a/2 as the
highest value) or from the center bias (sAUC). Saliency is compared in float32, as the authors do, so values
that differ by less are ties.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

METRICS = {
    "ncc": {
        "references": ("gaze", "centred_region"),
        "center_bias": False,
        "chance": 0.0,
        "symbol": "NCC",
        "description": "Correlation over pixels between the map and the reference.",
    },
    "sncc": {
        "references": ("gaze", "centred_region"),
        "center_bias": True,
        "chance": 0.0,
        "symbol": "sNCC",
        "description": "NCC with the reference less NCC with the center bias.",
    },
    "auc": {
        "references": ("gaze", "region"),
        "center_bias": False,
        "chance": 0.5,
        "symbol": "AUC",
        "description": "Chance that the map is higher where the reference looks than at a random pixel.",
    },
    "sauc": {
        "references": ("gaze", "centred_region"),
        "center_bias": True,
        "chance": 0.5,
        "symbol": "sAUC",
        "description": "Chance that the map is higher where the reference looks than where all look.",
    },
}


def ncc(reference: np.ndarray, saliency: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Pearson correlation over pixels of two arrays of equal shape, any dimension; NaN where one is constant.

    Signed references are welcome. Raises `ValueError`, as all four, for non-finite maps or unequal shapes.
    """
    return _one("ncc", reference, saliency, None, mask)


def sncc(
    reference: np.ndarray, saliency: np.ndarray, center_bias: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """`ncc(reference, saliency) - ncc(center_bias, saliency)`; NaN where one of the three is constant."""
    return _one("sncc", reference, saliency, center_bias, mask)


def auc(reference: np.ndarray, saliency: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Exact AUC of `saliency`: pixels drawn from the density `reference` against uniform ones in `mask`.

    0.5 for a constant map, NaN for a reference without mass. Raises `ValueError` for a density with negative
    or non-finite values.
    """
    return _one("auc", reference, saliency, None, mask)


def sauc(
    reference: np.ndarray, saliency: np.ndarray, center_bias: np.ndarray, mask: np.ndarray | None = None
) -> float:
    """As `auc`, against pixels drawn from the density `center_bias`."""
    return _one("sauc", reference, saliency, center_bias, mask)


class Ranked:
    """A saliency map sorted once, to be compared with any number of densities (`evaluate`).

    `values` are its pixels (inside `mask`) as float32, flat; float64 is first scaled by a power of two so
    that the cast neither overflows nor flushes a faint map to zero. Raises `ValueError` for NaN or infinity.
    """

    def __init__(self, saliency: np.ndarray, mask: np.ndarray | None = None):
        self.shape = np.shape(saliency)
        values = _flat(np.asarray(saliency), mask)
        if values.dtype == np.float64 and values.size:
            largest = max(abs(float(values.max())), abs(float(values.min())))
            if np.isfinite(largest) and not 1e-30 < largest < 1e30:
                values = np.ldexp(values, -int(np.frexp(largest)[1]))
        self.values, self._given = values.astype(np.float32), values
        if not np.isfinite(self.values).all():
            bad = int((~np.isfinite(self.values)).sum())
            raise ValueError(f"saliency holds {bad} values that are not finite; of {values.size}")

    @cached_property
    def constant(self) -> bool:
        """Whether all values are equal (in float32)."""
        return bool(self.values.size == 0 or self.values.max() == self.values.min())

    @cached_property
    def standard(self) -> np.ndarray:
        """Values (N,) of mean 0 and sum of squares 1, float64; NaN where the map is constant."""
        return standardised(self._given) if not self.constant else np.full(self.values.size, np.nan)

    @cached_property
    def unit(self) -> np.ndarray:
        """Values (N,) from 0 (the lowest) to 1 (the highest), float64; NaN where the map is constant."""
        values = self.values.astype(np.float64)
        low, high = values.min(initial=np.inf), values.max(initial=-np.inf)
        return (values - low) / (high - low) if not self.constant else np.full(values.size, np.nan)

    @cached_property
    def above_otsu(self) -> np.ndarray:
        """Pixels (N,) above Otsu's threshold (1979; 256 bins over the map's range); none if constant."""
        if self.constant:
            return np.zeros(self.values.size, dtype=bool)
        from skimage.filters import threshold_otsu

        return self.unit > threshold_otsu(self.unit)

    @cached_property
    def ranks(self) -> np.ndarray:
        """(N,): how many distinct lower values each pixel has; equal values share a rank.

        Two stable sorts by 16 bits each, by radix in NumPy: twice as fast as argsort, the same on all CPUs.
        """
        bits = (self.values + np.float32(0.0)).view(np.uint32)  # -0 becomes 0
        keys = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))  # integers ordered as the values are
        order = np.argsort(keys.astype(np.uint16), kind="stable")
        order = order[np.argsort((keys >> np.uint32(16)).astype(np.uint16)[order], kind="stable")]
        keys = keys[order]
        rises = np.empty(keys.size, dtype=np.intp)
        rises[:1] = 0
        np.cumsum(keys[1:] != keys[:-1], out=rises[1:])
        ranks = np.empty(keys.size, dtype=np.intp)
        ranks[order] = rises
        return ranks

    def below(self, density: np.ndarray | None = None) -> np.ndarray:
        """How likely a pixel drawn from `density` (N,), or uniformly, has a lower value than each: (N,).

        Ties count half. The AUC of a density P is then its dot product with this.
        """
        at_rank = np.bincount(self.ranks, weights=density)
        if density is None:
            at_rank = at_rank / self.ranks.size
        middle = np.cumsum(at_rank)
        middle -= 0.5 * at_rank
        return middle[self.ranks]


@dataclass(frozen=True)
class References:
    """References prepared once for many maps: rows of `density` (R, N) have sum 1.

    Rows of `standard` (R, N) have mean 0 and norm 1. A row is NaN where a reference has no mass, or is
    constant. `region` (N,) is the mask that a reference came from.
    """

    density: np.ndarray
    standard: np.ndarray
    region: np.ndarray | None = None


def prepare(references: Sequence[np.ndarray] | np.ndarray, mask: np.ndarray | None = None) -> References:
    """R arrays of one shape as `References`. Raises `ValueError` for negative or non-finite values."""
    flat = [_flat(np.asarray(reference), mask) for reference in references]
    density, standard = np.empty((len(flat), flat[0].size)), np.empty((len(flat), flat[0].size))
    for at, values in enumerate(flat):
        if not values.size or not values.min() >= 0.0 or not np.isfinite(values.max()):
            raise ValueError("a reference density needs finite values, none negative, and at least one pixel")
        density[at] = values
        density[at] /= density[at].sum() or np.nan
        standard[at] = standardised(values)
    return References(density, standard)


def evaluate(
    names: Sequence[str], saliency: Ranked, references: References, center_biases: dict[str, References]
) -> dict[tuple[str, str], np.ndarray]:
    """{(metric, leave_out): scores (R,)} of one map against R references.

    leave_out is "" where no center bias enters. All references and center biases share the map's one
    sort. NaN where a score is undefined.
    """
    result: dict[tuple[str, str], np.ndarray] = {}

    def auc_against(density: np.ndarray | None) -> np.ndarray:
        if saliency.constant:  # 0.5 to the last digit; NaN where a density has no mass
            return 0.5 + 0.0 * references.density[:, 0] + (0.0 if density is None else 0.0 * density[0])
        return np.clip(references.density @ saliency.below(density), 0.0, 1.0)

    if {"ncc", "sncc"} & set(names):
        correlation = references.standard @ saliency.standard
        if "ncc" in names:
            result["ncc", ""] = correlation
        for leave_out, bias in center_biases.items() if "sncc" in names else ():
            result["sncc", leave_out] = correlation - bias.standard[0] @ saliency.standard
    if "auc" in names:
        result["auc", ""] = auc_against(None)
    for leave_out, bias in center_biases.items() if "sauc" in names else ():
        result["sauc", leave_out] = auc_against(bias.density[0])
    return result


def _one(
    name: str, reference: np.ndarray, saliency: np.ndarray, bias: np.ndarray | None, mask: np.ndarray | None
) -> float:
    for array in (reference, bias, mask):
        if array is not None and np.shape(array) != np.shape(saliency):
            raise ValueError(f"shapes differ: {np.shape(array)} and {np.shape(saliency)}")
    if name in ("ncc", "sncc"):  # a correlation needs no density
        ranked = Ranked(saliency, mask)
        score = standardised(_flat(np.asarray(reference), mask)) @ ranked.standard
        if bias is not None:
            score -= standardised(_flat(np.asarray(bias), mask)) @ ranked.standard
        return float(score)
    biases = {} if bias is None else {"given": prepare([bias], mask)}
    scores = evaluate([name], Ranked(saliency, mask), prepare([reference], mask), biases)
    return float(next(iter(scores.values()))[0])


def _flat(array: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    return array.ravel() if mask is None else array[np.asarray(mask, dtype=bool)]


def standardised(values: np.ndarray) -> np.ndarray:
    """`values` (N,) as float64 of mean 0 and norm 1: dot products are correlations; NaN where constant."""
    if values.size == 0 or values.max() == values.min():
        return np.full(values.size, np.nan)
    largest = max(abs(float(values.max())), abs(float(values.min())))
    result = values / np.float64(largest)
    result -= result.mean()
    result /= np.sqrt(result @ result)
    return result
