"""Maps on disk: table 'maps', a row per image, target and source; values in one flat array beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sightline import arrays, tables
from sightline.attribution.readings import Source
from sightline.collected import Collected, shifted
from sightline.errors import IntegrityError
from sightline.frames import Frame

if TYPE_CHECKING:  # the store itself needs no torch
    from sightline.attribution.maps import Explanation, Maps


def write(
    explanations: Iterable[Explanation],
    identity: dict[str, object],
    labels: Sequence[str],
    table_path: str | Path,
    values_path: str | Path,
) -> pd.DataFrame:
    """Write what `maps.run` gives and return its outputs.

    These have dataset, model, seed, condition, image, label, logit. `identity` holds dataset, model,
    seed, condition and method. A map with a value that is not finite is a `failed` row that counts them.
    Nothing is left behind where an explanation raises.
    """
    table = Collected("maps", table_path)
    images: list[str] = []
    logits = [np.empty((0, len(labels)))]
    with arrays.Writer(values_path, np.float32) as writer:
        for explanation in explanations:
            table.add([identity | row for row in _rows(explanation, writer)])
            if explanation.outputs is not None:
                images += explanation.batch.images
                logits.append(explanation.outputs.astype(np.float64))
    table.write(values=values_path)
    keys = {key: identity[key] for key in ("dataset", "model", "seed", "condition")}
    said = {"image": np.repeat(np.array(images, dtype=object), len(labels)), "label": [*labels] * len(images)}
    return pd.DataFrame(keys | said | {"logit": np.concatenate(logits).ravel()})


def _rows(explanation: Explanation, writer: arrays.Writer) -> Iterable[dict]:
    """A batch's rows: one per image, target and source; where there is no map, one per image and target."""
    for index, image in enumerate(explanation.batch.images):
        own = explanation.targets.of(index)
        kept = {number: name for number, name in enumerate(own) if name is not None}
        if explanation.status != "ok":
            for target in kept.values():
                yield _row(image, target, "", explanation.status, explanation.reason)
            continue
        for maps in explanation.maps:
            frame = explanation.batch.frames[index].then(maps.frame)
            for number, target in kept.items():
                row = _row(image, target, maps.source, "ok", None) | {"identity": explanation.identity}
                yield _kept(maps, index, number, row, frame, writer)


def _row(image: str, target: str, source: str, status: str, reason: str | None) -> dict:
    row = {"image": image, "target": target, "source": source, "status": status, "reason": reason}
    row |= dict.fromkeys(("offset", "shape", "scale", "shift", "matrix", "identity", "gap"))
    return row | {"signed": False, "all_zero": False, "non_finite": 0}


def _kept(maps: Maps, index: int, number: int, row: dict, frame: Frame, writer: arrays.Writer) -> dict:
    """The row of one map, whose values are written where they are finite."""
    values = maps.values[index, number]
    broken = int(values.size - np.isfinite(values).sum())
    row |= {"signed": maps.signed, "non_finite": broken}
    if broken:
        return row | {"status": "failed", "reason": f"{broken} of {values.size} values are not finite"}
    gap = None if maps.gap is None else float(maps.gap[index, number])
    row["identity"] = None if gap is None else row["identity"]
    place = {"shape": list(frame.shape), "scale": list(frame.scale), "shift": list(frame.shift)}
    place["matrix"] = None if frame.matrix is None else [part for line in frame.matrix for part in line]
    return row | place | {"offset": writer.append(values), "all_zero": not values.any(), "gap": gap}


def concatenate(
    parts: Sequence[tuple[str | Path, str | Path]], table_path: str | Path, values_path: str | Path
) -> None:
    """Join the (table, values) of consecutive shards: the same bytes as one job over all their batches."""
    table = Collected("maps", table_path)
    with arrays.Writer(values_path, np.float32) as writer:
        for part_table, part_values in parts:
            moved = writer.append_file(part_values)
            table.add_file(part_table, lambda rows, moved=moved: shifted(rows, moved))
    table.write(values=values_path)


class MapStore:
    """Maps of one table, by image (`images`, sorted); values are read from disk when they are asked for."""

    def __init__(self, table_path: str | Path, values_path: str | Path):
        """Open both files. Raises `TableError` or `IntegrityError` where one is missing or broken."""
        self.table_path, self.values_path = Path(table_path), Path(values_path)
        table = tables.read("maps", table_path)
        kept = table[table["status"] == "ok"].sort_values(["image", "offset"], kind="stable")
        broken = table[table["status"] != "ok"].drop_duplicates("image")
        self.images: list[str] = sorted(table["image"].unique())
        self._problems = dict(zip(broken["image"], zip(broken["status"], broken["reason"])))
        self._columns = {
            name: kept[name].to_numpy() for name in ("source", "target", "shape", "scale", "shift", "matrix")
        }
        self._offsets = kept["offset"].to_numpy(dtype=np.int64)
        names, starts, counts = np.unique(
            kept["image"].to_numpy(dtype=str), return_index=True, return_counts=True
        )
        self._rows = {name: slice(start, start + count) for name, start, count in zip(names, starts, counts)}
        self._values = arrays.open_flat(values_path)

    def problem(self, image: str) -> tuple[str, str] | None:
        """Status and reason where a map of `image` is not ok or the image has none (`missing`), else None."""
        if image in self._rows or image in self._problems:
            return self._problems.get(image)
        return "missing", f"{self.table_path}: no map of image {image}"

    def get(self, image: str) -> list[Source]:
        """The maps of `image` that are ok, one Source per source grid, frames in image coordinates.

        Sources and targets stand in the order in which they were written: the labels' order where all were
        explained. Raises `IntegrityError` where a row points past the end of the values: the two files do
        not belong together.
        """
        rows = range(*self._rows.get(image, slice(0)).indices(len(self._offsets)))
        by_source: dict[str, list[int]] = {}
        for row in rows:
            by_source.setdefault(self._columns["source"][row], []).append(row)
        return [self._source(name, group) for name, group in by_source.items()]

    def _source(self, name: str, rows: list[int]) -> Source:
        shape, scale, shift = (
            tuple(self._columns[key][rows[0]].tolist()) for key in ("shape", "scale", "shift")
        )
        matrix = self._columns["matrix"][rows[0]]
        if matrix is not None:
            matrix = tuple(tuple(line) for line in matrix.reshape(len(shape), -1).tolist())
        offsets = self._offsets[rows]
        try:
            if (np.diff(offsets) == np.prod(shape)).all():  # written together: one view, no copy
                values = arrays.view(self._values, offsets[0], (len(rows), *shape))
            else:
                values = np.stack([arrays.view(self._values, offset, shape) for offset in offsets])
        except IntegrityError as error:
            raise IntegrityError(
                f"{self.values_path}: does not belong to {self.table_path} ({error}); make both again"
            ) from error
        return Source(name, tuple(self._columns["target"][rows]), values, Frame(shape, scale, shift, matrix))
