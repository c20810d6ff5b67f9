"""Maps against each other, image by image, on the scoring frame: rows of table `agreements`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from sightline import tables
from sightline.agreement.measures import MEASURES, SMALLEST, measured
from sightline.agreement.pairs import Cell, Group
from sightline.frames import Frame
from sightline.outcomes import Absent, Answer

Readings = Mapping[str, Mapping[str, str]]  # name -> {classes, clip}


class Maps(Protocol):
    """The maps of one cell: `sightline.scores.saliency.Saliency`."""

    images: Sequence[str]

    def get(self, image: str, chosen: Readings, frame: Frame) -> dict[str, Answer]:
        """The map of `image` in `frame` under each reading, or why there is none."""


@dataclass(frozen=True)
class Grid:
    """Where the maps of an image are compared: the pixels of `frame` that both sides of a pair show.

    `shown(cell)` is what the picture that a cell explained shows: bool, of the frame's shape; None for all.
    """

    frame: Frame
    shown: Callable[[Cell], np.ndarray | None] = lambda cell: None


@dataclass(frozen=True)
class Entry:
    """One comparison: the places of a and b in their group, and the reading of each."""

    a: int
    b: int
    of_a: str
    of_b: str

    @property
    def reading(self) -> str:
        """The reading's name; both where they differ."""
        return self.of_a if self.of_a == self.of_b else f"{self.of_a} | {self.of_b}"


def agree(
    kind: str,
    groups: Iterable[Group],
    maps: Callable[[Cell, Cell], Maps],
    readings: Callable[[Cell], Readings],
    images: pd.DataFrame,
    grid: Callable[[str], Grid],
) -> pd.DataFrame:
    """Table `agreements`: every measure of every pair of `groups`, on each image that both sides explained.

    `maps(cell, outputs_of)` opens a cell's maps, to be read with the outputs of `outputs_of`'s model;
    `readings(cell)` are those of its method; `images` has image and subject; `grid(image)` is where both maps
    lie and what of it counts. Maps pair in the readings that both methods have, else the only reading of
    one with each of the other's ("a | b"). A row holds a value with status ok, or none with the status that
    it inherits from a map, or `undefined`, and the reason.
    """
    subjects = dict(zip(images["image"], images["subject"]))
    parts = [_of_group(kind, group, maps, readings, subjects, grid) for group in groups]
    parts = [part for part in parts if part is not None]
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("agreements")


def _of_group(
    kind: str,
    group: Group,
    maps: Callable[[Cell, Cell], Maps],
    readings: Callable[[Cell], Readings],
    subjects: Mapping[str, str],
    grid: Callable[[str], Grid],
) -> pd.DataFrame | None:
    chosen = [readings(cell) for cell in group.cells]
    entries = [Entry(a, b, *names) for a, b in group.pairs for names in paired_readings(chosen[a], chosen[b])]
    opened = [maps(cell, group.outputs_of(place)) for place, cell in enumerate(group.cells)]
    explained = [set(each.images) for each in opened]
    rows, told, numbers = [], [], []  # per image: which entries, image and subject, and their numbers
    for image, subject in subjects.items():
        there = [image in known for known in explained]
        here = [at for at, entry in enumerate(entries) if there[entry.a] and there[entry.b]]
        if here:
            compared = [entries[at] for at in here]
            places = {place for entry in compared for place in (entry.a, entry.b)}
            where = grid(image)
            found = {place: opened[place].get(image, chosen[place], where.frame) for place in places}
            shown = {place: where.shown(group.cells[place]) for place in places}
            numbers.append(_compare(compared, found, shown))
            rows.append(np.repeat(here, len(MEASURES)))
            told.append((image, subject))
    if not rows:
        return None
    result = _names(kind, group, entries).iloc[np.concatenate(rows)].reset_index(drop=True)
    sizes = [part.size for part in rows]
    result["image"], result["subject"] = np.repeat(np.array(told, dtype=object), sizes, axis=0).T
    for column in numbers[0]:
        result[column] = np.concatenate([part[column] for part in numbers])
    return result


def paired_readings(first: Readings, second: Readings) -> list[tuple[str, str]]:
    """The readings in which two methods' maps pair: those in common, else a side's only one with each."""
    common = [name for name in first if name in second]
    if common:
        return [(name, name) for name in common]
    if min(len(first), len(second)) == 1:
        return [(one, other) for one in first for other in second]
    return []


def _names(kind: str, group: Group, entries: Sequence[Entry]) -> pd.DataFrame:
    """What a row of each entry says of its two sides, and its reading."""
    rows = []
    for entry in entries:
        a, b = group.cells[entry.a], group.cells[entry.b]
        row = {"dataset": a.dataset, "kind": kind, "axis": group.axis, "reading": entry.reading}
        for axis in ("model", "seed", "condition", "method"):
            row |= {f"{axis}_a": getattr(a, axis), f"{axis}_b": getattr(b, axis)}
        rows.append(row)
    return pd.DataFrame(rows)


def _compare(
    entries: Sequence[Entry],
    found: Mapping[int, Mapping[str, Answer]],
    shown: Mapping[int, np.ndarray | None],
) -> dict[str, np.ndarray]:
    """Columns metric, value, status, reason of one image, a row per entry and measure."""
    values = np.full((len(entries), len(MEASURES)), np.nan)
    status = np.full(values.shape, "ok", dtype=object)
    reason = np.full(values.shape, None, dtype=object)
    keys, pairs, rows = {}, [], []  # each map stands once in the stack that is measured
    for at, entry in enumerate(entries):
        sides = {"a": (entry.a, entry.of_a), "b": (entry.b, entry.of_b)}
        lost = {name: why for name, key in sides.items() if (why := _lost(found[key[0]][key[1]]))}
        if lost:
            status[at] = next(iter(lost.values())).status
            reason[at] = "; ".join(f"{name}: {why.reason}" for name, why in lost.items())
            continue
        pairs.append(tuple(keys.setdefault(key, len(keys)) for key in sides.values()))
        rows.append(at)
    if pairs:
        maps = np.stack([found[place][reading] for place, reading in keys])
        both = [_both(shown[entries[at].a], shown[entries[at].b]) for at in rows]
        values[rows] = _values(maps, pairs, both)
        for at, inside in zip(rows, both):
            undefined = np.isnan(values[at])
            if undefined.any():
                status[at, undefined] = "undefined"
                reason[at, undefined] = _why(values[at], maps.shape[1:], inside)[undefined]
    metric = np.tile(np.array(list(MEASURES), dtype=object), len(entries))
    return {"metric": metric, "value": values.ravel(), "status": status.ravel(), "reason": reason.ravel()}


def _both(a: np.ndarray | None, b: np.ndarray | None) -> np.ndarray | None:
    """The pixels that two pictures show; None for all."""
    masks = [one for one in (a, b) if one is not None]
    inside = np.logical_and.reduce(masks) if masks else None
    return None if inside is None or inside.all() else inside


def _values(
    maps: np.ndarray, pairs: Sequence[tuple[int, int]], both: Sequence[np.ndarray | None]
) -> np.ndarray:
    """(pairs, measures): each pair of `maps` on the pixels that both show, NaN where there are none."""
    values = np.full((len(pairs), len(MEASURES)), np.nan)
    alike: dict[bytes, list[int]] = {}  # the pairs with the same pixels
    for at, inside in enumerate(both):
        alike.setdefault(b"" if inside is None else inside.tobytes(), []).append(at)
    for places in alike.values():
        inside, some = both[places[0]], [pairs[at] for at in places]
        if inside is None:
            values[places] = measured(maps, some)
        elif inside.any():
            used = sorted({side for pair in some for side in pair})
            values[places] = measured(maps[used], [(used.index(a), used.index(b)) for a, b in some], inside)
    return values


def _why(values: np.ndarray, grid: tuple[int, ...], inside: np.ndarray | None) -> np.ndarray:
    """Why there is no number, for each measure of a pair."""
    if inside is not None and not inside.any():
        return np.full(len(MEASURES), "no pixel is shown by both pictures", dtype=object)
    small = f"the grid has a side below {SMALLEST} pixels" if min(grid) < SMALLEST else None
    whole = None if inside is None else "no window lies within what both pictures show"
    found = dict.fromkeys(MEASURES, "a map is constant")
    for name in MEASURES:
        constant = np.isnan(values[list(MEASURES).index(name.replace("ssim", "pearson"))])
        if name.startswith("ssim") and (small or (whole and not constant)):
            found[name] = small or whole
    return np.array(list(found.values()), dtype=object)


def _lost(answer: Answer) -> Absent | None:
    """Why a map cannot be compared, or None."""
    if isinstance(answer, Absent):
        return answer
    bad = answer.size - int(np.isfinite(answer).sum())
    return Absent("failed", f"{bad} of {answer.size} values are not finite") if bad else None
