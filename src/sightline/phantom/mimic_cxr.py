"""Writes a synthetic chest study as the tree that downloading MIMIC-CXR-JPG, CheXmask and REFLACX leaves."""

from __future__ import annotations

import csv
from pathlib import Path

from sightline.errors import ConfigError
from sightline.phantom.chest import chexmask, mimic, reflacx
from sightline.phantom.chest.cohort import draw_films, rates
from sightline.phantom.chest.findings import LABELS
from sightline.phantom.chest.gaze import draw_readers
from sightline.phantom.chest.scene import Scene, arrange, jpeg, truth
from sightline.phantom.folder import PLANTED, claim, completed, write_truth
from sightline.phantom.shortcut import Shortcut
from sightline.randomness import generator

OPTIONS = {
    "training": {
        "type": "integer", "default": 240, "minimum": 0,
        "description": "Usable films in the train split: frontal, one to a study, with labels",
    },
    "validation": {
        "type": "integer", "default": 40, "minimum": 0,
        "description": "Usable films in the validate split",
    },
    "test": {
        "type": "integer", "default": 40, "minimum": 0,
        "description": "Usable films in the test split that no reader saw",
    },
    "phase_1": {
        "type": "integer", "default": 6, "minimum": 0, "maximum": 98,
        "description": "Films of REFLACX's phase 1, each read by every reader (upstream has 59)",
    },
    "phase_2": {
        "type": "integer", "default": 5, "minimum": 0, "maximum": 99,
        "description": "Films of phase 2, each read by every reader (upstream has 50)",
    },
    "phase_3": {
        "type": "integer", "default": 24, "minimum": 0,
        "description": "Films of phase 3, each read by one reader (upstream has 2507)",
    },
    "readers": {
        "type": "integer", "default": 5, "minimum": 1,
        "description": "Readers",
    },
    "height": {
        "type": "integer", "default": 384, "minimum": 64, "maximum": 4096,
        "description": "Mean height of a film in pixels (upstream's is mostly 3056)",
    },
    "width": {
        "type": "integer", "default": 320, "minimum": 64, "maximum": 4096,
        "description": "Mean width of a film in pixels (upstream's is mostly 2544)",
    },
    "size_variation": {
        "type": "number", "default": 0.08, "minimum": 0, "maximum": 0.5,
        "description": "Height and width each vary by up to this share, so the aspect varies",
    },
    "findings": {
        "type": ["array", "null"], "default": None, "uniqueItems": True, "items": {"type": "string"},
        "description": "Labels that are planted; null plants all 13. Those left out are 0 everywhere",
    },
    "prevalence": {
        "type": ["number", "object"], "default": 1.0, "minimum": 0,
        "additionalProperties": {"type": "number", "minimum": 0, "maximum": 1},
        "description": "A factor on the usual shares of studies, or some labels' own shares; a parent "
                       "(Lung Opacity, ...) has at least the share that its children bring along",
    },
    "contrast": {
        "type": "number", "default": 1.0, "minimum": 0, "maximum": 4,
        "description": "How visible findings are; 0 plants labels and places but changes no pixel",
    },
    "finding_size": {
        "type": "number", "default": 1.0, "exclusiveMinimum": 0, "maximum": 3,
        "description": "Factor on the findings' sides (not on the heart's)",
    },
    "uncertain": {
        "type": "number", "default": 0.03, "minimum": 0, "maximum": 1,
        "description": "Share of true labels written as -1; of untrue ones, this times the label's share",
    },
    "missing_labels": {
        "type": "number", "default": 0.5, "minimum": 0, "maximum": 1,
        "description": "Share of untrue labels that are left empty instead of 0",
    },
    "traps": {
        "type": "number", "default": 0.02, "minimum": 0, "maximum": 1,
        "description": "Films to be left out, added per split as a share of its usable films (at least one "
                       "of each kind, none at 0): laterals, studies with two frontals, without "
                       "ViewPosition, without labels",
    },
    "shared_subjects": {
        "type": "integer", "default": 3, "minimum": 0,
        "description": "Subjects of read films who also have films in training: a leak to be closed",
    },
    "dwell": {
        "type": "number", "default": 0.4, "minimum": 0, "maximum": 1,
        "description": "Probability that a fixation is on a finding, where there is one; at 0 gaze knows "
                       "anatomy only",
    },
    "fixations": {
        "type": "number", "default": 60, "minimum": 2, "maximum": 1000,
        "description": "Expected fixations of a reading",
    },
    "reader_differences": {
        "type": "number", "default": 0.3, "minimum": 0, "maximum": 2,
        "description": "How far readers differ in where, how often and how long they look",
    },
    "zoomed": {
        "type": "number", "default": 0.25, "minimum": 0, "maximum": 1,
        "description": "Share of views that show only part of the film, magnified",
    },
    "off_image": {
        "type": "number", "default": 0.02, "minimum": 0, "maximum": 1,
        "description": "Share of fixations beside the film",
    },
    "discarded": {
        "type": "number", "default": 0.04, "minimum": 0, "maximum": 1,
        "description": "Share of readings of phases 1 and 2 without gaze (at least one, none at 0)",
    },
    "poor_masks": {
        "type": "number", "default": 0.02, "minimum": 0, "maximum": 1,
        "description": "Share of CheXmask rows that failed, Dice RCA (Mean) below 0.7 (at least one, none "
                       "at 0)",
    },
    "shortcut": {
        "type": ["object", "null"], "default": None, "additionalProperties": False, "required": ["label"],
        "description": "A bright marker in a corner that follows a label in the train and validate splits; "
                       "null: none",
        "properties": {
            "label": {
                "type": "string",
                "description": "The label that the marker follows; one that is planted",
            },
            "corner": {
                "type": "string", "default": "upper left",
                "enum": ["upper left", "upper right", "lower left", "lower right"],
                "description": "Where the marker lies",
            },
            "share_with_label": {
                "type": "number", "default": 0.9, "minimum": 0, "maximum": 1,
                "description": "Share of training films with the label that carry the marker",
            },
            "share_without": {
                "type": "number", "default": 0.1, "minimum": 0, "maximum": 1,
                "description": "Share of those without it; equal shares make a control",
            },
            "share_evaluated": {
                "type": "number", "default": 0.5, "minimum": 0, "maximum": 1,
                "description": "Share of test films and read films, whatever their labels",
            },
            "size": {
                "type": "number", "default": 0.09, "exclusiveMinimum": 0, "maximum": 0.4,
                "description": "The marker's side as a share of the film's shorter side",
            },
        },
    },
}  # fmt: skip

FILES = "physionet.org/files"
WRITER = "sightline.phantom.tree"  # its name in phantom.json since the first one: old folders stay its own


def write(root: Path, seed: int, **options: object) -> None:
    """Write the phantom of `seed` into the folder `root`; `options` are described in `OPTIONS`.

    Leaves `physionet.org/files/...` as wget would, `phantom_truth.csv` (dicom_id, kind finding|marker, label,
    shape rectangle|ellipse, xmin, ymin, xmax, ymax in image pixels, for every frontal film) and
    `phantom.json`, which says that the folder is the phantom's own. Equal arguments give equal bytes. Raises
    `ConfigError` for options that make no sense and `DatasetError` where `root` holds files that this writer
    did not write.
    """
    settings, shortcut = _checked(options)
    root = Path(root)
    claim(root, WRITER, seed, settings, {PLANTED, "physionet.org"})
    films = draw_films(seed, settings)
    scenes = [arrange(film, seed, settings, shortcut) for film in films]
    files = root / FILES
    _write_films(files / mimic.PATH, scenes, seed, settings)
    mimic.write_tables(files / mimic.PATH, films, seed, settings)
    _write_masks(files / chexmask.PATH, scenes, seed, settings)
    readers = draw_readers(seed, settings["readers"], settings["reader_differences"])
    (files / reflacx.PATH).mkdir(parents=True)
    reflacx.write_tree(files / reflacx.PATH, scenes, readers, seed, settings)
    _write_truth(root, scenes, shortcut.label if shortcut else "")


def _checked(options: dict[str, object]) -> tuple[dict, Shortcut | None]:
    """All settings with their defaults, and the shortcut; raises `ConfigError`."""
    settings = completed(OPTIONS, options)
    prevalence, shortcut = settings["prevalence"], settings["shortcut"]
    named = {
        "findings": settings["findings"] or [],
        "prevalence": list(prevalence) if isinstance(prevalence, dict) else [],
        "shortcut.label": [shortcut["label"]] if shortcut else [],
    }
    for key, labels in named.items():
        for label in labels:
            if label not in LABELS:
                raise ConfigError(
                    f"phantom.{key}: unknown label '{label}'; expected one of {', '.join(LABELS)}"
                )
    if shortcut and rates(settings["findings"], prevalence)[shortcut["label"]] == 0:
        raise ConfigError(
            f"phantom.shortcut.label: '{shortcut['label']}' is never planted; add it to phantom.findings"
        )
    return settings, Shortcut(**shortcut) if shortcut else None


def _write_films(folder: Path, scenes: list[Scene], seed: int, settings: dict) -> None:
    for scene in scenes:
        path = folder / f"{scene.film.path}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(jpeg(scene, seed, settings["contrast"]))


def _write_masks(path: Path, scenes: list[Scene], seed: int, settings: dict) -> None:
    frontal = [scene for scene in scenes if scene.film.view in ("PA", "AP")]
    count = max(1, round(settings["poor_masks"] * len(frontal))) if settings["poor_masks"] and frontal else 0
    order = generator(seed, "phantom", "poor masks").permutation(len(frontal))
    poor = set(order[:count].tolist())
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, chexmask.COLUMNS, lineterminator="\n")
        writer.writeheader()
        for index, scene in enumerate(frontal):
            dicom = scene.film.dicom
            rng = generator(seed, "phantom", "mask", dicom)
            writer.writerow(chexmask.row(dicom, scene.size, scene.anatomy, scene.place, rng, index in poor))


def _write_truth(root: Path, scenes: list[Scene], marks: str) -> None:
    rows = [
        [
            scene.film.dicom,
            row["kind"],
            row["label"],
            row["shape"],
            *(round(float(side), 2) for side in row["box"]),
        ]
        for scene in scenes
        for row in truth(scene, marks)
    ]
    write_truth(root, rows)
