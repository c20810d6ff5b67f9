"""What benchmarks rest on: the table that a page holds, the memory of a process tree, inputs of a dry run."""

import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks import demo, measuring
from benchmarks.__main__ import NAMES
from benchmarks.measuring import Row


def test_a_table_is_read_back_as_it_was():
    rows = {
        "gaze": [measuring.at_least("over the authors' way", 123.4, 100), Row("difference", "1e-7")],
        "demo": [measuring.below("wall time", 312.0, 300, "s", 0)],
    }
    text = f"A machine, 2 cores.\n\n{measuring.table(rows)}\n"
    assert measuring.rows_of(text) == rows
    assert "| demo      | wall time             | 312 s    | below 300 s   | no  |" in text


def test_each_machine_has_a_table_of_its_own():
    tables = {
        "A processor, 2 cores": {"gaze": [Row("one", "1")]},
        "B, 4 cores, Card": {"gaze": [Row("two", "2")]},
    }
    assert measuring.machines_of(measuring.machines(tables)) == tables
    page = (Path(demo.ROOT) / "docs/performance.md").read_text(encoding="utf-8").partition("\n---\n")[2]
    assert measuring.machines(measuring.machines_of(page)) == page


def test_every_benchmark_is_a_module():
    folder = Path(demo.__file__).parent
    runs = {path.stem for path in folder.glob("*.py") if "\ndef run(quick: bool)" in path.read_text()}
    assert runs == set(NAMES)


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").is_file(), reason="needs Linux's /proc")
def test_memory_is_summed_over_children():
    """A parent and a child that hold 60 MB each for a second: together 120 MB and two small interpreters."""
    hold = "import time; held = bytearray(60_000_000); time.sleep(1)"
    child = f"subprocess.Popen([sys.executable, '-c', {hold!r}])"
    code = f"import subprocess, sys; child = {child}; {hold}; child.wait()"
    peak = demo._peak_memory(subprocess.Popen([sys.executable, "-c", code]))
    assert 120e6 < peak < 170e6


def test_dry_runs_find_their_inputs(tmp_path):
    from benchmarks.dry_run import empty_tables

    workflow = tmp_path / "workflow"
    workflow.symlink_to(demo.ROOT / "workflow")
    made = empty_tables(tmp_path, demo.ROOT / "config/cxr_gaze.yaml")
    files = [path for path in (tmp_path / "data/cxr").rglob("*") if path.is_file()]
    assert len(files) == made == 7
