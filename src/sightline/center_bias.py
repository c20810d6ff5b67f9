"""Center bias: every image's gaze registered to the average box, averaged, and placed back onto one image.

The algorithm and its rounding are those of Bigolin Lanfredi et al. 2022 (the authors' code); leaving out the
own image or subject is ours, and so is the center bias of regions: of lesions, say, each an even map of sum
1. Boxes are (xmin, ymin, xmax, ymax) in the pixels of the maps; edges, so they scale with them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import ceil

import cv2
import numpy as np
import pandas as pd

from sightline import arrays, frames, tables
from sightline.errors import DatasetError

LEAVE_OUTS = ("none", "image", "subject")
GAZE = "gaze"  # what the table's column `reference` calls the gaze; a region has its own name there
CORNERS = ["xmin", "ymin", "xmax", "ymax"]


@dataclass(frozen=True)
class Average:
    """The sum of registered maps on the average box's canvas, from which maps can be taken out exactly.

    `total + error` is the sum with twice the digits of a float64; `counts` says how many maps cover each
    pixel, `reached` where any map of the whole set does; `box` is the average box, `margins` the widest left,
    top, right and bottom margin about it. Maps of `regions` are resampled by area where they shrink (no
    lesion is lost between two samples), and an image that none of them reaches has a center bias of zeros.
    """

    total: np.ndarray
    error: np.ndarray
    counts: np.ndarray
    reached: np.ndarray
    box: np.ndarray
    margins: np.ndarray
    regions: bool = False

    @property
    def values(self) -> np.ndarray:
        """Mean over the maps that cover a pixel: NaN where none ever did, 0 where only maps left out did."""
        mean = np.maximum(self.total + self.error, 0.0) / np.maximum(self.counts, 1)
        return np.where(self.reached, np.where(self.counts > 0, mean, 0.0), np.nan)

    def without(self, maps: Sequence[np.ndarray], boxes: Sequence | np.ndarray) -> Average:
        """This average less `maps`, with their images' `boxes` (means over readers); box and canvas stay."""
        result = replace(self, total=self.total.copy(), error=self.error.copy(), counts=self.counts.copy())
        for values, box in zip(maps, boxes, strict=True):
            result._add(values, np.asarray(box, dtype=np.float64), -1)
        return result

    def place(self, box: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
        """The center bias (H, W) of an image of `shape` whose box is `box`: float64, sum 1.

        Zero where no averaged image reaches. Raises `DatasetError` for a bad box, where nothing is left to
        average, or, but for `regions`, where nothing of the average reaches the image.
        """
        box = _checked(box, shape, "the image to place on")
        if not self.counts.any():
            raise DatasetError(
                "center bias: no reading is left to average; use leave_out: none or add images"
            )
        (mx, my), (height, width) = self._magnification(box), self.total.shape
        whole = self._resized(self.values, (max(1, round(height / my)), max(1, round(width / mx))))
        left, top = round(self.margins[0] / mx - box[0]), round(self.margins[1] / my - box[1])
        placed = np.nan_to_num(_window(whole, top, left, shape), nan=0.0)
        if not placed.sum() > 0.0:
            if self.regions:
                return np.zeros(shape)
            raise DatasetError(
                f"center bias: no gaze reaches the image whose box is {box.tolist()}; correct its box"
            )
        return placed / placed.sum()

    def _magnification(self, box: np.ndarray) -> np.ndarray:
        return (self.box[2:] - self.box[:2]) / (box[2:] - box[:2])

    def _resized(self, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
        if not self.regions:
            return cv2.resize(np.asarray(values), shape[::-1])
        old = frames.Frame.of_image(values.shape)
        return frames.resample(np.nan_to_num(values, nan=0.0), old, frames.Frame.resized(values.shape, shape))

    def _add(self, values: np.ndarray, box: np.ndarray, sign: int) -> None:
        """Add (sign 1) or take out (-1) one registered map, in place; resampled in its own dtype."""
        mx, my = self._magnification(box)
        height, width = values.shape
        small = self._resized(values, (max(1, round(height * my)), max(1, round(width * mx))))
        small = small / np.sum(small)
        top, left = round(self.margins[1] - box[1] * my), round(self.margins[0] - box[0] * mx)
        small = small[: self.total.shape[0] - top, : self.total.shape[1] - left]
        here = (slice(top, top + small.shape[0]), slice(left, left + small.shape[1]))
        term, before = small.astype(np.float64) * sign, self.total[here]
        after = before + term
        part = after - before
        self.error[here] += (before - (after - part)) + (term - part)  # what rounding lost (Knuth's two-sum)
        self.total[here] = after
        self.counts[here] += sign
        self.reached[here] |= sign > 0


def average(
    maps: Sequence[np.ndarray],
    boxes: Sequence | np.ndarray,
    images: Sequence[str] | None = None,
    regions: bool = False,
) -> Average:
    """The average of `maps` (each (H, W), one per reading) registered by `boxes` (n, 4), one per map.

    Maps with one name in `images` are readings of one image: its box is the mean of theirs, and it counts
    once in the average box. Without `images` each map is an image. Every reading has the same weight. Float32
    maps are resampled in float32, as the authors do; those of `regions` as `Average` says. Raises
    `DatasetError`, naming the image, for a missing or bad box.
    """
    if not len(maps) or len(maps) != len(boxes):
        raise DatasetError(
            f"center bias: {len(maps)} maps and {len(boxes)} boxes; expected one box for each of 1+ maps"
        )
    names = [str(at) for at in range(len(maps))] if images is None else list(images)
    members: dict[str, list[int]] = defaultdict(list)
    for at, name in enumerate(names):
        members[name].append(at)
    shapes = {name: maps[at[0]].shape for name, at in members.items()}
    own = {
        name: np.mean([_checked(boxes[i], shapes[name], f"image {name}") for i in at], axis=0)
        for name, at in members.items()
    }
    corners = np.array(list(own.values()))  # (images, 4)
    box = corners.mean(axis=0)
    mx, my = ((box[2:] - box[:2]) / (corners[:, 2:] - corners[:, :2])).T
    height, width = np.array(list(shapes.values())).T
    left, top, right, bottom = corners.T
    margins = np.array(
        [(left * mx).max(), (top * my).max(), ((width - right) * mx).max(), ((height - bottom) * my).max()]
    )
    across, down = box[2:] - box[:2]
    canvas = (ceil(margins[3] + margins[1] + down), ceil(margins[2] + margins[0] + across))
    result = Average(
        np.zeros(canvas),
        np.zeros(canvas),
        np.zeros(canvas, int),
        np.zeros(canvas, bool),
        box,
        margins,
        regions,
    )
    for name, values in zip(names, maps):
        result._add(values, own[name], 1)
    return result


def place(average: Average, box: Sequence[float], shape: tuple[int, int]) -> np.ndarray:
    """`average` placed onto an image of `shape` with `box`; see `Average.place`."""
    return average.place(box, shape)


def image_boxes(boxes: pd.DataFrame, images: pd.DataFrame, kind: str) -> pd.DataFrame:
    """One box per image, in image pixels: the mean over its readers' rectangles of `kind`; indexed by image.

    For kind `image` without such rows it is the whole image. Images without a box have no row.
    """
    chosen = boxes[(boxes["kind"] == kind) & boxes["image"].isin(images["image"])]
    if kind == "image" and chosen.empty:
        whole = images.set_index("image")
        return pd.DataFrame(
            {"xmin": 0.0, "ymin": 0.0, "xmax": 1.0 * whole["width"], "ymax": 1.0 * whole["height"]}
        )
    return chosen.groupby("image")[CORNERS].mean()


def place_all(
    gaze: pd.DataFrame,
    values: np.ndarray,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    leave_outs: Sequence[str],
    scale: float,
    reference: str = GAZE,
) -> tuple[pd.DataFrame, Iterator[np.ndarray]]:
    """Rows of table `center_bias`, one per leave-out and image, and an iterator over those with status `ok`.

    `gaze` (rows of that table, or those of one kind of table `regions`, which is then the `reference`) and
    its flat `values` are in the scoring frame of `scale`, `boxes` (see `image_boxes`) in image pixels. `none`
    averages all readings, as the authors; `image` and `subject` take the image's or its subject's readings
    out of sum and counts, while average box and canvas stay those of all. An image without a usable box, or
    with no other reading to average, is a row with status `missing` or `not_applicable`, and the reason.
    """
    unknown = sorted(set(leave_outs) - set(LEAVE_OUTS))
    if unknown:
        raise ValueError(f"unknown leave_out {unknown[0]!r}; expected some of {', '.join(LEAVE_OUTS)}")
    images = images.sort_values("image")
    scaled, problems = _scaled_boxes(boxes, images, scale)
    places: dict[str, list[tuple]] = {image: [] for image in scaled}
    for row in gaze[(gaze["status"] == "ok") & gaze["image"].isin(list(scaled))].itertuples():
        places[row.image].append((row.offset, row.shape))
    own = {  # leave_out -> image -> images whose readings are taken out
        "none": dict.fromkeys(scaled, ()),
        "image": {image: (image,) for image in scaled},
        "subject": _of_same_subject(images[images["image"].isin(list(scaled))]),
    }
    total = sum(map(len, places.values()))
    rows, offset, work = [], 0, []
    for leave_out in leave_outs:
        for image in images.itertuples():
            status, reason = "ok", None
            if image.image in problems:
                status, reason = "missing", problems[image.image]
            elif total == sum(len(places[other]) for other in own[leave_out][image.image]):
                status, reason = "not_applicable", f"no reading is left to average (leave_out: {leave_out})"
            shape = frames.scoring_frame((int(image.height), int(image.width)), scale).shape
            place_of = (offset, list(shape)) if status == "ok" else (None, None)
            rows.append((image.dataset, reference, leave_out, image.image, status, reason, *place_of))
            if status == "ok":
                offset += shape[0] * shape[1]
                work.append((image.image, own[leave_out][image.image], shape))
    columns = ["dataset", "reference", "leave_out", "image", "status", "reason", "offset", "shape"]
    table = pd.DataFrame(rows, columns=columns).astype({"offset": "Int64"})
    return table, _placed(work, values, places, scaled, reference != GAZE)


def place_region(
    name: str,
    regions: pd.DataFrame,
    values: np.ndarray,
    boxes: pd.DataFrame,
    images: pd.DataFrame,
    leave_outs: Sequence[str],
    scale: float,
    alike: pd.Series | None = None,
) -> tuple[pd.DataFrame, Iterator[np.ndarray]]:
    """As `place_all`, of the region `name` in table `regions` and its flat `values`, on the images with it.

    `alike` (image -> a name) has only images of one name averaged with each other: of one side and view, say;
    those without name with each other too.
    """
    rows = regions[(regions["kind"] == name) & (regions["status"] == "ok")]
    images = images[images["image"].isin(rows["image"])]
    names = images["image"].map({} if alike is None else alike.to_dict()).astype(object).fillna("")
    return joined(
        [
            place_all(rows[rows["image"].isin(group["image"])], values, boxes, group, leave_outs, scale, name)
            for _, group in images.groupby(names.to_numpy())
        ]
    )


def groups(strata: pd.DataFrame, alike: Sequence[str]) -> pd.Series | None:
    """Image -> its levels of the strata `alike` in one text, for `place_region`; None where none is named."""
    if not alike:
        return None
    levels = strata[strata["stratum"].isin(list(alike)) & strata["model"].isna()]
    wide = levels.pivot(index="image", columns="stratum", values="value").reindex(columns=list(alike))
    return wide.fillna("").agg(" | ".join, axis=1)


def joined(
    parts: Sequence[tuple[pd.DataFrame, Iterator[np.ndarray]]],
) -> tuple[pd.DataFrame, Iterator[np.ndarray]]:
    """Several answers of `place_all` as one: the maps one after the other, the rows' offsets accordingly."""
    rows, start = [], 0
    for table, _ in parts:
        rows.append(table.assign(offset=table["offset"] + start))
        start += sum(int(np.prod(shape)) for shape in table["shape"].dropna())
    together = pd.concat(rows, ignore_index=True) if rows else tables.empty("center_bias")
    return together, chain.from_iterable(maps for _, maps in parts)


def _placed(
    work: list[tuple], values: np.ndarray, places: dict[str, list], boxes: dict, regions: bool
) -> Iterator[np.ndarray]:
    """The center bias of each (image, images left out, shape) of `work`; maps lie at `places` in `values`."""
    if not work:
        return
    names = [name for name, own in places.items() for _ in own]
    maps = arrays.Views(values, [place for own in places.values() for place in own])
    pooled = average(maps, [boxes[name] for name in names], names, regions)
    for image, left_out, shape in work:
        out = [(arrays.view(values, *place), boxes[other]) for other in left_out for place in places[other]]
        rest = pooled.without([one for one, _ in out], [box for _, box in out]) if out else pooled
        yield rest.place(boxes[image], shape)


def _of_same_subject(images: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    groups = images.groupby("subject")["image"].agg(tuple)
    return {image.image: groups[image.subject] for image in images.itertuples()}


def _scaled_boxes(
    boxes: pd.DataFrame, images: pd.DataFrame, scale: float
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Boxes in the scoring frame by image, and the reasons of images that have none that can be used."""
    scaled, problems = {}, {}
    for image in images.itertuples():
        if image.image not in boxes.index:
            problems[image.image] = (
                f"image {image.image} has no box to register it by; "
                "add one, or set the dataset's box to 'image'"
            )
            continue
        shape = (int(image.height), int(image.width))
        try:
            box = _checked(boxes.loc[image.image, CORNERS], shape, f"image {image.image}")
        except DatasetError as error:
            problems[image.image] = str(error)
            continue
        scaled[image.image] = box * np.tile(frames.scoring_frame(shape, scale).scale, 2)
    return scaled, problems


def _checked(box: Sequence[float], shape: tuple[int, int], what: str) -> np.ndarray:
    box = np.asarray([np.nan] * 4 if box is None else box, dtype=np.float64)
    if box.shape != (4,) or not np.isfinite(box).all():
        raise DatasetError(f"{what}: no box (xmin, ymin, xmax, ymax) to register it by; add its box")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise DatasetError(f"{what}: its box {box.tolist()} is empty; expected xmin < xmax and ymin < ymax")
    if box[0] >= shape[1] or box[1] >= shape[0] or box[2] <= 0 or box[3] <= 0:
        raise DatasetError(
            f"{what}: its box {box.tolist()} lies outside the image of {shape[1]} x {shape[0]} pixels"
        )
    return box


def _window(values: np.ndarray, top: int, left: int, shape: tuple[int, int]) -> np.ndarray:
    """Rows from `top` and columns from `left` of `values`, `shape` in all; NaN beyond its edges."""
    window = np.full(shape, np.nan)
    rows = slice(max(top, 0), min(top + shape[0], values.shape[0]))
    columns = slice(max(left, 0), min(left + shape[1], values.shape[1]))
    if rows.start < rows.stop and columns.start < columns.stop:
        window[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = values[
            rows, columns
        ]
    return window
