"""The flow chart of papers: how many images every filter kept, and beside it how many it dropped."""

from __future__ import annotations

import textwrap

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from sightline.figures import style, words

STEP, BOX = 0.68, 0.40  # inches between two boxes' tops, and of one box
COLUMN = 3.5  # inches of a flow: the boxes, and what was dropped at their right
PER_LINE = 2  # flows side by side

FLOWS = ("training", "evaluation")


def draw(cohort: pd.DataFrame) -> Figure:
    """One flow per dataset and purpose (training, evaluation); `cohort` as in `tables`."""
    flows = _flows(cohort)
    if not flows:
        return style.empty("No images counted")
    frames = [_flow(cohort, *flow) for flow in flows]
    lines = [range(start, min(start + PER_LINE, len(flows))) for start in range(0, len(flows), PER_LINE)]
    heights = [0.34 + STEP * max(len(frames[index]) for index in line) for line in lines]
    with style.settings():
        figure = style.figure(0.2 + COLUMN * min(PER_LINE, len(flows)), sum(heights))
        top = sum(heights)
        for line, height in zip(lines, heights):
            for column, index in enumerate(line):
                width, total = figure.get_figwidth(), sum(heights)
                place = (
                    (0.1 + column * COLUMN) / width,
                    (top - height) / total,
                    COLUMN / width,
                    height / total,
                )
                axes = figure.add_axes(place)
                axes.set_axis_off()
                axes.set(xlim=(0, COLUMN), ylim=(height, 0))
                _chart(axes, flows[index], frames[index])
            top -= height
    return figure


def _flows(cohort: pd.DataFrame) -> list[tuple[str, str]]:
    return [
        (dataset, flow)
        for dataset in sorted(set(cohort["dataset"]))
        for flow in words.ordered(cohort.loc[cohort["dataset"] == dataset, "flow"], FLOWS)
    ]


def _flow(cohort: pd.DataFrame, dataset: str, flow: str) -> pd.DataFrame:
    frame = cohort[(cohort["dataset"] == dataset) & (cohort["flow"] == flow)].sort_values("step")
    return frame.assign(
        dropped=frame["images"].shift(fill_value=frame["images"].iloc[0]) - frame["images"]
    ).reset_index(drop=True)


LEFT, BOX_WIDTH = 0.02, 1.62  # inches: where the boxes of a flow begin, and how wide they are


def _chart(axes: Axes, name: tuple[str, str], frame: pd.DataFrame) -> None:
    """One flow: a box per step, beside the first what it counts, between two what the filter dropped."""
    title = f"{words.plain(name[0])}: {words.plain(name[1])}"
    axes.text(LEFT, 0.14, title, weight="bold", size=8, va="center")
    for row in frame.itertuples():
        top = 0.32 + STEP * row.Index
        _box(axes, row, top, is_last=row.Index == len(frame) - 1)
        if row.Index == 0:
            text = "\n".join(textwrap.wrap(row.filter, 36)[:3])
            axes.text(LEFT + BOX_WIDTH + 0.10, top + BOX / 2, text, va="center", size=style.SMALL)
        else:
            _dropped(axes, row, top)


def _box(axes: Axes, row, top: float, is_last: bool) -> None:
    """Images and subjects that are left; the last box is what the study rests on."""
    look = {
        "boxstyle": "round,pad=0,rounding_size=0.04",
        "linewidth": 0.8,
        "edgecolor": style.FIRST if is_last else style.FAINT,
        "facecolor": "#e8f1f8" if is_last else "white",
    }
    axes.add_patch(FancyBboxPatch((LEFT, top), BOX_WIDTH, BOX, **look))
    middle, centre = LEFT + BOX_WIDTH / 2, {"ha": "center", "va": "center"}
    images = f"{row.images:,} {'image' if row.images == 1 else 'images'}"
    subjects = f"{row.subjects:,} {'subject' if row.subjects == 1 else 'subjects'}"
    axes.text(middle, top + BOX / 2 - 0.075, images, weight="bold", **centre)
    axes.text(middle, top + BOX / 2 + 0.085, subjects, size=style.SMALL, color=style.FAINT, **centre)


def _dropped(axes: Axes, row, top: float) -> None:
    """The arrow into a box, and beside it what the filter before it dropped and kept."""
    middle, right = LEFT + BOX_WIDTH / 2, LEFT + BOX_WIDTH
    _arrow(axes, (middle, top - (STEP - BOX)), (middle, top))
    centre = top - (STEP - BOX) / 2
    line = {"color": style.FAINT, "linewidth": 0.8, "solid_capstyle": "butt"}
    axes.plot([middle, right + 0.05], [centre, centre], **line)
    _arrow(axes, (right, centre), (right + 0.09, centre))
    dropped = f"{row.dropped:,} dropped" if row.dropped else "none dropped"
    axes.text(right + 0.13, centre - 0.005, dropped, va="bottom", weight="bold", size=style.SMALL)
    kept = "\n".join(textwrap.wrap(f"kept: {row.filter}", 36)[:3])
    axes.text(right + 0.13, centre + 0.02, kept, va="top", size=style.SMALL, linespacing=1.1)


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    axes.annotate(
        "",
        end,
        xytext=start,
        arrowprops={
            "arrowstyle": "-|>",
            "color": style.FAINT,
            "linewidth": 0.8,
            "shrinkA": 0,
            "shrinkB": 0,
            "mutation_scale": 6,
        },
    )


def caption(cohort: pd.DataFrame) -> str:
    """The question and the last counts of every flow."""
    ends = []
    for dataset, flow in _flows(cohort):
        frame = _flow(cohort, dataset, flow)
        first, last = frame.iloc[0], frame.iloc[-1]
        ends.append(
            f"{words.plain(dataset)}, {words.plain(flow)}: {last['images']:,} of {first['images']:,} images "
            f"({last['subjects']:,} subjects)"
        )
    return (
        "Which images does the study rest on? Every box says what the filter before it left, at its right "
        f"what the filter dropped. {'; '.join(ends)}. Counts, no intervals."
    )
