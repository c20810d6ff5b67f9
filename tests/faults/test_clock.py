"""A clock that jumps: content decides what runs again, not times."""

import os
import time

from tests.faults.conftest import TARGET
from tests.faults.record import record

PAST, FUTURE = 1_000_000_000, 2_000_000_000  # 2001 and 2033


def set_times(folder, seconds: float) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (seconds, seconds))


def test_outputs_older_than_what_they_were_made_from_are_kept(project):
    set_times(project.folder / "data", FUTURE)
    order = sorted(project.results.rglob("*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for number, path in enumerate(order):  # what was made last is the oldest now
        if path.is_file():
            os.utime(path, (PAST + number, PAST + number))
    assert project.would_run(TARGET) == {}
    record(
        "outputs older than what they were made from (the clock went backwards between jobs)",
        "the times of all results are put into 2001 in reverse order, those of the data into 2033",
        "nothing runs again",
    )


def test_a_clock_behind_the_times_of_the_inputs_does_no_harm(project, undisturbed):
    for folder in ("datasets", "prepared", "models"):
        set_times(project.results / folder, FUTURE)
    project.forget("maps/cxr")
    project.run()
    assert project.content() == undisturbed.content()
    assert project.would_run(TARGET) == {}
    record(
        "a run whose clock is behind the times of what earlier runs made",
        "tables, pixels and weights are dated 2033, the maps deleted",
        "maps and what follows are made again and equal the undisturbed run's; a further run does nothing",
    )


def test_a_changed_table_with_an_old_time_is_noticed(project):
    table = next((project.folder / "data/cxr").rglob("*-split.csv.gz"))
    content, before = table.read_bytes(), table.stat().st_mtime
    time.sleep(0.05)
    os.utime(table, (PAST, PAST))
    assert project.would_run(TARGET) == {}  # another time, the same content
    table.write_bytes(content[:4] + b"\1\2\3\4" + content[8:])  # the time in a gzip file's header
    os.utime(table, (PAST, PAST))
    assert before > PAST and project.would_run(TARGET)["read_dataset"] == 1
    record(
        "a user's table changed, its time older than the results (unpacked from an archive, or the clock)",
        "a table of the data is changed and dated 2001",
        "Snakemake goes by its content: what reads it runs again; the time alone reruns nothing",
    )
