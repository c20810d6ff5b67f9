"""Do scores differ between groups of images, such as normal and abnormal ones? A forest plot with a mark
per level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import forest, rows, style, words

LOOKS = (
    *((style.FIRST, "o"), (style.SECOND, "s"), (style.THIRD, "^"), ("#CC79A7", "v")),
    *(("#56B4E9", "D"), ("#882255", "P"), ("#999933", "X"), ("#1b1b1b", "*")),
)
ORDER = ("normal", "abnormal", "correct", "wrong")
OUTCOMES = ("true positive", "false negative", "true negative", "false positive")
SIZES = ("small", "medium", "large")  # what follows names the cuts


def draw(
    summary: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    stratum: str,
    center_bias: str | None = None,
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Figure:
    """The clean scores of every level of `stratum` side by side; `published` may have the columns stratum
    and level."""
    frame = _of(summary, stratum, center_bias)
    if frame.empty:
        return style.empty(f"No scores by {words.plain(stratum)} to draw")
    values = rows.published_as(frame, published)
    both = pd.concat([frame, values], ignore_index=True) if len(values) else frame.reset_index(drop=True)
    key = both["level"].where(both.index < len(frame), rows.PUBLISHED + both["level"])
    blocks = rows.blocks(both, key, methods=methods, metrics=metrics)
    for index, block in enumerate(blocks):
        panels = [replace(panel, area=None, band=None) for panel in block.panels]  # those of all images
        lines = [forest.Row(row.key, row.label, row.heading, row.colour) for row in block.rows]
        blocks[index] = forest.Block(block.title, lines, panels, block.marks)
    return forest.draw(blocks, _series(frame), note="")


def _of(summary: pd.DataFrame, stratum: str, center_bias: str | None) -> pd.DataFrame:
    """The clean rows of `stratum`; a level none of whose images has the reference is left out."""
    frame = rows.with_center_bias(summary, center_bias)
    clean = (frame["condition"] == "clean") | words.is_baseline(frame)
    frame = frame[(frame["stratum"] == stratum) & clean & (frame["metric"] != "area_share")]
    most = frame.groupby([*rows.PLACE, "level"])["images"].transform("max")
    return rows.without_idle(frame[most > 0])


def _levels(frame: pd.DataFrame) -> list[str]:
    """The levels in a reader's order: good before bad, small before large, else by name."""
    sized = [f"{size} (" for size in SIZES]
    known = {name: index for index, name in enumerate([*ORDER, *OUTCOMES])}

    def place(level: str) -> tuple[int, str]:
        size = next((index for index, start in enumerate(sized) if level.startswith(start)), None)
        return (known.get(level, len(known)) if size is None else size, level)

    return sorted(set(frame["level"]), key=place)


def _empty(summary: pd.DataFrame, stratum: str) -> list[str]:
    """The levels that no image with a reference has: "normal against finding"."""
    frame = summary[summary["stratum"] == stratum]
    most = frame.groupby([*rows.PLACE, "level"])["images"].max()
    return [
        f"{words.plain(level)} against {words.plain(reference)}"
        for _, reference, level in most.index[most == 0]
    ]


def _overlapping(summary: pd.DataFrame, frame: pd.DataFrame) -> bool:
    """Whether the levels of some row hold more images than the row over all images."""
    keys = [*rows.PLACE, "model", "method", "reading", "metric", "center_bias", "condition"]
    held = frame.groupby(keys)["images"].sum()
    return bool(
        (held > summary[summary["stratum"] == ""].set_index(keys)["images"].reindex(held.index)).any()
    )


def _series(frame: pd.DataFrame) -> list[forest.Series]:
    levels = _levels(frame)
    result = []
    for index, level in enumerate(levels):
        colour, marker = LOOKS[index % len(LOOKS)]
        count = words.span(frame.loc[frame["level"] == level, "images"])
        label = f"{words.plain(level)} (n = {count})"
        result.append(forest.Series(level, label, marker, colour=colour))
    for index, level in enumerate(levels):
        colour = LOOKS[index % len(LOOKS)][0]
        label = f"{words.plain(level)}, published"
        result.append(
            forest.Series(rows.PUBLISHED + level, label, "D", filled=False, colour=colour, thin=True)
        )
    return result


def caption(
    summary: pd.DataFrame,
    published: pd.DataFrame | None = None,
    *,
    stratum: str,
    center_bias: str | None = None,
) -> str:
    """The question, n per level and how the intervals were made; `published` as in `draw`."""
    frame = _of(summary, stratum, center_bias)
    if frame.empty:
        return f"Do the scores depend on '{words.plain(stratum)}'? No image here has such a group."
    levels = _levels(frame)
    counts = "; ".join(
        f"{words.plain(level)}: {words.span(frame.loc[frame['level'] == level, 'images'])} images"
        for level in levels
    )
    empty, values = _empty(summary, stratum), rows.published_as(frame, published)
    parts = [
        f"Do the scores against {rows.named(rows.places(frame))} depend on the group of the image "
        f"({' or '.join(map(words.plain, levels))}, by '{words.plain(stratum)}')?",
        f"Marks are means, bars their intervals ({words.made_by(frame)}); n: {counts}.",
        "The level depends on the model's seed: an image may belong to one level under one seed and to "
        "another under the next, and counts in each."
        if _overlapping(summary, frame)
        else "",
        words.cut(frame),
        "Dashed line: chance."
        if frame["metric"].map(lambda name: words.metric(name).chance).notna().any()
        else "",
        f"Not drawn, for no image has it: {'; '.join(empty)}." if empty else "",
        f"Diamonds: published values ({words.cited(values['source'])})." if len(values) else "",
    ]
    return " ".join(part for part in parts if part)
