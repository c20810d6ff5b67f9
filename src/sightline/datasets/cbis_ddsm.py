"""CBIS-DDSM: digitised mammograms with outlined masses and calcifications (Lee et al. 2017).

Source: doi 10.7937/K9/TCIA.2016.7O02S9CY, the case descriptions and the DICOM files or their JPEG edition.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sightline.datasets import cbis_ddsm_cohort, cbis_ddsm_tables, upstream
from sightline.datasets.cbis_ddsm_files import Files, mask_among
from sightline.datasets.dataset import Dataset
from sightline.datasets.picture_headers import Header
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of the case descriptions (or of `csv/`) and of the images, below the "
        "dataset's folder; empty for that folder itself.",
    },
    "layout": {
        "type": "string",
        "enum": ["found", "series", "nested", "retriever", "jpeg"],
        "default": "found",
        "description": "Where a series' files lie: a folder per SeriesInstanceUID (the REST interface), "
        "PatientID/StudyUID/SeriesUID, the NBIA Data Retriever's tree, the JPEG edition; `found` tries them.",
    },
    "partial": {
        "type": "boolean",
        "default": False,
        "description": "The folder holds a part of the collection: images without a file are left out and "
        "counted in the cohort. Otherwise they are refused, and `limits.max_skipped` says how many may be.",
    },
    "kinds": {
        "type": "array",
        "items": {"type": "string", "enum": ["mass", "calcification"]},
        "minItems": 1,
        "default": ["mass", "calcification"],
        "description": "The kinds of abnormalities whose tables are read.",
    },
    "unit": {
        "type": "string",
        "enum": ["image", "abnormality"],
        "default": "image",
        "description": "What an image of the study is: an image with all its abnormalities, or one of its "
        "abnormalities, with its own label and mask; images with several then occur several times.",
    },
    "target": {
        "type": "string",
        "enum": ["pathology", "assessment"],
        "default": "pathology",
        "description": "Labels `benign` and `malignant`, or `BI-RADS 0` to `BI-RADS 5`; exactly one holds.",
    },
    "mixed": {
        "type": "string",
        "enum": ["malignant", "excluded"],
        "default": "malignant",
        "description": "Images with benign and malignant abnormalities (17 of 3,103): malignant, or left out "
        "with the films that are in both kinds' tables and disagree (51 images in all). Of several BI-RADS "
        "categories the highest counts, or the image is left out.",
    },
    "without_callback": {
        "type": "string",
        "enum": ["benign", "excluded"],
        "default": "benign",
        "description": "What abnormalities of pathology BENIGN_WITHOUT_CALLBACK are; `excluded` leaves them "
        "and images that have no other out.",
    },
    "leak": {
        "type": "string",
        "enum": ["left_out", "test", "kept"],
        "default": "left_out",
        "description": "The training images of patients who are in test for the other kind (64 images, 31 "
        "patients): left out, so that the test set is the published one; moved to test; or kept, so that the "
        "model is tested on patients it learnt from.",
    },
    "validation_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
        "description": "Share of the training patients that validate, of those with a malignant abnormality "
        "and of the others.",
    },
}

CATEGORIES = range(6)
SIZE = ["path", "height", "width", "spacing_y", "spacing_x"]


def sources(
    root: Path, folder: str = "", kinds: Sequence[str] = cbis_ddsm_tables.KINDS, **options: object
) -> list[Path]:
    """The case descriptions, train and test of each of `kinds`; the JPEG edition's table, where it is."""
    info = root / folder / "csv" / "dicom_info.csv"
    tables = list(cbis_ddsm_tables.files(root, folder, kinds).values())
    return [*tables, *([info] if info.is_file() else [])]


def read(
    root: Path,
    dataset: str,
    folder: str = "",
    layout: str = "found",
    partial: bool = False,
    kinds: Sequence[str] = cbis_ddsm_tables.KINDS,
    unit: str = "image",
    target: str = "pathology",
    mixed: str = "malignant",
    without_callback: str = "benign",
    leak: str = "left_out",
    validation_share: float = 0.2,
) -> Dataset:
    """Images (or abnormalities), masks of kind `lesion` one per abnormality, strata; test is `evaluated`.

    Sizes are those in the files' headers; no pixels are read unless a header leaves open which file is the
    mask. A mask of another size than its image's keeps its own grid. An image whose file is missing or bad is
    skipped; where a mask is, its image stays, its lesion absent: a part of a lesion is none. Raises
    `DatasetError` for a missing table or column and for a malformed row.
    """
    found = cbis_ddsm_tables.abnormalities(root, folder, kinds)
    crossing = cbis_ddsm_tables.across_splits(found)
    found, steps = cbis_ddsm_cohort.chosen(found, unit, target, mixed, without_callback)
    table = steps[-1][1].assign(split=lambda rows: cbis_ddsm_cohort.splits(rows, crossing, leak))
    files = Files(root, folder, layout)
    kept, refused = _present(table[table["split"] != ""], files, partial)
    validating = cbis_ddsm_cohort.validating(kept if partial else table, validation_share)
    learns = (kept["split"] == "train") & kept["subject"].isin(validating)
    kept = kept.assign(split=kept["split"].where(~learns, "validate"))
    masks, bad_masks = _masks(kept, found, files)
    return Dataset.nothing(dataset).adding(
        images=_images(kept),
        labels=_labels(kept, target),
        strata=_strata(kept),
        masks=masks,
        skipped=pd.concat([refused, bad_masks]),
        cohort=cbis_ddsm_cohort.flows(steps, table, kept, masks, crossing, leak),
    )


def _present(table: pd.DataFrame, files: Files, partial: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images whose file is there, with what its header says; rows of `skipped` for the others."""
    kept, headers, refused = [], [], {}
    for row in table.itertuples():
        place = (row.patient, row.study, row.series)
        if partial and not files.holds(*place):
            continue
        try:
            headers.append(_single(files.series(*place)))
        except DatasetError as error:
            refused[row.image] = str(error)
        else:
            kept.append(row.Index)
    columns = {name: [getattr(header, name) for header in headers] for name in SIZE}
    return table.loc[kept].assign(**columns), _skipped("read", refused)


def _skipped(stage: str, refused: dict[str, str]) -> pd.DataFrame:
    """Rows of `skipped` from image -> reason, which begins with the file that it is about."""
    paths = [reason.partition(": ")[0] for reason in refused.values()]
    return upstream.skipped(stage, list(refused), paths, list(refused.values()))


def _single(pictures: list[Header]) -> Header:
    """The one picture of an image's series. Raises `DatasetError` where there are several."""
    if len(pictures) > 1:
        names = ", ".join(picture.path for picture in pictures)
        raise DatasetError(
            f"{names}: {len(pictures)} pictures in the series of one image; keep the image's own"
        )
    return pictures[0]


def _images(kept: pd.DataFrame) -> pd.DataFrame:
    """Rows of `images`."""
    columns = ["image", "subject", "study", "upstream_split", "split", "view", *SIZE]
    return kept[columns].assign(evaluated=kept["split"] == "test")


def _labels(kept: pd.DataFrame, target: str) -> pd.DataFrame:
    """Rows of `labels`, of which exactly one is 1 on each image."""
    held = (
        {"benign": ~kept["malignant"], "malignant": kept["malignant"]}
        if target == "pathology"
        else {f"BI-RADS {category}": kept["assessment"] == category for category in CATEGORIES}
    )
    return pd.concat(
        [
            pd.DataFrame(
                {"image": kept["image"], "label": name, "value": one.astype(float), "raw": one.astype(float)}
            )
            for name, one in held.items()
        ],
        ignore_index=True,
    )


def _strata(kept: pd.DataFrame) -> pd.DataFrame:
    """Rows of `strata`: what the tables say; a lesion's size needs pixels and is made from its region."""
    known = {
        name: kept[name].astype(str).where(kept[name] > 0, "unknown") for name in ("density", "subtlety")
    }
    values = {
        "kind": kept["kind"].where(~kept["both"], "both"),
        "view": kept["view"],
        "side": kept["side"],
        **known,
        "assessment": kept["assessment"].astype(str),
        "abnormalities": (kept["abnormalities"] > 1).map({False: "1", True: "2+"}),
        "upstream_split": kept["upstream_split"],
    }
    for names in cbis_ddsm_tables.DESCRIPTORS.values():
        values |= {name.replace(" ", "_"): kept[name][kept[name] != ""] for name in names}
    rows = [
        pd.DataFrame({"image": kept["image"].loc[one.index], "stratum": name, "value": one})
        for name, one in values.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(model=None, seed=None)


def _masks(kept: pd.DataFrame, found: pd.DataFrame, files: Files) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Rows of `masks`, and of `skipped` for images one of whose masks is not to be had."""
    abnormalities: dict[str, list] = {}
    for row in found.sort_values("abnormality").itertuples():
        abnormalities.setdefault(row.image, []).append(row)
    rows, refused = [], {}
    for image in kept.itertuples():
        header = Header(image.path, image.height, image.width)
        try:
            masks = [_mask(row, header, files) for row in abnormalities[image.image]]
        except DatasetError as error:
            refused[image.image] = f"{error}; the image goes on without its lesion"
            rows.append((image.image, 0, "absent", str(error), image.height, image.width))
            continue
        rows += [
            (image.image, at, "file", mask.path, mask.height, mask.width) for at, mask in enumerate(masks)
        ]
    table = pd.DataFrame(rows, columns=["image", "index", "encoding", "data", "height", "width"])
    return table.assign(kind="lesion"), _skipped("reading", refused)


def _mask(row: tuple, image: Header, files: Files) -> Header:
    """An abnormality's mask, sought among the pictures of its mask's and of its crop's series."""
    series = dict.fromkeys([(row.mask_study, row.mask_series), (row.crop_study, row.crop_series)])
    pictures, missing = [], []
    for study, uid in series:
        try:
            pictures += files.series(row.mask_patient, study, uid)
        except DatasetError as error:
            missing.append(error)
    if not pictures:
        raise missing[0]
    return mask_among(pictures, image, files.root)
