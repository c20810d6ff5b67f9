"""Paediatric chest x-rays, normal or pneumonia (Kermany et al. 2018, doi 10.17632/rscbjbr9sj.2)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import shares, upstream
from sightline.datasets.dataset import Dataset, cohort_flow

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of metadata.csv, below the dataset's folder; empty for that folder itself.",
    },
    "validation_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
        "description": "Share of each class's training patients that validate.",
    },
}

CLASSES = {"NORMAL": 0.0, "PNEUMONIA": 1.0}
COLUMNS = ["image", "split", "label", "patient_key", "width", "height"]


def sources(root: Path, folder: str = "", **options: object) -> list[Path]:
    """metadata.csv."""
    return [root / folder / "metadata.csv"]


def read(root: Path, dataset: str, folder: str = "", validation_share: float = 0.2) -> Dataset:
    """Images with the label `Pneumonia`; the published test split, and validation carved out of train.

    The rule: in each class, training patients in the order of the SHA-256 of their key; the first
    `validation_share` of them, rounded, validate. Test images are `evaluated`, so that they are explained.
    Raises `DatasetError` for a missing table or column and for a malformed row; a path that leaves the folder
    is refused where its file is opened.
    """
    path = root / folder / "metadata.csv"
    table = upstream.read_csv(path, COLUMNS, root)
    upstream.require_text(path, table["image"], r".*[^/]", "a file's name", root)
    upstream.require_unique(path, table["image"], root)
    upstream.require_text(path, table["split"], "train|test", "train or test", root)
    upstream.require_text(path, table["label"], "|".join(CLASSES), " or ".join(CLASSES), root)
    upstream.refuse(path, table["patient_key"], table["patient_key"] == "", "a patient's key", root)
    images = pd.DataFrame(
        {
            "image": table["image"].str.replace(r"\.[^.]*$", "", regex=True).str.replace("/", "_"),
            "subject": table["patient_key"],
            "study": None,
            "upstream_split": table["split"],
            "split": table["split"].where(~_validating(table, validation_share), "validate"),
            "evaluated": table["split"] == "test",
            "path": [str(Path(folder) / relative) for relative in table["image"]],
            "height": upstream.pixels(path, table["height"], root),
            "width": upstream.pixels(path, table["width"], root),
            "view": None,
            "spacing_y": np.nan,
            "spacing_x": np.nan,
        }
    )
    value = table["label"].map(CLASSES)
    labels = pd.DataFrame({"image": images["image"], "label": "Pneumonia", "value": value, "raw": value})
    learnt, tested = images[images["split"] != "test"], images[images["split"] == "test"]
    cohort = pd.concat(
        [
            cohort_flow("training", [("images of the table", images), ("split train or validate", learnt)]),
            cohort_flow("evaluation", [("images of the table", images), ("split test", tested)]),
        ],
        ignore_index=True,
    )
    return Dataset.nothing(dataset).adding(images=images, labels=labels, cohort=cohort)


def _validating(table: pd.DataFrame, share: float) -> pd.Series:
    """Which rows validate."""
    train = table[table["split"] == "train"]
    chosen: set[str] = set()
    for _, rows in train.groupby("label"):
        chosen |= shares.first(rows["patient_key"], share)
    return (table["split"] == "train") & table["patient_key"].isin(chosen)
