"""Work cut into shards and joined: the bytes and the seals of one job, whatever the number of shards."""

import gzip
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scripts import attribute

from sightline import arrays, collected, shards, tables
from sightline.errors import ConfigError, IntegrityError, TableError
from sightline.outcomes import Absent, MapsOf
from sightline.preparing import preparation
from sightline.running import jobs, seals
from sightline.running.limited import resident_bytes
from sightline.scores import score_files, scoring
from sightline.shards import WHOLE, Shard
from sightline.study import sharding
from tests.unit.test_attribute import AXES, Cell, Outputs
from tests.unit.test_jobs import Named
from tests.unit.test_preparation import files_in, images_table
from tests.unit.test_preparation_options import idx_bytes
from tests.unit.test_study import study

COUNTS = [1, 2, 3, 9]  # of 9 some have no image
SHAPE = (12, 16)
DIGEST = "0123456789abcdef"


def folders(folder: Path, count: int) -> list[tuple[Shard, Path]]:
    """Each of `count` shards with the folder in which the rules would let it write."""
    names = shards.names(count, DIGEST)
    return [(shards.named(name), folder / "shards" / name) for name in names]


def contents(files) -> dict[str, bytes]:
    return {Path(file).name: Path(file).read_bytes() for file in files}


# ---- what a shard is


def test_a_shard_is_named_after_its_place_and_after_what_it_is_a_part_of():
    assert shards.names(3, DIGEST) == [f"{at}of3.0123456789ab" for at in (1, 2, 3)]
    assert [shards.named(name) for name in shards.names(3, DIGEST)] == [Shard(at, 3) for at in range(3)]
    assert shards.named(None) == WHOLE and WHOLE.of([1, 2]) == [1, 2]
    for name in ("1of3", "0of3.0123456789ab", "4of3.0123456789ab", "1of3.0123456789ab/.."):
        with pytest.raises(ConfigError, match="shard"):
            shards.named(name)


def test_outputs_of_shards_by_name(tmp_path):
    files = [folder / name for _, folder in folders(tmp_path, 2) for name in ("maps.parquet", "values.npy")]
    assert shards.parts(files) == {"maps.parquet": files[::2], "values.npy": files[1::2]}
    assert all(map(shards.is_part, files)) and not shards.is_part(tmp_path / "maps.parquet")
    with pytest.raises(IntegrityError, match="2of2.*lacks a file"):
        shards.parts(files[:-1])


def test_how_many_shards_a_study_has_and_that_they_count_as_jobs():
    stages = {stage: 1 for stage in sharding.STAGES}
    whole = study()
    assert {stage: sharding.count(whole, stage) for stage in stages} == stages
    cut = study(**{"limits.shards": {"attribute": 4, "prepare": 2}})
    assert {stage: sharding.count(cut, stage) for stage in stages} == stages | {"attribute": 4, "prepare": 2}
    assert cut.jobs == whole.jobs + 4 * len(whole.cells) + 2 * len(whole.datasets)
    with pytest.raises(ConfigError, match="limits.shards"):
        study(**{"limits.shards": 2, "limits.max_jobs": whole.jobs + 3})
    for wrong in (0, {"attributed": 2}):
        with pytest.raises(ConfigError, match="limits.shards"):
            study(**{"limits.shards": wrong})
    assert "shards" not in sharding.limits_that_tell(cut)


# ---- tables and arrays in little memory


@pytest.mark.parametrize("size", [0, 1, 37])
def test_collected_rows_are_the_bytes_of_a_table_written_at_once(size, tmp_path, monkeypatch):
    monkeypatch.setattr(collected, "AT_ONCE", 5)
    columns = list(tables.SCHEMAS["maps"].columns)
    place = {"shape": [2, 3], "scale": [0.5, 0.25], "shift": [0.0, 1.5], "matrix": None, "gap": float("nan")}
    rows = [
        {"dataset": "d", "model": "m", "seed": 0, "condition": "clean", "method": "x", "image": f"ü{at % 7}"}
        | {"target": f"t{at}", "source": "", "status": "ok", "reason": None, "offset": at, "identity": None}
        | {"signed": at % 2 == 0, "all_zero": False, "non_finite": 0}
        | (place if at % 3 else dict.fromkeys([*place, "offset"]))
        for at in np.random.default_rng(0).permutation(size)
    ]
    np.save(tmp_path / "values.npy", np.zeros(3))
    table = collected.Collected("maps", tmp_path / "collected")
    for start in range(0, size, 3):
        table.add(rows[start : start + 3])
    table.write(values=tmp_path / "values.npy")
    frame = pd.DataFrame(rows, columns=columns)
    tables.write("maps", frame, tmp_path / "at_once", values=tmp_path / "values.npy")
    assert (tmp_path / "collected").read_bytes() == (tmp_path / "at_once").read_bytes()
    monkeypatch.setattr(collected, "ROW_GROUP", 4)  # row groups change the bytes, not what is read
    collected.join("maps", [tmp_path / "at_once"], tmp_path / "grouped")
    read = [tables.read("maps", tmp_path / name) for name in ("grouped", "at_once")]
    pd.testing.assert_frame_equal(*read)


def test_two_rows_of_one_key_are_refused(tmp_path):
    table = collected.Collected("inventory", tmp_path / "inventory.parquet")
    table.add([("d", name, 1, "") for name in ("b", "a", "b")])
    with pytest.raises(TableError, match=r"inventory.parquet: .* more than one row for .*'path': 'b'"):
        table.write()
    assert list(tmp_path.iterdir()) == []


def test_of_a_mapped_file_little_counts_as_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 2_000_000)
    with arrays.Writer(tmp_path / "flat.npy", np.float32) as writer:
        for number in range(60):
            writer.append(np.full(250_000, number))
    flat = arrays.open_flat(tmp_path / "flat.npy")
    first, before = arrays.view(flat, 0, (250_000,)), resident_bytes(jobs.os.getpid())
    held = []
    for number in range(60):
        assert arrays.view(flat, number * 250_000, (500, 500)).sum() == number * 250_000
        held.append(resident_bytes(jobs.os.getpid()) - before)
    assert max(held) < 20_000_000 < flat.nbytes / 2
    assert first.sum() == 0  # a view from before


def test_files_of_other_values_are_not_appended(tmp_path):
    with arrays.Writer(tmp_path / "bytes.npy", np.uint8) as writer:
        writer.append(np.arange(5))
    wrong = pytest.raises(IntegrityError, match="uint8, expected float32")
    with wrong, arrays.Writer(tmp_path / "floats.npy", np.float32) as writer:
        writer.append_file(tmp_path / "bytes.npy")
    assert not (tmp_path / "floats.npy").exists()


# ---- the stages


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> tuple[Path, pd.DataFrame]:
    """Two films, one cut short, and three pictures of one container."""
    folder = tmp_path_factory.mktemp("films")
    random = np.random.default_rng(2)
    for name in ("a.png", "b.png", "z.png"):
        Image.fromarray(random.integers(0, 255, (30, 40), dtype=np.uint8)).save(folder / name)
    (folder / "b.png").write_bytes((folder / "b.png").read_bytes()[:300])
    pictures = random.integers(0, 255, (3, 30, 40), dtype=np.uint8)
    (folder / "held.idx.gz").write_bytes(gzip.compress(idx_bytes(pictures)))
    names = ["a.png", "b.png", "z.png", *(f"held.idx.gz#{number}" for number in range(3))]
    table = images_table([(name, "test", (30, 40)) for name in names])
    return folder, table.assign(image=names)


@pytest.mark.parametrize("count", COUNTS)
def test_prepared_pictures_joined_are_those_of_one_job(count, films, tmp_path):
    root, images = films
    preparation.prepare(images, root, [16, 24], files_in(tmp_path / "whole"))
    made = []
    for shard, folder in folders(tmp_path, count):
        files = files_in(folder)
        preparation.prepare(images, root, [16, 24], files, shard=shard)
        made += files.values()
    preparation.join(shards.parts(made), files_in(tmp_path / "joined"))
    whole, joined = (contents(files_in(tmp_path / name).values()) for name in ("whole", "joined"))
    assert whole == joined and len(whole) == 6
    assert len(tables.read("skipped", tmp_path / "joined/skipped.parquet")) == 1


@pytest.mark.parametrize("count", COUNTS)
def test_maps_and_predictions_joined_are_those_of_one_job(count, tmp_path):
    def outputs(folder):
        names = {"maps": "maps.parquet", "values": "values.npy", "predictions": "predictions.parquet"}
        return Outputs(**{name: folder / file for name, file in names.items()})

    cell, axes = Cell("gradient"), AXES | {"method": "gradient"}
    attribute.explain(cell, axes, outputs(tmp_path / "whole"))
    made = []
    for shard, folder in folders(tmp_path, count):
        attribute.explain(cell, axes, outputs(folder), shard)
        made += outputs(folder)
    attribute.join(shards.parts(made), outputs(tmp_path / "joined"))
    assert contents(outputs(tmp_path / "whole")) == contents(outputs(tmp_path / "joined"))


def scored(shard: Shard):
    """Rows of six films, two of one subject, one without a map, against a region: some need all films."""
    films = pd.DataFrame({"image": list("abcdef"), "subject": list("sstuvw")})
    saliency = {name: np.random.default_rng(at).random(SHAPE) for at, name in enumerate("abcde")}
    saliency["f"] = Absent("failed", "out of memory")
    lungs = scoring.RegionReference("lungs", lambda image: np.arange(192).reshape(SHAPE) % ord(image) < 30)
    names = ["iou_tuned", "mass_inside", "gini"]
    return scoring.rows_of(shard.of(films), ["x", "y"], lambda image, _: saliency[image], [lungs], names)


@pytest.mark.parametrize("count", COUNTS)
def test_scores_joined_are_those_of_one_job_also_where_a_value_needs_all_films(count, tmp_path):
    of = MapsOf("d", "m", 3, "clean", "x")
    score_files.write(of, scored(WHOLE), tmp_path / "whole.parquet")
    tables.write("scores", scoring.table(of, list(scored(WHOLE))), tmp_path / "at_once.parquet")
    made = []
    for shard, folder in folders(tmp_path, count):
        files = [folder / "scores.parquet", folder / "unsettled.parquet"]
        score_files.write(of, scored(shard), *files)
        made += files
    score_files.join(shards.parts(made), tmp_path / "joined.parquet")
    whole, joined, at_once = (
        (tmp_path / f"{name}.parquet").read_bytes() for name in ("whole", "joined", "at_once")
    )
    assert whole == joined == at_once
    tuned = tables.read("scores", tmp_path / "joined.parquet").query("metric == 'iou_tuned'")
    assert (tuned["status"] == "ok").sum() == 10


# ---- the job that joins


@pytest.fixture
def cut(tmp_path, monkeypatch) -> list[Path]:
    """Two shards of a job, each made by a job of its own from images.csv."""
    monkeypatch.chdir(tmp_path)
    Path("images.csv").write_text("images")
    made = []
    for shard, folder in folders(Path("cell"), 2):
        folder.mkdir(parents=True)
        file = folder / "scores.csv"
        with jobs.recorded(
            ["images.csv"], [file], Named(code="abc"), [f"logs/score_shard/{shard.index}.log"]
        ):
            file.write_text(f"{shard.index}\n")
        costs = jobs.costs_path(file)
        spent = {
            "seconds": 100.0 + shard.index,
            "cpu_seconds": 10.0,
            "peak_bytes": 10**15,
            "device": "Card A",
        }
        seals.write_json(costs, json.loads(costs.read_text()) | spent)
        made.append(file)
    return made


def joining(parts):
    read = Named(images="images.csv", shards=list(parts))
    log = ["logs/score/cell.log"]
    return jobs.recorded(read, ["cell/scores.csv"], Named(code="abc"), log, joined=parts)


def test_the_seal_is_that_of_one_job_costs_add_up_and_shards_are_gone(cut):
    with joining(cut):
        Path("cell/scores.csv").write_text("".join(file.read_text() for file in cut))
    sealed = seals.seal_path("cell/scores.csv").read_bytes()
    costs = json.loads(jobs.costs_path("cell/scores.csv").read_text())
    assert 201 < costs["seconds"] < 211 and 20 <= costs["cpu_seconds"] < 30
    assert (costs["peak_bytes"], costs["device"]) == (10**15, "Card A")
    assert not Path("cell/shards").exists() and Path("cell/scores.csv").exists()
    with joining([]):  # whole
        Path("cell/scores.csv").write_text("0\n1\n")
    assert seals.seal_path("cell/scores.csv").read_bytes() == sealed


@pytest.mark.parametrize("damage", ["flipped", "missing", "of other images"])
def test_a_damaged_shard_is_named_and_nothing_is_joined(cut, damage, capfd):
    if damage == "flipped":
        cut[1].write_text("7\n")
    elif damage == "missing":
        cut[1].unlink()
    else:
        Path("images.csv").write_text("others")
    with pytest.raises(SystemExit), joining(cut):
        Path("cell/scores.csv").write_text("joined")
    said = capfd.readouterr().err
    assert cut[0 if damage == "of other images" else 1].as_posix() in said
    assert ("made from another images.csv" in said) == (damage == "of other images")
    assert not Path("cell/scores.csv").exists() and cut[0].exists()
