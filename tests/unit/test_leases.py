"""Leases of GPUs: which there are, and that real processes never share one, also where one is killed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.errors import ConfigError
from sightline.running import leases
from sightline.running.leases import Gpu
from sightline.running.limited import Limits, run
from tests.unit.made_up_gpus import LISTING, ONE, TWO, machine

__all__ = ["machine"]

ROOT = Path(__file__).resolve().parents[2]
PARTED = (
    f"GPU 0: Card A (UUID: {ONE})\n"
    "  MIG 1g.18gb     Device  0: (UUID: MIG-c1)\n  MIG 2g.35gb     Device  1: (UUID: MIG-c2)\n"
    f"GPU 1: Card B (UUID: {TWO})\n"
)


def identities(found):
    return [gpu.identity for gpu in found.gpus]


@pytest.mark.parametrize(
    ("text", "visible", "expected"),
    [
        (LISTING, None, [ONE, TWO]),
        (LISTING, "1,0", [TWO, ONE]),
        (LISTING, "GPU-bbbb", [TWO]),
        (LISTING, "0,7,1", [ONE]),  # as CUDA: none after one that is not there
        (LISTING, "", []),
        (LISTING, "NoDevFiles", []),
        (PARTED, None, ["MIG-c1", "MIG-c2", TWO]),
        (PARTED, "MIG-c2", ["MIG-c2"]),
        (PARTED, "0", ["MIG-c1", "MIG-c2"]),
    ],
)
def test_what_a_process_may_use(machine, monkeypatch, text, visible, expected):
    machine(text)
    if visible is not None:
        monkeypatch.setenv(leases.VISIBLE, visible)
    assert identities(leases.found()) == expected


def test_why_there_is_none_is_said(machine, monkeypatch):
    machine("Failed to initialize NVML: Driver/library version mismatch\n", code=18)
    assert str(leases.found()) == "no GPU (nvidia-smi -L: Failed to initialize NVML: " \
        "Driver/library version mismatch)"  # fmt: skip
    monkeypatch.setenv("PATH", "")
    assert leases.found() == leases.Found((), "nvidia-smi is not there", listed=False)


@pytest.mark.parametrize(
    ("granted", "expected"),
    [
        ({}, []),
        ({"CUDA_VISIBLE_DEVICES": ""}, []),
        ({"CUDA_VISIBLE_DEVICES": "NoDevFiles"}, []),
        ({"CUDA_VISIBLE_DEVICES": "1"}, [TWO]),
        ({"CUDA_VISIBLE_DEVICES": "0", "SLURM_JOB_GPUS": "1"}, [ONE]),  # within its cgroup, and of the node
        ({"GPU_DEVICE_ORDINAL": "1"}, [TWO]),
        ({"SLURM_JOB_GPUS": "1"}, [TWO]),  # salloc, srun --pty: where the site sets nothing else
        ({"SLURM_STEP_GPUS": "0", "SLURM_JOB_GPUS": "0,1"}, [ONE]),
        ({"SLURM_JOB_GPUS": "4,5"}, [ONE, TWO]),  # a cgroup shows those two alone
    ],
)
def test_a_job_of_slurm_may_use_what_it_was_granted(machine, monkeypatch, granted, expected):
    machine(LISTING)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    for name, value in granted.items():
        monkeypatch.setenv(name, value)
    assert identities(leases.found()) == expected
    assert bool(granted) or "--set-resources <rule>:device=cuda" in leases.found().remark


def test_outside_of_slurm_what_is_left_of_a_job_says_nothing(machine, monkeypatch):
    machine(LISTING)
    monkeypatch.setenv("SLURM_JOB_GPUS", "1")
    monkeypatch.setenv("GPU_DEVICE_ORDINAL", "1")
    assert identities(leases.found()) == [ONE, TWO]


def test_gpus_without_a_uuid_are_numbered_within_their_job(machine, monkeypatch):
    assert [(gpu.identity, gpu.index) for gpu in leases.numbered(2).gpus] == [("0", 0), ("1", 1)]
    monkeypatch.setenv(leases.VISIBLE, "3,5")
    assert [(gpu.identity, gpu.index) for gpu in leases.numbered(2).gpus] == [("3", 0), ("5", 1)]
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert identities(leases.numbered(1)) == ["slurm7-3"]
    monkeypatch.delenv(leases.VISIBLE)
    assert leases.numbered(2) == leases.Found((), leases.NOT_GRANTED, listed=False)
    monkeypatch.setenv("ROCR_VISIBLE_DEVICES", "0")
    assert identities(leases.numbered(1)) == ["slurm7-0"]


IN_ANOTHER_PROCESS = """
import sys
from sightline.running import leases
leases.WAIT_SECONDS = 0.01
gpu = leases.take(leases.found().gpus, lambda line: print(line, flush=True))
print("holds", gpu.identity, flush=True)
sys.stdin.readline()
"""


def another(code=IN_ANOTHER_PROCESS):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, text=True, **pipes)


def test_no_two_processes_share_a_gpu_and_a_killed_one_frees_it(machine):
    machine(LISTING)
    processes = [another() for _ in range(2)]
    try:
        holding = [process.stdout.readline().split()[1] for process in processes]
        assert sorted(holding) == [ONE, TWO]
        processes.append(another())
        waiting = processes[2].stdout.readline()
        assert waiting.startswith("waiting for a GPU: Card A")
        assert f"Card B ({TWO}) is held by process {processes[holding.index(TWO)].pid} in " in waiting
        processes[1].send_signal(signal.SIGKILL)
        assert f"({holding[1]}) is free after" in processes[2].stdout.readline()
        assert processes[2].stdout.readline().split() == ["holds", holding[1]]
        assert processes[0].poll() is None  # which held its own all the time
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_what_a_process_starts_uses_its_lease(machine):
    """Forked, as `limited.run` does, or started: nobody waits for a parent that waits for it."""
    machine(LISTING)
    gpus = leases.found().gpus
    mine = leases.take(gpus[1:])
    assert mine.identity == TWO
    assert run(lambda: leases.take(gpus).identity, Limits(seconds=20)) == TWO
    os.environ[leases.VISIBLE] = TWO
    started = another()
    assert started.communicate("\n", timeout=20)[0].split() == ["holds", TWO]
    # and it is still held: a stranger gets the other one
    del os.environ[leases.VISIBLE], os.environ[leases.VARIABLE]
    assert another().communicate("\n", timeout=20)[0].split() == ["holds", ONE]


def test_a_process_takes_one_gpu(machine):
    machine(LISTING)
    one, two = leases.found().gpus
    assert leases.take([one, two]) == leases.held() == one == leases.take([two, one])
    with pytest.raises(ConfigError, match=r"holds Card A \(GPU-aaaa1111-0\) and cannot take another"):
        leases.take([two])
    leases.release()
    assert leases.held() is None and leases.take([two]) == two


def test_a_lock_file_that_was_removed_is_not_taken_for_the_lock(machine, monkeypatch):
    """Somebody cleans the folder between opening and locking: a lock on a nameless file guards nothing."""
    flock, removed = leases.fcntl.flock, []

    def clean_then_lock(descriptor, how):
        if not removed:
            removed.append(next(leases.folder().glob("*.lock")))
            removed[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(leases.fcntl, "flock", clean_then_lock)
    leases.take([Gpu("GPU-x", "Card")])
    assert removed[0].exists() and os.path.samestat(removed[0].stat(), os.fstat(leases._held[0][1]))


def test_locks_lie_in_a_folder_of_the_user_alone(machine, tmp_path, monkeypatch):
    monkeypatch.delenv(leases.FOLDER_VARIABLE)
    monkeypatch.setattr(leases, "Path", lambda *parts: tmp_path if parts == ("/var/tmp",) else Path(*parts))
    place = leases.folder()
    assert place == leases.folder() == tmp_path / f"sightline-{os.getuid()}"
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    with pytest.raises(ConfigError, match="not a folder of this user alone"):
        leases.folder()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="SIGHTLINE_LEASES"):
        leases.folder()
