"""Rows of one table, collected in little memory and written as `tables.write` would write them at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sightline import publishing, tables
from sightline.errors import TableError
from sightline.schemas import SCHEMAS, TEXT

AT_ONCE = 16384  # rows that are Python objects at a time
ROW_GROUP = 1 << 20  # rows of a row group: those of `pyarrow.parquet.write_table`


class Collected:
    """Rows of table `name` for the file `path`: `add` what there is, then `write`.

    A text is kept once and its rows hold its number, so that a row of `scores` takes about 65 bytes,
    twice that while they are sorted; beyond these, memory is that of one row group. Raises `TableError` as
    `tables.write` does.
    """

    def __init__(self, name: str, path: str | Path):
        self.name, self.path = name, Path(path)
        self._columns = SCHEMAS[name].columns
        self._texts: dict[str, dict[str, int]] = {
            column: {} for column, kind in self._columns.items() if kind == TEXT
        }
        self._parts: dict[str, list[pa.Array]] = {column: [] for column in self._columns}
        self._waiting: list[Mapping | Sequence] = []

    def add(self, rows: Iterable[Mapping[str, object] | Sequence]) -> None:
        """Add rows: mappings by column, or sequences in the columns' order."""
        self._waiting.extend(rows)
        if len(self._waiting) >= AT_ONCE:
            self._settle()

    def add_file(self, path: str | Path, change: Callable[[pa.Table], pa.Table] = lambda rows: rows) -> None:
        """Add the rows of another file of this table, each group of them as `change` gives it."""
        for rows in tables.chunks(self.name, path, AT_ONCE):
            self._take(change(rows))

    def write(self, values: str | Path | None = None) -> None:
        """Write the table, sorted by its key; `values` as in `tables.write`."""
        self._settle()
        columns = {column: _one(parts, self._kept(column)) for column, parts in self._parts.items()}
        self._parts.clear()
        order = self._order(columns)
        expected = pa.schema(list(self._columns.items()), metadata=tables.metadata(self.name, values))
        how = {"compression": "zstd"}
        with publishing.whole(self.path) as part, pq.ParquetWriter(part, expected, **how) as out:
            for start in range(0, max(len(order), 1), ROW_GROUP):
                chosen = order[start : start + ROW_GROUP]
                found = [self._plain(column, part.take(chosen)) for column, part in columns.items()]
                out.write_table(pa.table(found, schema=expected), row_group_size=ROW_GROUP)

    def _settle(self) -> None:
        if self._waiting:
            rows, self._waiting = self._waiting, []
            self._take(tables.typed(self.name, pd.DataFrame(rows, columns=list(self._columns)), self.path))

    def _take(self, rows: pa.Table) -> None:
        for column in self._columns:
            part = _one(rows[column].chunks, rows[column].type)
            texts = self._texts.get(column)
            self._parts[column].append(part if texts is None else _numbered(part, texts))

    def _kept(self, column: str) -> pa.DataType:
        return pa.int32() if column in self._texts else self._columns[column]

    def _plain(self, column: str, part: pa.Array) -> pa.Array:
        """The values of a column: its texts where it holds their numbers."""
        texts = self._texts.get(column)
        return part if texts is None else pa.array(list(texts), TEXT).take(part)

    def _order(self, columns: Mapping[str, pa.Array]) -> pa.Array:
        """The rows' numbers in the order of the key. Raises `TableError` for two rows of one key."""
        key = SCHEMAS[self.name].key
        ranked = {column: _ranked(columns[column], self._texts.get(column)) for column in key}
        order = pc.sort_indices(pa.table(ranked), sort_keys=[(column, "ascending") for column in key])
        same = np.ones(max(len(order) - 1, 0), dtype=bool)
        for part in ranked.values():
            found = part.take(order).to_numpy(zero_copy_only=False)
            same &= found[1:] == found[:-1]
        if same.any():
            at = order.slice(int(same.argmax()), 1)
            twice = {column: self._plain(column, columns[column].take(at))[0].as_py() for column in key}
            raise TableError(f"{self.path}: table '{self.name}': more than one row for {twice}")
        return order


def join(name: str, parts: Iterable[str | Path], path: str | Path) -> None:
    """Write the rows of several files of table `name` as one: the bytes of one job that made them all."""
    table = Collected(name, path)
    for part in parts:
        table.add_file(part)
    table.write()


def shifted(rows: pa.Table, by: int) -> pa.Table:
    """`rows` of a table whose offsets lie `by` elements further in a joined file."""
    at = rows.column_names.index("offset")
    return rows.set_column(at, "offset", pc.add(rows["offset"], by))


def _one(parts: list[pa.Array], kind: pa.DataType) -> pa.Array:
    found = pa.chunked_array(parts, type=kind).combine_chunks()
    return found if isinstance(found, pa.Array) else pa.concat_arrays(found.chunks)


def _numbered(part: pa.Array, texts: dict[str, int]) -> pa.Array:
    """The numbers (int32) of a column's texts; new ones get the next numbers in `texts`."""
    found = part.dictionary_encode()
    numbers = [texts.setdefault(text, len(texts)) for text in found.dictionary.to_pylist()]
    return pa.array(numbers, pa.int32()).take(found.indices)


def _ranked(part: pa.Array, texts: dict[str, int] | None) -> pa.Array:
    """A column of a key as numbers that sort like it."""
    if texts is None:
        return part
    order = pc.sort_indices(pa.array(list(texts), TEXT)).to_numpy()
    ranks = np.empty(len(order), dtype=np.int32)
    ranks[order] = np.arange(len(order), dtype=np.int32)
    return pa.array(ranks).take(part)
