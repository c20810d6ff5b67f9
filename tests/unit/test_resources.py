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
from sightline.study.resources import Work, cores, gpus, measured, megabytes, minutes

ROOT = Path(__file__).resolve().parents[2]
RULES = sorted(
    line.split()[1].rstrip(":")
    for file in (ROOT / "rules").glob("*.smk")
    for line in file.read_text().splitlines()
    if line.startswith("rule ")
)
LARGE = Work(
    images=377_110, pixels=19 * 10**9, references=10**9, side=224, step=64 * 224**2, seen=75 * 300_000,
    pass_seconds=0.02, explained=2_616, explaining=7_200, probing=3_600, held=2e9, stored=1e9,
    inputs=10**8, cores=16,
)  # fmt: skip


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
    assert megabytes("attribute", replace(LARGE, pixels=0)) == megabytes("attribute", LARGE) - 19_000
    assert minutes("attribute", LARGE) == 360 == 2 * minutes("probe", LARGE)  # three times what was forecast
    assert minutes("prepare", replace(LARGE, cores=8)) == pytest.approx(2 * minutes("prepare", LARGE), abs=1)
    assert megabytes("attribute_shard", LARGE) == megabytes("attribute", LARGE)
    assert minutes("attribute_shard", replace(LARGE, shards=4)) == minutes("attribute", LARGE) / 4


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
    nothing = measured(study, tmp_path)
    assert (nothing.images, nothing.pixels, nothing.explaining, nothing.inputs) == (0, 0, 0, 0)
    assert nothing.step == 8 * 32**2 and nothing.pass_seconds == pytest.approx(1e-6 * 32**2)

    table, store = tmp_path / "datasets/cxr/images.parquet", tmp_path / "prepared/cxr/pixels.npy"
    references, planned = tmp_path / "references/cxr/gaze.npy", tmp_path / "planned_costs.parquet"
    for file in (table, store, references):
        file.parent.mkdir(parents=True)
    pd.DataFrame({"image": ["a", "b", "c"]}).to_parquet(table)
    np.save(store, np.zeros((3, 32, 32), np.uint8))
    np.save(references, np.zeros((2, 8), np.float32))
    costs = {"dataset": "cxr", "model": "small", "images": 7, "memory_bytes": 5.0, "storage_bytes": 60.0}
    rows = [
        {"method": "gradcam", "probe": "", "cells": 2, "forwards": 10.0, "seconds": 40.0},
        {"method": "gradcam", "probe": "deletion", "cells": 2, "forwards": 100.0, "seconds": 8.0},
        {"method": "gradcam", "probe": "road", "cells": 1, "forwards": 100.0, "seconds": 3.0},
        {"method": "occlusion", "probe": "", "cells": 3, "forwards": 90.0, "seconds": 90.0},
        {"method": "occlusion", "probe": "road", "cells": 1, "forwards": 100.0, "seconds": 5.0},
    ]
    pd.DataFrame([costs | row for row in rows]).to_parquet(planned)
    found = measured(study, tmp_path, [str(table), str(tmp_path / "absent")], cores=3)
    assert (found.images, found.seen, found.cores) == (3, 6, 3)  # two epochs
    assert found.pixels == store.stat().st_size and found.references == references.stat().st_size
    assert found.inputs == table.stat().st_size
    assert (found.explaining, found.probing, found.explained) == (30.0, 7.0, 7)  # of one cell
    assert (found.pass_seconds, found.held, found.stored) == (2.0, 5.0, 30.0)


def test_a_table_cut_short_is_left_to_the_job_that_reads_it(study, tmp_path):
    planned = tmp_path / "planned_costs.parquet"
    planned.write_bytes(b"PAR1")
    assert measured(study, tmp_path).explaining == 0
    shutil.copy(__file__, planned)
    assert measured(study, tmp_path).explaining == 0


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
