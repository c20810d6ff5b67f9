"""Where the phantom planted findings and markers: `phantom_truth.csv` beside its upstream tree."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pandas as pd

from sightline.datasets.dataset import Dataset
from sightline.errors import DatasetError

OPTIONS = {
    "truth_file": {
        "type": "string",
        "default": "phantom_truth.csv",
        "description": "The table of planted places, relative to the dataset's folder",
    },
}
COLUMNS = ("dicom_id", "kind", "label", "shape", "xmin", "ymin", "xmax", "ymax")
ALLOWED = {"kind": ("finding", "marker"), "shape": ("rectangle", "ellipse")}


def sources(root: Path, truth_file: str = "phantom_truth.csv") -> list[Path]:
    """The one table that `annotate` reads."""
    return [Path(root) / truth_file]


def annotate(root: Path, dataset: Dataset, truth_file: str = "phantom_truth.csv") -> Dataset:
    """`dataset` with the places planted in its images as boxes (kinds finding and marker, reader "").

    Boxes are in image pixels. Raises `DatasetError`, naming file and line, where the table is missing, lacks
    a column, or holds an unknown kind or shape or a box that is none.
    """
    path = sources(root, truth_file)[0]
    if not path.is_file():
        raise DatasetError(f"{path}: missing; phantom_truth annotates only what `make_phantom` wrote")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lacking = [column for column in COLUMNS if column not in (reader.fieldnames or [])]
        if lacking:
            raise DatasetError(
                f"{path}: lacks the column(s) {', '.join(lacking)}; expected {', '.join(COLUMNS)}"
            )
        images = set(dataset.images["image"])
        rows = [_box(row, f"{path}:{reader.line_num}") for row in reader if row["dicom_id"] in images]
    if not rows:
        return dataset
    boxes = pd.DataFrame(rows)
    boxes["index"] = boxes.groupby(["image", "kind", "label"]).cumcount()
    return dataset.adding(boxes=boxes)


def _box(row: dict[str, str], where: str) -> dict[str, object]:
    """One row of the table as one of `boxes`."""
    for column, allowed in ALLOWED.items():
        if row[column] not in allowed:
            raise DatasetError(f"{where}: {column} is '{row[column]}'; expected one of {', '.join(allowed)}")
    sides = {}
    for column in COLUMNS[4:]:
        try:
            sides[column] = float(row[column])
        except (TypeError, ValueError):
            sides[column] = math.nan
        if not math.isfinite(sides[column]):
            raise DatasetError(f"{where}: {column} is '{row[column]}'; expected a number of pixels")
    if sides["xmin"] >= sides["xmax"] or sides["ymin"] >= sides["ymax"]:
        raise DatasetError(f"{where}: an empty box; expected xmin < xmax and ymin < ymax")
    described = {column: row[column] for column in ("kind", "label", "shape")}
    return {"image": row["dicom_id"], "reader": "", **described, **sides, "certainty": math.nan}
