"""How often 95 % intervals hold the truth: subjects x seeds with known effects, a cell per line.

The model is value = subject + seed + residual, all normal, standard deviations 1, `seed_sd` and 0.6. The
authors' rows of the chest x-ray gaze study have seed/subject ratios of 0.06 to 0.12 for Grad-CAM's NCC and
sNCC and 0.4 to 1.8 for AM1, residuals of 0.5 to 2.8. Replicates are columns of one table, so the library's
own functions do the work.
"""

import argparse
import itertools
import time

import numpy as np

from sightline import intervals
from sightline.cells import Cells
from sightline.randomness import generator

SUBJECTS, SEEDS, SEED_SD, RESIDUAL_SD = (91, 650), (3, 5, 10), (0.03, 0.1, 0.5), 0.6
COLUMNS = 50  # replicates that share their resamples


def coverage(
    n: int, seeds: int, seed_sd: float, replicates: int, options: intervals.Options
) -> tuple[float, float]:
    """The share of `replicates` whose interval holds the truth, and the mean width."""
    inside, width = 0, 0.0
    for batch in range(replicates // COLUMNS):
        draw = generator(options.seed, "coverage", n, seeds, seed_sd, batch)
        values = draw.standard_normal((n, 1, COLUMNS)) + seed_sd * draw.standard_normal((1, seeds, COLUMNS))
        values += RESIDUAL_SD * draw.standard_normal((n, seeds, COLUMNS))
        cells = Cells(
            values, np.ones_like(values), sd=values.std(axis=(0, 1), ddof=1), images=np.full(COLUMNS, n)
        )
        found = intervals.find(options.method)(cells, options, draw)
        inside += int(((found.low <= 0.0) & (found.high >= 0.0)).sum())
        width += float((found.high - found.low).mean())
    return inside / replicates, width * COLUMNS / replicates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replicates", type=int, default=4000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--methods", nargs="+", default=["crossed_bootstrap", "random_effects"])
    arguments = parser.parse_args()
    start = time.perf_counter()
    error = np.sqrt(0.95 * 0.05 / arguments.replicates)
    print(f"coverage of 95 % intervals, %; {arguments.replicates} replicates, their error {100 * error:.2f}")
    print(
        f"{'subjects':>8} {'seeds':>5} {'seed SD':>7}"
        + "".join(f"{method:>20}" for method in arguments.methods)
    )
    failures = 0
    for n, seeds, seed_sd in itertools.product(SUBJECTS, SEEDS, SEED_SD):
        line = f"{n:>8} {seeds:>5} {seed_sd:>7}"
        for method in arguments.methods:
            options = intervals.Options(method, resamples=arguments.resamples)
            share, _ = coverage(n, seeds, seed_sd, arguments.replicates, options)
            line += f"{100 * share:>20.2f}"
            if method == "crossed_bootstrap":
                low, high = (0.935, 0.965) if seeds >= 5 else (0.92, 0.98)
                failures += not low <= share <= high
        print(line, flush=True)
    print(f"crossed_bootstrap outside 93.5 to 96.5 (92 to 98 with 3 seeds): {failures} of 18 cells")
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
