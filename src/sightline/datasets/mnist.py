"""MNIST and sets of its kind (Fashion-MNIST, KMNIST): idx files of small grey pictures, ten classes.

LeCun, Cortes and Burges, "The MNIST database of handwritten digits". A picture's path is its file and its
number there, `t10k-images-idx3-ubyte.gz#17`. Who wrote a digit is not known, so each is its own subject.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import idx, shares, upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of the idx files, below the dataset's folder; empty for that folder itself.",
    },
    "test_share": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
        "description": "Where only one of `train-*` and `t10k-*` is there: the share of it that tests.",
    },
    "validation_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.1,
        "description": "Share of the digits that do not test that validate.",
    },
}

LABELS = tuple("0123456789")
PARTS = {"train": "train", "t10k": "test"}  # as published
NAMES = (
    "{part}-{what}-idx{axes}-ubyte{gz}",
    "{part}-{what}.idx{axes}-ubyte{gz}",
)  # the source's, and Kaggle's
FILES = {"images": 3, "labels": 1}  # what -> axes


def sources(root: Path, folder: str = "", **options: object) -> list[Path]:
    """The idx files that are there; where none is, the test files' names as published."""
    found = [path for part in PARTS for path in _files(root / folder, part).values() if path.is_file()]
    return found or list(_files(root / folder, "t10k").values())


def read(
    root: Path, dataset: str, folder: str = "", test_share: float = 0.2, validation_share: float = 0.1
) -> Dataset:
    """The digits with a label "0" to "9" each (1 or 0), and the stratum `digit`; test ones are `evaluated`.

    Where `train-*` and `t10k-*` are there, the published split holds. Else the digits of the one that is
    there, in the order of the SHA-256 of their names ("t10k_00017"): the first `test_share`, rounded, test.
    Not the first in the file, for the halves of the published test set differ (its second comes from other
    writers). In the same order the first `validation_share` of the rest validate.
    Raises `DatasetError` for a file that is missing, damaged or holds something else.
    """
    parts = {part: _files(root / folder, part) for part in PARTS}
    there = {part: files for part, files in parts.items() if any(path.is_file() for path in files.values())}
    read_parts = [_part(part, files, root) for part, files in (there or {"t10k": parts["t10k"]}).items()]
    table = pd.concat(read_parts, ignore_index=True)
    table["split"] = _splits(table, test_share, validation_share)
    images = table.drop(columns="digit").assign(
        subject=table["image"], study=None, evaluated=table["split"] == "test", view=None, spacing_y=np.nan,
        spacing_x=np.nan,
    )  # fmt: skip
    value = (table["digit"].to_numpy()[:, None] == np.arange(len(LABELS))).astype("float64").ravel()
    labels = pd.DataFrame(
        {
            "image": table["image"].repeat(len(LABELS)).to_numpy(),
            "label": np.tile(np.array(LABELS, dtype=object), len(table)),
            "value": value,
            "raw": value,
        }
    )
    strata = table[["image"]].assign(stratum="digit", value=table["digit"].astype(str), model=None, seed=None)
    return Dataset.nothing(dataset).adding(
        images=images, labels=labels, strata=strata, cohort=_cohort(images)
    )


def _files(folder: Path, part: str) -> dict[str, Path]:
    """The files `images` and `labels` of a part: those that exist, else the published names."""
    found = {}
    for what, axes in FILES.items():
        names = [name.format(part=part, what=what, axes=axes, gz=gz) for name in NAMES for gz in ("", ".gz")]
        paths = [folder / name for name in names]
        found[what] = next((path for path in paths if path.is_file()), paths[1])
    return found


def _part(part: str, files: dict[str, Path], root: Path) -> pd.DataFrame:
    """image, upstream_split, path, height, width, digit of one pair of files."""
    shape, digits = idx.read(files["images"], root).shape, idx.read(files["labels"], root)
    shown = {what: upstream.shown(path, root) for what, path in files.items()}
    if len(shape) != FILES["images"]:
        raise DatasetError(f"{shown['images']}: has {len(shape)} axes, expected 3; {upstream.DAMAGED}")
    if digits.ndim != FILES["labels"] or len(digits) != shape[0]:
        raise DatasetError(
            f"{shown['labels']}: holds {' x '.join(map(str, digits.shape))} labels, {shown['images']} "
            f"{shape[0]} pictures; take both from one source"
        )
    if (digits > len(LABELS) - 1).any():
        at = int((digits > len(LABELS) - 1).argmax())
        raise DatasetError(
            f"{shown['labels']}: label {at} (from 0) is {digits[at]}, expected 0 to 9; {upstream.DAMAGED}"
        )
    numbers = range(len(digits))
    return pd.DataFrame(
        {
            "image": [f"{part}_{number:05d}" for number in numbers],
            "upstream_split": PARTS[part],
            "path": [f"{shown['images']}#{number}" for number in numbers],
            "height": int(shape[1]),
            "width": int(shape[2]),
            "digit": digits.astype("int64"),
        }
    )


def _splits(table: pd.DataFrame, test_share: float, validation_share: float) -> pd.Series:
    """train, validate or test for each row; see `read`."""
    split = table["upstream_split"].copy()
    if split.nunique() == 1:
        split[:] = "train"
        split[table["image"].isin(shares.first(table["image"], test_share))] = "test"
    left = table["image"][split == "train"]
    split[table["image"].isin(shares.first(left, validation_share))] = "validate"
    return split


def _cohort(images: pd.DataFrame) -> pd.DataFrame:
    learnt, tested = images[images["split"] != "test"], images[images["split"] == "test"]
    flows = {"training": ("split train or validate", learnt), "evaluation": ("split test", tested)}
    return pd.concat(
        [cohort_flow(flow, [("digits of the files", images), step]) for flow, step in flows.items()],
        ignore_index=True,
    )
