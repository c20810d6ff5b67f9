"""Bootstrap over 2,616 subjects x 40 columns, 10,000 resamples, against scipy.stats.bootstrap by column.

The ratio is of what both compute: the percentile bootstrap of a mean over subjects. The percentiles must
agree within the Monte Carlo error of either. Five seeds are what only the crossed bootstrap does.
"""

import time

import numpy as np
from scipy import stats

from benchmarks.measuring import Row, at_least
from sightline import intervals
from sightline.cells import Cells

SUBJECTS, COLUMNS, SEEDS, RESAMPLES, BATCH = 2616, 40, 5, 10_000, 500


def timed(method: str, cells: Cells) -> tuple[float, intervals.Interval]:
    start = time.process_time()
    options = intervals.Options(method, resamples=RESAMPLES)
    found = intervals.find(method)(cells, options, np.random.default_rng(1))
    return time.process_time() - start, found


def of_scipy(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds, and (2, COLUMNS) ends of the percentile intervals."""
    start, ends = time.process_time(), []
    for column in values.T:
        result = stats.bootstrap(
            (column,),
            np.mean,
            n_resamples=RESAMPLES,
            batch=BATCH,
            method="percentile",
            vectorized=True,
            rng=2,
        )
        ends.append(result.confidence_interval)
    return time.process_time() - start, np.array(ends).T


def percentile_error(values: np.ndarray) -> np.ndarray:
    """Monte Carlo error (columns,) of a 2.5 % percentile of RESAMPLES means: sqrt(p q / R) / density."""
    spread = values.std(axis=0) / np.sqrt(len(values))
    return np.sqrt(0.025 * 0.975 / RESAMPLES) / stats.norm.pdf(stats.norm.ppf(0.025)) * spread


def run(quick: bool) -> list[Row]:
    """The ratio of CPU times, and how far the percentiles are apart; takes seconds, quick or not."""
    draw = np.random.default_rng(0)
    values = draw.gamma(2.0, size=(SUBJECTS, COLUMNS)) + draw.normal(size=(SUBJECTS, 1))
    one = Cells(values[:, None], np.ones((SUBJECTS, 1, COLUMNS)))
    seeded = (
        values[:, None]
        + 0.1 * draw.normal(size=(1, SEEDS, COLUMNS))
        + draw.normal(size=(SUBJECTS, SEEDS, COLUMNS))
    )
    print(f"{SUBJECTS} subjects x {COLUMNS} columns, {RESAMPLES} resamples; CPU time of one thread, once")
    ours, found = timed("subjects", one)
    print(f"subjects (one matrix product)      {ours:8.2f} s")
    crossed, _ = timed("crossed_bootstrap", Cells(seeded, np.ones_like(seeded)))
    print(f"crossed_bootstrap, {SEEDS} seeds         {crossed:8.2f} s")
    theirs, ends = of_scipy(values)
    print(f"scipy.stats.bootstrap by column    {theirs:8.2f} s")
    apart = np.abs(np.stack([found.low, found.high]) - ends) / (np.sqrt(2.0) * percentile_error(values))
    return [
        at_least("percentile bootstrap of subjects, over scipy's by column", theirs / ours, 5),
        Row(
            "percentiles apart, in Monte Carlo errors", f"{apart.max():.1f}", "below 5", bool(apart.max() < 5)
        ),
    ]
