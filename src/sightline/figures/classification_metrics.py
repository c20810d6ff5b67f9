"""Precision, recall and their like: a row per label, a panel per metric, a colour per model."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import classified, forest, style, words
from sightline.figures.classified import ALL, MEAN

# of labels that exclude each other; of others
EXCLUSIVE = ("accuracy", "precision", "recall", "f1")
OTHERS = ("recall", "specificity", "precision", "npv")
COLUMNS = ["row", "panel", "series", "mean", "low", "high", "why"]


def draw(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """A block per dataset; the first row takes the labels together. Published values are hollow marks.

    `classification` as in `tables`, its condition clean; `published` as in `classified.matching`.
    """
    frame = _shown(classification)
    if frame.empty:
        return style.empty("No model was tested")
    values = classified.matching(frame, published)
    blocks = []
    for dataset, here in frame.groupby("dataset"):
        marks = pd.concat([_marks(here), _marks(values[values["dataset"] == dataset], "published")])
        panels = [
            forest.Panel(name, *classified.METRICS[name], limits=(0.0, 1.0))
            for name in (EXCLUSIVE if classified.is_exclusive(here) else OTHERS)
        ]
        title = words.plain(dataset) if frame["dataset"].nunique() > 1 else ""
        blocks.append(forest.Block(title, _rows(here), panels, marks[COLUMNS]))
    colours = classified.colours(frame["model"])
    series = [forest.Series(model, words.plain(model), colour=colour) for model, colour in colours.items()]
    for model, colour in colours.items():
        label = f"{words.plain(model)}, published"
        series.append(forest.Series(f"{model} published", label, "D", False, colour, thin=True))
    return forest.draw(blocks, series, note="positives\n/ images")


def _shown(classification: pd.DataFrame) -> pd.DataFrame:
    """The rows that are drawn: the accuracy of one of several labels that exclude each other is not."""
    frame = classification[classification["condition"] == "clean"]
    parts = []
    for _, part in frame.groupby(["dataset", "model"]):
        exclusive = classified.is_exclusive(part)
        part = part[part["metric"].isin(EXCLUSIVE if exclusive else OTHERS)]
        if exclusive:
            accuracy = part["metric"] == "accuracy"
            part = part[(accuracy & (part["label"] == ALL)) | (~accuracy & (part["label"] != ALL))]
        parts.append(classified.of_labels(part[part["label"] != classified.WEIGHTED]))
    return pd.concat(parts) if parts else frame


def _marks(frame: pd.DataFrame, of: str = "") -> pd.DataFrame:
    """Rows of table 'classification' as marks; all labels and their mean share a row."""
    series = frame["model"] + (f" {of}" if of else "")
    renamed = frame.rename(columns={"metric": "panel", "value": "mean"})
    return renamed.assign(row=frame["label"].replace(ALL, MEAN), series=series, why="undefined")


def _rows(here: pd.DataFrame) -> list[forest.Row]:
    rows = []
    if here["label"].isin([ALL, MEAN]).any():
        rows.append(forest.Row(MEAN, "All labels", "", style.INK, f"{words.span(here['images'])} images"))
    for label in classified.labels_in_order(here):
        part = here[here["label"] == label]
        note = f"{words.span(part['positives'])} / {words.span(part['images'])}"
        rows.append(forest.Row(label, label, "", style.INK, note))
    return rows


def caption(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> str:
    """The question, thresholds, n, and how the intervals were made."""
    frame = _shown(classification)
    values = classified.matching(frame, published)
    exclusive = (frame["label"] == ALL).any()
    missing = frame[frame["value"].isna()]
    why = sorted({str(text).removeprefix("none: ") for text in missing["interval"]} - {"no label has it"})
    parts = [
        "How often are the models right, and of which kind are their errors? Marks are means over seeds, "
        f"bars their intervals ({classified.made_by(frame)}); n = {words.span(frame['images'])} images, "
        f"{words.seeds(frame.loc[frame['value'].notna(), 'seeds'])} per model.",
        "Of labels that exclude each other the most probable one is predicted; the first row has the share "
        "of images that are predicted rightly, else the mean over labels."
        if exclusive
        else "A label is predicted from a probability of 0.5 on; the first row has the mean over labels.",
        f"Undefined: {'; '.join(why)}." if why else "",
        f"Hollow diamonds: published values ({classified.cited(values)})." if len(values) else "",
    ]
    return " ".join(part for part in parts if part)
