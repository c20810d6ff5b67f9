"""Rows of CBIS-DDSM's four case descriptions: drawn, or taken from the published tables; their bytes on disk.

Sizes and shares follow the published tables (doi 10.7937/K9/TCIA.2016.7O02S9CY, CC BY 3.0).
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sightline.errors import ConfigError
from sightline.phantom.breast.lesions import Kind
from sightline.phantom.breast.outline import VIEWS
from sightline.randomness import generator

# (lesion, split) -> the option that says how many patients the table has
TABLES = {
    ("mass", "train"): "mass_train",
    ("mass", "test"): "mass_test",
    ("calcification", "train"): "calc_train",
    ("calcification", "test"): "calc_test",
}
SHORT = {"mass": "mass", "calcification": "calc"}  # as tables' names have it
DENSITY = {"mass": "breast_density", "calcification": "breast density"}
WORDS = {"mass": ("mass shape", "mass margins"), "calcification": ("calc type", "calc distribution")}
ROOT_UID = "1.3.6.1.4.1.9590.100.1.2."
MISSING = "N/A"
# what a finding is called, by whether it is malignant: (first word, second word), the usual pairs
DESCRIBED = {
    ("mass", True): [("IRREGULAR", "SPICULATED")] * 3
    + [("IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED"), ("IRREGULAR", "ILL_DEFINED")],
    ("mass", False): [("OVAL", "CIRCUMSCRIBED")] * 3 + [("LOBULATED", "CIRCUMSCRIBED"), ("OVAL", "OBSCURED")],
    ("calcification", True): [("PLEOMORPHIC", "CLUSTERED")] * 3
    + [("FINE_LINEAR_BRANCHING", "LINEAR"), ("AMORPHOUS", "CLUSTERED")],
    ("calcification", False): [("ROUND_AND_REGULAR", "DIFFUSELY_SCATTERED")] * 2
    + [("COARSE", "REGIONAL"), ("LUCENT_CENTER", MISSING)],
}
ASSESSMENTS = {
    "MALIGNANT": (4, 4, 5, 5, 0, 3),
    "BENIGN": (4, 4, 3, 3, 2, 0),
    "BENIGN_WITHOUT_CALLBACK": (2, 2, 2, 3),
}


@dataclass(frozen=True)
class Path3:
    """A path cell: the folder (PatientID in the files), StudyInstanceUID and SeriesInstanceUID."""

    patient: str
    study: str
    series: str


@dataclass(frozen=True)
class Case:
    """One abnormality: its table and its cells there, line feeds included."""

    lesion: str  # mass or calcification
    split: str
    cells: tuple[str, ...]

    @property
    def film(self) -> tuple[str, str, str]:
        """Patient, side and view: both tables may describe one film."""
        return self.cells[0], self.cells[2], self.cells[3]

    @property
    def density(self) -> int:
        """BI-RADS composition, 1 to 4; what the table leaves unknown (0) is drawn as 2."""
        return int(self.cells[1]) or 2

    @property
    def malignant(self) -> bool:
        """Whether its pathology is."""
        return self.cells[9] == "MALIGNANT"

    @property
    def kind(self) -> Kind:
        """What is planted for it; of unknown subtlety (0) a middling one."""
        return Kind(self.lesion, self.malignant, int(self.cells[10]) or 3)

    @property
    def image(self) -> Path3:
        """Of the whole film."""
        return _path(self.cells[11])

    @property
    def crop(self) -> Path3:
        """Of the cropped patch."""
        return _path(self.cells[12])

    @property
    def mask(self) -> Path3:
        """Of the mask."""
        return _path(self.cells[13])


def _path(cell: str) -> Path3:
    return Path3(*cell.strip().split("/")[:3])


def header(lesion: str) -> list[str]:
    """The columns of a table."""
    return [
        "patient_id",
        DENSITY[lesion],
        "left or right breast",
        "image view",
        "abnormality id",
        "abnormality type",
        *WORDS[lesion],
        "assessment",
        "pathology",
        "subtlety",
        "image file path",
        "cropped image file path",
        "ROI mask file path",
    ]


def name_of(lesion: str, split: str) -> str:
    """The file name of a table."""
    return f"{SHORT[lesion]}_case_description_{split}_set.csv"


def write_tables(folder: Path, cases: Iterable[Case]) -> None:
    """Write the four tables as upstream has them: CRLF after each row, a bare LF inside quoted paths."""
    cases = list(cases)
    for lesion, split in TABLES:
        with (folder / name_of(lesion, split)).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(header(lesion))
            writer.writerows(case.cells for case in cases if (case.lesion, case.split) == (lesion, split))


# ---- from the published tables


def read_tables(folder: Path, most: int | None, seed: int) -> list[Case]:
    """The abnormalities of at most `most` images (None: all) of the tables in `folder`, in the tables' order.

    Images are dealt over tables and classes; first of all come one per table with several abnormalities and
    one whose crop and mask lie in series of their own. Raises `ConfigError` where a table is
    missing or has other columns.
    """
    everything: list[Case] = []
    for lesion, split in TABLES:
        path = Path(folder) / name_of(lesion, split)
        try:
            with path.open(newline="", encoding="utf-8") as file:
                first, *rows = csv.reader(file)
        except (OSError, ValueError) as error:
            raise ConfigError(f"phantom.tables: {path}: not readable as a table ({error})") from error
        if first != header(lesion) or any(len(row) != len(first) for row in rows):
            raise ConfigError(f"phantom.tables: {path}: has other columns than {', '.join(header(lesion))}")
        everything += [Case(lesion, split, tuple(row)) for row in rows]
    if most is None:
        return everything
    chosen = set(_dealt(everything, seed)[:most])
    return [case for case in everything if case.image.patient in chosen]


def _dealt(cases: list[Case], seed: int) -> list[str]:
    """The images' names in the order in which they are taken."""
    images: dict[str, list[Case]] = {}
    for case in cases:
        images.setdefault(case.image.patient, []).append(case)
    names = list(images)
    shuffled = [names[index] for index in generator(seed, "phantom", "subset").permutation(len(names))]
    piles: dict[tuple, list[str]] = {}
    for name in shuffled:
        of = images[name]
        pile = (of[0].lesion, of[0].split, any(case.malignant for case in of))
        piles.setdefault(pile, []).append(name)
    turns = {name: turn for pile in piles.values() for turn, name in enumerate(pile)}
    first = set()
    for table in TABLES:
        in_table = [name for name in shuffled if (images[name][0].lesion, images[name][0].split) == table]
        first |= set([name for name in in_table if len(images[name]) > 1][:1])
        apart = [name for name in in_table if any(case.crop != case.mask for case in images[name])]
        first |= set(apart[:1])
    return sorted(shuffled, key=lambda name: (name not in first, turns[name]))


# ---- drawn


def draw_cases(seed: int, settings: dict) -> list[Case]:
    """The abnormalities of a phantom by the writer's `settings`, in upstream's order."""
    rng = generator(seed, "phantom", "cohort")
    count = {table: settings[option] for table, option in TABLES.items()}
    ids = sorted(int(number) for number in rng.choice(np.arange(1, 2620), sum(count.values()), replace=False))
    patients = [f"P_{number:05d}" for number in rng.permutation(ids)]
    of = {table: [patients.pop() for _ in range(count[table])] for table in TABLES}
    shared = min(settings["shared_patients"], count["mass", "train"], count["calcification", "test"])
    of["calcification", "test"][:shared] = of["mass", "train"][:shared]
    cases: list[Case] = []
    for lesion, split in TABLES:
        draws = generator(seed, "phantom", "cases", lesion, split)
        breasts = _breasts(of[lesion, split], draws, settings["both_sides"])
        if (lesion, split) in (("mass", "train"), ("calcification", "test")):
            # a patient of both tables has one breast in each: by turns another one, or the same film twice
            sides = {
                patient: "LEFT" if at % 2 or lesion == "mass" else "RIGHT"
                for at, patient in enumerate(of["mass", "train"][:shared])
            }
            breasts = sorted({(patient, sides.get(patient, side)) for patient, side in breasts})
        cases += _of_breasts(lesion, split, breasts, draws, seed, settings)
    return _with_unknowns(cases, generator(seed, "phantom", "unknown"), settings["unknown"])


def _breasts(patients: list[str], rng: np.random.Generator, both: float) -> list[tuple[str, str]]:
    """(patient, side), by patient."""
    found = []
    for patient in sorted(patients):
        sides = ["LEFT", "RIGHT"] if rng.random() < both else [str(rng.choice(["LEFT", "RIGHT"]))]
        found += [(patient, side) for side in sides]
    return found


def _spread(rng: np.random.Generator, count: int, share: float) -> np.ndarray:
    """Which of `count` are it, as near to `share` of them as can be: bool."""
    return rng.permutation(count) < round(share * count)


def _of_breasts(
    lesion: str, split: str, breasts: list, rng: np.random.Generator, seed: int, settings: dict
) -> list[Case]:
    malignant = _spread(rng, len(breasts), settings["malignant"])
    several = _spread(rng, len(breasts), settings["several"])
    mixed = _spread(rng, len(breasts), settings["mixed"])
    cases = []
    for (patient, side), bad, many, mix in zip(breasts, malignant, several, mixed):
        density = int(rng.choice([1, 2, 3, 4], p=[0.15, 0.4, 0.3, 0.15]))
        number = int(rng.integers(2, 4)) if many else 1
        classes = [bool(bad)] * (number - 1) + [bool(bad) != (many and mix)]
        told = [_told(lesion, one, rng, settings["without_callback"]) for one in classes]
        views = VIEWS if rng.random() >= settings["one_view"] else (VIEWS[int(rng.integers(2))],)
        for view in views:
            for index, words in enumerate(told, start=1):
                apart = rng.random() < settings["separate_series"]
                head = (patient, str(density), side, view, str(index), lesion)
                paths = _paths(lesion, split, (patient, side, view), index, apart, seed)
                cases.append(Case(lesion, split, (*head, *words, *paths)))
    if settings["separate_series"] and cases and all(case.crop.series == case.mask.series for case in cases):
        at = int(rng.integers(len(cases)))
        cells = cases[at].cells
        paths = _paths(lesion, split, cases[at].film, int(cells[4]), True, seed)
        cases[at] = Case(lesion, split, (*cells[:11], *paths))
    return cases


def _told(lesion: str, malignant: bool, rng: np.random.Generator, without: float) -> tuple[str, ...]:
    """Both words, assessment, pathology and subtlety of one abnormality."""
    words = DESCRIBED[lesion, malignant][int(rng.integers(len(DESCRIBED[lesion, malignant])))]
    pathology = "MALIGNANT" if malignant else "BENIGN"
    if rng.random() < without and not malignant:
        pathology = "BENIGN_WITHOUT_CALLBACK"
    assessment = int(rng.choice(ASSESSMENTS[pathology]))
    return (*words, str(assessment), pathology, str(int(rng.choice([1, 2, 3, 3, 4, 4, 5, 5, 5]))))


def uid(seed: int, *what: object) -> str:
    """A stable identifier of upstream's shape for `what`, of at most 64 characters."""
    rng = generator(seed, "phantom", "uid", *what)
    digits = "".join(map(str, rng.integers(0, 10, 38)))
    return f"{ROOT_UID}{rng.integers(1, 10)}{digits}"


def _paths(
    lesion: str, split: str, film: tuple[str, str, str], index: int, apart: bool, seed: int
) -> tuple[str, str, str]:
    """The three path cells: files count from 0 in each series; one cell, by kind, ends in a line feed."""
    prefix = {"mass": "Mass", "calcification": "Calc"}[lesion]
    whole = f"{prefix}-{'Training' if split == 'train' else 'Test'}_{'_'.join(film)}"
    part = f"{whole}_{index}"

    def cell(name: str, what: str, number: int) -> str:
        study, series = uid(seed, name, what, "study"), uid(seed, name, what, "series")
        return f"{name}/{study}/{series}/{number:06d}.dcm"

    image = cell(whole, "image", 0)
    if apart:
        crop, mask = cell(part, "crop", 0), cell(part, "mask", 0)
    elif lesion == "mass":
        crop, mask = cell(part, "region", 0), cell(part, "region", 1)
    else:
        crop, mask = cell(part, "region", 1), cell(part, "region", 0)
    return (image, crop, f"{mask}\n") if lesion == "mass" else (image, f"{crop}\n", mask)


def _with_unknowns(cases: list[Case], rng: np.random.Generator, share: float) -> list[Case]:
    """With what upstream does not know: N/A for words, a subtlety of 0 in train masses, a density of 0."""
    if not share:
        return cases
    places = {("mass", 6): MISSING, ("mass", 7): MISSING, ("calcification", 6): MISSING}
    changed = [list(case.cells) for case in cases]
    for (lesion, column), value in (*places.items(), (("calcification", 7), MISSING)):
        among = [at for at, case in enumerate(cases) if case.lesion == lesion]
        for at in rng.permutation(among)[: max(1, round(share * len(among)))]:
            changed[at][column] = value
    once = {("mass", "train"): 10, ("calcification", "test"): 1}
    for table, column in once.items():
        among = [at for at, case in enumerate(cases) if (case.lesion, case.split) == table]
        if among:
            first = cases[int(rng.choice(among))].image.patient
            for at in [at for at in among if cases[at].image.patient == first]:
                changed[at][column] = "0"
    return [Case(case.lesion, case.split, tuple(cells)) for case, cells in zip(cases, changed)]
