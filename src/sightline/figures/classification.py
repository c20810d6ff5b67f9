"""How well the models classify: AUC per label with intervals, beside the published ones."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import forest, style, words

COLUMNS = ["row", "panel", "series", "mean", "low", "high"]
MEAN = "mean"  # the label of the row that holds the mean of the defined AUCs


def draw(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> Figure:
    """A panel per model, a row per label (mean first, then best to worst); other conditions are hollow marks.

    `classification` as in `tables`; `published`: model, label, auc and optionally low, high. A label whose
    AUC is undefined says so in its row.
    """
    blocks = []
    for dataset, frame in classification.groupby("dataset"):
        marks = frame.rename(columns={"label": "row", "model": "panel", "condition": "series", "auc": "mean"})
        marks = pd.concat([marks[COLUMNS], _published(marks, published)], ignore_index=True)
        panels = [
            forest.Panel(model, words.plain(model), "AUC (probability)", 0.5)
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


def _published(marks: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    if published is None or published.empty:
        return marks.iloc[:0][COLUMNS]
    found = published.rename(columns={"label": "row", "model": "panel", "auc": "mean"}).assign(
        series="published"
    )
    for column in ("low", "high"):
        if column not in found:
            found[column] = float("nan")
    found = found[found["row"].isin(marks["row"]) & found["panel"].isin(marks["panel"])]
    return found.dropna(subset=["mean"])[COLUMNS]


def _order(frame: pd.DataFrame) -> list[str]:
    first = words.ordered(frame["condition"], ["clean"])[0]
    means = frame[frame["condition"] == first].groupby("label")["auc"].mean()
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


def caption(classification: pd.DataFrame, published: str = "") -> str:
    """The question, n, seeds and how the intervals were made; labels without an AUC are named."""
    frame = classification
    undefined = sorted(set(frame.loc[frame["auc"].isna(), "label"]))
    text = (
        "Do the models find what they were trained to find? Marks are the AUC of each label, bars its "
        "interval "
        f"({words.made_by(frame)}); n = {words.span(frame['images'])} images, "
        f"{words.span(frame['seeds'])} seeds per model. "
        "Dashed line: chance (0.5)."
    )
    if undefined:
        text += f" Undefined, because all images have one value: {', '.join(undefined)}."
    return text + (f" Diamonds: published values ({published})." if published else "")
