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
    """The maps of one cell: `sightline.saliency.Saliency`."""

    images: Sequence[str]

    def get(self, image: str, chosen: Readings, frame: Frame) -> dict[str, Answer]:
        """The map of `image` in `frame` under each reading, or why there is none."""


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
    frame: Callable[[str], Frame],
) -> pd.DataFrame:
    """Table `agreements`: every measure of every pair of `groups`, on each image that both sides explained.

    `maps(cell, outputs_of)` opens a cell's maps, to be read with the outputs of `outputs_of`'s model;
    `readings(cell)` are those of its method; `images` has image and subject; `frame(image)` is the scoring
    frame, on which both maps lie. Maps pair in the readings that both methods have, else the only reading of
    one with each of the other's ("a | b"). A row holds a value with status ok, or none with the status that
    it inherits from a map, or `undefined`, and the reason.
    """
    subjects = dict(zip(images["image"], images["subject"]))
    parts = [_of_group(kind, group, maps, readings, subjects, frame) for group in groups]
    parts = [part for part in parts if part is not None]
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("agreements")


def _of_group(
    kind: str,
    group: Group,
    maps: Callable[[Cell, Cell], Maps],
    readings: Callable[[Cell], Readings],
    subjects: Mapping[str, str],
    frame: Callable[[str], Frame],
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
            found = {place: opened[place].get(image, chosen[place], frame(image)) for place in places}
            numbers.append(_compare(compared, found))
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


def _compare(entries: Sequence[Entry], found: Mapping[int, Mapping[str, Answer]]) -> dict[str, np.ndarray]:
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
        values[rows] = measured(maps, pairs)
        small = np.array([name.startswith("ssim") and min(maps.shape[1:]) < SMALLEST for name in MEASURES])
        undefined = np.isnan(values) & (status == "ok")
        status[undefined] = "undefined"
        why = np.where(small, f"the grid has a side below {SMALLEST} pixels", "a map is constant").astype(
            object
        )
        reason[undefined] = np.broadcast_to(why, values.shape)[undefined]
    metric = np.tile(np.array(list(MEASURES), dtype=object), len(entries))
    return {"metric": metric, "value": values.ravel(), "status": status.ravel(), "reason": reason.ravel()}


def _lost(answer: Answer) -> Absent | None:
    """Why a map cannot be compared, or None."""
    if isinstance(answer, Absent):
        return answer
    bad = answer.size - int(np.isfinite(answer).sum())
    return Absent("failed", f"{bad} of {answer.size} values are not finite") if bad else None
