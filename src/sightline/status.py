"""What has become of a study, told from its folder.

`python -m sightline.status results/<study> [--configfile config/<study>.yaml] [--check | --repair] [--json]`
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import textwrap
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from sightline import runs
from sightline.errors import SightlineError
from sightline.running import jobs, seals
from sightline.watching import repair, states, study_record, wanted
from sightline.watching.states import BAD, QUIET, STATES, Job

NARROW, WIDE = 80, 120  # columns of a text
NAMED = 3  # jobs that are named where many share a state and its reason


def text(study: Path, found: Sequence[Job], width: int = WIDE) -> str:
    """`found` as a person reads it: how many jobs are in which state, per rule, then what is not done."""
    counts = Counter(job.state for job in found)
    states_there = [state for state in STATES if counts[state]]
    said = ", ".join(f"{counts[state]} {state}" for state in states_there) or "nothing here"
    head = f"{study}: {len(found)} jobs: {said}"
    return "\n".join([head, *_table(found, states_there), *_details(study, found, width)])


def _table(found: Sequence[Job], columns: Sequence[str]) -> list[str]:
    """A line per rule: how many of its jobs are in which state; rules that are done share a line."""
    per_rule: dict[str, Counter] = {}
    for job in found:
        per_rule.setdefault(job.rule, Counter())[job.state] += 1
    finished = {rule: count for rule, count in per_rule.items() if set(count) == {"done"}}
    others = {rule: count for rule, count in per_rule.items() if rule not in finished}
    lines = []
    if others:
        widest = max(map(len, others))
        lines += ["", "rule".ljust(widest) + "".join(f"{column:>10}" for column in columns)]
        for rule, count in sorted(others.items()):
            lines.append(rule.ljust(widest) + "".join(f"{count[column] or '':>10}" for column in columns))
    if finished:
        names = ", ".join(f"{rule} {count.total()}" for rule, count in sorted(finished.items()))
        lines += ["", *textwrap.wrap(f"all done: {names}", NARROW, subsequent_indent="  ")]
    return lines


def _details(study: Path, found: Sequence[Job], width: int) -> list[str]:
    """What is not done, by state; jobs of a rule that share their reason share a line."""
    lines: list[str] = []
    for state in STATES:
        alike: dict[tuple[str, ...], list[Job]] = {}
        for job in found:
            if job.state == state and state not in QUIET:
                own = () if not job.last_lines else (job.name,)
                alike.setdefault((job.rule, *job.why, *own), []).append(job)
        if alike:
            lines += ["", *textwrap.wrap(f"{state} ({STATES[state]})", width)]
        for group in alike.values():
            lines += _group(study, group, width)
    return lines


def _group(study: Path, group: Sequence[Job], width: int) -> list[str]:
    first = group[0]
    names = ", ".join(job.name.removeprefix(f"{job.rule}/") for job in group[:NAMED])
    names += f" and {len(group) - NAMED} more" if len(group) > NAMED else ""
    since = "" if first.since is None else f", for {jobs.duration(first.since)}"
    reasons = "; ".join(first.why)
    names = names if names == first.rule else f"{first.rule} {names}"
    said = f"{names}{since}" + (f": {reasons}" if reasons else "")
    lines = textwrap.wrap(said, width, initial_indent="  ", subsequent_indent="      ")
    if first.last_lines:
        lines.append(f"      {study / first.log}")
        lines += [f"      | {line}"[:width] for line in first.last_lines]
    return lines


def _repaired(removed: dict[str, str], old: Sequence[str]) -> str:
    lines = [f"removed {path}: {why}" for path, why in removed.items()]
    lines.append(
        f"{len(removed)} removed; the next run makes them again"
        if removed
        else "nothing differs from its seal"
    )
    if removed and old:
        lines.append(
            f"{len(old)} outputs, such as {old[0]}, were made before seals named what was read; which of "
            "them came of the removed ones is not known"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what has become of a study; 1 where something failed, was killed or is damaged, else 0.

    2 where it cannot be told.
    """
    parser = argparse.ArgumentParser(
        prog="python -m sightline.status",
        description="What has become of a study: done, running, failed, stale.",
    )
    parser.add_argument("study", type=Path, help="its folder, such as results/demo")
    parser.add_argument("--configfile", type=Path, help="its configuration: what is stale, and what is to do")
    parser.add_argument("--check", action="store_true", help="read every output: does it equal its seal?")
    parser.add_argument(
        "--repair", action="store_true", help="remove what differs from its seal, and what came of it"
    )
    parser.add_argument("--json", action="store_true", help="for programs")
    given = parser.parse_args(arguments)
    try:
        return _run(given)
    except (SightlineError, OSError) as error:
        print(f"sightline: {error}", file=sys.stderr)
        return 2


def _run(given: argparse.Namespace) -> int:
    study, asked = _folder(given.study), None
    removed = None
    if given.repair:
        old = repair.unknown(study)
        removed = repair.repair(study)
        if not given.json:
            print(_repaired(removed, old), end="\n\n", flush=True)
    if given.configfile is not None:
        asked = wanted.ask(_project(study), given.configfile)
        study = _described(study, given.configfile, asked)
    found = states.of_study(study, asked, given.check)
    if given.json:
        content = {"study": study.name, "jobs": [asdict(job) for job in found]}
        print(json.dumps(content | ({} if removed is None else {"removed": removed}), indent=1))
    else:
        width = min(max(shutil.get_terminal_size((WIDE, 24)).columns, NARROW), WIDE)
        print(text(study, found, width))
        if asked is None:
            print("\nWith --configfile: which of these are stale, why, and what is still to do.")
    return int(any(job.state in BAD for job in found))


def _folder(study: Path) -> Path:
    """The folder, by a path that ends in its name. Raises `SightlineError` where it is no study's."""
    if not study.is_dir():
        raise SightlineError(f"{study}: no such folder; give a study's, such as results/demo")
    studies = [path.parent for part in ("*", "results/*") for path in study.glob(f"{part}/{runs.RECORD}")]
    if studies:
        raise SightlineError(
            f"{study}: no study's folder; it holds {', '.join(map(str, sorted(studies)))}: give one of them"
        )
    if (study / study_record.NAME).is_file() and not seals.sealed(study):
        raise SightlineError(
            f"{study}: was copied without its hidden files, the seals, by which it is known what is done; "
            f"of what it was made stands in {study_record.NAME} (python -m sightline.trace)"
        )
    return study if study.name not in ("", "..") else Path(os.path.abspath(study))


def _described(study: Path, configuration: Path, asked: Sequence[wanted.Wanted]) -> Path:
    """The folder that `configuration` describes. Raises `SightlineError` for another one than `study`."""
    parts = [Path(path).parts[:2] for one in asked for path in one.outputs[:1]]
    described = _project(study) / Path(*parts[0]) if parts else study
    if not (described.exists() and described.samefile(study)):
        raise SightlineError(f"{configuration}: describes the study in {described}, not that in {study}")
    return study if study.name == described.name else described


def _project(study: Path) -> Path:
    """The folder of the workflow whose results `study` are. Raises `SightlineError` where there is none."""
    for folder in (study.absolute().parent.parent, Path.cwd()):
        if (folder / "workflow/Snakefile").is_file():
            return folder
    raise SightlineError(f"{study}: lies in no project's results/; call this in the project's folder")


if __name__ == "__main__":
    sys.exit(main())
