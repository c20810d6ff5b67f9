"""From stored pixels to the network's input in training: the authors' augmentation, a whole batch at once.

Source: the chest x-ray gaze study's code: RandomAffine (nearest, fill 128), CenterCrop, RandomHorizontalFlip,
scaling to [0, 1], ImageNet's normalisation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sightline.models.inputs import normalise


@dataclass(frozen=True)
class Augmentation:
    """How much images are altered at most, as `sightline.models.recipe.OPTIONS` describes it."""

    name: str  # affine | none
    rotation: float  # degrees either way
    translation: float  # share of each side
    scale: tuple[float, float]
    fill: int  # grey value outside the image
    flip: float  # probability
    shear: float = 0.0  # degrees either way
    anisotropic: bool = False  # whether the two axes are scaled on their own


@dataclass(frozen=True)
class Affine:
    """What was drawn for each of B images; angles in degrees, clockwise on the screen.

    Sheared, turned, scaled, moved, in this order, then flipped.
    """

    angle: np.ndarray  # (B,)
    move: np.ndarray  # (B, 2), whole pixels
    scale: np.ndarray  # (B,)
    flip: np.ndarray  # (B,), bool
    shear: np.ndarray  # (B,), upright lines lean by so much, their upper ends to the right
    aspect: np.ndarray  # (B,), scale down the image over that across it


def draw(shapes: np.ndarray, limits: Augmentation, generator: np.random.Generator) -> Affine:
    """Parameters for images of `shapes` (B, 2) as (height, width); `name: none` gives the identity."""
    count = len(shapes)
    if limits.name == "none":
        still = np.zeros(count)
        return Affine(still, np.zeros((count, 2)), np.ones(count), still.astype(bool), still, np.ones(count))
    largest = limits.translation * shapes[:, ::-1]  # (B, 2) in x, y
    angle = generator.uniform(-limits.rotation, limits.rotation, count)
    move = np.round(generator.uniform(-1.0, 1.0, (count, 2)) * largest)
    scale = generator.uniform(*limits.scale, count)
    flip = generator.random(count) < limits.flip
    # drawn last, and only where asked for, so that what others draw stays as it was
    shear = generator.uniform(-limits.shear, limits.shear, count) if limits.shear else np.zeros(count)
    aspect = generator.uniform(*limits.scale, count) / scale if limits.anisotropic else np.ones(count)
    return Affine(angle, move, scale, flip, shear, aspect)


def transform(
    images: Sequence[np.ndarray], side: int, affine: Affine, fill: int, device: str | torch.device = "cpu"
) -> Tensor:
    """Images turned, scaled and moved about their centres, cropped to a square, flipped: (B, side, side).

    uint8 (H, W) or (H, W, 3) in, of any shapes of at least `side`; uint8 out, on `device`, colours as the
    last axis, by nearest neighbour. The whole batch is one look-up: every output pixel computes its source,
    none that the crop drops.
    """
    shapes = np.array([image.shape[:2] for image in images])  # (B, 2) as height, width
    if shapes.min() < side:
        raise ValueError(
            f"an image of shape {tuple(shapes.min(axis=0))} is smaller than the crop of {side} pixels"
        )
    start = np.round((shapes - side) / 2)  # of the crop; halves to even, as torchvision
    grid = np.arange(side)[None, :] + 0.5
    # centres of the crop's pixels, from the centre of the moved image
    y = start[:, :1] + grid - shapes[:, :1] / 2 - affine.move[:, 1:]  # (B, side)
    x = start[:, 1:] + grid - shapes[:, 1:] / 2 - affine.move[:, :1]
    x = np.where(affine.flip[:, None], x[:, ::-1], x)
    turn, lean = np.deg2rad(affine.angle), np.tan(np.deg2rad(affine.shear))
    cosine, sine = np.cos(turn), np.sin(turn)
    across, down = affine.scale, affine.scale * affine.aspect
    # the inverse affine map is a row's part plus a column's part

    def plane(rows: np.ndarray, columns: np.ndarray) -> Tensor:  # (B, side, side), indices into the source
        total = _floats(rows, device)[:, :, None] + _floats(columns, device)[:, None, :]
        return total.floor_().int()

    from_y, from_x = (sine + lean * cosine) / down, (cosine - lean * sine) / across
    source_x = plane(from_y[:, None] * y + shapes[:, 1:] / 2, from_x[:, None] * x)
    source_y = plane((cosine / down)[:, None] * y + shapes[:, :1] / 2, (-sine / across)[:, None] * x)
    height, width = (torch.as_tensor(shapes[:, axis], dtype=torch.int32, device=device) for axis in (0, 1))
    height, width = height[:, None, None], width[:, None, None]
    outside = (source_x < 0) | (source_x >= width) | (source_y < 0) | (source_y >= height)
    colours = images[0].shape[2:]  # () or (3,)
    flat = np.concatenate([np.reshape(image, (-1, *colours)) for image in images])
    pixels = torch.as_tensor(flat, device=device)
    offsets = np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]])
    index = (
        source_y.mul_(width).add_(source_x)
        + torch.as_tensor(offsets, dtype=torch.int32, device=device)[:, None, None]
    )
    index.masked_fill_(outside, 0)
    return pixels[index].masked_fill_(outside[..., None] if colours else outside, fill)


def training_input(
    images: Sequence[np.ndarray],
    side: int,
    limits: Augmentation,
    generator: np.random.Generator,
    device: str | torch.device = "cpu",
) -> Tensor:
    """The network's input (B, 3, side, side) for stored images (uint8, no side below `side`), augmented.

    `generator` alone decides what is drawn, within `limits`.
    """
    shapes = np.array([image.shape[:2] for image in images])
    affine = draw(shapes, limits, generator)
    return normalise(transform(images, side, affine, limits.fill, device))


def _floats(values: np.ndarray, device: str | torch.device) -> Tensor:
    return torch.as_tensor(values.astype(np.float32), device=device)
