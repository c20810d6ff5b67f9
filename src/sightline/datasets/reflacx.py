"""REFLACX 1.0.0: fixations, chest boxes and marked findings of five radiologists on films of MIMIC-CXR.

Source: doi 10.13026/e0dj-8498. Readers are anonymous: a reader is a place among the image's rows that are not
discarded, in the order of the metadata.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import upstream
from sightline.datasets.dataset import Dataset
from sightline.datasets.reading_files import chest_boxes, finding_boxes, gaze
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "physionet.org/files/reflacx-xray-localization/1.0.0",
        "description": "Folder of the release, below the dataset's folder: holds `main_data/`.",
    },
    "phases": {
        "type": "array",
        "items": {"type": "integer", "enum": [1, 2, 3]},
        "default": [1, 2, 3],
        "description": "Phases to read. The authors: 1 and 2 (five readers); 3 has one reader per film.",
    },
    "minimum_readers": {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "Readings that an image needs to be evaluated. The authors: 5.",
    },
    "move_subjects": {
        "type": "string",
        "enum": ["evaluated", "phases_1_2"],
        "default": "evaluated",
        "description": "Whose images go to test: subjects with an evaluated reading, or those of "
        "phases 1 and 2 alone, as the authors, which leaks where phase 3 is evaluated.",
    },
}

READING_FILES = ("fixations.csv", "chest_bounding_box.csv", "anomaly_location_ellipses.csv")
ABOUT = ["id", "eye_tracking_data_discarded", "dicom_id", "image_size_x", "image_size_y"]
NOT_LABELS = {*ABOUT, "split", "image", "subject_id"}
# what counts as abnormal: the authors' code takes every label but this; the paper says "abnormality", which a
# device is not. "Other", a finding in free text, counts in both, and so does every certainty above 0.
NEVER_ABNORMAL = {"Quality issue"}
NO_ABNORMALITY = NEVER_ABNORMAL | {"Support devices"}


def sources(
    root: Path,
    folder: str = OPTIONS["folder"]["default"],
    phases: tuple[int, ...] = (1, 2, 3),
    **options: object,
) -> list[Path]:
    """The metadata tables. The files of single readings (thousands) are not listed."""
    wanted = {*phases, 1, 2} if options.get("move_subjects") == "phases_1_2" else set(phases)
    return [root / folder / "main_data" / f"metadata_phase_{phase}.csv" for phase in sorted(wanted)]


def reading_sources(root: Path, **options: object) -> list[Path]:
    """The files of each reading that `annotate` reads, from the metadata tables; a release may lack some."""
    found = []
    for path in sources(root, **options):
        for reading in _metadata(path, root)["id"]:
            found += [path.parent / reading / name for name in READING_FILES]
    return found


def annotate(
    root: Path,
    dataset: Dataset,
    folder: str = OPTIONS["folder"]["default"],
    phases: tuple[int, ...] = (1, 2, 3),
    minimum_readers: int = 1,
    move_subjects: str = "evaluated",
) -> Dataset:
    """`dataset` with readings, fixations, boxes (kinds `chest` and `finding`), strata, and what is evaluated.

    Subjects that must not be trained on move to split `test`; `upstream_split` keeps what was published.
    Discarded readings are left out. Strata `abnormal_authors` and `abnormal_paper`: normal | abnormal,
    by the majority of all the image's rows, discarded ones too. Raises `DatasetError` for a missing table or
    column, a malformed row, or where no image has `minimum_readers` readings.
    """
    tables = sources(root, folder, phases, move_subjects=move_subjects)
    every = pd.concat([_metadata(path, root) for path in tables], ignore_index=True)
    rows = every[every["group"].isin([f"phase {phase}" for phase in phases])]
    flow = [("images with a reading", rows["dicom_id"])]

    rows, refused = _matched(rows, dataset.images, tables, root)
    flow.append(("in the dataset, of the size that its table says", rows["dicom_id"]))
    strata = _strata(rows)
    kept, ignored = _undiscarded(rows, root, root / folder / "main_data")
    flow.append((f"a reading that is complete ({len(kept)} of {len(rows)} readings)", kept["dicom_id"]))

    counts = kept.groupby("dicom_id").size()
    evaluated = counts.index[counts >= minimum_readers]
    flow.append((f"at least {minimum_readers} reader(s)", pd.Series(evaluated)))
    if not len(evaluated):
        most = f"the most is {counts.max()}" if len(counts) else "no reading is complete"
        raise DatasetError(
            f"{upstream.shown(tables[0], root)}: no image has the {minimum_readers} readers asked for, "
            f"{most}; lower `minimum_readers` or add phases"
        )
    kept, fixations, boxes, faults = _read_files(kept, dataset.images, root / folder / "main_data", root)
    moved = evaluated if move_subjects == "evaluated" else every["dicom_id"][every["group"] != "phase 3"]
    dataset = replace(dataset, images=_moved(dataset.images, evaluated, moved))
    return dataset.adding(
        strata=strata,
        boxes=boxes,
        readings=kept.rename(columns={"dicom_id": "image", "id": "reading"}),
        fixations=fixations,
        cohort=_cohort(flow, dataset.images),
        skipped=pd.concat([refused, ignored, faults]),
    )


def _metadata(path: Path, root: Path) -> pd.DataFrame:
    """One phase's readings in order: `ABOUT` with types, `group`, `path`, `row`, two flags of abnormality."""
    labels = [column for column in upstream.header_of(path, root) if column not in NOT_LABELS]
    table = upstream.read_csv(path, [*ABOUT, *labels], root)
    upstream.require_text(path, table["id"], r"P[123][0-9]{2}R[0-9]{6}", "an id like P102R123456", root)
    upstream.require_unique(path, table["id"], root)
    discarded = table["eye_tracking_data_discarded"]
    upstream.require_text(path, discarded, "True|False", "True or False", root)
    marked = pd.DataFrame({label: _marked(path, table[label], root) for label in labels})
    sides = {side: upstream.pixels(path, table[side], root) for side in ("image_size_x", "image_size_y")}
    return table[ABOUT].assign(
        **sides,
        eye_tracking_data_discarded=discarded == "True",
        group="phase " + path.stem[-1],
        path=upstream.shown(path, root),
        row=np.arange(len(table)) + 2,
        authors=marked[[label for label in labels if label not in NEVER_ABNORMAL]].any(axis=1),
        paper=marked[[label for label in labels if label not in NO_ABNORMALITY]].any(axis=1),
    )


def _marked(path: Path, column: pd.Series, root: Path) -> pd.Series:
    """Whether the reader selected the label: a certainty above 0, True, or any text in `Other`."""
    if column.name == "Other":
        return ~column.isin(["", "0", "False"])
    upstream.require_text(
        path, column, r"[0-5](\.0)?|True|False|", "a certainty of 0 to 5, True or False", root
    )
    return ~column.isin(["", "0", "0.0", "False"])


def _matched(
    rows: pd.DataFrame, images: pd.DataFrame, tables: list[Path], root: Path
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows whose image the dataset has in the same size, and rows of `skipped` for the other images."""
    sizes = images.set_index("image")[["height", "width"]].reindex(rows["dicom_id"])
    height, width = sizes["height"].to_numpy(), sizes["width"].to_numpy()
    absent = np.isnan(height)
    differs = ~absent & ((height != rows["image_size_y"]) | (width != rows["image_size_x"])).to_numpy()
    reasons = []
    for position in np.flatnonzero(absent | differs):
        row = rows.iloc[position]
        where = f"{row['path']}: row {row['row']}: image {row['dicom_id']}"
        if absent[position]:
            reason = (
                f"{where} has no row in the dataset's tables; add it there, or correct the id if it was cut"
            )
        else:
            reason = (
                f"{where} is {row['image_size_x']} x {row['image_size_y']} here and {width[position]:.0f} x "
                f"{height[position]:.0f} in the dataset's table; take both tables from matching releases"
            )
        reasons.append(reason)
    bad = rows[absent | differs]
    first = upstream.skipped("read", bad["dicom_id"], list(bad["path"]), reasons).drop_duplicates("item")
    return rows[~rows["dicom_id"].isin(bad["dicom_id"])], first


def _undiscarded(rows: pd.DataFrame, root: Path, main_data: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The readings to use, with column `reader`, and rows of `skipped` for the others that need a word."""
    files = [main_data / reading / "fixations.csv" for reading in rows["id"]]
    present = np.array([path.is_file() for path in files], dtype=bool)
    discarded = rows["eye_tracking_data_discarded"].to_numpy()
    paths = np.array([upstream.shown(path, root) for path in files], dtype=object)
    where = rows["path"] + ": row " + rows["row"].astype(str)
    stray, missing = discarded & present, ~discarded & ~present
    notes = pd.concat(
        [
            upstream.skipped(
                "reading",
                rows["id"][stray],
                paths[stray],
                where[stray] + " discards this reading, so its fixations are ignored; delete the file",
            ),
            upstream.skipped(
                "reading",
                rows["id"][missing],
                paths[missing],
                where[missing] + " names a reading whose fixations.csv is missing; download it again",
            ),
        ]
    )
    kept = rows[~discarded & present]
    return kept.assign(reader=kept.groupby("dicom_id").cumcount().astype(str)), notes


def _strata(rows: pd.DataFrame) -> pd.DataFrame:
    """Both strata of every image: abnormal where more than half of its rows mark something."""
    share = rows.groupby("dicom_id", sort=False)[["authors", "paper"]].mean() > 0.5
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "image": share.index,
                    "stratum": f"abnormal_{rule}",
                    "value": np.where(share[rule], "abnormal", "normal"),
                    "model": None,
                    "seed": None,
                }
            )
            for rule in ("authors", "paper")
        ]
    )


def _read_files(
    kept: pd.DataFrame, images: pd.DataFrame, main_data: Path, root: Path
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """The readings with their count of fixations; fixations; boxes; rows of `skipped`."""
    readings = kept[["dicom_id", "id", "group", "reader"]].reset_index(drop=True)
    readings = readings.merge(images[["image", "height", "width"]], left_on="dicom_id", right_on="image")
    fixations, no_gaze = gaze(readings, main_data, root)
    chests, no_chest = chest_boxes(readings, main_data, root)
    findings, no_finding = finding_boxes(readings, main_data, root)
    counts = fixations.groupby(["image", "reader"]).size()
    counts = counts.reindex(pd.MultiIndex.from_frame(readings[["image", "reader"]]), fill_value=0)
    kept = kept[["dicom_id", "id", "group", "reader"]].assign(fixations=counts.to_numpy().astype("int64"))
    return kept, fixations, pd.concat([chests, findings]), pd.concat([no_gaze, no_chest, no_finding])


def _moved(images: pd.DataFrame, evaluated: pd.Index, moved: pd.Index | pd.Series) -> pd.DataFrame:
    """`images` with `evaluated` marked, and every image of the subjects of `moved` in split test."""
    subjects = images["subject"][images["image"].isin(moved)]
    return images.assign(
        evaluated=images["evaluated"] | images["image"].isin(evaluated),
        split=images["split"].where(~images["subject"].isin(subjects), "test"),
    )


def _cohort(flow: list[tuple[str, pd.Series]], images: pd.DataFrame) -> pd.DataFrame:
    """The flow `evaluation`: images, and their subjects as far as the dataset knows the images."""
    subject = images.set_index("image")["subject"]
    return pd.DataFrame(
        {
            "flow": "evaluation",
            "step": range(len(flow)),
            "filter": [name for name, _ in flow],
            "images": [left.nunique() for _, left in flow],
            "subjects": [subject.reindex(left.unique()).nunique() for _, left in flow],
        }
    )
