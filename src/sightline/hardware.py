"""What a job runs on."""

from __future__ import annotations

import os
import platform
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
