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


@dataclass(frozen=True)
class Crops:
    """B stored images, uint8, one after the other, and where the pixels of their crops lie in them.

    A crop's pixel (i, j) of image b is `x_of_row[b, i] + x_of_column[b, j]` from the left, rounded down, and
    likewise from the top. All of it on one device, small beside the crops: what travels to a GPU.
    """

    pixels: Tensor  # (P,), or (P, 3) of colours
    x_of_row: Tensor  # (B, side) each, float32
    x_of_column: Tensor
    y_of_row: Tensor
    y_of_column: Tensor
    shapes: Tensor  # (B, 2), int32, height and width
    starts: Tensor  # (B,), int32, of each image in `pixels`


def crops(images: Sequence[np.ndarray], side: int, affine: Affine) -> Crops:
    """The crops of `images` (uint8 (H, W) or (H, W, 3), of any shapes of at least `side`), on the host.

    Images are turned, scaled and moved about their centres, cropped to a square, flipped.
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
    from_y, from_x = (sine + lean * cosine) / down, (cosine - lean * sine) / across
    colours = images[0].shape[2:]  # () or (3,)
    return Crops(
        torch.from_numpy(np.concatenate([np.reshape(image, (-1, *colours)) for image in images])),
        _floats(from_y[:, None] * y + shapes[:, 1:] / 2),
        _floats(from_x[:, None] * x),
        _floats((cosine / down)[:, None] * y + shapes[:, :1] / 2),
        _floats((-sine / across)[:, None] * x),
        torch.from_numpy(shapes.astype(np.int32)),
        torch.from_numpy(np.concatenate([[0], np.cumsum(shapes.prod(axis=1))[:-1]]).astype(np.int32)),
    )


def look_up(found: Crops, fill: int) -> Tensor:
    """The pixels of the crops, uint8 (B, side, side[, 3]), by nearest neighbour; `fill` outside an image.

    The whole batch is one look-up on the device of `found`: every output pixel computes its source, none that
    the crop drops. Additions and rounding down are the same on every device.
    """
    source_x = (found.x_of_row[:, :, None] + found.x_of_column[:, None, :]).floor_().int()  # (B, side, side)
    source_y = (found.y_of_row[:, :, None] + found.y_of_column[:, None, :]).floor_().int()
    height, width = (found.shapes[:, axis, None, None] for axis in (0, 1))
    outside = (source_x < 0) | (source_x >= width) | (source_y < 0) | (source_y >= height)
    index = source_y.mul_(width).add_(source_x) + found.starts[:, None, None]
    index.masked_fill_(outside, 0)
    coloured = found.pixels.ndim == 2
    return found.pixels[index].masked_fill_(outside[..., None] if coloured else outside, fill)


def transform(images: Sequence[np.ndarray], side: int, affine: Affine, fill: int) -> Tensor:
    """`images` altered and cropped: uint8 (B, side, side[, 3])."""
    return look_up(crops(images, side, affine), fill)


def drawn_crops(
    images: Sequence[np.ndarray], side: int, limits: Augmentation, generator: np.random.Generator
) -> Crops:
    """The crops of stored images (uint8, no side below `side`), altered at random within `limits`.

    `generator` alone decides what is drawn.
    """
    shapes = np.array([image.shape[:2] for image in images])
    return crops(images, side, draw(shapes, limits, generator))


def training_input(
    images: Sequence[np.ndarray], side: int, limits: Augmentation, generator: np.random.Generator
) -> Tensor:
    """The network's input (B, 3, side, side) for stored images, altered as by `drawn_crops`."""
    return normalise(look_up(drawn_crops(images, side, limits, generator), limits.fill))


def _floats(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values.astype(np.float32))
