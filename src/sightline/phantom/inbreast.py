"""Writes synthetic mammograms as INbreast's release has them: DICOM files, contours in plists, one table.

Moreira et al. 2012, doi 10.1016/j.acra.2011.09.014. The planted places are the contours.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.phantom.breast import dicom, plists
from sightline.phantom.breast.film import Mammogram
from sightline.phantom.breast.lesions import Kind
from sightline.phantom.breast.outline import SIDES, VIEWS
from sightline.phantom.breast.scene import draw, lay_out, stored
from sightline.phantom.folder import PLANTED, claim, completed, write_truth
from sightline.randomness import generator

OPTIONS = {
    "patients": {
        "type": "integer", "default": 40, "minimum": 0, "maximum": 1000,
        "description": "Patients (upstream has 115); most have both breasts in both views",
    },
    "one_side": {
        "type": "number", "default": 0.22, "minimum": 0, "maximum": 1,
        "description": "Share of patients with films of one breast",
    },
    "normal": {
        "type": "number", "default": 0.17, "minimum": 0, "maximum": 1,
        "description": "Share of breasts of BI-RADS 1: without lesions, their films without contours",
    },
    "malignant": {
        "type": "number", "default": 0.4, "minimum": 0, "maximum": 1,
        "description": "Share of the others with a malignant lesion (BI-RADS 4a to 6; upstream: 100 of 343)",
    },
    "mixed": {
        "type": "number", "default": 0.15, "minimum": 0, "maximum": 1,
        "description": "Share of those with a benign calcification too",
    },
    "height": {
        "type": "integer", "default": 320, "minimum": 96, "maximum": 6000,
        "description": "Height of a film in pixels (upstream's is 4084 or 3328)",
    },
    "width": {
        "type": "integer", "default": 256, "minimum": 80, "maximum": 6000,
        "description": "Width of a film in pixels (upstream's is 3328 or 2560)",
    },
    "size_variation": {
        "type": "number", "default": 0.06, "minimum": 0, "maximum": 0.5,
        "description": "Height and width each vary by up to this share",
    },
    "contrast": {
        "type": "number", "default": 1.0, "minimum": 0, "maximum": 4,
        "description": "How visible lesions are; 0 plants labels and contours but changes no pixel",
    },
    "lesion_size": {
        "type": "number", "default": 1.0, "exclusiveMinimum": 0, "maximum": 3,
        "description": "Factor on the lesions' sides",
    },
    "texture": {
        "type": "number", "default": 1.0, "minimum": 0, "maximum": 2,
        "description": "How strong glandular tissue and strands are; 0 is a breast of plain fat",
    },
    "view_label": {
        "type": "boolean", "default": False,
        "description": "Whether side and view are burnt into the corner away from the chest wall",
    },
    "odd_names": {
        "type": "number", "default": 0.1, "minimum": 0, "maximum": 1,
        "description": "Share of lesions whose regions have rarer names (Calcifications, Assymetry ...)",
    },
    "at_edge": {
        "type": "number", "default": 0.05, "minimum": 0, "maximum": 1,
        "description": "Share of films whose first lesion crosses the film's edge, its contour a pixel "
                       "outside (at least one, none at 0)",
    },
    "blank_density": {
        "type": "number", "default": 0.03, "minimum": 0, "maximum": 1,
        "description": "Share of rows with a blank ACR (at least one, none at 0)",
    },
    "marker": {
        "type": ["object", "null"], "default": None, "additionalProperties": False,
        "description": "A bright marker in a corner that follows a label; null: none",
        "properties": {
            "label": {
                "type": "string", "default": "malignant", "enum": ["benign", "malignant"],
                "description": "The label that the marker follows; films without lesions are benign",
            },
            "corner": {
                "type": "string", "default": "lower right",
                "enum": ["upper left", "upper right", "lower left", "lower right"],
                "description": "Where the marker lies",
            },
            "share_with_label": {
                "type": "number", "default": 0.9, "minimum": 0, "maximum": 1,
                "description": "Share of films with the label that carry the marker",
            },
            "share_without": {
                "type": "number", "default": 0.1, "minimum": 0, "maximum": 1,
                "description": "Share of those without it; equal shares make a control",
            },
            "size": {
                "type": "number", "default": 0.09, "exclusiveMinimum": 0, "maximum": 0.4,
                "description": "The marker's side as a share of the film's shorter side",
            },
        },
    },
}  # fmt: skip

WRITER = "sightline.phantom.inbreast"
RELEASE = "INbreast Release 1.0"
COLUMNS = (
    "Patient ID",
    "Patient age",
    "Laterality",
    "View",
    "Acquisition date",
    "File Name",
    "ACR",
    "Bi-Rads",
)
IN_NAMES = {"CC": "CC", "MLO": "ML"}  # a view as file names have it
BI_RADS = {True: ("4a", "4b", "4c", "5", "5", "6"), False: ("2", "2", "2", "2", "3")}
DETECTOR = 0.07  # mm per pixel of a film of upstream's width
UPSTREAM_WIDTH = 2560


@dataclass(frozen=True)
class Shot:
    """One film: its row of the table and what is to be planted."""

    name: int  # File Name: eight digits
    patient: str  # 16 hexadecimal digits, in the DICOM file's name alone
    side: str
    view: str
    density: int
    bi_rads: str
    kinds: tuple[Kind, ...]
    date: int  # yyyymm

    @property
    def film(self) -> tuple[str, str, str]:
        """Patient, side and view."""
        return self.patient, self.side, self.view


def write(root: Path, seed: int, **options: object) -> None:
    """Write the phantom of `seed` into the folder `root`; `options` are described in `OPTIONS`.

    Leaves `INbreast Release 1.0/` with AllDICOMs, AllXML and INbreast.csv, `phantom_truth.csv` (the markers,
    as boxes by File Name) and `phantom.json`, which says that the folder is the phantom's own. Equal
    arguments give equal bytes. Raises `ConfigError` for unknown options and `DatasetError` where `root` holds
    files that this writer did not write.
    """
    settings = completed(OPTIONS, options)
    root = Path(root)
    claim(root, WRITER, seed, settings, (PLANTED, RELEASE))
    shots = draw_shots(seed, settings)
    release = root / RELEASE
    for folder in ("AllDICOMs", "AllXML"):
        (release / folder).mkdir(parents=True)
    at_edge = _chosen([shot.name for shot in shots if shot.kinds], settings["at_edge"], seed, "edge")
    markers = []
    for shot in shots:
        mammogram = lay_out(shot.film, shot.kinds, shot.density, False, seed, settings, shot.name in at_edge)
        pixels = stored(draw(mammogram, shot.film, seed, settings, haze=0))
        spacing = DETECTOR * UPSTREAM_WIDTH / mammogram.width
        _write_film(release / "AllDICOMs", shot, pixels, spacing, seed)
        found = _regions(shot, mammogram, seed, settings["odd_names"])
        if found:
            plists.write(release / "AllXML" / f"{shot.name}.xml", found, pixels, spacing)
        if mammogram.marker:
            label = settings["marker"]["label"]
            markers.append([shot.name, "marker", label, "rectangle", *mammogram.marker])
    _write_table(release / "INbreast.csv", shots, settings["blank_density"], seed)
    write_truth(root, markers)


def _regions(shot: Shot, mammogram: Mammogram, seed: int, odd: float) -> list[tuple[str, np.ndarray]]:
    """What a reader drew on a film: names and points of its regions."""
    found = []
    for number, lesion in enumerate(mammogram.found):
        rng = generator(seed, "phantom", "regions", shot.name, number)
        found += plists.regions(lesion, mammogram.size, odd, rng)
    return found


def _chosen(names: list[int], share: float, seed: int, purpose: str) -> set[int]:
    """A share of the names, at least one unless it is 0."""
    count = max(1, round(share * len(names))) if share and names else 0
    order = generator(seed, "phantom", purpose).permutation(len(names))
    return {names[index] for index in order[:count]}


def draw_shots(seed: int, settings: dict) -> list[Shot]:
    """The films of a phantom by the writer's `settings`, in the order of their names."""
    rng = generator(seed, "phantom", "cohort")
    breasts = []
    for _ in range(settings["patients"]):
        patient, density = rng.bytes(8).hex(), int(rng.choice([1, 2, 3, 4], p=[0.33, 0.36, 0.24, 0.07]))
        sides = SIDES if rng.random() >= settings["one_side"] else (SIDES[int(rng.integers(2))],)
        breasts += [(patient, side, density) for side in sides]
    count = len(breasts)
    sick = rng.permutation(count) >= round(settings["normal"] * count)
    malignant = np.zeros(count, bool)
    among = rng.permutation(np.flatnonzero(sick))
    malignant[among[: round(settings["malignant"] * among.size)]] = True
    names = np.sort(rng.choice(np.arange(20_500_000, 53_600_000), 2 * count, replace=False))
    shots = []
    for at, (patient, side, density) in enumerate(breasts):
        kinds = _planted(rng, bool(malignant[at]), settings["mixed"]) if sick[at] else ()
        bi_rads = str(rng.choice(BI_RADS[bool(malignant[at])])) if sick[at] else "1"
        date = int(rng.integers(2008, 2011)) * 100 + int(rng.integers(1, 13))
        for number, view in enumerate(VIEWS):
            name = int(names[2 * at + number])
            shots.append(Shot(name, patient, side, view, density, bi_rads, kinds, date))
    return shots


def _planted(rng: np.random.Generator, malignant: bool, mixed: float) -> tuple[Kind, ...]:
    """What both views of one breast show."""
    subtlety = int(rng.integers(2, 6))
    choice, more = rng.random(2)
    of_masses = 0.65 if malignant else 0.5
    lesions = ["mass"] if choice < of_masses else ["calcification"]
    if choice > 0.9:
        lesions = ["mass", "calcification"]
    kinds = [Kind(lesion, malignant, subtlety) for lesion in lesions]
    if malignant and more < mixed:
        kinds.append(Kind("calcification", False, subtlety))
    return tuple(kinds)


def _write_film(folder: Path, shot: Shot, pixels: np.ndarray, spacing: float, seed: int) -> None:
    name = f"{shot.name}_{shot.patient}_MG_{shot.side[0]}_{IN_NAMES[shot.view]}_ANON.dcm"
    digits = generator(seed, "phantom", "uid", shot.name).integers(0, 10, (3, 30))
    instance, series, study = ("1.2.826.0.1.3680043.8.498.9" + "".join(map(str, row)) for row in digits)
    dicom.write(
        folder / name,
        pixels,
        12,
        dicom.DIGITAL_MAMMOGRAM,
        SOPInstanceUID=instance,
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        PatientID="removed",
        PatientName="removed",
        StudyDate=f"{shot.date}01",
        ImageLaterality=shot.side[0],
        ViewPosition=shot.view,
        BodyPartExamined="BREAST",
        InstanceNumber=1,
        ImagerPixelSpacing=[f"{spacing:.6f}"] * 2,
        PixelSpacing=[f"{spacing:.6f}"] * 2,
    )


def _write_table(path: Path, shots: list[Shot], blank: float, seed: int) -> None:
    blanks = _chosen([shot.name for shot in shots], blank, seed, "blank")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=";", lineterminator="\r\n")
        writer.writerow(COLUMNS)
        for shot in shots:
            density = "  " if shot.name in blanks else shot.density
            view = [shot.side[0], shot.view]
            writer.writerow(["removed", "removed", *view, shot.date, shot.name, density, shot.bi_rads])
