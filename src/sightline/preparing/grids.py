"""The geometries in which pictures are kept: sizes that models take, and frames that say where they lie."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sightline.frames import Frame

# what `fit` does with a picture of any shape, for images that train and for images that are explained
FITS = ("crop", "stretch", "pad")


def fitted(image: Image.Image, side: int, geometry: str, fit: str) -> tuple[np.ndarray, Frame]:
    """The picture as models of `side` take it: uint8 (H, W) or, of colours, (H, W, 3), and its frame.

    `crop`: `train_grid` or `explain_grid`, as `geometry` (train | explain) says; `stretch` and `pad` give a
    square of `side` for both. A picture of mode F (0 to 1) becomes bytes after it was resized. Raises
    `ValueError` for another `fit`.
    """
    if fit == "crop":
        return (train_grid if geometry == "train" else explain_grid)(image, side)
    if fit == "stretch":
        return stretched_grid(image, side)
    if fit == "pad":
        return squared_grid(image, side)
    raise ValueError(f"unknown fit: {fit!r}; expected one of {', '.join(FITS)}")


def train_grid(image: Image.Image, side: int) -> tuple[np.ndarray, Frame]:
    """The image with its shortest side at `side`, the other in proportion: uint8 (H, W), and its frame.

    The authors' torchvision `Resize` of a PIL image: bilinear, antialiased, the longer side rounded down.
    """
    width, height = image.size
    shortest = min(width, height)
    return _resized(image, (int(side * width / shortest), int(side * height / shortest)))


def explain_grid(image: Image.Image, side: int) -> tuple[np.ndarray, Frame]:
    """The image whole, in a zero-padded square: uint8 (S, S), S a multiple of 16, and its frame.

    The authors' validation transform: the longest side goes to S = 16 round(side / min * max / 16), both
    sides times that ratio, rounded; padding is floor before, ceil after.
    """
    width, height = image.size
    return squared_grid(image, explained_side((height, width), side))


def stretched_grid(image: Image.Image, side: int) -> tuple[np.ndarray, Frame]:
    """The whole image squeezed into a square, whatever its own shape: uint8 (side, side), and its frame."""
    return _resized(image, (side, side))


def squared_grid(image: Image.Image, square: int) -> tuple[np.ndarray, Frame]:
    """The image whole, in its own proportions, in the middle of a zero-padded square of side `square`."""
    width, height = image.size
    ratio = square / max(width, height)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    left, top = (square - size[0]) // 2, (square - size[1]) // 2
    inner, frame = _resized(image, size)
    pixels = np.zeros((square, square, *inner.shape[2:]), dtype=np.uint8)
    pixels[top : top + size[1], left : left + size[0]] = inner
    return pixels, frame.cropped((-top, -left), (square, square))


def _resized(image: Image.Image, size: tuple[int, int]) -> tuple[np.ndarray, Frame]:
    """The image at `size` (width, height), bilinear and antialiased, as bytes."""
    frame = Frame.resized((image.height, image.width), size[::-1])
    values = np.asarray(image.resize(size, Image.Resampling.BILINEAR))
    if image.mode == "F":  # floats are rounded once, here
        values = np.rint(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8)
    return values, frame


def explained_side(shape: tuple[int, int], side: int) -> int:
    """S of `explain_grid` for an image of `shape` (H, W)."""
    return round(side / min(shape) * max(shape) / 16) * 16


def explained_shape(shape: tuple[int, int], side: int, fit: str) -> tuple[int, int]:
    """The grid on which an image of `shape` (H, W) is explained; of its region's, where it is cut."""
    square = explained_side(shape, side) if fit == "crop" else side
    return square, square


def cut(image: Image.Image, box: tuple[int, int, int, int] | None, turned: bool) -> tuple[Image.Image, Frame]:
    """The part of the image within `box` (left, top, right, bottom; None: all), and its frame in the image.

    `turned` mirrors it, left to right: the frame's scale in x is then -1.
    """
    frame = Frame.of_image((image.height, image.width))
    if box is not None:
        left, top, right, bottom = box
        image, frame = image.crop(box), frame.cropped((top, left), (bottom - top, right - left))
    if turned:
        mirrored = Frame(frame.shape, (-1.0, 1.0), (image.width - 1.0, 0.0))
        image, frame = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), frame.then(mirrored)
    return image, frame
