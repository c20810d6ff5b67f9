"""The page's tables: finished text in the order in which a reader asks, with the digits that intervals
support."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pandas as pd

from sightline import answers
from sightline.figures import rows, style, words
from sightline.page import Table


def ranked(summary: pd.DataFrame, center_bias: str | None = None) -> pd.DataFrame:
    """One row per map or baseline, a cell "mean [low, high]" per metric, best first by the main metric.

    Columns: Dataset, Reference, Model, Method, Reading, Condition, the metrics' titles, n (images × seeds),
    Left out.
    """
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    key = ["dataset", "reference", "model", "method", "reading", "condition"]
    metrics = words.ordered(frame["metric"], [*answers.MAIN, *words.METRICS])  # the sorting one first
    main = next((name for name in answers.MAIN if name in metrics), metrics[0] if metrics else "")
    order = style.methods(frame["method"])
    found = []
    for place, part in frame.groupby(key):
        cells = {row["metric"]: words.estimate(row) for _, row in part.iterrows()}
        means = part.set_index("metric")["mean"]
        left = int(part["excluded"].max())
        why = "; ".join(sorted({str(text) for text in part["excluded_why"] if str(text)}))
        baseline = bool(words.is_baseline(part).iloc[0])
        found.append(
            {
                "sort": (place[0], place[1], -means.get(main, float("nan")), order.index(place[3])),
                "Dataset": words.plain(place[0]),
                "Reference": words.plain(place[1]),
                "Model": "baseline" if baseline else words.plain(place[2]),
                "Method": words.method(place[3]),
                "Reading": words.plain(place[4]),
                "Condition": "" if baseline or place[5] == "clean" else words.condition(place[5]),
                **{words.metric(name).title: cells.get(name, "") for name in metrics},
                "n": f"{part['images'].max():,}" + ("" if baseline else f" × {part['seeds'].max()}"),
                "Left out": f"{left:,} ({why})" if left else "0",
            }
        )
    found.sort(key=lambda row: [(value != value, value) for value in row["sort"]])  # NaN last
    table = pd.DataFrame([{name: cell for name, cell in row.items() if name != "sort"} for row in found])
    single = [
        name for name in ("Dataset", "Reference", "Condition") if name in table and table[name].nunique() == 1
    ]
    return table.drop(columns=single)


def scores_table(summary: pd.DataFrame, center_bias: str | None = None) -> Table:
    """Every map and baseline, best first by sAUC (or the first metric there is)."""
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    caption = (
        "Which maps score best? Mean and interval per metric, best first, with baselines among them; "
        "digits as the intervals "
        f"support. Intervals: {words.made_by(frame)}. n: images × seeds. Left out: scores that are "
        "undefined."
    )
    left = frozenset({"Dataset", "Reference", "Model", "Method", "Reading", "Condition", "Left out"})
    return Table(caption, ranked(summary, center_bias), left)


def comparisons_tables(comparisons: pd.DataFrame) -> list[Table]:
    """One table per family of tests, the largest differences first."""
    result = []
    for family, part in comparisons.groupby("family"):
        part = part.loc[part["difference"].abs().sort_values(ascending=False).index]
        frame = pd.DataFrame(
            {
                "First": part["a"].map(words.side),
                "Second": part["b"].map(words.side),
                "Metric": [words.metric(name).title for name in part["metric"]],
                "Group": part["level"],
                "Difference": [words.number(*row) for row in part[["difference", "low", "high"]].to_numpy()],
                "Interval": [words.interval(*row) for row in part[["low", "high"]].to_numpy()],
                "p, corrected": [_probability(value) for value in part["p_corrected"]],
                "Images": [f"{value:,}" for value in part["images"]],
            }
        )
        if not part["level"].str.len().any():
            frame = frame.drop(columns="Group")
        tests = "; ".join(sorted(set(part["test"])))
        caption = (
            f"Is the difference more than chance? Family '{words.plain(family)}': first minus second on the "
            ""
            ""
            ""
            "same images. "
            f"Intervals: {words.made_by(part)}. Test: {tests}; p corrected within the family of "
            f"{len(part)}."
        )
        result.append(Table(caption, frame, frozenset({"First", "Second", "Metric", "Group"})))
    return result


def _probability(value: float) -> str:
    if pd.isna(value):
        return "undefined"
    return (
        "< 0.001" if value < 0.001 else f"{min(1.0, value):.3f}" if value < 0.1 else f"{min(1.0, value):.2f}"
    )


def classification_table(classification: pd.DataFrame) -> Table:
    """AUC and interval per label, a column per model (dataset and condition where there are several), best
    first."""
    frame = classification.assign(
        column=[
            ", ".join(
                [words.plain(row.model)]
                + ([words.plain(row.dataset)] if classification["dataset"].nunique() > 1 else [])
                + ([words.plain(row.condition)] if row.condition != "clean" else [])
            )
            for row in classification.itertuples()
        ],
        cell=[words.estimate(row, "auc") for _, row in classification.iterrows()],
    )
    means = frame.groupby("label")["auc"].mean().fillna(-1.0)
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
        f"AUC per label and its interval ({words.made_by(frame)}); n = {words.span(frame['images'])} "
        "images, "
        f"{words.span(frame['seeds'])} seeds. Undefined: all images have one value."
    )
    return Table(caption, wide, frozenset({"Label"}))


def cohort_table(cohort: pd.DataFrame) -> Table:
    """What every filter left, in the order of the filters."""
    order = {"training": 0, "evaluation": 1}
    frame = cohort.assign(order=cohort["flow"].map(order).fillna(2)).sort_values(
        ["dataset", "order", "flow", "step"]
    )
    result = pd.DataFrame(
        {
            "Dataset": frame["dataset"].map(words.plain),
            "Purpose": frame["flow"].map(words.plain),
            "Kept": frame["filter"],
            "Images": [f"{value:,}" for value in frame["images"]],
            "Subjects": [f"{value:,}" for value in frame["subjects"]],
        }
    )
    return Table("Images and subjects after every filter.", result, frozenset({"Dataset", "Purpose", "Kept"}))


def skipped_table(skipped: pd.DataFrame) -> Table:
    """How many inputs were refused, and why, most first; never which (a page may leave the disk)."""
    reasons = [_nameless(row.reason, row.item, row.path) for row in skipped.itertuples()]
    counts = (
        skipped.assign(reason=reasons)
        .groupby(["dataset", "stage", "reason"])
        .size()
        .reset_index(name="inputs")
    )
    counts = counts.sort_values(["inputs", "dataset", "stage", "reason"], ascending=[False, True, True, True])
    frame = pd.DataFrame(
        {
            "Dataset": counts["dataset"].map(words.plain),
            "Stage": counts["stage"].map(words.plain),
            "Reason": counts["reason"],
            "Inputs": [f"{value:,}" for value in counts["inputs"]],
        }
    )
    caption = "Inputs that were refused, and why. The table 'skipped' beside the results names each."
    return Table(caption, frame, frozenset({"Dataset", "Stage", "Reason"}))


def _nameless(reason: str, item: str, path: str) -> str:
    """A reason without the names of its file and item, so that equal reasons are counted together."""
    for name in sorted(
        {path, item, PurePosixPath(path).name, PurePosixPath(path).stem} - {"", "."}, key=len, reverse=True
    ):
        reason = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", "(input)", reason)
    return reason


def costs_table(costs: pd.DataFrame) -> Table:
    """Jobs, hours and peak memory by rule (a job's name up to its first / or :), the longest first."""
    rule = costs["job"].str.split(r"[/:]", n=1).str[0]
    sums = (
        costs.assign(rule=rule)
        .groupby("rule")
        .agg(
            jobs=("job", "size"),
            seconds=("seconds", "sum"),
            cpu=("cpu_seconds", "sum"),
            peak=("peak_bytes", "max"),
            device=("device", lambda part: ", ".join(sorted(set(part)))),
        )
        .sort_values("seconds", ascending=False)
    )
    frame = pd.DataFrame(
        {
            "Rule": [words.plain(name) for name in sums.index],
            "Jobs": sums["jobs"],
            "Minutes": [f"{value / 60:,.1f}" for value in sums["seconds"]],
            "CPU minutes": [f"{value / 60:,.1f}" for value in sums["cpu"]],
            "Peak memory (GB)": [f"{value / 1e9:,.2f}" for value in sums["peak"]],
            "Device": sums["device"],
        }
    )
    caption = f"What the study cost: {sums['seconds'].sum() / 3600:,.2f} hours over all jobs."
    return Table(caption, frame, frozenset({"Rule", "Device"}))
