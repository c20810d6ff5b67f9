"""What readers are told: names of methods, and numbers with the digits that they support."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from sightline.figures.measures import METRICS, Metric
from sightline.figures.names import METHODS

BASELINES = ("interobserver", "hull", "center_bias", "uniform_noise")

READINGS = ("thresholded", "weighted", "uniform")  # the order of the gaze study's tables

CENTER_BIAS = {
    "none": "pooled over all images (as published)",
    "image": "without the image itself",
    "subject": "without the subject's images",
}


AREA_METRICS = (
    "mass_inside",
    "pointing_game",
    "pixel_precision",
)  # whose chance is the region's share of the area
# that a reference with gaze has, and of the regions those with a center bias
GAZE_METRICS = ("sauc", "sncc", "ncc", "sauc_sampled")
REGION_METRICS = (  # that only a region has
    *("mass_over_area", "mass_inside", "pointing_game", "iou_otsu", "iou_quantile", "iou_tuned", "iou_max"),
    *("pixel_precision", "pixel_recall"),
)

# which metric speaks for a reference: the first that was scored
MAIN_GAZE, MAIN_REGION = (
    ("sauc", "sncc", "auc", "ncc"),
    ("sauc", "mass_over_area", "mass_inside", "pointing_game", "auc"),
)

SUPERSCRIPT = str.maketrans(
    "-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"
)
COUNT = re.compile(r"\d+(?:,\d{3})*")  # in a sentence: 10000 or 10,000
UNMADE = {"", "no usable row", "none: one label value alone"}  # intervals that there are not

# why a score is left out -> in words
REASONS = {
    "undefined": "undefined (the map or the reference is constant, say)",
    "not_applicable": (
        "not applicable (no such region or second reader in the image, or the method does not fit)"
    ),
    "missing": "missing",
    "failed": "failed",
}


def metric(name: str) -> Metric:
    """The words for metric `name`; an unknown one is called by its own name and has no chance value."""
    return METRICS.get(name, Metric(plain(name), plain(name), None, -math.inf, math.inf, ""))


def plain(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def method(name: str, in_region: bool = False) -> str:
    """What readers call the method `name`; against a region, a reader is not held against other readers."""
    if in_region and name == "interobserver":
        return "Readers' gaze"
    known = kind(name)
    rest = plain(name.removeprefix(known).lstrip("_"))
    return f"{METHODS[known]}, {rest}" if known in METHODS and rest else METHODS.get(known, plain(name))


def kind(name: str) -> str:
    """The known method that a study calls `name`: it itself, or the longest that `name` starts with.

    `name` where there is none: gradcam_block4 is gradcam, my_method is my_method.
    """
    if name in METHODS:
        return name
    found = [known for known in METHODS if known not in BASELINES and name.startswith(f"{known}_")]
    return max(found, key=len, default=name)


def is_region(metrics: Iterable[str], reference: str = "") -> bool:
    """Whether a reference scored by `metrics` is a region; with AUC alone it is, unless it is called gaze."""
    found = set(metrics)
    return bool(found & set(REGION_METRICS)) or (not found & set(GAZE_METRICS) and reference != "gaze")


def main_metric(metrics: Iterable[str], reference: str = "") -> str | None:
    """The metric that speaks for a reference: the first there is of those for gaze, or for a region."""
    found = set(metrics)
    known = MAIN_REGION if is_region(found, reference) else MAIN_GAZE
    return next((name for name in known if name in found), None)


def condition(name: str) -> str:
    """What readers call a condition: `random` is the same network with untrained weights."""
    return {"random": "random weights"}.get(name, plain(name))


def side(text: str) -> str:
    """A comparison's side `method[/reading][@model][+condition]` in words."""
    found = re.fullmatch(r"([^/@+]+)(?:/([^/@+]+))?(?:@([^/@+]+))?(?:\+([^/@+]+))?", text)
    if found is None:
        return text
    name, reading, model, state = found.groups()
    result = (
        method(name) + (f" ({plain(reading)})" if reading else "") + (f" of {plain(model)}" if model else "")
    )
    return result + (f", {condition(state)}" if state and state != "clean" else "")


def ordered(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """The distinct `names`: those in `known` first, in that order, then the others by name."""
    rank = {name: index for index, name in enumerate(dict.fromkeys(known))}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def is_baseline(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a scores or summary table are baselines: they belong to no model."""
    return frame["method"].isin(BASELINES) | (frame["model"] == "")


def of_center_bias(frame: pd.DataFrame) -> pd.Series:
    """Which rows are the center bias itself, or noise: what leaving out changes there says nothing."""
    return frame["method"].str.startswith(("uniform_noise", "center_bias"))


def decimals(low: float, high: float) -> int:
    """How many decimals an interval supports: two digits of its half-width up to 0.354.., one above.

    At most 4. The rule is the Particle Data Group's for uncertainties, without its rounding of 950 to 1000.
    """
    half = abs(high - low) / 2.0
    if not math.isfinite(half) or half == 0.0:
        return 3
    exponent = math.floor(math.log10(half))
    leading = half / 10.0**exponent
    return int(min(4, max(0, (1 if leading < 3.545 else 0) - exponent)))


def number(value: float | None, low: float | None = None, high: float | None = None) -> str:
    """`value` with the digits that its interval supports (3 decimals without one); "undefined" where there
    is none."""
    if value is None or not math.isfinite(value):
        return "undefined"
    known = low is not None and high is not None and math.isfinite(low) and math.isfinite(high)
    return signed(value, decimals(low, high) if known else 3)


def estimate(row: Mapping | pd.Series, mean: str = "mean") -> str:
    """A row's mean and interval: "0.529 [0.521, 0.538]", or why there is none.

    The interval is cut to what the row's metric can be (column `mean` is called "auc" where it is one).
    """
    if pd.isna(row[mean]):
        return reason(row.get("excluded_why", ""))
    name = row.get("metric", mean)
    ends = interval(row["low"], row["high"], name, value=row[mean])
    return f"{number(row[mean], row['low'], row['high'])} {ends}"


def reason(excluded_why: str) -> str:
    """Why a group of scores has no mean, in a word or two: the most frequent status of its rows."""
    status = str(excluded_why or "").split(":")[0].split(";")[0].strip()
    return plain(status) if status in REASONS else "undefined"


def signed(value: float, places: int) -> str:
    """`value` with `places` decimals and a real minus sign; never minus zero."""
    text = f"{value:.{places}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def short(value: float) -> str:
    """`value` with two digits, however small: "0.012"; 0.000031 with a power of ten."""
    text = f"{value:.2g}"
    if "e" in text:
        head, exponent = text.split("e")
        text = f"{head}\N{MULTIPLICATION SIGN}{power(int(exponent))}"
    return text.replace("-", "\N{MINUS SIGN}")


def power(exponent: int) -> str:
    """Ten to the power of `exponent`, as text; 1 for the power of 0."""
    return f"10{str(exponent).translate(SUPERSCRIPT)}" if exponent else "1"


def interval(
    low: float | None,
    high: float | None,
    name: str = "",
    difference: bool = False,
    value: float | None = None,
) -> str:
    """An interval in brackets with the digits that its width supports; "undefined" where there is none.

    Ends beyond what metric `name` (or the `difference` of two of its values, or such a mean as `value`) can
    be are cut there; the digits are those of the whole interval.
    """
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "undefined"
    places = decimals(low, high)
    least, most = possible(name, difference, value)
    ends = [signed(min(max(end, least), most), places) for end in (low, high)]
    return f"[{ends[0]}, {ends[1]}]"


def difference(row: Mapping | pd.Series) -> str:
    """A comparison's difference and interval: "\N{MINUS SIGN}0.029 [\N{MINUS SIGN}0.038, ...]"."""
    value, low, high = row["difference"], row["low"], row["high"]
    if pd.isna(value):
        return "undefined"
    return f"{number(value, low, high)} {interval(low, high, row['metric'], difference=True)}"


def possible(name: str, difference: bool = False, value: float | None = None) -> tuple[float, float]:
    """The least and the greatest value that metric `name`, or a `difference` of two such values, can have.

    A share whose mean `value` lies between 0 and 1 is taken for one.
    """
    low, high = metric(name).low, metric(name).high
    if metric(name).share and value is not None and 0.0 <= value <= 1.0:
        low, high = 0.0, 1.0
    return (low - high, high - low) if difference else (low, high)


def cut(frame: pd.DataFrame) -> str:
    """A sentence for a figure where an interval ends beyond what its metric can be; "" where none does."""
    known = frame.dropna(subset=["low", "high"])
    for name, low, high in known[["metric", "low", "high"]].itertuples(index=False):
        least, most = possible(name)
        if low < least or high > most:
            return "Arrow heads: the interval goes on beyond what the metric can be."
    return ""


def span(values: Iterable[int]) -> str:
    """Counts in words: "91", or "88 to 91" where they differ."""
    found = sorted({int(value) for value in values})
    if not found:
        return "0"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def seeds(values: Iterable[int]) -> str:
    """How many seeds, as `span`: "1 seed", "1 to 3 seeds"."""
    said = span(values)
    return f"{said} seed{'' if said == '1' else 's'}"


def made_by(frame: pd.DataFrame) -> str:
    """How the intervals of `frame` were made (its column `interval`); counts that differ become a span."""
    ways: dict[str, list[list[int]]] = {}
    for way in sorted({str(way) for way in frame["interval"]} - UNMADE):
        counts = [int(count.replace(",", "")) for count in COUNT.findall(way)]
        ways.setdefault(COUNT.sub("#", way), []).append(counts)
    told = []
    for way, counts in ways.items():
        parts = [span(values) for values in zip(*counts)]
        told.append("".join(part + count for part, count in zip(way.split("#"), [*parts, ""])))
    return _joined(told) if told else "no interval"


def _joined(told: list[str]) -> str:
    """Ways that differ only in what they resample are said once: "... resamples of A, or of B"."""
    start = os.path.commonprefix(told)
    start = start[: start.rfind(" of ")]
    if len(told) == 1 or not start.endswith("resamples"):
        return "; ".join(told)
    return start + ", or".join(way[len(start) :] for way in told)


def sizes(frame: pd.DataFrame) -> str:
    """n of a summary table in words: images, subjects, seeds, and how many scores were excluded, and why."""
    trained = frame.loc[~is_baseline(frame), "seeds"] if "method" in frame else frame["seeds"]
    trained = trained[trained > 0]
    parts = [f"n = {span(frame['images'])} images"]
    if "subjects" in frame:
        parts.append(f"{span(frame['subjects'])} subjects")
    if len(trained):
        parts.append(f"{seeds(trained)} per model")
    text = ", ".join(parts)
    left = left_out(frame["excluded_why"]) if "excluded_why" in frame else ""
    return f"{text}; left out of a row: {left}" if left else text


def left_out(why: Iterable[str]) -> str:
    """The reasons for which scores were left out of the rows of a table, each with the most that a row lost.

    `why` are the texts "status: count; status: count" of the summary's column `excluded_why`.
    """
    most: dict[str, int] = {}
    for text in why:
        for status, count in re.findall(r"(\w+): (\d+)", str(text)):
            most[status] = max(most.get(status, 0), int(count))
    return "; ".join(
        f"up to {most[status]:,} scores {REASONS.get(status, plain(status))}"
        for status in ordered(most, REASONS)
    )


def explained(why: Iterable[str]) -> str:
    """The reasons in the column `excluded_why` of a table, each once, in words."""
    found = {status for text in why for status in re.findall(r"(\w+): \d+", str(text))}
    return "; ".join(REASONS.get(status, plain(status)) for status in ordered(found, REASONS))


def cited(sources: Iterable[str]) -> str:
    """The distinct sources of published values; tables of one paper are named together."""
    tables: dict[str, list[str]] = {}
    for source in sorted(set(sources)):
        head, _, table = source.partition(", Table ")
        tables.setdefault(head, []).append(table)
    told = []
    for head, found in tables.items():
        listed = " and ".join([", ".join(found[:-1])] * (len(found) > 1) + found[-1:])
        told.append(f"{head}, Table{'s' if len(found) > 1 else ''} {listed}" if found[0] else head)
    return "; ".join(told)
