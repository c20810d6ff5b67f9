"""Work within limits: what comes of it, what ends it, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sightline.errors import DatasetError
from sightline.running.limited import Ended, Limits, resident_bytes, run

ROOT = Path(__file__).resolve().parents[2]
PLENTY = Limits(seconds=60)
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}


def alive(process: int) -> bool:
    """Whether there is such a process that is not a zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone(process: int) -> bool:
    """Whether it goes within two seconds."""
    until = time.monotonic() + 2
    while alive(process) and time.monotonic() < until:
        time.sleep(0.02)
    return not alive(process)


def test_without_limits_there_is_no_child():
    assert run(os.getpid, Limits()) == os.getpid()
    assert run(os.getpid, PLENTY) != os.getpid()


def test_what_the_child_writes_and_prints_arrives(tmp_path, capfd):
    def work():
        print("from the child")
        (tmp_path / "out").write_text("done")
        return {"some": [1, 2]}

    assert run(work, PLENTY) == {"some": [1, 2]}
    assert (tmp_path / "out").read_text() == "done"
    assert "from the child" in capfd.readouterr().out


def test_an_error_of_the_work_is_raised_here_with_its_traceback_in_the_log(capfd):
    def work():
        raise DatasetError("table 'x': row 3")

    with pytest.raises(DatasetError, match="row 3"):
        run(work, PLENTY)
    assert "in work" in capfd.readouterr().err


def test_an_error_that_does_not_come_through_a_pipe_keeps_its_words():
    class Odd(Exception):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    def work():
        raise Odd("this", "that")

    with pytest.raises(RuntimeError, match="Odd: this and that"):
        run(work, PLENTY)


def test_work_that_takes_too_long_is_ended_with_what_it_started(tmp_path):
    def work():
        started = subprocess.Popen(["sleep", "60"])
        (tmp_path / "processes").write_text(f"{os.getpid()} {started.pid}")
        time.sleep(60)

    start = time.monotonic()
    with pytest.raises(Ended, match="took longer than 0.5 s"):
        run(work, Limits(seconds=0.5))
    assert time.monotonic() - start < 5
    for process in map(int, (tmp_path / "processes").read_text().split()):
        assert gone(process)


def test_work_that_holds_too_much_is_ended():
    limit = resident_bytes(os.getpid()) / 1e9 + 0.2

    def work():
        kept = []
        while True:
            kept.append(b"x" * 20_000_000)
            time.sleep(0.01)

    with pytest.raises(Ended, match=r"held [\d.]+ GB of memory, more than"):
        run(work, Limits(memory_gb=limit))


@pytest.mark.parametrize("long", [True, False], ids=["while it works", "between two looks"])
def test_memory_of_a_device_counts(long):
    limits = Limits(memory_gb=resident_bytes(os.getpid()) / 1e9 + 5)
    held = [0]

    def work():
        held[0] = 90_000_000_000
        time.sleep(60 if long else 0)

    start = time.monotonic()
    with pytest.raises(Ended, match="held 90 GB of a GPU's memory, more than"):
        run(work, limits, lambda: held[0])
    assert time.monotonic() - start < 30


def test_memory_of_the_childs_children_counts():
    # in a fresh process: a forked one begins with the pages of the one that runs the tests
    code = (
        "import subprocess, sys\n"
        "from sightline.running.limited import Ended, Limits, run\n"
        "hungry = \"import time; kept = b'x' * 300_000_000; time.sleep(60)\"\n"
        "try:\n"
        "    run(lambda: subprocess.run([sys.executable, '-c', hungry]), Limits(memory_gb=0.2, seconds=50))\n"
        "except Ended as reason:\n"
        "    print(reason)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True)
    assert "GB of memory, more than 0.2 GB" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: os._exit(3), "exit code 3"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "ended by SIGTERM"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "out of memory"),
    ],
)
def test_a_child_that_dies_says_how(work, said):
    with pytest.raises(Ended, match=said):
        run(work, PLENTY)


def test_a_child_dies_with_its_parent(tmp_path):
    code = (
        "import os, time, pathlib\n"
        "from sightline.running.limited import Limits, run\n"
        "def work():\n"
        f"    pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
        "run(work, Limits(seconds=50))\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], env=ENVIRONMENT)
    until = time.monotonic() + 20
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < until and parent.poll() is None
        time.sleep(0.02)
    child = int((tmp_path / "child").read_text())
    assert alive(child)
    parent.kill()
    parent.wait()
    assert gone(child)
