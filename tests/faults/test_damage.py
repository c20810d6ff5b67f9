"""Results truncated, flipped or deleted behind Snakemake's back: named, taken away, made again."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sightline import runs
from tests.faults.conftest import TARGET
from tests.faults.record import record

MAPS = "maps/cxr/small/seed0/clean/gradient"


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def deleted(path: Path) -> None:
    path.unlink()


def damage(path: Path, how: Callable[[Path], None]) -> None:
    """As a disk does it: the file's times stay."""
    times = path.stat()
    how(path)
    if path.exists():
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def repair(project) -> str:
    environment = os.environ | {"PYTHONPATH": str(project.folder / "src")}
    environment.pop(runs.RUN, None)
    done = subprocess.run(
        [sys.executable, "-m", "sightline.status", "results/tiny", "--repair"],
        cwd=project.folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("how", [flipped, truncated], ids=lambda how: how.__name__)
def test_who_reads_a_damaged_output_names_it(how, project, undisturbed):
    values = project.results / MAPS / "values.npy"
    damage(values, how)
    project.forget("scores/cxr/small")
    said = project.run(fails=True)
    assert f"{MAPS}/values.npy" in said and "run again" in said
    values.unlink()  # what the message says
    project.run()
    assert project.content() == undisturbed.content()
    record(
        f"an output that is read again was {how.__name__} (a map's values)",
        ("a bit in its middle is changed" if how is flipped else "its last 7 bytes are cut off")
        + ", its times left; what came of it is deleted",
        "the job that reads it stops and names it; after it is deleted, the next run's results equal the "
        "undisturbed run's",
    )


@pytest.mark.parametrize("how", [flipped, truncated], ids=lambda how: how.__name__)
def test_who_joins_a_damaged_shard_names_it(how, project, undisturbed):
    project.edit("study.yaml", "max_skipped: 0.3", "max_skipped: 0.3, shards: 2")
    project.forget("maps/cxr")
    project.run(TARGET, "--until", "attribute_shard", "--notemp")
    shard = max(project.results.glob(f"{MAPS}/shards/*/values.npy"))
    damage(shard, how)
    said = project.run(fails=True)
    assert f"{shard.parent.name}/values.npy" in said and "run again" in said
    assert not (project.results / MAPS / "values.npy").exists()
    shard.unlink()  # what the message says
    project.run()
    assert project.content() == undisturbed.content() and project.left_over() == []
    record(
        f"a shard's output was {how.__name__} (the maps of half the images) before the shards were joined",
        "two shards are made (`limits.shards`), one is damaged, its times left",
        "the job that joins them stops and names it; after it is deleted, the next run's results equal those "
        "of the undisturbed run, which was not cut into shards",
    )


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("prepared/cxr/pixels.npy", deleted),
        ("models/small/seed0/weights.safetensors", flipped),
        ("scores/cxr/small/seed0/clean/gradient.parquet", truncated),
    ],
    ids=["pixels deleted", "weights flipped", "scores truncated"],
)
def test_damage_that_no_job_would_notice_is_repaired(name, how, project, undisturbed):
    damage(project.results / name, how)
    untouched = project.results / "references/cxr/gaze.parquet"
    before = untouched.stat().st_mtime_ns
    said = repair(project)
    assert f"removed {name}" in said and "removed summary.parquet" in said
    assert not (project.results / "summary.parquet").exists()
    project.run()
    assert project.content() == undisturbed.content()
    assert untouched.stat().st_mtime_ns == before
    assert "nothing differs" in repair(project)
    record(
        f"`{name.rpartition('/')[2]}` {how.__name__} behind Snakemake's back in a finished study",
        "its times are left as they were" if how is not deleted else "its seal is left",
        "`status --repair` removes it and all that came of it, nothing else; the next run's results equal "
        "the undisturbed run's",
    )
