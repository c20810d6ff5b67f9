"""Bootstrap over 2,616 subjects x 40 columns, 10,000 resamples, against scipy.stats.bootstrap by column.

The ratio is of what both compute: the percentile bootstrap of a mean over subjects. The percentiles must
agree within the Monte Carlo error of either; the line with five seeds is what only the crossed bootstrap
does.
"""

import resource
import time

import numpy as np
from scipy import stats

from sightline import intervals
from sightline.cells import Cells

SUBJECTS, COLUMNS, SEEDS, RESAMPLES, BATCH = 2616, 40, 5, 10_000, 500


def timed(method: str, cells: Cells) -> tuple[float, intervals.Interval]:
    start = time.perf_counter()
    options = intervals.Options(method, resamples=RESAMPLES)
    found = intervals.find(method)(cells, options, np.random.default_rng(1))
    return time.perf_counter() - start, found


def of_scipy(values: np.ndarray) -> tuple[float, np.ndarray]:
    """Seconds, and (2, columns) ends of the percentile intervals."""
    start, ends = time.perf_counter(), []
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
    return time.perf_counter() - start, np.array(ends).T


def percentile_error(values: np.ndarray) -> np.ndarray:
    """Monte Carlo error (columns,) of a 2.5 % percentile of RESAMPLES means: sqrt(p q / R) / density."""
    spread = values.std(axis=0) / np.sqrt(len(values))
    return np.sqrt(0.025 * 0.975 / RESAMPLES) / stats.norm.pdf(stats.norm.ppf(0.025)) * spread


def main() -> None:
    draw = np.random.default_rng(0)
    values = draw.gamma(2.0, size=(SUBJECTS, COLUMNS)) + draw.normal(size=(SUBJECTS, 1))
    one = Cells(values[:, None], np.ones((SUBJECTS, 1, COLUMNS)))
    seeded = (
        values[:, None]
        + 0.1 * draw.normal(size=(1, SEEDS, COLUMNS))
        + draw.normal(size=(SUBJECTS, SEEDS, COLUMNS))
    )
    print(f"{SUBJECTS} subjects x {COLUMNS} columns, {RESAMPLES} resamples")
    ours, found = timed("subjects", one)
    print(f"subjects (one matrix product)      {ours:8.2f} s")
    crossed, _ = timed("crossed_bootstrap", Cells(seeded, np.ones_like(seeded)))
    print(f"crossed_bootstrap, {SEEDS} seeds         {crossed:8.2f} s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"peak memory until here             {peak:8.0f} MB")
    theirs, ends = of_scipy(values)
    print(f"scipy.stats.bootstrap by column    {theirs:8.2f} s")
    apart = np.abs(np.stack([found.low, found.high]) - ends) / (np.sqrt(2.0) * percentile_error(values))
    print(f"ratio {theirs / ours:.1f} (asked: 5); percentiles at most {apart.max():.1f} errors apart")
    if theirs < 5.0 * ours or apart.max() > 5.0:
        raise SystemExit("slower than asked, or the percentiles disagree")


if __name__ == "__main__":
    main()
