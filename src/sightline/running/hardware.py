"""What a job runs on, and what it takes of that."""

from __future__ import annotations

import os
import platform
import resource
import sys
from pathlib import Path


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    """The processor's name, and how many of its cores this process may use."""
    name, listed = platform.processor() or platform.machine(), Path("/proc/cpuinfo")
    if listed.exists():
        models = [line for line in listed.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {cores()} cores"


def peak_bytes() -> int:
    """The most memory that this process, or one of its children, held at once (resident), bytes."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return max(_own_peak_bytes(), children if sys.platform == "darwin" else children * 1024)


def _own_peak_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():  # ru_maxrss begins with that of the process that started this one
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def cpu_seconds() -> float:
    """The time that this process and its children that ended computed, seconds."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
