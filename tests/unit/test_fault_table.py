"""Records of faults, and the page that is made from them."""

import json

import pytest

from tests.faults import record, table

RESULT = "the next run's tables equal the undisturbed run's"


def test_a_record_is_written_where_a_folder_is_named_and_nowhere_else(tmp_path, monkeypatch):
    monkeypatch.delenv(record.FOLDER, raising=False)
    record.record("a job killed", "SIGKILL", RESULT)
    monkeypatch.setenv(record.FOLDER, str(tmp_path / "records"))
    for result in ("an earlier result", RESULT):
        record.record("a job killed", "SIGKILL", result)
    (path,) = (tmp_path / "records").iterdir()
    assert json.loads(path.read_text()) == {"fault": "a job killed", "how": "SIGKILL", "measured": RESULT}


def test_the_table_has_a_row_per_fault_and_says_what_was_not_run():
    faults = [
        {"fault": "two runs", "how": "a | b", "measured": "one\nrefuses"},
        {"fault": "a disk is full", "how": "a small one is mounted", "measured": RESULT},
    ]
    made = table.table(faults)
    assert made.index("a disk is full") < made.index("two runs")
    assert "| two runs | a \\| b | one refuses |" in made
    assert made.count("Not run when this page was made") == 1
    made = table.table([*faults, {"fault": "SLURM: a job cancelled", "how": "scancel", "measured": RESULT}])
    assert "Not run" not in made and made.index("### SLURM") < made.index("a job cancelled")


def test_only_what_stands_between_the_marks_is_written_anew():
    page = table.PAGE.read_text(encoding="utf-8")
    once = table.written(page, "a table")
    assert table.written(once, "a table") == once
    assert once.partition(table.BEGIN)[0] == page.partition(table.BEGIN)[0]
    assert once.partition(table.END)[2] == page.partition(table.END)[2]
    with pytest.raises(SystemExit, match="lacks the marks"):
        table.written("a page", "a table")
