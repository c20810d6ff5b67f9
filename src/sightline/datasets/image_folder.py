"""Pictures in a folder for each class, as Cats & Dogs (`PetImages/Cat/0.jpg`) and many other sets come.

Or in one folder with the class in the file's name (`train/cat.0.jpg`), or with a table beside them.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from sightline.datasets import picture_headers, shares, upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.errors import ConfigError, DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "Folder of the class folders (or of the table), below the dataset's folder; empty for "
        "that folder itself.",
    },
    "name_pattern": {
        "type": ["string", "null"],
        "default": None,
        "description": "A regular expression that a file's whole path below `folder` (with `/`) must match "
        "to be taken; its group `label` is the class, the optional groups `subject` and `split` are what "
        "they say: `train/(?P<label>cat|dog)\\.\\d+\\.jpg`. Null: the first folder's name is the class.",
    },
    "table": {
        "type": ["string", "null"],
        "default": None,
        "description": "A csv file below `folder` that lists the pictures; null: all pictures in the folder.",
    },
    "table_images": {
        "type": "string",
        "default": "",
        "description": "The folder, below `folder`, that the table's paths start from.",
    },
    "columns": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "The table's columns; a null one is not there.",
        "properties": {
            "image": {"type": "string", "default": "image", "description": "The picture's path."},
            "label": {
                "type": ["string", "null"],
                "default": None,
                "description": "Its class; null: as without a table.",
            },
            "subject": {"type": ["string", "null"], "default": None, "description": "Whom it shows."},
            "split": {
                "type": ["string", "null"],
                "default": None,
                "description": "train, validate (or val, valid, validation) or test.",
            },
            "strata": {
                "type": "array",
                "items": {"type": "string"},
                "default": [],
                "description": "Columns that group pictures.",
            },
        },
    },
    "test_share": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.25,
        "description": "Where no split is given: the share of each class's subjects that test (the default "
        "is the mammography study's on Cats & Dogs).",
    },
    "validation_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.1,
        "description": "Where no picture is given to validate: the share of each class's other subjects that "
        "do.",
    },
}

ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff")
ARCHIVE = "__MACOSX"  # what macOS packs beside the files
SPLITS = {"train": "train", "training": "train", "test": "test", "testing": "test"} | dict.fromkeys(
    ("val", "valid", "validate", "validation"), "validate"
)


def sources(root: Path, folder: str = "", table: str | None = None, **options: object) -> list[Path]:
    """The table, where there is one. Pictures are no inputs: after adding some, force `read_dataset`."""
    return [] if table is None else [root / folder / table]


def read(
    root: Path,
    dataset: str,
    folder: str = "",
    name_pattern: str | None = None,
    table: str | None = None,
    table_images: str = "",
    columns: dict | None = None,
    test_share: float = 0.25,
    validation_share: float = 0.1,
) -> Dataset:
    """The pictures with a label for each class (1 or 0); those of split test are `evaluated`.

    Taken are files that end as pictures do (`ENDINGS`, in any case) and are not hidden; all others, such as
    Thumbs.db, are ignored, and so is what `name_pattern` does not match. A picture's name is its path below
    `folder`, and its subject that name where none is given. Without a given split: in each class the
    subjects (a subject belongs to the class of its first picture) in the order of the SHA-256 of their name
    (in Unicode's form NFC, so that every file system gives one order); the first `test_share` of them,
    rounded, test, and of the others the first `validation_share`, rounded, validate.
    A file that is no picture, leads out of the dataset's folder (or whose path in the table does) or has a
    name that is no text is skipped with a reason. Raises `DatasetError` for a folder without pictures, or
    with folders named as splits for classes, for a missing table, column or unknown split, and for a subject
    in two splits.
    """
    top = root / folder
    if table is None:
        rows, refused = _walked(top, root)
    else:
        chosen = {name: about["default"] for name, about in OPTIONS["columns"]["properties"].items()}
        rows, refused = _listed(top / table, top, root, table_images, chosen | (columns or {}))
    named = _named(rows, name_pattern)
    where = upstream.shown(top, root.parent)
    if named.empty:
        raise DatasetError(
            f"{where}: no picture ({', '.join(ENDINGS)}) of {len(rows)} has a class; put "
            "each class's pictures into a folder of its name, or correct name_pattern"
        )
    sized, bad = _sized(named, root)
    drawn = _splits(sized, where, test_share, validation_share)
    sized = sized.assign(upstream_split=sized["split"], split=drawn)
    flow = [("pictures of the folder", rows), ("with a class", named), ("file readable", sized)]
    return _tables(dataset, sized, sorted(set(named["label"]))).adding(
        cohort=_cohort(flow), skipped=pd.concat([refused, bad], ignore_index=True)
    )


# ---- which pictures


def _walked(top: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every picture below `top`: image, path, and columns of nothing; rows of `skipped`."""
    found, faults = [], {}
    for here, folders, files in os.walk(top):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != ARCHIVE)
        for name in [name for name in folders if Path(here, name).is_symlink()]:
            faults[Path(here, name)] = "is a link to a folder, which is not followed; put the folder there"
        found += [Path(here, name) for name in files if _is_picture(name)]
    for path in found:
        if not _is_text(path):
            faults[path] = "has a name that is no text (UTF-8); rename the file"
    paths = sorted(path.relative_to(top).as_posix() for path in found if path not in faults)
    rows = pd.DataFrame({"image": paths, "path": [str(top.relative_to(root) / path) for path in paths]})
    shown = {_printable(upstream.shown(path, root)): why for path, why in sorted(faults.items())}
    refused = upstream.skipped("read", shown, list(shown), [f"{path}: {why}" for path, why in shown.items()])
    return rows.astype(object).assign(label="", subject="", split=""), refused


def _is_picture(name: str) -> bool:
    return name.lower().endswith(ENDINGS) and not name.startswith(".")


def _is_text(path: Path) -> bool:
    return _printable(str(path)) == str(path)


def _printable(text: str) -> str:
    """`text` with what is no UTF-8 in a file's name written as an escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def _listed(
    path: Path, top: Path, root: Path, images: str, columns: dict
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The pictures that a table lists, as `_walked`, with its strata as columns `stratum <name>`."""
    single = {name: columns[name] for name in ("image", "label", "subject", "split")}
    wanted = [column for column in (*single.values(), *columns["strata"]) if column is not None]
    table = upstream.read_csv(path, list(dict.fromkeys(wanted)), root)
    upstream.require_unique(path, table[columns["image"]], root)
    if columns["label"] is not None:
        label = table[columns["label"]]
        upstream.refuse(path, label, label == "", "a class", root)
    if columns["split"] is not None:
        split = table[columns["split"]]
        upstream.refuse(path, split, ~split.isin(list(SPLITS)), "train, validate or test", root)
    names = [(PurePosixPath(images) / name).as_posix() for name in table[columns["image"]]]
    rows = pd.DataFrame({"image": names, "path": [str(top.relative_to(root) / name) for name in names]})
    for name in ("label", "subject", "split"):
        rows[name] = "" if single[name] is None else table[single[name]]
    strata = {f"stratum {name}": table[name] for name in columns["strata"]}
    return rows.astype(object).assign(**strata), upstream.skipped("read", [], [], [])


def _named(rows: pd.DataFrame, pattern: str | None) -> pd.DataFrame:
    """The rows with a class; what the names say of class, subject and split is filled in where it lacks."""
    said = _by_pattern(rows["image"], pattern) if pattern else _by_folder(rows["image"])
    filled = rows.assign(
        **{name: rows[name].where(rows[name] != "", said[name]) for name in ("label", "subject", "split")}
    )
    filled["subject"] = filled["subject"].where(filled["subject"] != "", filled["image"])
    return filled[(filled["label"] != "") & said["taken"]].reset_index(drop=True)


def _by_folder(images: pd.Series) -> pd.DataFrame:
    folders = [image.split("/")[0] if "/" in image else "" for image in images]
    return pd.DataFrame({"label": folders, "subject": "", "split": "", "taken": True}, dtype=object)


def _by_pattern(images: pd.Series, pattern: str) -> pd.DataFrame:
    """What each name says. Raises `ConfigError` for a pattern that is none or has no group `label`."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(
            f"image_folder: name_pattern '{pattern}': {error}; correct the expression"
        ) from error
    if "label" not in compiled.groupindex:
        raise ConfigError(f"image_folder: name_pattern '{pattern}' has no group (?P<label>...); add it")
    found = [compiled.fullmatch(image) for image in images]
    groups = [{} if match is None else match.groupdict() for match in found]
    said = {name: [one.get(name) or "" for one in groups] for name in ("label", "subject", "split")}
    return pd.DataFrame(said | {"taken": [match is not None for match in found]}, index=images.index)


def _sized(rows: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows with the height and width that the files' headers tell, and rows of `skipped`."""
    sizes, faults = [], {}
    for image, path in zip(rows["image"], rows["path"]):
        try:
            sizes.append(picture_headers.size(upstream.plain_file(root, path, "a picture")))
        except DatasetError as error:
            faults[image] = str(error)
            sizes.append((0, 0))
        except picture_headers.UNREADABLE as error:
            missing = isinstance(error, FileNotFoundError)
            what = (
                "is missing; put it there"
                if missing
                else f"is no picture ({type(error).__name__}); replace it"
            )
            faults[image] = f"{path}: the file {what}"
            sizes.append((0, 0))
    bad = rows["image"].isin(list(faults))
    sized = rows.assign(height=[height for _, height in sizes], width=[width for width, _ in sizes])
    refused = upstream.skipped("read", rows["image"][bad], list(rows["path"][bad]), list(faults.values()))
    return sized[~bad].reset_index(drop=True), refused


# ---- splits


def _splits(rows: pd.DataFrame, where: str, test_share: float, validation_share: float) -> pd.Series:
    """train, validate or test for each row; see `read`."""
    if rows["label"].isin(list(SPLITS)).all() and len(rows):
        raise DatasetError(
            f"{where}: the folders {', '.join(sorted(set(rows['label'])))} are splits, no classes; say where "
            "the class stands: name_pattern: (?P<split>[^/]+)/(?P<label>[^/]+)/.*"
        )
    given = rows["split"].map(SPLITS)
    unknown = given.isna() & (rows["split"] != "")
    if unknown.any():
        row = rows[unknown].iloc[0]
        raise DatasetError(
            f"{row['path']}: its split '{row['split']}' is none of {', '.join(SPLITS)}; correct name_pattern"
        )
    several = given.fillna("").groupby(rows["subject"]).nunique() > 1
    if several.any():
        raise DatasetError(
            f"{where}: subject '{several.idxmax()}' is in more than one split, so the model would be tested "
            "on what it learnt from; give all its pictures one split"
        )
    split = pd.Series("train", rows.index, dtype=object) if given.isna().all() else given.fillna("train")
    if given.isna().all():
        split[_first(rows, split, test_share)] = "test"
    if "validate" not in set(split):
        split[_first(rows, split, validation_share)] = "validate"
    return split


def _first(rows: pd.DataFrame, split: pd.Series, share: float) -> pd.Series:
    """Which of the rows that train belong to the first `share` of their class's subjects, by their hash."""
    subjects = rows[split == "train"].drop_duplicates("subject")
    chosen = [shares.first(group, share) for _, group in subjects.groupby("label")["subject"]]
    return (split == "train") & rows["subject"].isin(set().union(*chosen))


# ---- tables


def _tables(dataset: str, rows: pd.DataFrame, classes: list[str]) -> Dataset:
    images = rows[["image", "subject", "upstream_split", "split", "path", "height", "width"]].assign(
        study=None, evaluated=rows["split"] == "test", view=None, spacing_y=np.nan, spacing_x=np.nan
    )
    value = (rows["label"].to_numpy()[:, None] == np.array(classes, dtype=object)).astype("float64").ravel()
    labels = pd.DataFrame(
        {
            "image": rows["image"].repeat(len(classes)).to_numpy(),
            "label": np.tile(np.array(classes, dtype=object), len(rows)),
            "value": value,
            "raw": value,
        }
    )
    strata = [
        rows[["image"]].assign(stratum=column.removeprefix("stratum "), value=rows[column])
        for column in rows
        if column.startswith("stratum ")
    ]
    strata = pd.concat(strata, ignore_index=True) if strata else rows[:0]
    return Dataset.nothing(dataset).adding(
        images=images, labels=labels, strata=strata.assign(model=None, seed=None)
    )


def _cohort(flow: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    left = flow[-1][1]
    learnt, tested = left[left["split"] != "test"], left[left["split"] == "test"]
    return pd.concat(
        [
            cohort_flow("training", [*flow, ("split train or validate", learnt)]),
            cohort_flow("evaluation", [*flow, ("split test", tested)]),
        ],
        ignore_index=True,
    )
