"""CheXmask 1.0.0: lung and heart masks of MIMIC-CXR's films.

Source: physionet.org/content/chexmask-cxr-segmentation-data. The least estimated Dice is its authors' advice.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import rle, upstream
from sightline.datasets.dataset import Dataset, among
from sightline.errors import DatasetError

OPTIONS = {
    "file": {
        "type": "string",
        "default": "physionet.org/files/chexmask-cxr-segmentation-data/1.0.0/OriginalResolution/"
        "MIMIC-CXR-JPG.csv",
        "description": "The csv of masks in the films' own resolution, below the dataset's folder.",
    },
    "minimum_dice": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "default": 0.7,
        "description": "Masks whose `Dice RCA (Mean)` lies below are left out.",
    },
    "boxes": {
        "type": "boolean",
        "default": False,
        "description": "Add the box around both lungs as kind `lungs`, for registration without readers.",
    },
    "evaluate": {
        "type": "boolean",
        "default": False,
        "description": "Read masks for every test image and evaluate those that have one. Otherwise only for "
        "images that an earlier annotation evaluates, or that hold a reading.",
    },
}

ORGANS = ["Left Lung", "Right Lung", "Heart"]
COLUMNS = ["dicom_id", "Dice RCA (Mean)", *ORGANS, "Height", "Width"]
ROWS_AT_ONCE = 2000  # a row is some 10 kB of text


def sources(root: Path, file: str = OPTIONS["file"]["default"], **options: object) -> list[Path]:
    """The one csv."""
    return [root / file]


def annotate(
    root: Path,
    dataset: Dataset,
    file: str = OPTIONS["file"]["default"],
    minimum_dice: float = 0.7,
    boxes: bool = False,
    evaluate: bool = False,
) -> Dataset:
    """`dataset` with masks of kinds `lungs` (left and right as one) and `heart`, and boxes `lungs` if asked.

    Raises `DatasetError` for a missing file or column. A mask that cannot be decoded, or is not of the
    image's size, is a row of `skipped`.
    """
    images = dataset.images
    wanted = (images["split"] == "test") if evaluate else images["evaluated"]
    wanted = wanted | among(images["image"], pd.Index(dataset.readings["image"].unique(), dtype=object))
    sizes = images[wanted].set_index("image")[["height", "width"]]
    masks, refused = _masks(
        _rows(root / file, sizes.index, root, minimum_dice), sizes, upstream.shown(root / file, root)
    )
    if evaluate:
        masked = images["image"].isin(masks["image"]) & (images["split"] == "test")
        dataset = replace(dataset, images=images.assign(evaluated=images["evaluated"] | masked))
    return dataset.adding(masks=masks, boxes=_boxes(masks) if boxes else masks[:0], skipped=refused)


def _rows(path: Path, wanted: pd.Index, root: Path, minimum_dice: float) -> pd.DataFrame:
    """The wanted rows that are good enough, as text, with `row`; the file is read in pieces."""
    absent = [column for column in COLUMNS if column not in upstream.header_of(path, root)]
    if absent:
        raise DatasetError(
            f"{upstream.shown(path, root)}: row 1: lacks the column(s) {', '.join(absent)}; take the csv of "
            f"MIMIC-CXR-JPG from the release's folder OriginalResolution"
        )
    kept, first = [], 2
    try:
        with pd.read_csv(
            path, usecols=COLUMNS, dtype=str, keep_default_na=False, chunksize=ROWS_AT_ONCE
        ) as pieces:
            for piece in pieces:
                piece = piece.assign(row=np.arange(len(piece)) + first)
                first += len(piece)
                good = upstream.numbers(piece["Dice RCA (Mean)"]) >= minimum_dice
                kept.append(piece[good.to_numpy() & among(piece["dicom_id"], wanted)])
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        where = upstream.shown(path, root)
        raise DatasetError(f"{where}: not a readable csv ({error}); {upstream.DAMAGED}") from error
    return pd.concat(kept, ignore_index=True).drop_duplicates("dicom_id") if kept else pd.DataFrame()


def _masks(rows: pd.DataFrame, sizes: pd.DataFrame, shown: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `masks`, and of `skipped`."""
    masks, items, reasons = [], [], []
    for row in rows.to_dict("records"):
        image = row["dicom_id"]
        shape = tuple(int(side) for side in sizes.loc[image])
        try:
            if (row["Height"], row["Width"]) != tuple(map(str, shape)):
                raise ValueError(f"is {row['Height']} x {row['Width']}, its image {shape[0]} x {shape[1]}")
            found = {
                "lungs": rle.union([row["Left Lung"], row["Right Lung"]], shape),
                "heart": rle.union([row["Heart"]], shape),
            }
        except ValueError as error:
            items.append(image)
            reasons.append(f"{shown}: row {row['row']}: the mask {error}; {upstream.DAMAGED}")
            continue
        about = {"image": image, "index": 0, "encoding": "rle", "height": shape[0], "width": shape[1]}
        masks += [{**about, "kind": kind, "data": data} for kind, data in found.items() if data]
    columns = ["image", "kind", "index", "encoding", "data", "height", "width"]
    return pd.DataFrame(masks, columns=columns), upstream.skipped("reading", items, shown, reasons)


def _boxes(masks: pd.DataFrame) -> pd.DataFrame:
    """The box around the lungs of each image, as rows of `boxes`."""
    lungs = masks[masks["kind"] == "lungs"]
    found = [rle.bounds(row.data, (row.height, row.width)) for row in lungs.itertuples()]
    sides = pd.DataFrame(found, columns=["xmin", "ymin", "xmax", "ymax"], dtype="float64")
    return sides.assign(
        image=lungs["image"].to_numpy(),
        reader="",
        kind="lungs",
        label="",
        index=0,
        shape="rectangle",
        certainty=np.nan,
    )
