"""What a job that draws leaves beside its figures: their captions, by section of the page, as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from sightline import publishing
from sightline.report.page import Picture


def write(pictures: Mapping[str, Sequence[Picture]], path: str | Path) -> None:
    """Write section -> pictures (file, caption, restricted, title) to `path`; the figures lie beside it."""
    content = {
        section: [[one.path.name, one.caption, one.restricted, one.title] for one in found]
        for section, found in pictures.items()
    }
    publishing.write_text(path, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read(paths: Iterable[str | Path]) -> dict[str, list[Picture]]:
    """The pictures of all files by section, in order."""
    found: dict[str, list[Picture]] = {}
    for path in map(Path, paths):
        for section, pictures in json.loads(path.read_text(encoding="utf-8")).items():
            found.setdefault(section, []).extend(
                Picture(path.parent / name, *told) for name, *told in pictures
            )
    return found
