"""Writes synthetic mammograms as a download of CBIS-DDSM leaves them: tables, films, crops, masks.

Lee et al. 2017, doi 10.7937/K9/TCIA.2016.7O02S9CY. Each abnormality's planted place is its mask.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sightline.phantom.breast import series
from sightline.phantom.breast.cases import Case, draw_cases, read_tables, write_tables
from sightline.phantom.breast.film import Mammogram
from sightline.phantom.breast.scene import draw, lay_out, stored
from sightline.phantom.folder import PLANTED, claim, completed, write_truth

OPTIONS = {
    "mass_train": {
        "type": "integer", "default": 24, "minimum": 0, "maximum": 600,
        "description": "Patients in the table of training masses; most have one breast and two views of it",
    },
    "mass_test": {
        "type": "integer", "default": 8, "minimum": 0, "maximum": 600,
        "description": "Patients in the table of test masses",
    },
    "calc_train": {
        "type": "integer", "default": 24, "minimum": 0, "maximum": 600,
        "description": "Patients in the table of training calcifications",
    },
    "calc_test": {
        "type": "integer", "default": 8, "minimum": 0, "maximum": 600,
        "description": "Patients in the table of test calcifications",
    },
    "shared_patients": {
        "type": "integer", "default": 2, "minimum": 0,
        "description": "Patients with training masses who have test calcifications too (31 upstream in both "
                       "kinds of split): a leak; by turns in the other breast and on the same film",
    },
    "malignant": {
        "type": "number", "default": 0.45, "minimum": 0, "maximum": 1,
        "description": "Share of breasts whose first abnormality is malignant",
    },
    "without_callback": {
        "type": "number", "default": 0.2, "minimum": 0, "maximum": 1,
        "description": "Share of benign abnormalities that are BENIGN_WITHOUT_CALLBACK",
    },
    "several": {
        "type": "number", "default": 0.1, "minimum": 0, "maximum": 1,
        "description": "Share of breasts with two or three abnormalities on each film",
    },
    "mixed": {
        "type": "number", "default": 0.25, "minimum": 0, "maximum": 1,
        "description": "Share of those whose last one is of the other pathology",
    },
    "both_sides": {
        "type": "number", "default": 0.06, "minimum": 0, "maximum": 1,
        "description": "Share of patients with films of both breasts",
    },
    "one_view": {
        "type": "number", "default": 0.25, "minimum": 0, "maximum": 1,
        "description": "Share of breasts with one view instead of CC and MLO",
    },
    "height": {
        "type": "integer", "default": 320, "minimum": 96, "maximum": 6000,
        "description": "Mean height of a film in pixels (upstream's is about 5300)",
    },
    "width": {
        "type": "integer", "default": 256, "minimum": 80, "maximum": 6000,
        "description": "Mean width of a film in pixels (upstream's is about 3100)",
    },
    "size_variation": {
        "type": "number", "default": 0.06, "minimum": 0, "maximum": 0.5,
        "description": "Height and width each vary by up to this share, so the aspect varies",
    },
    "contrast": {
        "type": "number", "default": 1.0, "minimum": 0, "maximum": 4,
        "description": "How visible lesions are; 0 plants labels and masks but changes no pixel",
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
        "type": "boolean", "default": True,
        "description": "Whether side and view are burnt into the corner away from the chest wall",
    },
    "layout": {
        "type": "string", "default": "retriever", "enum": ["retriever", "rest", "kaggle"],
        "description": "Folders as NBIA's data retriever leaves them, as a REST client does (a folder per "
                       "series), or as the JPEG edition on Kaggle has them (csv/ and jpeg/)",
    },
    "swapped": {
        "type": "number", "default": 0.5, "minimum": 0, "maximum": 1,
        "description": "Share of series of crop and mask that begin with the mask, whatever the table says",
    },
    "separate_series": {
        "type": "number", "default": 0.03, "minimum": 0, "maximum": 1,
        "description": "Share of abnormalities whose crop and mask lie in series of their own (at least one, "
                       "none at 0)",
    },
    "resized_masks": {
        "type": "number", "default": 0.04, "minimum": 0, "maximum": 1,
        "description": "Share of masks that have another size than their film",
    },
    "unknown": {
        "type": "number", "default": 0.03, "minimum": 0, "maximum": 1,
        "description": "Share of descriptions that are N/A (at least one of each); unless 0, also one "
                       "subtlety and one density of 0",
    },
    "tables": {
        "type": ["string", "null"], "default": None,
        "description": "Folder of the four published tables: films are made for their rows, with their UIDs; "
                       "the options of patients and abnormalities above are ignored. Relative to where "
                       "snakemake runs; an edit of the tables is not noticed. null: tables are drawn",
    },
    "max_images": {
        "type": ["integer", "null"], "default": 60, "minimum": 1,
        "description": "With tables: how many images are made, over all four and both classes; null: all",
    },
    "marker": {
        "type": ["object", "null"], "default": None, "additionalProperties": False,
        "description": "A bright marker in a corner that follows a label in the training tables; null: none",
        "properties": {
            "label": {
                "type": "string", "default": "malignant", "enum": ["benign", "malignant"],
                "description": "The label that the marker follows; a film is malignant where any of its "
                               "abnormalities is",
            },
            "corner": {
                "type": "string", "default": "lower right",
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
                "description": "Share of films in a test table, whatever their labels",
            },
            "size": {
                "type": "number", "default": 0.09, "exclusiveMinimum": 0, "maximum": 0.4,
                "description": "The marker's side as a share of the film's shorter side",
            },
        },
    },
}  # fmt: skip

WRITER = "sightline.phantom.cbis_ddsm"
PARTS = (PLANTED, "*_case_description_*_set.csv", "manifest-*", "1.3.6.1.4.1.9590.*", "csv", "jpeg")
HAZE = 0.015  # of the empty film, which a digitiser does not see quite black


def write(root: Path, seed: int, **options: object) -> None:
    """Write the phantom of `seed` into the folder `root`; `options` are described in `OPTIONS`.

    Leaves the four tables, the films with their crops and masks in the chosen layout, `phantom_truth.csv`
    (the markers, as boxes by image) and `phantom.json`, which says that the folder is the phantom's own.
    Equal arguments give equal bytes. Raises `ConfigError` for options that make no sense and `DatasetError`
    where `root` holds files that this writer did not write.
    """
    settings = completed(OPTIONS, options)
    if settings["tables"] is None:
        cases = draw_cases(seed, settings)
    else:
        cases = read_tables(Path(settings["tables"]), settings["max_images"], seed)
    root = Path(root)
    claim(root, WRITER, seed, settings, PARTS)
    csv_folder = root / "csv" if settings["layout"] == "kaggle" else root
    csv_folder.mkdir(exist_ok=True)
    write_tables(csv_folder, cases)
    info, markers = [], []
    for film, of in _by_film(cases):
        evaluated = any(case.split == "test" for case in of)
        kinds = [case.kind for case in of]
        mammogram = lay_out(film, kinds, of[0].density, evaluated, seed, settings)
        pixels = series.full_range(stored(draw(mammogram, film, seed, settings, HAZE)))
        for image, planted in _by_image(of, mammogram):
            for picture in series.pictures(pixels, planted, seed, settings):
                if settings["layout"] == "kaggle":
                    info.append(series.write_jpeg(root, picture, seed))
                else:
                    series.write_dicom(root, settings["layout"], picture, seed)
            if mammogram.marker:
                label = settings["marker"]["label"]
                markers.append([image, "marker", label, "rectangle", *mammogram.marker])
    if settings["layout"] == "kaggle":
        series.write_info(csv_folder, info)
    write_truth(root, markers)


def _by_film(cases: list[Case]) -> Iterator[tuple[tuple[str, str, str], list[Case]]]:
    """The abnormalities on each film, of both tables."""
    films: dict[tuple[str, str, str], list[Case]] = {}
    for case in cases:
        films.setdefault(case.film, []).append(case)
    yield from films.items()


def _by_image(cases: list[Case], mammogram: Mammogram) -> Iterator[tuple[str, list]]:
    """A film's abnormalities by the image that names them, each with its lesion: one image per table."""
    images: dict[str, list] = {}
    for case, lesion in zip(cases, mammogram.found):
        images.setdefault(case.image.patient, []).append((case, lesion))
    yield from images.items()
