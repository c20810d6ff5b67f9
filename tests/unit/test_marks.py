"""The mark of a running job: there while it runs, gone after; a process that is no more is known as such."""

import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from sightline.errors import DatasetError
from sightline.running import jobs, marks, seals


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(work=lambda: None):
    with jobs.recorded([], ["results/s/a.csv", "results/s/b.csv"], {}, ["results/s/logs/score/cxr.log"]):
        Path("results/s/a.csv").write_text("a")
        Path("results/s/b.csv").write_text("b")
        work()


def test_a_job_is_marked_while_it_runs_and_no_longer():
    seen = []
    _run(lambda: seen.extend(marks.found("results")))
    [(path, mark)] = seen
    assert path == marks.path_of("results/s/a.csv")
    assert mark.job == "score/cxr" and mark.outputs == ["results/s/a.csv", "results/s/b.csv"]
    assert mark.pid == os.getpid() and mark.host == socket.gethostname()
    assert list(marks.found("results")) == []
    assert [path for path, _ in seals.found("results")] == [Path("results/s/a.csv"), Path("results/s/b.csv")]


@pytest.mark.parametrize("error", [DatasetError("no such label"), KeyboardInterrupt()])
def test_a_job_that_fails_takes_its_mark_away(error):
    def fail():
        raise error

    with pytest.raises((SystemExit, KeyboardInterrupt)):
        _run(fail)
    assert not marks.path_of("results/s/a.csv").exists()


def _mark(**given) -> marks.Mark:
    usual = marks.Mark("score/cxr", [], "", os.getpid(), "", socket.gethostname(), 0.0, "")
    return replace(usual, **given)


def test_whether_a_process_is_alive_is_known_on_its_own_host_alone(monkeypatch):
    seen = []
    _run(lambda: seen.extend(marks.found("results")))
    mine = seen[0][1]
    assert marks.alive(mine) is True
    assert marks.alive(replace(mine, began="1")) is False  # another process got the number
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert marks.alive(_mark(pid=child.pid)) is False
    monkeypatch.setattr(marks.shutil, "which", lambda name: None)
    assert marks.alive(_mark(host="elsewhere", slurm_job="7")) is None
    monkeypatch.setenv("SLURM_JOB_ID", "7")  # requeued: the one before it was ended
    assert marks.alive(_mark(host="elsewhere", slurm_job="7")) is False


@pytest.mark.parametrize(
    ("code", "out", "error", "said"),
    [
        (0, "RUNNING", "", True),
        (0, "", "", False),
        (1, "", "slurm_load_jobs error: Invalid job id specified", False),
        (1, "", "slurm_load_jobs error: Unable to contact slurm controller", None),
    ],
)
def test_slurm_is_asked_about_a_job_of_another_host(tmp_path, monkeypatch, code, out, error, said):
    squeue = tmp_path / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '{out}'\necho '{error}' >&2\nexit {code}\n")
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert marks.alive(_mark(host="elsewhere", slurm_job="7")) is said


def test_a_job_that_outlived_its_run_leaves_the_later_ones_mark():
    path = marks.path_of("results/s/a.csv")
    _run(lambda: seals.write_json(path, vars(_mark(pid=1))))
    assert marks.read(path) == _mark(pid=1)


def test_a_mark_that_was_half_written_is_none(tmp_path):
    (tmp_path / ".a.running.json").write_text('{"job": "x"')
    assert list(marks.found(tmp_path)) == []
