"""Real runs of the workflow on the smallest study, in a copy of the project."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
COPIED = (
    "workflow", "rules", "scripts", "src", "envs", "config", "examples", "requirements.lock", "pyproject.toml"
)  # fmt: skip
STUDY = ROOT / "tests/workflow/study.yaml"
# marks that nothing which the study leaves may hold: credentials, and a film that may not be passed on
SECRETS = {
    "SIGHTLINE_PHYSIONET_USER": "marked-user-5b1c",
    "SIGHTLINE_PHYSIONET_PASSWORD": "marked-Passw0rd-9f2e",
}
CANARY, CANARY_SUBJECT, CANARY_FIXATION = "canary-7f3a91", "patient-91c2e5", (41.733917, 23.918273)
FIXATIONS = (
    "image,reader,x_position,y_position,timestamp_start_fixation,timestamp_end_fixation,"
    "angular_resolution_x_pixels_per_degree,angular_resolution_y_pixels_per_degree"
)


@dataclass
class Project:
    """A copy of the project in a folder of its own, with its results and Snakemake's records."""

    folder: Path

    @property
    def results(self) -> Path:
        return self.folder / "results/tiny"

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        """Run Snakemake on the tiny study here."""
        environment = os.environ | {"OMP_NUM_THREADS": "1"} | SECRETS
        environment.pop("PYTHONPATH", None)
        done = subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "2", "--configfile", "study.yaml", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert not check or done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        return done

    def would_run(self, *arguments: str) -> dict[str, int]:
        """What a dry run would run: jobs per rule, without the target."""
        done = self.snakemake("--dry-run", *arguments)
        text = done.stdout + done.stderr
        table = re.search(r"^job\s+count\n-+\s+-+\n(.*?)^total\s", text, re.M | re.S)
        if table is None:
            assert "Nothing to be done" in text, text[-3000:]
            return {}
        counts = dict(re.findall(r"^(\S+)\s+(\d+)\s*$", table[1], re.M))
        return {rule: int(count) for rule, count in counts.items() if rule != "all"}

    def edit(self, path: str, old: str, new: str) -> None:
        """Replace text that must be there in one of the copied files."""
        file = self.folder / path
        text = file.read_text()
        assert old in text, f"{path} no longer holds {old!r}: mend this test"
        file.write_text(text.replace(old, new, 1))


def copy_project(folder: Path) -> Project:
    """The project's files in `folder`, with the tiny study beside them."""
    folder.mkdir(parents=True)
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    shutil.copy(STUDY, folder / "study.yaml")
    return Project(folder)


def canary_film() -> np.ndarray:
    """A picture like no other, which shrinking leaves what it is: (48, 64), 6 x 8 blocks."""
    return (
        np.random.default_rng(91).integers(0, 256, (6, 8), dtype=np.uint8).repeat(8, axis=0).repeat(8, axis=1)
    )


def write_tidy_folder(folder: Path) -> None:
    """A user's own folder: four films, the last cut short, and a canary, each seen by two readers."""
    (folder / "films").mkdir(parents=True)
    random = np.random.default_rng(0)
    images, fixations = ["image,path,subject,split"], [FIXATIONS]
    for name in ("a", "b", "c", "d"):
        film = folder / "films" / f"{name}.png"
        Image.fromarray(random.integers(0, 255, (48, 64), dtype=np.uint8)).save(film)
        images.append(f"{name},films/{name}.png,person {name},test")
        for reader in ("first", "second"):
            for at in range(5):
                x, y = random.uniform((10, 10), (54, 38))
                fixations.append(f"{name},{reader},{x:.1f},{y:.1f},{at},{at + 0.4},8,8")
    film.write_bytes(film.read_bytes()[:900])
    images.append(f"{CANARY},films/{CANARY}.png,{CANARY_SUBJECT},test")
    Image.fromarray(canary_film()).save(folder / "films" / f"{CANARY}.png")
    for reader in ("first", "second"):
        for at, (x, y) in enumerate([CANARY_FIXATION, (20, 30), (44, 12)]):
            fixations.append(f"{CANARY},{reader},{x},{y},{at},{at + 0.4},8,8")
    (folder / "images.csv").write_text("\n".join(images) + "\n")
    (folder / "fixations.csv").write_text("\n".join(fixations) + "\n")


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process for all tests that share a finished study, which else each process would run for itself."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            shared = "finished" if "finished" in item.fixturenames else item.path.stem
            item.add_marker(pytest.mark.xdist_group(shared))


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The tiny study, run once to its report."""
    project = copy_project(tmp_path_factory.mktemp("finished") / "project")
    write_tidy_folder(project.folder / "elsewhere/own")
    (project.folder / "data").mkdir()
    (project.folder / "data/own").symlink_to("../elsewhere/own")
    project.snakemake()
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished study, with results and records, to edit at will."""
    shutil.copytree(finished.folder, tmp_path / "project", symlinks=True)
    return Project(tmp_path / "project")
