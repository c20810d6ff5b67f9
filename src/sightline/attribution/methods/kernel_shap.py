"""Kernel SHAP: Shapley values of features as a weighted least-squares fit (Lundberg and Lee 2017).

Their theorem 2: of all linear models over which features are present that equal f(fill) with none and f(x)
with all of them, the Shapley values are that which fits all other sets best, a set of k of n features having
the weight (n - 1) / (C(n, k) k (n - k)). Where there are no more sets than `samples` the values are exact.
Else sets are drawn with probabilities in proportion to these weights, each with its complement (Covert and
Lee 2021), and weigh alike. Both equalities are constraints of the fit, so the values sum to f(x) - f(fill).
"""

from __future__ import annotations

from math import comb

import numpy as np
import torch

from sightline.attribution.engines import fills
from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.engines.masking import of_coalitions, unaltered
from sightline.attribution.engines.superpixels import cost_in_values, expected_count, features, stored
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "features_as": {
        "enum": ["superpixels", "grid"],
        "default": "superpixels",
        "description": "Each image's superpixels (SLIC), or equal cells.",
    },
    "count": {
        "type": "integer",
        "minimum": 2,
        "default": 64,
        "description": "About how many features an image has.",
    },
    "compactness": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
        "description": "Of superpixels: nearness against likeness; larger is rounder.",
    },
    "samples": {
        "type": "integer",
        "minimum": 2,
        "default": 2048,
        "description": "Sets of features, in pairs; the authors' code takes 2048 and two for each feature.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What stands where a feature is absent.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = "completeness"
FAMILY = "perturbation"
SOURCE = "Lundberg and Lee 2017, arXiv:1705.07874; Covert and Lee 2021, arXiv:2012.01536"


def check(model: Explained, targets: Targets, fill: str = "zero", **_options: object) -> str | None:
    """A reason where the fill is not to be had, else None: any network will do."""
    return fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    features_as: str = "superpixels",
    count: int = 64,
    samples: int = 2048,
    **_options: object,
) -> Cost:
    """A forward for each set, two for none and all; of a few superpixels, about."""
    number = expected_count(shape, features_as, count)
    sets = 2**number - 2 if _all_fit(number, samples) else samples // 2 * 2
    values = targets * cost_in_values(shape, features_as, count)
    return Cost(2 + sets, 0, min(model.micro_batch, 1 + sets), values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    features_as: str = "superpixels",
    count: int = 64,
    compactness: float = 0.1,
    samples: int = 2048,
    fill: str = "zero",
) -> list[Maps]:
    """One Maps: (B, T, [D,] H, W) of superpixels, (B, T, *cells) of a grid; gap: completeness.

    Raises `NotApplicable` where the samples are too few to tell the features apart.
    """
    full, outputs = unaltered(model, images, targets)
    covers = fills.fill(fill, model, images.pixels)
    found = [features(pixels, features_as, count, compactness) for pixels in images.pixels]
    values, gains = [], []
    for image, one in enumerate(found):
        generator = images.generator(image, "kernel_shap")
        present, weights = coalitions(one.count, samples, generator)
        versions = torch.cat([torch.zeros((1, one.count), dtype=torch.bool), present])
        reached = of_coalitions(
            model, targets, image, images.pixels[image], covers[image], one.labels, versions
        )
        empty, gain = reached[0], full[image] - reached[0]
        values.append(torch.from_numpy(fitted(present, weights, (reached[1:] - empty).numpy(), gain.numpy())))
        gains.append(gain)
    total = torch.stack([value.sum(dim=0) for value in values])
    gap = relative_gap(total, torch.stack(gains), outputs)
    maps, frame = stored(found, values)
    return [Maps("input", targets.names, maps, frame, gap=gap, outputs=outputs)]


def coalitions(count: int, samples: int, generator: torch.Generator) -> tuple[torch.Tensor, np.ndarray]:
    """Sets of `count` features, neither none nor all (N, count), bool, and their weights (N,).

    All there are, where they are at most `samples`; else half as many draws as `samples`, with complements.
    """
    if _all_fit(count, samples):
        numbers = torch.arange(1, 2**count - 1)
        present = (numbers[:, None] >> torch.arange(count)) & 1 == 1
        sizes = present.sum(dim=1).tolist()
        weights = [(count - 1) / (comb(count, k) * k * (count - k)) for k in sizes]
        return present, np.array(weights)
    sizes = torch.arange(1, count)
    drawn = torch.multinomial(
        1.0 / (sizes * (count - sizes)), samples // 2, replacement=True, generator=generator
    )
    rank = torch.rand((samples // 2, count), generator=generator).argsort(dim=1).argsort(dim=1)
    present = rank < sizes[drawn, None]
    present = torch.stack([present, ~present], dim=1).flatten(0, 1)  # each beside its complement
    return present, np.ones(len(present))


def fitted(present: torch.Tensor, weights: np.ndarray, gained: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Values (n, T) that sum to `gain` (T,) and fit what each set `gained` (N, T) over none best.

    Raises `NotApplicable` where several do.
    """
    design = present.numpy().astype(np.float64)
    if design.shape[1] == 1:
        return gain[None]
    # the last value is the gain less the others, which leaves a fit without constraint
    roots = np.sqrt(weights)[:, None]
    last = design[:, -1:]
    others, _, rank, _ = np.linalg.lstsq(
        roots * (design[:, :-1] - last), roots * (gained - last * gain), rcond=None
    )
    if rank < design.shape[1] - 1:
        count = design.shape[1]
        raise NotApplicable(
            f"{len(design)} sets do not tell {count} features apart: more `samples` or a lower `count`"
        )
    return np.concatenate([others, gain[None] - others.sum(axis=0, keepdims=True)])


def _all_fit(count: int, samples: int) -> bool:
    return count < 32 and 2**count - 2 <= samples
