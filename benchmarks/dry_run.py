"""How long Snakemake thinks before it starts: on the finished demo, and on the paper's study at full size."""

from __future__ import annotations

import re
import resource
import subprocess
import time
from pathlib import Path

import yaml

from benchmarks.demo import environment, finished, snakemake
from benchmarks.measuring import Row, below, load
from sightline.datasets import dataset as upstream
from sightline.study.grid import Study

FINISHED, FULL = 10, 15  # seconds
REPEATS = 3


def dry_run(folder: Path, *arguments: str) -> tuple[float, float, str]:
    """Wall and CPU seconds of `snakemake --dry-run` (the fastest of `REPEATS`), and what it said."""
    times = []
    for _ in range(REPEATS):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        done = subprocess.run(
            snakemake("--cores", "2", "--dry-run", *arguments),
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
        )
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append((wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime))
        if done.returncode:
            raise SystemExit(f"the dry run failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return *min(times), done.stdout + done.stderr


def empty_tables(folder: Path, config: Path) -> int:
    """Make the upstream tables that a study names as empty files below `folder`; how many."""
    study = Study(yaml.safe_load(config.read_text()), folder / "workflow/schemas/config.schema.yaml")
    paths = [
        path
        for name, chosen in study.datasets.items()
        for path in upstream.sources(
            folder / "data" / name, chosen["adapter"], chosen["adapter_options"], chosen["annotations"]
        )
    ]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return len(paths)


def run(quick: bool) -> list[Row]:
    """Both wall times."""
    folder, _ = finished()
    wall, cpu, said = dry_run(folder)
    nothing = "nothing to do" if "Nothing to be done" in said else "NOT finished: jobs remain"
    print(f"`snakemake --dry-run` in the copy that the demo ran in ({nothing}); fastest of {REPEATS}")
    made = empty_tables(folder, folder / "config/cxr_gaze.yaml")
    full, full_cpu, said = dry_run(folder, "--configfile", "config/cxr_gaze.yaml")
    jobs = re.search(r"^total\s+(\d+)", said, re.M)[1]
    print(
        f"config/cxr_gaze.yaml at the paper's size: {jobs} jobs; its {made} upstream tables are empty files,"
    )
    print("since a dry run reads none of them and jobs do not grow in number with the images")
    return [
        below(f"finished demo, wall (CPU {cpu:.1f} s; load {load()})", wall, FINISHED, "s"),
        below(f"full study, {jobs} jobs, wall (CPU {full_cpu:.1f} s)", full, FULL, "s"),
    ]
