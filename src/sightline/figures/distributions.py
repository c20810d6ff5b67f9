"""How scores spread over images: a half violin per method and reading, small multiples by metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sightline.figures import rows, style, words

SLOT, PANELS, CHARACTER = 0.24, 4, 0.0585  # inches, panels side by side, inches
QUARTILES = (0.25, 0.5, 0.75)


def draw(
    scores: pd.DataFrame,
    *,
    center_bias: str | None = None,
    condition: str = "clean",
    methods: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> Figure:
    """The density of image means (over seeds and readers), with quartiles: aggregates, no point is an image.

    `scores` as in `tables`, of one dataset and reference. Raises `ValueError` where there are several.
    """
    frame = _image_means(scores, center_bias, condition)
    if frame.empty:
        return style.empty("No scores to draw")
    names = [name for name in words.ordered(frame["metric"], words.METRICS) if not metrics or name in metrics]
    labels, colours = _labels(frame), style.colours([*methods, *frame["method"]])
    count, lines = len(labels), -(-len(names) // PANELS)
    with style.settings():
        left = 0.16 + CHARACTER * max(len(label) for label, _ in labels.values())
        line = SLOT * count + 0.72
        height = line * lines + 0.05
        figure = style.figure(style.WIDTH, height)
        width = (style.WIDTH - left - 0.1) / max(2, min(PANELS, len(names)))
        for index, name in enumerate(names):
            bottom = height - line * (index // PANELS + 1) + 0.42
            start = left + width * (index % PANELS)
            box = (start / style.WIDTH, bottom / height, (width - 0.16) / style.WIDTH, SLOT * count / height)
            axes = figure.add_axes(box)
            _panel(axes, frame[frame["metric"] == name], labels, colours)
            axes.set_title(words.metric(name).title, weight="bold", pad=5)
            axes.set_xlabel(words.metric(name).axis, size=style.SMALL)
            if words.metric(name).chance is not None:
                axes.axvline(
                    words.metric(name).chance, color=style.FAINT, linewidth=0.8, dashes=(4, 2), zorder=1
                )
            axes.tick_params(left=False, labelleft=index % PANELS == 0)
    return figure


def _image_means(scores: pd.DataFrame, center_bias: str | None, condition: str) -> pd.DataFrame:
    places = scores[rows.PLACE].drop_duplicates()
    if len(places) > 1:
        raise ValueError(
            f"scores of one dataset and reference are needed, not of {places.to_dict('records')}"
        )
    frame = rows.with_center_bias(scores, center_bias)
    frame = frame[(frame["condition"] == condition) | words.is_baseline(frame)]
    frame = frame[(frame["status"] == "ok") & (frame["metric"] != "area_share")]
    frame = frame.assign(row=rows.keys(frame))
    keep = ["row", "model", "method", "reading", "metric", "image"]
    return frame.groupby(keep, as_index=False)["value"].mean()


def _labels(frame: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """row -> (label, method), in the order of every figure; models with few methods still name themselves."""
    first = frame.drop_duplicates("row").assign(baseline=lambda part: words.is_baseline(part))
    order = style.methods(first["method"])
    readings = words.ordered(first["reading"], words.READINGS)
    several = first.loc[~first["baseline"], "model"].nunique() > 1
    place = {
        item.row: (
            "" if item.baseline else item.model,
            order.index(item.method),
            readings.index(item.reading),
        )
        for item in first.itertuples()
    }
    result = {}
    for item in sorted(first.itertuples(), key=lambda item: place[item.row]):
        same = (first["model"] == item.model) & (first["method"] == item.method)
        label = words.method(item.method)
        if same.sum() > 1 and item.reading:
            label += f", {words.plain(item.reading)}"
        if several and not item.baseline:
            label = f"{words.plain(item.model)}: {label}"
        result[item.row] = (label, item.method)
    return result


def _panel(
    axes: Axes, frame: pd.DataFrame, labels: dict[str, tuple[str, str]], colours: dict[str, str]
) -> None:
    low, high = _limits(frame["value"])
    for index, (row, (_, method)) in enumerate(labels.items()):
        values = frame.loc[frame["row"] == row, "value"].to_numpy()
        axes.axhline(index + 0.5, color=style.RULE, linewidth=0.35, zorder=0)
        if not len(values):
            axes.text(
                (low + high) / 2,
                index + 0.5,
                "undefined",
                ha="center",
                va="center",
                size=style.SMALL,
                color=style.FAINT,
            )
            continue
        colour = colours[method]
        if np.ptp(values) > 0:
            at = np.linspace(low, high, 80)
            axes.fill_between(
                at,
                index + 0.5 - 0.62 * density(values, at),
                index + 0.5,
                color=colour,
                alpha=0.35,
                linewidth=0,
            )
        first, middle, third = np.quantile(values, QUARTILES)
        axes.plot(
            [first, third], [index + 0.6] * 2, color=colour, linewidth=1.6, solid_capstyle="butt", zorder=2
        )
        axes.plot([middle], [index + 0.6], "o", color=colour, markersize=3.2, zorder=3)
    axes.set(xlim=(low, high), ylim=(len(labels), -0.25))
    axes.set_yticks(np.arange(len(labels)) + 0.5, [label for label, _ in labels.values()])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10]))


def _limits(values: pd.Series) -> tuple[float, float]:
    margin = 0.08 * float(np.ptp(values)) or 0.05
    return float(values.min()) - margin, float(values.max()) + margin


def density(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """A Gaussian kernel density of `values` (n,) at `at` (m,), by Silverman's rule of thumb, scaled to a
    maximum of 1."""
    spread = min(values.std(), np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.349 or values.std())
    width = 0.9 * spread * len(values) ** -0.2
    kernels = np.exp(-0.5 * ((at[:, None] - values[None, :]) / width) ** 2)  # (m, n)
    result = kernels.sum(axis=1)
    return result / result.max() if result.max() > 0 else result


def caption(scores: pd.DataFrame, *, center_bias: str | None = None, condition: str = "clean") -> str:
    """The question, n, and what was left out."""
    frame = _image_means(scores, center_bias, condition)
    undefined = int((scores["status"] == "undefined").sum())
    counts = words.span(frame.groupby(["row", "metric"])["image"].nunique()) if len(frame) else "0"
    return (
        "Are the means carried by most images, or by a few? Shapes are the densities of the images' "
        "scores (means over seeds "
        f"and readers), dots medians, bars the quartiles; n = {counts} images per row; "
        f"{undefined:,} of {len(scores):,} scores undefined and left out. Dashed line: chance. No "
        "intervals: this is the spread "
        "over images, not the precision of the mean."
    )
