"""INbreast: digital mammograms with BI-RADS categories and contours of findings (Moreira et al. 2012).

Source: doi 10.1016/j.acra.2011.09.014; given on request. The patient stands in the DICOM files' names alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sightline.datasets import inbreast_contours, inbreast_table, upstream
from sightline.datasets.dataset import Dataset, cohort_flow
from sightline.errors import DatasetError

OPTIONS = {
    "folder": {
        "type": "string",
        "default": "",
        "description": "The release's folder, or the one above it, below the dataset's folder: holds "
        "INbreast.csv, AllDICOMs and AllXML.",
    },
    "target": {
        "type": "string",
        "enum": ["malignancy", "birads"],
        "default": "malignancy",
        "description": "Labels `benign` and `malignant` by `mapping`, or `BI-RADS 1` to `BI-RADS 6`; exactly "
        "one holds.",
    },
    "mapping": {
        "type": "object",
        "default": {},
        "additionalProperties": False,
        "description": "What each BI-RADS category means; null leaves its images out. There is no official "
        "rule. The keys are texts: write them in quotes.",
        "properties": {
            "1": {"enum": ["benign", "malignant", None], "default": "benign", "description": "No finding."},
            "2": {"enum": ["benign", "malignant", None], "default": "benign", "description": "Benign."},
            "3": {
                "enum": ["benign", "malignant", None],
                "default": "benign",
                "description": "Probably benign.",
            },
            "4a": {
                "enum": ["benign", "malignant", None],
                "default": "malignant",
                "description": "Low suspicion of malignancy.",
            },
            "4b": {
                "enum": ["benign", "malignant", None],
                "default": "malignant",
                "description": "Intermediate suspicion.",
            },
            "4c": {
                "enum": ["benign", "malignant", None],
                "default": "malignant",
                "description": "Moderate concern.",
            },
            "5": {
                "enum": ["benign", "malignant", None],
                "default": "malignant",
                "description": "Highly suggestive of malignancy.",
            },
            "6": {
                "enum": ["benign", "malignant", None],
                "default": "malignant",
                "description": "Proven by biopsy.",
            },
        },
    },
    "swapped": {
        "identifies": True,
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "File names (numbers, in quotes) whose contours have x and y exchanged; a loader by "
        "others suspects it of 22670094.",
    },
    "test_patients": {
        "type": "integer",
        "minimum": 0,
        "default": 25,
        "description": "Patients who test, drawn by the hash of their ids; there is no official split. 25 of "
        "115, as the study of eight visualisation techniques.",
    },
    "validation_share": {
        "type": "number",
        "minimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.2,
        "description": "Share of the other patients that validate, of those with a malignant image and of "
        "the others.",
    },
}

SIZE = ["path", "height", "width", "spacing_y", "spacing_x"]


def sources(root: Path, folder: str = "", **options: object) -> list[Path]:
    """INbreast.csv. Raises `DatasetError` where there is only the spreadsheet of the same name."""
    return [inbreast_table.release(root / folder, root) / "INbreast.csv"]


def read(
    root: Path,
    dataset: str,
    folder: str = "",
    target: str = "malignancy",
    mapping: Mapping[str, str | None] | None = None,
    swapped: Sequence[str] = (),
    test_patients: int = 25,
    validation_share: float = 0.2,
) -> Dataset:
    """Images with labels, masks of kind `lesion` and of each kind of finding, strata; test is `evaluated`.

    `lesion` unites all contours but those of lymph nodes. Sizes are those in the files' headers. An image
    without a readable file is skipped; where a contour cannot be used, the image stays, without the masks
    that it belongs to. Raises `DatasetError` for a missing table or column, for a malformed or repeated row,
    and where there are no more patients than are to test.
    """
    release = inbreast_table.release(root / folder, root)
    meanings = {name: option["default"] for name, option in OPTIONS["mapping"]["properties"].items()}
    table = inbreast_table.table(release / "INbreast.csv", root, swapped)
    table["meaning"] = table["birads"].map(meanings | dict(mapping or {}))
    present, refused = inbreast_table.present(table, release / "AllDICOMs", root)
    present = present.assign(split=inbreast_table.splits(present, test_patients, validation_share))
    used = present if target == "birads" else present[present["meaning"].notna()]
    kept = used.reset_index(drop=True)
    masks, findings, bad = _masks(kept, release / "AllXML", root, swapped)
    return Dataset.nothing(dataset).adding(
        images=_images(kept),
        labels=_labels(kept, target),
        strata=_strata(kept, findings),
        masks=masks,
        skipped=pd.concat([refused, bad]),
        cohort=_cohort(table, present, kept, masks),
    )


def _images(kept: pd.DataFrame) -> pd.DataFrame:
    """Rows of `images`."""
    columns = kept[["image", "subject", "split", "view", *SIZE]]
    return columns.assign(study=None, upstream_split="none", evaluated=kept["split"] == "test")


def _labels(kept: pd.DataFrame, target: str) -> pd.DataFrame:
    """Rows of `labels`, of which exactly one is 1 on each image."""
    held = (
        {name: kept["meaning"] == name for name in ("benign", "malignant")}
        if target == "malignancy"
        else {f"BI-RADS {name}": kept["birads"] == name for name in inbreast_table.CATEGORIES}
    )
    columns = [
        pd.DataFrame(
            {"image": kept["image"], "label": name, "value": one.astype(float), "raw": one.astype(float)}
        )
        for name, one in held.items()
    ]
    return pd.concat(columns, ignore_index=True)


def _strata(kept: pd.DataFrame, findings: dict[str, str]) -> pd.DataFrame:
    """Rows of `strata`."""
    values = {
        "kind": kept["image"].map(findings),
        **{name: kept[name] for name in ("view", "side", "density", "birads")},
    }
    rows = [
        pd.DataFrame({"image": kept["image"], "stratum": name, "value": one}) for name, one in values.items()
    ]
    return pd.concat(rows, ignore_index=True).assign(model=None, seed=None)


def _masks(
    kept: pd.DataFrame, folder: Path, root: Path, swapped: Sequence[str]
) -> tuple[pd.DataFrame, dict[str, str], pd.DataFrame]:
    """Rows of `masks`, every image's kind of finding, and rows of `skipped` for contours not used."""
    rows, findings, refused = [], {}, []
    for image in kept.itertuples():
        path = folder / f"{image.image}.xml"
        if image.birads == "1" and not path.is_file():
            findings[image.image] = "none"
            continue
        try:
            contours = inbreast_contours.read(path, root, image.image in swapped)
        except DatasetError as error:
            findings[image.image] = "unknown"
            refused.append((image.image, path, str(error)))
            rows.append((image.image, image.height, image.width, "lesion", "absent", str(error)))
            continue
        findings[image.image] = inbreast_contours.finding({contour.kind for contour in contours})
        outlines, faults = _outlines(contours, (image.height, image.width))
        where = upstream.shown(path, root)
        refused += [(image.image, path, f"{where}: {fault}") for fault in faults]
        for kind, of in outlines.items():
            how = ("polygons", inbreast_contours.encoded(of)) if of else ("absent", f"{where}: {faults[0]}")
            rows.append((image.image, image.height, image.width, kind, *how))
    table = pd.DataFrame(rows, columns=["image", "height", "width", "kind", "encoding", "data"])
    paths = [upstream.shown(path, root) for _, path, _ in refused]
    skipped = upstream.skipped("reading", [one[0] for one in refused], paths, [one[2] for one in refused])
    return table.assign(index=0), findings, skipped


def _outlines(
    contours: list[inbreast_contours.Contour], shape: tuple[int, int]
) -> tuple[dict[str, list], list[str]]:
    """Kind of mask -> its outlines, and why contours are not used; a kind that lacks one has none."""
    outlines: dict[str, list] = {}
    incomplete, faults = set(), []
    for contour in contours:
        kinds = {contour.kind} | (
            {"lesion"} - ({"lesion"} if contour.kind in inbreast_contours.NO_LESION else set())
        )
        try:
            points = inbreast_contours.on_image(contour, shape)
        except ValueError as error:
            faults.append(f"{error}; the image goes on without the masks {', '.join(sorted(kinds))}")
            incomplete |= kinds
            continue
        for kind in sorted(kinds):
            outlines.setdefault(kind, []).append(points)
    return outlines | dict.fromkeys(sorted(incomplete), []), faults


def _cohort(
    table: pd.DataFrame, present: pd.DataFrame, kept: pd.DataFrame, masks: pd.DataFrame
) -> pd.DataFrame:
    """The flows `training` and `evaluation`; a patient is counted once the file that names it is there."""
    first = [
        (
            "images of the table",
            table.assign(subject=table["image"].map(present.set_index("image")["subject"])),
        ),
        ("with a readable file", present),
        ("of a category that has a label", kept),
    ]
    tested = kept[kept["split"] == "test"]
    lesions = masks["image"][(masks["kind"] == "lesion") & (masks["encoding"] != "absent")]
    marked = tested[tested["image"].isin(lesions)]
    learnt = ("split train or validate", kept[kept["split"] != "test"])
    evaluation = [*first, ("split test", tested), ("with a lesion's contour", marked)]
    return pd.concat(
        [cohort_flow("training", [*first, learnt]), cohort_flow("evaluation", evaluation)], ignore_index=True
    )
