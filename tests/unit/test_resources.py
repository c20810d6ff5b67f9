"""What jobs ask a cluster for grows with the work and with the attempt, and never with the scheduler."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from sightline.study import resources
from sightline.study.grid import Study
from sightline.study.resources import Work, cores, gpus, measured, megabytes, minutes, together

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted(
    line.split()[1].rstrip(":")
    for file in (ROOT / "rules").glob("*.smk")
    for line in file.read_text().splitlines()
    if line.startswith("rule ")
)
# config/cxr_gaze.yaml on all of MIMIC-CXR-JPG, as docs/scale.md measures it
LARGE = Work(
    images=202_639, evaluated=2_616, step=64 * 224**2, seen=75 * 202_639, pass_seconds=0.1, explained=2_616,
    explaining=285.0, probing=100.0, held=1.5e8, readings=4, inputs=2e7, cores=16,
)  # fmt: skip
# CPU seconds and gigabytes there, megabytes of the tables that it reads (as if compressed) and of arrays
FULL_SIZE = {
    "read_dataset": (22, 1.92, 55, 0),
    "render_gaze": (50, 0.41, 18, 0),
    "render_regions": (69, 1.11, 14, 0),
    "average_references": (48, 0.4, 14, 1900),
    "plan_costs": (12, 1.54, 19, 0),
    "summarise": (94, 2.06, 34, 0),
    "prepare": (2.52 * 3600, 0.31, 14, 0),
    "score": (0.524 * 3600 / 30, 0.0, 16, 0),
    "attribute": (1.16 * 3600 / 30, 0.0, 20, 0),
    "train": (484 * 3600, 4.3, 20, 0),
}
GROWING = {"read_dataset": 17.6, "render_gaze": 2.24, "render_regions": 6.29, "plan_costs": 6.65}
GROWING |= {"summarise": 18.5}  # gigabytes at ten times the size


def times(work: Work, factor: int) -> Work:
    """So many times the images and readings; networks, batches and cores stay."""
    grown = ("images", "evaluated", "seen", "explained", "explaining", "probing", "inputs", "arrays")
    return replace(work, **{name: factor * getattr(work, name) for name in grown})


@pytest.mark.parametrize("rule", FULL_SIZE)
def test_what_is_asked_for_covers_what_was_measured_and_not_far_more(rule):
    seconds, gigabytes, inputs, arrays = FULL_SIZE[rule]
    work = replace(LARGE, inputs=inputs * 1e6, arrays=arrays * 10**6)
    cores = work.cores if rule == "prepare" else 1
    assert 2 * seconds / cores / 60 < minutes(rule, work) < max(30, 100 * seconds / cores / 60)
    assert gigabytes < megabytes(rule, work) / 1000 < 20
    tenfold = times(work, 10)
    assert 2 * 10 * seconds / cores / 60 < minutes(rule, tenfold)
    assert GROWING.get(rule, gigabytes) < megabytes(rule, tenfold) / 1000 < 40


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_asks_for_more_at_each_attempt_and_no_less_for_more_work(rule):
    for asked in (megabytes, minutes):
        small, large = asked(rule, Work()), asked(rule, LARGE)
        assert 0 < small <= large
        assert [asked(rule, LARGE, attempt) for attempt in (2, 3)] == pytest.approx(
            [2 * large, 4 * large], abs=4
        )


def test_what_grows_with_what():
    more_images = replace(LARGE, images=10 * LARGE.images, seen=10 * LARGE.seen)
    assert minutes("train", more_images) == pytest.approx(10 * minutes("train", LARGE), rel=0.01)
    assert megabytes("train", replace(LARGE, step=2 * LARGE.step)) > megabytes("train", LARGE) + 10_000
    assert minutes("attribute", replace(LARGE, explaining=7200)) == 360  # three times what was forecast
    assert minutes("prepare", replace(LARGE, cores=8)) == pytest.approx(2 * minutes("prepare", LARGE), abs=1)
    assert minutes("score", replace(LARGE, area=64)) == pytest.approx(64 * minutes("score", LARGE), rel=0.05)


def test_a_share_asks_for_its_share_of_the_time():
    work = replace(LARGE, explaining=7200.0, shards=4)
    assert megabytes("attribute_shard", work) == megabytes("attribute", work)
    assert minutes("attribute_shard", work) == minutes("attribute", work) / 4


def test_a_job_that_joins_asks_for_what_copying_takes():
    work = replace(LARGE, inputs=2e6, arrays=10**10, explaining=1e6, held=1e11, cores=16, joins=True)
    for rule in ("prepare", "attribute", "probe", "score"):
        assert megabytes(rule, work) == 1500 + 60 * 2
        assert minutes(rule, work) == 26  # three times 10,000 MB at 20 MB/s, and two megabytes of tables


def test_no_more_is_asked_for_than_there_is():
    assert megabytes("train", LARGE, 3, most=40_000.9) == 40_000
    assert minutes("train", LARGE, 1, most=1440) == 1440
    assert minutes("attribute", LARGE, 1, most=1440) == 15


def test_tasks_of_an_array_ask_for_what_the_one_that_failed_needs():
    assert together(1, []) == 1 and together(1, [1, 3, 2]) == 3 and together(2, [1]) == 2


def test_a_gpu_is_asked_for_where_the_device_names_one():
    names = ("auto", "cpu", None, "cuda", "cuda:1")
    assert [gpus(name) for name in names] == [0, 0, 0, 1, 1]
    assert [gpus(name, here=2) for name in names] == [1, 0, 0, 1, 1]
    assert cores(16, 2) == 16 and cores(1, 4) == 4 and cores(1, None) == 1


@pytest.fixture
def study():
    config = yaml.safe_load((ROOT / "tests/slurm/study.yaml").read_text())
    return Study(config, ROOT / "workflow/schemas/config.schema.yaml")


def test_the_work_is_measured_from_what_is_there(study, tmp_path):
    nothing = measured(study, "train", tmp_path)
    assert (nothing.images, nothing.evaluated, nothing.explaining, nothing.inputs) == (0, 0, 0, 0)
    assert nothing.step == 8 * 32**2 and nothing.pass_seconds == pytest.approx(1e-6 * 32**2)

    table, planned = tmp_path / "datasets/cxr/images.parquet", tmp_path / "planned_costs.parquet"
    text, values = tmp_path / "films.csv", tmp_path / "values.npy"
    table.parent.mkdir(parents=True)
    pd.DataFrame({"image": ["a", "b", "c"], "evaluated": [True, False, True]}).to_parquet(table)
    text.write_text("x" * 3000)
    np.save(values, np.zeros((2, 8), np.float32))
    costs = {"dataset": "cxr", "model": "small", "images": 7, "memory_bytes": 5.0, "storage_bytes": 60.0}
    rows = [
        {"method": "gradcam", "probe": "", "cells": 2, "forwards": 10.0, "seconds": 40.0},
        {"method": "gradcam", "probe": "deletion", "cells": 2, "forwards": 100.0, "seconds": 8.0},
        {"method": "gradcam", "probe": "road", "cells": 1, "forwards": 100.0, "seconds": 3.0},
        {"method": "occlusion", "probe": "", "cells": 3, "forwards": 90.0, "seconds": 90.0},
        {"method": "occlusion", "probe": "road", "cells": 1, "forwards": 100.0, "seconds": 5.0},
    ]
    pd.DataFrame([costs | row for row in rows]).to_parquet(planned)
    found = measured(study, "train", tmp_path, map(str, [table, text, values, tmp_path / "absent"]), cores=3)
    assert (found.images, found.evaluated, found.seen, found.cores) == (3, 2, 6, 3)  # two epochs
    assert found.inputs == table.stat().st_size + 100 and found.arrays == values.stat().st_size
    assert (found.explaining, found.probing, found.explained) == (30.0, 7.0, 7)  # of one cell
    assert (found.pass_seconds, found.held, found.readings, found.area) == (2.0, 5.0, 1, 4.0)


def test_each_rule_has_its_own_shards(study, tmp_path):
    study.config["limits"]["shards"] = {"prepare": 8, "attribute": 1, "probe": 1, "score": 4}
    found = {
        rule: measured(study, rule, tmp_path) for rule in ("prepare", "prepare_shard", "attribute", "train")
    }
    assert {rule: (work.shards, work.joins) for rule, work in found.items()} == {
        "prepare": (8, True), "prepare_shard": (8, False), "attribute": (1, False), "train": (1, False)
    }  # fmt: skip


def test_a_table_cut_short_is_left_to_the_job_that_reads_it(study, tmp_path):
    planned = tmp_path / "planned_costs.parquet"
    planned.write_bytes(b"PAR1")
    assert measured(study, "train", tmp_path).explaining == 0
    shutil.copy(__file__, planned)
    assert measured(study, "train", tmp_path).explaining == 0


def test_the_table_of_rules_names_rules():
    named = set(resources.MEMORY) | set(resources.SECONDS) | resources.USE_TORCH
    assert named <= set(RULES)


def test_the_profiles_differ_in_where_jobs_run_alone():
    usual, slurm = (
        yaml.safe_load((ROOT / f"workflow/profiles/{name}/config.yaml").read_text())
        for name in ("default", "slurm")
    )
    assert {key: slurm[key] for key in usual} == usual
    assert {rule.removesuffix("_shard") for rule in slurm["slurm-array-jobs"].split(",")} <= set(RULES)
    text = (ROOT / "workflow/Snakefile").read_text().split("localrules:")[1].split("rule all:")[0]
    assert {line.strip(" ,") for line in text.splitlines() if line.strip()} <= {*RULES, "all"}
