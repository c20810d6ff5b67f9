"""What has become of each job of a study: done, running, failed, damaged, stale, still to do; and why."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sightline import provenance, shards
from sightline.running import jobs, marks
from sightline.watching import lineage
from sightline.watching.wanted import Wanted

# in the order in which they are told
STATES = {
    "failed": "ended with an error; its log says which",
    "killed": "its process is no more and said nothing: ended by hand, by a scheduler, out of memory?",
    "damaged": "an output differs from its seal; --repair removes it and what came of it",
    "stale": "would run again",
    "running": "a process makes it now",
    "silent": "a process on another host made it, and has not been heard of for long",
    "to do": "not made yet",
    "done": "made, and as the seals say",
    "absent": "not there, and nothing needs it now",
    "left over": "made once, and not needed by what this configuration asks for",
}
QUIET = ("done", "absent", "left over")  # states of which the number is enough
BAD = ("failed", "killed", "damaged")
LAST_LINES = 5  # of a log
SILENT_SECONDS = 1800.0  # without a line in the log, after which a job on another host counts as silent
TAIL_BYTES = 20_000
SHARD = re.compile(rf"_shard/(.*)\.{shards.NAME}$")  # in a job's name
TRACEBACK = "Traceback (most recent call last)"
FORECAST = "plan_costs"  # a rule that opens the way for new jobs alone: where all stand, nobody asks for it
LOOKS = 5  # at a folder in which jobs make and remove files


@dataclass
class Job:
    """A job's state, the reasons, the last lines of its log.

    `paths` are its outputs and `log` its log, below the study's folder; `since` are seconds since it began,
    where it runs.
    """

    name: str
    rule: str
    state: str
    why: list[str] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    log: str = ""
    last_lines: list[str] = field(default_factory=list)
    since: float | None = None


def of_study(study: Path, wanted: Sequence[Wanted] | None = None, content: bool = False) -> list[Job]:
    """Every job of the study in the folder `study`, by name: what the folder tells, and what is `wanted`.

    Without `wanted`, what is stale is only known where an input was made anew, and what was never begun is
    not known. With `content`, outputs are read and held against their seals.
    """
    for _ in range(LOOKS - 1):
        with contextlib.suppress(FileNotFoundError):  # a job has moved on: look anew
            return _look(study, wanted, content)
    return _look(study, wanted, content)


def _look(study: Path, wanted: Sequence[Wanted] | None, content: bool) -> list[Job]:
    """`of_study`. Raises `FileNotFoundError` where a file went away while it was looked at."""
    made = lineage.read(study, content)
    by_name = _from_seals(made)
    nameless = any(not one.job for one in made.values())  # seals of before: whose log is whose is not known
    sealed = set(by_name)
    for name, job in _from_logs(study).items():
        whole = SHARD.sub(r"/\1", name)  # a shard's files are gone once the whole is there
        if (job.state == "failed" or not (nameless or whole != name)) and whole not in sealed:
            by_name[name] = job
    if wanted is not None:
        _compare(by_name, wanted, made, study)
    for path, mark in marks.found(study):
        name = mark.job or path.relative_to(study).as_posix()
        kept = by_name.setdefault(name, Job(name, name.partition("/")[0], "running"))
        kept.log = kept.log or below(study, mark.log)
        _from_mark(kept, mark, path, study)
    return sorted(by_name.values(), key=lambda job: (job.rule, job.name))


def _from_seals(made: Mapping[str, lineage.Made]) -> dict[str, Job]:
    """The jobs whose outputs are sealed, done or damaged or made from what was remade since."""
    found: dict[str, Job] = {}
    for path, one in made.items():
        job = found.setdefault(one.job or path, Job(one.job or path, one.rule, "done"))
        job.paths.append(path)
        if one.problem is not None:
            job.state = "damaged"
            job.why.append(f"{path}: {one.problem}")
        elif job.state != "damaged" and (other := lineage.remade_since(made, one)):
            job.state = "stale"
            more = f" and {len(other) - 1} more" if len(other) > 1 else ""
            job.why = [f"made from another {other[0]}{more} than is there now"]
    for job in found.values():
        if "/logs/" not in job.name:
            job.log = f"logs/{job.name}.log"
    return found


def _from_logs(study: Path) -> dict[str, Job]:
    """The jobs that have a log, as if they had no result: failed where the log ends in a traceback."""
    found = {}
    for log in sorted((study / "logs").rglob("*.log")):
        name = jobs.name_of(log)
        lines = tail(log)
        failed = any(line.startswith(TRACEBACK) for line in lines)
        job = Job(name, name.partition("/")[0], "failed" if failed else "to do")
        job.log, job.last_lines = log.relative_to(study).as_posix(), shown(lines) if failed else []
        job.why = [job.last_lines[-1]] if failed else ["begun once; its outputs are not there"]
        found[name] = job
    return found


def tail(log: Path) -> list[str]:
    """The last lines of a log that are not empty; none where there is no log."""
    if not log.is_file():
        return []
    with open(log, "rb") as file:
        file.seek(max(log.stat().st_size - TAIL_BYTES, 0))
        text = file.read().decode("utf-8", errors="replace")
    return [line.rstrip() for line in text.splitlines() if line.strip()]


def shown(lines: Sequence[str]) -> list[str]:
    """The last of `lines`, as many as are shown."""
    return list(lines[-LAST_LINES:])


def _from_mark(job: Job, mark: marks.Mark, path: Path, study: Path) -> None:
    """Whether the job's process still runs; where that is not known, when it was last heard of.

    Raises `FileNotFoundError` where the job took its mark away meanwhile: it has ended.
    """
    log = study / job.log
    alive, now = marks.alive(mark), time.time()
    if marks.read(path) != mark:
        raise FileNotFoundError(path)
    job.last_lines, job.since = shown(tail(log)), max(now - mark.start, 0.0)
    where = f"process {mark.pid} on {mark.host}" + (f", SLURM job {mark.slurm_job}" if mark.slurm_job else "")
    job.state, job.why = "running", [where]
    if alive is False:
        job.state, job.why, job.since = "killed", [f"{where} is no more"], None
    elif alive is None:
        heard = max(file.stat().st_mtime for file in (log, path) if file.exists())
        silence = max(now - heard, 0.0)
        job.state = "silent" if silence > SILENT_SECONDS else "running"
        job.why = [f"{where}, last heard of {jobs.duration(silence)} ago"]


def below(study: Path, place: str) -> str:
    """A place in the project's folder as one below the study's."""
    return place.removeprefix(f"results/{study.name}/")


# ---- what a configuration wants


def _compare(
    found: dict[str, Job], wanted: Iterable[Wanted], made: Mapping[str, lineage.Made], study: Path
) -> None:
    """Change the states in `found` to what they are for a configuration that wants these jobs."""
    wanted = list(wanted)
    code = provenance.kept(study)
    again = {below(study, path): one.name for one in wanted if one.runs for path in one.outputs}
    asked = {one.name for one in wanted}
    for one in wanted:
        paths = [below(study, path) for path in one.outputs]
        job = found.setdefault(one.name, Job(one.name, one.rule, "to do"))
        job.rule, job.paths = one.rule, paths
        job.log = below(study, one.log)
        if job.state in BAD:
            continue
        there = [path for path in paths if path in made]
        if not one.runs and not there and SHARD.search(one.name):  # it went when its stage was joined
            del found[one.name]
        elif len(there) == len(paths) and "missing" in one.why:  # made since the workflow was asked
            job.state, job.why = "done", []
        elif one.runs and there:
            job.state = "stale"
            job.why = _own_reasons(one, code) or _through(there, made, again)
        elif one.runs:
            job.state, job.why = "to do", []
        else:
            job.state, job.why = "done" if len(there) == len(paths) else "absent", []
    known = {path for one in wanted for path in map(lambda path: below(study, path), one.outputs)}
    for name, job in list(found.items()):
        if name in asked or job.state in ("damaged", "running") or job.rule == FORECAST:
            continue
        if known.intersection(job.paths):  # a seal of before, which does not name its job
            del found[name]
        else:
            job.state, job.why, job.last_lines = "left over", [], []


def _own_reasons(one: Wanted, recorded: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A job's reasons in words; of code that differs the modules and packages, where they were recorded."""
    before = recorded.get(one.made_with)
    words = list(one.changes)
    if before and "code" in words:
        names = sorted(name for name in {*before, *one.code} if before.get(name) != one.code.get(name))
        said = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        words[words.index("code")] = f"code: {said}"
    return [*one.why, *([f"made with other {', '.join(words)}"] if words else [])]


def _through(paths: Iterable[str], made: Mapping[str, lineage.Made], again: Mapping[str, str]) -> list[str]:
    """Which of the jobs that run again a job reads from."""
    inputs = {place for path in paths for place in made[path].inputs or ()}
    names = sorted({again[place] for place in inputs if place in again})
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return [f"follows from {names[0]}{more}" if names else "follows from a job that runs before it"]
