"""How scores spread over images: a half violin per method and reading, small multiples by metric."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from sightline.figures import rows, style, words
from sightline.figures.measures import Metric

SLOT, PANELS, CHARACTER = 0.24, 4, 0.0585  # inches, panels side by side, inches
QUARTILES = (0.25, 0.5, 0.75)
ENDS = (0.05, 0.95)  # the quantiles of a row near which an axis ends: a far image does not flatten all
HITS = "pointing_game"  # hit or miss per map: no density


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
    in_region = words.is_region(frame["metric"], scores["reference"].iloc[0])
    labels, colours = _labels(frame, in_region), style.colours([*methods, *frame["method"]])
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
            box = (start / style.WIDTH, bottom / height, (width - 0.22) / style.WIDTH, SLOT * count / height)
            axes = figure.add_axes(box)
            drawn = _hits if name == HITS else _densities
            drawn(axes, frame[frame["metric"] == name], labels, colours)
            _rows(axes, [label for label, _ in labels.values()])
            _label(axes, words.metric(name))
            axes.tick_params(left=False, labelleft=index % PANELS == 0)
    return figure


def _label(axes: Axes, metric: Metric) -> None:
    axes.set_title(metric.title, weight="bold", pad=5)
    axes.set_xlabel(metric.axis, size=style.SMALL)
    if metric.chance is not None:
        axes.axvline(metric.chance, color=style.FAINT, linewidth=0.8, dashes=(4, 2), zorder=1)


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


def _labels(frame: pd.DataFrame, in_region: bool) -> dict[str, tuple[str, str]]:
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
        label = words.method(item.method, in_region)
        if same.sum() > 1 and item.reading:
            label += f", {words.plain(item.reading)}"
        if several and not item.baseline:
            label = f"{words.plain(item.model)}: {label}"
        result[item.row] = (label, item.method)
    return result


def _densities(
    axes: Axes, frame: pd.DataFrame, labels: dict[str, tuple[str, str]], colours: dict[str, str]
) -> None:
    """A half violin, median and quartiles per row, within what the metric can be."""
    least, most = words.possible(frame["metric"].iloc[0])
    low, high = _limits(frame, least, most)
    for index, (row, (_, method)) in enumerate(labels.items()):
        values = frame.loc[frame["row"] == row, "value"].to_numpy()
        if not len(values):
            place = {"ha": "center", "va": "center", "size": style.SMALL, "color": style.FAINT}
            axes.text((low + high) / 2, index + 0.5, "no score", **place)
            continue
        colour = colours[method]
        if np.ptp(values) > 0:
            at = np.linspace(max(low, least), min(high, most), 80)
            shape = index + 0.5 - 0.62 * density(values, at, least, most)
            axes.fill_between(at, shape, index + 0.5, color=colour, alpha=0.35, linewidth=0)
        first, middle, third = np.quantile(values, QUARTILES)
        look = {"color": colour, "zorder": 2, "clip_on": True}
        axes.plot([first, third], [index + 0.6] * 2, linewidth=1.6, solid_capstyle="butt", **look)
        axes.plot([middle], [index + 0.6], "o", markersize=3.2, **look)
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 2.5, 5, 10]))


def _hits(
    axes: Axes, frame: pd.DataFrame, labels: dict[str, tuple[str, str]], colours: dict[str, str]
) -> None:
    """A bar per row: the share of images hit by every seed and reader (full), then by some (pale)."""
    for index, (row, (_, method)) in enumerate(labels.items()):
        values = frame.loc[frame["row"] == row, "value"].to_numpy()
        if not len(values):
            continue
        every, some = (values == 1.0).mean(), ((values > 0.0) & (values < 1.0)).mean()
        look = {"height": 0.42, "color": colours[method], "linewidth": 0}
        axes.barh(index + 0.42, every, **look)
        axes.barh(index + 0.42, some, left=every, alpha=0.35, **look)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1])


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    for index in range(len(labels)):
        axes.axhline(index + 0.5, color=style.RULE, linewidth=0.35, zorder=0)
    axes.set_ylim(len(labels), -0.25)
    axes.set_yticks(np.arange(len(labels)) + 0.5, labels)
    axes.spines["left"].set_visible(False)


def _limits(frame: pd.DataFrame, least: float, most: float) -> tuple[float, float]:
    """Where an axis ends: a little beyond the far quantiles of the rows, never beyond what can be."""
    ends = frame.groupby("row")["value"].quantile(list(ENDS)).unstack()
    low, high = float(ends[ENDS[0]].min()), float(ends[ENDS[1]].max())
    margin = 0.12 * (high - low) or 0.05
    return max(low - margin, least), min(high + margin, most)


def density(values: np.ndarray, at: np.ndarray, least: float = -np.inf, most: float = np.inf) -> np.ndarray:
    """A Gaussian kernel density of `values` (n,) at `at` (m,), by Silverman's rule of thumb, of maximum 1.

    What would lie beyond `least` and `most`, the values that there can be, is folded back at them.
    """
    spread = min(values.std(), np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.349 or values.std())
    width = 0.9 * spread * len(values) ** -0.2
    mirrored = [values, *(2.0 * end - values for end in (least, most) if np.isfinite(end))]
    kernels = np.exp(-0.5 * ((at[:, None] - np.concatenate(mirrored)) / width) ** 2)  # (m, n)
    result = kernels.sum(axis=1)
    return result / result.max() if result.max() > 0 else result


def caption(scores: pd.DataFrame, *, center_bias: str | None = None, condition: str = "clean") -> str:
    """The question, n, and what was left out, and why."""
    frame = _image_means(scores, center_bias, condition)
    counts = words.span(frame.groupby(["row", "metric"])["image"].nunique()) if len(frame) else "0"
    lost = scores.loc[scores["status"] != "ok", "status"].value_counts()
    left = "; ".join(
        f"{lost[status]:,} {words.REASONS.get(status, words.plain(status))}"
        for status in words.ordered(lost.index, words.REASONS)
    )
    reference = f" against {rows.named(rows.places(scores))}" if len(scores) else ""
    told = "Pointing game: share of images hit by all (full) or some (pale) seeds and readers, "
    told += "pale also where several places share the maximum. "
    return (
        f"Are the means{reference} carried by most images, or by a few? Shapes are the densities of the "
        "images' scores (means over seeds and readers), dots medians, bars the quartiles; "
        f"n = {counts} images per row; of {len(scores):,} scores left out: {left or 'none'}. Axes end near "
        "the rows' 5th and 95th percentiles. "
        + (told if (frame["metric"] == HITS).any() else "")
        + "Dashed line: chance. No intervals: this is the spread over images, not the precision of the mean."
    )
