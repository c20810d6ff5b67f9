"""Altered versions of an image through the network: masks -> forwards -> one row of scalars per mask.

What all perturbation methods share. Masks are made a micro-batch at a time, and all targets are read from
the same forwards. A pass holds versions of one image only, so that an image's numbers do not depend on its
company in the batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.engines.gradients import scalars_of
from sightline.attribution.explained import Explained, Images
from sightline.attribution.targets import Targets
from sightline.frames import Frame


def chunks(count: int, size: int) -> Iterator[slice]:
    """`count` rows as slices of at most `size`, in order."""
    for start in range(0, count, size):
        yield slice(start, min(start + size, count))


def unaltered(model: Explained, images: Images, targets: Targets) -> tuple[Tensor, np.ndarray]:
    """The scalars (B, T) of the images as they are, float64 on the CPU; the network's outputs, float32."""
    outputs, found = scalars_of(model, images.pixels, targets)
    return found.double().cpu(), outputs.float().cpu().numpy()


def scalars(model: Explained, targets: Targets, image: int, versions: Tensor) -> Tensor:
    """The scalars (R, T) of `versions` (R, C, [D,] H, W) of image number `image` of the batch.

    On the model's device, without a graph, `micro_batch` rows at a time.
    """
    rows = torch.full((len(versions),), image, device=versions.device)
    return scalars_of(model, versions, targets, rows)[1]


def of_coalitions(
    model: Explained, targets: Targets, image: int, pixels: Tensor, fill: Tensor,
    labels: Tensor, coalitions: Tensor,
) -> Tensor:  # fmt: skip
    """The scalars (N, T), float64 on the CPU, of the image with only some of its features present.

    `labels` ([D,] H, W) numbers the feature of each pixel; `coalitions` (N, features) says which are present
    in each version; the others take their pixels from `fill`. `pixels` and `fill` are (C, [D,] H, W).
    """
    found = []
    for part in chunks(len(coalitions), model.micro_batch):
        present = coalitions[part].to(labels.device)[:, labels]  # (R, [D,] H, W)
        found.append(scalars(model, targets, image, torch.where(present[:, None], pixels, fill)))
    return torch.cat(found).double().cpu()


def windows(shape: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...]) -> Frame:
    """The grid of all positions of a window of `size` moved by `stride` over an image of `shape`, as a frame.

    All ([D,] H, W). The first window starts at the image's first pixel; the last one may pass its border, so
    that every pixel is covered. A cell lies at the centre of its (whole) window.
    """
    grid = tuple(1 + max(0, -(-(side - s) // step)) for side, s, step in zip(shape, size, stride))
    axes = [(1 / step, -0.5 * (s - 1) / step) for s, step in zip(reversed(size), reversed(stride))]
    return Frame(grid, tuple(scale for scale, _ in axes), tuple(shift for _, shift in axes))


def inside_windows(
    shape: tuple[int, ...], size: tuple[int, ...], stride: tuple[int, ...], part: slice, device: torch.device
) -> Tensor:
    """The pixels of the windows of `windows`, row-major, those of number `part`: (R, [D,] H, W), bool."""
    grid = windows(shape, size, stride).shape
    numbers = torch.arange(part.start, part.stop, device=device)
    inside = torch.ones((len(numbers), *[1] * len(shape)), dtype=torch.bool, device=device)
    for axis, (side, s, step) in enumerate(zip(shape, size, stride)):
        start = step * (numbers // prod(grid[axis + 1 :]) % grid[axis])
        pixel = torch.arange(side, device=device)
        within = (pixel >= start[:, None]) & (pixel < start[:, None] + s)  # (R, side)
        inside = inside & within.reshape(-1, *[1] * axis, side, *[1] * (len(shape) - axis - 1))
    return inside
