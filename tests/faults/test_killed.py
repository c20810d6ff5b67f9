"""Snakemake killed while its jobs live on, jobs killed, two runs at once: nothing lost, nothing mixed."""

import fcntl
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from sightline import runs
from sightline.running import marks, seals
from tests.faults.conftest import PATIENCE, TARGET, alive, kill, until
from tests.faults.record import record

# the rule, the output before whose naming it is stopped, what is deleted so that it runs, when it goes on
STAGES = {
    "prepare": ("prepared/cxr", "pixels.npy", "middle"),
    "train": ("models/small", "weights.safetensors", "after"),
    "attribute": ("maps/cxr", "values.npy", "middle"),
    "score": ("scores/cxr/small", "gradient.parquet", "after"),
    "summarise": ("summary.parquet", "summary.parquet", "after"),
}


def last_run(project) -> str:
    return json.loads((project.results / runs.RECORD).read_text())["run"]


@pytest.mark.parametrize("rule", STAGES)
def test_snakemake_killed_and_its_orphan_alive_when_the_next_run_starts(rule, project, undisturbed):
    deleted, name, when = STAGES[rule]
    (output,) = project.results.rglob(name)
    project.forget(deleted)
    at, how = name, "stop"
    if rule == "train":  # in its last epoch, with other params: what it makes is wrong for the next run
        project.edit("study.yaml", "epochs: 3", "epochs: 2")
        at, how = f"{name}.checkpoint", "stop_later"
    first = project.start(at=at, do=how)
    orphan, first_said = project.disturbed(first), project.said
    until(lambda: stopped(orphan))
    kill(first)
    first_run = last_run(project)
    assert not output.exists()
    if rule == "train":
        project.edit("study.yaml", "epochs: 2", "epochs: 3")
        refused = project.run(fails=True)
        assert "cannot be locked" in refused and "--unlock" in refused
        project.run("--unlock")
    project.unlock()
    second = project.start()
    if when == "middle":  # of the same job of the second run
        until(lambda: second.poll() is not None or another_makes(output, orphan), project.said)
    else:  # when the second run has sealed that output
        until(lambda: second.poll() is not None or seals.seal_path(output).exists(), project.said)
    assert last_run(project) != first_run and alive(orphan)
    os.kill(orphan, signal.SIGCONT)
    assert second.wait(PATIENCE) == 0, project.said.read_text()[-4000:]
    until(lambda: not alive(orphan))
    assert "a later run began there" in first_said.read_text()
    assert project.content() == undisturbed.content()
    assert project.left_over() == []
    record(
        f"Snakemake killed (SIGKILL) while `{rule}` runs; the job lives on while the next run makes the same",
        f"the job is stopped {'in its last epoch' if rule == 'train' else f'before it names `{name}`'}, "
        "Snakemake killed, its lock removed (`--unlock`), a second run started; the job goes on "
        + (
            "in the middle of the same job of that run"
            if when == "middle"
            else "when that run has made its own"
        )
        + (", with other params (epochs)" if rule == "train" else ""),
        "it names nothing and ends; all tables, arrays, weights and seals equal the undisturbed run's, no "
        "temporary file is left",
    )


def stopped(process: int) -> bool:
    return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def another_makes(output, process: int) -> bool:
    """Whether another process than this one has marked the output's job as its own."""
    found = [marks.read(path) for path in output.parent.glob(".*.running.json")]
    return any(mark is not None and mark.pid != process for mark in found)


@pytest.mark.parametrize(
    ("how", "number"), [("kill_half", "2"), ("kill_later", "1")], ids=["mid-checkpoint", "mid-epoch"]
)
def test_a_training_killed_goes_on_from_its_last_whole_checkpoint(how, number, project, undisturbed):
    project.forget("models/small")
    first = project.start(at="weights.safetensors.checkpoint", do=how, number=number)
    project.disturbed(first)
    assert first.wait(PATIENCE) != 0
    assert not (project.results / "models/small/seed0/weights.safetensors").exists()
    project.run()
    log = project.log("train/small.seed0.log")
    assert "going on after epoch 1" in log and "epoch 3 of 3" in log and "epoch 1 of 3" not in log
    assert project.content() == undisturbed.content() and project.left_over() == []
    record(
        "a training killed (SIGKILL) " + ("in a checkpoint" if how == "kill_half" else "in an epoch"),
        "the second checkpoint is cut in half before it has its name, and the job killed"
        if how == "kill_half"
        else "the job is killed 20 ms after it wrote the first checkpoint",
        "the next run goes on after epoch 1; weights and all that follows equal the undisturbed run's",
    )


def test_a_checkpoint_of_other_params_is_not_used(project, undisturbed):
    checkpoint = project.results / "models/small/seed0/weights.safetensors.checkpoint"
    project.edit("study.yaml", "epochs: 3", "epochs: 2")
    project.run(TARGET, "--until", "train")
    foreign = checkpoint.read_bytes()
    project.edit("study.yaml", "epochs: 2", "epochs: 3")
    project.forget("models/small")
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(foreign)
    project.run()
    assert "checkpoint of another job" in project.log("train/small.seed0.log")
    assert project.content() == undisturbed.content()
    record(
        "a checkpoint of other params lies where a training looks for its own",
        "the checkpoint of a training of 2 epochs is put where one of 3 begins",
        "it is not used, the log says so; all that is made equals the undisturbed run's",
    )


def test_two_runs_in_one_folder(project, undisturbed):
    project.forget("maps/cxr")
    first = project.start(at="values.npy", do="stop")
    job = project.disturbed(first)
    first_said = project.said
    before = last_run(project)
    refused = project.run(fails=True)
    assert "cannot be locked" in refused
    assert last_run(project) == before
    os.kill(job, signal.SIGCONT)
    assert first.wait(PATIENCE) == 0, first_said.read_text()[-4000:]
    assert project.content() == undisturbed.content() and project.left_over() == []
    record(
        "two Snakemakes started in one folder",
        "the second is started while a job of the first is stopped in its middle",
        "the second refuses (its folder is locked); the first ends as if alone",
    )


def test_what_an_earlier_runs_job_makes_while_the_next_run_is_planned_is_noticed(project, undisturbed):
    (values,) = project.results.rglob("values.npy")
    project.forget("scores/cxr/small")
    with open(project.results / runs.RECORD) as file:  # as a job does while it names its outputs
        fcntl.flock(file, fcntl.LOCK_SH)
        process = project.start()
        until(lambda: process.poll() is not None or "Job stats" in project.said.read_text(), project.said)
        made_by = seals.made_by(values)
        values.write_bytes(values.read_bytes()[:-4] + b"\0\0\0\0")
        seals.seal([values], made_by | {"params": made_by["params"] | {"micro_batch": 2}})
    assert process.wait(PATIENCE) != 0
    assert "values.npy: a job of an earlier run began to make it" in project.said.read_text()
    assert not (project.results / "scores/cxr/small").exists()
    project.run()
    assert project.content() == undisturbed.content()
    record(
        "Snakemake killed (SIGKILL); its job, with other params, ends while the next run is planned",
        "the next run is held where it is to enter itself, as by a job that names a file; maps and their "
        "seal are changed behind its plan",
        "it begins no job and says so; the run after it makes the maps again, and all equals the undisturbed "
        "run's",
    )


def test_outputs_without_seals_are_made_again_also_without_snakemakes_records(project, undisturbed):
    project.edit("study.yaml", "epochs: 3", "epochs: 2")
    project.forget("models/small")
    project.run(TARGET, "--until", "train")
    for output in seals.sealed(project.results / "models/small"):  # as if killed before it sealed them
        seals.seal_path(output).unlink()
    project.edit("study.yaml", "epochs: 2", "epochs: 3")
    shutil.rmtree(project.folder / ".snakemake")
    project.run()
    assert project.content() == undisturbed.content()
    record(
        "a training killed when its outputs had their names, before their seals; no records of Snakemake's",
        "a training of 2 epochs ends, its seals and `.snakemake` are deleted, one of 3 is asked for",
        "its outputs, which no seal vouches for, are made again; all equals the undisturbed run's",
    )


def test_what_a_job_finished_after_its_snakemake_was_killed_is_kept(project, undisturbed):
    (values,) = project.results.rglob("values.npy")
    project.forget("maps/cxr")
    first = project.start(at="values.npy", do="stop")
    job = project.disturbed(first)
    kill(first)
    os.kill(job, signal.SIGCONT)
    until(lambda: not alive(job))
    made = values.stat()
    project.unlock()
    project.run()
    assert (values.stat().st_ino, values.stat().st_mtime_ns) == (made.st_ino, made.st_mtime_ns)
    assert project.content() == undisturbed.content() and project.left_over() == []
    assert project.would_run(TARGET) == {}
    record(
        "Snakemake killed (SIGKILL); its job lives on and ends before the next run starts",
        "the job is stopped, Snakemake killed, the job let go; a second run starts when it has ended",
        "what it made is kept, though Snakemake knows it as incomplete; all equals the undisturbed run's",
    )


def test_a_job_on_a_cluster_that_fails_takes_nothing_away(project, undisturbed):
    """Between a cluster and a job there is a Snakemake, too. What lies there by then may be a later run's."""
    (values,) = project.results.rglob("values.npy")
    project.forget("maps/cxr")
    job = "attribute:dataset=cxr,model=small,seed=0,condition=clean,method=gradient"
    arguments = ("--mode", "remote", "--nolock", "--force", "--target-jobs", job)
    process = project.start(*arguments, at="maps.parquet", do="kill_half")
    project.disturbed(process)
    assert process.wait(PATIENCE) != 0
    assert values.exists(), project.said.read_text()[-3000:]
    project.run()
    assert project.content() == undisturbed.content() and project.left_over() == []
    record(
        "a job on a cluster is killed (SIGKILL), when a later run may have made its outputs already",
        "the job runs as on a cluster, under a Snakemake of its own (`--mode remote`), and is killed before "
        "its last output has its name",
        "that Snakemake takes no output away; the next run's results equal the undisturbed run's",
    )
