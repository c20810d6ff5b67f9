"""The four case descriptions of CBIS-DDSM as tables of abnormalities and of images; no image is needed.

Lee et al. 2017, doi 10.7937/K9/TCIA.2016.7O02S9CY. A cell of paths ends in a line feed inside its quotes, the
column of densities has two names, and of a path only the UIDs are to be trusted, not the file's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sightline.datasets import upstream

KINDS = ("mass", "calcification")
SPLITS = ("train", "test")
SHORT = {"mass": "mass", "calcification": "calc"}  # as file names have it
DESCRIPTORS = {"mass": ["mass shape", "mass margins"], "calcification": ["calc type", "calc distribution"]}
DENSITY = {"mass": "breast_density", "calcification": "breast density"}
PATHS = {"image": "image file path", "crop": "cropped image file path", "mask": "ROI mask file path"}
COLUMNS = {
    "patient_id": "subject",
    "left or right breast": "side",
    "image view": "view",
    "abnormality id": "abnormality",
    "abnormality type": "kind",
    "assessment": "assessment",
    "pathology": "pathology",
    "subtlety": "subtlety",
}
WITHOUT_CALLBACK = "BENIGN_WITHOUT_CALLBACK"
PATHOLOGIES = ("BENIGN", WITHOUT_CALLBACK, "MALIGNANT")
# PatientID / StudyInstanceUID / SeriesInstanceUID / a name that says nothing
PATH = r"[\w-]+(/[0-9]+(\.[0-9]+)+){2}/[^/\\]+"
UNKNOWN = ("", "N/A")


def files(root: Path, folder: str = "", kinds: Sequence[str] = KINDS) -> dict[tuple[str, str], Path]:
    """(kind, upstream split) -> its table, found in the folder or its `csv/`, with or without `_set`."""
    found = {}
    for kind in kinds:
        for split in SPLITS:
            name = f"{SHORT[kind]}_case_description_{split}"
            likely = [
                root / folder / place / f"{name}{ending}.csv"
                for place in ("", "csv")
                for ending in ("_set", "")
            ]
            found[kind, split] = next((path for path in likely if path.is_file()), likely[0])
    return found


def abnormalities(root: Path, folder: str = "", kinds: Sequence[str] = KINDS) -> pd.DataFrame:
    """A row per abnormality: what the tables say of it, and the UIDs of its image, crop and mask.

    Columns: subject, side, view, abnormality, kind, assessment, pathology, subtlety, density (integers where
    numbers; 0 is unknown), upstream_split, the descriptors of both kinds ("" where there is none), `table`
    and `row`, and for image, crop and mask `<which>_patient` (the PatientID in the files), `<which>_study`
    and `<which>_series`. `image_patient` is an image's name, `mask_patient` an abnormality's. Raises
    `DatasetError` for a missing table or column and for a malformed or repeated row.
    """
    parts = [_table(path, kind, split, root) for (kind, split), path in files(root, folder, kinds).items()]
    stacked = pd.concat(parts, ignore_index=True)
    absent = {name: "" for kind in KINDS for name in DESCRIPTORS[kind] if name not in stacked}
    return stacked.assign(**absent).fillna({name: "" for kind in KINDS for name in DESCRIPTORS[kind]})


def _table(path: Path, kind: str, split: str, root: Path) -> pd.DataFrame:
    """One of the four tables, checked."""
    header = upstream.header_of(path, root)
    density = next((name for name in DENSITY.values() if name in header), DENSITY[kind])
    named = [*COLUMNS, density, *DESCRIPTORS[kind], *PATHS.values()]
    table = upstream.read_csv(path, named, root).apply(lambda column: column.str.strip())
    for column, values in {
        "left or right breast": ("LEFT", "RIGHT"),
        "image view": ("CC", "MLO"),
        "abnormality type": (kind,),
        "pathology": PATHOLOGIES,
        "assessment": tuple("012345"),
        "subtlety": tuple("012345"),
        density: tuple("01234"),
    }.items():
        expected = " or ".join(values)
        upstream.refuse(path, table[column], ~table[column].isin(values), expected, root)
    upstream.require_text(path, table["patient_id"], r"\w+", "a patient's id", root)
    upstream.require_text(path, table["abnormality id"], "[1-9][0-9]*", "a number from 1", root)
    places = {}
    for which, column in PATHS.items():
        upstream.require_text(path, table[column], PATH, "PatientID/StudyUID/SeriesUID/file", root)
        parts = table[column].str.split("/")
        places |= {f"{which}_{part}": parts.str[at] for at, part in enumerate(("patient", "study", "series"))}
    found = table.rename(columns=COLUMNS | {density: "density"})[
        [*COLUMNS.values(), "density", *DESCRIPTORS[kind]]
    ]
    found = found.assign(**places, upstream_split=split, table=upstream.shown(path, root))
    found["row"] = np.arange(len(found)) + 2
    for name in DESCRIPTORS[kind]:
        found[name] = found[name].where(~found[name].isin(UNKNOWN), "unknown")
    upstream.require_unique(path, found["mask_patient"].rename(PATHS["mask"]), root)
    numbers = ["abnormality", "assessment", "subtlety", "density"]
    return found.astype(dict.fromkeys(numbers, "int64"))


def images(found: pd.DataFrame, by: str = "image_patient") -> pd.DataFrame:
    """A row per image of these `abnormalities` (`by` mask_patient: per abnormality), in their order.

    Columns: image (its name), patient (the image's PatientID), study, series, subject, side, view,
    upstream_split, kind, density, abnormalities (on the image), malignant and mixed (bools), assessment and
    subtlety (the highest: of the most suspicious, of the most obvious), assessments (how many differ),
    descriptors ("several" where they differ). `both`: the film, a patient's side and view, is an image of the
    other kind's table too; `disagree`: by both tables it holds benign and malignant abnormalities.
    """
    film = [found[name] for name in ("subject", "side", "view")]
    malignant = found["pathology"] == "MALIGNANT"
    found = found.assign(
        abnormalities=found.groupby("image_patient")["abnormality"].transform("size"),
        both=found["kind"].groupby(film).transform("nunique") > 1,
        disagree=malignant.groupby(film).transform("nunique") > 1,
        malignant=malignant,
        benign=~malignant,
        assessments=found["assessment"],
    )
    same = (
        "subject",
        "side",
        "view",
        "upstream_split",
        "kind",
        "density",
        "abnormalities",
        "both",
        "disagree",
    )
    descriptors = [name for kind in KINDS for name in DESCRIPTORS[kind]]
    groups = found.groupby(by, sort=False)
    summary = groups.agg(
        **{name: (f"image_{name}", "first") for name in ("patient", "study", "series")},
        **{name: (name, "first") for name in same},
        **{name: (name, "any") for name in ("malignant", "benign")},
        **{name: (name, "max") for name in ("assessment", "subtlety")},
        assessments=("assessments", "nunique"),
        **{name: (name, "first") for name in descriptors},
    )
    summary[descriptors] = summary[descriptors].where(groups[descriptors].nunique() == 1, "several")
    summary["mixed"] = summary["malignant"] & summary["benign"]
    return summary.drop(columns="benign").rename_axis("image").reset_index()


def across_splits(found: pd.DataFrame) -> set[str]:
    """The patients who are in train of one kind and in test of the other: 31 in the published tables."""
    splits = found.groupby("subject")["upstream_split"].nunique()
    return set(splits.index[splits > 1])
