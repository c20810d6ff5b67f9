"""Of any number of a study: from what it came; and the record that says so names nobody and no place."""

import json
from pathlib import Path

import pandas as pd
import pytest

from sightline import provenance, tables, trace
from sightline.errors import SightlineError
from sightline.running import jobs, seals
from sightline.study import recorded
from sightline.watching import lineage, study_record
from tests.unit.test_study import study as study_with

STUDY = Path("results/s")
AXES = {"dataset": "cxr", "model": "small", "seed": 0, "condition": "clean"}
CONFIG = {"study": "s", "datasets": {"cxr": {"adapter": {"name": "inbreast"}}}, "weights": "/srv/anna/w.bin"}
SEEDS = {"study": 0, "models": {"small": [0]}}
COLUMNS = ["dataset", "model", "seed", "condition", "image", "label", "logit", "probability", "truth"]


def job(name: str, inputs: list, outputs: dict, **params) -> None:
    """A job that writes `outputs` (place below the study's folder -> text, or what writes it)."""
    paths = [STUDY / path for path in outputs]
    given = {"code": f"{name} code", **params}
    with jobs.recorded(inputs, paths, given, [STUDY / f"logs/{name}.log"]):
        for path, content in zip(paths, outputs.values()):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content) if isinstance(content, str) else content(path)


def inventory(path: Path) -> None:
    rows = {"dataset": "cxr", "path": ["patient77/a.png", "patient78/b.png"], "bytes": [3, 4]}
    tables.write("inventory", pd.DataFrame(rows | {"sha256": ["aa", "bb"]}), path)


def summary(path: Path) -> None:
    rows = [{"dataset": "cxr", "model": "small", "method": name, "value": 0.5} for name in ("gradcam", "lrp")]
    pd.DataFrame(rows).to_parquet(path)


@pytest.fixture
def study(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(jobs, "set_threads", lambda count: None)
    Path("data/cxr").mkdir(parents=True)
    Path("data/cxr/images.csv").write_text("image\n")
    Path("requirements.lock").write_text("pandas==0.0.1\nnumpy==1.2.3 \\\n  --hash=x\n")
    job(
        "read_dataset/cxr",
        ["data/cxr/images.csv", str(tmp_path.parent / "private/marks.csv")],
        {"datasets/cxr/images.parquet": "i"},
        options={"patients": ["patient77"], "folder": "/srv/anna/films"},
    )
    job(
        "prepare/cxr",
        [STUDY / "datasets/cxr/images.parquet"],
        {"prepared/cxr/pixels.npy": "p", "prepared/cxr/inventory.parquet": inventory},
    )
    for method in ("gradcam", "lrp"):
        cell = f"cxr/small/seed0/clean/{method}"
        name = cell.replace("/", ".")
        pixels = STUDY / "prepared/cxr/pixels.npy"
        job(f"attribute/{name}", [pixels], {f"maps/{cell}/values.npy": method}, method=method)
        values = STUDY / f"maps/{cell}/values.npy"
        job(f"score/{name}", [values], {f"scores/{cell}.parquet": method}, metrics=["ncc"])
    scores = sorted((STUDY / "scores").rglob("*.parquet"))
    job("summarise", scores, {"summary.parquet": summary}, resamples=200)
    provenance.keep(STUDY, {"prepare/cxr code": lambda: {"script": "1"}, "unused": dict})
    return STUDY


def record_of(study: Path) -> dict:
    found = study_record.of_study(study, CONFIG, SEEDS, ["patients"], Path("requirements.lock"))
    seals.write_json(study / study_record.NAME, found)
    return json.loads((study / study_record.NAME).read_text())


def test_the_record_says_of_what_by_what_and_on_what_everything_was_made(study):
    record = record_of(study)
    assert record["seeds"] == SEEDS and record["study"] == "s"
    assert set(record["jobs"]) == {made.job for made in lineage.read(study).values()}
    prepare = record["jobs"]["prepare/cxr"]
    images = seals.record(study / "datasets/cxr/images.parquet")["sha256"]
    assert prepare["inputs"] == {"datasets/cxr/images.parquet": images}
    assert prepare["costs"]["seconds"] > 0 and prepare["costs"]["device"] == "cpu"
    assert record["code"] == {"prepare/cxr code": {"script": "1"}}
    assert record["params"][record["jobs"]["summarise"]["params"]] == {"resamples": 200}
    assert record["datasets"]["cxr"]["images"] == {
        "files": 2,
        "bytes": 7,
        "sha256": study_record.digest_of_all(["bb", "aa"]),
    }
    assert set(record["datasets"]["cxr"]["tables"]) == {"data/cxr/images.csv", ".../marks.csv"}
    lock = record["environment"]["lock"]
    assert lock["packages"] == {"pandas": "0.0.1", "numpy": "1.2.3"}
    assert lock["installed_otherwise"]["pandas"] == pd.__version__
    assert sum(record["hardware"]["processor"].values()) == len(record["jobs"])


def test_the_record_names_no_patient_and_no_place_outside_the_project(study, tmp_path):
    record_of(study)
    text = (study / study_record.NAME).read_text()
    for marked in ("patient7", "anna", str(tmp_path), "private", str(Path.home())):
        assert marked not in text
    assert '".../w.bin"' in text and study_record.LEFT_OUT in text


def test_a_file_that_an_identifying_option_names_is_not_named(study):
    Path("lists").mkdir()
    files = ["data/cxr/images.csv", "lists/patient77.tcia", "lists/patient78.tcia"]
    for text, file in zip("xy", files[1:]):
        Path(file).write_text(text)
    options = {"manifest": files[1:], "tables": files[:1]}
    job("download/cxr", files, {"downloads/cxr.json": "{}"}, options=options)
    found = study_record.of_study(study, CONFIG, SEEDS, ["manifest", "patients"], Path("requirements.lock"))
    upstream = found["jobs"]["download/cxr"]["upstream"]
    assert list(upstream) == ["data/cxr/images.csv", "(left out) 2", "(left out) 3"]
    assert len(set(upstream.values())) == 3  # each digest is kept
    assert "patient7" not in json.dumps(found)


def test_many_upstream_files_are_one_digest(study):
    many = {f"data/cxr/patient{number}.csv": "aa" for number in range(30)}
    assert study_record._few(many) == {"data/cxr (30 files)": study_record.digest_of_all(many.values())}
    many["/elsewhere/list.csv"] = "bb"
    assert list(study_record._few(many)) == ["several folders (31 files)"]


def test_a_table_is_traced_down_to_upstream_files(study, capsys):
    record_of(study)
    assert trace.main([str(study / "summary.parquet"), "--all"]) == 0
    said = capsys.readouterr().out
    digest = seals.record(study / "datasets/cxr/images.parquet")["made_by"]["inputs"]["data/cxr/images.csv"]
    assert f"data/cxr/images.csv  {digest}  (upstream)" in said
    assert "summarise, code summarise co" in said and '{"resamples": 200}' in said
    assert (
        said.index("summary.parquet") < said.index("scores/") < said.index("maps/") < said.index("prepared/")
    )
    assert "2 image files, digest of all" in said
    assert said.count("prepared/cxr/pixels.npy") == 1  # both methods' maps were made from it


def test_rows_narrow_the_trace_to_their_files(study):
    said = trace.trace(study / "summary.parquet", ["method=lrp"])
    assert said.startswith("1 row; files of dataset cxr, method lrp, model small\n")
    assert "clean/lrp" in said and "gradcam" not in said
    assert "clean/gradcam" in trace.trace(study / "summary.parquet", ["model=small"])


@pytest.mark.parametrize(
    ("place", "kept"),
    [
        ("scores/cxr/small/seed0/clean/lrp.parquet", True),
        ("scores/cxr/small/seed0/clean/gradcam.parquet", False),
        ("scores/cxr/baselines.parquet", True),
        ("scores/own/baselines.parquet", False),
        ("models/small/seed1/weights.safetensors", False),
        ("models/other/seed0/weights.safetensors", False),
        ("prepared/cxr/pixels.npy", True),
        ("strata.parquet", True),
    ],
)
def test_files_are_told_apart_by_their_place(place, kept):
    axes = {"dataset": "cxr", "model": "small", "seed": "0", "method": "lrp"}
    assert trace.narrowed(place, axes) is kept


def test_a_copy_without_seals_is_traced_by_its_record(study):
    said = trace.trace(study / "summary.parquet")
    record_of(study)
    with_record = trace.trace(study / "summary.parquet")
    for path in seals.sealed(study):
        seals.seal_path(path).unlink()
    study.rename("copied")
    copied = trace.trace(Path("copied/summary.parquet"))
    options = '{"options": {"folder": "/srv/anna/films", "patients": ["patient77"]}}'
    left = '{"options": {"folder": ".../films", "patients": "(left out)"}}'
    assert copied == with_record.replace(options, left) != with_record
    assert [line for line in with_record.splitlines() if "MB;" not in line and "image files" not in line] == (
        said.splitlines()
    )


def test_what_cannot_be_traced_is_named(study, tmp_path, capsys):
    Path("results/s/other.parquet").write_text("")
    for table, reason in (
        ("results/s/other.parquet", "no record"),
        ("results/s/none.parquet", "no such file"),
    ):
        assert trace.main([table]) == 2
        assert reason in capsys.readouterr().err
    with pytest.raises(SightlineError, match="no row has it; 'method' is one of gradcam, lrp"):
        trace.trace(study / "summary.parquet", ["method=none"])
    with pytest.raises(SightlineError, match="expected COLUMN=VALUE"):
        trace.trace(study / "summary.parquet", ["colour=red"])


def test_the_recorded_configuration_names_nobody_even_where_the_page_may():
    films = {"adapter": {"name": "inbreast", "swapped": ["22670094"]}, "redistributable": False}
    patients = {"from": "nbia", "patients": ["P_00017"], "manifest": "some.tcia"}
    breasts = {"adapter": {"name": "cbis_ddsm"}, "download": patients, "redistributable": False}
    changes = {"datasets.films": films, "datasets.breasts": breasts, "report": {"publish_images": "local"}}
    configured = study_with(**changes)
    assert recorded.identifying(configured) == ["manifest", "patients", "series", "swapped"]
    text = json.dumps(recorded.config(configured))
    assert not any(name in text for name in ("22670094", "P_00017", "some.tcia"))
    assert recorded.seeds(configured) == {
        "study": configured.seed,
        "models": {name: configured.seeds_of(name) for name in configured.models},
    }
