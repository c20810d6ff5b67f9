"""Scores as tables of sums and counts by subject and seed: what every interval and test is computed from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd

CHUNK = 500  # resamples drawn together; a constant, so that draws do not depend on the number of columns


@dataclass(frozen=True)
class Cells:
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
    def sides(self) -> list[tuple[float, slice]]:
        """Per arm its sign and its seeds."""
        starts = np.cumsum((0, *self.arms))
        return [(1.0 - 2.0 * arm, slice(starts[arm], starts[arm + 1])) for arm in range(len(self.arms))]

    @property
    def coefficients(self) -> np.ndarray:
        """(seeds,): what a seed's mean is multiplied with in the estimate."""
        return np.concatenate([np.full(k, (1.0 - 2.0 * arm) / k) for arm, k in enumerate(self.arms)])

    @cached_property
    def seed_means(self) -> np.ndarray:
        """(seeds, columns): a seed's mean over images, a ratio of sums: subjects weigh by their images."""
        return self.sums.sum(axis=0) / self.counts.sum(axis=0)

    @cached_property
    def estimate(self) -> np.ndarray:
        """(columns,): the mean over seeds of their means; with two arms, the first's minus the second's."""
        return self.coefficients @ self.seed_means

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


def resampled(
    cells: Cells, resamples: int, generator: np.random.Generator
) -> Iterator[tuple[slice, np.ndarray]]:
    """Chunks of resamples with their seeds' means (chunk, seeds, columns); subjects drawn with replacement.

    A seed whose subjects are all missing from a resample keeps its own mean there.
    """
    n, seeds, columns = cells.sums.shape
    sums, counts = cells.sums.reshape(n, -1), cells.counts.reshape(n, -1)
    one_design = bool((counts == counts[:, :1]).all())
    if one_design:
        counts = counts[:, :1]
    for start in range(0, resamples, CHUNK):
        size = min(CHUNK, resamples - start)
        drawn = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        means, below = weights @ sums, weights @ counts
        if one_design:
            means /= below
        else:
            own = np.tile(cells.seed_means.ravel(), (size, 1))
            means = np.divide(means, below, out=own, where=below > 0)
        yield slice(start, start + size), means.reshape(size, seeds, columns)
