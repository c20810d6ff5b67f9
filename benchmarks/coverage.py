"""How often 95 % intervals hold the truth: subjects x seeds with known effects, a cell per line.

The model is value = subject + seed + residual, all normal, standard deviations 1, `seed_sd` and 0.6. The
authors' rows of the chest x-ray gaze study have seed/subject ratios of 0.06 to 0.12 for Grad-CAM's NCC and
sNCC and 0.4 to 1.8 for AM1, residuals of 0.5 to 2.8. Replicates are columns of one table, so the library's
own functions do the work.
"""

import itertools

import numpy as np

from benchmarks.measuring import Row
from sightline import intervals
from sightline.cells import Cells
from sightline.randomness import generator

SUBJECTS, SEEDS, SEED_SD, RESIDUAL_SD = (91, 650), (3, 5, 10), (0.03, 0.1, 0.5), 0.6
COLUMNS = 50  # replicates that share their resamples
REPLICATES, RESAMPLES = 4000, 1000
METHODS = ("crossed_bootstrap", "random_effects")  # the first is the default


def coverage(n: int, seeds: int, seed_sd: float, replicates: int, options: intervals.Options) -> float:
    """The share of `replicates` whose interval holds the truth."""
    inside = 0
    for batch in range(replicates // COLUMNS):
        draw = generator(options.seed, "coverage", n, seeds, seed_sd, batch)
        values = draw.standard_normal((n, 1, COLUMNS)) + seed_sd * draw.standard_normal((1, seeds, COLUMNS))
        values += RESIDUAL_SD * draw.standard_normal((n, seeds, COLUMNS))
        cells = Cells(
            values, np.ones_like(values), sd=values.std(axis=(0, 1), ddof=1), images=np.full(COLUMNS, n)
        )
        found = intervals.find(options.method)(cells, options, draw)
        inside += int(((found.low <= 0.0) & (found.high >= 0.0)).sum())
    return inside / replicates


def run(quick: bool) -> list[Row]:
    """A line per cell and method; a row each for the cells with 3 seeds and with more."""
    replicates = REPLICATES // 10 if quick else REPLICATES
    error = 100 * np.sqrt(0.95 * 0.05 / replicates)
    print(
        f"coverage, %, of 95 % intervals; {replicates} replicates (error {error:.2f}), {RESAMPLES} resamples"
    )
    print(f"{'subjects':>8} {'seeds':>5} {'seed SD':>7}" + "".join(f"{method:>20}" for method in METHODS))
    found: dict[bool, list[float]] = {False: [], True: []}
    for n, seeds, seed_sd in itertools.product(SUBJECTS, SEEDS, SEED_SD):
        shares = []
        for method in METHODS:
            options = intervals.Options(method, resamples=RESAMPLES)
            shares.append(100 * coverage(n, seeds, seed_sd, replicates, options))
        print(f"{n:>8} {seeds:>5} {seed_sd:>7}" + "".join(f"{share:>20.2f}" for share in shares), flush=True)
        found[seeds >= 5].append(shares[0])
    few, many = (f"{min(found[at]):.2f} to {max(found[at]):.2f} %" for at in (False, True))
    return [
        Row(
            f"{METHODS[0]}, {len(found[True])} cells of 5 and 10 seeds", many, "93.5 to 96.5 %",
            min(found[True]) >= 93.5 and max(found[True]) <= 96.5,
        ),
        Row(
            f"{METHODS[0]}, {len(found[False])} cells of 3 seeds", few, "at least 92 %",
            min(found[False]) >= 92,
        ),
    ]  # fmt: skip
