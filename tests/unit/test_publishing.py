"""How files come to be whole, and how a job of an earlier run withdraws."""

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from sightline import arrays, publishing, runs
from sightline.running import jobs, seals
from sightline.running.limited import Limits
from tests.unit.test_jobs import ENVIRONMENT, job


@pytest.fixture
def run(tmp_path, monkeypatch) -> Path:
    """The folder of a study whose last run is this process's."""
    monkeypatch.setenv(runs.RUN, "")  # monkeypatch puts back what `begin` sets
    runs.begin(tmp_path / "study")
    return tmp_path / "study"


def begin_another(folder: Path) -> None:
    mine = os.environ[runs.RUN]
    runs.begin(folder)
    os.environ[runs.RUN] = mine


def test_two_writers_of_one_file_never_share_a_temporary_name(tmp_path):
    path = tmp_path / "a.csv"
    with publishing.whole(path) as one, publishing.whole(path) as other:
        one.write_text("first")
        other.write_text("second, which ends first")
        assert not path.exists() and one != other
    assert path.read_text() == "first" and os.listdir(tmp_path) == ["a.csv"]


def test_an_exception_leaves_the_former_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.csv"
    publishing.write_text(path, "former")
    with pytest.raises(KeyboardInterrupt), publishing.whole(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "former" and os.listdir(tmp_path) == ["a.csv"]


def test_what_killed_jobs_left_of_a_file_is_removed_and_nothing_of_others(tmp_path):
    names = ("values.npy", ".values.npy.made.json", "values.npy.checkpoint")
    left = [publishing.begin(tmp_path / name) for name in names]
    others = [publishing.begin(tmp_path / "values.npy2"), tmp_path / "values.npy"]
    for path in left + others:
        path.write_text("half")
    publishing.clear(tmp_path / "values.npy")
    assert sorted(tmp_path.iterdir()) == sorted(others)


@pytest.fixture
def small_files_only():
    """No file of this process grows beyond 4096 bytes."""
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, former)


@pytest.mark.parametrize("values", [2000, 100_000])  # fails when the file is closed, and when it is written
def test_a_full_disk_leaves_no_half_array(tmp_path, small_files_only, values):
    with pytest.raises(OSError) as raised, arrays.Writer(tmp_path / "v.npy", np.float32) as writer:
        writer.append(np.zeros(values))
    assert raised.value.errno == errno.EFBIG and publishing.was_full(raised.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (None, False),
    ],
)
def test_a_full_disk_is_recognised_in_what_libraries_raise(error, full):
    wrapped = RuntimeError("writing failed")
    wrapped.__cause__ = error
    assert publishing.was_full(wrapped) is full


def test_a_full_disk_is_told_with_a_remedy(tmp_path, capfd):
    with pytest.raises(SystemExit), job(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    said = capfd.readouterr().err
    assert "the disk or a quota is full" in said and "free some and run again" in said


def test_what_the_study_made_is_not_dated_in_the_future_and_a_users_file_so_dated_is_named(tmp_path, capfd):
    mine, given = tmp_path / "mine.csv", tmp_path / "given.csv"
    for path in (mine, given):
        path.write_text("in")
    seals.seal([mine], {"params": {}})
    os.utime(mine, (2e9, 2e9))  # 2033
    with job(tmp_path, inputs=[mine, given, tmp_path / "missing.csv"]):
        (tmp_path / "out.csv").write_text("out")
    assert mine.stat().st_mtime <= (tmp_path / "out.csv").stat().st_mtime
    os.utime(given, (2e9, 2e9))
    with pytest.raises(SystemExit), job(tmp_path, inputs=[mine, given]):
        pytest.fail("it worked for nothing")
    said = capfd.readouterr().err
    assert "given.csv: is dated in the future" in said and "touch" in said
    assert given.stat().st_mtime == 2e9


def test_a_clock_set_back_while_a_job_works_leaves_no_input_dated_after_its_outputs(tmp_path):
    mine = tmp_path / "mine.csv"
    mine.write_text("in")
    seals.seal([mine], {"params": {}})
    with job(tmp_path, inputs=[mine]):
        (tmp_path / "out.csv").write_text("out")
        os.utime(mine, (2e9, 2e9))  # as it looks to a clock that was set back
    assert mine.stat().st_mtime <= time.time()


@pytest.mark.parametrize("content", ["other", None], ids=["changed", "removed"])
def test_a_users_file_that_changes_while_a_job_reads_it_stops_the_job(tmp_path, capfd, content):
    given = tmp_path / "given.csv"
    given.write_text("in")
    with pytest.raises(SystemExit), job(tmp_path, inputs=[given]):
        (tmp_path / "out.csv").write_text("out")
        given.unlink() if content is None else given.write_text(content)
    assert "given.csv: was changed or removed while this job read it" in capfd.readouterr().err
    assert not seals.seal_path(tmp_path / "out.csv").exists()


def test_a_users_file_that_is_touched_while_a_job_reads_it_does_no_harm(tmp_path):
    given = tmp_path / "given.csv"
    given.write_text("in")
    with job(tmp_path, inputs=[given]):
        (tmp_path / "out.csv").write_text("out")
        os.utime(given, (1e9, 1e9))
    assert seals.seal_path(tmp_path / "out.csv").exists()


def test_a_job_of_an_earlier_run_gives_no_file_its_name(run):
    publishing.write_text(run / "a", "mine")
    begin_another(run)
    with pytest.raises(runs.Superseded, match="a later run began there"):
        publishing.write_text(run / "a", "of an earlier run")
    assert (run / "a").read_text() == "mine"
    assert sorted(path.name for path in run.iterdir()) == [runs.RECORD, "a"]


def test_a_job_of_an_earlier_run_withdraws_before_it_touches_anything(run, capfd):
    (run / "logs").mkdir()
    (run / "logs/job.log").write_text("the later run's")
    (run / "out.csv").write_text("the later run's")
    seals.seal([run / "out.csv"], {"params": {}})
    begin_another(run)
    with pytest.raises(SystemExit), job(run):
        pytest.fail("it worked on")
    assert "a later run began there" in capfd.readouterr().err
    assert (run / "logs/job.log").read_text() == "the later run's"
    assert seals.made_by(run / "out.csv") == {"params": {}}


def test_a_job_notices_a_later_run_while_it_works(run, monkeypatch):
    monkeypatch.setattr(jobs, "LOG_SECONDS", 0.0)
    done = []
    with pytest.raises(runs.Superseded):
        for item in jobs.progress(range(10), 10, "maps"):
            done.append(item)
            if item == 3:
                begin_another(run)
    assert done == [0, 1, 2, 3]


def test_a_removed_study_is_not_written_to(run):
    (run / runs.RECORD).unlink()
    with pytest.raises(runs.Superseded, match="was removed"):
        runs.check()


def test_the_next_run_waits_for_a_file_that_is_being_named_and_no_longer(run, monkeypatch):
    monkeypatch.setattr(runs, "WAIT_SECONDS", 0.2)
    with open(run / runs.RECORD) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        with pytest.raises(runs.Superseded, match="is it suspended"):
            begin_another(run)
    begin_another(run)
    with pytest.raises(runs.Superseded):
        runs.check()


def test_outside_a_run_nothing_is_asked(monkeypatch):
    monkeypatch.delenv(runs.RUN, raising=False)
    runs.check()


def test_a_withdrawn_job_ends_the_snakemake_above_it_before_that_removes_outputs(run):
    code = (
        "import os, subprocess, sys; from sightline import runs; runs.nested(); runs.begin(sys.argv[1]);"
        "os.environ[runs.RUN] = sys.argv[2];"
        "subprocess.run([sys.executable, '-c', 'from sightline import runs; runs.withdraw()']);"
        "open(sys.argv[1] + '/removed', 'w')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, run, os.environ[runs.RUN]], env=os.environ | ENVIRONMENT
    )
    assert done.returncode == -9 and not (run / "removed").exists()


def test_a_withdrawn_job_ends_no_process_that_has_the_number_of_the_snakemake_that_was_above_it(monkeypatch):
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    monkeypatch.setenv(runs.NESTED, str(other.pid))
    runs.withdraw()
    other.communicate(b"\n")
    assert other.returncode == 0


def test_a_job_of_an_earlier_run_that_ends_at_its_limits_removes_nothing(run):
    maps, half = run / "maps.npy", publishing.begin(run / "maps.npy")

    def work():
        begin_another(run)
        maps.write_text("the later run's")
        half.write_text("the later run's, too")
        time.sleep(60)

    with pytest.raises(runs.Superseded):
        jobs.within(Limits(seconds=1), work, [maps])
    assert maps.exists() and half.exists()


def test_a_folder_that_is_written_in_place_is_held_by_one_job(run):
    folder = run / "phantom"
    code = (
        "import sys, time; from sightline import runs\n"
        "with runs.alone(sys.argv[1], print):\n"
        "    print('holds', flush=True); sys.stdin.read(); open(sys.argv[1] + '.seen', 'w')"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, folder], env=ENVIRONMENT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout.readline() == b"holds\n"
    with runs.alone(folder, lambda text: child.stdin.close()):  # told that it waits, the other is let go
        assert Path(f"{folder}.seen").exists()
    assert child.wait() == 0
    begin_another(run)
    with pytest.raises(runs.Superseded), runs.alone(folder, print):
        pytest.fail("it wrote into a later run's folder")


def test_the_record_of_a_run_is_short_enough_to_write_over_a_longer_one(run):
    (run / runs.RECORD).write_text("x" * 1000)
    begin_another(run)
    assert set(json.loads((run / runs.RECORD).read_text())) == {"run", "host", "process", "begun"}
