"""MIMIC-CXR-JPG's tables about the phantom's films: metadata, split, labels, IMAGE_FILENAMES."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from sightline.phantom.chest.cohort import Film, rates
from sightline.phantom.chest.findings import LABELS
from sightline.randomness import generator

PATH = "mimic-cxr-jpg/2.1.0"
PREFIX = "mimic-cxr-2.0.0"  # of the tables' names, in version 2.1.0 too
COLUMNS = tuple(sorted((*LABELS, "No Finding")))
METADATA = (
    "dicom_id",
    "subject_id",
    "study_id",
    "PerformedProcedureStepDescription",
    "ViewPosition",
    "Rows",
    "Columns",
    "StudyDate",
    "StudyTime",
    "ProcedureCodeSequence_CodeMeaning",
    "ViewCodeSequence_CodeMeaning",
    "PatientOrientationCodeSequence_CodeMeaning",
)
VIEWS = {
    "PA": "postero-anterior",
    "AP": "antero-posterior",
    "LATERAL": "lateral",
    "LL": "Left lateral",
    "": "",
}
NEGBIO_DIFFERS = 0.03  # share of cells in which the two labellers differ


def _gzipped(path: Path, header: tuple[str, ...], rows: list[list[object]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # no name and no time in the archive: equal content is equal bytes
    with path.open("wb") as file, gzip.GzipFile("", "wb", 6, file, mtime=0) as archive:
        archive.write(text.getvalue().encode())


def _metadata(film: Film) -> list[object]:
    portable = film.view == "AP"
    procedure = "CHEST (PORTABLE AP)" if portable else "CHEST (PA AND LAT)"
    orientation = {"AP": "Recumbent", "": ""}.get(film.view, "Erect")
    return [
        film.dicom,
        film.subject,
        film.study,
        procedure,
        film.view,
        film.height,
        film.width,
        film.date,
        film.time,
        procedure,
        VIEWS[film.view],
        orientation,
    ]


def label_cells(film: Film, rng: np.random.Generator, settings: dict) -> list[str]:
    """One study's 14 cells in the order of `COLUMNS`: 1.0, 0.0, -1.0 (uncertain) or empty (not mentioned).

    "No Finding" is 1.0 or empty, true where nothing but support devices is planted, as CheXpert's
    labeller has it. Labels that `settings["findings"]` leaves out are 0.0.
    """
    share = rates(settings["findings"], settings["prevalence"])
    cells = []
    for label in COLUMNS:
        uncertain, missing = rng.random(2)
        if label == "No Finding":
            cells.append("" if film.labels - {"Support Devices"} else "1.0")
        elif label in film.labels:
            cells.append("-1.0" if uncertain < settings["uncertain"] else "1.0")
        elif uncertain < settings["uncertain"] * share[label]:
            cells.append("-1.0")
        else:
            cells.append("" if share[label] and missing < settings["missing_labels"] else "0.0")
    return cells


def _negbio(cells: list[str], rng: np.random.Generator) -> list[str]:
    other = {"1.0": "-1.0", "-1.0": "1.0", "0.0": "", "": ""}
    return [
        other[cell] if draw < NEGBIO_DIFFERS else cell for cell, draw in zip(cells, rng.random(len(cells)))
    ]


def write_tables(folder: Path, films: list[Film], seed: int, settings: dict) -> None:
    """Write the tables into `folder`, rows in the films' order (one per image, labels one per study)."""
    folder.mkdir(parents=True, exist_ok=True)
    studies = {film.study: film for film in films if film.labelled}
    expert, negbio = [], []
    for study, film in studies.items():
        rng = generator(seed, "phantom", "labels", study)
        cells = label_cells(film, rng, settings)
        expert.append([film.subject, study, *cells])
        negbio.append([film.subject, study, *_negbio(cells, rng)])
    split = [[film.dicom, film.study, film.subject, film.split] for film in films]
    ids = ("subject_id", "study_id", *COLUMNS)
    _gzipped(folder / f"{PREFIX}-metadata.csv.gz", METADATA, [_metadata(film) for film in films])
    _gzipped(folder / f"{PREFIX}-split.csv.gz", ("dicom_id", "study_id", "subject_id", "split"), split)
    _gzipped(folder / f"{PREFIX}-chexpert.csv.gz", ids, expert)
    _gzipped(folder / f"{PREFIX}-negbio.csv.gz", ids, negbio)
    (folder / "IMAGE_FILENAMES").write_bytes("".join(f"{film.path}.jpg\n" for film in films).encode())
