"""The metrics in words: what readers see on an axis, what chance is, what there can be, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """A metric in words: `axis` labels an axis, `chance` is what a map without information scores, `low` and
    `high` are the least and the greatest value that there can be."""

    title: str
    axis: str
    chance: float | None
    low: float
    high: float
    meaning: str


METRICS = {
    "ncc": Metric(
        "NCC",
        "correlation",
        0.0,
        -1.0,
        1.0,
        "Normalised cross-correlation: the Pearson correlation of map and reference over all pixels, from "
        "\N{MINUS SIGN}1 to 1. A map that knows nothing scores 0; a map of the average gaze scores far "
        "above 0, because gaze gathers in the middle of every image.",
    ),
    "sncc": Metric(
        "sNCC",
        "difference of two NCC",
        0.0,
        -2.0,
        2.0,
        "Shuffled NCC: the map's NCC with the reference minus its NCC with the center bias, from "
        "\N{MINUS SIGN}2 to 2. Above 0, the map resembles the gaze on this image more than the average gaze. "
        "Chance is 0.",
    ),
    "auc": Metric(
        "AUC",
        "probability",
        0.5,
        0.0,
        1.0,
        "The probability that the map is higher where the reference density falls than at a place drawn "
        "evenly from the image, ties counted half. From 0 to 1, chance is 0.5.",
    ),
    "sauc": Metric(
        "sAUC",
        "probability",
        0.5,
        0.0,
        1.0,
        "Shuffled AUC: as AUC, but the other place is drawn from the center bias, so that a preference for "
        "the middle of the image earns nothing. From 0 to 1, chance is 0.5.",
    ),
    "mass_inside": Metric(
        "Mass inside",
        "share of the mass",
        None,
        0.0,
        1.0,
        "The share of a map's positive mass that lies inside the region, from 0 to 1. An even map puts in "
        "the region's share of the area, which is therefore the reference.",
    ),
    "mass_over_area": Metric(
        "Mass over area",
        "ratio",
        1.0,
        0.0,
        math.inf,
        "The share of the map's mass inside the region divided by the region's share of the area; 0 or more. "
        "Chance is 1.",
    ),
    "pointing_game": Metric(
        "Pointing game",
        "share of the images",
        None,
        0.0,
        1.0,
        "The share of images whose map has its maximum inside the region. By chance it is the region's share "
        "of the area.",
    ),
}
SAMPLED = (
    " Here estimated from 1,000 sampled pairs of places, as published studies do: noisier than the exact one."
)
METRICS |= {
    f"{name}_sampled": replace(
        METRICS[name], title=f"{METRICS[name].title}, sampled", meaning=METRICS[name].meaning + SAMPLED
    )
    for name in ("auc", "sauc")
}
