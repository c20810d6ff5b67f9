"""The csv tables of a dataset whose images alone a server has: gathered from where the user has them."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

from sightline import addresses
from sightline.download import fetching, web
from sightline.download.asked import Asked
from sightline.download.ledger import sha256
from sightline.errors import DownloadError

# columns that hold <patient>/<study>/<series>/<file> in CBIS-DDSM's case descriptions
PATHS = ("image file path", "cropped image file path", "ROI mask file path")


def is_address(place: str) -> bool:
    """Whether `place` is fetched, not copied."""
    return place.startswith(("http://", "https://"))


def gather(asked: Asked, session: fetching.Session, places: list[str] | None) -> list[str]:
    """The tables that the adapter reads, by name, after those in `places` have been brought to the folder.

    `places` are addresses, files and folders of csv files. Raises `DownloadError` where a table is missing
    in the end, or lies there already with another content.
    """
    failed: dict[str, str] = {}
    for place in places or []:
        if is_address(place):
            name = _wanted_as(asked, addresses.checked(place).partition("?")[0].rpartition("/")[2])
            if name is None:
                continue
            work = partial(fetching.file, session, session.client(place), place, name, None)
            failed |= session.all({name: work}, f"table {name}")
        else:
            for path in _files(Path(place)):
                if (name := _wanted_as(asked, path.name)) is not None:
                    _copy(path, session.folder / name)
    sources = asked.sources()
    missing = [path.relative_to(asked.folder).as_posix() for path in sources if not path.is_file()]
    if missing:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in failed.items())
        raise DownloadError(
            f"{asked.folder}: lacks {', '.join(missing)}. The images' server does not have these: take "
            "them from the collection's page, put them into that folder, or name their files, folder or "
            f"addresses in datasets.{asked.name}.download.tables (docs/download.md){reasons}"
        )
    return [path.relative_to(asked.folder).as_posix() for path in sources]


def _wanted_as(asked: Asked, name: str) -> str | None:
    """Where below the dataset's folder the adapter looks for a table called `name`; None: nowhere."""
    found = [path for path in asked.sources() if path.name == name]
    return found[0].relative_to(asked.folder).as_posix() if found else None


def _files(place: Path) -> list[Path]:
    files = sorted(place.glob("*.csv")) if place.is_dir() else [place]
    if not files or not all(path.is_file() for path in files):
        raise DownloadError(f"{place}: no csv table there; correct the dataset's download.tables")
    return files


def _copy(path: Path, target: Path) -> None:
    if target.exists():
        if sha256(target) != sha256(path):
            raise DownloadError(f"{target}: differs from {path}, which is to lie there; delete one of them")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    part = web.part_of(target)
    shutil.copyfile(path, part)
    web.settle(part, target)


def _rows(path: Path, file: TextIO) -> Iterator[dict[str, str]]:
    """The rows of a csv file. Raises `DownloadError`, naming it, where it is none."""
    try:
        yield from csv.DictReader(file)
    except csv.Error as error:  # a field of more than 128 kB, say
        raise DownloadError(f"{path}: not a readable csv ({error}); take it again from its source") from None


def series(asked: Asked) -> list[str]:
    """The series that the adapter's tables name in their columns of paths, each once.

    The UIDs are those of the release; the file names beside them are not (they are not read).
    """
    found: dict[str, None] = {}
    for path in asked.sources():
        with open(path, newline="", encoding="utf-8", errors="replace") as file:
            for row in _rows(path, file):
                for column in PATHS:
                    parts = (row.get(column) or "").strip().split("/")
                    if len(parts) > 2 and re.fullmatch(r"[0-9]+(\.[0-9]+)+", parts[2]):
                        found.setdefault(parts[2])
    return list(found)
