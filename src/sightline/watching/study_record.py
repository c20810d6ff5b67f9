"""A finished study's record: what every table in its folder was made from, by what code, of which files.

`provenance.json` gathers what seals, costs and tables tell, and names nobody: of a dataset's images it holds
their number and one digest of all, of places outside the project the file's name alone.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from sightline import provenance, tables
from sightline.running import jobs, seals
from sightline.watching import lineage

NAME = "provenance.json"
LEFT_OUT = "(left out)"
MOST_FILES = 20  # upstream files of a dataset that are named one by one
ABSOLUTE = re.compile(r"^(?:~|/|\\\\|[A-Za-z]:[\\/])")


def of_study(
    study: Path,
    config: Mapping[str, Any],
    seeds: Mapping[str, Any],
    identifying: Collection[str],
    lock: Path,
) -> dict[str, Any]:
    """The record of the study in the folder `study`, as JSON's types.

    `config` is its configuration, `seeds` where its draws begin, `identifying` the options whose values may
    name images or patients (they are left out), `lock` the file that pins the packages.
    """
    made = lineage.read(study)
    params: dict[str, Any] = {}
    described = _jobs(study, made, params, identifying)
    used = {one["code"] for one in described.values()}
    record = {
        "study": study.name,
        "config": config,
        "seeds": seeds,
        "environment": _environment(lock),
        "hardware": _hardware(described),
        "datasets": {name: _dataset(study, name, made) for name in config["datasets"]},
        "code": {name: parts for name, parts in provenance.kept(study).items() if name in used},
        "params": _nameless(params, frozenset(identifying)),
        "jobs": described,
    }
    return _nameless(record, frozenset())


def _jobs(
    study: Path, made: Mapping[str, lineage.Made], params: dict[str, Any], identifying: Collection[str]
) -> dict[str, dict]:
    """Every job by its name; `params` gets what jobs were told beside their code, each set once."""
    found: dict[str, dict] = {}
    for path, one in made.items():
        job = found.setdefault(one.job or path, {"rule": one.rule, "outputs": {}, "costs": {}})
        job["outputs"][path] = one.sha256
        told = {name: value for name, value in one.params.items() if name != "code"}
        digest = hashlib.sha256(seals.canonical(told).encode()).hexdigest()[:16]
        params[digest] = told
        job |= {"code": one.params.get("code", ""), "params": digest}
        job |= {"inputs": one.inputs or {}, "upstream": _few(one.upstream, _naming(told, identifying))}
        costs = jobs.costs_path(study / path)
        if costs.is_file():
            spent = json.loads(costs.read_text(encoding="utf-8"))
            job["costs"] = {name: value for name, value in spent.items() if name != "job"}
    return found


def _naming(value: Any, identifying: Collection[str], inside: bool = False) -> Iterator[str]:
    """The texts in those options, at any depth, whose values may name somebody: a file may be called so."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _naming(item, identifying, inside or key in identifying)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _naming(item, identifying, inside)
    elif inside and isinstance(value, str):
        yield value


def _few(upstream: Mapping[str, str | None], naming: Iterable[str] = ()) -> dict[str, str | None]:
    """Upstream files by place; those of `naming`, which may name somebody, by number; of many one digest."""
    places = sorted(upstream)
    if len(places) <= MOST_FILES:
        hidden = {Path(text).name for text in naming}
        told = (
            f"{LEFT_OUT} {number}" if Path(place).name in hidden else place
            for number, place in enumerate(places, 1)
        )
        return {name: upstream[place] for name, place in zip(told, places)}
    together = len({os.path.isabs(place) for place in places}) == 1  # else they have no folder in common
    folder = os.path.commonpath(places) if together else ""
    return {f"{folder or 'several folders'} ({len(places)} files)": digest_of_all(upstream.values())}


def digest_of_all(digests: Iterable[str | None]) -> str:
    """One SHA-256 for many files: of their digests, sorted, a line each."""
    return hashlib.sha256("\n".join(sorted(map(str, digests))).encode()).hexdigest()


def _dataset(study: Path, name: str, made: Mapping[str, lineage.Made]) -> dict[str, Any]:
    """What a dataset's images are: how many files and bytes, and one digest of all; where they come from."""
    found: dict[str, Any] = {}
    inventory = study / f"prepared/{name}/inventory.parquet"
    if inventory.is_file():
        files = tables.read("inventory", inventory, ["bytes", "sha256"])
        found["images"] = {
            "files": len(files),
            "bytes": int(files["bytes"].sum()),
            "sha256": digest_of_all(files["sha256"]),
        }
    for origin, path in (
        ("phantom", f"phantom/{name}{lineage.PHANTOM}"),
        ("download", f"downloads/{name}.json"),
    ):
        if path in made:
            found[origin] = {"listed_in": path, "sha256": made[path].sha256}
    tables_read = made.get(f"datasets/{name}/images.parquet")
    found["tables"] = _few(tables_read.upstream) if tables_read else {}
    return found


def _environment(lock: Path) -> dict[str, Any]:
    """The lock file's digest, what it pins, and which of that is installed in another version."""
    pinned = provenance.pinned(lock)
    other = {}
    for name, version in pinned.items():
        try:
            installed = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        if installed != version:
            other[name] = installed
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    packages = {"sha256": digest, "packages": pinned, "installed_otherwise": other}
    return {"python": platform.python_version(), "system": platform.system(), "lock": packages}


def _hardware(described: Mapping[str, Mapping]) -> dict[str, Any]:
    """What the jobs ran on: processors and devices, with the number of jobs."""
    found: dict[str, dict[str, int]] = {"processor": {}, "device": {}}
    for job in described.values():
        for kind, count in found.items():
            name = job["costs"].get(kind) or "not recorded"
            count[name] = count.get(name, 0) + 1
    return found


def _nameless(value: Any, identifying: frozenset[str]) -> Any:
    """`value` without what names a place of this machine or, in options that may, an image or a patient."""
    if isinstance(value, Mapping):
        return {
            _placeless(str(key)): LEFT_OUT if key in identifying and item else _nameless(item, identifying)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [_nameless(item, identifying) for item in value]
    return _placeless(value) if isinstance(value, str) else value


def _placeless(text: str) -> str:
    if ABSOLUTE.match(text):
        return ".../" + text.replace("\\", "/").rstrip("/").rpartition("/")[2]
    home = os.path.expanduser("~")
    return text.replace(home, "...") if len(home) > 1 else text


def read(study: Path) -> dict[str, Any]:
    """The record in the folder `study`; empty where there is none yet."""
    try:
        return json.loads((study / NAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}


def made(record: Mapping[str, Any]) -> dict[str, lineage.Made]:
    """What a record says of each output, as its seal did."""
    return {
        path: lineage.Made(
            path,
            name,
            digest,
            record["params"][job["params"]] | {"code": job["code"]},
            job["inputs"],
            job["upstream"],
        )
        for name, job in record.get("jobs", {}).items()
        for path, digest in job["outputs"].items()
    }
