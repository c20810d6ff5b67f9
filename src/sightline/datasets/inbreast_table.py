"""INbreast's one table, and its DICOM files, in whose names alone the patients stand."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sightline.datasets import picture_headers, shares, upstream
from sightline.errors import DatasetError

RELEASE = "INbreast Release 1.0"
COLUMNS = {"Laterality": "side", "View": "view", "File Name": "image", "ACR": "density", "Bi-Rads": "birads"}
CATEGORIES = ("1", "2", "3", "4a", "4b", "4c", "5", "6")
DICOM_NAME = re.compile(r"(\d+)_([0-9a-f]{16})_MG_([LR])_([A-Z]+)_ANON\.dcm", re.IGNORECASE)
SIDES = {"L": "LEFT", "R": "RIGHT"}
VIEWS = {"ML": "MLO"}  # as file names have it
SIZE = ["path", "height", "width", "spacing_y", "spacing_x"]


def release(top: Path, root: Path) -> Path:
    """The folder of INbreast.csv: `top`, or the release's below it."""
    release = top / RELEASE if (top / RELEASE).is_dir() else top
    table = release / "INbreast.csv"
    if not table.is_file():
        for sheet in sorted(release.glob("INbreast.xls*")):
            raise DatasetError(
                f"{upstream.shown(table, root)}: missing; {sheet.name} is not read in its stead, for it "
                f"has two rows of notes at its end and other names of columns: take the csv from the release"
            )
    return release


def table(path: Path, root: Path, swapped: Sequence[str]) -> pd.DataFrame:
    """INbreast.csv, checked: image, side, view, density ("unknown" where blank), birads."""
    table = upstream.read_csv(path, list(COLUMNS), root, separator=";").apply(
        lambda column: column.str.strip()
    )
    table["Bi-Rads"] = table["Bi-Rads"].str.lower()
    upstream.require_text(path, table["File Name"], "[0-9]+", "a number (no row of notes)", root)
    upstream.require_unique(path, table["File Name"], root)
    upstream.require_text(path, table["Laterality"], "[LR]", "L or R", root)
    upstream.require_text(path, table["View"], "[A-Z]+", "a view (CC, MLO)", root)
    upstream.require_text(path, table["ACR"], "[1-4]?", "1 to 4, or nothing", root)
    expected = " or ".join(CATEGORIES)
    upstream.refuse(path, table["Bi-Rads"], ~table["Bi-Rads"].isin(CATEGORIES), expected, root)
    strangers = sorted(set(swapped) - set(table["File Name"]))
    if strangers:
        raise DatasetError(
            f"{upstream.shown(path, root)}: has no row for '{strangers[0]}', which the option `swapped` "
            f"names; correct the option"
        )
    table = table.rename(columns=COLUMNS)
    return table.assign(
        side=table["side"].map(SIDES),
        view=table["view"].replace(VIEWS),
        density=table["density"].replace({"": "unknown"}),
    )


def present(table: pd.DataFrame, folder: Path, root: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The images whose file is there, with `subject`, the patient in its name, and what its header says.

    The second table are rows of `skipped`: images without a file, and files that are of no image.
    """
    files: dict[str, list[Path]] = {}
    refused = {}
    known = set(table["image"])
    for path in sorted(folder.glob("[!.]*.dcm")):
        named = DICOM_NAME.fullmatch(path.name)
        files.setdefault(named[1] if named else "", []).append(path)
        if not named:
            refused[path.name] = (
                path,
                "is not named <File Name>_<16 digits of patient>_MG_<side>_<view>_ANON",
            )
        elif named[1] not in known:
            refused[path.name] = (path, "INbreast.csv has no row for it; take both from one release")
    rows, headers = [], []
    for row in table.itertuples():
        paths = files.get(row.image, [])
        expected = paths[0] if paths else folder / f"{row.image}_*_ANON.dcm"
        if len(paths) != 1:
            reason = f"{len(paths)} files of this image; keep one" if paths else "missing; put the file there"
            refused[row.image] = (expected, reason)
            continue
        try:
            headers.append(picture_headers.of_dicom(paths[0], root))
        except DatasetError as error:
            refused[row.image] = (expected, str(error).partition(": ")[2])
        else:
            rows.append((row.Index, DICOM_NAME.fullmatch(paths[0].name)[2].lower()))
    columns = {name: [getattr(header, name) for header in headers] for name in SIZE}
    present = table.loc[[at for at, _ in rows]].assign(subject=[patient for _, patient in rows], **columns)
    shown = [upstream.shown(path, root) for path, _ in refused.values()]
    reasons = [f"{path}: {reason}" for path, (_, reason) in zip(shown, refused.values())]
    return present, upstream.skipped("read", list(refused), shown, reasons)


def splits(present: pd.DataFrame, test_patients: int, share: float) -> pd.Series:
    """train, validate or test: all of a patient's images in one of them."""
    patients = set(present["subject"])
    if patients and test_patients >= len(patients):
        raise DatasetError(
            f"AllDICOMs: there are {len(patients)} patients, of whom {test_patients} are to test (option "
            f"`test_patients`): none would be left to learn from; set it lower"
        )
    tested = shares.first(patients, test_patients / len(patients)) if patients else set()
    malignant = set(present["subject"][present["meaning"] == "malignant"]) - tested
    validating = shares.first(malignant, share) | shares.first(patients - tested - malignant, share)
    split = {patient: "train" for patient in patients} | dict.fromkeys(validating, "validate")
    return present["subject"].map(split | dict.fromkeys(tested, "test"))
