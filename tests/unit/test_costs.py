"""What explaining took, gathered from what its jobs left."""

import json

import pandas as pd
import pytest

from sightline import tables
from sightline.explanation import costs
from sightline.running import jobs


def write(folder, method, statuses):
    rows = [
        {**dict.fromkeys(tables.SCHEMAS["maps"].columns), "dataset": "d", "model": "m", "seed": 0}
        | {"condition": "clean", "method": method, "image": f"i{at}", "target": "a", "source": "input"}
        | {"status": status, "signed": True, "all_zero": False, "non_finite": 0}
        for at, status in enumerate(statuses)
    ]
    path = folder / f"{method}.parquet"
    tables.write("maps", pd.DataFrame(rows, columns=list(tables.SCHEMAS["maps"].columns)), path)
    return path


def test_seconds_are_per_map_and_what_is_not_known_is_null(tmp_path):
    paths = [write(tmp_path, "one", ["ok", "ok", "failed"]), write(tmp_path, "two", ["not_applicable"])]
    spent = {"seconds": 6.0, "cpu_seconds": 5.0, "peak_bytes": 700, "device": "cpu", "job": "any"}
    for path in paths:
        jobs.costs_path(path).write_text(json.dumps(spent))
    paths.append(write(tmp_path, "three", ["ok"]))  # copied without its costs
    tables.write("costs", costs.gather(paths), tmp_path / "costs.parquet")
    found = tables.read("costs", tmp_path / "costs.parquet").set_index("method")
    assert found.loc["one", ["maps", "images", "seconds_per_map"]].tolist() == [2, 3, 3.0]
    assert found.loc["two", "maps"] == 0
    assert pd.isna(found.loc["two", "seconds_per_map"])
    assert found.loc["two", "peak_bytes"] == 700
    assert found.loc["three", ["seconds", "peak_bytes", "device"]].isna().all()


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Exception, match="nowhere.parquet"):
        costs.gather([tmp_path / "nowhere.parquet"])
