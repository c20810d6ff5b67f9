"""What every phantom's writer shares: its settings, and the folder that is its own."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Collection, Iterable
from fnmatch import fnmatchcase
from pathlib import Path

from sightline.errors import ConfigError, DatasetError

MARKER = "phantom.json"
PLANTED = "phantom_truth.csv"  # not upstream: where something was planted
TRUTH = ("dicom_id", "kind", "label", "shape", "xmin", "ymin", "xmax", "ymax")


def completed(stated: dict[str, dict], given: dict[str, object]) -> dict:
    """`given` with the defaults of a writer's OPTIONS (`stated`). Raises `ConfigError` for unknown names."""
    unknown = sorted(set(given) - set(stated))
    if unknown:
        raise ConfigError(
            f"phantom: unknown option(s) {', '.join(unknown)}; expected some of {', '.join(stated)}"
        )
    settings = {name: given.get(name, option["default"]) for name, option in stated.items()}
    for name, option in stated.items():
        if isinstance(settings[name], dict) and "properties" in option:
            inner = {key: one["default"] for key, one in option["properties"].items() if "default" in one}
            settings[name] = inner | settings[name]
    return settings


def claim(root: Path, writer: str, seed: int, settings: dict, parts: Collection[str]) -> None:
    """Make `root` an empty folder of this writer's, but for `phantom.json`, which says so.

    Deletes only what an earlier run of the same writer left: the files and folders whose names match `parts`
    (patterns of fnmatch). Raises `DatasetError` where `root` is a file or holds anything else.
    """
    if root.exists() and not root.is_dir():
        raise DatasetError(f"{root}: is a file; the phantom needs a folder of its own")
    root.mkdir(parents=True, exist_ok=True)
    present = {path.name: path for path in root.iterdir()}
    ours = (MARKER, *parts)
    foreign = sorted(name for name in present if not any(fnmatchcase(name, part) for part in ours))
    if present and (foreign or not _owned(root, writer) or any(map(Path.is_symlink, present.values()))):
        raise DatasetError(
            f"{root}: holds files that the phantom did not write ({', '.join(foreign or sorted(present))}); "
            "name another folder or empty this one"
        )
    for path in present.values():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    record = {"writer": writer, "seed": seed, "options": settings}
    (root / MARKER).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def write_truth(root: Path, rows: Iterable[list]) -> None:
    """Write `phantom_truth.csv` into the phantom's folder: rows of `TRUTH`, boxes in image pixels."""
    with (root / PLANTED).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(TRUTH)
        writer.writerows(sorted(rows))


def _owned(root: Path, writer: str) -> bool:
    try:
        return json.loads((root / MARKER).read_text(encoding="utf-8"))["writer"] == writer
    except (OSError, ValueError, KeyError, TypeError):
        return False
