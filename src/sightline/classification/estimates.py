"""Numbers with their intervals over subjects and seeds, from what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd

from sightline import intervals
from sightline.cells import Statistic
from sightline.classification.measured import SHARES, Measured
from sightline.classification.predicted import Predicted
from sightline.randomness import generator

NO_METHOD = "pooled_normal"  # serves means of scores alone


def estimated(
    predicted: Predicted, measured: Measured, options: intervals.Options, what: str
) -> pd.DataFrame:
    """A row per name of `measured`: its columns, and value, low, high, seeds, status, interval.

    `value` is the mean over the seeds that have the number, which `seeds` counts; `undefined` where none has
    it, and `interval` then says of what there is none. Intervals are those of `options`; subjects and seeds
    are resampled together, and the number is worked out anew from every resample. A share that is 0 or 1 in
    every seed has the exact binomial interval of Clopper and Pearson (1934) instead: its resamples are all
    alike. `what` names the draws.
    """
    own = measured.values(np.ones((1, predicted.subjects)))[0]  # (S, names)
    there = ~np.isnan(own)
    numbers = np.full((len(measured.names), 3), np.nan)
    made = np.array([f"none: {why}" for why in measured.missing], dtype=object)
    for pattern in np.unique(there, axis=1).T:
        if pattern.any():
            columns = np.flatnonzero((there == pattern[:, None]).all(axis=0))
            _fill(predicted, measured, np.flatnonzero(pattern), columns, options, what, (numbers, made))
    _ends(own, measured, options, numbers, made)
    frame = pd.DataFrame(measured.names, columns=list(measured.columns))
    frame[["value", "low", "high"]] = numbers
    frame["seeds"] = there.sum(axis=0)
    frame["status"] = np.where(there.any(axis=0), "ok", "undefined")
    some = there.any(axis=0) & ~there.all(axis=0)
    frame["interval"] = np.where(some, made + f"; {len(own)} seeds, not all have it", made)
    frame[["low", "high"]] = frame[["low", "high"]].clip(0.0, 1.0)
    return frame


def _fill(
    predicted: Predicted,
    measured: Measured,
    seeds: np.ndarray,
    columns: np.ndarray,
    options: intervals.Options,
    what: str,
    results: tuple[np.ndarray, np.ndarray],
) -> None:
    """Write value, low, high and how it was made of `columns`, which all of `seeds` have."""
    numbers, made = results
    own = measured.values(np.ones((1, predicted.subjects)))[0]
    numbers[columns, 0] = own[np.ix_(seeds, columns)].mean(axis=0)
    alone = measured.entering[columns] < 2
    made[columns[alone]] = "none: one subject"
    columns = columns[~alone]
    if not len(columns):
        return
    statistic = Statistic(
        lambda weights: measured.values(weights)[:, seeds][:, :, columns],
        predicted.subjects,
        (len(seeds),),
        measured.entering[columns],
    )
    method = intervals.find("crossed_bootstrap" if options.method == NO_METHOD else options.method)
    draws = generator(options.seed, "classification", what, predicted.subjects, len(seeds))
    found = method(statistic, options, draws)
    numbers[columns, 1:] = np.stack([found.low, found.high], axis=1)
    made[columns] = found.made


def _ends(
    own: np.ndarray, measured: Measured, options: intervals.Options, numbers: np.ndarray, made: np.ndarray
) -> None:
    """Give shares that are 0 or 1 in every seed the exact interval for as many subjects as they rest on."""
    for column, name in enumerate(measured.names):
        held = own[:, column]
        subjects = int(measured.fewest[column])
        if (
            name[-1] not in SHARES
            or subjects < 1
            or not (np.isin(held, (0.0, 1.0)).all() and np.ptp(held) == 0)
        ):
            continue
        open_end = options.tails[0] ** (1.0 / subjects)
        numbers[column, 1:] = (open_end, 1.0) if held[0] == 1.0 else (0.0, 1.0 - open_end)
        made[column] = f"{options.level:.0%} exact binomial, {subjects} subjects"
