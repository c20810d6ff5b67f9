"""The metrics in words: what readers see on an axis, what chance is, what there can be, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """A metric in words: `axis` labels an axis, `chance` is what a map without information scores, `low` and
    `high` are the least and the greatest value that there can be; `better` is "high", "low" or "" (neither).
    Of a `share`, usually a probability but not always, the ends are 0 and 1 where the values say so.
    """

    title: str
    axis: str
    chance: float | None
    low: float
    high: float
    meaning: str
    better: str = "high"
    share: bool = False


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
        "\N{MINUS SIGN}2 to 2. Above 0, the map resembles this image's reference more than the average one. "
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
    "iou_otsu": Metric(
        "IoU, Otsu",
        "intersection over union",
        None,
        0.0,
        1.0,
        "The overlap of the region with the pixels above the map's own Otsu threshold: their intersection "
        "over their union, from 0 to 1.",
    ),
    "iou_quantile": Metric(
        "IoU, equal area",
        "intersection over union",
        None,
        0.0,
        1.0,
        "The overlap of the region with as many of the map's highest pixels. A map that knows nothing scores "
        "about a / (2 \N{MINUS SIGN} a), where a is the region's share of the area.",
    ),
    "iou_tuned": Metric(
        "IoU, tuned",
        "intersection over union",
        None,
        0.0,
        1.0,
        "The overlap of the region with the map cut at the threshold that suits the other subjects' images "
        "best.",
    ),
    "iou_max": Metric(
        "IoU, best",
        "intersection over union",
        None,
        0.0,
        1.0,
        "The overlap at the threshold that suits this image best, chosen with the answer in sight: an upper "
        "bound.",
    ),
    "pixel_precision": Metric(
        "Precision, Otsu",
        "share of the pixels",
        None,
        0.0,
        1.0,
        "The share of the pixels above the map's Otsu threshold that lie in the region. By chance it is the "
        "region's share of the area.",
    ),
    "pixel_recall": Metric(
        "Recall, Otsu",
        "share of the region",
        None,
        0.0,
        1.0,
        "The share of the region that lies above the map's Otsu threshold.",
    ),
}
PROBES = {
    "deletion": Metric(
        "Deletion",
        "mean output",
        None,
        -math.inf,
        math.inf,
        "The model's output for the explained class, averaged while the pixels where the map is highest are "
        "deleted first. Low is good: what the map marks is what the output rests on.",
        "low",
        share=True,
    ),
    "insertion": Metric(
        "Insertion",
        "mean output",
        None,
        -math.inf,
        math.inf,
        "The same while they are put back first, into a blurred image. High is good.",
        share=True,
    ),
    "road": Metric(
        "ROAD",
        "output difference",
        0.0,
        -math.inf,
        math.inf,
        "Half of the output without the map's lowest pixels less the output without its highest ones; what "
        "is taken away is filled in from its surroundings. High is good, 0 is a map that orders nothing.",
    ),
    "road_most_first": Metric(
        "ROAD, most first",
        "change of output",
        0.0,
        -math.inf,
        math.inf,
        "The output with the map's highest pixels filled in from their surroundings, less the whole image's. "
        "Low is good.",
        "low",
    ),
    "sensitivity_max": Metric(
        "Sensitivity",
        "largest change",
        None,
        0.0,
        math.inf,
        "Sensitivity-max: the largest relative change of the map among slightly altered images. Low is good: "
        "an image that looks the same gets the same map.",
        "low",
    ),
    "infidelity": Metric(
        "Infidelity",
        "squared output",
        None,
        0.0,
        math.inf,
        "The mean squared error of what the map predicts that noise does to the output. Low is good; a map "
        "on another scale than the output's is punished for its scale.",
        "low",
    ),
    "infidelity_scaled": Metric(
        "Infidelity, scaled",
        "share unexplained",
        1.0,
        0.0,
        1.0,
        "Infidelity at the map's best scale, over the mean squared change of the output: 0 where the map "
        "predicts what noise does, 1 where it does not help.",
        "low",
    ),
}
SPARSENESS = {
    "gini": Metric(
        "Gini index",
        "index",
        None,
        0.0,
        1.0,
        "How unevenly the map's magnitude is spread over the pixels: 0 for an even map, near 1 where a few "
        "pixels hold it all. It needs no reference, and neither end is good as such.",
        "",
    ),
    "complexity": Metric(
        "Entropy",
        "nats",
        None,
        0.0,
        math.inf,
        "The entropy of the pixels' shares of the map's magnitude: 0 where one pixel holds it all, the "
        "logarithm of the number of pixels for an even map.",
        "",
    ),
    "effective_area": Metric(
        "Effective area",
        "share of the area",
        None,
        0.0,
        1.0,
        "The share of the image over which an even map of the same entropy would spread.",
        "",
    ),
    "mass_in_top_tenth": Metric(
        "Mass in top tenth",
        "share of the mass",
        None,
        0.1,
        1.0,
        "The share of the map's magnitude in the tenth of the pixels that has most of it; 0.1 for an "
        "even map.",
        "",
    ),
}
AGREEMENTS = {
    "spearman": Metric(
        "Spearman",
        "rank correlation",
        0.0,
        -1.0,
        1.0,
        "The correlation of two maps' pixels by their ranks: 1 for maps that order them alike, 0 for maps "
        "that share nothing.",
        "",
    ),
    "spearman_abs": Metric(
        "Spearman, |map|",
        "rank correlation",
        0.0,
        -1.0,
        1.0,
        "The same of the maps' magnitudes, without their signs.",
        "",
    ),
    "ssim": Metric(
        "SSIM",
        "structural similarity",
        None,
        -1.0,
        1.0,
        "The structural similarity of two maps, in windows of 7 pixels: 1 for equal maps.",
        "",
    ),
    "ssim_abs": Metric(
        "SSIM, |map|",
        "structural similarity",
        None,
        -1.0,
        1.0,
        "The same of the maps' magnitudes, without their signs.",
        "",
    ),
    "pearson": Metric(
        "Pearson",
        "correlation",
        0.0,
        -1.0,
        1.0,
        "The correlation of two maps over their pixels.",
        "",
    ),
    "pearson_abs": Metric(
        "Pearson, |map|",
        "correlation",
        0.0,
        -1.0,
        1.0,
        "The same of the maps' magnitudes, without their signs.",
        "",
    ),
    "top_overlap": Metric(
        "Top tenth",
        "intersection over union",
        0.1 / 1.9,
        0.0,
        1.0,
        "The overlap of the tenths of the pixels where each of two maps is highest; by chance about 0.05.",
        "",
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
METRICS |= PROBES | SPARSENESS | AGREEMENTS
