"""What leaving the image out of its own center bias changes in the shuffled metrics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from sightline.figures import forest, rows, style, words

SERIES = (
    forest.Series("none", words.CENTER_BIAS["none"], "o", colour=style.FIRST),
    forest.Series("image", words.CENTER_BIAS["image"], "s", colour=style.SECOND),
    forest.Series("subject", words.CENTER_BIAS["subject"], "^", colour=style.THIRD),
)


def draw(summary: pd.DataFrame, *, methods: Sequence[str] = (), metrics: Sequence[str] = ()) -> Figure:
    """The clean scores under every center bias side by side, for the metrics that use one."""
    frame = _of(summary)
    if frame["center_bias"].nunique() < 2:
        return style.empty("One way of making the center bias: nothing to compare")
    blocks = rows.blocks(frame, frame["center_bias"], methods=methods, metrics=metrics)
    for index, block in enumerate(blocks):  # a strip for one of three interobserver values would mislead
        panels = [replace(panel, area=None, band=None) for panel in block.panels]
        blocks[index] = forest.Block(block.title, block.rows, panels, block.marks)
    return forest.draw(blocks, SERIES)


def _of(summary: pd.DataFrame) -> pd.DataFrame:
    frame = rows.overall(summary)
    clean = (frame["condition"] == "clean") | words.is_baseline(frame)
    return frame[clean & (frame["center_bias"] != "") & ~words.of_center_bias(frame)].reset_index(drop=True)


def caption(summary: pd.DataFrame) -> str:
    """The question, n and how the intervals were made."""
    frame = _of(summary)
    parts = [
        "What does it change to leave the image under test out of the center bias that it is scored against "
        f"({rows.named(rows.places(frame))})?",
        f"Marks are means, bars their intervals ({words.made_by(frame)}); {words.sizes(frame)}.",
        words.cut(frame),
        "Dashed line: chance. A pooled center bias contains the image's own reference, which takes from "
        "every shuffled score a part of what it should reward.",
    ]
    return " ".join(part for part in parts if part)
