"""Gaze maps: fixations as Gaussians of one degree, weighted by duration, clipped to what was shown."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pandas as pd

from sightline import frames
from sightline.errors import DatasetError

# x first, then y: centre, pixels per degree, shown rectangle
AXES = tuple(
    (
        f"{axis}_position",
        f"angular_resolution_{axis}_pixels_per_degree",
        f"{axis}min_shown_from_image",
        f"{axis}max_shown_from_image",
    )
    for axis in "xy"
)
TIMES = ("timestamp_start_fixation", "timestamp_end_fixation")
COLUMNS = (*TIMES, *AXES[0], *AXES[1])
SMALLEST_MASS = float(
    np.finfo(np.float32).tiny
)  # seconds of gaze on the image; below it nothing is left to normalise


class EmptyReading(DatasetError):
    """A reading none of whose gaze falls on the image, so that it has no map."""


def render(fixations: pd.DataFrame, shape: tuple[int, int], scale: float = 1.0) -> np.ndarray:
    """The gaze map (h, w) of one reading of an image of `shape` (H, W), in its scoring frame: float64, sum 1.

    Each fixation adds its duration times the 2-D normal density with sd = one degree per axis at the integer
    pixel indices, nothing outside its rounded shown rectangle, not renormalised after that clipping (Bigolin
    Lanfredi et al. 2022, the authors' code). At `scale` < 1 the map is the exact area mean of the native one.
    Columns are those of REFLACX's fixations.csv. Raises `EmptyReading` where no gaze falls on the image,
    `DatasetError` for bad values.
    """
    durations, horizontal, vertical = _factors(fixations, shape)
    reason = _empty(durations, horizontal, vertical)
    if reason:
        raise EmptyReading(f"{_where(fixations)}: {reason}; leave this reading out")
    new_height, new_width = frames.scoring_frame(shape, scale).shape
    vertical = _area_mean(vertical, new_height) * durations[:, None]  # (n, h)
    result = vertical.T @ _area_mean(horizontal, new_width)  # (h, w)
    result /= result.sum()
    return result


def render_all(
    fixations: pd.DataFrame, images: pd.DataFrame, readings: pd.DataFrame, scale: float
) -> tuple[pd.DataFrame, Iterator[np.ndarray]]:
    """Rows of table `gaze`, one per reading, and an iterator over the maps of those with status `ok`.

    Offsets count elements in row order, as `arrays.Writer` gives them. A reading without fixations, or whose
    gaze misses the image, is a row with status `empty` and the reason. Raises `DatasetError` for a reading of
    an unknown image, fixations of an unknown reading, or bad values.
    """
    shapes = {row.image: (int(row.height), int(row.width)) for row in images.itertuples()}
    groups = dict(iter(fixations.groupby(["image", "reader"], sort=False)))
    wanted = readings.sort_values(["dataset", "image", "reader"])
    unknown = set(groups) - set(zip(wanted["image"], wanted["reader"]))
    if unknown:
        image, reader = min(unknown)
        raise DatasetError(
            f"fixations: image {image}, reader {reader}: no such reading ({len(unknown)} in all); "
            "drop the fixations of discarded readings or add the reading"
        )
    rows, offset = [], 0
    for reading in wanted.itertuples():
        if reading.image not in shapes:
            raise DatasetError(
                f"readings: image {reading.image}, reader {reading.reader}: not in the table of images"
            )
        group = groups.get((reading.image, reading.reader), fixations.iloc[:0])
        reason = _empty(*_factors(group, shapes[reading.image]))
        row = {"dataset": reading.dataset, "image": reading.image, "reader": reading.reader}
        if reason:
            rows.append({**row, "status": "empty", "reason": reason, "offset": None, "shape": None})
            continue
        shape = frames.scoring_frame(shapes[reading.image], scale).shape
        rows.append({**row, "status": "ok", "reason": None, "offset": offset, "shape": list(shape)})
        offset += shape[0] * shape[1]
    table = pd.DataFrame(rows, columns=["dataset", "image", "reader", "status", "reason", "offset", "shape"])
    table["offset"] = table["offset"].astype("Int64")
    keys = [(row["image"], row["reader"]) for row in rows if row["status"] == "ok"]
    return table, (render(groups[key], shapes[key[0]], scale) for key in keys)


def _factors(fixations: pd.DataFrame, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Durations (n,), horizontal factors (n, W) and vertical factors (n, H), at native resolution."""
    missing = [column for column in COLUMNS if column not in fixations.columns]
    if missing:
        raise DatasetError(f"{_where(fixations)}: fixations lack the column(s) {', '.join(missing)}")
    values = fixations.loc[:, list(COLUMNS)].to_numpy(dtype=np.float64)
    durations = values[:, 1] - values[:, 0]
    degree = values[:, [3, 7]]
    for bad, problem in (
        (~np.isfinite(values).all(axis=1), "a value is not a finite number"),
        (durations < 0, "the fixation ends before it starts"),
        ((degree <= 0).any(axis=1), "pixels per degree must be positive"),
    ):
        if bad.any():
            at = int(np.flatnonzero(bad)[0])
            raise DatasetError(
                f"{_where(fixations)}, row {at}: {problem}: {fixations.iloc[at][list(COLUMNS)].to_dict()}; "
                "correct or drop this fixation"
            )
    return durations, _factor(values[:, 2:6], shape[1]), _factor(values[:, 6:10], shape[0])


def _factor(columns: np.ndarray, length: int) -> np.ndarray:
    """1-D normal densities (n, length) from (n, 4): centre, sd, start and stop of what was shown."""
    centre, sd, start, stop = (columns[:, at, None] for at in range(4))
    index = np.arange(length)
    factor = np.exp(-0.5 * ((index - centre) / sd) ** 2) / (np.sqrt(2 * np.pi) * sd)
    factor[(index < np.rint(start)) | (index >= np.rint(stop))] = 0.0
    return factor


def _empty(durations: np.ndarray, horizontal: np.ndarray, vertical: np.ndarray) -> str | None:
    """Why these fixations have no map, or None."""
    if not len(durations):
        return "the reading has no fixation"
    if durations @ (horizontal.sum(axis=1) * vertical.sum(axis=1)) < SMALLEST_MASS:
        return f"none of its {len(durations)} fixations reaches a shown part of the image"
    return None


def _area_mean(factor: np.ndarray, new_length: int) -> np.ndarray:
    length = factor.shape[1]
    return factor if new_length == length else factor @ _weights(length, new_length)


@lru_cache(maxsize=32)
def _weights(length: int, new_length: int) -> np.ndarray:
    frame = frames.Frame.resized((length,), (new_length,))
    return frames.axis_weights(length, new_length, frame.scale[0], frame.shift[0]).T  # (length, new_length)


def _where(fixations: pd.DataFrame) -> str:
    """The reading that these fixations belong to, as far as their columns tell."""
    if len(fixations) and {"image", "reader"} <= set(fixations.columns):
        return f"fixations of image {fixations['image'].iloc[0]}, reader {fixations['reader'].iloc[0]}"
    return "fixations"
