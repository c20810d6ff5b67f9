"""Shards: a job's work cut into consecutive parts, each a job of its own, that another job joins."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from sightline.errors import ConfigError, IntegrityError

Item = TypeVar("Item")
NAME = r"\d+of\d+\.[0-9a-f]{12}"  # the values of the wildcard `shard`


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 0) of `count`. Raises `ConfigError` for a part that there is not."""

    index: int = 0
    count: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            raise ConfigError(f"shard {self.index} of {self.count}; expected 0 to {self.count - 1}")

    def of(self, items: Sequence[Item]) -> Sequence[Item]:
        """This shard's share of `items`, which are consecutive; all shards in order have all of them."""
        start, stop = (at * len(items) // self.count for at in (self.index, self.index + 1))
        return items[start:stop]


WHOLE = Shard()


def names(count: int, digest: str) -> list[str]:
    """The `count` shards of a job, in order: `1of4.<digest>`; `digest` (hex) tells params and code.

    So a shard of other params or of other code is another file, never taken for this one.
    """
    return [f"{index + 1}of{count}.{digest[:12]}" for index in range(count)]


def named(name: str | None) -> Shard:
    """The shard that `names` calls so; `WHOLE` for None. Raises `ConfigError` for another text."""
    if name is None:
        return WHOLE
    if not re.fullmatch(NAME, name):
        raise ConfigError(f"'{name}' names no shard; expected something like 1of4.0123456789ab")
    index, count = map(int, name.partition(".")[0].split("of"))
    return Shard(index - 1, count)


def parts(files: Iterable[Path | str]) -> dict[str, list[Path]]:
    """The outputs of shards by their file's name (`maps.parquet`), in the shards' order.

    `files` are all of them, those of one shard after those of another, each shard in its folder. Raises
    `IntegrityError` where a shard lacks one that another has.
    """
    found: dict[str, list[Path]] = {}
    for file in map(Path, files):
        found.setdefault(file.name, []).append(file)
    for group in found.values():
        folders, expected = ([file.parent for file in one] for one in (group, next(iter(found.values()))))
        if folders != expected:
            lacking = next(iter({*expected} ^ {*folders}), group[0].parent)
            raise IntegrityError(
                f"{lacking}: this shard lacks a file that others have; delete it and run again"
            )
    return found


def summed(costs: Mapping[str, Any], files: Iterable[Path]) -> dict[str, Any]:
    """The costs of a job that joins shards, with those in the shards' `files`, as of one job.

    Seconds add up, memory is the most that one of them held, the device theirs. A file that is not there
    adds nothing.
    """
    found = dict(costs)
    for spent in (json.loads(file.read_text(encoding="utf-8")) for file in files if file.exists()):
        found |= {name: found[name] + spent[name] for name in ("seconds", "cpu_seconds")}
        found |= {"peak_bytes": max(found["peak_bytes"], spent["peak_bytes"]), "device": spent["device"]}
    return found


def remove(files: Iterable[Path | str]) -> None:
    """Remove the folder that holds the shards of one job, `files` among them, with their seals and costs."""
    for folder in {Path(file).parents[1] for file in files if is_part(file)}:
        shutil.rmtree(folder, ignore_errors=True)


def is_part(path: Path | str) -> bool:
    """Whether `path` is a shard's file."""
    return re.fullmatch(NAME, Path(path).parent.name) is not None
