"""What a cluster does to jobs: cancelled, out of time, out of memory, a node drained. The numbers stay."""

import pytest

from tests.faults.record import record


@pytest.fixture
def unchanged(both, disturbed) -> str:
    """Words on the comparison of the disturbed study's numbers with the undisturbed one's, byte for byte."""
    ours, theirs = both[0].numbers(), disturbed.project.numbers()
    assert set(ours) == set(theirs)
    assert [name for name, content in ours.items() if content != theirs[name]] == []
    return f"all {len(ours)} tables, maps and weights equal the undisturbed run's"


def test_a_cancelled_job_is_submitted_again(disturbed, unchanged):
    states = disturbed.states("rule_attribute", "gradcam")
    assert states == ["CANCELLED", "COMPLETED"]
    record(
        "SLURM: a job is cancelled",
        "`scancel` of a running job that explains",
        f"the job ends as {' and then '.join(states)}; {unchanged}",
    )


def test_a_job_out_of_time_is_given_more(disturbed, unchanged):
    jobs = disturbed.of("rule_attribute", "occlusion")
    states, limits = [job["State"] for job in jobs], [job["Timelimit"] for job in jobs]
    assert states == ["TIMEOUT", "COMPLETED"] and limits == ["00:01:00", "00:30:00"]
    record(
        "SLURM: a job takes longer than it asked for",
        "the process that explains is stopped (SIGSTOP), its limit cut to a minute: SLURM ends it there",
        f"the job ends as {' and then '.join(states)} with {' and then '.join(limits)}; {unchanged}",
    )


def test_a_job_out_of_memory_is_given_more(disturbed, unchanged):
    first, second = disturbed.of("rule_train")
    assert first["State"] in ("FAILED", "OUT_OF_MEMORY") and second["State"] == "COMPLETED"
    assert [first["ReqMem"], second["ReqMem"]] == ["450M", "1800M"]
    (step,) = [step for step in disturbed.steps(first) if step["JobID"].endswith(".0")]
    assert step["ExitCode"] == "0:9" and int(step["MaxRSS"].removesuffix("K")) > 450 * 1024
    assert "exceeded memory limit" in disturbed.project.slurm_logs("train")
    record(
        "SLURM: a job takes more memory than it asked for",
        "the training asks for 450 MB at its first attempt; SLURM ends it when it holds more",
        f"its step is killed at {int(step['MaxRSS'].removesuffix('K')) // 1024} MB, the second attempt "
        f"({second['ReqMem']}) ends as {second['State']}; {unchanged}",
    )


def test_a_node_is_drained_and_resumed(disturbed, unchanged):
    assert disturbed.waited
    assert disturbed.states("rule_summarise") == ["COMPLETED"]
    record(
        "SLURM: the node is drained, and resumed later",
        "`scontrol update state=drain` while one job runs and another is to be submitted, later `resume`",
        f"the job waits in the queue and runs when the node is back; {unchanged}",
    )
