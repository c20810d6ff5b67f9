"""What a configuration wants: every job of the workflow, and why those that would run again would.

The workflow itself says so: Snakemake is asked for its summary, in which it decides on every job as before a
run, and while it does, `note` (called by the rules) writes down what each job would be.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.errors import IntegrityError, SightlineError
from sightline.running import jobs, seals

ASKED = "SIGHTLINE_WANTED"  # the file into which a Snakemake that is asked writes its jobs, a line each
LONGEST = 30  # characters of a param's value that are shown
FIRST = "output_file"  # the first column of Snakemake's summary
PENDING = "update pending"
TRACEBACK, READ_ONLY = "Traceback (most recent call last):", "Read-only file system"
LONGEST_SAID = 2000  # characters of what Snakemake said
FINE = ("ok", "removed temp file")  # what Snakemake's summary says of an output that gives no reason to run


@dataclass(frozen=True)
class Wanted:
    """A job of the workflow: its name (as its log's), rule, outputs; whether it would run, and why.

    `why` are reasons of its own, `changes` the params with which its outputs were not made; a job that would
    run without either follows from another that would. `code` is
    what its code consists of (`provenance.parts`), and `made_with` the fingerprint with which its outputs
    were made, where these differ.
    """

    name: str
    rule: str
    outputs: tuple[str, ...]
    log: str
    runs: bool
    why: tuple[str, ...]
    changes: tuple[str, ...]
    code: dict[str, str]
    made_with: str


def note(
    rule: str, outputs: Sequence[str], log: str, params: Mapping[str, Any], parts: Callable[[], Mapping]
) -> None:
    """Write down what a job would be, where `ask` started this Snakemake; else do nothing.

    `parts()` tells what its code consists of.
    """
    file = os.environ.get(ASKED)
    if file:
        line: dict[str, Any] = {"rule": rule, "outputs": list(outputs), "log": log}
        reasons, changes = _reasons(outputs, dict(params))
        line |= {"why": sorted(reasons), "changes": sorted(changes)}
        made_with = _made_with(outputs)
        if made_with and made_with != params.get("code"):
            line |= {"code": parts(), "made_with": made_with}
        with open(file, "a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")


def _reasons(outputs: Sequence[str], params: dict[str, Any]) -> tuple[set[str], set[str]]:
    """Why outputs are not what a job with `params` makes: in words, and which params they were made with."""
    reasons, changes = set(), set()
    for path in outputs:
        reason = seals.why_stale(path, params)
        made_by = None
        with contextlib.suppress(IntegrityError):
            made_by = seals.made_by(path) if reason and Path(path).exists() else None
        if made_by is not None:
            old = made_by.get("params", {})
            changes |= {_change(name, old, params) for name in seals.differing(old, params)}
        elif reason:
            reasons.add(reason)
    return reasons, changes


def _made_with(outputs: Sequence[str]) -> str:
    with contextlib.suppress(IntegrityError):
        for path in outputs:
            if (made_by := seals.made_by(path)) is not None:
                return made_by.get("params", {}).get("code", "")
    return ""


def _change(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if name == "code":
        return name
    before, after = (seals.canonical(one[name]) if name in one else "none" for one in (old, new))
    return f"{name} ({before}, now {after})" if len(before) + len(after) <= LONGEST else name


def ask(root: Path, configuration: Path) -> list[Wanted]:
    """The jobs of the study that `configuration` describes, by the workflow in the folder `root`.

    Runs nothing and changes no result. Raises `SightlineError` with what Snakemake said where it cannot tell.
    """
    if not configuration.is_file():
        raise SightlineError(f"{configuration}: no such file; give the study's configuration")
    with tempfile.TemporaryDirectory() as folder:
        noted = Path(folder, "jobs.jsonl")
        environment = os.environ | {ASKED: str(noted)}
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--summary",
            "--configfile",
            str(configuration.resolve()),
        ]
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise SightlineError(
                f"{configuration}: the workflow does not plan this study:\n{_words(done.stderr)}"
            )
        lines = noted.read_text(encoding="utf-8").splitlines() if noted.exists() else []
    found = {line["outputs"][0]: line for line in map(json.loads, lines) if line["outputs"]}
    table = done.stdout[max(done.stdout.find(FIRST), 0) :].splitlines()
    said = {row[FIRST]: row for row in csv.DictReader(table, delimiter="\t")}
    return [
        _wanted(line, [said[path] for path in line["outputs"] if path in said]) for line in found.values()
    ]


def _words(said: str) -> str:
    """What Snakemake said at the end; of a traceback the error alone."""
    before, traceback, after = said.strip().partition(TRACEBACK)
    if not traceback:
        return before[-LONGEST_SAID:]
    error = after.strip().splitlines()[-1]
    hint = "; Snakemake writes into .snakemake: leave --configfile out here" if READ_ONLY in error else ""
    return f"{before[-LONGEST_SAID:]}{error}{hint}"


def _wanted(line: Mapping[str, Any], rows: Sequence[Mapping[str, str]]) -> Wanted:
    runs = any(row["plan"] == PENDING for row in rows)
    why, changes = line["why"], line["changes"]
    if runs and not why and not changes:
        why = sorted({row["status"] for row in rows} - set(FINE))
    name = jobs.name_of(line["log"]) if line["log"] else line["rule"]
    code, made_with = line.get("code", {}), line.get("made_with", "")
    outputs = tuple(line["outputs"])
    return Wanted(name, line["rule"], outputs, line["log"], runs, tuple(why), tuple(changes), code, made_with)
