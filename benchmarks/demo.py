"""The demo study from raw files to its report, on 2 cores, in a fresh copy of the project."""

from __future__ import annotations

import functools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring import Row, below, load

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("workflow", "rules", "scripts", "src", "envs", "config", "requirements.lock", "pyproject.toml")
SECONDS, GIGABYTES = 300, 4.0  # the demo's budget
EVERY = 1.0  # seconds between two samples of memory; five times a second took 13 % of a core


def snakemake(*arguments: str) -> list[str]:
    """The command line of Snakemake in this environment."""
    return [sys.executable, "-m", "snakemake", *arguments]


def environment() -> dict[str, str]:
    """As a user's shell has it: this environment's programs first, and no path to the library."""
    paths = {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | paths


@functools.cache
def _folder() -> tempfile.TemporaryDirectory:
    return tempfile.TemporaryDirectory(prefix="sightline-benchmark-")


@functools.cache
def finished() -> tuple[Path, tuple[Row, ...]]:
    """The copy with the finished study, and what its run cost; run once."""
    folder = Path(_folder().name) / "project"
    folder.mkdir()
    for name in COPIED:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        snakemake("--cores", "2"),
        cwd=folder,
        env=environment(),
        stdout=(folder / "snakemake.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    memory = _peak_memory(process)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    if process.returncode:
        raise SystemExit(f"the study failed:\n{(folder / 'snakemake.log').read_text()[-4000:]}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    jobs = sum(
        line.startswith("Finished job") for line in (folder / "snakemake.log").read_text().splitlines()
    )
    return folder, (
        below(f"wall time of {jobs} jobs, 2 cores (load {load()})", wall, SECONDS, "s", 0),
        Row("CPU time of all jobs", f"{cpu:.0f} s"),
        below("peak memory of the process tree", memory / 1e9, GIGABYTES, "GB", 2),
    )


def run(quick: bool) -> list[Row]:
    """Wall time, CPU time, peak memory; there is no quicker way to know them."""
    print("a fresh copy of the project; `snakemake --cores 2` with the environment already installed")
    print(f"memory: proportional set sizes of the whole process tree, summed, every {EVERY} s")
    return list(finished()[1])


def _peak_memory(process: subprocess.Popen) -> int:
    """The most bytes that the process and its descendants held together, until it ended."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, sum(map(_bytes, _descendants(process.pid))))
        time.sleep(EVERY)
    return peak


def _descendants(pid: int) -> list[int]:
    """A process and all below it."""
    found = [pid]
    for at in found:
        for children in Path(f"/proc/{at}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:  # it ended in between
                continue
    return found


def _bytes(pid: int) -> int:
    """A process's share of memory: pages that several hold are divided among them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
