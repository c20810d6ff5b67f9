"""A download interrupted in the middle of a file, by the workflow as a user would run it."""

import os
import shutil
import signal

import pytest
import yaml

from sightline.running import marks
from tests.faults.conftest import Disturbed, alive, kill, until
from tests.faults.record import record
from tests.unit.download_servers import Archive, serving, zipped
from tests.workflow.conftest import copy_project
from tests.workflow.test_download import HEADER, TABLES, breast

LISTED = "results/tiny/downloads/cbis.json"


@pytest.fixture
def archive() -> Archive:
    archive = Archive({})
    for numbers, split in ((range(1, 4), "Training"), (range(4, 6), "Test")):
        for number in numbers:
            archive.series |= breast(number, split)[1]
    for uid, (_, _, files) in archive.series.items():  # the same bytes at every request: a part can go on
        archive.archives[uid] = zipped({f"1-{number}.dcm": data for number, data in enumerate(files, 1)})
    return archive


@pytest.fixture
def served(archive, tmp_path, monkeypatch):
    """The server; a project that downloaded from it once, all of which was deleted; what that had listed."""
    monkeypatch.setenv("no_proxy", "*")
    project = Disturbed(copy_project(tmp_path / "project").folder)
    (project.folder / "tables").mkdir()
    for name, split, numbers in zip(TABLES, ("Training", "Test"), (range(1, 4), range(4, 6))):
        text = HEADER + "\r\n" + "".join(breast(number, split)[0] for number in numbers)
        (project.folder / "tables" / name).write_text(text, newline="")
    with serving(archive) as server:
        study = {
            "study": "tiny",
            "datasets": {
                "cbis": {
                    "adapter": {"name": "cbis_ddsm", "kinds": ["mass"]},
                    "download": {"from": "nbia", "url": f"{server.url}/v1", "tables": ["tables"]},
                }
            },
        }
        (project.folder / "study.yaml").write_text(yaml.safe_dump(study))
        project.run(LISTED)
        listed = (project.folder / LISTED).read_bytes()
        shutil.rmtree(project.folder / "results")
        shutil.rmtree(project.folder / "data")
        server.asked.clear()
        yield server, project, listed


def largest(archive: Archive) -> tuple[str, int]:
    return max(((uid, len(content)) for uid, content in archive.archives.items()), key=lambda one: one[1])


@pytest.mark.parametrize("orphan", [False, True], ids=["all killed", "the download lives on"])
def test_an_interrupted_download_goes_on(orphan, served, archive):
    server, project, listed = served
    uid, size = largest(archive)
    server.mishaps = {f"getImage?SeriesInstanceUID={uid}": [("slow", size // 8 + 1, 0.5)]}
    first = project.start(LISTED)

    def begun() -> bool:
        try:
            found = list((project.folder / "data").rglob(f".{uid}.zip.part"))
        except FileNotFoundError:  # a folder that the download removed meanwhile
            return False
        return first.poll() is not None or any(part.stat().st_size > size // 8 for part in found)

    until(begun, project.said)
    (mark,) = (project.results / "downloads").glob(".*.running.json")
    job = marks.read(mark).pid
    if orphan:
        kill(first)
        assert alive(job)
    else:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
        until(lambda: not alive(job))
    project.unlock()
    project.run(LISTED)
    until(lambda: not alive(job))
    assert (project.folder / LISTED).read_bytes() == listed
    asked = server.ranges(f"getImage?SeriesInstanceUID={uid}")
    if orphan:
        assert asked == [None]  # it brought the file that it was at, and then withdrew
    else:
        assert len(asked) == 2 and asked[0] is None and asked[1].startswith("bytes=")
    assert list((project.folder / "data").rglob("*.part")) == []
    record(
        "a download interrupted in the middle of a file"
        + (": Snakemake alone is killed, the job lives on" if orphan else ""),
        "a server on this machine sends slowly; "
        + ("Snakemake is" if orphan else "Snakemake and its job are")
        + " killed (SIGKILL) after an eighth of a file, its lock removed, a second run started",
        (
            "the job ends the file that it is at and withdraws, the next run waits for that and goes on; it "
            "is not fetched twice"
            if orphan
            else "the next run asks for the rest of that file alone"
        )
        + "; the files equal those of an undisturbed download",
    )
