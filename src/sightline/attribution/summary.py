"""What became of a method's maps, cell by cell: table `map_summary`, from tables `maps`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable
from pathlib import Path

import pandas as pd

from sightline import tables

CELL = ["dataset", "model", "condition", "method"]
WORD = re.compile(r"[^\s'\"()\[\]{},;:]+")
READ = ["seed", "image", "status", "reason", "identity", "gap", "all_zero"]


def summarise(paths: Iterable[str | Path]) -> pd.DataFrame:
    """Table `map_summary` of the tables `maps` at `paths`, a cell each: counts, quartiles of the gap.

    A row per dataset, model, condition and method, over seeds, images, targets and sources. The reason is the
    most frequent one of the maps that are not ok, the first by the alphabet of equals, without image names.
    """
    seeds: dict[tuple, list] = {}
    for path in paths:
        keys = tables.read("maps", path, columns=CELL)
        if len(keys):
            seeds.setdefault(tuple(keys.iloc[0]), []).append(path)
    rows = []
    for key, found in sorted(seeds.items()):  # one cell's maps are held at a time
        cell = pd.concat([tables.read("maps", path, columns=READ) for path in found])
        rows.append(dict(zip(CELL, key)) | _counted(cell))
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["map_summary"].columns))


def _counted(cell: pd.DataFrame) -> dict:
    """The columns of one row but its key."""
    status = cell["status"].value_counts()
    gaps = cell["gap"].dropna()
    low, middle, high = gaps.quantile([0.25, 0.5, 0.75]) if len(gaps) else (None,) * 3
    return {
        "seeds": cell["seed"].nunique(),
        "images": cell["image"].nunique(),
        "maps": len(cell),
        **{name: int(status.get(name, 0)) for name in ("ok", "not_applicable", "failed")},
        "all_zero": int((cell["all_zero"] & (cell["status"] == "ok")).sum()),
        "reason": _reason(cell[cell["status"] != "ok"], set(cell["image"])),
        "identity": next(iter(cell["identity"].dropna()), None),
        "gaps": len(gaps),
        "gap": middle,
        "gap_low": low,
        "gap_high": high,
    }


def _reason(lost: pd.DataFrame, names: Collection[str]) -> str:
    """The most frequent reason; `names` of images, which errors of a whole batch may quote, are left out."""

    def nameless(found: re.Match) -> str:
        return "(image)" if found[0] in names else found[0]

    own = pd.Series(
        [str(reason).replace(image, "(image)") for reason, image in zip(lost["reason"], lost["image"])],
        dtype=str,
    ).value_counts()
    of_words = sorted((name for name in names if not WORD.fullmatch(name)), key=len, reverse=True)
    counts: Counter[str] = Counter()
    for text, count in own.items():
        for name in of_words:
            text = text.replace(name, "(image)")
        counts[WORD.sub(nameless, text)] += count
    most = max(counts.values(), default=0)
    return min((text for text, count in counts.items() if count == most), default="")
