"""MIMIC-CXR-JPG 2.x: images, splits and CheXpert labels, filtered as the authors of the gaze study did.

Source: physionet.org/content/mimic-cxr-jpg (the tables' names hold 2.0.0 in version 2.1.0 too). The filter
is that of the authors' sampling script: labelled, view PA or AP, and the only frontal image of its study.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import upstream
from sightline.datasets.dataset import Dataset, among, cohort_flow

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "physionet.org/files/mimic-cxr-jpg/2.1.0",
        "description": "Folder of the release, below the dataset's folder: holds `files/` and the tables.",
    },
    "views": {
        "type": "array",
        "items": {"type": "string"},
        "default": ["PA", "AP"],
        "description": "View positions that training, validation and test keep.",
    },
    "uncertain": {
        "type": "string",
        "enum": ["negative", "positive", "unknown"],
        "default": "negative",
        "description": "What CheXpert's -1 counts as. The authors: negative; `unknown` leaves the label out.",
    },
    "single_frontal": {
        "type": "boolean",
        "default": True,
        "description": "Keep only studies with exactly one image in `views`, as the authors.",
    },
}

# the order of the authors' outputs; index 0 is the fallback class of their thresholded class mix
LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Lesion",
    "Lung Opacity",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
DICOM_ID = r"[0-9a-f]{8}(-[0-9a-f]{8}){4}"
SUBJECT_ID, STUDY_ID = r"1[0-9]{7}", r"5[0-9]{7}"
UNCERTAIN = {"negative": 0.0, "positive": 1.0, "unknown": np.nan}


def sources(root: Path, folder: str = OPTIONS["folder"]["default"], **options: object) -> list[Path]:
    """The three tables that `read` reads: metadata, split, chexpert."""
    return [root / folder / f"mimic-cxr-2.0.0-{table}.csv.gz" for table in ("metadata", "split", "chexpert")]


def read(
    root: Path,
    dataset: str,
    folder: str = OPTIONS["folder"]["default"],
    uncertain: str = "negative",
    **options: object,
) -> Dataset:
    """Every image of the release with its labels; `select` filters once annotations are known.

    An image of a study without a row in chexpert has labels of null; in a labelled study an empty cell is
    negative, as the authors count it. Raises `DatasetError` for a missing table or column, a malformed or
    repeated id and an unknown label value or split; an image without a row in the split table is skipped.
    """
    paths = sources(root, folder)
    images, missing = _images(root, folder, paths)
    read_so_far = Dataset.nothing(dataset).adding(images=images, skipped=missing)
    labels = _labels(root, paths[2], images[["image", "subject", "study"]], UNCERTAIN[uncertain])
    return read_so_far.adding(labels=labels)


def _images(root: Path, folder: str, paths: list[Path]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images table, and rows of `skipped` for images that the split table lacks."""
    path, split_path, _ = paths
    columns = ["dicom_id", "subject_id", "study_id", "ViewPosition", "Rows", "Columns"]
    metadata = upstream.read_csv(path, columns, root)
    split = upstream.read_csv(split_path, ["dicom_id", "split"], root)
    for table, where in [(metadata, path), (split, split_path)]:
        upstream.require_text(
            where, table["dicom_id"], DICOM_ID, "five groups of 8 hex digits joined by '-'", root
        )
        upstream.require_unique(where, table["dicom_id"], root)
    upstream.require_text(path, metadata["subject_id"], SUBJECT_ID, "8 digits that start with 1", root)
    upstream.require_text(path, metadata["study_id"], STUDY_ID, "8 digits that start with 5", root)
    upstream.require_text(split_path, split["split"], "train|validate|test", "train, validate or test", root)
    splits = metadata["dicom_id"].map(split.set_index("dicom_id")["split"])
    subject, study, image = metadata["subject_id"], metadata["study_id"], metadata["dicom_id"]
    images = pd.DataFrame(
        {
            "image": image,
            "subject": subject,
            "study": study,
            "upstream_split": splits,
            "split": splits,
            "evaluated": False,
            # built from ids that were checked, so it cannot leave the folder
            "path": [
                f"{folder}/files/p{one[:2]}/p{one}/s{of}/{name}.jpg"
                for one, of, name in zip(subject, study, image)
            ],
            "height": upstream.pixels(path, metadata["Rows"], root),
            "width": upstream.pixels(path, metadata["Columns"], root),
            "view": metadata["ViewPosition"].where(metadata["ViewPosition"] != "", None),
            "spacing_y": np.nan,
            "spacing_x": np.nan,
        }
    )
    without = splits.isna()
    shown = upstream.shown(split_path, root)
    reason = f"{shown} has no row for this image of the metadata table; take both tables from one release"
    return images[~without], upstream.skipped("read", image[without], shown, reason)


def _labels(root: Path, path: Path, images: pd.DataFrame, uncertain: float) -> pd.DataFrame:
    """The labels table: an image's rows repeat those of its study."""
    table = upstream.read_csv(path, ["subject_id", "study_id", *LABELS], root)
    upstream.require_unique(path, table["study_id"], root)
    raw = np.empty((len(table), len(LABELS)))
    for index, label in enumerate(LABELS):
        values = upstream.numbers(table[label])
        known = values.isin([1.0, 0.0, -1.0]) | (table[label] == "")
        upstream.refuse(path, table[label], ~known, "1.0, 0.0, -1.0 or nothing", root)
        raw[:, index] = values
    value = np.where(raw == -1.0, uncertain, (raw > 0).astype(float))

    studies = pd.MultiIndex.from_frame(table[["subject_id", "study_id"]])
    at = studies.get_indexer(pd.MultiIndex.from_frame(images[["subject", "study"]]))
    unlabelled = (at < 0)[:, None]
    count = len(LABELS)
    return pd.DataFrame(
        {
            # categories: five million rows are then filtered by code, not by text
            "image": pd.Categorical.from_codes(np.repeat(np.arange(len(images)), count), images["image"]),
            "label": pd.Categorical.from_codes(np.tile(np.arange(count), len(images)), LABELS),
            "value": np.where(unlabelled, np.nan, value[at]).ravel(),
            "raw": np.where(unlabelled, np.nan, raw[at]).ravel(),
        }
    )


def select(
    dataset: Dataset,
    views: list[str] | tuple[str, ...] = ("PA", "AP"),
    single_frontal: bool = True,
    **options: object,
) -> Dataset:
    """The images that a classifier learns and is tested on, and those with readings whatever the filter says.

    Adds the cohort flow `training`: images and subjects after every filter.
    """
    images, labels = dataset.images, dataset.labels
    labelled = pd.Index(
        labels["image"][labels["value"].notna() | labels["raw"].notna()].unique().astype(object)
    )
    kept = pd.Series(True, images.index)
    flow = [("images of the release", kept)]
    flow.append(("with CheXpert labels", kept := kept & among(images["image"], labelled)))
    flow.append((f"view {' or '.join(views)}", kept := kept & images["view"].isin(list(views))))
    if single_frontal:
        frontals = kept.groupby(images["study"]).transform("sum")
        flow.append(("the only such view of its study", kept := kept & (frontals == 1)))
    learnt = kept & images["upstream_split"].isin(["train", "validate"])
    flow.append(("in the published train or validate split", learnt))
    flow.append(
        ("of a subject that was not moved to test", learnt & images["split"].isin(["train", "validate"]))
    )
    cohort = cohort_flow("training", [(name, images[rows]) for name, rows in flow])
    annotated = images["evaluated"] | among(
        images["image"], pd.Index(dataset.readings["image"].unique(), dtype=object)
    )
    selected = dataset.keeping(images[kept | annotated]).adding(cohort=cohort)
    return replace(selected, labels=selected.labels.astype({"image": object, "label": object}))
