"""RISE: random smooth masks, averaged by the output that each leaves (Petsiuk et al. 2018).

Their equation 6: sum over masks of f(x * M) M, over N p. With finite masks a constant part of f leaves the
masks' own uneven density in every map, so that maps of unrelated networks look alike; `centred` takes that
away and keeps the expectation (but for 1/N): (sum f M - mean(f) sum M) / (N p) + mean(f).

A mask is a grid of cells, each kept with probability p, enlarged linearly by a cell's side (their code rounds
it up, as here; the paper down) and cut out at a random shift. Outputs are on the targets' own scale, logits
for classes; the authors take probabilities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sightline.attribution.engines import fills
from sightline.attribution.engines.masking import chunks, scalars, unaltered
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.frames import Frame, axis_weights

OPTIONS = {
    "masks": {
        "type": "integer",
        "minimum": 1,
        "default": 4000,
        "description": "Random masks, the same for all images; the authors take 4000 for VGG16, 8000 for "
        "ResNet50.",
    },
    "cells": {
        "type": "integer",
        "minimum": 1,
        "default": 7,
        "description": "Cells of a mask along each axis.",
    },
    "keep": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.5,
        "description": "The probability p that a cell is kept.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What stands where the mask is 0.",
    },
    "centred": {
        "type": "boolean",
        "default": True,
        "description": "Whether the masks' own uneven density is taken away (ours; the authors: false).",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = None
FAMILY = "perturbation"
SOURCE = "Petsiuk et al. 2018, arXiv:1806.07421"


def check(model: Explained, targets: Targets, fill: str = "zero", **_options: object) -> str | None:
    """A reason where the fill is not to be had, else None: any network will do."""
    return fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    masks: int = 4000,
    cells: int = 7,
    keep: float = 0.5,
    fill: str = "zero",
    centred: bool = True,
) -> Cost:
    """A forward for each mask and one of the image itself."""
    return Cost(1 + masks, 0, min(model.micro_batch, masks), targets * prod(shape[1:]))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    masks: int = 4000,
    cells: int = 7,
    keep: float = 0.5,
    fill: str = "zero",
    centred: bool = True,
) -> list[Maps]:
    """One Maps (B, T, [D,] H, W)."""
    shape = images.shape[1:]
    _, outputs = unaltered(model, images, targets)
    covers = fills.fill(fill, model, images.pixels)
    drawn = Masks.drawn(shape, masks, cells, keep, images.shared_generator("rise"))
    values = torch.zeros((len(images.names), targets.count, prod(shape)), device=model.device)
    sums, density = values.new_zeros(values.shape[:2]), values.new_zeros(prod(shape))
    for part in chunks(masks, model.micro_batch):
        mask = drawn.made(part, model.device)  # (R, *S)
        density += mask.flatten(1).sum(dim=0)
        for image, value in enumerate(values):
            cover = covers[image]
            versions = cover + mask[:, None] * (images.pixels[image] - cover)
            found = scalars(model, targets, image, versions).float()  # (R, T)
            value += found.T @ mask.flatten(1)
            sums[image] += found.sum(dim=0)
    values /= keep * masks
    if centred:
        means = (sums / masks)[..., None]
        values += means * (1 - density / (keep * masks))
    values = values.unflatten(2, shape)
    return [Maps("input", targets.names, values.cpu().numpy(), Frame.of_image(shape), outputs=outputs)]


@dataclass(frozen=True)
class Masks:
    """Random masks before they are enlarged: `kept` (N, cells, ...) 0 or 1, `shifts` (N, dims) in pixels."""

    shape: tuple[int, ...]
    kept: Tensor
    shifts: Tensor

    @staticmethod
    def drawn(
        shape: tuple[int, ...], count: int, cells: int, keep: float, generator: torch.Generator
    ) -> Masks:
        """`count` masks for images of `shape` ([D,] H, W)."""
        kept = (torch.rand((count, *[cells] * len(shape)), generator=generator) < keep).float()
        sides = torch.tensor([_side(length, cells) for length in shape])
        shifts = (torch.rand((count, len(shape)), generator=generator, dtype=torch.float64) * sides).long()
        return Masks(shape, kept, shifts)

    def made(self, part: slice, device: torch.device) -> Tensor:
        """The masks of number `part`, enlarged and cut out: (R, [D,] H, W) in 0 to 1, their mean is p."""
        mask = self.kept[part].to(device)
        for axis, length in enumerate(self.shape):
            cells = self.kept.shape[axis + 1]
            side = _side(length, cells)
            # cells + 1 sides long, so that any shift below a side leaves the image covered
            whole = torch.from_numpy(axis_weights(*_enlarged(cells, side))).float().to(device)
            rows = self.shifts[part, axis, None].to(device) + torch.arange(length, device=device)
            weights = whole[rows]  # (R, length, cells)
            moved = mask.movedim(axis + 1, 1)
            mask = torch.bmm(weights, moved.flatten(2)).unflatten(2, moved.shape[2:]).movedim(1, axis + 1)
        return mask


def _side(length: int, cells: int) -> int:
    """A cell's side in pixels."""
    return -(-length // cells)


def _enlarged(cells: int, side: int) -> Sequence[float]:
    """The arguments of `axis_weights` that stretch `cells` over cells + 1 sides, edges on edges."""
    scale = (cells + 1) * side / cells
    return cells, (cells + 1) * side, scale, 0.5 * scale - 0.5
