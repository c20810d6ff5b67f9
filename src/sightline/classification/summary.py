"""How well models classify, as tables: metrics, confusions, calibration, and the curves of all thresholds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pandas as pd

from sightline import tables
from sightline.classification import auc_intervals, calibration, confusions, counted, measured, ranked
from sightline.classification.estimates import estimated
from sightline.classification.predicted import Predicted, collect
from sightline.intervals import Options

BAND_RESAMPLES = 1000  # at most, of the bands of curves: hundreds of places each, which are only drawn
TABLES = ("classification", "confusions", "confusion_shares", "calibration", "discrimination")


def summarise(
    predictions: pd.DataFrame, subjects: pd.Series, exclusive: Collection[str], options: Options
) -> dict[str, pd.DataFrame]:
    """The tables `TABLES` of the table `predictions`, empty where it is.

    `subjects` gives each image its subject; `exclusive` names the models whose labels exclude each other (see
    `predicted.Predicted`). Intervals by `options`, those of AUCs by `auc_intervals`. Raises `TableError` for
    predictions that do not fit together.
    """
    found: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    for predicted in collect(predictions, subjects, exclusive):
        made = {
            "classification": _metrics(predicted, subjects, options),
            "confusions": _confusions(predicted),
            "confusion_shares": _shares(predicted, options),
            "calibration": _calibration(predicted, options),
            "discrimination": _discrimination(predicted, options),
        }
        for name, table in made.items():
            found[name].append(table.assign(**predicted.group)[list(tables.SCHEMAS[name].columns)])
    return {
        name: pd.concat(parts, ignore_index=True) if parts else tables.empty(name)
        for name, parts in found.items()
    }


def _metrics(predicted: Predicted, subjects: pd.Series, options: Options) -> pd.DataFrame:
    interval = auc_intervals.Interval("subjects_and_seeds", options.level, subjects)
    parts = [
        auc_intervals.auc_table(predicted.rows(), interval),
        estimated(predicted, ranked.average_precision(predicted), options, "ranked"),
        estimated(predicted, counted.metrics(predicted), options, "counted"),
    ]
    counts = parts[0].set_index("label")[["positives", "images"]]
    for name in (measured.ALL, measured.WEIGHTED):
        counts.loc[name] = counts.loc[measured.MEAN]
    return pd.concat([parts[0], *(part.join(counts, on="label") for part in parts[1:])], ignore_index=True)


def _confusions(predicted: Predicted) -> pd.DataFrame:
    names, counts = confusions.counts(predicted)
    of_seeds = counts.sum(axis=0).astype(int)  # (S, names)
    parts = [
        pd.DataFrame(names, columns=["label", "truth", "predicted"]).assign(seed=seed, count=row)
        for seed, row in zip(predicted.seeds, of_seeds)
    ]
    return pd.concat(parts, ignore_index=True)


def _shares(predicted: Predicted, options: Options) -> pd.DataFrame:
    found = estimated(predicted, confusions.shares(predicted), options, "confusions")
    _, counts = confusions.counts(predicted)
    return found.rename(columns={"value": "share"}).assign(count=counts.sum(axis=0).mean(axis=0))


def _calibration(predicted: Predicted, options: Options) -> pd.DataFrame:
    shares, said, images = calibration.calibration(predicted)
    found = estimated(predicted, shares, options, "calibration")
    found["predicted"] = measured.mean_of(said, axis=0)
    found["images"] = images.mean(axis=0)
    found["bin_low"], found["bin_high"] = (
        found["bin"] / calibration.BINS,
        (found["bin"] + 1) / calibration.BINS,
    )
    return found.rename(columns={"value": "observed"})


def _discrimination(predicted: Predicted, options: Options) -> pd.DataFrame:
    options = replace(options, resamples=min(options.resamples, BAND_RESAMPLES))
    parts = []
    for curve, line in (("roc", ranked.roc(predicted)), ("pr", ranked.precision_recall(predicted))):
        found = estimated(predicted, line, options, curve).rename(columns={"metric": "point", "value": "y"})
        parts.append(found.assign(curve=curve, x=ranked.GRID[found["point"]]))
    return pd.concat(parts, ignore_index=True)
