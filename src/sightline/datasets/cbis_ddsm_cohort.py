"""Which images of CBIS-DDSM a study takes, in which split, and the flow charts that say so."""

from __future__ import annotations

import pandas as pd

from sightline.datasets import cbis_ddsm_tables, shares
from sightline.datasets.dataset import cohort_flow


def chosen(
    found: pd.DataFrame, unit: str, target: str, mixed: str, without_callback: str
) -> tuple[pd.DataFrame, list[tuple[str, pd.DataFrame]]]:
    """The abnormalities that count, with `image` (which image of the study each is of), and the images that
    each filter leaves: (its name, their table)."""
    by = "image_patient" if unit == "image" else "mask_patient"
    found = found.assign(image=found[by])
    units = "images" if unit == "image" else "abnormalities"
    steps = [(f"{units} of the tables", cbis_ddsm_tables.images(found, by))]
    if without_callback == "excluded":
        found = found[found["pathology"] != cbis_ddsm_tables.WITHOUT_CALLBACK]
        steps.append(("called back", cbis_ddsm_tables.images(found, by)))
    if mixed == "excluded" and unit == "image":
        last = steps[-1][1]
        several = last["assessments"] > 1 if target == "assessment" else last["mixed"] | last["disagree"]
        steps.append((f"of one {target}", last[~several]))
    return found, steps


def splits(table: pd.DataFrame, crossing: set[str], leak: str) -> pd.Series:
    """train or test, "" for an image that is left out."""
    learnt = (table["upstream_split"] == "train") & table["subject"].isin(crossing)
    elsewhere = {"left_out": "", "test": "test", "kept": "train"}[leak]
    return table["upstream_split"].where(~learnt, elsewhere)


def validating(table: pd.DataFrame, share: float) -> set[str]:
    """The training patients who validate: the first by the hash of their names, of each class."""
    train = table[table["split"] == "train"]
    malignant = set(train["subject"][train["malignant"]])
    return shares.first(malignant, share) | shares.first(set(train["subject"]) - malignant, share)


def flows(
    steps: list[tuple[str, pd.DataFrame]],
    table: pd.DataFrame,
    kept: pd.DataFrame,
    masks: pd.DataFrame,
    crossing: set[str],
    leak: str,
) -> pd.DataFrame:
    """The flows `training` and `evaluation`, and what became of patients in both published splits."""
    published = table[table["upstream_split"] == "train"]
    learnt, tested = table[table["split"] == "train"], table[table["split"] == "test"]
    masks = masks[masks["encoding"] != "absent"]
    shapes = masks.merge(kept, on="image", suffixes=("", "_image"))
    other = (shapes["height"] != shapes["height_image"]) | (shapes["width"] != shapes["width_image"])
    present = kept[kept["split"] == "test"]
    masked = present[present["image"].isin(masks["image"])]
    training = [
        *steps,
        ("published as train", published),
        *([] if leak == "kept" else [("of a patient who is in no test table", learnt)]),
        ("with a readable file", kept[kept["split"] != "test"]),
    ]
    evaluation = [
        *steps,
        ("in test", tested),
        ("with a readable file", present),
        ("with a mask of every abnormality", masked),
        (
            "of these, with a mask of another size, stretched",
            masked[masked["image"].isin(shapes["image"][other])],
        ),
    ]
    charts = [cohort_flow("training", training), cohort_flow("evaluation", evaluation)]
    if crossing:
        every = steps[0][1]
        across = every[every["subject"].isin(crossing)]
        became = {"left_out": "left out", "test": "moved to test", "kept": "kept"}[leak]
        charts.append(
            cohort_flow(
                "patients in train of one kind and test of the other",
                [
                    ("their images", across),
                    (f"published as train: {became}", across[across["upstream_split"] == "train"]),
                ],
            )
        )
    return pd.concat(charts, ignore_index=True)
