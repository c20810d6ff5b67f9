"""CBIS-DDSM's pictures on disk: whole films, crops and masks as series, in the layouts of its editions."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from sightline.phantom.breast import dicom
from sightline.phantom.breast.cases import Case, Path3, uid
from sightline.phantom.breast.lesions import Lesion
from sightline.randomness import generator

FULL, CROPPED, MASKED = "full mammogram images", "cropped images", "ROI mask images"
MANIFEST = "manifest-1700000000000"
NO_ADDITION = 0.15  # share of studies whose folder lacks the "-NA"
KAGGLE = "CBIS-DDSM"
INFO = (
    "file_path",
    "image_path",
    "AccessionNumber",
    "BitsAllocated",
    "BitsStored",
    "BodyPartExamined",
    "Columns",
    "ContentDate",
    "ContentTime",
    "ConversionType",
    "HighBit",
    "InstanceNumber",
    "LargestImagePixelValue",
    "Laterality",
    "Modality",
    "PatientBirthDate",
    "PatientID",
    "PatientName",
    "PatientOrientation",
    "PatientSex",
    "PhotometricInterpretation",
    "PixelRepresentation",
    "ReferringPhysicianName",
    "Rows",
    "SOPClassUID",
    "SOPInstanceUID",
    "SamplesPerPixel",
    "SecondaryCaptureDeviceManufacturer",
    "SecondaryCaptureDeviceManufacturerModelName",
    "SeriesDescription",
    "SeriesInstanceUID",
    "SeriesNumber",
    "SmallestImagePixelValue",
    "SpecificCharacterSet",
    "StudyDate",
    "StudyID",
    "StudyInstanceUID",
    "StudyTime",
)


@dataclass(frozen=True)
class Picture:
    """One file: where it belongs, what it is said to be, and its number in its series (from 1)."""

    of: Path3
    description: str  # the series': a shared one has the masks'
    number: int
    pixels: np.ndarray
    side: str
    view: str
    shared: bool = False  # whether crop and mask lie in one series


def full_range(pixels: np.ndarray) -> np.ndarray:
    """12-bit grey values (0 to 4095) spread over the 16 bits that upstream's films use: uint16."""
    return (pixels << 4) | (pixels >> 8)


def pictures(
    pixels: np.ndarray, cases: list[tuple[Case, Lesion]], seed: int, settings: dict
) -> Iterator[Picture]:
    """The files of one image: the whole film, then crop and mask of each abnormality in the order on disk.

    `pixels`: the film, uint16 (H, W); `cases`: the image's abnormalities, each with what is planted for it.
    """
    first_case = cases[0][0]
    side, view = first_case.film[1:]
    yield Picture(first_case.image, FULL, 1, pixels, side, view)
    for case, lesion in cases:
        rng = generator(seed, "phantom", "region", case.mask.patient)
        mask = lesion.mask(*pixels.shape)
        crop = pixels[around(lesion.box, pixels.shape)]
        if rng.random() < 0.5:  # upstream has both
            crop = (crop >> 8).astype(np.uint8)
        shown = mask.astype(np.uint8) * 255
        if rng.random() < settings["resized_masks"]:
            shown = _resized(shown, rng)
        first = Picture(case.crop, CROPPED, 1, crop, side, view)
        second = Picture(case.mask, MASKED, 1, shown, side, view)
        if case.crop.series == case.mask.series:  # in either order, whatever the table claims
            first, second = replace(first, description=MASKED, shared=True), replace(second, shared=True)
            if rng.random() < settings["swapped"]:
                first, second = second, first
            second = replace(second, number=2)
        yield from (first, second)


def around(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the crop: the box with a quarter of its sides more, on the film."""
    more_x, more_y = 0.25 * (box[2] - box[0]) + 2, 0.25 * (box[3] - box[1]) + 2
    rows = slice(max(0, int(box[1] - more_y)), min(size[0], int(box[3] + more_y) + 2))
    return rows, slice(max(0, int(box[0] - more_x)), min(size[1], int(box[2] + more_x) + 2))


def _resized(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The mask on a grid of its own, of about the film's size and aspect."""
    height, width = (round(side * rng.uniform(0.84, 0.95)) for side in mask.shape)
    return cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)


# ---- on disk


def _elements(picture: Picture, seed: int) -> dict[str, object]:
    of = picture.of
    return {
        "SpecificCharacterSet": "ISO_IR 100",
        "SOPInstanceUID": uid(seed, of.series, picture.number),
        "StudyDate": dicom.DATE,
        "ContentDate": dicom.DATE,
        "StudyTime": dicom.TIME,
        "ContentTime": dicom.TIME,
        "AccessionNumber": "",
        "ConversionType": "WSD",
        "ReferringPhysicianName": "",
        "SeriesDescription": picture.description,
        "PatientName": of.patient,
        "PatientID": of.patient,
        "PatientBirthDate": "",
        "PatientSex": "",
        "BodyPartExamined": "BREAST",
        "StudyInstanceUID": of.study,
        "SeriesInstanceUID": of.series,
        "StudyID": "DDSM",
        "SeriesNumber": 1,
        "InstanceNumber": picture.number,
        "PatientOrientation": picture.view,
        "Laterality": picture.side[0],
    }


def folder_in(layout: str, picture: Picture, seed: int) -> str:
    """The folder of a picture's series, relative to the dataset's, in the layout `retriever` or `rest`."""
    of = picture.of
    if layout == "rest":
        return of.series
    addition = "" if generator(seed, "phantom", "folder", of.study).random() < NO_ADDITION else "-NA"
    study = f"{dicom.DATE[4:6]}-{dicom.DATE[6:]}-{dicom.DATE[:4]}-DDSM{addition}-{of.study[-5:]}"
    return f"{MANIFEST}/CBIS-DDSM/{of.patient}/{study}/1.000000-{picture.description}-{of.series[-5:]}"


def write_dicom(root: Path, layout: str, picture: Picture, seed: int) -> None:
    """Write one file as the retriever (`retriever`) or a REST client (`rest`) leaves it."""
    path = root / folder_in(layout, picture, seed) / f"1-{picture.number}.dcm"
    bits = 8 * picture.pixels.dtype.itemsize
    dicom.write(path, picture.pixels, bits, dicom.SECONDARY_CAPTURE, **_elements(picture, seed))


def write_jpeg(root: Path, picture: Picture, seed: int) -> dict[str, object]:
    """Write one file as the Kaggle edition has it, an 8-bit JPEG; returns its row of `dicom_info.csv`."""
    pixels = picture.pixels if picture.pixels.dtype == np.uint8 else (picture.pixels >> 8).astype(np.uint8)
    shown = int(generator(seed, "phantom", "jpeg", picture.of.series, picture.number).integers(1, 1000))
    inside = f"jpeg/{picture.of.series}/{picture.number}-{shown:03d}.jpg"
    path = root / inside
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes())
    bits = 8 * picture.pixels.dtype.itemsize
    return _elements(picture, seed) | {
        "file_path": f"{KAGGLE}/dicom/{picture.of.series}/{picture.number}-1.dcm",
        "image_path": f"{KAGGLE}/{inside}",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "Rows": picture.pixels.shape[0],
        "Columns": picture.pixels.shape[1],
        "LargestImagePixelValue": int(picture.pixels.max()),
        "SmallestImagePixelValue": int(picture.pixels.min()),
        "Modality": "MG",
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "SOPClassUID": dicom.SECONDARY_CAPTURE,
        "SeriesDescription": "" if picture.shared else picture.description,
        "SecondaryCaptureDeviceManufacturer": "",
        "SecondaryCaptureDeviceManufacturerModelName": "",
    }


def write_info(folder: Path, rows: list[dict[str, object]]) -> None:
    """Write `dicom_info.csv`, a row per file, and `meta.csv`, a row per series, into `folder`."""
    with (folder / "dicom_info.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, INFO, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    series: dict[str, list[dict[str, object]]] = {}
    for row in rows:
        series.setdefault(str(row["SeriesInstanceUID"]), []).append(row)
    with (folder / "meta.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(
            [
                "SeriesInstanceUID",
                "StudyInstanceUID",
                "Modality",
                "SeriesDescription",
                "BodyPartExamined",
                "SeriesNumber",
                "Collection",
                "Visibility",
                "ImageCount",
            ]
        )
        for name, of in series.items():
            said = of[0]["SeriesDescription"] or MASKED
            writer.writerow(
                [name, of[0]["StudyInstanceUID"], "MG", said, "BREAST", 1, "CBIS-DDSM", 1, len(of)]
            )
