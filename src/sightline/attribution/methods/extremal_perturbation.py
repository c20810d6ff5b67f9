"""Extremal perturbations: the smooth mask of a given area that keeps the output highest (Fong et al. 2019).

A mask is a smooth maximum over cells, each spread by a kernel, so that it cannot be finer than the kernel;
its sorted pixels are pulled towards a step that holds the area, and momentum descent does the rest, all as in
the authors' code (its kernel, schedule and blur). One difference: their area counts a margin around the
image, here it is the image's own. The area's weight starts at 300 in units of the output: it drowns targets
that vary by much less than 1. The map is the mean over the areas, 0 to 1, without sign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from sightline.attribution.engines import fills
from sightline.attribution.engines.masking import chunks, unaltered
from sightline.attribution.engines.smooth_masks import cells_of, off_area, perturbed, smooth_masks
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.frames import Frame

OPTIONS = {
    "areas": {
        "type": "array",
        "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "minItems": 1,
        "default": [0.1],
        "description": "Shares of the image that masks hold, one mask each; the map is their mean.",
    },
    "iterations": {
        "type": "integer",
        "minimum": 1,
        "default": 800,
        "description": "Steps of descent.",
    },
    "variant": {
        "enum": ["preserve", "delete", "dual"],
        "default": "preserve",
        "description": "Keep the mask's pixels and raise the output, remove them and lower it, or both.",
    },
    "step": {
        "type": "integer",
        "minimum": 1,
        "default": 7,
        "description": "Pixels from cell to cell (the source's images have sides of 224).",
    },
    "deviation": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 21,
        "description": "The kernel's width in pixels: no part of a mask is smaller.",
    },
    "flip": {
        "type": "boolean",
        "default": True,
        "description": "Mirror the image along its last axis in every other step, as the source does.",
    },
    "fill": {
        "enum": ["blur_pyramid", "zero", "black", "mean", "blurred", "references"],
        "default": "blur_pyramid",
        "description": "What stands where the mask is 0; `blur_pyramid` blurs the more the lower the mask.",
    },
    "blur": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 20,
        "description": "The pyramid's largest standard deviation, in pixels.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = "area"
FAMILY = "perturbation"
SOURCE = "Fong et al. 2019, arXiv:1910.08485"

LEVELS = 8  # of the pyramid
RATE, MOMENTUM = 0.01, 0.9
AREA_WEIGHT, AREA_GROWTH = 300.0, 1.0035


def check(model: Explained, targets: Targets, fill: str = "blur_pyramid", **_options: object) -> str | None:
    """A reason where the fill is not to be had, else None: any network with a gradient will do."""
    return None if fill == "blur_pyramid" else fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    areas: Sequence[float] = (0.1,),
    iterations: int = 800,
    variant: str = "preserve",
    **_options: object,
) -> Cost:
    """Forwards and backwards for each step, area and target, twice for `dual`; one forward of the image."""
    rows = targets * len(areas) * (2 if variant == "dual" else 1)
    together = min(model.micro_batch, targets * len(areas)) * (2 if variant == "dual" else 1)
    return Cost(1 + iterations * rows, iterations * rows, together, targets * prod(shape[1:]))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    areas: Sequence[float] = (0.1,),
    iterations: int = 800,
    variant: str = "preserve",
    step: int = 7,
    deviation: float = 21,
    flip: bool = True,
    fill: str = "blur_pyramid",
    blur: float = 20,
) -> list[Maps]:
    """One Maps (B, T, [D,] H, W); gap: how far masks are from their area, in shares of it."""
    shape = images.shape[1:]
    _, outputs = unaltered(model, images, targets)
    if fill == "blur_pyramid":
        blurs = [blur * (1 - level / (LEVELS - 1)) for level in range(LEVELS - 1)]
        levels = [fills.blurred(images.pixels, deviation) for deviation in blurs]
    else:
        levels = [fills.fill(fill, model, images.pixels)]
    pyramids = torch.stack([*levels, images.pixels], dim=1)  # (B, L, C, *S)
    wanted = torch.tensor(areas, device=model.device).repeat(targets.count)  # (T A,)
    descent = Descent(iterations, variant, step, deviation, flip)
    masks = torch.stack(
        [descent.masks(model, targets, image, pyramid, wanted) for image, pyramid in enumerate(pyramids)]
    )
    gap = (
        ((masks.flatten(2).mean(dim=2) - wanted).abs() / wanted).unflatten(1, (targets.count, -1)).mean(dim=2)
    )
    values = masks.unflatten(1, (targets.count, -1)).mean(dim=2)
    frame = Frame.of_image(shape)
    return [
        Maps(
            "input", targets.names, values.float().cpu().numpy(), frame,
            signed=False, gap=gap.cpu().numpy(), outputs=outputs,
        )
    ]  # fmt: skip


@dataclass(frozen=True)
class Descent:
    """How masks are found: the options of the same names."""

    iterations: int
    variant: str
    step: int
    deviation: float
    flip: bool

    def masks(self, model: Explained, targets: Targets, image: int, pyramid: Tensor, areas: Tensor) -> Tensor:
        """The masks (R, [D,] H, W) of the image that `pyramid` (L, C, [D,] H, W) ends in, without graph.

        `areas` (R,) are those of the first target, then of the second.
        """
        shape = tuple(pyramid.shape[2:])
        cells = torch.ones((len(areas), *cells_of(shape, self.step)), device=areas.device)
        velocity = None
        target = torch.arange(targets.count, device=areas.device).repeat_interleave(
            len(areas) // targets.count
        )
        for iteration in range(self.iterations):
            cells = cells.detach().requires_grad_()
            weight = AREA_WEIGHT * AREA_GROWTH**iteration
            for part in chunks(len(areas), model.micro_batch):
                with torch.enable_grad():
                    mask = smooth_masks(cells[part], shape, self.step, self.deviation)
                    scalars = self._scalars(model, targets, image, pyramid, mask, iteration)  # (R, T)
                    reward = scalars.gather(1, target[part, None])[:, 0]
                    (weight * off_area(mask, areas[part]) - reward).sum().backward()
            # momentum as torch's SGD has it, damped by as much
            fresh = cells.grad if velocity is None else (1 - MOMENTUM) * cells.grad
            velocity = fresh if velocity is None else MOMENTUM * velocity + fresh
            cells = (cells.detach() - RATE * velocity).clamp(0, 1)
        parts = chunks(len(areas), model.micro_batch)
        return torch.cat([smooth_masks(cells[part], shape, self.step, self.deviation) for part in parts])

    def _scalars(
        self, model: Explained, targets: Targets, image: int, pyramid: Tensor, masks: Tensor, iteration: int
    ) -> Tensor:
        """What each mask is to raise, (R, T)."""
        rows = torch.full((len(masks),), image, device=masks.device)

        def seen(masks: Tensor) -> Tensor:
            versions = perturbed(pyramid, masks)
            if self.flip and iteration % 2 == 0:
                versions = versions.flip(-1)
            return targets.scalars(model.network(versions), rows)

        if self.variant == "preserve":
            return seen(masks)
        return -seen(1 - masks) if self.variant == "delete" else seen(masks) - seen(1 - masks)
