"""AUCs per label over seeds, with intervals over seeds and subjects in closed form."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sightline.classification.auc import auc, influence
from sightline.classification.predicted import GROUP
from sightline.errors import TableError


def auc_rows(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row per (dataset, model, condition, seed, label): auc (NaN if undefined), positives, images.

    `predictions` is the table of that name, of any number of models and seeds; rows without value are left
    out. Raises `TableError` where the seeds of a model do not hold the same images, or one image twice.
    """
    rows = []
    twice = predictions[predictions.duplicated([*GROUP, "seed", "image", "label"])]
    if len(twice):
        row = twice.iloc[0]
        raise TableError(
            f"predictions: image {row['image']}, label '{row['label']}' stands twice for one seed"
        )
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
    study's authors. `subjects_and_seeds`: the variance over seeds plus that over subjects (`subjects`, image
    to subject; DeLong's, images summed within subjects as Obuchowski 1997), with Satterthwaite's degrees of
    freedom: for other subjects and another training.
    """

    kind: str = "seeds_t"
    level: float = 0.95
    subjects: pd.Series | None = None  # indexed by image


def auc_table(predictions: pd.DataFrame, interval: Interval | None = None) -> pd.DataFrame:
    """Rows of table 'classification': per (dataset, model, condition) and label the AUC's mean over seeds.

    Label 'mean' averages the labels whose AUC is defined, and its `interval` says how many; a label with one
    value alone is `undefined`. Raises `TableError` for seeds with other images, an image without subject.
    """
    interval = interval or Interval()
    spread = _subject_variance(predictions, interval) if interval.kind == "subjects_and_seeds" else {}
    return summarise(auc_rows(predictions), interval, spread)


def summarise(
    rows: pd.DataFrame, interval: Interval, spread: dict[tuple, tuple[float, int]] | None = None
) -> pd.DataFrame:
    """Rows of table 'classification' from `auc_rows`; `spread`: (variance, subjects) per group and label."""
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
    columns = [*GROUP, "label", "value", "low", "high", "positives", "images", "seeds", "status", "interval"]
    return pd.DataFrame(result, columns=columns).assign(metric="auc")


def _line(aucs: np.ndarray, interval: Interval, spread: tuple[float, int] | None, note: str) -> tuple:
    """(mean, low, high, status, how made) of one label's AUCs over seeds."""
    if np.isnan(aucs).any():
        return np.nan, np.nan, np.nan, "undefined", "none: one label value alone" + note
    mean, seeds = float(aucs.mean()), len(aucs)
    variance = float(aucs.var(ddof=1)) / seeds if seeds > 1 else 0.0
    if interval.kind == "subjects_and_seeds":
        if spread[1] < 2:
            return mean, np.nan, np.nan, "ok", "none: one subject" + note
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
    how = f"{interval.level:.0%}, {subjects} subjects and {seeds} seed(s), Satterthwaite"
    return float(t.ppf(0.5 + interval.level / 2, freedom) * np.sqrt(total)), how


def _subject_variance(predictions: pd.DataFrame, interval: Interval) -> dict[tuple, tuple[float, int]]:
    """Variance over subjects of the seeds' mean AUC, and their number, per group and label (and 'mean')."""
    if interval.subjects is None:
        raise ValueError("an interval over subjects needs `subjects`: a series from image to subject")
    subject_of = predictions["image"].map(interval.subjects)
    if subject_of.isna().any():
        raise TableError(
            f"predictions: image {predictions['image'][subject_of.isna()].iloc[0]} has no subject"
        )
    result = {}
    for key, group in predictions.assign(subject=subject_of).groupby(GROUP, sort=True):
        names, whose = np.unique(group["subject"], return_inverse=True)
        seeds, total, averaged = group["seed"].nunique(), np.zeros(len(names)), 0
        for label, rows in group.assign(subject=whose).groupby("label", sort=True):
            moved = np.zeros(len(names))  # by each subject
            for _, part in rows.groupby("seed", sort=True):
                moves = influence(part["value"].to_numpy(float), part["logit"].to_numpy(float))
                moved += np.bincount(part["subject"], moves, len(names)) / seeds
            result[(*key, label)] = (_variance(moved), len(names))
            total, averaged = total + moved, averaged + bool(moved.any())
        result[(*key, "mean")] = (_variance(total / max(averaged, 1)), len(names))
    return result


def _variance(moved: np.ndarray) -> float:
    """The variance of a mean from how far each of its subjects moves it."""
    return float((moved**2).sum()) * len(moved) / max(len(moved) - 1, 1)
