"""The study's page: the question, the answer in its numbers, the evidence, how it was made, and how to read it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

import pandas as pd

from sightline import page, tables
from sightline.answers import answer, ranked
from sightline.errors import ConfigError
from sightline.figures import rows, words
from sightline.page import Picture, Pre, Section, Table, Terms

PRIVACY = {
    "none": "This page holds aggregates only: no image, map, identifier or value of a single image "
    "of a dataset that may not be passed on.",
    "local": "This page holds images or maps of datasets that may not be passed on. Keep it on this disk.",
    "publish": "The study is set to publish its pictures: whoever set it says that the datasets' licences allow it.",
}

# figure -> the section's title and the question it answers, in the order of the page
EVIDENCE = {
    "intervals": ("Scores", "How near do the maps come to the references, and how far are they from chance?"),
    "strata": ("Groups of images", "Do the scores depend on the kind of image?"),
    "center_bias": ("Center bias", "What does leaving the image out of its own center bias change?"),
    "distributions": ("Spread over images", "Is a mean carried by most images, or by a few?"),
    "overlays": ("Cases", "What do the maps look like where they do best, as usual, and worst?"),
    "classification": ("Classification", "Do the models find what they were trained to find?"),
    "curves": ("Training", "Did training settle, and alike for every seed?"),
    "cohort": ("Images", "Which images does the study rest on, and which were left out?"),
}


@dataclass(frozen=True)
class Evidence:
    """All that a page is made from. Tables as in `tables` (empty where the study has none).

    `pictures` gives a key of `EVIDENCE` its figures; others go under "More". `versions` and `facts` (seeds, recipe,
    models, command) are shown as they are; `config` is the configuration's text; `areas` as in `answers.answer`.
    """

    title: str
    question: str
    summary: pd.DataFrame = field(default_factory=lambda: tables.empty("summary"))
    comparisons: pd.DataFrame = field(default_factory=lambda: tables.empty("comparisons"))
    classification: pd.DataFrame = field(default_factory=lambda: tables.empty("classification"))
    cohort: pd.DataFrame = field(default_factory=lambda: tables.empty("cohort"))
    skipped: pd.DataFrame = field(default_factory=lambda: tables.empty("skipped"))
    costs: pd.DataFrame = field(default_factory=lambda: tables.empty("costs"))
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    areas: rows.Areas = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    center_bias: str | None = None
    publish_images: str = "none"


def render(evidence: Evidence) -> str:
    """The whole page as HTML. Under `publish_images` "none", restricted pictures are left out and counted.

    Raises `ConfigError` for an unknown `publish_images`.
    """
    if evidence.publish_images not in PRIVACY:
        raise ConfigError(
            f"report.publish_images: {evidence.publish_images!r}; expected one of {', '.join(PRIVACY)}"
        )
    sentences = answer(
        evidence.summary, evidence.classification, areas=evidence.areas, center_bias=evidence.center_bias
    )
    hidden = sum(picture.restricted for pictures in evidence.pictures.values() for picture in pictures)
    privacy = PRIVACY[evidence.publish_images]
    if evidence.publish_images == "none" and hidden:
        privacy += f" Left out for that reason: {hidden} {'figure' if hidden == 1 else 'figures'}."
    return page.write(evidence.title, evidence.question, sentences, sections(evidence), privacy=privacy)


def sections(evidence: Evidence) -> list[Section]:
    """The page's sections that have something to show: evidence, how it was made, how to read it."""
    found = []
    for name, (title, question) in EVIDENCE.items():
        parts = [*_shown(evidence, name), *_tables(evidence, name)]
        if parts:
            found.append(Section(title, question, parts))
    more = [
        picture for name in evidence.pictures if name not in EVIDENCE for picture in _shown(evidence, name)
    ]
    if more:
        found.append(Section("More", "", more))
    made = _made(evidence)
    return [*found, *([made] if made.parts else []), _reading(evidence)]


def _shown(evidence: Evidence, name: str) -> list[Picture]:
    pictures = evidence.pictures.get(name, ())
    return [item for item in pictures if evidence.publish_images != "none" or not item.restricted]


def _tables(evidence: Evidence, name: str) -> list[Table]:
    """The tables of a section; a table whose source is empty is left out."""
    if name == "intervals" and len(evidence.summary):
        return [
            scores_table(evidence.summary, evidence.center_bias),
            *comparisons_tables(evidence.comparisons),
        ]
    if name == "classification" and len(evidence.classification):
        return [classification_table(evidence.classification)]
    if name == "cohort" and (len(evidence.cohort) or len(evidence.skipped)):
        return [cohort_table(evidence.cohort), skipped_table(evidence.skipped)]
    return []


def scores_table(summary: pd.DataFrame, center_bias: str | None = None) -> Table:
    """Every map and baseline, best first by sAUC (or the first metric there is)."""
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    caption = (
        "Which maps score best? Mean and interval per metric, best first, with baselines among them; digits as the intervals "
        f"support. Intervals: {words.made_by(frame)}. n: images × seeds. Left out: scores that are undefined."
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
                "First": part["a"], "Second": part["b"], "Metric": [words.metric(name).title for name in part["metric"]],
                "Group": part["level"],
                "Difference": [words.number(*row) for row in part[["difference", "low", "high"]].to_numpy()],
                "Interval": [words.interval(*row) for row in part[["low", "high"]].to_numpy()],
                "p, corrected": [_probability(value) for value in part["p_corrected"]],
                "Images": [f"{value:,}" for value in part["images"]],
            }
        )  # fmt: skip
        if not part["level"].str.len().any():
            frame = frame.drop(columns="Group")
        tests = "; ".join(sorted(set(part["test"])))
        caption = (
            f"Is the difference more than chance? Family '{words.plain(family)}': first minus second on the same images. "
            f"Intervals: {words.made_by(part)}. Test: {tests}; p corrected within the family of {len(part)}."
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
    """AUC and interval per label, a column per model (dataset and condition where there are several), best first."""
    frame = classification.assign(
        column=[
            ", ".join(
                [words.plain(row.model)]
                + ([words.plain(row.dataset)] if classification["dataset"].nunique() > 1 else [])
                + ([words.plain(row.condition)] if row.condition != "clean" else [])
            )
            for row in classification.itertuples()
        ],
        cell=[
            f"{words.number(row.auc, row.low, row.high)} {words.interval(row.low, row.high)}"
            if pd.notna(row.auc)
            else "undefined"
            for row in classification.itertuples()
        ],
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
        f"AUC per label and its interval ({words.made_by(frame)}); n = {words.span(frame['images'])} images, "
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
            "Dataset": frame["dataset"].map(words.plain), "Purpose": frame["flow"].map(words.plain), "Kept": frame["filter"],
            "Images": [f"{value:,}" for value in frame["images"]],
            "Subjects": [f"{value:,}" for value in frame["subjects"]],
        }
    )  # fmt: skip
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
            "Dataset": counts["dataset"].map(words.plain), "Stage": counts["stage"].map(words.plain),
            "Reason": counts["reason"], "Inputs": [f"{value:,}" for value in counts["inputs"]],
        }
    )  # fmt: skip
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
    sums = costs.assign(rule=rule).groupby("rule").agg(
        jobs=("job", "size"), seconds=("seconds", "sum"), cpu=("cpu_seconds", "sum"), peak=("peak_bytes", "max"),
        device=("device", lambda part: ", ".join(sorted(set(part)))),
    ).sort_values("seconds", ascending=False)  # fmt: skip
    frame = pd.DataFrame(
        {
            "Rule": [words.plain(name) for name in sums.index], "Jobs": sums["jobs"],
            "Minutes": [f"{value / 60:,.1f}" for value in sums["seconds"]],
            "CPU minutes": [f"{value / 60:,.1f}" for value in sums["cpu"]],
            "Peak memory (GB)": [f"{value / 1e9:,.2f}" for value in sums["peak"]], "Device": sums["device"],
        }
    )  # fmt: skip
    caption = f"What the study cost: {sums['seconds'].sum() / 3600:,.2f} hours over all jobs."
    return Table(caption, frame, frozenset({"Rule", "Device"}))


def _made(evidence: Evidence) -> Section:
    parts: list = []
    for caption, pairs in (("The study", evidence.facts), ("Versions", evidence.versions)):
        if pairs:
            frame = pd.DataFrame({"What": list(pairs), "Value": list(pairs.values())})
            parts.append(Table(caption, frame, frozenset({"What", "Value"})))
    if len(evidence.costs):
        parts.append(costs_table(evidence.costs))
    if evidence.config:
        parts.append(Pre("The configuration, as text", evidence.config))
    return Section(
        "How it was made", "Data, models, recipe, seeds, versions, costs: what would make it again?", parts
    )


def _reading(evidence: Evidence) -> Section:
    present = words.ordered(evidence.summary["metric"], words.METRICS)
    terms = [
        (words.metric(name).title, words.metric(name).meaning)
        for name in present
        if words.metric(name).meaning
    ]
    terms += [
        ("Interval", "The range that the mean would fall in, by the method named beside it; not the spread over images. Two "
         "overlapping intervals do not show that two methods are equal; the paired comparisons above test that."),
        ("Undefined", "A score that does not exist, such as the correlation with a constant map, or the AUC of a label "
         "that all images share. It is counted and left out of the mean, never set to zero."),
        ("Baselines", "Interobserver: one reader against the others. Lung hull: the convex hull of the lungs as a map. "
         "Center bias: the average gaze as a map. Uniform noise: a map of independent values."),
        ("Random weights", "The same architecture, not trained. What it scores is owed to the architecture and the image alone."),
    ]  # fmt: skip
    limits = (
        "Agreement with readers is not correctness: a map may show faithfully that a model looks elsewhere. Published values "
        "come from other models and other images, and are shown for orientation. All intervals treat the study's images as a "
        "sample of images like them."
    )
    return Section("Limits, and how to read this page", "", [limits, Terms(terms)])
