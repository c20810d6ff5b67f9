"""How well the models classify: AUC per label with intervals, beside the published ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import classified, forest, style, words
from sightline.figures.classified import MEAN, of_metric

COLUMNS = ["row", "panel", "series", "mean", "low", "high", "why"]


def draw(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """A panel per model, a row per label (mean first, then best to worst); other conditions are hollow marks.

    `classification` as in `tables`; `published` as in `classified.matching`. A label whose AUC is undefined
    says so in its row.
    """
    blocks, classification = [], _aucs(classification)
    for dataset, frame in classification.groupby("dataset"):
        marks = frame.rename(
            columns={"label": "row", "model": "panel", "condition": "series", "value": "mean"}
        )
        marks["why"] = "undefined"
        values = _published(frame, published)
        marks = pd.concat([marks[COLUMNS], values[COLUMNS]], ignore_index=True) if len(values) else marks
        panels = [
            forest.Panel(model, words.plain(model), "AUC (probability)", 0.5, limits=words.possible("auc"))
            for model in sorted(set(frame["model"]))
        ]
        title = words.plain(dataset) if classification["dataset"].nunique() > 1 else ""
        blocks.append(forest.Block(title, [_row(frame, label) for label in _order(frame)], panels, marks))
    if not blocks:
        return style.empty("No model was tested")
    series = []
    for index, condition in enumerate(words.ordered(classification["condition"], ["clean"])):
        label = "this study, with interval" if condition == "clean" else words.condition(condition)
        series.append(forest.Series(condition, label, "s" if index else "o", not index, style.FIRST))
    series.append(forest.Series("published", "published", "D", False, style.PUBLISHED, thin=True))
    return forest.draw(blocks, series, note="positives\n/ images")


def _aucs(classification: pd.DataFrame) -> pd.DataFrame:
    """The rows of AUCs; of a dataset that one label speaks for, that label's alone."""
    parts = []
    for _, part in classification.groupby("dataset"):
        label, found = classified.spoken(part), of_metric(part, "auc")
        parts.append(found if label == MEAN else found[found["label"] == label])
    return pd.concat(parts) if parts else classification


def _published(frame: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """The published AUCs of the labels and models in `frame`, as marks, with their source."""
    found = classified.matching(frame, published)
    return found.rename(columns={"label": "row", "model": "panel", "value": "mean"}).assign(
        series="published", why=""
    )


def _order(frame: pd.DataFrame) -> list[str]:
    first = words.ordered(frame["condition"], ["clean"])[0]
    means = frame[frame["condition"] == first].groupby("label")["value"].mean()
    labels = sorted(
        set(frame["label"]) - {MEAN}, key=lambda label: (-means.fillna(-1.0).get(label, -1.0), label)
    )
    return [*([MEAN] if MEAN in set(frame["label"]) else []), *labels]


def _row(frame: pd.DataFrame, label: str) -> forest.Row:
    here = frame[frame["label"] == label]
    if label == MEAN:
        return forest.Row(label, "Mean of the labels", "", style.INK, f"{words.span(here['images'])} images")
    note = f"{words.span(here['positives'])} / {words.span(here['images'])}"
    return forest.Row(label, label, "", style.INK, note)


def caption(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> str:
    """The question, n, seeds and how the intervals were made; labels without an AUC are named."""
    frame = _aucs(classification)
    undefined = sorted(set(frame.loc[frame["value"].isna(), "label"]))
    values = _published(frame, published)
    parts = [
        "Do the models find what they were trained to find? Marks are the AUC of each label, bars its "
        f"interval ({words.made_by(frame[frame['label'] != MEAN])}); "
        f"n = {words.span(frame['images'])} images, {words.seeds(frame['seeds'])} per model.",
        words.cut(frame),
        "Dashed line: chance (0.5).",
        f"Undefined, because all images have one value: {', '.join(undefined)}." if undefined else "",
        f"Diamonds: published values ({classified.cited(values)})." if len(values) else "",
    ]
    return " ".join(part for part in parts if part)
