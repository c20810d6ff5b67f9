"""Occlusion: how much the output falls when a window of the image is covered (Zeiler and Fergus 2014).

Their heat map, the output at each position of the window, as a fall: f(x) - f(x covered there), positive
where the window hides what speaks for the target. The map is the grid of positions, each placed at its
window's centre; libraries spread it over pixels instead, each with the mean over the windows that cover it.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from sightline.attribution.engines import fills
from sightline.attribution.engines.masking import chunks, inside_windows, scalars, unaltered, windows
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "window": {
        "type": ["integer", "array"],
        "items": {"type": "integer", "minimum": 1},
        "minimum": 1,
        "default": 16,
        "description": "The window's side in pixels, one for all axes or one each ([z,] y, x). The source "
        "names none.",
    },
    "stride": {
        "type": ["integer", "array"],
        "items": {"type": "integer", "minimum": 1},
        "minimum": 1,
        "default": 8,
        "description": "How far the window moves, as `window`. The source names none.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "What covers the window; of an ImageNet normalisation, zero is the source's grey.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = None
FAMILY = "perturbation"
SOURCE = "Zeiler and Fergus 2014, arXiv:1311.2901"


def check(
    model: Explained,
    targets: Targets,
    window: int | Sequence[int] = 16,
    stride: int | Sequence[int] = 8,
    fill: str = "zero",
) -> str | None:
    """A reason where the window has not as many axes as the images or the fill is not to be had."""
    dims = model.spatial_dims
    for name, given in (("window", window), ("stride", stride)):
        if not isinstance(given, int) and len(given) != dims:
            return f"{name} {list(given)} has {len(given)} axes, the images have {dims}"
    if any(step > side for step, side in zip(_sides(stride, dims), _sides(window, dims))):
        return f"stride {stride} is longer than window {window}: pixels between the windows would not be seen"
    return fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    window: int | Sequence[int] = 16,
    stride: int | Sequence[int] = 8,
    fill: str = "zero",
) -> Cost:
    """A forward for each position of the window and one of the image itself."""
    dims = len(shape) - 1
    positions = prod(windows(shape[1:], _sides(window, dims), _sides(stride, dims)).shape)
    return Cost(1 + positions, 0, min(model.micro_batch, positions), targets * positions)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    window: int | Sequence[int] = 16,
    stride: int | Sequence[int] = 8,
    fill: str = "zero",
) -> list[Maps]:
    """One Maps (B, T, *positions of the window); `NotApplicable` for a window larger than the image."""
    shape = images.shape[1:]
    size, step = _sides(window, len(shape)), _sides(stride, len(shape))
    if any(side > length for side, length in zip(size, shape)):
        raise NotApplicable(f"window {window} is larger than the images {shape}")
    full, outputs = unaltered(model, images, targets)
    covers = fills.fill(fill, model, images.pixels)
    frame = windows(shape, size, step)
    falls: list[list[torch.Tensor]] = [[] for _ in images.names]
    for part in chunks(prod(frame.shape), model.micro_batch):
        inside = inside_windows(shape, size, step, part, model.device)[:, None]  # (R, 1, *S)
        for image, found in enumerate(falls):
            versions = torch.where(inside, covers[image], images.pixels[image])
            found.append(scalars(model, targets, image, versions))
    covered = torch.stack([torch.cat(found) for found in falls]).double().cpu()  # (B, positions, T)
    values = (full[:, None] - covered).transpose(1, 2).unflatten(2, frame.shape)
    return [Maps("input", targets.names, values.float().numpy(), frame, outputs=outputs)]


def _sides(given: int | Sequence[int], dims: int) -> tuple[int, ...]:
    return (given,) * dims if isinstance(given, int) else tuple(given)
