"""The study on a SLURM: the same numbers as on one machine, and nothing to do again after the move."""

import csv
import re

from tests.slurm import cluster as slurm
from tests.slurm.conftest import HERE, ON_SLURM, accounted


def test_the_numbers_are_those_of_one_machine(both):
    here, there = both
    ours, theirs = here.numbers(), there.numbers()
    assert {"summary.parquet", "models/small/seed0/weights.safetensors"} <= set(ours)
    assert {"maps/cxr/small/seed0/clean/occlusion/values.npy", "prepared/cxr/pixels.npy"} <= set(ours)
    assert set(ours) == set(theirs)
    assert [name for name, content in ours.items() if content != theirs[name]] == []


def test_all_but_short_rules_ran_as_jobs_of_slurm(both):
    said = both[1].said()
    assert re.findall(r"^localrule (\w+):", said, re.M) == ["check_inputs"]
    submitted = re.findall(r"has been submitted with SLURM jobid (\d+)", said)
    arrays = re.findall(r"Submitted array job with Snakemake IDs ([\d,]+)", said)
    tasks = [job for array in arrays for job in array.split(",")]
    assert len(submitted) + len(tasks) == 14 and "15 of 15 steps (100%) done" in said


def test_wide_rules_are_arrays_where_their_jobs_are_ready_together(both):
    jobs = [job for job in accounted(both[1]) if "rule_attribute" in job["Comment"]]
    tasks = {tuple(job["JobID"].split("_")) for job in jobs}
    assert len({array for array, _ in tasks}) == 1 and {task for _, task in tasks} == {"1", "2"}


def test_jobs_ask_for_what_their_rules_say(both):
    jobs = {job["Comment"]: job for job in accounted(both[1]) if job["Comment"]}
    assert jobs["rule_prepare_wildcards_cxr"]["ReqCPUS"] == "2"
    assert (jobs["rule_summarise"]["Timelimit"], jobs["rule_summarise"]["ReqCPUS"]) == ("00:15:00", "1")
    assert {job["Account"] for job in jobs.values()} == {slurm.ACCOUNT}
    memory = {name: float(job["ReqMem"].removesuffix("M")) for name, job in jobs.items()}
    assert memory["rule_train_wildcards_small_0"] > 3000 > 2000 > memory["rule_summarise"] > 1000


def test_the_move_there_and_back_reruns_nothing(both):
    here, there = both
    others = ("--set-resources", "train:device=cuda", "score:mem_mb=9000")
    for project, arguments in ((here, (*ON_SLURM, *others)), (there, HERE)):
        assert "Nothing to be done" in project.run(*arguments, "--dry-run")


def test_what_a_job_tells_is_in_its_slurm_log(both):
    assert "Explaining will take about" in both[1].slurm_logs("plan_costs")


def test_the_efficiency_of_every_job_is_told(both):
    (report,) = (both[1].folder / "results/slurm").glob("efficiency_report_*.csv")
    with open(report, newline="") as file:
        rows = {row["RuleName"]: row for row in csv.DictReader(file)}
    assert float(rows["rule_prepare_wildcards_cxr"]["Memory Usage (%)"]) > 0
    assert float(rows["rule_prepare_wildcards_cxr"]["CPU Efficiency (%)"]) > 0
