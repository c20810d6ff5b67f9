"""What every interval is computed from: sums and counts by subject and seed, or statistics of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

CHUNK = 500  # resamples drawn together; a constant, so that draws do not depend on the number of columns


class Crossed:
    """Numbers (columns) of seeds that saw the same subjects: means in `Cells`, others in `Statistic`."""

    arms: tuple[int, ...]
    seed_means: np.ndarray  # (seeds, columns)

    @property
    def sides(self) -> list[tuple[float, slice]]:
        """Per arm its sign and its seeds."""
        starts = np.cumsum((0, *self.arms))
        return [(1.0 - 2.0 * arm, slice(starts[arm], starts[arm + 1])) for arm in range(len(self.arms))]

    @property
    def coefficients(self) -> np.ndarray:
        """(seeds,): what a seed's mean is multiplied with in the estimate."""
        return np.concatenate([np.full(k, (1.0 - 2.0 * arm) / k) for arm, k in enumerate(self.arms)])

    @cached_property
    def estimate(self) -> np.ndarray:
        """(columns,): the mean over seeds of their means; with two arms, the first's minus the second's."""
        return self.coefficients @ self.seed_means


@dataclass(frozen=True)
class Cells(Crossed):
    """Sums of image means and numbers of images, by subject, seed and column; columns share the subjects.

    `arms` counts the seeds of each side. One side is the default; with two, the estimate is the first
    seeds' mean minus the last ones', and the sides' seeds are independent of each other. A subject may lack
    a seed (count 0). Raises `ValueError` where a subject or a seed of a column has no image at all.
    """

    sums: np.ndarray  # (subjects, seeds, columns)
    counts: np.ndarray  # (subjects, seeds, columns)
    arms: tuple[int, ...] = ()
    subjects: np.ndarray | None = None  # (subjects,) codes, sorted
    sd: np.ndarray | None = None  # (columns,) over rows; with `images` for the pooled normal interval
    images: np.ndarray | None = None  # (columns,)

    def __post_init__(self) -> None:
        """Check shapes, and that no subject and no seed is empty."""
        object.__setattr__(self, "arms", tuple(self.arms) or self.sums.shape[1:2])
        if self.sums.ndim != 3 or self.sums.shape != self.counts.shape:
            raise ValueError(f"cells: sums {self.sums.shape} and counts {self.counts.shape} must agree, 3-D")
        if sum(self.arms) != self.sums.shape[1] or len(self.arms) > 2 or min(self.arms) < 1:
            raise ValueError(f"cells: {self.sums.shape[1]} seeds do not make arms of {self.arms}")
        if not (self.counts.sum(axis=0) > 0).all() or not (self.counts.sum(axis=1) > 0).all():
            raise ValueError("cells: a subject or a seed without any image; leave it out")

    @property
    def size(self) -> int:
        """How many subjects there are."""
        return len(self.sums)

    @property
    def entering(self) -> np.ndarray:
        """(1,): how many subjects enter every column: all."""
        return np.array([self.size])

    @cached_property
    def seed_means(self) -> np.ndarray:
        """(seeds, columns): a seed's mean over images, a ratio of sums: subjects weigh by their images."""
        return self.sums.sum(axis=0) / self.counts.sum(axis=0)

    @property
    def influence(self) -> np.ndarray:
        """(subjects, seeds, columns): a subject's influence on a seed's mean (the ratio's linearisation)."""
        return self.size * (self.sums - self.seed_means * self.counts) / self.counts.sum(axis=0)

    @property
    def left_out(self) -> np.ndarray:
        """(subjects, seeds, columns): the seeds' means without one subject; NaN where nothing is left."""
        sums, counts = self.sums.sum(axis=0) - self.sums, self.counts.sum(axis=0) - self.counts
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)

    @property
    def contributions(self) -> np.ndarray:
        """(subjects, columns): each subject's part of the estimate; they add up to it."""
        return np.tensordot(self.sums / self.counts.sum(axis=0), self.coefficients, axes=(1, 0))


def collect(rows: pd.DataFrame) -> dict[int, Cells]:
    """One column of `Cells` per group. `rows`: group, arm, seed, subject, image (integers) and value.

    An image's value is the mean over its rows of one seed (its readers), a subject's sum runs over its
    images.
    """
    rows = rows.sort_values("value")  # so that sums are equal to the last bit in any order of the rows
    spread = rows.groupby("group")["value"].std(ddof=1)
    images = rows.groupby("group")["image"].nunique()
    of_images = rows.groupby(["group", "arm", "seed", "subject", "image"])["value"].mean()
    cells = of_images.groupby(level=[0, 1, 2, 3]).agg(["sum", "size"]).reset_index()
    group = cells["group"].to_numpy()
    starts = np.flatnonzero(np.diff(group, prepend=group[:1] - 1))
    columns = {}
    for start, stop in zip(starts, [*starts[1:], len(group)]):
        part, name = cells.iloc[start:stop], int(group[start])
        subjects, row = np.unique(part["subject"].to_numpy(), return_inverse=True)
        seeds, at = np.unique(part[["arm", "seed"]].to_numpy(), axis=0, return_inverse=True)
        sums = np.zeros((len(subjects), len(seeds), 1))
        counts = np.zeros_like(sums)
        sums[row, at.ravel(), 0], counts[row, at.ravel(), 0] = part["sum"], part["size"]
        arms = tuple(int(k) for k in np.unique(seeds[:, 0], return_counts=True)[1])
        columns[name] = Cells(
            sums, counts, arms, subjects, np.array([spread[name]]), np.array([images[name]])
        )
    return columns


def designs(columns: dict[int, Cells], width: int = 256) -> Iterator[tuple[list[int], Cells]]:
    """Groups with the same subjects and arms as one table, at most `width` columns, and their names."""
    alike: dict[tuple, list[int]] = {}
    for name, column in columns.items():
        alike.setdefault((column.subjects.tobytes(), column.arms), []).append(name)
    for names in alike.values():
        for start in range(0, len(names), width):
            part = names[start : start + width]
            several = [columns[name] for name in part]
            sums, counts = (
                np.concatenate([getattr(c, of) for c in several], axis=2) for of in ("sums", "counts")
            )
            sd, images = (np.concatenate([getattr(c, of) for c in several]) for of in ("sd", "images"))
            yield part, Cells(sums, counts, several[0].arms, several[0].subjects, sd, images)


@dataclass(frozen=True)
class Statistic(Crossed):
    """Statistics of weighted subjects that need not be means: precision, F1, the height of a ROC curve.

    `values(weights (draws, subjects)) -> (draws, seeds, columns)`, NaN where a draw leaves nothing to divide
    by; with weights of 1 each is the statistic itself. `entering` (columns,) counts the subjects that it
    depends on: of a sensitivity, those with a positive image. Raises `ValueError` where it is below 2.
    """

    values: Callable[[np.ndarray], np.ndarray]
    size: int
    arms: tuple[int, ...]
    entering: np.ndarray
    sd: None = None  # what the pooled normal interval needs, and there is not
    images: None = None

    def __post_init__(self) -> None:
        """Check that every column rests on two subjects."""
        if (self.entering < 2).any():
            raise ValueError("statistic: a column that rests on fewer than two subjects; leave it out")

    @cached_property
    def seed_means(self) -> np.ndarray:
        """(seeds, columns): the statistic of each seed."""
        return self.values(np.ones((1, self.size)))[0]

    @cached_property
    def left_out(self) -> np.ndarray:
        """(subjects, seeds, columns): the statistic without one subject."""
        parts = []
        for start in range(0, self.size, CHUNK):
            rows = np.arange(start, min(start + CHUNK, self.size))
            weights = np.ones((len(rows), self.size))
            weights[np.arange(len(rows)), rows] = 0.0
            parts.append(self.values(weights))
        return np.concatenate(parts)


def resampled(
    cells: Cells | Statistic, resamples: int, generator: np.random.Generator
) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of resamples with their seeds' means (chunk, seeds, columns); subjects drawn with replacement.

    A seed whose subjects are all missing from a resample keeps its own mean there.
    """
    of_weights = _means(cells) if isinstance(cells, Cells) else cells.values
    n = cells.size
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        drawn = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        means = of_weights(weights)
        missing = np.isnan(means)
        if missing.any():
            means = np.where(missing, cells.seed_means, means)
        yield slice(start, start + size), means


def _means(cells: Cells) -> Callable[[np.ndarray], np.ndarray]:
    """The seeds' means (draws, seeds, columns) from weights (draws, subjects); NaN without any subject."""
    n, seeds, columns = cells.sums.shape
    sums, counts = cells.sums.reshape(n, -1), cells.counts.reshape(n, -1)
    one_design = bool((counts == counts[:, :1]).all())
    if one_design:
        counts = counts[:, :1]

    def of_weights(weights: np.ndarray) -> np.ndarray:
        means, below = weights @ sums, weights @ counts
        if one_design:
            means /= below
        else:
            means = np.divide(means, below, out=np.full_like(means, np.nan), where=below > 0)
        return means.reshape(len(weights), seeds, columns)

    return of_weights
