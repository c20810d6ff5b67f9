"""Which run a study's results belong to: the one that began last.

Snakemake may be killed while its jobs live on (on a cluster they do). What such a job writes after the next
run has begun could be mixed with that run's results, so it writes nothing any more: it withdraws.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sightline.errors import SightlineError

RUN = "SIGHTLINE_RUN"  # a job inherits it: its run's name and where the folder's last run is recorded
NESTED = "SIGHTLINE_NESTED"  # the process of the Snakemake between a cluster and a job
RECORD = ".run.json"
WAIT_SECONDS = 60.0  # for those who are giving a file its name, which takes microseconds


class Superseded(SightlineError):
    """A job of a run that is over: a later run has begun in its folder."""


def begin(folder: Path | str) -> None:
    """Let the results in `folder` belong to a new run, this process's and its children's.

    When it returns, no job of an earlier run gives a file its name any more (`owned`). Raises `Superseded`
    where a job of one is at it and does not end.
    """
    record = Path(folder).absolute() / RECORD
    record.parent.mkdir(parents=True, exist_ok=True)
    name = secrets.token_hex(8)
    content = {"run": name, "host": socket.gethostname(), "process": os.getpid(), "begun": time.time()}
    with open(os.open(record, os.O_RDWR | os.O_CREAT, 0o666), "w", encoding="utf-8") as file:
        _wait_for(file.fileno(), record)
        file.write(json.dumps(content) + "\n")
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    os.environ[RUN] = f"{name} {record}"


def check() -> None:
    """Raise `Superseded` where this job's run is no longer its folder's last; outside a run, do nothing."""
    with owned():
        pass


@contextlib.contextmanager
def owned() -> Iterator[None]:
    """Hold off the next run while a file gets its name. Raises `Superseded` where there is one already."""
    name, _, path = os.environ.get(RUN, "").partition(" ")
    if not name:
        yield
        return
    record = Path(path)
    try:
        file = open(record, "r+", encoding="utf-8")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        raise Superseded(f"{record.parent}: was removed while this job ran; it writes nothing more") from None
    with file:
        with contextlib.suppress(OSError):  # a file system without locks: the comparison alone
            fcntl.flock(file, fcntl.LOCK_SH)
        last = _last(file.read())
        if last.get("run") != name:
            who = f"process {last.get('process')} on {last.get('host')}"
            raise Superseded(
                f"{record.parent}: a later run began there ({who}) and makes this job's outputs itself; "
                "this job writes nothing more"
            )
        yield


@contextlib.contextmanager
def alone(folder: Path | str, say: Callable[[str], object]) -> Iterator[None]:
    """Hold `folder`, whose files are written in place, for this job alone; another is waited for.

    `say` is told of it. Raises `Superseded` where a later run began meanwhile.
    """
    folder = Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_name(f".{folder.name}.lock"), "a", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"{folder}: another process, of an earlier run, still writes there; waiting until it ends")
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            say(f"{folder}: this file system knows no locks; two jobs that write there would mix their files")
        check()
        yield


def _last(text: str) -> dict[str, object]:
    try:
        return json.loads(text)
    except ValueError:  # being written this moment, on a file system without locks
        return {}


def nested() -> None:
    """Note that this process is the Snakemake between a cluster and a job. Raises as `check`."""
    check()
    os.environ[NESTED] = str(os.getpid())


def withdraw() -> None:
    """End the Snakemake between a cluster and this job, before it removes what is the later run's by now."""
    nested = int(os.environ.get(NESTED, 0))
    if nested and _is_above(nested):
        with contextlib.suppress(ProcessLookupError):
            os.kill(nested, signal.SIGKILL)


def _is_above(process: int) -> bool:
    """Whether this process descends from `process`, whose number is another's by now where that has ended."""
    above = os.getppid()
    while above not in (0, process):
        try:
            above = int(Path(f"/proc/{above}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ends this moment, or this system does not tell
            return False
    return above == process


def _wait_for(descriptor: int, record: Path) -> None:
    until = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise Superseded(
                    f"{record}: for {WAIT_SECONDS:g} s a job of an earlier run has been giving an output its "
                    "name, and holds this file; end that job (is it suspended?) and run again"
                ) from None
            time.sleep(0.05)
        except OSError:  # a file system without locks
            return None
