"""What explaining took: the costs that its jobs left beside their maps, per map."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from sightline import tables
from sightline.running import jobs
from sightline.schemas import OF_MAP

KEYS = tuple(OF_MAP)


def gather(paths: Sequence[str | Path]) -> pd.DataFrame:
    """Table `costs`: a row per job whose table of maps is one of `paths`.

    `maps` counts those that are ok; `seconds_per_map` is null where there are none. A job whose costs are
    not there (results that were copied without them) has null costs.
    """
    rows = []
    for path in map(Path, paths):
        maps = tables.read("maps", path)
        if maps.empty:
            continue
        file = jobs.costs_path(path)
        spent = json.loads(file.read_text()) if file.exists() else {}
        count = int((maps["status"] == "ok").sum())
        seconds = spent.get("seconds")
        rows.append(
            {key: maps[key].iloc[0] for key in KEYS}
            | {"maps": count, "images": maps["image"].nunique()}
            | {key: spent.get(key) for key in ("seconds", "cpu_seconds", "peak_bytes", "device")}
            | {"seconds_per_map": seconds / count if seconds is not None and count else None}
        )
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["costs"].columns))
