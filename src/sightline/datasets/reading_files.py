"""The files of REFLACX's single readings, all in one go: fixations, the chest's box, the marked findings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import upstream
from sightline.tables import SCHEMAS

SIDES = ["xmin", "ymin", "xmax", "ymax"]
SHOWN = [f"{side}_shown_from_image" for side in SIDES]
RESOLUTION = [f"angular_resolution_{axis}_pixels_per_degree" for axis in "xy"]
TIMES = ["timestamp_start_fixation", "timestamp_end_fixation"]
POSITION = ["x_position", "y_position"]


def gaze(readings: pd.DataFrame, main_data: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Fixations of all readings (columns image, id, reader, height, width), and rows of `skipped`.

    A fixation stays where it is, off the image too. It is skipped where a value is missing or infinite, time
    runs backwards, a resolution is not positive, or no part of the image was shown (it would add nothing).
    """
    table, path = _stacked(
        readings, "fixations.csv", [*TIMES, *POSITION, *RESOLUTION, *SHOWN], main_data, root
    )
    return checked_fixations(table, table.pop("height"), table.pop("width"), path, table.pop("row"))


def checked_fixations(
    table: pd.DataFrame, height: pd.Series, width: pd.Series, path: pd.Series, row: pd.Series
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `fixations` (without `dataset`) from text or numbers, and rows of `skipped` for bad ones.

    `table` has the columns image, id (of the reading), reader and those of the schema but `index`.
    """
    values = {name: upstream.numbers(table[name]) for name in [*TIMES, *POSITION, *RESOLUTION, *SHOWN]}
    table = table.assign(**values)
    left, top, right, bottom = (values[side] for side in SHOWN)
    faults = {
        "holds a value that is missing, not a number or infinite": ~np.isfinite(table[list(values)]).all(
            axis=1
        ),
        "ends before it starts": values[TIMES[1]] < values[TIMES[0]],
        "has an angular resolution that is not positive": (table[RESOLUTION] <= 0).any(axis=1),
        "was made while no part of the image was shown": (right <= np.maximum(left, 0))
        | (bottom <= np.maximum(top, 0))
        | (left >= width)
        | (top >= height),
    }
    bad, reason = _first_fault(faults, table.index)
    where = path + ": row " + row.astype(str) + ": the fixation "
    refused = upstream.skipped(
        "reading", table["id"][bad], path[bad], where[bad] + reason[bad] + "; correct or delete the row"
    )
    good = table[~bad]
    good = good.assign(index=good.groupby(["image", "reader"], sort=False).cumcount())
    return good[[column for column in SCHEMAS["fixations"].columns if column != "dataset"]], refused


def chest_boxes(readings: pd.DataFrame, main_data: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each reader's box around the chest, as it is (it may exceed the image), and rows of `skipped`."""
    table, path = _stacked(readings, "chest_bounding_box.csv", SIDES, main_data, root)
    table = table.assign(kind="chest", label="", shape="rectangle", certainty=np.nan)
    return checked_boxes(table, path, table.pop("row"))


def finding_boxes(readings: pd.DataFrame, main_data: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The ellipses around findings, one row per ellipse and label, and rows of `skipped`."""
    table, path = _stacked(readings, "anomaly_location_ellipses.csv", [*SIDES, "certainty"], main_data, root)
    known = {*SIDES, "certainty", "row", "image", "id", "reader", "height", "width"}
    labels = [column for column in table.columns if column not in known]
    # columns of another phase are null here
    marked = ~table[labels].fillna("").isin(["", "0", "0.0", "False"])
    at, which = np.nonzero(marked.to_numpy(dtype=bool).reshape(len(table), len(labels)))
    unlabelled = np.flatnonzero(~marked.any(axis=1)) if labels else np.arange(len(table))
    order = np.concatenate([at, unlabelled]).astype(int)
    names = np.concatenate(
        [np.array(labels, dtype=object)[which], np.full(len(unlabelled), "", dtype=object)]
    )
    rows, path = table.iloc[order].reset_index(drop=True), path.iloc[order].reset_index(drop=True)
    rows = rows.assign(
        kind="finding", label=names, shape="ellipse", certainty=upstream.numbers(rows["certainty"])
    )
    return checked_boxes(rows, path, rows.pop("row"))


def checked_boxes(table: pd.DataFrame, path: pd.Series, row: pd.Series) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `boxes` (without `dataset`) from text or numbers, and rows of `skipped` for bad ones.

    `table` has the columns image, id (of the reading or image), reader, kind, label, shape, certainty and
    the four sides.
    """
    table = table.assign(**{side: upstream.numbers(table[side]) for side in SIDES})
    faults = {
        "holds a side that is missing, not a number or infinite": ~np.isfinite(table[SIDES]).all(axis=1),
        "is inverted or empty": (table["xmax"] <= table["xmin"]) | (table["ymax"] <= table["ymin"]),
    }
    bad, reason = _first_fault(faults, table.index)
    where = path + ": row " + row.astype(str) + ": the box "
    refused = upstream.skipped(
        "reading", table["id"][bad], path[bad], where[bad] + reason[bad] + "; correct or delete the row"
    ).drop_duplicates()
    good = table[~bad]
    good = good.assign(index=good.groupby(["image", "kind", "reader", "label"], sort=False).cumcount())
    return good[[column for column in SCHEMAS["boxes"].columns if column != "dataset"]], refused


def _stacked(
    readings: pd.DataFrame, name: str, columns: list[str], main_data: Path, root: Path
) -> tuple[pd.DataFrame, pd.Series]:
    """The file `name` of all readings that have one, with what `readings` knows, and each row's path."""
    paths = [main_data / reading / name for reading in readings["id"]]
    present = np.array([path.is_file() for path in paths], dtype=bool)
    paths = [path for path, there in zip(paths, present) if there]
    table = upstream.read_many(paths, columns, root)
    of_file = table.pop("file").to_numpy(dtype=int)
    about = readings[present].iloc[of_file].reset_index(drop=True)
    # a text per file, not per row
    shown = np.array([upstream.shown(path, root) for path in paths], dtype=object)
    about = {key: about[key] for key in ("image", "id", "reader", "height", "width")}
    return table.assign(**about), pd.Series(shown[of_file], dtype=object)


def _first_fault(faults: dict[str, pd.Series], index: pd.Index) -> tuple[pd.Series, pd.Series]:
    """Where any fault holds, and the first one's words."""
    bad, reason = pd.Series(False, index), pd.Series("", index, dtype=object)
    for words, where in faults.items():
        reason[where & ~bad] = words
        bad |= where
    return bad, reason
