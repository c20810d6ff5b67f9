"""How a file comes to be: under a temporary name of its own, on the disk, then under its name; never half."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from sightline import runs

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FULL_TEXTS = ("No space left", "os error 28", "Disk quota exceeded", "File too large")


def begin(path: Path | str) -> Path:
    """A temporary name, hidden beside `path`, that no other process has; the folder is made."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name.lstrip('.')}.{os.getpid()}-{secrets.token_hex(4)}.part")


def publish(part: Path, path: Path | str) -> None:
    """Give the file `part` the name `path`, after its content has reached the disk.

    Raises `runs.Superseded` where the results belong to a later run than this job's.
    """
    to_disk(part)
    with runs.owned():
        os.replace(part, path)


def to_disk(path: Path) -> None:
    """Wait until the content of the file `path` is on the disk, where its name may come before it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def whole(path: Path | str) -> Iterator[Path]:
    """A temporary name to write to, which becomes `path` at the end. After an exception nothing is left."""
    part = begin(path)
    try:
        yield part
        publish(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def write_text(path: Path | str, text: str) -> None:
    """Write `text` (UTF-8) to `path`, whole or not at all."""
    with whole(path) as part:
        part.write_text(text, encoding="utf-8")


def clear(path: Path | str) -> None:
    """Remove what killed jobs left of `path` and of the records beside it under temporary names."""
    path = Path(path)
    for part in path.parent.glob(f".{glob.escape(path.name.lstrip('.'))}.*.part"):
        part.unlink(missing_ok=True)


def was_full(error: BaseException | None) -> bool:
    """Whether `error`, or one that it came from, says that a disk or a quota is full; some do in words."""
    while error is not None:
        text = str(error)
        if getattr(error, "errno", None) in FULL or any(part in text for part in FULL_TEXTS):
            return True
        error = error.__cause__ or error.__context__
    return False
