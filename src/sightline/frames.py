"""Pixel grids placed in image coordinates, and the one resampling of a map from its own grid into another.

Arrays are ([D,] H, W); affines act on (x, y[, z]) indices of pixel centres, integers, origin top-left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A grid of `shape` ([D,] H, W); per axis (x, y[, z]) its index is ``scale * image index + shift``.

    Axes stay parallel to the image's. A frame composes: `then` places a grid given in this frame's pixels.
    """

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]

    @staticmethod
    def of_image(shape: tuple[int, ...]) -> Frame:
        """The image's own grid."""
        return Frame(tuple(shape), (1.0,) * len(shape), (0.0,) * len(shape))

    @staticmethod
    def resized(shape: tuple[int, ...], new_shape: tuple[int, ...]) -> Frame:
        """A grid of `new_shape` over the whole of a grid of `shape`: edges on edges (the usual resize)."""
        scale = tuple(new / old for old, new in zip(reversed(shape), reversed(new_shape)))
        return Frame(tuple(new_shape), scale, tuple(0.5 * s - 0.5 for s in scale))

    def then(self, inner: Frame) -> Frame:
        """`inner`, given in this frame's pixels, as a frame of the image."""
        return Frame(
            inner.shape,
            tuple(a * b for a, b in zip(self.scale, inner.scale)),
            tuple(a * b + c for a, b, c in zip(self.shift, inner.scale, inner.shift)),
        )

    def cropped(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Frame:
        """A window of this frame: `start` is the index ([z,] y, x) of its first pixel; negative pads."""
        return Frame(tuple(shape), self.scale, tuple(b - s for b, s in zip(self.shift, reversed(start))))


def scoring_frame(image_shape: tuple[int, ...], scale: float) -> Frame:
    """The grid on which maps of an image are scored: each side times `scale`, rounded, at least 1."""
    return Frame.resized(image_shape, tuple(max(1, round(side * scale)) for side in image_shape))


def axis_weights(
    length: int, new_length: int, scale: float, shift: float, kind: str = "linear"
) -> np.ndarray:
    """Weights (new_length, length) that resample one axis; new index = scale * old index + shift.

    `linear`: interpolation between pixel centres, edge pixels repeated, when magnified (scale >= 1); the mean
    over each new pixel's extent (area weights) when minified. `nearest`: the pixel whose extent holds the new
    centre.
    """
    centres = (np.arange(new_length) - shift) / scale  # in old indices
    if kind == "nearest":
        weights = np.zeros((new_length, length))
        index = np.clip(np.floor(centres + 0.5).astype(int), 0, length - 1)
        weights[np.arange(new_length), index] = 1.0
        return weights
    if kind != "linear":
        raise ValueError(f"unknown kind of resampling: {kind!r}; expected 'linear' or 'nearest'")
    if scale >= 1.0:
        weights = np.zeros((new_length, length))
        position = np.clip(centres, 0, length - 1)
        low = np.minimum(position.astype(int), max(length - 2, 0))
        part = position - low
        rows = np.arange(new_length)
        weights[rows, low] += 1.0 - part
        weights[rows, np.minimum(low + 1, length - 1)] += part
        return weights
    half = 0.5 / scale
    edges = np.arange(length + 1) - 0.5
    start = np.clip(centres - half, -0.5, length - 0.5)[:, None]
    stop = np.clip(centres + half, -0.5, length - 0.5)[:, None]
    weights = np.clip(np.minimum(edges[1:], stop) - np.maximum(edges[:-1], start), 0.0, None)
    total = weights.sum(axis=1, keepdims=True)
    outside = total[:, 0] <= 0.0
    weights[outside, np.clip(np.floor(centres[outside] + 0.5).astype(int), 0, length - 1)] = 1.0
    return weights / np.where(total > 0.0, total, 1.0)


def resample(values: np.ndarray, source: Frame, target: Frame, kind: str = "linear") -> np.ndarray:
    """`values` (..., *source.shape) brought from `source` into `target`: (..., *target.shape), float64.

    Both frames belong to one image. Magnified axes are interpolated, minified ones averaged (`axis_weights`);
    outside the source its edge pixels continue. Raises `ValueError` where `values` have another grid.
    """
    dims = len(source.shape)
    if values.shape[values.ndim - dims :] != source.shape:
        raise ValueError(f"values have the grid {values.shape[-dims:]}, their frame has {source.shape}")
    result = np.asarray(values, dtype=np.float64)
    for axis in range(dims):  # image axis: x is last in the array
        scale = target.scale[axis] / source.scale[axis]
        shift = target.shift[axis] - source.shift[axis] * scale
        at = result.ndim - 1 - axis
        weights = axis_weights(
            source.shape[dims - 1 - axis], target.shape[dims - 1 - axis], scale, shift, kind
        )
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, at)), 0, at)
    return result
