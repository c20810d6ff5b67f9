"""CBIS-DDSM as a whole, its pictures all header: the published tables, and a file for each series."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from sightline.datasets import cbis_ddsm_tables
from sightline.phantom.breast import dicom

FILM, CROP = (4600, 3000), (400, 300)  # sides that headers name; the files hold one pixel
PIXEL = np.zeros((1, 1), np.uint8)


def write(root: Path, tables: Path) -> int:
    """Copy the four tables of the folder `tables` and write every series that they name; how many files."""
    root = Path(root)
    root.mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(tables).glob("*_case_description_*.csv")):
        shutil.copyfile(path, root / path.name)
    found, count = cbis_ddsm_tables.abnormalities(root), 0
    for which, shape in (("image", FILM), ("mask", FILM), ("crop", CROP)):
        columns = [f"{which}_{part}" for part in ("patient", "study", "series")]
        named = found[columns].drop_duplicates()
        for patient, study, series in named.itertuples(index=False, name=None):
            instance = f"{dicom.WRITER}.{count}"
            sides = {"Rows": shape[0], "Columns": shape[1]}
            ids = {"SOPInstanceUID": instance, "SeriesInstanceUID": series, "StudyInstanceUID": study}
            path = root / series / f"{which}.dcm"
            dicom.write(path, PIXEL, 8, dicom.SECONDARY_CAPTURE, PatientID=patient, **ids, **sides)
            count += 1
    return count
