"""What a study's folder tells of its jobs, and what is taken away where it differs from its seals."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sightline import provenance, status
from sightline.errors import DatasetError, SightlineError
from sightline.running import jobs, marks, seals
from sightline.watching import lineage, repair, states, study_record
from sightline.watching.wanted import Wanted, ask

STUDY = Path("results/s")
# job -> what it reads and writes, below the study's folder
CHAIN = {
    "make_phantom/cxr": ([], ["phantom/cxr.digests.json"]),
    "prepare/cxr": (["phantom/cxr.digests.json"], ["prepared/table.parquet", "prepared/pixels.npy"]),
    "attribute/cxr.a": (["prepared/pixels.npy"], ["maps/a.parquet", "maps/a.npy"]),
    "attribute/cxr.b": (["prepared/pixels.npy"], ["maps/b.parquet", "maps/b.npy"]),
    "score/cxr.a": (["maps/a.npy"], ["scores/a.parquet"]),
    "score/cxr.b": (["maps/b.npy"], ["scores/b.parquet"]),
    "summarise": (["scores/a.parquet", "scores/b.parquet"], ["summary.parquet"]),
}


def run(name: str, error: BaseException | None = None) -> None:
    """Do one of the jobs of CHAIN as its rule's script would."""
    inputs, outputs = ([STUDY / path for path in paths] for paths in CHAIN[name])
    upstream = ["data/cxr/images.csv"] if name == "prepare/cxr" else []
    with jobs.recorded(
        [*upstream, *inputs], outputs, {"code": name, "seed": 0}, [STUDY / f"logs/{name}.log"]
    ):
        print(f"{name} begins")
        if error is not None:
            raise error
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{path} " * 20)
        if name == "make_phantom/cxr":
            (STUDY / "phantom/cxr").mkdir(exist_ok=True)
            (STUDY / "phantom/cxr/film.png").write_text("film")
            outputs[0].write_text(json.dumps(seals.digests(STUDY / "phantom/cxr")))


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "set_threads", lambda count: None)
    Path("data/cxr").mkdir(parents=True)
    Path("data/cxr/images.csv").write_text("image\n")
    for name in CHAIN:
        run(name)
    return STUDY


def state(found: list[states.Job]) -> dict[str, str]:
    return {job.name: job.state for job in found}


def bytes_of(folder: Path) -> dict[str, bytes]:
    """Every file but what differs from run to run."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith(".costs.json"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[3] ^= 1
    path.write_bytes(content)


def test_a_finished_study_is_done_and_said_in_a_few_lines(study, capsys):
    found = states.of_study(study)
    assert state(found) == dict.fromkeys(CHAIN, "done")
    assert [job.paths for job in found if job.name == "score/cxr.a"] == [["scores/a.parquet"]]
    assert status.main([str(study)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("results/s: 7 jobs: 7 done\n") and "attribute 2" in out
    assert max(map(len, out.splitlines())) <= 120 and len(out.splitlines()) < 8


def test_a_seal_tells_what_is_from_the_study_and_what_from_elsewhere(study):
    made = lineage.read(study)
    digest = seals.record(study / "prepared/pixels.npy")["sha256"]
    assert made["maps/a.npy"].inputs == {"prepared/pixels.npy": digest}
    assert list(made["prepared/pixels.npy"].upstream) == ["data/cxr/images.csv"]
    assert made["maps/a.npy"].rule == "attribute"
    study.rename("results/renamed")
    assert lineage.read(Path("results/renamed"))["maps/a.npy"].inputs == {"prepared/pixels.npy": digest}


@pytest.mark.parametrize(
    ("harm", "reason", "seen_without_reading"),
    [
        (flip, "content changed", False),
        (lambda path: path.write_bytes(path.read_bytes()[:-7]), "were written", True),
        (lambda path: path.unlink(), "missing", True),
        (lambda path: seals.seal_path(path).write_text("{"), "its seal is not whole", True),
    ],
)
def test_what_differs_goes_with_all_that_came_of_it_and_comes_again(
    study, harm, reason, seen_without_reading
):
    before = bytes_of(study)
    harm(study / "maps/a.npy")
    by_name = state(states.of_study(study))
    broken_seal = "not whole" in reason  # which does not say whose it is
    damaged = "maps/a.npy" if broken_seal else "attribute/cxr.a"
    assert (by_name[damaged] == "damaged") is seen_without_reading
    assert state(states.of_study(study, content=True))[damaged] == "damaged"
    removed = repair.repair(study)
    assert reason in removed["maps/a.npy"]
    assert {path: why for path, why in removed.items() if path != "maps/a.npy"} == {
        "scores/a.parquet": "made from maps/a.npy",
        "summary.parquet": "made from scores/a.parquet",
    }
    left = bytes_of(study)
    assert all(path not in left for path in removed)
    assert "maps/a.parquet" in left and "scores/b.parquet" in left and "maps/.a.npy.made.json" not in left
    for name in ("attribute/cxr.a", "score/cxr.a", "summarise"):
        run(name)
    assert bytes_of(study) == before
    assert repair.repair(study) == {}


def test_a_changed_file_of_a_phantom_is_found(study):
    flip(study / "phantom/cxr/film.png")
    removed = repair.repair(study)
    assert removed["phantom/cxr.digests.json"] == "cxr/film.png differs from its digest"
    assert len(removed) == 10  # all came of it


def test_what_is_made_from_a_file_that_was_made_anew_is_stale(study):
    run("prepare/cxr")
    assert set(state(states.of_study(study)).values()) == {"done"}  # equal bytes
    (study / "maps/b.npy").write_text("other maps")
    seals.seal([study / "maps/b.npy"], seals.made_by(study / "maps/b.npy"))
    found = {job.name: job for job in states.of_study(study)}
    assert found["score/cxr.b"].state == "stale"
    assert found["score/cxr.b"].why == ["made from another maps/b.npy than is there now"]


def test_a_failed_job_is_told_with_the_last_lines_of_its_log(study, capsys):
    with pytest.raises(SystemExit):
        run("score/cxr.a", DatasetError("images.csv, row 3: no such label"))
    assert status.main([str(study)]) == 1
    out = capsys.readouterr().out
    assert "1 failed" in out and "results/s/logs/score/cxr.a.log" in out
    assert "| sightline.errors.DatasetError: images.csv, row 3: no such label" in out


def test_a_shards_log_is_of_no_interest_once_the_whole_is_there(study):
    log = study / "logs/attribute_shard/cxr.a.1of2.0123456789ab.log"
    log.parent.mkdir()
    log.write_text("Traceback (most recent call last):\nMemoryError\n")
    assert set(state(states.of_study(study)).values()) == {"done"}
    for output in ("maps/a.parquet", "maps/a.npy"):
        repair.remove(study / output)
    failed = [job for job in states.of_study(study) if job.state == "failed"]
    assert [(job.name, job.why) for job in failed] == [
        ("attribute_shard/cxr.a.1of2.0123456789ab", ["MemoryError"])
    ]


def dead_process() -> int:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def mark(study: Path, pid: int, host: str) -> None:
    left = marks.Mark(
        "score/cxr.a", ["results/s/scores/a.parquet"], "", pid, marks._began(pid), host, 0.0, ""
    )
    seals.write_json(marks.path_of(study / "scores/a.parquet"), vars(left))


def test_a_job_that_was_killed_is_known_by_its_mark_and_its_half_made_output_goes(study):
    seals.seal_path(study / "scores/a.parquet").unlink()
    (study / "scores/a.parquet").write_text("hal")
    (study / "scores/.a.parquet.1-0.part").write_text("ha")
    mark(study, dead_process(), socket.gethostname())
    assert state(states.of_study(study))["score/cxr.a"] == "killed"
    removed = repair.repair(study)
    assert removed["scores/a.parquet"] == "score/cxr.a was killed while it made this"
    assert removed["scores/.a.parquet.1-0.part"] == "half written"
    assert removed["summary.parquet"] == "made from scores/a.parquet"
    assert not list(marks.found(study)) and not list(study.rglob("*.part"))


def test_nothing_is_removed_while_a_job_runs(study):
    mark(study, os.getpid(), socket.gethostname())
    flip(study / "maps/a.npy")
    before = bytes_of(study)
    with pytest.raises(SightlineError, match="score/cxr.a is running"):
        repair.repair(study)
    assert bytes_of(study) == before


def test_nothing_is_removed_while_a_job_elsewhere_may_run_however_silent(study, monkeypatch):
    mark(study, 1, "another host")
    (study / "scores/.a.parquet.1-0.part").write_text("ha")
    monkeypatch.setattr(states, "SILENT_SECONDS", -1.0)
    with pytest.raises(SightlineError, match=r"known to be no more, remove results/s/scores/\.a\.parquet"):
        repair.repair(study)
    assert (study / "scores/.a.parquet.1-0.part").exists()


def test_a_job_elsewhere_runs_until_it_is_silent_for_long(study, monkeypatch):
    mark(study, 1, "another host")
    found = {job.name: job for job in states.of_study(study)}["score/cxr.a"]
    assert found.state == "running" and "on another host, last heard of 0 s ago" in found.why[0]
    monkeypatch.setattr(states, "SILENT_SECONDS", -1.0)
    assert state(states.of_study(study))["score/cxr.a"] == "silent"


def wanted(name: str, runs: bool = False, **given) -> Wanted:
    outputs = tuple(f"results/s/{path}" for path in CHAIN.get(name, ([], [f"{name}.parquet"]))[1])
    usual = {"why": (), "changes": (), "code": {}, "made_with": ""} | given
    return Wanted(name, name.partition("/")[0], outputs, f"results/s/logs/{name}.log", runs, **usual)


def test_a_configuration_tells_what_is_stale_and_why_and_what_is_to_do(study):
    provenance.keep(study, {"old": lambda: {"sightline.gaze": "1", "numpy==": "2.0"}})
    asked = [
        wanted("make_phantom/cxr"),
        wanted("prepare/cxr"),
        wanted("attribute/cxr.b"),
        wanted(
            "attribute/cxr.a",
            True,
            changes=("code", "seed (0, now 1)"),
            code={"sightline.gaze": "2", "numpy==": "2.0"},
            made_with="old",
        ),
        wanted("score/cxr.a", True),
        wanted("summarise", True, why=("updated input files",)),
        wanted("report", True, why=("missing",)),
    ]
    found = {job.name: job for job in states.of_study(study, asked)}
    assert state(found.values()) == {
        "make_phantom/cxr": "done",
        "prepare/cxr": "done",
        "attribute/cxr.a": "stale",
        "attribute/cxr.b": "done",
        "score/cxr.a": "stale",
        "score/cxr.b": "left over",
        "summarise": "stale",
        "report": "to do",
    }
    assert found["attribute/cxr.a"].why == ["made with other code: sightline.gaze, seed (0, now 1)"]
    assert found["score/cxr.a"].why == ["follows from attribute/cxr.a"]
    assert found["summarise"].why == ["updated input files"]
    said = status.text(study, list(found.values()), 80)
    assert "8 jobs: 3 stale, 1 to do, 3 done, 1 left over" in said
    assert "attribute cxr.a: made with other code: sightline.gaze, seed (0, now 1)" in said
    assert max(map(len, said.splitlines())) <= 80


def test_shards_of_a_stage_that_was_joined_are_not_counted(study):
    shard = "attribute_shard/cxr.a.{}of2.0123456789ab"
    asked = [wanted(name) for name in (*CHAIN, shard.format(1), shard.format(2))]
    assert state(states.of_study(study, asked)) == dict.fromkeys(CHAIN, "done")
    asked[-2] = wanted(shard.format(1), True)  # the stage runs again
    assert state(states.of_study(study, asked))[shard.format(1)] == "to do"


def test_the_forecast_of_costs_is_done_although_nobody_asks_for_it_any_more(study):
    with jobs.recorded([], [STUDY / "costs.parquet"], {"code": "c"}, [STUDY / "logs/plan_costs.log"]):
        (STUDY / "costs.parquet").write_text("costs")
    assert state(states.of_study(study, [wanted("summarise")]))["plan_costs"] == "done"


def test_what_was_made_since_the_workflow_was_asked_is_done(study):
    found = states.of_study(study, [wanted("score/cxr.a", True, why=("missing",))])
    assert state(found)["score/cxr.a"] == "done"


def test_a_job_that_ends_while_it_is_looked_at_was_not_killed(study, monkeypatch):
    mark(study, dead_process(), socket.gethostname())

    def ends(one: marks.Mark) -> bool:
        marks.path_of(study / "scores/a.parquet").unlink()
        return False

    monkeypatch.setattr(marks, "alive", ends)
    assert state(states.of_study(study))["score/cxr.a"] == "done"


def test_a_seal_that_is_taken_away_meanwhile_is_none(study, monkeypatch):
    monkeypatch.setattr(seals, "record", lambda path: None)
    assert lineage.read(study) == {}


def test_what_is_no_studys_folder_is_said(study, capsys, monkeypatch):
    (study / ".run.json").write_text("{}")
    (study / study_record.NAME).write_text("{}")
    for folder in ("results", "."):
        assert status.main([folder]) == 2
        assert "it holds results/s: give one of them" in capsys.readouterr().err
    monkeypatch.chdir(study)
    Path("x").mkdir()
    assert status.main(["."]) == status.main(["x/.."]) == 0
    assert capsys.readouterr().out.count("results/s: 7 jobs: 7 done") == 2
    for path in seals.sealed(Path()):
        seals.seal_path(path).unlink()
    assert status.main(["."]) == 2 and "without its hidden files" in capsys.readouterr().err
    Path("empty").mkdir()
    assert status.main(["empty"]) == 0 and "0 jobs: nothing here" in capsys.readouterr().out


def test_a_configuration_of_another_study_is_refused(study, capsys, monkeypatch):
    Path("workflow").mkdir()
    Path("workflow/Snakefile").write_text("")
    other = Wanted("summarise", "summarise", ("results/other/summary.parquet",), "", True, (), (), {}, "")
    monkeypatch.setattr(status.wanted, "ask", lambda root, configuration: [other])
    assert status.main([str(study), "--configfile", "other.yaml"]) == 2
    said = capsys.readouterr().err
    assert "other.yaml: describes the study in" in said and "results/other, not that in results/s" in said
    monkeypatch.setattr(status.wanted, "ask", lambda root, configuration: [wanted("summarise")])
    Path("elsewhere").symlink_to(study)
    assert status.main(["elsewhere", "--configfile", "s.yaml"]) == 0
    assert "1 done, 6 left over" in capsys.readouterr().out


def test_what_snakemake_says_comes_without_its_traceback(tmp_path, monkeypatch):
    with pytest.raises(SightlineError, match="none.yaml: no such file"):
        ask(tmp_path, tmp_path / "none.yaml")
    (tmp_path / "some.yaml").write_text("study: s\n")
    said = f"Building DAG\n{states.TRACEBACK}:\n  File x\n\nOSError: [Errno 30] Read-only file system: 'y'\n"
    done = subprocess.CompletedProcess([], 1, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *given, **named: done)
    with pytest.raises(SightlineError, match="Building DAG\nOSError: .*; Snakemake writes into") as caught:
        ask(tmp_path, tmp_path / "some.yaml")
    assert "File x" not in str(caught.value)


def test_programs_get_json_and_a_wrong_folder_is_named(study, capsys):
    flip(study / "scores/b.parquet")
    assert status.main([str(study), "--check", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert {job["name"]: job["state"] for job in said["jobs"]}["score/cxr.b"] == "damaged"
    assert status.main([str(study), "--repair", "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["removed"]) == {"scores/b.parquet", "summary.parquet"}
    assert status.main(["results/none"]) == 2
    assert "results/none: no such folder" in capsys.readouterr().err
