"""The study's page: its question, the answer in numbers, the evidence, how it was made, how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from sightline import tables
from sightline.errors import ConfigError
from sightline.figures import rows, words
from sightline.figures.trust import Asked
from sightline.report import classification_report, page, prediction_answers, trust_answers, trust_tables
from sightline.report.answers import SHARED, answer
from sightline.report.facts import Plan
from sightline.report.page import Picture, Points, Pre, Section, Table, Terms
from sightline.report.report_tables import (
    cohort_table,
    comparisons_tables,
    contrasts_tables,
    leave_out_table,
    scores_tables,
    skipped_table,
)

PRIVACY = {
    "none": "no image, map, identifier or value of a single image",
    "local": "This page holds images or maps of datasets that may not be passed on. Keep it on this disk.",
    "publish": "The study is set to publish its pictures: the datasets' licences are said to allow it.",
}

# figure -> the section's title and the question it answers, in the order of the page
EVIDENCE = {
    "trust": (
        "Can the maps be trusted?",
        "What does each method show, does it follow the model, and does it change when what was learned is "
        "taken away?",
    ),
    "intervals": ("Scores", "How near do the maps come to the references, and how far are they from chance?"),
    "strata": ("Groups of images", "Do the scores depend on the kind of image?"),
    "center_bias": ("Center bias", "What does leaving the image out of its own center bias change?"),
    "distributions": ("Spread over images", "Is a mean carried by most images, or by a few?"),
    "overlays": ("Cases", "What do the maps look like where they do best, as usual, and worst?"),
    "classification": ("Classification", "Do the models find what they were trained to find?"),
    "curves": ("Training", "Did training settle, and alike for every seed?"),
    "artifacts": ("Networks", "What do the networks answer to, and how do they see the images?"),
    "cohort": ("Images", "Which images does the study rest on, and which were left out?"),
}
BESIDE = {"trust": ("stability", "agreement")}  # figures that stand in another's section
IN_ANSWER = 2  # sentences on trust that the answer at the top takes


@dataclass(frozen=True)
class Evidence:
    """All that a page is made from. Tables as in `tables` (empty where the study has none).

    `pictures` gives a key of `EVIDENCE` its figures ("agreement" goes under "trust"); others go under "More".
    `asked` says which maps the sentences on trust are about. `versions` and `facts` (seeds,
    recipe, models, command) are shown as they are; `config` is the configuration's text; `areas` as in
    `answers.answer`; `published` how well the literature's models classify (`classified.matching`); `plan`
    the configuration's order; `leaks` what to say of subjects that trained and are tested. `left_out` counts
    the figures that were not drawn, for they would show images that must not be.
    """

    title: str
    question: str
    summary: pd.DataFrame = field(default_factory=lambda: tables.empty("summary"))
    comparisons: pd.DataFrame = field(default_factory=lambda: tables.empty("comparisons"))
    contrasts: pd.DataFrame = field(default_factory=lambda: tables.empty("contrasts"))
    classification: pd.DataFrame = field(default_factory=lambda: tables.empty("classification"))
    published: pd.DataFrame | None = None
    agreements: pd.DataFrame = field(default_factory=lambda: tables.empty("agreement_summary"))
    maps: pd.DataFrame = field(default_factory=lambda: tables.empty("map_summary"))
    asked: Sequence[Asked] = ()
    cohort: pd.DataFrame = field(default_factory=lambda: tables.empty("cohort"))
    leaks: Sequence[str] = ()
    skipped: pd.DataFrame = field(default_factory=lambda: tables.empty("skipped"))
    pictures: Mapping[str, Sequence[Picture]] = field(default_factory=dict)
    areas: rows.Areas = field(default_factory=dict)
    plan: Plan = Plan()
    facts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    center_bias: str | None = None
    publish_images: str = "none"
    left_out: int = 0


def render(evidence: Evidence) -> str:
    """The whole page as HTML. Under `publish_images` "none", restricted pictures are left out and counted.

    Raises `ConfigError` for an unknown `publish_images`.
    """
    if evidence.publish_images not in PRIVACY:
        raise ConfigError(
            f"report.publish_images: {evidence.publish_images!r}; expected one of {', '.join(PRIVACY)}"
        )
    sentences = prediction_answers.answers(
        evidence.summary, evidence.contrasts, evidence.plan, evidence.areas, evidence.center_bias
    )
    sentences += answer(
        evidence.summary,
        evidence.classification,
        evidence.comparisons,
        plan=evidence.plan,
        areas=evidence.areas,
        center_bias=evidence.center_bias,
    )
    sentences += trusted(evidence)[:IN_ANSWER]
    note = SHARED if len(evidence.summary) else ""
    return page.write(
        evidence.title,
        evidence.question,
        sentences,
        sections(evidence),
        privacy=_privacy(evidence),
        note=note,
    )


def trusted(evidence: Evidence) -> list[str]:
    """The sentences on whether the maps can be trusted."""
    return trust_answers.answers(evidence.asked, evidence.summary, evidence.agreements, evidence.maps)


def _privacy(evidence: Evidence) -> str:
    """What the page holds of single images, and of which datasets it holds none."""
    if evidence.publish_images != "none":
        return PRIVACY[evidence.publish_images]
    overlays = evidence.pictures.get("overlays", ())
    held = dict.fromkeys(one.title or "images" for one in overlays if not one.restricted)
    kept = [words.plain(name) for name, free in evidence.plan.redistributable.items() if not free]
    if held:
        text = f"This page holds pictures of {', '.join(held)}, which may be passed on"
        text += f"; {PRIVACY['none']} of {', '.join(kept)}, which may not." if kept else "."
    else:
        text = f"This page holds aggregates only: {PRIVACY['none']}."
    hidden = evidence.left_out
    hidden += sum(picture.restricted for found in evidence.pictures.values() for picture in found)
    left = f" Left out for that reason: {hidden} {'figure' if hidden == 1 else 'figures'}." if hidden else ""
    return text + left


def sections(evidence: Evidence) -> list[Section]:
    """The page's sections that have something to show: evidence, how it was made, how to read it."""
    found = []
    for name, (title, question) in EVIDENCE.items():
        shown = [picture for one in (name, *BESIDE.get(name, ())) for picture in _shown(evidence, one)]
        parts = [*_said(evidence, name), *shown, *_tables(evidence, name)]
        if parts:
            found.append(Section(title, question, parts))
    more = [
        picture
        for name in evidence.pictures
        if name not in {*EVIDENCE, *(other for found in BESIDE.values() for other in found)}
        for picture in _shown(evidence, name)
    ]
    if more:
        found.append(Section("More", "", more))
    made = _made(evidence)
    return [*found, *([made] if made.parts else []), _reading(evidence)]


def _said(evidence: Evidence, name: str) -> list[Points]:
    """What a section says in sentences before its figures."""
    sentences = trusted(evidence) if name == "trust" else []
    sentences += classification_report.answers(evidence.classification) if name == "classification" else []
    sentences += evidence.leaks if name == "cohort" else []
    return [Points(sentences)] if sentences else []


def _shown(evidence: Evidence, name: str) -> list[Picture]:
    pictures = evidence.pictures.get(name, ())
    shown = [item for item in pictures if evidence.publish_images != "none" or not item.restricted]
    alone = len({item.title for item in pictures}) < 2  # nothing to tell apart
    return [replace(item, title="") if alone else item for item in shown]


def _tables(evidence: Evidence, name: str) -> list[Table]:
    """The tables of a section; a table whose source is empty is left out."""
    if name == "intervals" and len(evidence.summary):
        return [
            *scores_tables(rows.arranged(evidence.summary, evidence.plan.places), evidence.center_bias),
            *comparisons_tables(rows.arranged(evidence.comparisons, evidence.plan.places)),
        ]
    if name == "strata":
        places = rows.arranged(evidence.contrasts, evidence.plan.places)
        return contrasts_tables(places, evidence.summary, evidence.center_bias)
    if name == "trust":
        return trust_tables.tables_of(evidence.summary, evidence.agreements, evidence.maps)
    if name == "center_bias" and len(evidence.summary):
        return leave_out_table(evidence.summary)
    if name == "classification":
        return classification_report.tables_of(evidence.classification, evidence.published)
    if name == "cohort" and (len(evidence.cohort) or len(evidence.skipped)):
        kept = evidence.publish_images == "local"
        free = {name for name, free in evidence.plan.redistributable.items() if free or kept}
        return [cohort_table(evidence.cohort), skipped_table(evidence.skipped, free)]
    return []


def _made(evidence: Evidence) -> Section:
    parts: list = []
    for caption, pairs in (("The study", evidence.facts), ("Versions", evidence.versions)):
        if pairs:
            frame = pd.DataFrame({"What": list(pairs), "Value": list(pairs.values())})
            parts.append(Table(caption, frame, frozenset({"What", "Value"})))
    if evidence.config:
        parts.append(Pre("The configuration, as text", evidence.config))
    return Section(
        "How it was made",
        "Data, models, recipes, seeds, versions: what would make it again? From what each number came says "
        "provenance.json beside this page, which python -m sightline.trace reads.",
        parts,
    )


TERMS = {
    "Of the maps": (
        "In the answer, how many maps (models, methods and readings) have an interval above, around or below "
        "chance: by shuffled AUC against gaze, by mass over area in a region (or the next metric there is)."
    ),
    "p": (
        "By a test that takes the trained seeds as they are, corrected within its family. The interval lets "
        "the seeds vary too, so the two may differ: a small p beside an interval that holds 0 speaks for "
        "these networks, not for others trained alike."
    ),
    "Interval": (
        "The range that the mean would fall in, by the method named beside it; not the spread over "
        "images. Two overlapping intervals do not show that two methods are equal; the paired "
        "comparisons test that. Where few seeds make an interval wider than what the metric can be, it "
        "is printed and drawn up to there (arrow heads in figures); its digits are those that the whole "
        "interval supports, and the tables on disk hold it whole."
    ),
    "Undefined": (
        "A score that does not exist, such as the correlation with a constant map, or the AUC of a label "
        "that all images share. It is counted and left out of the mean, never set to zero."
    ),
    "Not applicable": (
        "A score that was not to be had: the image has no such region, no second reader, or the method "
        "does not fit the model. It is counted apart from what is undefined."
    ),
    "Baselines": (
        "Interobserver: one reader against the others (inside a region: one reader's gaze as the map). "
        "Lung hull: the convex hull of the lungs as a map. Center bias: the average gaze (against a region "
        "with a center bias of its own: the average region) as a map; "
        "the shuffled metrics hold maps against just that, so that it scores low there by construction. "
        "Uniform noise: a map of independent values."
    ),
    "Random weights": (
        "The same architecture, not trained. What it scores is owed to the architecture and the image alone."
    ),
}
OF_MAPS = {
    "Identity gap": (
        "How far a map is from what its method's theory says it sums to, relative. Completeness: to the part "
        "of the output that it explains; conservation: what is handed down from layer to layer stays the "
        "same. A large gap says that a map is not what its method promises (too few steps, layers that it "
        "cannot follow); a small one says nothing about whether the promise is worth having."
    ),
}
LIMITS = (
    "Agreement with readers is not correctness: a map may show faithfully that a model looks elsewhere. "
    "Published values come from other models and other images, and are shown for orientation. All "
    "intervals treat the study's images as a sample of images like them."
)


def _reading(evidence: Evidence) -> Section:
    found = {*evidence.summary["metric"], *evidence.agreements["metric"]}
    metrics = [words.metric(name) for name in words.ordered(found, words.METRICS)]
    own = OF_MAPS if evidence.maps["identity"].notna().any() else {}
    terms = [(metric.title, metric.meaning) for metric in metrics if metric.meaning]
    terms += [*own.items(), *TERMS.items()]
    return Section("Limits, and how to read this page", "", [LIMITS, Terms(terms)])
