"""Adult chest x-rays with radiologists' lung boxes, most with lung masks: films to explain, not to train on.

Images: Cohen et al., arXiv 2006.11988, and Winther et al.; boxes: General Blockchain; masks: V7 Labs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.datasets.reading_files import SIDES, checked_boxes

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of metadata.csv, below the dataset's folder; empty for that folder itself.",
    },
}


def sources(root: Path, folder: str = "") -> list[Path]:
    """metadata.csv and lung_boxes.csv."""
    return [root / folder / "metadata.csv", root / folder / "lung_boxes.csv"]


def read(root: Path, dataset: str, folder: str = "") -> Dataset:
    """Test images, all evaluated, without labels; boxes `lung` (one per side) and `chest`, masks `lungs`.

    The box `chest` is the smallest that holds both lung boxes. The stratum `finding` is what upstream states.
    Raises `DatasetError` for a missing table or column and for a malformed row; a path that leaves the folder
    is refused where its file is opened.
    """
    path, boxes_path = sources(root, folder)
    table = upstream.read_csv(
        path, ["image", "width", "height", "lung_mask", "patientid", "finding", "view"], root
    )
    upstream.require_text(path, table["image"], r".*[^/]", "a file's name", root)
    upstream.require_unique(path, table["image"], root)
    image = _names(table["image"])
    images = pd.DataFrame(
        {
            "image": image,
            "subject": table["patientid"].where(table["patientid"] != "", image),
            "study": None,
            "upstream_split": "test",
            "split": "test",
            "evaluated": True,
            "path": [str(Path(folder) / "images" / relative) for relative in table["image"]],
            "height": upstream.pixels(path, table["height"], root),
            "width": upstream.pixels(path, table["width"], root),
            "view": table["view"].where(table["view"] != "", None),
            "spacing_y": np.nan,
            "spacing_x": np.nan,
        }
    )
    masks = images[["image", "height", "width"]].assign(
        kind="lungs",
        index=0,
        encoding="file",
        data=[str(Path(folder) / "lung_masks" / Path(name).name) for name in table["lung_mask"]],
    )[(table["lung_mask"] != "").to_numpy()]
    boxes, refused = _boxes(boxes_path, table["image"], root)
    strata = pd.DataFrame(
        {"image": image, "stratum": "finding", "value": table["finding"], "model": None, "seed": None}
    )
    marked = images[images["image"].isin(masks["image"])]
    cohort = pd.concat(
        [
            cohort_flow("evaluation", [("images of the table", images)]),
            cohort_flow("lung masks", [("images of the table", images), ("with a lung mask", marked)]),
        ],
        ignore_index=True,
    )
    return Dataset.nothing(dataset).adding(
        images=images, masks=masks, boxes=boxes, strata=strata, cohort=cohort, skipped=refused
    )


def _names(files: pd.Series) -> pd.Series:
    """What images are called: their files, without the ending."""
    return files.str.replace(r"\.[^.]*$", "", regex=True).str.replace("/", "_")


def _boxes(path: Path, files: pd.Series, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `boxes`: the lungs as they stand, and their hull as kind `chest`; rows of `skipped`."""
    table = upstream.read_csv(path, ["image", "label", *SIDES], root)
    upstream.refuse(path, table["image"], ~table["image"].isin(files), "an image of metadata.csv", root)
    table = table.assign(
        image=_names(table["image"]),
        id=table["image"],
        reader="",
        kind="lung",
        shape="rectangle",
        certainty=np.nan,
    )
    where = pd.Series(upstream.shown(path, root), table.index)
    lungs, refused = checked_boxes(table, where, pd.Series(np.arange(len(table)) + 2, table.index))
    hull = lungs.groupby("image", as_index=False).agg(
        {"xmin": "min", "ymin": "min", "xmax": "max", "ymax": "max", "label": "nunique"}
    )
    hull = hull[hull["label"] == 2]  # one lung alone is no chest
    chest = hull.assign(reader="", kind="chest", label="", index=0, shape="rectangle", certainty=np.nan)
    return pd.concat([lungs, chest], ignore_index=True), refused
