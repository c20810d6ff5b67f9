"""A study of 15 jobs: on this machine, on a SLURM, and on a SLURM where much goes wrong."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from sightline.running import marks
from tests.slurm import cluster as slurm
from tests.workflow.conftest import copy_project

STUDY = Path(__file__).parent / "study.yaml"
TARGET = "results/tiny/summary.parquet"
HERE = ("--cores", "2")
# the user's part: an account, a partition, a small machine; and a test's impatience
SITE = (
    "--default-resources", f"slurm_account={slurm.ACCOUNT}", f"slurm_partition={slurm.PARTITION}",
    "--set-threads", "prepare=2", "--slurm-init-seconds-before-status-checks", "1", "--latency-wait", "20",
)  # fmt: skip
ON_SLURM = ("--workflow-profile", "workflow/profiles/slurm", *SITE)
MEASURED = {"planned_costs.parquet"}  # holds seconds, which differ from run to run
LONGEST_SECONDS = 1500  # a busy machine is no fault


@dataclass
class Project:
    """A copy of the project with the study and its results."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results/tiny"

    def start(self, *arguments: str) -> subprocess.Popen:
        """Snakemake on the study's tables, its words in `snakemake.log`."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop("PYTHONPATH", None)
        with open(self.folder / "snakemake.log", "w") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", TARGET, "--configfile", "study.yaml", *arguments],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    def run(self, *arguments: str) -> str:
        """What Snakemake says until it is done."""
        process = self.start(*arguments)
        ended(process, self)
        return self.said()

    def said(self) -> str:
        """What the last Snakemake said."""
        return (self.folder / "snakemake.log").read_text()

    def numbers(self) -> dict[str, bytes]:
        """The bytes of every table, map and weight."""
        files = [
            path for path in self.results.rglob("*") if path.suffix in (".parquet", ".npy", ".safetensors")
        ]
        return {
            path.relative_to(self.results).as_posix(): path.read_bytes()
            for path in files
            if path.name not in MEASURED and not path.name.startswith(".")
        }

    def slurm_logs(self, rule: str) -> str:
        """What jobs of a rule wrote where SLURM keeps it."""
        files = sorted((self.folder / ".snakemake/slurm_logs" / f"rule_{rule}").rglob("*.log"))
        return "\n".join(file.read_text() for file in files)


def ended(process: subprocess.Popen, project: Project) -> None:
    """Wait for a Snakemake that must do its work."""
    try:
        code = process.wait(LONGEST_SECONDS)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(60)
    assert code == 0, project.said()[-6000:]


@pytest.fixture(scope="session")
def cluster() -> Iterator[slurm.Cluster]:
    """A SLURM of one node."""
    if reason := slurm.why_not():
        pytest.skip(reason)
    with slurm.running() as started:
        yield started


@pytest.fixture(scope="session")
def both(cluster: slurm.Cluster, tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Project]:
    """The study run on this machine and, at the same time, on the SLURM as the profile says."""
    folders = [tmp_path_factory.mktemp(name) / "project" for name in ("here", "there")]
    copy_project(folders[0])
    shutil.copy(STUDY, folders[0] / "study.yaml")
    shutil.copytree(folders[0], folders[1])
    here, there = map(Project, folders)
    with ThreadPoolExecutor(1) as others:
        local = others.submit(here.run, *HERE)
        there.run(*ON_SLURM, "--slurm-keep-successful-logs")
        local.result()
    return here, there


@dataclass
class Disturbed:
    """A study that went through faults: how each job of SLURM ended, in order, and what Snakemake said."""

    project: Project
    jobs: list[dict[str, str]]
    waited: bool  # whether a job waited for the drained node

    def states(self, *words: str) -> list[str]:
        """How the jobs ended whose comment (rule and wildcards) has all `words`."""
        return [job["State"].split()[0] for job in self.of(*words)]

    def of(self, *words: str) -> list[dict[str, str]]:
        """The jobs, not their steps, whose comment has all `words`."""
        return [job for job in self.jobs if all(word in job["Comment"] for word in words)]

    def steps(self, job: dict[str, str]) -> list[dict[str, str]]:
        """The steps of a job."""
        return [step for step in self.jobs if step["JobID"].startswith(f"{job['JobID']}.")]


@pytest.fixture(scope="session")
def disturbed(both: tuple[Project, Project], tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """All from training on again, as single jobs.

    The training has too little memory at first; of two explaining jobs one is cancelled, the other stopped
    until its time is up; the node is drained while a job waits, and resumed.
    """
    project = Project(tmp_path_factory.mktemp("disturbed") / "project")
    shutil.copytree(both[1].folder, project.folder, symlinks=True)
    for name in ("models", "maps", "scores"):
        shutil.rmtree(project.results / name)
    (project.results / "summary.parquet").unlink()
    process = project.start(
        *ON_SLURM, "--slurm-array-jobs", "none", "--set-resources", "train:mem_mb=450 * attempt ** 2"
    )
    try:
        waited = disturb(project, process)
    finally:
        if process.poll() is None:
            slurm.command("scontrol", "update", f"nodename={slurm.NODE}", "state=resume", check=False)
    ended(process, project)
    return Disturbed(project, accounted(project), waited)


def disturb(project: Project, process: subprocess.Popen) -> bool:
    """Cancel one explaining job, stop the other until its time is up, drain the node and resume it.

    Whether a job waited for the node. The time is cut short while the job is stopped: a busy machine may
    need a minute before a job even begins to compute.
    """
    maps = project.results / "maps/cxr/small/seed0/clean"
    stopped: dict[str, marks.Mark] = {}

    def both_stopped() -> bool:
        assert process.poll() is None, project.said()[-6000:]
        for method in {"gradcam", "occlusion"} - set(stopped):
            mark = marks.read(marks.path_of(maps / method / "maps.parquet"))
            if mark is not None:
                os.kill(mark.pid, signal.SIGSTOP)
                stopped[method] = mark
        return len(stopped) == 2

    def pending() -> bool:
        return bool(slurm.command("squeue", "--noheader", "--states=PENDING", "--format=%i"))

    slurm.wait_for("the jobs that explain", both_stopped, LONGEST_SECONDS, every=0.02)
    slurm.command("scontrol", "update", f"nodename={slurm.NODE}", "state=drain", "reason=test")
    slurm.command("scontrol", "update", f"jobid={stopped['occlusion'].slurm_job}", "timelimit=1")
    slurm.command("scancel", stopped["gradcam"].slurm_job)
    slurm.wait_for("the cancelled job to be submitted again", pending, LONGEST_SECONDS)
    drained = "drain" in slurm.command("sinfo", "--noheader", "--format=%T")
    slurm.command("scontrol", "update", f"nodename={slurm.NODE}", "state=resume")
    return drained


def accounted(project: Project) -> list[dict[str, str]]:
    """What the accounting says of the jobs of the last run, and of their steps."""
    run = re.search(r"SLURM run ID: (\S+)", project.said())[1]
    columns = ["JobID", "State", "ExitCode", "ReqMem", "MaxRSS", "Timelimit", "ReqCPUS", "Account", "Comment"]
    told = slurm.command(
        "sacct", "--parsable2", "--noheader", f"--name={run}", f"--format={','.join(columns)}"
    )
    return [dict(zip(columns, line.split("|"))) for line in told.splitlines()]
