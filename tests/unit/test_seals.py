"""What a seal notices, and when two sets of params are one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from sightline.errors import IntegrityError
from sightline.running import seals

MADE_BY = {"params": {"code": "abc", "seed": 0, "recipe": {"side": 64}}}


@pytest.fixture
def output(tmp_path) -> Path:
    path = tmp_path / "values.npy"
    path.write_bytes(bytes(range(256)) * 100)
    seals.seal([path], MADE_BY)
    return path


def test_a_whole_file_passes_and_tells_how_it_was_made(output, tmp_path):
    seals.verify([output, tmp_path / "values.npy"])
    assert seals.made_by(output) == MADE_BY
    assert [(path, made) for path, made in seals.found(tmp_path)] == [(output, MADE_BY)]


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), ["25599 bytes", "25600"]),
        (lambda path: path.write_bytes(b"\1" + path.read_bytes()[1:]), ["content changed"]),
        (lambda path: path.unlink(), ["missing"]),
        (lambda path: seals.seal_path(path).write_text('{"bytes": 3'), ["not a whole seal"]),
        (lambda path: seals.seal_path(path).write_text("[3]"), ["not a whole seal"]),
        (
            lambda path: seals.seal_path(path).write_text('{"bytes": 3, "sha256": "a", "made_by": 3}'),
            ["not a whole seal"],
        ),
    ],
)
def test_a_damaged_file_is_named_with_a_remedy(output, damage, said):
    damage(output)
    with pytest.raises(IntegrityError) as raised:
        seals.verify([output])
    assert all(word in str(raised.value) for word in [str(output.name), "run again", *said])


def test_every_output_has_its_seal_and_equal_content_equal_seals(tmp_path):
    outputs = [tmp_path / name for name in ("a.csv", "b.csv")]
    for path in outputs:
        path.write_text(path.name)
    seals.seal(outputs, MADE_BY)
    first = [seals.seal_path(path).read_bytes() for path in outputs]
    seals.seal(outputs, {"params": dict(reversed(MADE_BY["params"].items()))})
    assert [seals.seal_path(path).read_bytes() for path in outputs] == first
    outputs[1].write_text("b.cSv")
    seals.verify(outputs[:1])
    with pytest.raises(IntegrityError, match=r"b\.csv"):
        seals.verify(outputs)


def test_a_file_without_seal_passes_and_a_missing_output_is_named(tmp_path):
    (tmp_path / "x").write_text("x")
    seals.verify([tmp_path / "x", tmp_path / "y"])
    assert seals.made_by(tmp_path / "x") is None
    with pytest.raises(IntegrityError, match="y: the job ended without"):
        seals.seal([tmp_path / "y"], MADE_BY)


@pytest.mark.parametrize("change", ["content", "name", "new", "gone"])
def test_a_folder_is_sealed_by_what_lies_in_it(tmp_path, change):
    folder = tmp_path / "phantom"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/a.csv").write_text("a")
    (folder / "b.csv").write_text("b")
    seals.seal([folder], MADE_BY)
    (folder / ".snakemake_timestamp").write_text("")
    seals.verify([folder])
    if change == "content":
        (folder / "deep/a.csv").write_text("c")
    elif change == "name":
        (folder / "b.csv").rename(folder / "c.csv")
    elif change == "new":
        (folder / "c.csv").write_text("")
    else:
        (folder / "b.csv").unlink()
    with pytest.raises(IntegrityError, match="phantom"):
        seals.verify([folder])


def test_a_moved_tree_keeps_its_seals(output, tmp_path):
    moved = shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "_moved"))
    seals.verify([moved / output.name])


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ({"x": (1, 2), "y": Path("a")}, {"y": "a", "x": [1, 2]}, True),
        ({"x": np.float64(0.1), "n": np.int64(3)}, {"n": 3, "x": 0.1}, True),
        ({"x": np.array([1, 2])}, {"x": [1, 2]}, True),
        ({"x": np.bool_(True)}, {"x": True}, True),
        ({"x": {"b", "a"}}, {"x": ["a", "b"]}, True),
        ({"x": float("nan")}, {"x": float("nan")}, True),
        ({"x": 1}, {"x": True}, False),
        ({"x": 1}, {"x": "1"}, False),
        ({"x": [1, 2]}, {"x": [2, 1]}, False),
        ({"x": None}, {}, False),
        ({"x": 0.1}, {"x": 0.1 + 2e-17}, False),
    ],
)
def test_params_are_compared_by_their_content(a, b, same):
    assert seals.same_params(a, b) is same


def test_params_that_cannot_be_recorded_are_refused():
    with pytest.raises(TypeError, match="object"):
        seals.canonical({"x": object()})


def test_the_digests_of_a_folder_are_those_of_its_files(tmp_path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/a").write_text("abc")
    (tmp_path / ".hidden").write_text("")
    abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert seals.digests(tmp_path) == {"deep/a": abc}


def test_a_jobs_identity_is_its_params_and_its_inputs_content(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("1")
    two.write_text("2")
    usual = seals.identity({"code": "a", "sides": (1, 2)}, [one, two])
    assert seals.identity({"sides": [1, 2], "code": "a"}, [str(one), two]) == usual
    assert seals.identity({"sides": [1, 2], "code": "b"}, [one, two]) != usual
    assert seals.identity({"sides": [1, 2], "code": "a"}, [two, one]) != usual
    two.write_text("3")
    assert seals.identity({"sides": [1, 2], "code": "a"}, [one, two]) != usual


def test_why_stale_names_the_params_that_differ(output):
    params = MADE_BY["params"]
    assert seals.why_stale(output, dict(params)) is None
    assert seals.why_stale(output, params | {"code": "abd"}) == "was made with other code"
    assert seals.why_stale(output, params | {"seed": 1, "batch": 2}) == "was made with other batch, seed"
    seals.seal_path(output).write_text("{")
    assert seals.why_stale(output, params) == "has a seal that is not whole"
    seals.seal_path(output).unlink()
    assert seals.why_stale(output, params) == "has no record of how it was made"
    output.unlink()
    assert seals.why_stale(output, params) == "missing"


def test_a_source_that_changed_under_an_older_time_is_found_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("data", "results"):
        Path(name).mkdir()
    table, own, output = Path("data/a.csv"), Path("results/b.csv"), Path("results/c.csv")
    for path in (table, own, output):
        path.write_text("former")
        os.utime(path, (1e9, 1e9))
    seals.seal([output], {"params": {}, "inputs": seals.sources([table, own])})
    for path in (table, own):
        os.utime(path, (1e9, 1e9))  # touched, with an old time
    assert seals.changed_sources(output) == []
    for path in (table, own):
        path.write_text("other!")
        os.utime(path, (2e9, 2e9))
    assert seals.changed_sources(output) == []  # newer: Snakemake asks after its content
    for path in (table, own):
        os.utime(path, (1e9, 1e9))
    assert seals.changed_sources(output) == ["data/a.csv"]  # the study's own files have seals
    assert seals.changed_sources(own) == []


def test_an_output_stands_while_its_params_inputs_and_size_are_those_of_its_seal(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.write_text(path.name)
    seals.seal([one], {"params": {}})
    seals.seal([two], {"params": {"side": 1}, "inputs": {str(one): seals.record(one)["sha256"]}})
    assert seals.stands(two, {"side": 1}) and not seals.stands(two, {"side": 2})
    two.write_text("longer")
    assert not seals.stands(two, {"side": 1})
    two.write_text("two")
    one.write_text("eno")
    seals.seal([one], {"params": {}})
    assert not seals.stands(two, {"side": 1})


def test_what_was_made_or_taken_away_behind_a_plan_is_named(output):
    planned = {str(output): seals.sealed_at(output), "none.parquet": seals.sealed_at("none.parquet")}
    seals.check_standing(planned)
    seals.seal_path(output).unlink()
    with pytest.raises(
        IntegrityError, match=f"{output.name}: a job of an earlier run began to make it.* start again"
    ):
        seals.check_standing(planned)
