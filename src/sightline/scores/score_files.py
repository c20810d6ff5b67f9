"""Scores on their way to disk: a cell's rows image by image, and the rows of its shards joined."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from sightline import tables
from sightline.collected import AT_ONCE, Collected
from sightline.outcomes import MapsOf
from sightline.schemas import OF_MAP
from sightline.scores.scoring import settled

AXES = len(OF_MAP)


def write(
    maps_of: MapsOf, rows: Iterable[tuple], path: str | Path, unsettled: str | Path | None = None
) -> None:
    """Write `rows` (`scoring.rows_of`) as table `scores`.

    Those that wait for the images of other subjects (`scoring.settled`) are held until all are there. Of a
    shard they never are: its go to `unsettled`, for `join`.
    """
    axes = astuple(maps_of)
    table, waiting = Collected("scores", path), []
    for row in rows:
        if isinstance(row[7], np.ndarray):
            waiting.append(row)
        else:
            table.add([axes + row])
    if unsettled is None:
        table.add(axes + row for row in settled(waiting))
    table.write()
    if unsettled is not None:
        kept = Collected("unsettled_scores", unsettled)
        kept.add((*axes, at, *row[:7], row[7].tolist()) for at, row in enumerate(waiting))
        kept.write()


def join(parts: Mapping[str, Sequence[Path]], path: str | Path) -> None:
    """Join what `write` wrote for all shards of a cell (`shards.parts`): the bytes of one job."""
    table = Collected("scores", path)
    for part in parts["scores.parquet"]:
        table.add_file(part)
    waiting = [row for part in parts.get("unsettled.parquet", ()) for row in _rows(part)]
    rows = settled([row for _, row in waiting])
    table.add(axes + row for (axes, _), row in zip(waiting, rows))
    table.write()


def _rows(part: Path) -> Iterator[tuple[tuple, tuple]]:
    """(axes, row as `scoring.settled` takes it) of a table `unsettled_scores`, in the order of scoring."""
    for rows in tables.chunks("unsettled_scores", part, AT_ONCE):
        for values in rows.to_pylist():
            row = list(values.values())
            yield tuple(row[:AXES]), (*row[AXES + 1 : -1], np.array(row[-1], dtype=np.float64), "ok", None)
