"""What readers are told: names of methods and metrics, their order, their meaning, and numbers with the
digits that they support."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

BASELINES = ("interobserver", "hull", "center_bias", "uniform_noise")

METHODS = {
    "interobserver": "Interobserver",
    "hull": "Lung hull",
    "center_bias": "Center bias",
    "center_bias_none": "Center bias, pooled",
    "center_bias_image": "Center bias, without the image",
    "center_bias_subject": "Center bias, without the subject",
    "uniform_noise": "Uniform noise",
    "gradcam": "Grad-CAM",
    "am1": "AM1",
    "am2": "AM2",
}

READINGS = ("thresholded", "weighted", "uniform")  # the order of the gaze study's tables

CENTER_BIAS = {
    "none": "pooled over all images (as published)",
    "image": "without the image itself",
    "subject": "without the subject's images",
}


@dataclass(frozen=True)
class Metric:
    """A metric in words: `axis` labels an axis (with the unit), `chance` is what a map without information
    scores."""

    title: str
    axis: str
    chance: float | None
    meaning: str


METRICS = {
    "ncc": Metric(
        "NCC",
        "correlation",
        0.0,
        "Normalised cross-correlation: the Pearson correlation of the map with the reference over all "
        "pixels, "
        "from \N{MINUS SIGN}1 to 1. A map that knows nothing scores 0; a map of the average gaze scores "
        "far above 0, "
        ""
        ""
        "because gaze "
        "gathers in the middle of every image.",
    ),
    "sncc": Metric(
        "sNCC",
        "difference of correlations",
        0.0,
        "Shuffled NCC: the map's NCC with the reference minus its NCC with the center bias, from -2 to "
        "2. "
        "Above 0, the map resembles the gaze on this image more than the average gaze. Chance is 0.",
    ),
    "auc": Metric(
        "AUC",
        "probability",
        0.5,
        "The probability that the map is higher where the reference density falls than at a place drawn "
        ""
        ""
        ""
        "evenly "
        "from the image, ties counted half. From 0 to 1, chance is 0.5.",
    ),
    "sauc": Metric(
        "sAUC",
        "probability",
        0.5,
        "Shuffled AUC: as AUC, but the other place is drawn from the center bias, so that a preference "
        "for the "
        "middle of the image earns nothing. From 0 to 1, chance is 0.5.",
    ),
    "mass_inside": Metric(
        "Mass inside",
        "share of the map inside",
        None,
        "The share of a map's positive mass that lies inside the region, from 0 to 1. An even map puts "
        "in the "
        "region's share of the area, which is therefore the reference.",
    ),
    "mass_over_area": Metric(
        "Mass over area",
        "mass inside / area inside (ratio)",
        1.0,
        "The share of the map's mass inside the region divided by the region's share of the area. Chance "
        ""
        ""
        ""
        "is 1.",
    ),
    "pointing_game": Metric(
        "Pointing game",
        "hits (share of images)",
        None,
        "The share of images whose map has its maximum inside the region. By chance it is the region's "
        "share of the area.",
    ),
}

AREA_METRICS = ("mass_inside", "pointing_game")  # whose chance is the region's share of the area


def metric(name: str) -> Metric:
    """The words for metric `name`; an unknown one is called by its own name and has no chance value."""
    return METRICS.get(name, Metric(plain(name), plain(name), None, ""))


def plain(name: str) -> str:
    """A name of the configuration as words."""
    return name.replace("_", " ")


def method(name: str) -> str:
    """What readers call the method `name`."""
    return METHODS.get(name, plain(name))


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
    rank = {name: index for index, name in enumerate(known)}
    return sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name))


def is_baseline(frame: pd.DataFrame) -> pd.Series:
    """Which rows of a scores or summary table are baselines: they belong to no model."""
    return frame["method"].isin(BASELINES) | (frame["model"] == "")


def decimals(low: float, high: float) -> int:
    """How many decimals an interval supports: two digits of its half-width up to 0.354.., one above, at most
    4.

    The rule of the Particle Data Group for the digits of an uncertainty, without its rounding of 950 to 1000.
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
    """A row's mean and interval: "0.529 [0.521, 0.538]", or "undefined"."""
    if pd.isna(row[mean]):
        return "undefined"
    return f"{number(row[mean], row['low'], row['high'])} {interval(row['low'], row['high'])}"


def signed(value: float, places: int) -> str:
    """`value` with `places` decimals and a real minus sign; never minus zero."""
    text = f"{value:.{places}f}"
    if float(text) == 0.0:
        text = text.lstrip("-")
    return text.replace("-", "\N{MINUS SIGN}")


def interval(low: float | None, high: float | None) -> str:
    """An interval in brackets with the digits that its width supports; "undefined" where there is none."""
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return "undefined"
    places = decimals(low, high)
    return f"[{signed(low, places)}, {signed(high, places)}]"


def span(values: Iterable[int]) -> str:
    """Counts in words: "91", or "88 to 91" where they differ."""
    found = sorted({int(value) for value in values})
    if not found:
        return "0"
    return f"{found[0]:,}" if len(found) == 1 else f"{found[0]:,} to {found[-1]:,}"


def made_by(frame: pd.DataFrame) -> str:
    """How the intervals of `frame` were made, from its column `interval`; counts that differ become a
    span."""
    ways: dict[str, list[list[int]]] = {}
    for way in sorted({str(way) for way in frame["interval"]} - {""}):
        ways.setdefault(re.sub(r"\d+", "#", way), []).append(
            [int(count) for count in re.findall(r"\d+", way)]
        )
    told = []
    for way, counts in ways.items():
        parts = [span(values) for values in zip(*counts)]
        told.append("".join(part + count for part, count in zip(way.split("#"), [*parts, ""])))
    return "; ".join(told) if told else "no interval"


def sizes(frame: pd.DataFrame) -> str:
    """n of a summary table in words: images, subjects, seeds, and how many scores were excluded."""
    seeds = frame.loc[~is_baseline(frame), "seeds"] if "method" in frame else frame["seeds"]
    parts = [f"n = {span(frame['images'])} images"]
    if "subjects" in frame:
        parts.append(f"{span(frame['subjects'])} subjects")
    if len(seeds):
        parts.append(f"{span(seeds)} {'seed' if set(seeds) == {1} else 'seeds'} per model")
    text = ", ".join(parts)
    if "excluded" in frame and frame["excluded"].sum():
        text += f"; up to {int(frame['excluded'].max()):,} scores of a row undefined and left out"
    return text
