"""Marks: a hidden file beside a job's first output while the job runs, so that others know who makes it.

A job that ends, well or not, takes its mark away; one that was killed leaves it, and its process is no more.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sightline.running import seals

ENDING = ".running.json"
SQUEUE_SECONDS = 20.0  # that SLURM may take to answer


@dataclass(frozen=True)
class Mark:
    """Who makes `outputs`: the job, its log, its process and host.

    `began` is when the process began, as the kernel counts: numbers of processes are used again. `start` is
    in seconds since 1970; `slurm_job` is the job's id there, "" without SLURM.
    """

    job: str
    outputs: list[str]
    log: str
    pid: int
    began: str
    host: str
    start: float
    slurm_job: str


def path_of(output: Path | str) -> Path:
    """Where the mark of a job lies whose first output is `output`: beside it."""
    output = Path(output)
    return output.with_name(f".{output.name}{ENDING}")


def read(path: Path) -> Mark | None:
    """The mark in the file `path`; None where there is none, or a half-written one."""
    try:
        return Mark(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def found(folder: Path | str) -> Iterator[tuple[Path, Mark]]:
    """Every mark below `folder` with its file, sorted."""
    for path in sorted(Path(folder).rglob(f".*{ENDING}")):
        if (mark := read(path)) is not None:
            yield path, mark


def _began(pid: int) -> str:
    """When a process began, in the kernel's ticks; "" where it is no more or the system does not say."""
    with contextlib.suppress(OSError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # a zombie makes nothing
    return ""


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _known_to_slurm(job: str) -> bool | None:
    """Whether SLURM still has `job`; None where it cannot be asked."""
    if shutil.which("squeue") is None:
        return None
    command = ["squeue", "--noheader", "--format=%T", f"--jobs={job}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SQUEUE_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode != 0:
        return False if "invalid job id" in done.stderr.lower() else None
    return done.stdout.strip() != ""


def alive(mark: Mark) -> bool | None:
    """Whether the process of `mark` still runs; None where that cannot be known from here (another host)."""
    if mark.host == socket.gethostname():
        return _began(mark.pid) == mark.began if mark.began else _exists(mark.pid)
    if mark.slurm_job and mark.slurm_job == os.environ.get("SLURM_JOB_ID"):
        return False  # SLURM began this job anew, here
    return _known_to_slurm(mark.slurm_job) if mark.slurm_job else None


@contextlib.contextmanager
def marked(outputs: Sequence[Path], job: str, log: str) -> Iterator[None]:
    """Mark the job that makes `outputs` as running, for as long as it does; without outputs there is none."""
    if not outputs:
        yield
        return
    path, pid = path_of(outputs[0]), os.getpid()
    slurm_job = os.environ.get("SLURM_JOB_ID", "")
    places = [seals.place(output) for output in outputs]
    mark = Mark(job, places, log, pid, _began(pid), socket.gethostname(), time.time(), slurm_job)
    path.parent.mkdir(parents=True, exist_ok=True)
    seals.write_json(path, asdict(mark))
    try:
        yield
    finally:
        if os.getpid() == pid and read(path) == mark:  # not a forked child's, nor that of a later run's job
            path.unlink(missing_ok=True)
