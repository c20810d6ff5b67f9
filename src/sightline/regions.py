"""Masks and boxes as regions in the scoring frame: what a map's mass may fall into."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from sightline import tables
from sightline.datasets import mask_files, rle, upstream
from sightline.errors import DatasetError
from sightline.frames import Frame, scoring_frame

NARROWED_BY = ("of", "label", "min_certainty", "reader")  # keys of a kind of region made of boxes


def render(
    kinds: dict[str, dict],
    boxes: pd.DataFrame,
    masks: pd.DataFrame,
    images: pd.DataFrame,
    root: Path,
    scale: float,
    progress: Callable[..., Iterable] = lambda items, *told: items,
) -> tuple[pd.DataFrame, Iterator[np.ndarray | None]]:
    """Every kind of region of every image: rows of `regions`, and their arrays (uint8, 0/1) in that order.

    All are drawn before the first is given, image by image, and wait compressed: rows go by kind.

    A kind says `of`, the kind of mask or box; `source`, mask (default) or box; for boxes `label`,
    `min_certainty` and `reader` ("" for marks that no reader made), which narrow them; and
    `hull`, true for the convex hull. The boxes left are united.
    Masks of one kind are united as well. `outside` takes all of the image but these; `minus`, the name of
    another kind, takes that one's pixels out, where the image has it. A row's offset counts the values of the
    arrays before its own, in order. An image without such a region, or one of whose masks cannot be read, is
    `not_applicable` with the reason, and None among the arrays. `progress(items, total, what)` yields the
    items of the long loop and tells how far it is.
    """
    boxes_of = dict(iter(boxes.groupby("image")))
    masks_of: dict[tuple[str, str], list] = {}
    for row in masks.itertuples():
        masks_of.setdefault((row.image, row.kind), []).append(row)
    marks, made = _Marks(boxes_of, masks_of, Path(root), scale), {}
    images = list(images.sort_values("image").itertuples())
    for image in progress(images, len(images), "images"):
        drawn = cache(partial(_drawn, kinds, image, marks))  # several regions may be made of one
        for kind in kinds:
            region = _made(kinds[kind], kind, drawn)
            made[kind, image.image] = region if isinstance(region, str) else _Packed.of(region)
    rows, found, offset = [], [], 0
    for kind, image in product(sorted(kinds), images):
        region = made[kind, image.image]
        if isinstance(region, str):
            rows.append(_row(image, kind, "not_applicable", region))
            found.append(None)
            continue
        rows.append(_row(image, kind, "ok", None, offset, list(region.shape), region.share))
        found.append(region)
        offset += int(np.prod(region.shape))
    arrays = (None if region is None else region.unpacked() for region in found)
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["regions"].columns)), arrays


def _row(
    image: tuple,
    kind: str,
    status: str,
    reason: str | None,
    offset: int | None = None,
    shape: list[int] | None = None,
    area_share: float | None = None,
) -> dict:
    return {
        "dataset": image.dataset,
        "kind": kind,
        "image": image.image,
        "status": status,
        "reason": reason,
        "offset": offset,
        "shape": shape,
        "area_share": area_share,
    }


@dataclass(frozen=True)
class _Packed:
    """A region in about a hundredth of its memory: shape, share of the image, pixels compressed."""

    shape: tuple[int, ...]
    share: float
    pixels: bytes

    @staticmethod
    def of(region: np.ndarray) -> _Packed:
        """A region (H, W) of 0 and 1, packed."""
        share = float(region.mean(dtype=np.float64))
        return _Packed(region.shape, share, zlib.compress(np.packbits(region).tobytes(), 1))

    def unpacked(self) -> np.ndarray:
        """The region (H, W), uint8, as it was."""
        bits = np.frombuffer(zlib.decompress(self.pixels), np.uint8)
        return np.unpackbits(bits, count=int(np.prod(self.shape))).reshape(self.shape)


@dataclass(frozen=True)
class _Marks:
    """What regions are drawn from: boxes by image, masks by image and kind, where their files lie."""

    boxes: dict[str, pd.DataFrame]
    masks: dict[tuple[str, str], list]
    root: Path
    scale: float


class _Lacking(DatasetError):
    """The image has no such mask or box: not that one of them is damaged."""


def _made(kind: dict, name: str, drawn: Callable[[str], np.ndarray]) -> np.ndarray | str:
    """One region in the scoring frame, uint8 0/1, or the reason why there is none; `drawn` by its name."""
    try:
        region = ~drawn(name) if kind.get("outside") else drawn(name)
        if kind.get("minus"):
            with suppress(_Lacking):  # then there is nothing to take out
                region = region & ~drawn(kind["minus"])
    except DatasetError as error:
        return str(error)
    if region.any():
        return region.astype(np.uint8)
    return f"the region '{name}' holds no pixel of the {region.shape[0]} x {region.shape[1]} grid"


def _drawn(kinds: dict[str, dict], image: tuple, marks: _Marks, name: str) -> np.ndarray:
    """The masks or boxes of a region of `image` in the scoring frame: bool. Raises `DatasetError`."""
    kind, shape = kinds[name], (int(image.height), int(image.width))
    frame = scoring_frame(shape, marks.scale)
    if kind.get("source", "mask") == "mask":
        found = marks.masks.get((image.image, kind["of"]))
        if found is None:
            raise _Lacking(f"the image has no mask '{kind['of']}'")
        native = united(found, shape, marks.root)
        region = sampled(convex_hull(native) if kind.get("hull") else native, frame)
    else:
        chosen = choose_boxes(marks.boxes.get(image.image), **{key: kind.get(key) for key in NARROWED_BY})
        region = draw_boxes(chosen, shape, frame)
        region = convex_hull(region) if kind.get("hull") else region
    if not region.any():
        grid = f"{frame.shape[0]} x {frame.shape[1]} grid"
        raise _Lacking(f"the region '{kind['of']}' holds no pixel of the {grid}")
    return region


def choose_boxes(
    boxes: pd.DataFrame | None,
    of: str,
    label: str | None = None,
    min_certainty: float | None = None,
    reader: str | None = None,
) -> pd.DataFrame:
    """One image's boxes of a kind, of a label and certainty if given. Raises `DatasetError` for none left."""
    chosen = boxes[boxes["kind"] == of] if boxes is not None else pd.DataFrame()
    if chosen.empty:
        raise _Lacking(f"the image has no box '{of}'")
    if label is not None:
        chosen = chosen[chosen["label"] == label]
    if min_certainty is not None:
        chosen = chosen[chosen["certainty"] >= min_certainty]
    if reader is not None:
        chosen = chosen[chosen["reader"] == reader]
    if chosen.empty:
        raise _Lacking(_left_out(of, label, min_certainty, reader))
    return chosen


def _left_out(of: str, label: str | None, min_certainty: float | None, reader: str | None) -> str:
    """Why none of an image's boxes of a kind is left, and what of a reference would let them in."""
    asked = {
        "label": f"labelled '{label}'",
        "min_certainty": f"of certainty {min_certainty} or more",
        "reader": f"by reader '{reader}'" if reader else "of the dataset's own, by no reader",
    }
    given = {"label": label, "min_certainty": min_certainty, "reader": reader}
    keys = [key for key, value in given.items() if value is not None]
    return (
        f"the image has boxes '{of}', but none {', '.join(asked[key] for key in keys)}: change "
        f"{', '.join(keys)} of the reference to take them in"
    )


def draw_boxes(boxes: pd.DataFrame, shape: tuple[int, int], frame: Frame) -> np.ndarray:
    """The union of boxes and ellipses of an image of `shape`, in `frame`: bool.

    A box's sides are edges of pixels: pixel i, whose middle is i + 0.5, is inside where its middle is. The
    frame's pixels take the image's pixel that is nearest.
    """
    rows, columns = (middle + 0.5 for middle in nearest_pixels(shape, frame))
    region = np.zeros(frame.shape, dtype=bool)
    for box in boxes.itertuples():
        if box.shape == "ellipse":
            y = (2 * rows - box.ymin - box.ymax) / (box.ymax - box.ymin)
            x = (2 * columns - box.xmin - box.xmax) / (box.xmax - box.xmin)
            region |= y[:, None] ** 2 + x[None, :] ** 2 <= 1.0
        else:
            inside_rows = (rows > box.ymin) & (rows < box.ymax)
            inside_columns = (columns > box.xmin) & (columns < box.xmax)
            region |= inside_rows[:, None] & inside_columns[None, :]
    return region


def united(rows: list, shape: tuple[int, int], root: Path) -> np.ndarray:
    """The union of an image's masks (rows of `masks`) in the image's own pixels: bool, `shape` (H, W).

    A mask of another grid is stretched onto the image's, nearest. Raises `DatasetError` as `read_mask`: a
    part of a region would be scored as if it were the whole.
    """
    region = np.zeros(shape, dtype=bool)
    for row in rows:
        mask = read_mask(row.encoding, row.data, (int(row.height), int(row.width)), root)
        region |= mask if mask.shape == shape else nearest(mask, Frame.resized(mask.shape, shape))
    return region


def read_mask(encoding: str, data: str, shape: tuple[int, int], root: Path) -> np.ndarray:
    """A mask on its own grid, bool (H, W) = `shape`: `encoding` and `data` as in table masks.

    Raises `DatasetError` for a mask that cannot be decoded, is absent or has another shape.
    """
    if encoding == "absent":
        raise DatasetError(data)
    try:
        if encoding == "rle":
            return rle.decode(data, shape)
        if encoding == "polygons":
            return mask_files.drawn(mask_files.polygons(data), shape)
    except ValueError as error:
        form = "run-length" if encoding == "rle" else "outlined"
        raise DatasetError(f"the {form} mask {error}; {upstream.DAMAGED}") from error
    try:
        file = upstream.plain_file(root, data, "table masks")
    except OSError as error:
        raise DatasetError(f"{data}: the mask cannot be read ({error}); replace the file") from error
    mask = mask_files.read_file(file, data)
    if mask.shape != shape:
        raise DatasetError(
            f"{data}: the mask is {mask.shape[1]} x {mask.shape[0]} pixels, expected {shape[1]} x "
            f"{shape[0]}; resize the mask to its image, or read the dataset anew if the file was replaced"
        )
    return mask


def nearest_pixels(shape: tuple[int, int], frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices of the image's pixels that hold the centres of the frame's pixels."""
    indices = []
    for axis in (1, 0):  # y, then x
        length, new_length = shape[1 - axis], frame.shape[1 - axis]
        centres = (np.arange(new_length) - frame.shift[axis]) / frame.scale[axis]
        indices.append(np.clip(np.floor(centres + 0.5).astype(int), 0, length - 1))
    return indices[0], indices[1]


def nearest(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """A mask (H, W) in `frame`, as `frames.resample` of kind nearest, without its products."""
    rows, columns = nearest_pixels(mask.shape, frame)
    return mask[rows[:, None], columns[None, :]]


def sampled(mask: np.ndarray, frame: Frame) -> np.ndarray:
    """A mask (H, W) in `frame`: `nearest`, but no part of the mask is lost between two samples.

    A part (pixels that touch, corners included) that no sample meets, such as a speck of calcium smaller than
    the frame's pixels, is the one pixel of the frame that holds its centre.
    """
    region = nearest(mask, frame)
    held = [np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0)]
    if not len(held[0]):
        return region
    top, left = held[0][0], held[1][0]
    part = mask[top : held[0][-1] + 1, left : held[1][-1] + 1]
    part = part.astype(np.uint8)
    count, parts = cv2.connectedComponents(part, connectivity=8)
    rows, columns = nearest_pixels(mask.shape, frame)
    rows, columns = (
        at[(at >= 0) & (at < side)] for at, side in zip((rows - top, columns - left), part.shape)
    )
    lost = np.setdiff1d(np.arange(1, count), parts[rows[:, None], columns[None, :]])
    if not len(lost):
        return region
    # the centres take five times as long, and most masks lose nothing
    _, parts, _, centres = cv2.connectedComponentsWithStats(part, connectivity=8)
    lost = np.setdiff1d(np.arange(1, count), parts[rows[:, None], columns[None, :]])
    at = (centres[lost] + (left, top)) * frame.scale + frame.shift  # (lost, 2): x, y
    x, y = np.clip(np.floor(at + 0.5).astype(int), 0, np.array(frame.shape[::-1]) - 1).T
    region[y, x] = True
    return region


def convex_hull(mask: np.ndarray) -> np.ndarray:
    """The convex hull of a mask's pixels (their centres), bool (H, W), edges included; nothing of nothing."""
    filled = np.zeros(mask.shape, dtype=np.uint8)
    rows, columns = np.nonzero(mask)
    if len(rows):
        # only each row's ends can be corners
        first = np.concatenate([[0], np.flatnonzero(np.diff(rows)) + 1])
        last = np.concatenate([first[1:] - 1, [len(rows) - 1]])
        ends = np.concatenate([first, last])
        points = np.stack([columns[ends], rows[ends]], axis=1).astype(np.int32)
        cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled.astype(bool)


def mean_areas(rows: pd.DataFrame) -> dict[tuple[str, str], float]:
    """(dataset, region) -> its mean share of the image's area, over the images that have it."""
    present = rows[rows["status"] == "ok"]
    return present.groupby(["dataset", "kind"])["area_share"].mean().to_dict()
