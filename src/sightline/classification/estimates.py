"""Numbers with their intervals over subjects and seeds, from what was measured."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import beta

from sightline import intervals
from sightline.cells import Statistic
from sightline.classification.measured import SHARES, Measured
from sightline.classification.predicted import Predicted
from sightline.randomness import generator

FEW = 3  # subjects at the rarer side of a share, from which on resamples tell its interval
NO_METHOD = "pooled_normal"  # serves means of scores alone


def estimated(
    predicted: Predicted, measured: Measured, options: intervals.Options, what: str
) -> pd.DataFrame:
    """A row per name of `measured`: its columns, and value, low, high, seeds, status, interval.

    `value` is the mean over the seeds that have the number, which `seeds` counts; `undefined` where none has
    it, and `interval` then says of what there is none. Intervals are those of `options`; subjects and seeds
    are resampled together, and the number is worked out anew from every resample. A share that leaves fewer
    than `FEW` subjects wrong (or right) has at least Jeffreys' interval for a binomial share (Brown, Cai and
    DasGupta 2001): resamples cannot hold errors that the sample lacks. `what` names the draws.
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
    """Give shares that leave few subjects at one side at least the interval of a binomial share."""
    for column, name in enumerate(measured.names):
        value, subjects = numbers[column, 0], int(measured.fewest[column])
        rare = subjects * min(value, 1.0 - value)  # NaN where there is no value
        if name[-1] not in SHARES or subjects < 1 or not rare < FEW:
            continue
        tails = options.tails
        given = value * subjects + 0.5, (1.0 - value) * subjects + 0.5
        low = beta.ppf(tails[0], *given) if value > 0 else 0.0
        high = beta.ppf(tails[1], *given) if value < 1 else 1.0
        jeffreys = f"Jeffreys' binomial interval, {subjects} subjects"
        known = own[:, column][~np.isnan(own[:, column])]
        if np.ptp(known) == 0 and value in (0.0, 1.0):
            made[column] = f"{options.level:.0%} {jeffreys}"
        elif not np.isnan(numbers[column, 1]):
            low, high = min(low, numbers[column, 1]), max(high, numbers[column, 2])
            made[column] += f"; at least {jeffreys}"
        else:
            continue
        numbers[column, 1:] = low, high
