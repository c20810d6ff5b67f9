"""What a SLURM offers: in each partition the memory of its largest node, and how long its jobs may take.

A job that asks for more is refused, or waits for ever. So none does: it asks for what there is, and a
training that is ended there goes on from its last epoch when it is tried again.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import dataclass

ANSWER_SECONDS = 60  # that sinfo has
FOR_JOBS = 0.95  # of a node's memory: its system, and what is added to an array for the list of its tasks
LINE = re.compile(r"(?P<name>\S+?)(?P<default>\*?) +(?P<megabytes>\d+)\+? +(?P<time>\S+)")
TIME = re.compile(r"(?:(?P<days>\d+)-)?(?:(?P<hours>\d+):)?(?P<minutes>\d+):\d+")
DEFAULT = ""  # also the partition of a job that names none


@dataclass(frozen=True)
class Offer:
    """The most that a job may ask for: memory (megabytes as SLURM counts them), minutes."""

    megabytes: float = math.inf
    minutes: float = math.inf


def offered() -> dict[str, Offer]:
    """What each partition offers, by its name, and the default one (`DEFAULT`); nothing without sinfo."""
    command = shutil.which("sinfo")
    if command is None:
        return {}
    call = [command, "--noheader", "--exact", "--format=%P %m %l"]
    try:
        done = subprocess.run(call, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return {}
    return told(done.stdout) if done.returncode == 0 else {}


def told(text: str) -> dict[str, Offer]:
    """`offered`, as sinfo tells it: a line for nodes that are alike."""
    found: dict[str, Offer] = {}
    for line in filter(None, map(LINE.fullmatch, map(str.strip, text.splitlines()))):
        for name in (line["name"], DEFAULT) if line["default"] else (line["name"],):
            megabytes = math.floor(FOR_JOBS * int(line["megabytes"]))
            before = found.get(name, Offer(0.0)).megabytes
            found[name] = Offer(max(before, megabytes), _minutes(line["time"]))
    return found


def _minutes(time: str) -> float:
    """`2-12:00:00`, `1:00:00` or `30:00` in minutes; any other word sets no limit."""
    parts = TIME.fullmatch(time)
    if parts is None:
        return math.inf
    days, hours, minutes = (int(parts[name] or 0) for name in ("days", "hours", "minutes"))
    return 24 * 60 * days + 60 * hours + minutes


def of(offers: dict[str, Offer], names: str | None) -> Offer:
    """The most that a job may ask for in a partition or in one of several (`a,b`); the default one for None.

    No limit where nothing is known of it.
    """
    chosen = [offers[name] for name in (names or DEFAULT).split(",") if name in offers]
    if not chosen:
        return Offer()
    return Offer(max(one.megabytes for one in chosen), max(one.minutes for one in chosen))
