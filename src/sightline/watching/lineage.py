"""What a study's folder holds, as its seals tell: what was made by which job, from what, what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sightline.errors import IntegrityError
from sightline.running import seals

PHANTOM = ".digests.json"  # ends the name of the list of a phantom's files, which lie in a folder beside it


@dataclass(frozen=True)
class Made:
    """An output: its `path` below the study's folder, what its seal says, and how it differs from that.

    `inputs` are the study's files that it was made from, by their path, with their SHA-256 (None: unknown);
    None itself where the seal is of a time when inputs were not recorded. `upstream` are those from
    elsewhere, by their place in the project's folder. `problem` is None for what is whole, as far as it was
    looked at.
    """

    path: str
    job: str = ""
    sha256: str = ""
    params: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, str | None] | None = None
    upstream: dict[str, str | None] = field(default_factory=dict)
    problem: str | None = None

    @property
    def rule(self) -> str:
        """The rule that made it; of old seals, the folder it lies in."""
        return (self.job or self.path).partition("/")[0]


def read(study: Path, content: bool = False) -> dict[str, Made]:
    """Every sealed output of the folder `study`, by its path there.

    Outputs are held against their seals: presence and size, and with `content` every byte, the files of
    phantoms too.
    """
    paths = {path.relative_to(study).as_posix(): path for path in seals.sealed(study)}
    found = {}
    for name, path in paths.items():
        try:
            record = seals.record(path)
        except IntegrityError:
            found[name] = Made(name, problem="its seal is not whole")
            continue
        if record is None:  # a job that makes it anew has taken it away just now
            continue
        made_by = record["made_by"]
        inputs, upstream = _parted(made_by.get("inputs"), study.name, paths)
        problem = seals.difference(path, content)
        if content and problem is None and name.endswith(PHANTOM):
            problem = _of_phantom(path)
        job, params = made_by.get("job", ""), made_by.get("params", {})
        found[name] = Made(name, job, record["sha256"], params, inputs, upstream, problem)
    return found


def _parted(
    recorded: dict[str, str | None] | None, study: str, paths: Iterable[str]
) -> tuple[dict[str, str | None] | None, dict[str, str | None]]:
    """Recorded inputs as those of the study, also where its folder was renamed, and those from elsewhere."""
    if recorded is None:
        return None, {}
    inner, outer = {}, {}
    for place, digest in recorded.items():
        results, _, rest = place.partition("/")
        name, _, path = rest.partition("/")
        if results == "results" and (name == study or path in paths):
            inner[path] = digest
        else:
            outer[place] = digest
    return inner, outer


def _of_phantom(listed: Path) -> str | None:
    """How the files of a phantom differ from their list."""
    folder = listed.with_name(listed.name.removesuffix(PHANTOM))
    expected, there = json.loads(listed.read_text(encoding="utf-8")), seals.digests(folder)
    differing = [name for name, digest in expected.items() if there.get(name) != digest]
    if not differing:
        return None
    more = f" and {len(differing) - 1} more" if len(differing) > 1 else ""
    what = "is missing" if differing[0] not in there else "differs from its digest"
    return f"{folder.name}/{differing[0]}{more} {what}"


def came_of(made: dict[str, Made], paths: Iterable[str]) -> dict[str, str]:
    """All that was made from `paths`, directly or not: path -> that of its inputs through which it was."""
    users: dict[str, list[str]] = {}
    for one in made.values():
        for place in one.inputs or ():
            users.setdefault(place, []).append(one.path)
    waiting = list(paths)
    found: dict[str, str] = {}
    seen = set(waiting)
    while waiting:
        through = waiting.pop(0)
        for path in users.get(through, ()):
            if path not in seen:
                seen.add(path)
                found[path] = through
                waiting.append(path)
    return found


def remade_since(made: dict[str, Made], one: Made) -> list[str]:
    """Those of the study's files from which `one` was made that are other ones by now, or not there."""
    return [
        place
        for place, digest in (one.inputs or {}).items()
        if place not in made or digest not in (None, made[place].sha256)
    ]
