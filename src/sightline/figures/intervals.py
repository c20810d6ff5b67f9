"""The main forest plot: every method's mean score and interval beside chance, interobserver agreement and
published values."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import forest, rows, style, words

HOLLOW = ("o", "s", "^", "v", "P", "X")  # marks of conditions other than clean


def draw(
    summary: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    center_bias: str | None = None,
    areas: rows.Areas | None = None,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Figure:
    """A forest plot per dataset and reference: small multiples by metric, a row per method and reading of
    each model.

    `summary` as in `tables`; `published` has method, model, reading, metric, mean, low, high; `center_bias`
    chooses the shuffled metrics' one (default: the strictest); `areas` gives (dataset, reference) the
    region's mean share of the area; `methods` is the study's whole list (colours). Other conditions are
    hollow marks of the same colour.
    """
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    if frame.empty:
        return style.empty("No scores over all images to draw")
    values = rows.published_as(frame[_clean(frame)], published)
    series = pd.concat(
        [frame["condition"], pd.Series(rows.PUBLISHED, index=range(len(values)))], ignore_index=True
    )
    both = pd.concat([frame, values], ignore_index=True) if len(values) else frame.reset_index(drop=True)
    blocks = rows.blocks(both, series, areas=areas, methods=methods, metrics=metrics)
    return forest.draw(blocks, _series(frame["condition"]))


def _clean(frame: pd.DataFrame) -> pd.Series:
    return (frame["condition"] == "clean") | words.is_baseline(frame)


def _series(conditions: pd.Series) -> list[forest.Series]:
    found = words.ordered(conditions, ["clean"])
    marks = [
        forest.Series(found[0], "this study, with interval" if found[0] == "clean" else words.plain(found[0]))
    ]
    for index, name in enumerate(found[1:]):
        label = words.condition(name)
        marks.append(forest.Series(name, label, HOLLOW[index % len(HOLLOW)], filled=False))
    return [
        *marks,
        forest.Series(rows.PUBLISHED, "published", "D", filled=False, colour=style.PUBLISHED, thin=True),
    ]


def caption(
    summary: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    center_bias: str | None = None,
    question: str = "",
) -> str:
    """The question, what the marks are, n and how the intervals were made; `published` as in `draw`."""
    frame = rows.overall(rows.with_center_bias(summary, center_bias))
    found = rows.places(frame)
    parts = [
        question
        or f"How much do the maps agree with {rows.named(found)}, compared with chance and the baselines?",
        f"Marks are means, bars their intervals ({words.made_by(frame)}); {words.sizes(frame)}.",
        words.cut(frame),
        *_guides(frame, found),
    ]
    chosen = sorted(set(frame["center_bias"]) - {""})
    if chosen:
        named = ", ".join(words.CENTER_BIAS.get(name, name) for name in chosen)
        parts.append(f"Center bias of the shuffled metrics: {named}.")
    if (~_clean(frame)).any():
        parts.append(
            "Hollow marks: the same method under another condition (random weights: the same network, "
            "untrained)."
        )
    values = rows.published_as(frame[_clean(frame)], published)
    if len(values):
        parts.append(
            f"Diamonds: published values ({words.cited(values['source'])}; center bias pooled), which rest "
            "on other models and images."
        )
    return " ".join(part for part in parts if part)


def _guides(frame: pd.DataFrame, places: list[tuple[str, str]]) -> list[str]:
    """What the strip and the lines are."""
    parts = []
    if (frame["method"] == "interobserver").any():
        kinds = {words.is_region(rows.at(frame, place)["metric"], place[1]) for place in places}
        told = {
            frozenset({False}): "one reader against the others",
            frozenset({True}): "one reader's gaze as the map",
            frozenset(
                {False, True}
            ): "one reader against the others, or against a region one reader's gaze as the map",
        }
        parts.append(f"Grey strip: {told[frozenset(kinds)]}, with the interval.")
    if frame["metric"].isin(["auc", "sauc", "ncc", "sncc", "mass_over_area"]).any():
        parts.append("Dashed line: chance.")
    if frame["metric"].isin(words.AREA_METRICS).any():
        parts.append("Dotted line: the region's share of the area, which is what an even map scores.")
    return parts
