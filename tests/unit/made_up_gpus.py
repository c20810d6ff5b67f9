"""A machine with GPUs that are not there: an nvidia-smi that says so, and leases in a folder of the test."""

import os

import pytest

from sightline.running import leases

ONE, TWO = "GPU-aaaa1111-0", "GPU-bbbb2222-0"
LISTING = f"GPU 0: Card A (UUID: {ONE})\nGPU 1: Card B (UUID: {TWO})\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A function that sets what nvidia-smi says; nothing of it is left in this process."""
    others = (leases.VARIABLE, "SLURM_JOB_ID", "HIP_VISIBLE_DEVICES", "SIGHTLINE_DEVICE")
    for name in (*leases.GRANTED, *leases.GRANTED_OF_NODE, *others):
        monkeypatch.setenv(name, "")  # so that what is set here is taken back
        monkeypatch.delenv(name)
    monkeypatch.setenv(leases.FOLDER_VARIABLE, str(tmp_path / "locks"))
    monkeypatch.setattr(leases, "WAIT_SECONDS", 0.01)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")

    def listing(text, code=0):
        command = tmp_path / "bin/nvidia-smi"
        command.write_text(f"#!/bin/sh\ncat <<'END'\n{text}END\nexit {code}\n")
        command.chmod(0o755)

    yield listing
    leases.release()
