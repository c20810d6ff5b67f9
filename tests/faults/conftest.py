"""The real workflow on a study of a dozen jobs, run once undisturbed; then disturbed, in copies of it."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline import runs
from sightline.phantom import mimic_cxr
from tests.workflow.conftest import Project, copy_project

HERE = Path(__file__).parent
TARGET = "results/tiny/summary.parquet"
# results in the order in which they follow from each other
CHAIN = ["prepared/cxr", "models/small", "maps/cxr", "scores/cxr/small", "summary.parquet"]
PATIENCE = 600.0  # seconds for what takes some: a busy machine is no fault
FILMS = {"training": 16, "validation": 6, "test": 4, "phase_1": 3, "phase_2": 1, "phase_3": 3}
FILMS |= {"height": 96, "width": 80, "fixations": 12}
COMPARED = (".parquet", ".npy", ".safetensors", ".made.json")


class Disturbed(Project):
    """A copy of the project whose runs are started, stopped and killed from outside."""

    def start(self, *arguments: str, **hook: str) -> subprocess.Popen:
        """Snakemake on the target, in a session of its own; `hook`: at, do, number (hook/sitecustomize)."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment = {
            name: value for name, value in environment.items() if name not in ("PYTHONPATH", runs.RUN)
        }
        if hook:
            self.told.unlink(missing_ok=True)
            environment |= {f"FAULT_{name.upper()}": value for name, value in hook.items()}
            environment |= {"FAULT_TOLD": str(self.told), "PYTHONPATH": str(HERE / "hook")}
        number = len(list(self.folder.glob("said*.txt")))
        with open(self.folder / f"said{number:03}.txt", "w") as file:
            return subprocess.Popen(
                [sys.executable, "-m", "snakemake", *(arguments or [TARGET])]
                + ["--cores", "2", "--configfile", "study.yaml"],
                cwd=self.folder,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def said(self) -> Path:
        """What the run that was started last, and its jobs, said."""
        return max(self.folder.glob("said*.txt"))

    @property
    def told(self) -> Path:
        return self.folder / "told.txt"

    def disturbed(self, process: subprocess.Popen) -> int:
        """The process that the hook stopped or killed, once it did."""
        until(lambda: self.told.exists() or process.poll() is not None, self.said)
        assert self.told.exists(), f"the hook was never reached\n{self.said.read_text()[-3000:]}"
        return int(self.told.read_text())

    def run(self, *arguments: str, fails: bool = False) -> str:
        """Run to the end; what was said."""
        process = self.start(*arguments)
        code = process.wait(PATIENCE)
        said = self.said.read_text()
        assert (code != 0) is fails, said[-4000:]
        return said

    def unlock(self) -> None:
        """What `snakemake --unlock` does, in no time."""
        shutil.rmtree(self.folder / ".snakemake/locks", ignore_errors=True)

    def forget(self, first: str) -> None:
        """Delete the results `first` (one of CHAIN) and what follows, so that they are made again."""
        for name in CHAIN[CHAIN.index(first) :]:
            path = self.results / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def log(self, name: str) -> str:
        return (self.results / "logs" / name).read_text()

    def content(self) -> dict[str, str]:
        """The digest of every table, array, weight file and seal of the study, by path."""
        return {
            path.relative_to(self.results).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.results.rglob("*"))
            if path.name.endswith(COMPARED)
        }

    def left_over(self) -> list[str]:
        """Temporary files and marks, of which nothing may stay."""
        ends = (".part", ".running.json")
        return [str(path) for path in self.results.rglob("*") if path.name.endswith(ends)]


def until(true: Callable[[], object], said: Path | None = None) -> None:
    """Wait until something is so."""
    end = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < end, "waited in vain\n" + (said.read_text()[-3000:] if said else "")
        time.sleep(0.01)


def alive(process: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(process: subprocess.Popen) -> None:
    """SIGKILL Snakemake alone, as a lost session or the system's memory killer does: its jobs live on."""
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """The study, run to its summary."""
    project = Disturbed(copy_project(tmp_path_factory.mktemp("undisturbed") / "project").folder)
    shutil.copy(HERE / "study.yaml", project.folder / "study.yaml")
    mimic_cxr.write(project.folder / "data/cxr", 0, **FILMS)
    project.run()
    return project


@pytest.fixture
def project(undisturbed: Disturbed, tmp_path: Path):
    """A copy of the finished study to disturb; what it left running is ended."""
    shutil.copytree(undisturbed.folder, tmp_path / "project", symlinks=True)
    found = Disturbed(tmp_path / "project")
    yield found
    if found.told.exists() and alive(stopped := int(found.told.read_text())):
        os.kill(stopped, signal.SIGKILL)
