"""How oracles write what they found: tests/fixtures/<oracle>.json, a line for each name."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parents[1] / "fixtures"


def write(oracle: str, distribution: str, values: dict[str, object]) -> None:
    """`values` (numbers, lists, arrays, dicts of these) and the version that gave them."""
    values = {"made by": f"make oracles: {distribution} {version(distribution)}"} | values
    lines = [f"{json.dumps(name)}: {json.dumps(_plain(value))}" for name, value in values.items()]
    path = FOLDER / f"{oracle}.json"
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{path.name}: {len(lines)} entries, {path.stat().st_size} bytes")


def read(oracle: str) -> dict[str, object]:
    """What `write` wrote; arrays are nested lists."""
    return json.loads((FOLDER / f"{oracle}.json").read_text(encoding="utf-8"))


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return np.asarray(value).tolist()
