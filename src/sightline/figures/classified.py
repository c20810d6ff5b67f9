"""What the figures and tables of classification share: metrics in words, rows in order, published values."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from sightline.figures import style, words

# labels of table 'classification' that name no label: their mean, that weighted by positives, all in one
MEAN, WEIGHTED, ALL = "mean", "weighted", "all"
TOGETHER = (MEAN, WEIGHTED, ALL)

# metric -> title, what it is a share of, or how it is made
METRICS = {
    "auc": ("AUC", "probability"),
    "accuracy": ("Accuracy", "of all images"),
    "balanced_accuracy": ("Balanced accuracy", "mean of recall and specificity"),
    "precision": ("Precision (PPV)", "of those predicted"),
    "recall": ("Recall (sensitivity)", "of the positive"),
    "f1": ("F1", "harmonic mean"),
    "specificity": ("Specificity", "of the negative"),
    "npv": ("NPV", "of those not predicted"),
    "average_precision": ("Average precision", "area under precision over recall"),
    "brier": ("Brier score", "mean square; 0 is best"),
    "ece": ("Calibration error", "mean distance; 0 is best"),
}


def title(metric: str) -> str:
    """What readers call a metric of classification."""
    return METRICS[metric][0] if metric in METRICS else words.metric(metric).title


def of_metric(classification: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of `classification` that hold `metric`."""
    return classification[classification["metric"] == metric]


def of_labels(classification: pd.DataFrame) -> pd.DataFrame:
    """`classification` without what takes labels together where there is one label alone."""
    single = ~classification["label"].isin(TOGETHER)
    return classification[single] if classification.loc[single, "label"].nunique() == 1 else classification


def is_exclusive(classification: pd.DataFrame) -> bool:
    """Whether labels exclude each other in the rows of one dataset and model: then they have an accuracy."""
    return bool((classification["label"] == ALL).any())


def spoken(classification: pd.DataFrame) -> str:
    """The label that speaks for those of one dataset: their mean; of one alone, or of two that exclude each
    other (whose ROC curves are mirrored), the last by name."""
    labels = sorted(set(classification["label"]) - set(TOGETHER))
    alone = len(labels) == 1 or (len(labels) == 2 and is_exclusive(classification))
    return labels[-1] if alone and labels else MEAN


def colours(models: Iterable[str]) -> dict[str, str]:
    """A colour for each model, by name."""
    palette = (style.FIRST, style.SECOND, style.THIRD, *style.FREE[1:])
    return {name: palette[index % len(palette)] for index, name in enumerate(sorted(set(models)))}


def name_of(label: str) -> str:
    """A label in words, those that take labels together too."""
    known = {MEAN: "Mean of the labels", WEIGHTED: "Mean, by positives", ALL: "All labels"}
    return known.get(label, label)


def labels_in_order(classification: pd.DataFrame) -> list[str]:
    """The labels of one dataset: numbers by size, others by name."""
    labels = set(classification["label"]) - set(TOGETHER)
    return sorted(
        labels, key=lambda label: (not label.isdigit(), int(label) if label.isdigit() else 0, label)
    )


def matching(classification: pd.DataFrame, published: pd.DataFrame | None) -> pd.DataFrame:
    """The published values of datasets, models, labels and metrics that `classification` has.

    `published`: dataset ("" for any), model, label, metric, value, low, high, place, source. A published
    `model` is also ours of the name `model_dataset`, as studies call it that train it on several datasets.
    The result has a row per value, so two where the paper gives two.
    """
    columns = ["dataset", "model", "label", "metric", "value", "low", "high", "place", "source"]
    if published is None or published.empty or classification.empty:
        return pd.DataFrame(columns=columns)
    keys = ["dataset", "model", "label", "metric"]
    wanted = classification[keys].drop_duplicates()
    anywhere = published[published["dataset"] == ""].drop(columns="dataset")
    placed = published[published["dataset"] != ""]
    found = [
        wanted.merge(placed, on=keys),
        wanted.merge(placed.assign(model=placed["model"] + "_" + placed["dataset"]), on=keys),
        wanted.merge(anywhere, on=keys[1:]),
    ]
    result = pd.concat(found, ignore_index=True).reindex(columns=columns)
    numbers = result[["value", "low", "high"]].apply(pd.to_numeric, errors="coerce")
    return result.assign(**numbers).dropna(subset=["value"])


def made_by(rows: pd.DataFrame) -> str:
    """How the intervals of rows were made; those without an interval say nothing."""
    known = rows.dropna(subset=["low"])
    return words.made_by(known.assign(interval=known["interval"].str.split(";").str[0]))


def cited(values: pd.DataFrame) -> str:
    """The sources of published values, with their places: "A paper 2021, Section 4.1, Tables 2, 3"."""
    told = {}
    for row in values.itertuples():
        head = row.source.removesuffix(f", {row.place}")
        kind, _, number = row.place.partition(" ") if head != row.source else ("", "", "")
        told.setdefault(head, {}).setdefault(kind, set()).add(number)
    parts = []
    for head, kinds in sorted(told.items()):
        listed = [
            f"{kind}{'s' if len(numbers) > 1 else ''} {', '.join(sorted(numbers, key=_size))}"
            for kind, numbers in sorted(kinds.items())
            if kind
        ]
        parts.append(", ".join([head, *listed]))
    return "; ".join(parts)


def _size(number: str) -> tuple[float, str]:
    return (float(number), "") if number.replace(".", "", 1).isdigit() else (float("inf"), number)
