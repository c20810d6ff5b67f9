"""A disk that fills while maps are written."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.faults.record import record


@pytest.fixture
def small_disk(tmp_path):
    """Mounts a disk of 20 kB at a folder, and makes it larger; unmounted at the end."""
    mounted: list[Path] = []

    def mount(folder: Path, size: str) -> None:
        options = f"size={size}" if not mounted else f"remount,size={size}"
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
        )
        if done.returncode and not mounted:
            pytest.skip(f"no disk can be mounted here, which takes root's rights: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        mounted.append(folder)

    if shutil.which("mount") is None:
        pytest.skip("this system has no mount")
    yield mount
    for folder in set(mounted):
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_while_maps_are_written(project, undisturbed, small_disk):
    project.forget("maps/cxr")
    maps = project.results / "maps"
    small_disk(maps, "20k")
    said = project.run(fails=True)
    assert "the disk or a quota is full" in said and "free some and run again" in said
    left = [path.name for path in maps.rglob("*") if path.is_file()]
    assert left == []
    small_disk(maps, "20m")
    project.run()
    assert project.content() == undisturbed.content() and project.left_over() == []
    record(
        "the disk is full while maps are written",
        "a file system of 20 kB is mounted where the maps go; it is made larger before the next run",
        "the job says that the disk is full and what to do, and leaves no file; the next run's results equal "
        "the undisturbed run's",
    )
