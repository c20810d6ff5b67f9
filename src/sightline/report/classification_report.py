"""How well the models classify, on the page: sentences, and tables beside the published ones."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from sightline.figures import classified, words
from sightline.figures.classified import ALL, MEAN, of_labels, of_metric
from sightline.report.chance import SIDES, lies
from sightline.report.page import Table

SETS = ("accuracy", "balanced_accuracy", "f1", "auc", "brier", "ece")  # of a model's labels together
EACH = ("precision", "recall", "f1", "specificity", "npv")  # of each label
PUBLISHED = "Published precision / recall / F1"
RIGHTLY = {
    "above": "more than",
    "across": "not distinguishable from",
    "below": "less than",
    "unknown": "without an interval, beside",
}


def answers(classification: pd.DataFrame) -> list[str]:
    """How well the models classify, in sentences: by AUC, and by accuracy where labels exclude each other."""
    clean = classification[classification["condition"] == "clean"]
    parts = [part for _, part in clean.groupby(["dataset", "model"])]
    others = [part for part in parts if not classified.is_exclusive(part)]
    told = _accuracies([part for part in parts if classified.is_exclusive(part)])
    return told + (_areas(pd.concat(others)) if others else [])


def _areas(clean: pd.DataFrame) -> list[str]:
    frame = of_labels(of_metric(clean, "auc"))
    one = frame["label"].nunique() == 1
    frame = frame[(frame["label"] == MEAN) | one]
    frame = frame.dropna(subset=["value"]).sort_values("value", ascending=False)
    if frame.empty:
        return []
    several = frame["dataset"].nunique() > 1
    parts = [
        f"{words.plain(row['model'])}{' on ' + words.plain(row['dataset']) if several else ''} "
        f"{words.estimate(row, 'value')}, {SIDES[lies(row, 0.5)]}"
        for _, row in frame.iterrows()
    ]
    what = f"AUC for {frame['label'].iloc[0]}" if one else "mean AUC over labels"
    return [f"The models' {what}: {'; '.join(parts)}."]


def _accuracies(parts: list[pd.DataFrame]) -> list[str]:
    """A sentence per dataset: the share of images predicted rightly, beside that of the commonest label."""
    told: dict[str, list[tuple[float, str]]] = {}
    for part in parts:
        found = part.set_index(["label", "metric"])
        accuracy, area = found.loc[(ALL, "accuracy")], found.loc[(MEAN, "auc")]
        if pd.isna(accuracy["value"]):
            continue
        chance, label = commonest(part)
        text = f"{words.plain(part['model'].iloc[0])} predicts {words.estimate(accuracy, 'value')} of the "
        text += f"images rightly, {RIGHTLY[lies(accuracy, chance)]} always saying {label} ({chance:.2f})"
        if pd.notna(area["value"]):
            text += f", with an AUC of {words.estimate(area, 'value')}, {SIDES[lies(area, 0.5)]}"
        told.setdefault(part["dataset"].iloc[0], []).append((-accuracy["value"], text))
    return [
        f"On {words.plain(dataset)}, {'; '.join(text for _, text in sorted(found))}."
        for dataset, found in told.items()
    ]


def commonest(part: pd.DataFrame) -> tuple[float, str]:
    """The share of images that have the commonest of exclusive labels, and its name."""
    rows = of_metric(part, "recall")
    rows = rows[~rows["label"].isin(classified.TOGETHER)]
    share = rows.set_index("label")["positives"] / rows["images"].clip(lower=1).to_numpy()
    return float(share.max()), str(share.idxmax())


def tables_of(classification: pd.DataFrame, published: pd.DataFrame | None = None) -> list[Table]:
    """What the section shows: models side by side, AUCs by label, and every model's report by label.

    `classification` as in `tables`; `published` as in `classified.matching`.
    """
    if classification.empty:
        return []
    clean = classification[classification["condition"] == "clean"]
    if not set(clean["metric"]) > {"auc"}:
        return [areas(classification)]
    mirrored = all(classified.spoken(part) != MEAN for _, part in clean.groupby("dataset"))
    by_label = [] if mirrored else [areas(classification)]  # of two that exclude each other both are the same
    return [together(clean, published), *by_label, *_reports(clean, published)]


def together(clean: pd.DataFrame, published: pd.DataFrame | None = None) -> Table:
    """A row per dataset and model, best accuracy first."""
    known, rows = classified.matching(clean, published), []
    known = known[known["metric"] == "accuracy"]
    for (dataset, model), part in clean.groupby(["dataset", "model"]):
        found = part.set_index(["metric", "label"]).sort_index()
        row = {"Dataset": words.plain(dataset), "Model": words.plain(model)}
        for metric in SETS:
            label = ALL if (metric, ALL) in found.index else MEAN
            row[classified.title(metric)] = words.estimate(found.loc[(metric, label)], "value")
            if metric == "accuracy":
                best = found.loc[(metric, label), "value"]
                of = known[(known["dataset"] == dataset) & (known["model"] == model)]
                row["Accuracy, published"] = _printed(of[of["label"] == label])
        row["n"] = f"{part['images'].max():,} \N{MULTIPLICATION SIGN} {part['seeds'].max()}"
        rows.append((dataset, -best, model, row))
    frame = pd.DataFrame([row for *_, row in sorted(rows, key=lambda found: found[:3])])
    idle = ["Dataset"] if frame["Dataset"].nunique() == 1 else []
    idle += [] if frame["Accuracy, published"].any() else ["Accuracy, published"]
    of_all = (
        " Of labels that exclude each other, accuracy, balanced accuracy, Brier score and calibration error "
        "are those of all labels in one; the others are means over labels."
        if (clean["label"] == ALL).any()
        else " Means over labels."
    )
    return Table(
        "How often are the models right? Means over seeds with intervals "
        f"({classified.made_by(clean[clean['label'].isin([ALL, MEAN])])}).{of_all} n: images "
        f"\N{MULTIPLICATION SIGN} seeds.{_sourced(known)}",
        frame.drop(columns=idle),
        frozenset({"Dataset", "Model", "Accuracy, published"}),
    )


def _printed(values: pd.DataFrame) -> str:
    """Published values with their places, of which there may be several: "0.65 (Table 2), 0.6925 (...)"."""
    digits = [f"{value:.2f}" if round(value, 2) == value else f"{value:g}" for value in values["value"]]
    return ", ".join(f"{text} ({place})" for text, place in zip(digits, values["place"]))


def _sourced(values: pd.DataFrame) -> str:
    return f" Published: {classified.cited(values)}." if len(values) else ""


def _reports(clean: pd.DataFrame, published: pd.DataFrame | None) -> Iterator[Table]:
    """A table per dataset and model: a row per label, then the means over labels."""
    known = classified.matching(clean, published)
    known = known[known["metric"].isin(EACH[:3])]
    for (dataset, model), part in clean.groupby(["dataset", "model"]):
        of = known[(known["dataset"] == dataset) & (known["model"] == model)]
        labels = classified.labels_in_order(part)
        means = [name for name in (MEAN, classified.WEIGHTED) if name in set(part["label"])]
        labels += means if len(labels) > 1 else []
        frame = pd.DataFrame([_row(part, of, label) for label in labels])
        shown = part[part["metric"].isin(EACH)]
        yield Table(
            f"{words.plain(model)} on {words.plain(dataset)}: of which kind are its errors? Means over "
            f"{words.seeds([part['seeds'].max()])} with intervals "
            f"({classified.made_by(shown)}).{_undefined(shown)}" + _sourced(of),
            frame if frame[PUBLISHED].any() else frame.drop(columns=PUBLISHED),
            frozenset({"Label"}),
        )


def _row(part: pd.DataFrame, published: pd.DataFrame, label: str) -> dict[str, str]:
    """A label's row of a report."""
    found = part[part["label"] == label].set_index("metric")
    row = {
        "Label": classified.name_of(label),
        "Positives": f"{found['positives'].iloc[0]:,}" if label not in classified.TOGETHER else "",
    }
    for metric in EACH:
        row[classified.title(metric)] = (
            words.estimate(found.loc[metric], "value") if metric in found.index else ""
        )
    values = published[published["label"] == label].set_index("metric")["value"]
    return row | {PUBLISHED: " / ".join(f"{values[name]:.2f}" for name in EACH[:3] if name in values)}


def _undefined(part: pd.DataFrame) -> str:
    """Why numbers are undefined."""
    here = part.loc[part["value"].isna(), "interval"]
    why = sorted({str(text).removeprefix("none: ") for text in here} - {"no label has it"})
    return f" Undefined: {'; '.join(why)}." if why else ""


def areas(classification: pd.DataFrame) -> Table:
    """AUC and interval per label, best first; a column per model (and dataset, condition, if several)."""
    classification = of_labels(of_metric(classification, "auc"))
    frame = classification.assign(
        column=[
            ", ".join(
                [words.plain(row.model)]
                + ([words.plain(row.dataset)] if classification["dataset"].nunique() > 1 else [])
                + ([words.plain(row.condition)] if row.condition != "clean" else [])
            )
            for row in classification.itertuples()
        ],
        cell=[words.estimate(row, "value") for _, row in classification.iterrows()],
    )
    single = frame[frame["label"] != "mean"]
    means = frame.groupby("label")["value"].mean().fillna(-1.0)
    labels = sorted(means.index, key=lambda label: (label != "mean", -means[label], label))
    wide = (
        frame.pivot_table(index="label", columns="column", values="cell", aggfunc="first")
        .loc[labels]
        .fillna("")
    )
    positives = frame.groupby("label")["positives"].agg(words.span)
    wide.insert(0, "Positives", ["" if label == "mean" else positives[label] for label in labels])
    wide.insert(0, "Label", ["Mean of the labels" if label == "mean" else label for label in labels])
    caption = (
        f"AUC per label and its interval ({words.made_by(single)}); n = {words.span(frame['images'])} "
        f"images, {words.seeds(frame['seeds'])}. Undefined: all images have one value."
    )
    return Table(caption, wide, frozenset({"Label"}))
