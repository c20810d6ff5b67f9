"""How well models classify: AUC per label and their mean, with intervals over seeds and subjects. Knows no
torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sightline.errors import TableError
from sightline.randomness import generator

GROUP = ["dataset", "model", "condition"]


def auc(value: np.ndarray, logit: np.ndarray) -> float:
    """P(logit of a positive > of a negative) + half P(equal), exact; NaN where one value alone occurs.

    `value` (N,) holds 1, 0 or NaN (unknown, left out), `logit` (N,) any numbers without NaN.
    """
    known = ~np.isnan(value)
    return float(_weighted_auc(value[known] > 0, logit[known], np.ones((1, int(known.sum()))))[0])


def _weighted_auc(positive: np.ndarray, logit: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC (R,) under each of R weightings (R, N) of the images; NaN where a class has no weight."""
    order = np.argsort(logit, kind="stable")
    ends = (
        np.append(np.flatnonzero(np.diff(logit[order])), len(logit) - 1) if len(logit) else np.empty(0, int)
    )
    weights, positive = weights[:, order], positive[order]

    def per_value(mass: np.ndarray) -> tuple[np.ndarray, np.ndarray]:  # (R, distinct logits): up to it, at it
        up_to = np.cumsum(mass, axis=1)[:, ends]
        return up_to, np.diff(up_to, axis=1, prepend=0.0)

    _, gained = per_value(weights * positive)
    below, equal = per_value(weights * ~positive)
    pairs = gained.sum(axis=1) * equal.sum(axis=1)
    won = (gained * (below - 0.5 * equal)).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(weights), np.nan), where=pairs > 0)


def auc_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per (dataset, model, condition, seed, label): auc (NaN if undefined), positives, images.

    `predictions` is the table of that name, of any number of models and seeds; rows without value are left
    out. Raises `TableError` where the seeds of a model do not hold the same images.
    """
    rows = []
    for key, group in predictions.groupby([*GROUP, "label"], sort=True):
        counts = {}
        for seed, part in group.groupby("seed", sort=True):
            value, logit = part["value"].to_numpy(float), part["logit"].to_numpy(float)
            known = ~np.isnan(value)
            counts[seed] = (int((value[known] > 0).sum()), int(known.sum()))
            rows.append((*key[:3], seed, key[3], auc(value, logit), *counts[seed]))
        if len(set(counts.values())) > 1:
            raise TableError(
                f"predictions: {dict(zip([*GROUP, 'label'], key))}: the seeds hold other images: "
                f"(positives, images) by seed are {counts}; predict the same images with every seed"
            )
    return pd.DataFrame(rows, columns=[*GROUP, "seed", "label", "auc", "positives", "images"])


@dataclass(frozen=True)
class Interval:
    """How intervals are made.

    `seeds_t`: Student's t over seeds. `seeds_normal`: 1.96 SD / sqrt(seeds), as the chest x-ray gaze
    study's authors. `subjects_and_seeds`: the variance of the seeds' mean AUC when subjects are resampled
    (of `subjects`, image to subject, `resamples` times) plus that over seeds, with Satterthwaite's degrees
    of freedom: for other subjects and another training.
    """

    kind: str = "seeds_t"
    level: float = 0.95
    subjects: pd.Series | None = None  # indexed by image
    resamples: int = 1000
    seed: int = 0


def auc_table(predictions: pd.DataFrame, interval: Interval | None = None) -> pd.DataFrame:
    """The table 'classification': per (dataset, model, condition) each label's AUC, its mean over seeds,
    and 'mean'.

    'mean' averages the labels whose AUC is defined, and its `interval` says how many; a label with one
    value alone is `undefined`. Raises `TableError` for seeds with different images, or an image without
    subject.
    """
    interval = interval or Interval()
    spread = _subject_variance(predictions, interval) if interval.kind == "subjects_and_seeds" else {}
    return summarise(auc_rows(predictions), interval, spread)


def summarise(
    rows: pd.DataFrame, interval: Interval, spread: dict[tuple, tuple[float, int]] | None = None
) -> pd.DataFrame:
    """The table 'classification' from the rows of `auc_rows`; `spread` gives (variance, subjects) per group
    and label.
    """
    spread = spread or {}
    result = []
    for key, group in rows.groupby(GROUP, sort=True):
        table = group.pivot(index="seed", columns="label", values="auc")  # (seeds, labels)
        defined = table.columns[table.notna().all()]
        counts = group.groupby("label")[["positives", "images"]].first()
        for label in table.columns:
            where = spread.get((*key, label))
            line = _line(table[label].to_numpy(), interval, where, "")
            result.append((*key, label, *line[:3], *counts.loc[label], len(table), *line[3:]))
        note = f"; mean of {len(defined)} of {len(table.columns)} labels"
        means = table[defined].mean(axis=1).to_numpy() if len(defined) else np.full(len(table), np.nan)
        line = _line(means, interval, spread.get((*key, "mean")), note)
        total = (counts["positives"].sum(), counts["images"].max())
        result.append((*key, "mean", *line[:3], *total, len(table), *line[3:]))
    columns = [*GROUP, "label", "auc", "low", "high", "positives", "images", "seeds", "status", "interval"]
    return pd.DataFrame(result, columns=columns)


def _line(aucs: np.ndarray, interval: Interval, spread: tuple[float, int] | None, note: str) -> tuple:
    """(mean, low, high, status, how made) of one label's AUCs over seeds."""
    if np.isnan(aucs).any():
        return np.nan, np.nan, np.nan, "undefined", "none: one label value alone" + note
    mean, seeds = float(aucs.mean()), len(aucs)
    variance = float(aucs.var(ddof=1)) / seeds if seeds > 1 else 0.0
    if interval.kind == "subjects_and_seeds":
        half, how = _satterthwaite(variance, seeds, *spread, interval)
    elif interval.kind not in ("seeds_t", "seeds_normal"):
        raise ValueError(
            f"unknown kind of interval {interval.kind!r}: seeds_t, seeds_normal or subjects_and_seeds"
        )
    elif seeds < 2:
        return mean, np.nan, np.nan, "ok", "none: one seed" + note
    elif interval.kind == "seeds_normal":
        half, how = 1.96 * np.sqrt(variance), f"1.96 SD / sqrt({seeds} seeds)"
    else:
        from scipy.stats import t

        half = t.ppf(0.5 + interval.level / 2, seeds - 1) * np.sqrt(variance)
        how = f"{interval.level:.0%}, t over {seeds} seeds"
    return mean, max(0.0, mean - half), min(1.0, mean + half), "ok", how + note


def _satterthwaite(
    variance: float, seeds: int, subject_variance: float, subjects: int, interval: Interval
) -> tuple[float, str]:
    """Half width and description from the variance of the mean over seeds and that over subjects."""
    from scipy.stats import t

    total = variance + subject_variance
    parts = [(variance, seeds - 1), (subject_variance, subjects - 1)]
    inverse = sum(part**2 / freedom for part, freedom in parts if freedom > 0)
    freedom = total**2 / inverse if inverse > 0 else np.inf
    who = f"{subjects} subjects ({interval.resamples} resamples) and {seeds} seed{'s' if seeds > 1 else ''}"
    how = f"{interval.level:.0%}, {who}, Satterthwaite"
    return float(t.ppf(0.5 + interval.level / 2, freedom) * np.sqrt(total)), how


def _subject_variance(predictions: pd.DataFrame, interval: Interval) -> dict[tuple, tuple[float, int]]:
    """Variance of the seeds' mean AUC over resampled subjects, and their number, per group and label, and
    'mean'.
    """
    if interval.subjects is None:
        raise ValueError("an interval over subjects needs `subjects`: a series from image to subject")
    subject_of = predictions["image"].map(interval.subjects)
    if subject_of.isna().any():
        raise TableError(
            f"predictions: image {predictions['image'][subject_of.isna()].iloc[0]} has no subject"
        )
    result = {}
    for key, group in predictions.assign(subject=subject_of).groupby(GROUP, sort=True):
        names = np.unique(group["subject"])
        drawn = generator(interval.seed, "auc_interval", *key)
        times = drawn.multinomial(
            len(names), np.full(len(names), 1 / len(names)), interval.resamples
        )  # (R, subjects)
        averages = []
        for label, rows in group.groupby("label", sort=True):
            aucs = []
            for _, part in rows.groupby("seed", sort=True):
                part = part[part["value"].notna()]
                weights = times[:, np.searchsorted(names, part["subject"])].astype(float)
                aucs.append(
                    _weighted_auc(part["value"].to_numpy() > 0, part["logit"].to_numpy(float), weights)
                )
            average = np.mean(aucs, axis=0)  # (R,), NaN where a resample holds one value alone
            result[(*key, label)] = (_variance(average), len(names))
            if not np.isnan(average).all():  # a resample without one of the values stands at the others' mean
                averages.append(np.where(np.isnan(average), np.nanmean(average), average))
        mean = np.mean(averages, axis=0) if averages else np.full(interval.resamples, np.nan)
        result[(*key, "mean")] = (_variance(mean), len(names))
    return result


def _variance(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.var(ddof=1)) if len(known) > 1 else 0.0
