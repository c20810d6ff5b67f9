"""Files of scores, a few at a time: what belongs to one model and method, of all its seeds.

A large study has more rows of scores than memory holds. Its summaries are of groups of rows that lie in the
files of one dataset, model, condition and method, so these are read together and others are not.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from sightline import tables

KEY = ["dataset", "model", "condition", "method"]
UNUSED = ("reader", "reason")  # of means over readers


@dataclass(frozen=True)
class Files:
    """Paths of tables `scores` in order, and which (dataset, model, condition, method) each of them holds."""

    keys: dict[Path, frozenset[tuple[str, ...]]]

    @staticmethod
    def of(paths: Sequence[str | Path]) -> Files:
        """Look into every file. Raises `TableError` as `tables.read`."""
        return Files({Path(path): _keys(path) for path in paths})

    def parts(
        self,
        condition: str | None = None,
        progress: Callable[..., Iterable] = lambda items, *told: items,
    ) -> Iterator[pd.DataFrame]:
        """The rows of all files (or of one condition), those of one key in one part; without `UNUSED`.

        Where there is no file, one empty table. `progress(items, total, what)` yields the items of the long
        loop and tells how far it is.
        """
        columns = [name for name in tables.SCHEMAS["scores"].columns if name not in UNUSED]
        for paths in progress(self._together(condition) or [[]], None, "models and methods"):
            frames = [tables.read("scores", path, columns) for path in paths]
            rows = pd.concat(frames, ignore_index=True) if frames else tables.empty("scores")[columns]
            yield rows if condition is None else rows[rows["condition"] == condition]

    def _together(self, condition: str | None) -> list[list[Path]]:
        """The files (those with rows of `condition`) that are read together, for they share a key."""
        members: list[tuple[set, list[Path]]] = []
        for path, keys in self.keys.items():
            if condition is None or any(key[KEY.index("condition")] == condition for key in keys):
                joined = [one for one in members if one[0] & keys]
                members = [one for one in members if one not in joined]
                files = [other for _, several in joined for other in several]
                members.append((set(keys).union(*(of for of, _ in joined)), [*files, path]))
        return [paths for _, paths in members]

    def rows(
        self,
        wanted: Collection[tuple[str, str]],
        kept: Callable[[pd.DataFrame], pd.DataFrame] = lambda rows: rows,
    ) -> pd.DataFrame:
        """The rows of these (method, condition), of all models, by file; of each file those `kept`."""
        frames = [tables.empty("scores")]
        for path, keys in self.keys.items():
            if {(method, condition) for _, _, condition, method in keys} & set(wanted):
                rows = tables.read("scores", path)
                there = pd.MultiIndex.from_frame(rows[["method", "condition"]]).isin(list(wanted))
                frames.append(kept(rows[there]))
        return pd.concat(frames[1:] or frames, ignore_index=True)


def _keys(path: str | Path) -> frozenset[tuple[str, ...]]:
    found = tables.read("scores", path, columns=KEY).drop_duplicates()
    return frozenset(found.itertuples(index=False, name=None))
