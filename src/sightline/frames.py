"""Pixel grids placed in image coordinates, and the one resampling of a map from its own grid into another.

Arrays are ([D,] H, W); affines act on (x, y[, z]) indices of pixel centres, integers, origin top-left.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A grid of `shape` ([D,] H, W); per axis (x, y[, z]) its index is ``scale * image index + shift``.

    A negative scale turns an axis round. Where the grid's axes are not parallel to the image's, `matrix` has
    their directions in the image as rows of length 1: ``scale * (matrix @ image index) + shift`` (`linear`
    makes it). A frame composes: `then` places a grid given in this frame's pixels.
    """

    shape: tuple[int, ...]
    scale: tuple[float, ...]
    shift: tuple[float, ...]
    matrix: tuple[tuple[float, ...], ...] | None = None

    @staticmethod
    def of_image(shape: tuple[int, ...]) -> Frame:
        """The image's own grid."""
        return Frame(tuple(shape), (1.0,) * len(shape), (0.0,) * len(shape))

    @staticmethod
    def resized(shape: tuple[int, ...], new_shape: tuple[int, ...]) -> Frame:
        """A grid of `new_shape` over the whole of a grid of `shape`: edges on edges (the usual resize)."""
        scale = tuple(new / old for old, new in zip(reversed(shape), reversed(new_shape)))
        return Frame(tuple(new_shape), scale, tuple(0.5 * s - 0.5 for s in scale))

    @staticmethod
    def linear(shape: tuple[int, ...], matrix: np.ndarray, shift: np.ndarray) -> Frame:
        """A grid whose index is ``matrix @ image index + shift``, in the order (x, y[, z]).

        The one form of a frame: a diagonal matrix gives a frame without one. Raises `ValueError` where the
        matrix has no inverse.
        """
        matrix, shift = np.asarray(matrix, dtype=np.float64), np.asarray(shift, dtype=np.float64)
        lengths = np.linalg.norm(matrix, axis=1)
        if not abs(np.linalg.det(matrix)) > 1e-12 * np.prod(lengths):
            raise ValueError(f"a frame's matrix needs an inverse: {matrix.tolist()}")
        if (matrix == np.diag(np.diag(matrix))).all():
            return Frame(tuple(shape), tuple(np.diag(matrix).tolist()), tuple(shift.tolist()))
        rows = tuple(tuple(row) for row in (matrix / lengths[:, None]).tolist())
        return Frame(tuple(shape), tuple(lengths.tolist()), tuple(shift.tolist()), rows)

    def then(self, inner: Frame) -> Frame:
        """`inner`, given in this frame's pixels, as a frame of the image."""
        if inner.matrix is not None:
            part = _linear_part(inner)
            return Frame.linear(inner.shape, part @ _linear_part(self), part @ self.shift + inner.shift)
        return Frame(
            inner.shape,
            tuple(a * b for a, b in zip(self.scale, inner.scale)),
            tuple(a * b + c for a, b, c in zip(self.shift, inner.scale, inner.shift)),
            self.matrix,
        )

    def cropped(self, start: tuple[int, ...], shape: tuple[int, ...]) -> Frame:
        """A window of this frame: `start` is the index ([z,] y, x) of its first pixel; negative pads."""
        shift = tuple(b - s for b, s in zip(self.shift, reversed(start)))
        return Frame(tuple(shape), self.scale, shift, self.matrix)


def _linear_part(frame: Frame) -> np.ndarray:
    """What takes image indices (x, y[, z]) to a frame's, but for its shift: (axes, axes)."""
    scale = np.array(frame.scale)
    return np.diag(scale) if frame.matrix is None else scale[:, None] * np.array(frame.matrix)


def touched(box: Sequence[float]) -> tuple[int, int, int, int]:
    """The whole pixels that a box (xmin, ymin, xmax, ymax; edges) touches: left, top, right, bottom.

    The last two are exclusive.
    """
    return floor(box[0]), floor(box[1]), ceil(box[2]), ceil(box[3])


def scoring_frame(image_shape: tuple[int, ...], scale: float) -> Frame:
    """The grid on which maps of an image are scored: each side times `scale`, rounded, at least 1."""
    return Frame.resized(image_shape, tuple(max(1, round(side * scale)) for side in image_shape))


def axis_weights(
    length: int, new_length: int, scale: float, shift: float, kind: str = "linear"
) -> np.ndarray:
    """Weights (new_length, length) that resample one axis; new index = scale * old index + shift.

    `linear`: interpolation between pixel centres, edge pixels repeated, when magnified (|scale| >= 1); the
    mean over each new pixel's extent (area weights) when minified. `nearest`: the pixel whose extent holds
    the new centre. A negative scale turns the axis round.
    """
    centres = (np.arange(new_length) - shift) / scale  # in old indices
    if kind == "nearest":
        weights = np.zeros((new_length, length))
        index = np.clip(np.floor(centres + 0.5).astype(int), 0, length - 1)
        weights[np.arange(new_length), index] = 1.0
        return weights
    if kind != "linear":
        raise ValueError(f"unknown kind of resampling: {kind!r}; expected 'linear' or 'nearest'")
    if abs(scale) >= 1.0:
        weights = np.zeros((new_length, length))
        position = np.clip(centres, 0, length - 1)
        low = np.minimum(position.astype(int), max(length - 2, 0))
        part = position - low
        rows = np.arange(new_length)
        weights[rows, low] += 1.0 - part
        weights[rows, np.minimum(low + 1, length - 1)] += part
        return weights
    half = 0.5 / abs(scale)
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
    outside the source its edge pixels continue (`shown` tells where). Between grids that are turned against
    each other, each source axis of which a target pixel spans more than one cell is first averaged into cells
    of about that span, then all axes are interpolated at the target's centres. Raises `ValueError` where
    `values` have another grid.
    """
    dims = len(source.shape)
    if values.shape[values.ndim - dims :] != source.shape:
        raise ValueError(f"values have the grid {values.shape[-dims:]}, their frame has {source.shape}")
    result = np.asarray(values, dtype=np.float64)
    if source.matrix != target.matrix:
        return _turned(result, source, target, kind)
    for axis in range(dims):  # image axis: x is last in the array
        scale = target.scale[axis] / source.scale[axis]
        shift = target.shift[axis] - source.shift[axis] * scale
        at = result.ndim - 1 - axis
        weights = axis_weights(
            source.shape[dims - 1 - axis], target.shape[dims - 1 - axis], scale, shift, kind
        )
        result = np.moveaxis(np.tensordot(weights, result, axes=(1, at)), 0, at)
    return result


def _between(source: Frame, target: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Matrix (axes, axes) and shift (axes,): source index = matrix @ target index + shift, (x, y[, z])."""
    matrix = _linear_part(source) @ np.linalg.inv(_linear_part(target))
    return matrix, np.array(source.shift) - matrix @ target.shift


def _turned(values: np.ndarray, source: Frame, target: Frame, kind: str) -> np.ndarray:
    """`resample` between grids whose axes are not parallel."""
    from scipy import ndimage  # most frames are parallel and need none

    if kind not in ("linear", "nearest"):
        raise ValueError(f"unknown kind of resampling: {kind!r}; expected 'linear' or 'nearest'")
    dims = len(source.shape)
    if kind == "linear":
        spans = np.linalg.norm(_between(source, target)[0], axis=1)  # a round target pixel in source cells
        shape = tuple(max(1, round(side / max(span, 1.0))) for side, span in zip(source.shape, spans[::-1]))
        if shape != source.shape:
            coarser = source.then(Frame.resized(source.shape, shape))
            values, source = resample(values, source, coarser), coarser
    matrix, shift = _between(source, target)
    flat = values.reshape(-1, *source.shape)
    result = np.empty((len(flat), *target.shape))
    for one, new in zip(flat, result):
        ndimage.affine_transform(
            one, matrix[::-1, ::-1], shift[::-1], target.shape, output=new,
            order=1 if kind == "linear" else 0, mode="nearest", prefilter=False,
        )  # fmt: skip
    return result.reshape(*values.shape[: values.ndim - dims], *target.shape)


def shown(source: Frame, target: Frame) -> np.ndarray:
    """Which pixels of `target` have their centre within the grid of `source`: bool, of `target`'s shape.

    Elsewhere `resample` only continues the source's edge: nothing was measured there. Compare maps of an
    image and of its warped version on the pixels that both show.
    """
    matrix, shift = _between(source, target)
    indices = np.ogrid[tuple(slice(side) for side in target.shape)]  # [z,] y, x
    inside = np.ones(target.shape, dtype=bool)
    for row, start, side in zip(matrix, shift, reversed(source.shape)):
        index = start + sum(step * along for step, along in zip(row, reversed(indices)))
        inside &= (index >= -0.5) & (index <= side - 0.5)
    return inside
