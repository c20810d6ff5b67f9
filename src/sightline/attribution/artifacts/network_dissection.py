"""Which units of a layer find which regions: network dissection (Bau et al. 2017), with any masks.

Section 2.2: a unit is on where its activation exceeds T, which it does at a share `quantile` of all cells of
all images; its agreement with a region is the intersection over the union, both summed over the images that
have the region. Cells are brought into the mask's grid from their true places, linearly, before the cut.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines.gradients import layer_values
from sightline.attribution.explained import Explained, NotApplicable
from sightline.attribution.material import Material
from sightline.frames import Frame, resample

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, a table each: `last` (the architecture's choice) or module names.",
    },
    "regions": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "Regions of the dataset that units are held against; empty: all.",
    },
    "quantile": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.005,
        "description": "The share of cells in which a unit is on.",
    },
    "threshold": {
        "type": "number",
        "minimum": 0,
        "default": 0.04,
        "description": "The intersection over union above which a unit counts as a detector.",
    },
}
NEEDS = ("forward", "layer", "regions")
SCOPE = "dataset"
SOURCE = "Bau et al. 2017, arXiv:1704.05796"


def check(model: Explained, layers: Sequence[str] = ("last",), **_options: object) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers(layers)


def make(
    model: Explained, data: Material, layers: Sequence[str] = ("last",), regions: Sequence[str] = (),
    quantile: float = 0.005, threshold: float = 0.04,
) -> list[Artifact]:  # fmt: skip
    """Per layer a table (units, regions + 1) of intersections over unions, and each unit's T.

    NaN where no image has the region. Raises `NotApplicable` where the dataset has none of the regions.
    """
    names = list(regions or data.regions)
    missing = [name for name in names if name not in data.regions]
    if missing or not names:
        raise NotApplicable(f"the dataset has no region {', '.join(missing) or 'at all'}")
    images = [sum(data.regions[name](image) is not None for image in data.images) for name in names]
    if not any(images):
        raise NotApplicable(f"no image has a region {', '.join(names)}")
    found = model.modules(layers)
    tops = {name: Top(int(quantile * cells)) for name, cells in _cells(model, found, data).items()}
    for _, pixels in data.pixels(model, "batches: activations"):
        for name, grid in _grids(model, found, pixels).items():
            tops[name].add(grid.transpose(0, 1).flatten(1))
    cuts = {name: top.cut() for name, top in tops.items()}
    sums = {name: np.zeros((2, len(cuts[name]), len(names)), dtype=np.int64) for name in found}
    for batch, pixels in data.pixels(model, "batches: overlaps"):
        grids = _grids(model, found, pixels)
        for row, image in enumerate(batch.images):
            masks = [data.regions[name](image) for name in names]
            for name, grid in grids.items():
                place = batch.frames[row].then(model.frame(name, pixels.shape[1:], tuple(grid.shape[2:])))
                one = grid[row].float().cpu().numpy()
                sums[name] += overlaps(one, place, cuts[name], masks)
    return [
        _artifact(name, found_sums, cuts[name], names, images, quantile, threshold)
        for name, found_sums in sums.items()
    ]


def overlaps(
    activation: np.ndarray, place: Frame, cuts: np.ndarray, masks: Sequence[tuple[np.ndarray, Frame] | None]
) -> np.ndarray:
    """Pixels in the intersection and in the union of each unit and each mask: (2, units, masks).

    `activation` (units, *grid) lies in the image at `place`; a mask that is None adds nothing.
    """
    counted = np.zeros((2, len(activation), len(masks)), dtype=np.int64)
    on: dict[Frame, np.ndarray] = {}  # masks of one image mostly share a frame
    for at, mask in enumerate(masks):
        if mask is None:
            continue
        inside, frame = mask[0].astype(bool).ravel(), mask[1]
        if frame not in on:
            values = resample(activation, place, frame).reshape(len(activation), -1)
            on[frame] = values > cuts[:, None]
        both = on[frame][:, inside].sum(axis=1)
        counted[0, :, at] = both
        counted[1, :, at] = on[frame].sum(axis=1) + inside.sum() - both
    return counted


class Top:
    """The largest `count` values of each unit and one more, kept while all go by."""

    def __init__(self, count: int):
        self.count, self.kept = count, None

    def add(self, values: Tensor) -> None:
        """Values (units, n)."""
        joined = values if self.kept is None else torch.cat([self.kept, values], dim=1)
        self.kept = joined.topk(min(joined.shape[1], self.count + 1), dim=1).values

    def cut(self) -> np.ndarray:
        """T (units,): at most `count` values of a unit are larger."""
        return self.kept[:, -1].float().cpu().numpy()


def _cells(model: Explained, modules: dict, data: Material) -> dict[str, int]:
    """How many cells each layer has over all images; one pass for each size of image."""
    each: dict[tuple[int, ...], dict[str, int]] = {}
    total = dict.fromkeys(modules, 0)
    for batch in data.batches:
        shape = (data.shape[0], *batch.frames[0].shape)
        if shape not in each:
            grids = _grids(model, modules, torch.zeros((1, *shape), device=model.device))
            each[shape] = {name: grid[0, 0].numel() for name, grid in grids.items()}
        for name, count in each[shape].items():
            total[name] += count * len(batch.images)
    return total


def _grids(model: Explained, modules: dict, pixels: Tensor) -> dict[str, Tensor]:
    model.passes.input_shape = tuple(pixels.shape[1:])
    values, _ = layer_values(model, pixels, modules)
    return {name: model.grid(name, value) for name, value in zip(modules, values)}


def _artifact(
    layer: str, sums: np.ndarray, cuts: np.ndarray, names: list[str], images: list[int], quantile: float,
    threshold: float,
) -> Artifact:  # fmt: skip
    both, either = sums.astype(float)
    agreement = np.full(both.shape, np.nan)
    np.divide(both, either, out=agreement, where=either > 0)
    best = np.nan_to_num(agreement, nan=-1.0)
    is_detector = best.max(axis=1) > threshold
    each = [int((is_detector & (best.argmax(axis=1) == at)).sum()) for at in range(len(names))]
    told = ", ".join(f"{name}: {count} units, {n} images" for name, count, n in zip(names, each, images))
    facts = {
        "rows": [f"unit {unit}" for unit in range(len(cuts))],
        "columns": [*names, "T"],
        "axis": "intersection over union",
        "marks": names,
        "notes": ["T"],
        "line": [threshold, "least of a detector"],
        "says": [
            f"{layer}: {int(is_detector.sum())} of {len(cuts)} units are detectors (above {threshold:g} with "
            f"the region that they match best): {told}.",
            f"A unit is on where it exceeds T, in {100 * quantile:g} % of all cells.",
        ],
    }
    return Artifact(layer, "table", np.column_stack([agreement, cuts]), facts)
