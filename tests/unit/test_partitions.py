"""What a SLURM offers, as sinfo tells it: no job asks for more."""

import math

import pytest

from sightline.running import partitions
from sightline.running.partitions import Offer, of, told

LISTING = """short* 64000 4:00:00
short* 128000 4:00:00
long 64000 7-00:00:00
gpu 256000+ 30:00
debug 8000 infinite
"""


def test_the_largest_node_and_the_longest_time_of_each_partition():
    offers = told(LISTING)
    assert offers["short"] == offers[partitions.DEFAULT] == Offer(121_600, 240)
    assert offers["long"] == Offer(60_800, 7 * 24 * 60)
    assert offers["gpu"] == Offer(243_200, 30) and offers["debug"] == Offer(7_600, math.inf)
    assert told("") == told("sinfo: error\n") == {}


def test_a_job_is_held_against_the_partition_that_it_names():
    offers = told(LISTING)
    assert of(offers, None) == offers["short"] and of(offers, "gpu") == offers["gpu"]
    assert of(offers, "gpu,long") == Offer(243_200, 7 * 24 * 60)  # SLURM takes one of them
    assert of(offers, "elsewhere") == of({}, None) == Offer(math.inf, math.inf)


@pytest.mark.parametrize("answer", ["exit 1", "echo 'slurm_load_partitions: Unable to contact'"])
def test_without_an_answer_nothing_is_limited(tmp_path, monkeypatch, answer):
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    (tmp_path / "sinfo").write_text(f"#!/bin/sh\n{answer}\n")
    (tmp_path / "sinfo").chmod(0o755)
    assert partitions.offered() == {}
    (tmp_path / "sinfo").write_text("#!/bin/sh\necho 'only* 1000 1:00:00'\n")
    assert partitions.offered() == {"only": Offer(950, 60), partitions.DEFAULT: Offer(950, 60)}
    monkeypatch.setenv("PATH", "")
    assert partitions.offered() == {}
