"""Upstream csv files read as text, with errors that name file, row and remedy.

Row 1 is the header, as in a spreadsheet.
"""

from __future__ import annotations

import io
import os
import stat
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sightline.errors import DatasetError

LONGEST_NAME = 4096  # bytes of a path; more is no path
LONGEST_SHOWN = 120  # characters of a cell in a message
MOST_BYTES = 1_000_000_000  # of one picture's file
DAMAGED = "the file is damaged or was edited: take it again from its source and compare its checksum"


def read_csv(
    path: Path,
    columns: Sequence[str],
    root: Path | None = None,
    every: bool = False,
    separator: str = ",",
) -> pd.DataFrame:
    """The named columns of a csv (or csv.gz) file as text, empty cells as ""; with `every`, the others too.

    Raises `DatasetError` where the file is missing or unreadable, lacks a column, or has a row of another
    length than its header. Messages name the file relative to `root`, where given.
    """
    header = header_of(path, root, separator)
    absent = [column for column in columns if column not in header]
    if absent:
        raise DatasetError(
            f"{shown(path, root)}: row 1: lacks the column(s) {', '.join(absent)}; "
            f"it has {', '.join(header)}; rename or add them"
        )
    try:
        frame = _parsed(path, separator)
    except (pd.errors.ParserError, UnicodeDecodeError, EOFError, OSError) as error:
        raise DatasetError(f"{shown(path, root)}: not a readable csv ({error}); {DAMAGED}") from error
    short = frame[header[-1]].isna().to_numpy()
    if short.any():
        raise DatasetError(f"{shown(path, root)}: row {short.argmax() + 2}: has too few cells; {DAMAGED}")
    return frame if every else frame[list(columns)]


def _parsed(source: Path | io.BytesIO, separator: str = ",") -> pd.DataFrame:
    """A csv as text. Raises `ParserError` for a row that is longer than the header."""
    frame = pd.read_csv(source, sep=separator, dtype=str, keep_default_na=False)
    if not isinstance(frame.index, pd.RangeIndex):  # pandas took the first columns for an index
        raise pd.errors.ParserError("row 2 has more cells than the header")
    return frame


def header_of(path: Path, root: Path | None = None, separator: str = ",") -> list[str]:
    """The column names of a csv file. Raises `DatasetError` where it is missing or empty."""
    if not path.is_file():
        raise DatasetError(
            f"{shown(path, root)}: missing; put the file there or correct the folder in the config"
        )
    try:
        return list(pd.read_csv(path, sep=separator, nrows=0).columns)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, EOFError, OSError) as error:
        raise DatasetError(f"{shown(path, root)}: not a readable csv ({error}); {DAMAGED}") from error


def read_many(paths: Sequence[Path], columns: Sequence[str], root: Path | None = None) -> pd.DataFrame:
    """Many small csv files stacked, as text: all their columns, and `file` (index in `paths`) and `row`.

    Files of one header are parsed in one go: three thousand readings take seconds. Raises `DatasetError`
    as `read_csv`.
    """
    groups: dict[bytes, list[tuple[int, bytes, int]]] = {}
    for index, path in enumerate(paths):
        head, _, body = path.read_bytes().replace(b"\r\n", b"\n").partition(b"\n")
        lines = [line for line in body.split(b"\n") if line]
        groups.setdefault(head, []).append((index, b"\n".join(lines), len(lines)))
    frames = [pd.DataFrame(columns=[*columns, "file", "row"])]
    for head, members in groups.items():
        text = b"\n".join([head, *(body for _, body, count in members if count)])
        counts = [count for *_, count in members]
        try:
            frame = _parsed(io.BytesIO(text))
            whole = (
                len(frame) == sum(counts) and set(columns) <= set(frame) and not frame.isna().any(axis=None)
            )
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError):
            whole = False
        if not whole:  # one of them is broken: reading each alone names it
            alone = [read_csv(paths[index], columns, root, every=True) for index, *_ in members]
            frame, counts = pd.concat(alone, ignore_index=True), [len(rows) for rows in alone]
        frame["file"] = np.repeat([index for index, *_ in members], counts)
        frame["row"] = np.concatenate([np.arange(count) + 2 for count in counts])
        frames.append(frame)
    stacked = pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
    return stacked.sort_values(["file", "row"], ignore_index=True)


def refuse(
    path: Path, column: pd.Series, bad: pd.Series | np.ndarray, expected: str, root: Path | None
) -> None:
    """Raise `DatasetError` for the first row where `bad` holds, if any: file, row, value, what to do."""
    bad = np.asarray(bad)
    if bad.any():
        at = int(bad.argmax())
        more = f" ({bad.sum()} such rows)" if bad.sum() > 1 else ""
        raise DatasetError(
            f"{shown(path, root)}: row {at + 2}: {column.name} is '{quoted(column.iloc[at])}'{more}, "
            f"expected {expected}; {DAMAGED}"
        )


def require_text(path: Path, column: pd.Series, pattern: str, expected: str, root: Path | None) -> None:
    """Raise `DatasetError` where a cell does not match `pattern` as a whole."""
    refuse(path, column, ~column.str.fullmatch(pattern), expected, root)


def require_unique(path: Path, column: pd.Series, root: Path | None) -> None:
    """Raise `DatasetError` where a value occurs twice."""
    refuse(path, column, column.duplicated(), "each value once", root)


def numbers(column: pd.Series) -> pd.Series:
    """Text as float; NaN where a cell holds no number."""
    return pd.to_numeric(column, errors="coerce").astype("float64")


def pixels(path: Path, column: pd.Series, root: Path | None) -> pd.Series:
    """Text as whole numbers of at least 1. Raises `DatasetError` for any other cell."""
    values = numbers(column)
    whole = np.isfinite(values) & (values >= 1) & (values % 1 == 0)
    refuse(path, column, ~whole, "a whole number of pixels", root)
    return values.astype("int64")


def optional_numbers(path: Path, column: pd.Series, root: Path | None) -> pd.Series:
    """Text as finite numbers, NaN where a cell is empty. Raises `DatasetError` for any other cell."""
    values = numbers(column)
    refuse(path, column, ~np.isfinite(values) & (column != ""), "a number or nothing", root)
    return values


def shown(path: Path, root: Path | None) -> str:
    """The path as messages and tables show it: relative to the dataset's folder, where it lies in it."""
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else str(path)


def quoted(text: object) -> str:
    """A cell as messages show it: on one line, cut where it is long, no control character."""
    shown = "".join(one if one.isprintable() else ascii(one)[1:-1] for one in str(text)[: LONGEST_SHOWN + 1])
    return shown[:LONGEST_SHOWN] + "..." if len(shown) > LONGEST_SHOWN else shown


def inside(root: Path, relative: str, where: str) -> Path:
    """`root / relative`. Raises `DatasetError` where that leaves the folder (`where` names file and row).

    By its words: what lies there is not looked at (`plain_file`).
    """
    path = Path(os.path.normpath(relative))
    strange = any(unicodedata.category(one) in ("Cc", "Cs") for one in relative[:LONGEST_NAME])
    long = len(relative) > LONGEST_NAME
    if not relative or strange or long or path.is_absolute() or path.parts[:1] in ((), ("..",)):
        raise DatasetError(
            f"{where}: path '{quoted(relative)}' leaves the dataset's folder, or is none; write it relative "
            "to that folder"
        )
    return root / path  # without `..`, which would leave a folder that is a link


def plain_file(root: Path, relative: str, where: str) -> Path:
    """`inside`, of a file that is there. Raises `OSError` where it is not.

    Raises `DatasetError` for a file that is a link out of the dataset's folder (a link to a *folder* on the
    way, as `data/<dataset>` may be one, is the user's), that is no plain file (a pipe or device would never
    end) or has more than `MOST_BYTES`.
    """
    path = inside(root, relative, where)
    if path.is_symlink():
        homes = [
            root,
            *(above for above in path.parents if above.is_symlink() and above.is_relative_to(root)),
        ]
        target = Path(os.path.realpath(path))  # of a link to itself, the link
        if not any(target.is_relative_to(os.path.realpath(home)) for home in homes):
            raise DatasetError(
                f"{where}: '{quoted(relative)}' is a link that leads out of the dataset's folder; put the "
                "file there"
            )
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DatasetError(f"{where}: '{quoted(relative)}' is no plain file; put the file there")
    if status.st_size > MOST_BYTES:
        raise DatasetError(
            f"{where}: '{quoted(relative)}' has {status.st_size} bytes, more than {MOST_BYTES}; reduce it"
        )
    return path


def skipped(
    stage: str, item: Sequence[str], path: Sequence[str] | str, reason: Sequence[str] | str
) -> pd.DataFrame:
    """Rows of table `skipped`, without `dataset`.

    `stage` is `read` (an image was refused when tables were read), `prepare` (its file was refused), or
    `reading` (a reader's session or mark, or a part of it, was refused or ignored, or nothing was found in a
    picture that was looked for; the image stays).
    """
    columns = {"path": path, "reason": reason}
    listed = {name: value if isinstance(value, str) else list(value) for name, value in columns.items()}
    return pd.DataFrame({"item": list(item)}).assign(stage=stage, **listed).astype(str)
