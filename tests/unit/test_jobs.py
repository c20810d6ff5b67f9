"""What surrounds a job: log, threads, checked inputs, sealed outputs, costs, one line where it fails."""

import hashlib
import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from sightline.errors import DatasetError
from sightline.running import jobs, seals
from sightline.running.limited import Ended, Limits

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / "src")}


class Named(list):
    """A list with names, as Snakemake hands to scripts."""

    def __init__(self, **items):
        super().__init__(items.values())
        self.names = items

    def items(self):
        return self.names.items()


@pytest.fixture(autouse=True)
def same_threads():
    kept = {name: os.environ.get(name) for name in jobs.THREAD_VARIABLES}
    yield
    for name, value in kept.items():
        os.environ.pop(name, None) if value is None else os.environ.update({name: value})


def job(folder: Path, **given):
    params = Named(code="abc", recipe={"side": 64})
    usual = {
        "inputs": [],
        "outputs": [folder / "out.csv"],
        "params": params,
        "log": [folder / "logs/job.log"],
    }
    return jobs.recorded(**(usual | given))


@pytest.mark.parametrize("limits", [Limits(), Limits(seconds=60)], ids=["here", "in a child"])
def test_a_gpu_and_its_peak_of_memory_stand_among_the_costs(tmp_path, monkeypatch, limits):
    peaks = [7_000_000, 0]
    cuda = SimpleNamespace(
        is_initialized=lambda: True,
        device_count=lambda: 2,
        get_device_name=lambda: "Card A",
        max_memory_allocated=peaks.__getitem__,
    )
    monkeypatch.setattr(jobs, "_childrens_devices", [])
    monkeypatch.setattr(jobs, "set_threads", lambda count: None)  # which would load the real one
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))
    with job(tmp_path):
        jobs.within(limits, lambda: (tmp_path / "out.csv").write_text("x"))
        if limits:  # the parent touched no GPU
            cuda.is_initialized = lambda: False
    costs = json.loads(jobs.costs_path(tmp_path / "out.csv").read_text())
    assert (costs["device"], costs["device_peak_bytes"]) == ("Card A", 7_000_000)
    cuda.is_initialized, peaks[0] = lambda: True, 900_000_000_000
    with pytest.raises(Ended, match="held 900 GB of a GPU's memory, more than 800 GB"):
        jobs.within(Limits(memory_gb=800), lambda: None)


def test_outputs_are_sealed_with_params_and_costs_lie_apart(tmp_path):
    outputs = Named(table=tmp_path / "a.csv", values=str(tmp_path / "b.npy"))
    with job(tmp_path, outputs=outputs):
        for path in outputs:
            Path(path).write_text("x")
        sum(range(2_000_000))
    for path in outputs:
        params = {"code": "abc", "recipe": {"side": 64}}
        assert seals.made_by(path) == {"params": params, "inputs": {}, "job": "job"}
    costs = json.loads(jobs.costs_path(tmp_path / "a.csv").read_text())
    assert set(costs) == {"job", "seconds", "cpu_seconds", "peak_bytes", "device", "processor"}
    assert costs["seconds"] > 0 < costs["cpu_seconds"] and costs["processor"].endswith(" cores")
    assert not jobs.costs_path(tmp_path / "b.npy").exists()
    before = seals.seal_path(outputs[0]).read_bytes()
    with job(tmp_path, outputs=outputs):
        pass
    assert seals.seal_path(outputs[0]).read_bytes() == before  # nothing in a seal varies from run to run


def test_a_seal_names_what_was_read_and_neither_gates_nor_temporary_parts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("upstream.csv", "gate.json", "images.csv", "part0", "part1"):
        Path(name).write_text(name)
    for part in ("part0", "part1"):
        seals.seal([part], {"params": {}, "inputs": seals.sources(["images.csv"])})
    read = Named(checked="gate.json", table=str(tmp_path / "upstream.csv"), parts=["part0", "part1"])
    given = {"inputs": read, "outputs": ["out.csv"], "log": ["results/s/logs/score/cxr.small.log"]}
    with job(tmp_path, **given, joined=read.names["parts"]):
        Path("out.csv").write_text("x")
    made_by = seals.made_by("out.csv")
    digest = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("images.csv", "upstream.csv")}
    assert made_by["inputs"] == digest
    assert made_by["job"] == "score/cxr.small"


def test_records_name_no_place_outside_the_project(tmp_path, monkeypatch):
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    assert seals.place(tmp_path / "project/data/a.csv") == seals.place("data/./a.csv") == "data/a.csv"
    assert seals.place(tmp_path / "own/tables.csv") == ".../tables.csv"
    assert seals.sources(["missing.csv", tmp_path]) == {"missing.csv": None, f".../{tmp_path.name}": None}


def test_everything_said_goes_to_the_log(tmp_path, capfd):
    with job(tmp_path):
        print("printed")
        logging.getLogger("some.library").info("logged")
        os.write(2, b"written by a library in C\n")
        subprocess.run(["echo", "said by a child"], check=True)
        (tmp_path / "out.csv").write_text("")
    print("after")
    log = (tmp_path / "logs/job.log").read_text()
    for said in ("printed", "INFO some.library: logged", "library in C", "said by a child"):
        assert said in log
    out, err = capfd.readouterr()
    assert (out, err) == ("after\n", "")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            DatasetError("images.csv, row 3: no such label"),
            "sightline: images.csv, row 3: no such label (log: ",
        ),
        (KeyError("side"), "sightline: unexpected KeyError: 'side' (log: "),
    ],
)
def test_a_failure_is_one_line_with_the_log_and_the_traceback_is_there(tmp_path, capfd, error, said):
    (tmp_path / "out.csv").write_text("old")
    seals.seal([tmp_path / "out.csv"], {})
    with pytest.raises(SystemExit) as raised, job(tmp_path):
        raise error
    assert raised.value.code == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(said)
    assert err.count("\n") == 1
    assert str(tmp_path / "logs/job.log") in err
    assert "Traceback" in (tmp_path / "logs/job.log").read_text()
    assert seals.made_by(tmp_path / "out.csv") is None  # a job that failed leaves no seal of an earlier one


def test_a_truncated_input_stops_the_job_before_it_works(tmp_path, capfd):
    values = tmp_path / "values.npy"
    values.write_bytes(b"12345")
    seals.seal([values], {})
    values.write_bytes(b"1234")
    with pytest.raises(SystemExit), job(tmp_path, inputs=Named(a=tmp_path / "unsealed", b=[str(values)])):
        os._exit(9)  # must not get here
    assert "values.npy: holds 4 bytes, 5 were written" in capfd.readouterr().err


def test_an_output_that_was_not_written_is_named(tmp_path, capfd):
    with pytest.raises(SystemExit), job(tmp_path):
        pass
    assert "out.csv: the job ended without writing this output" in capfd.readouterr().err


def test_an_interrupted_job_is_not_a_failed_one(tmp_path):
    stderr = os.fstat(2)
    with pytest.raises(KeyboardInterrupt), job(tmp_path):
        raise KeyboardInterrupt
    assert os.fstat(2) == stderr


def test_without_a_log_the_terminal_stays(tmp_path, capsys):
    with job(tmp_path, log=[]):
        print("seen")
        (tmp_path / "out.csv").write_text("")
    assert capsys.readouterr().out == "seen\n"


def test_paths_are_flat_and_each_once():
    nested = Named(a="x", b=["y", ("x", Path("z"))], c={"k": ["w"]})
    assert jobs.paths(nested) == [Path("x"), Path("y"), Path("z"), Path("w")]
    assert jobs.paths("x") == [Path("x")]


def test_params_without_names_are_refused(tmp_path):
    params = Named(code="abc")
    params.append(3)
    with pytest.raises(ValueError, match="names"), job(tmp_path, params=params):
        pass


THREADS = """
import sys
from sightline.running import jobs
if sys.argv[1] == "early":
    import cv2, numpy, pyarrow, scipy.linalg, torch
jobs.set_threads(int(sys.argv[2]))
import cv2, numpy, pyarrow, scipy.linalg, torch
from threadpoolctl import threadpool_info
found = {torch.get_num_threads(), cv2.getNumThreads(), *(pool["num_threads"] for pool in threadpool_info())}
print(*sorted(found))
if sys.argv[1] == "early":
    assert pyarrow.cpu_count() == int(sys.argv[2])
"""


@pytest.mark.parametrize(("when", "count"), [("early", 1), ("late", 1), ("early", 3)])
def test_numeric_libraries_get_the_studys_threads(when, count):
    environment = {name: value for name, value in ENVIRONMENT.items() if name not in jobs.THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", THREADS, when, str(count)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(count)]


def test_progress_tells_stage_rate_and_time_left_seldom(monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    seen = []
    for item in jobs.progress(range(100), None, "maps"):
        seen.append(item)
        now[0] += 2.0
    assert seen == list(range(100))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "maps: 3 of 100, 0.5 per s, 3 min 14 s left"
    assert lines[-1] == "maps: 100 of 100, 0.5 per s"
    assert len(lines) == 34  # every sixth second of 200, and the end


def test_progress_names_the_job_and_what_it_skipped_and_floods_no_file(tmp_path, monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(jobs, "_terminal_seconds", lambda: jobs.FILE_SECONDS)
    given = {"outputs": [tmp_path / "out.csv"], "log": [tmp_path / "logs/prepare/cxr.log"]}
    skipped = []
    with job(tmp_path, **given):
        for item in jobs.progress(range(100), None, "images", lambda: len(skipped)):
            skipped.extend([item] if item in (10, 60) else [])
            now[0] += 2.0
        jobs.say("epoch 1 of 9")
        jobs.say("epoch 2 of 9")
        (tmp_path / "out.csv").write_text("")
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "prepare/cxr: images: 30 of 100, 0.5 per s, 2 min 20 s left, 1 skipped"
    assert said[-2:] == ["prepare/cxr: images: 100 of 100, 0.5 per s, 2 skipped", "prepare/cxr: epoch 1 of 9"]
    assert len(said) == 5  # every minute of 200 s, the end, and one line of those that follow at once
    log = (tmp_path / "logs/prepare/cxr.log").read_text()
    assert log.count("images:") == 34 and "prepare/cxr: epoch 2 of 9" in log


def test_a_short_loop_that_skipped_nothing_is_silent_on_the_terminal(tmp_path, capfd):
    with job(tmp_path):
        (tmp_path / "out.csv").write_text("".join(map(str, jobs.progress(range(3), None, "images"))))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("seconds", "text"), [(59.4, "59 s"), (59.6, "1 min 00 s"), (7290, "2 h 01 min")])
def test_durations_read_well(seconds, text):
    assert jobs.duration(seconds) == text


def test_peak_memory_is_this_processs_own():
    code = "from sightline.running import hardware; a = hardware.peak_bytes(); b = bytearray(200_000_000); "
    code += "print(a, hardware.peak_bytes())"
    bulk = bytearray(400_000_000)  # a parent's memory must not show
    done = subprocess.run(
        [sys.executable, "-c", code], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    small, large = map(int, done.stdout.split())
    assert small < 100_000_000 < 195_000_000 < large - small < 210_000_000
    assert len(bulk) == 400_000_000


SNAKEFILE = """
rule make:
    output: table="results/a.csv", folder=directory("results/folder")
    params: code="abc", sides=[64, 112], recipe={"lr": 1.0e-4, "layers": ("a", "b")}, none=None
    log: "logs/make.log"
    script: "make.py"

rule use:
    input: rules.make.output.table, rules.make.output.folder
    output: "results/b.csv"
    params: code="abd"
    log: "logs/use.log"
    script: "use.py"
"""
MAKE = """
import warnings
from pathlib import Path
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        warnings.warn("warned")
        Path(snakemake.output.table).write_text("a")
        Path(snakemake.output.folder).mkdir()
        Path(snakemake.output.folder, "c").write_text("c")
"""
USE = MAKE.partition("        warnings")[0] + "        Path(snakemake.output[0]).write_text('b')\n"


def test_in_a_real_run_records_hold_and_damage_is_named(tmp_path):
    for name, text in {"Snakefile": SNAKEFILE, "make.py": MAKE, "use.py": USE}.items():
        (tmp_path / name).write_text(text)
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "1",
        "--quiet",
        "all",
        "--rerun-triggers",
        "params",
    ]

    def run(*targets: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*command, "--", *targets], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True
        )

    done = run("results/b.csv")
    assert done.returncode == 0, done.stderr
    assert "UserWarning: warned" in (tmp_path / "logs/make.log").read_text()
    params = seals.made_by(tmp_path / "results/folder")["params"]
    assert params == {
        "code": "abc",
        "sides": [64, 112],
        "recipe": {"lr": 0.0001, "layers": ["a", "b"]},
        "none": None,
    }
    seals.verify([tmp_path / "results/a.csv", tmp_path / "results/folder", tmp_path / "results/b.csv"])
    (tmp_path / "results/folder/c").write_text("")
    (tmp_path / "results/b.csv").unlink()
    done = run("results/b.csv")
    assert done.returncode != 0
    assert "sightline: results/folder: holds 0 bytes, 1 were written" in done.stderr
    assert "(log: logs/use.log)" in done.stderr
    assert "IntegrityError" in (tmp_path / "logs/use.log").read_text()
