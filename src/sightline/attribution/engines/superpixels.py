"""Features of an image that are present or absent as a whole: cells of a grid, or superpixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

from sightline.frames import Frame


@dataclass(frozen=True)
class Features:
    """`labels` ([D,] H, W) numbers the feature of each pixel from 0; `grid`, cells per axis, or None."""

    labels: Tensor
    count: int
    grid: tuple[int, ...] | None = None


def cells(shape: tuple[int, ...], number: int) -> tuple[int, ...]:
    """A grid of about `number` cells, as near to cubes as it goes, over pixels of `shape` ([D,] H, W)."""
    side = (prod(shape) / number) ** (1 / len(shape))
    return tuple(min(length, max(1, round(length / side))) for length in shape)


def features(pixels: Tensor, kind: str, number: int, compactness: float) -> Features:
    """About `number` features of one image (C, [D,] H, W): `kind` is "grid" or "superpixels".

    Cells of a grid are equal to a pixel. Superpixels: SLIC (Achanta et al. 2012) as scikit-image has it,
    deterministic, connected; on the pixels scaled to 0 to 1 over the whole image, `compactness` weighs
    nearness against likeness (larger: rounder; 0.1 is what 10, its usual value, is in units of Lab). Channels
    weigh together as much as one, so that a grey image's superpixels are the same in one channel or in three.
    """
    shape = tuple(pixels.shape[1:])
    if kind == "grid":
        grid = cells(shape, number)
        labels = torch.zeros((1,) * len(shape), dtype=torch.long)
        for axis, (length, count) in enumerate(zip(shape, grid)):
            index = torch.arange(length) * count // length
            labels = labels * count + index.reshape(-1, *[1] * (len(shape) - axis - 1))
        return Features(labels.to(pixels.device), prod(grid), grid)
    if kind != "superpixels":
        raise ValueError(f"features {kind!r}; expected 'grid' or 'superpixels'")
    from skimage.segmentation import slic  # takes a second to import

    image = np.moveaxis(pixels.detach().double().cpu().numpy(), 0, -1)  # slic scales it to 0 to 1
    found = slic(
        image, n_segments=number, compactness=compactness * np.sqrt(image.shape[-1]), start_label=0,
        channel_axis=-1, convert2lab=False, enforce_connectivity=True,
    )  # fmt: skip
    _, labels = np.unique(found, return_inverse=True)  # no number is left out
    labels = torch.from_numpy(labels.reshape(shape)).long()
    return Features(labels.to(pixels.device), int(labels.max()) + 1)


def stored(found: Sequence[Features], values: Sequence[Tensor]) -> tuple[np.ndarray, Frame]:
    """Values (n, T) of each image's features, as a map (B, T, *grid) float32 and its frame.

    Cells of a grid keep their own grid, a value each, so that a map sums to the sum over the features. A
    superpixel's value stands at each of its pixels, as it is shown everywhere: it is no density.
    """
    shape = tuple(found[0].labels.shape)
    if found[0].grid is not None:
        maps = [value.T.reshape(-1, *found[0].grid) for value in values]
        frame = Frame.resized(shape, found[0].grid)
    else:
        maps = [value.T[:, one.labels.to(value.device)] for one, value in zip(found, values)]
        frame = Frame.of_image(shape)
    return torch.stack(maps).float().cpu().numpy(), frame


def own_means(pixels: Tensor, found: Features) -> Tensor:
    """The image (C, [D,] H, W) with each feature in its own mean colour."""
    # on the CPU: sums on a GPU run in no fixed order
    labels, flat = found.labels.flatten().cpu(), pixels.flatten(1).cpu()
    sums = torch.zeros((len(flat), found.count), dtype=flat.dtype).index_add_(1, labels, flat)
    means = sums / torch.bincount(labels, minlength=found.count)
    return means.to(pixels.device)[:, found.labels]


def cost_in_values(shape: tuple[int, ...], kind: str, number: int) -> int:
    """How many values one map of `stored` has, of images (C, [D,] H, W)."""
    return prod(cells(shape[1:], number)) if kind == "grid" else prod(shape[1:])


def expected_count(shape: tuple[int, ...], kind: str, number: int) -> int:
    """How many features images (C, [D,] H, W) have: exact for a grid, what is asked for of superpixels."""
    return prod(cells(shape[1:], number)) if kind == "grid" else number
