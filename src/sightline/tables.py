"""The one way in and out of tables: checked by schema, sorted by key, equal content as equal bytes."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sightline import publishing
from sightline.errors import TableError
from sightline.schemas import SCHEMAS


def empty(name: str) -> pd.DataFrame:
    """The table `name` with its columns and no row."""
    return pa.schema(list(SCHEMAS[name].columns.items())).empty_table().to_pandas()


def conform(name: str, frame: pd.DataFrame, where: str | Path) -> pa.Table:
    """`frame` as an Arrow table with the columns, types and order of schema `name`, sorted by its key.

    Raises `TableError` as `typed` does, and for two rows with one key.
    """
    schema, table = SCHEMAS[name], typed(name, frame, where)
    if table.num_rows:
        table = table.sort_by([(column, "ascending") for column in schema.key])
        repeated = table.group_by(list(schema.key)).aggregate([([], "count_all")])
        if repeated.num_rows != table.num_rows:
            twice = repeated.filter(pc.greater(repeated["count_all"], 1)).slice(0, 1).to_pylist()[0]
            raise TableError(f"{where}: table '{name}': more than one row for {twice}")
    return table


def typed(name: str, frame: pd.DataFrame, where: str | Path) -> pa.Table:
    """`frame` as an Arrow table with the columns and types of schema `name`, its rows as they stand.

    Raises `TableError`, naming table, column and `where`, for a missing or unknown column, a value of another
    type, or a null in a column that needs a value.
    """
    schema = SCHEMAS[name]
    for problem, columns in {
        "lacks the column(s)": [column for column in schema.columns if column not in frame.columns],
        "has the unknown column(s)": [column for column in frame.columns if column not in schema.columns],
    }.items():
        if columns:
            raise TableError(
                f"{where}: table '{name}' {problem} {', '.join(map(str, columns))}; "
                f"expected {', '.join(schema.columns)}"
            )
    arrays = []
    for column, kind in schema.columns.items():
        try:
            array = pa.Array.from_pandas(frame[column], type=kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise TableError(
                f"{where}: table '{name}', column '{column}': expected {kind}: {error}"
            ) from error
        if array.null_count and column not in schema.optional:
            row = pc.index(array.is_null(), True).as_py()
            raise TableError(
                f"{where}: table '{name}', column '{column}', row {row}: empty, but this column needs a value"
            )
        arrays.append(array)
    return pa.table(arrays, names=list(schema.columns))


def write(name: str, frame: pd.DataFrame, path: str | Path, values: str | Path | None = None) -> None:
    """Write `frame` as table `name`: checked, sorted by key, zstd, to a temporary name and then moved.

    `values` is the flat array whose offsets the rows hold; its SHA-256 enters the file's metadata, so that
    the table's bytes change whenever the values do and a workflow need not hash the large file again.
    """
    path = Path(path)
    table = conform(name, frame, path).replace_schema_metadata(metadata(name, values))
    with publishing.whole(path) as part:
        pq.write_table(table, part, compression="zstd")


def metadata(name: str, values: str | Path | None = None) -> dict[str, str]:
    """What a file of table `name` says of itself: its name, and the SHA-256 of the flat array `values`."""
    found = {"sightline.table": name}
    if values is not None:
        with open(values, "rb") as file:
            found["sightline.values"] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def read(name: str, path: str | Path, columns: list[str] | None = None) -> pd.DataFrame:
    """Read table `name`, checked against its schema (or only `columns` of it).

    Raises `TableError` where the file is another table, or its columns or types differ.
    """
    with _opened(name, path) as file:
        # of what others wrote, the columns alone count
        return file.read(columns=columns).to_pandas(ignore_metadata=True)


def chunks(name: str, path: str | Path, rows: int) -> Iterator[pa.Table]:
    """The rows of table `name` in its file's order, at most so many at a time. Raises as `read` does."""
    with _opened(name, path) as file:
        for batch in file.iter_batches(rows):
            yield pa.Table.from_batches([batch])


@contextlib.contextmanager
def _opened(name: str, path: str | Path) -> Iterator[pq.ParquetFile]:
    """The file of table `name`, checked against its schema; see `read`."""
    path = Path(path)
    if not path.exists():
        raise TableError(f"{path}: table '{name}' is missing; run the rule that makes it")
    expected = pa.schema(list(SCHEMAS[name].columns.items()))
    try:
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow.remove_metadata()
            if found == expected:
                yield file
                return
    except (pa.ArrowException, OSError) as error:
        raise TableError(
            f"{path}: table '{name}' is not a whole Parquet file ({error}); remake it"
        ) from error
    differing = sorted(
        {field.name for field in found if field not in list(expected)}
        | {field.name for field in expected if field not in list(found)}
    )
    raise TableError(
        f"{path}: table '{name}' differs from its schema in the column(s) {', '.join(differing)}; "
        "remake the file"
    )


def read_all(name: str, paths: list[str | Path]) -> pd.DataFrame:
    """Read and stack several files of table `name`, in the order given."""
    frames = [read(name, path) for path in paths]
    return pd.concat(frames, ignore_index=True) if frames else empty(name)
