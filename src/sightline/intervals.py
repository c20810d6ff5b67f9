"""Intervals of a mean over images and seeds, where every seed's model saw the same subjects (crossed).

The estimate is one for all methods (`Cells.estimate`). The methods are functions of this module, found by
name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats

from sightline.cells import Cells, Statistic, resampled
from sightline.errors import ConfigError

VARIANCE_DRAWS = 1000  # from which the variances of a `Statistic` are taken
METHODS = ("crossed_bootstrap", "random_effects", "subjects", "t_over_seeds", "bca", "pooled_normal")


@dataclass(frozen=True)
class Options:
    """How intervals are made: `method` is one of `METHODS`, `unit` what is resampled (subject or image)."""

    method: str = "crossed_bootstrap"
    resamples: int = 10_000
    level: float = 0.95
    seed: int = 0
    unit: str = "subject"

    def __post_init__(self) -> None:
        """Raise `ConfigError` for a value that is not allowed."""
        allowed = {"method": (self.method, METHODS), "unit": (self.unit, ("subject", "image"))}
        for name, (value, values) in allowed.items():
            if value not in values:
                raise ConfigError(f"interval, {name}: {value!r} is not one of {', '.join(values)}")
        if self.resamples < 100 or not 0.5 <= self.level < 1.0:
            raise ConfigError("interval: expected at least 100 resamples and a level from 0.5 to below 1")

    @property
    def tails(self) -> tuple[float, float]:
        """The two probabilities between which the interval lies."""
        return 0.5 - self.level / 2, 0.5 + self.level / 2


@dataclass(frozen=True)
class Interval:
    """Estimates with their intervals, each (columns,), NaN where there is none, and how they were made."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    made: str


def find(name: str) -> Callable[[Cells | Statistic, Options, np.random.Generator], Interval]:
    """The interval function called `name`. Raises `ConfigError` for a name that is none."""
    if name not in METHODS:
        raise ConfigError(f"interval {name!r}: expected one of {', '.join(METHODS)}")
    return globals()[name]


def crossed_bootstrap(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """Subjects and seeds resampled independently, with the correction that few seeds and few subjects need.

    A resample's deviation is a subject part and, per arm, a seed part. Plain resampling of k seeds (the
    pigeonhole bootstrap; McCullagh 2000, Owen 2007) is wrong three ways: their spread shrinks by (k-1)/k,
    the residual is counted up to three times, and percentiles take a variance from k seeds for known. So
    the seed part is rescaled to the unbiased variance component of a two-way random effects model, and each
    part of each resample is multiplied with sqrt(df / chi2_df), df = n-1 or k-1 (of two arms Welch's): a
    normal deviation becomes Student's, their sum that of Behrens and Fisher (generalised confidence
    intervals; Weerahandi 1993). Skewness over subjects stays. Its coverage is measured by
    benchmarks/coverage.py.
    """
    n = cells.size
    mean = cells.estimate
    if n < 2:
        return _none(mean, "one subject")
    parts = _variances(cells, generator)
    for_subjects, for_seeds = generator.spawn(2)
    weigh_seeds = [for_seeds.multinomial(k, np.full(k, 1 / k), options.resamples) / k for k in cells.arms]
    # sqrt(n / (n-1)) undoes the shrinkage of resampled subjects, sqrt((n-1) / chi2) studentises
    entering, which = np.unique(cells.entering, return_inverse=True)
    student = [np.sqrt(m / for_seeds.chisquare(m - 1, options.resamples)) for m in entering]
    student = np.stack(student, axis=1)[:, which]  # (resamples, columns or 1)
    degrees = np.arange(1, max(sum(cells.arms) - len(cells.arms), 1) + 1)
    student_seeds = np.sqrt(degrees / for_seeds.chisquare(degrees, (options.resamples, len(degrees))))
    scales, freedom = list(parts.seed_scales()), parts.seed_freedom()
    deviations = np.empty((options.resamples, mean.size))
    for rows, means in resampled(cells, options.resamples, for_subjects):
        part = student[rows] * (np.tensordot(means, cells.coefficients, axes=(1, 0)) - mean)
        of_seeds = np.zeros_like(part)
        for (sign, side), k, drawn, scale in zip(cells.sides, cells.arms, weigh_seeds, scales):
            of_seeds += sign * scale * np.einsum("rk,rkc->rc", drawn[rows] - 1 / k, means[:, side])
        deviations[rows] = part + student_seeds[rows][:, freedom - 1] * of_seeds
    low, high = mean + np.quantile(deviations, options.tails, axis=0)
    made = f"crossed bootstrap, {options.resamples} resamples of {n} subjects and {_words(cells.arms)}"
    if max(cells.arms) > 1:
        made += ", corrected for few seeds"
    return Interval(mean, low, high, f"{options.level:.0%} {made}")


def random_effects(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """Two-way random effects (subject, seed, residual) with Satterthwaite's degrees of freedom (1946).

    Mean squares come from the linearised ratio, so that missing cells are allowed; in complete tables they
    are those of the analysis of variance. A negative variance of the seeds counts as none.
    """
    n = cells.entering
    mean = cells.estimate
    if cells.size < 2:
        return _none(mean, "one subject")
    parts = _variances(cells, generator)
    variance, squares = parts.subject.copy(), parts.subject**2 / (n - 1)
    for k, seed, residual in zip(cells.arms, parts.seed, parts.residual):
        if k > 1:
            there = seed > residual
            variance += np.where(there, seed - residual, 0.0) / k
            terms = (seed / k) ** 2 / (k - 1) + (residual / k) ** 2 / ((n - 1) * (k - 1))
            squares += np.where(there, terms, 0.0)
    freedom = np.divide(variance**2, squares, out=np.full_like(variance, n - 1.0), where=squares > 0)
    half = stats.t.ppf(options.tails[1], freedom) * np.sqrt(variance)
    made = f"two-way random effects, Satterthwaite, {cells.size} subjects and {_words(cells.arms)}"
    made = f"{options.level:.0%} {made}"
    return Interval(mean, mean - half, mean + half, made)


def subjects(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """Percentile bootstrap over subjects, for these very seeds: says nothing of models trained anew."""
    mean, draws = _subject_bootstrap(cells, options, generator)
    if draws is None:
        return _none(mean, "one subject")
    low, high = np.quantile(draws, options.tails, axis=0)
    made = f"bootstrap, {options.resamples} resamples of {cells.size} subjects, seeds fixed"
    return Interval(mean, low, high, f"{options.level:.0%} {made}")


def bca(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """Bias-corrected accelerated bootstrap over subjects, seeds fixed (Efron 1987), by jackknife."""
    mean, draws = _subject_bootstrap(cells, options, generator)
    if draws is None:
        return _none(mean, "one subject")
    if np.isnan(cells.left_out).any():
        return _none(mean, "a seed rests on one subject")
    left_out = np.tensordot(cells.left_out, cells.coefficients, axes=(1, 0))  # (subjects, columns)
    away = left_out.mean(axis=0) - left_out
    spread = 6.0 * (away**2).sum(axis=0) ** 1.5
    acceleration = np.divide((away**3).sum(axis=0), spread, out=np.zeros_like(spread), where=spread > 0)
    below = ((draws < mean).mean(axis=0) + (draws <= mean).mean(axis=0)) / 2
    bias = stats.norm.ppf(np.clip(below, 0.5 / options.resamples, 1 - 0.5 / options.resamples))
    ends = []
    for tail in options.tails:
        shifted = bias + stats.norm.ppf(tail)
        level = stats.norm.cdf(bias + shifted / (1.0 - acceleration * shifted))
        ends.append([np.quantile(draws[:, column], level[column]) for column in range(mean.size)])
    made = f"BCa bootstrap, {options.resamples} resamples of {cells.size} subjects, seeds fixed"
    return Interval(mean, np.array(ends[0]), np.array(ends[1]), f"{options.level:.0%} {made}")


def t_over_seeds(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """Student's t over the seeds' means (Welch's for two arms), images fixed: nothing on other patients."""
    mean = cells.estimate
    if max(cells.arms) < 2:
        return _none(mean, "one seed")
    of_seeds = cells.seed_means
    variance, squares = np.zeros_like(mean), np.zeros_like(mean)
    for (_, side), k in zip(cells.sides, cells.arms):
        if k > 1:
            part = of_seeds[side].var(axis=0, ddof=1) / k
            variance, squares = variance + part, squares + part**2 / (k - 1)
    freedom = np.divide(variance**2, squares, out=np.ones_like(mean), where=squares > 0)
    half = stats.t.ppf(options.tails[1], freedom) * np.sqrt(variance)
    return Interval(
        mean, mean - half, mean + half, f"{options.level:.0%} t over {_words(cells.arms)}, images fixed"
    )


def pooled_normal(cells: Cells | Statistic, options: Options, generator: np.random.Generator) -> Interval:
    """The chest x-ray gaze paper's interval: mean -/+ 1.96 SD / sqrt(images), SD over all rows.

    The formula of the authors' spreadsheets (Bigolin Lanfredi et al. 2022; ricbl/etsaliencymaps). It tells
    neither readers, seeds nor subjects apart; it is here to be set beside the published ones. One arm only.
    """
    mean = cells.estimate
    if cells.sd is None or cells.images is None or len(cells.arms) != 1:
        raise ConfigError(
            "interval 'pooled_normal' serves summaries of scores alone; choose another one for this"
        )
    half = round(stats.norm.ppf(options.tails[1]), 2) * cells.sd / np.sqrt(cells.images)
    made = f"{options.level:.0%} normal, SD over all rows / sqrt(images), as published"
    return Interval(mean, mean - half, mean + half, made)


@dataclass(frozen=True)
class _Variances:
    """The estimate's variance through subjects; per arm that of a seed's mean, and the residual's part."""

    subject: np.ndarray  # (columns,)
    seed: list[np.ndarray]  # per arm (columns,)
    residual: list[np.ndarray]
    arms: tuple[int, ...]

    def seed_scales(self) -> Iterator[np.ndarray]:
        """Per arm (columns,): the factor that gives resampled seeds the spread of the seeds' own variance.

        Resampled seed means hold the residual twice: as observed, and again through the subjects drawn.
        """
        for k, seed, residual in zip(self.arms, self.seed, self.residual):
            total, own = seed + residual, np.maximum(seed - residual, 0.0)
            ratio = np.divide(own, total, out=np.zeros_like(total), where=total > 0)
            yield np.sqrt(ratio * k / max(k - 1, 1))

    def seed_freedom(self) -> np.ndarray:
        """(columns,) whole degrees of freedom of the seeds' part, at least 1: k-1, or Welch's."""
        variance, squares = np.zeros_like(self.subject), np.zeros_like(self.subject)
        for k, seed, residual in zip(self.arms, self.seed, self.residual):
            own = np.maximum(seed - residual, 0.0) / k
            variance, squares = variance + own, squares + own**2 / max(k - 1, 1)
        most = max(sum(self.arms) - len(self.arms), 1)
        freedom = np.divide(variance**2, squares, out=np.full_like(variance, most), where=squares > 0)
        return np.clip(np.rint(freedom).astype(int), 1, most)


def _variances(cells: Cells | Statistic, generator: np.random.Generator) -> _Variances:
    if isinstance(cells, Statistic):
        return _drawn_variances(cells, generator.spawn(1)[0])
    n = cells.size
    of_seeds = cells.seed_means
    influence = cells.influence  # (subjects, seeds, columns)
    of_subjects = np.tensordot(influence, cells.coefficients, axes=(1, 0))
    seed, residual = [], []
    for (_, side), k in zip(cells.sides, cells.arms):
        rest = influence[:, side] - influence[:, side].mean(axis=1, keepdims=True)
        seed.append(of_seeds[side].var(axis=0, ddof=1) if k > 1 else np.zeros(of_seeds.shape[1]))
        residual.append((rest**2).sum(axis=(0, 1)) / (n * (n - 1) * max(k - 1, 1)))
    return _Variances((of_subjects**2).sum(axis=0) / (n * (n - 1)), seed, residual, cells.arms)


def _drawn_variances(statistic: Statistic, generator: np.random.Generator) -> _Variances:
    """The same from resamples: a height of a curve, as a median, has no derivative to sum squares of."""
    m = statistic.entering
    unbiased = m / (m - 1)
    drawn = np.concatenate([means for _, means in resampled(statistic, VARIANCE_DRAWS, generator)])
    of_seeds = statistic.seed_means
    of_subjects = np.tensordot(drawn, statistic.coefficients, axes=(1, 0)).var(axis=0) * unbiased
    seed, residual = [], []
    for (_, side), k in zip(statistic.sides, statistic.arms):
        rest = drawn[:, side] - drawn[:, side].mean(axis=1, keepdims=True)
        seed.append(of_seeds[side].var(axis=0, ddof=1) if k > 1 else np.zeros(of_seeds.shape[1]))
        residual.append(rest.var(axis=0).sum(axis=0) * unbiased / max(k - 1, 1))
    return _Variances(of_subjects, seed, residual, statistic.arms)


def _subject_bootstrap(
    cells: Cells | Statistic, options: Options, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray | None]:
    """The estimate (columns,) and its values over resamples (resamples, columns), or None for one subject."""
    mean = cells.estimate
    if cells.size < 2:
        return mean, None
    draws = np.empty((options.resamples, mean.size))
    for rows, means in resampled(cells, options.resamples, generator.spawn(2)[0]):
        draws[rows] = np.tensordot(means, cells.coefficients, axes=(1, 0))
    return mean, draws


def _none(mean: np.ndarray, why: str) -> Interval:
    nothing = np.full(mean.shape, np.nan)
    return Interval(mean, nothing, nothing.copy(), f"no interval: {why}")


def _words(arms: tuple[int, ...]) -> str:
    return " and ".join(map(str, arms)) + (" seed" if arms == (1,) else " seeds")
