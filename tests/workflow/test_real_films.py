"""The study of the real, openly licensed films, reduced to a minute, from its files to its report."""

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from scipy.ndimage import map_coordinates
from sklearn.metrics import roc_auc_score

from sightline import arrays, tables
from tests.workflow.conftest import Project, copy_project

LINKS = {
    "kermany": "cxr_kermany_pediatric",
    "covid": "cxr_covid_open",
    "andersson": "gaze_andersson_images",
}
SEEDS, SCALE = [0, 1], 0.125
ON_REGIONS = {"auc", "mass_inside", "mass_over_area", "pointing_game"}


def reduced(config: dict) -> dict:
    """The study with two seeds of one epoch at a small side, and few resamples."""
    config["recipes"]["open"] |= {"side": 32, "batch": 18, "epochs": 1}
    for run in config["runs"].values():
        run["seeds"] = SEEDS
    config["scores"]["scale"] = SCALE
    config["statistics"]["resamples"] = 200
    return config


@pytest.fixture(scope="module")
def study(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """config/open_cxr.yaml, reduced, run to its report on the real files."""
    project = copy_project(tmp_path_factory.mktemp("real_films") / "project")
    config = yaml.safe_load((project.folder / "config/open_cxr.yaml").read_text())
    (project.folder / "study.yaml").write_text(yaml.safe_dump(reduced(config)))
    (project.folder / "data").mkdir()
    for name, folder in LINKS.items():
        (project.folder / "data" / name).symlink_to(real / folder)
    project.snakemake()
    return project


@pytest.fixture(scope="module")
def results(study: Project) -> Path:
    return study.folder / "results/open_cxr"


@pytest.fixture(scope="module")
def films(real: Path) -> dict[str, dict[str, str]]:
    """The rows of the films' own table, by the film's id."""
    with (real / LINKS["covid"] / "metadata.csv").open(newline="") as file:
        return {Path(row["image"]).stem: row for row in csv.DictReader(file)}


def scores(results: Path, folder: str) -> pd.DataFrame:
    paths = sorted((results / "scores" / folder).rglob("*.parquet"))
    assert paths, folder
    return pd.concat([tables.read("scores", path) for path in paths], ignore_index=True)


def mask_of(real: Path, film: dict[str, str]) -> np.ndarray:
    path = real / LINKS["covid"] / "lung_masks" / Path(film["lung_mask"]).name
    return np.asarray(Image.open(path)) > 0


def middles(length: int, new_length: int) -> np.ndarray:
    """Where the middles of `new_length` equal parts of `length` pixels lie, in indices of pixels."""
    return (np.arange(new_length) + 0.5) * length / new_length - 0.5


def test_every_film_and_reading_of_the_sources_is_there_and_none_was_refused(results, films):
    def table(name: str, dataset: str, stage: str = "datasets") -> pd.DataFrame:
        return tables.read(name, results / stage / dataset / f"{name}.parquet")

    splits = table("images", "kermany")["split"].value_counts().to_dict()
    assert splits == {"train": 144, "validate": 36, "test": 60}
    assert set(table("images", "covid")["image"]) == set(films) and len(films) == 113
    assert len(table("masks", "covid")) == sum(film["lung_mask"] != "" for film in films.values()) == 83
    readings = table("readings", "andersson")
    assert len(readings) == 14 and readings["image"].nunique() == 4
    assert set(readings["group"]) == {"coder MN"}, "two coders marked the same gaze: one is taken"
    for dataset in LINKS:
        assert table("skipped", dataset).empty and table("skipped", dataset, "prepared").empty
        assert len(table("inventory", dataset, "prepared")) == {"kermany": 240, "covid": 113}.get(dataset, 4)


def test_lungs_share_of_the_area_is_that_of_the_masks(results, real, films):
    regions = tables.read("regions", results / "references/covid/regions.parquet")
    lungs = regions[regions["kind"] == "lungs"].set_index("image")
    marked = {name for name, film in films.items() if film["lung_mask"]}
    assert set(lungs.index[lungs["status"] == "ok"]) == marked
    unmarked = lungs[lungs["status"] != "ok"]
    assert len(unmarked) == 30 and set(unmarked["status"]) == {"not_applicable"}
    assert unmarked["reason"].str.contains("no mask 'lungs'").all()
    shares = lungs.loc[sorted(marked), "area_share"]
    assert shares.between(0.15, 0.65).all()
    own = pd.Series({name: mask_of(real, films[name]).mean() for name in sorted(marked)})
    assert abs(shares - own).max() < 0.01  # a grid of an eighth of the film's side
    assert abs(shares - own).mean() < 0.002


def test_lung_boxes_cover_what_the_radiologists_drew(results, real, films):
    regions = tables.read("regions", results / "references/covid/regions.parquet")
    shares = regions[regions["kind"] == "lung_boxes"].set_index("image")["area_share"]
    assert len(shares) == 113 and shares.notna().all()
    boxes = pd.read_csv(real / LINKS["covid"] / "lung_boxes.csv")
    for name in sorted(films)[::12]:
        canvas = np.zeros((int(films[name]["height"]), int(films[name]["width"])))
        for box in boxes[boxes["image"] == films[name]["image"]].itertuples():
            canvas[round(box.ymin) : round(box.ymax), round(box.xmin) : round(box.xmax)] = 1
        assert shares[name] == pytest.approx(canvas.mean(), abs=0.02)


def test_no_score_is_missing_and_none_is_silent(results, films):
    found = scores(results, "covid")
    maps = found[found["model"] != ""]
    assert set(maps["condition"]) == {"clean", "random"} and set(maps["seed"]) == set(SEEDS)
    cells = maps.groupby(["seed", "condition", "reading", "reference", "image"])["metric"].agg(set)
    # every seed, condition, reading, reference and film, each with every metric that suits a region
    assert len(cells) == 2 * 2 * 2 * 2 * 113 and len(maps) == 4 * len(cells)
    assert all(metrics == ON_REGIONS for metrics in cells)
    assert (found["value"].notna() == (found["status"] == "ok")).all()
    assert np.isfinite(found["value"].dropna()).all()
    assert found["reason"][found["status"] != "ok"].str.len().gt(0).all()
    unmarked = (found["reference"] == "lungs") & found["image"].map(lambda name: not films[name]["lung_mask"])
    assert unmarked.sum() > 0 and not (found["status"][unmarked] == "ok").any()
    trained = found[~unmarked & (found["condition"] == "clean") & (found["reading"] == "magnitude")]
    assert (trained["status"] == "ok").mean() > 0.9


def test_a_share_of_mass_is_what_the_stored_map_and_the_mask_file_give(results, real, films):
    folder = results / "maps/covid/sononet/seed1/clean/gradcam"
    rows = tables.read("maps", folder / "maps.parquet").set_index("image")
    values = arrays.open_flat(folder / "values.npy")
    found = scores(results, "covid/sononet/seed1/clean")
    found = found.set_index(["image", "reference", "reading", "metric"]).sort_index()
    compared = 0
    for name in [name for name, film in sorted(films.items()) if film["lung_mask"]][::10]:
        lungs, row = mask_of(real, films[name]), rows.loc[name]
        y, x = (middles(length, round(length * SCALE)) for length in lungs.shape)
        cells = arrays.view(values, row["offset"], row["shape"])
        at = [y * row["scale"][1] + row["shift"][1], x * row["scale"][0] + row["shift"][0]]
        drawn = map_coordinates(cells, np.meshgrid(*at, indexing="ij"), order=1, mode="nearest")
        nearest = [np.floor(places + 0.5).astype(int) for places in (y, x)]
        inside = lungs[np.ix_(*nearest)]
        for reading, mass in (("evidence", np.maximum(drawn, 0)), ("magnitude", np.abs(drawn))):
            score = found.loc[(name, "lungs", reading)]
            if mass.sum() <= 0:
                assert set(score.loc[["mass_inside", "mass_over_area"], "status"]) == {"undefined"}
                continue
            share = mass[inside].sum() / mass.sum()
            assert score.loc["mass_inside", "value"] == pytest.approx(share, abs=2e-3)
            assert score.loc["mass_over_area", "value"] == pytest.approx(share / inside.mean(), abs=6e-3)
            # against all pixels, the region's own among them, where scikit-learn takes those outside
            apart = roc_auc_score(inside.ravel(), mass.ravel())
            auc = inside.mean() / 2 + (1 - inside.mean()) * apart
            assert score.loc["auc", "value"] == pytest.approx(auc, abs=2e-3)
            compared += 1
    assert compared >= 8


def test_noise_spreads_its_mass_as_the_area_does(results):
    summary = tables.read("summary", results / "summary.parquet")
    noise = summary[
        (summary["method"] == "uniform_noise") & (summary["metric"] == "mass_over_area")
    ].set_index("reference")
    assert noise.loc["lungs", "mean"] == pytest.approx(1, abs=0.01)
    assert noise.loc["lungs", "images"] == 83 and noise.loc["lung_boxes", "images"] == 113
    assert noise.loc["lungs", "subjects"] < 83, "films of one patient are one subject"


def test_the_test_films_are_judged_and_explained(results):
    found = tables.read("classification", results / "classification.parquet")
    row = found[(found["label"] == "Pneumonia") & (found["metric"] == "auc")].iloc[0]
    assert (row["images"], row["positives"], row["seeds"]) == (60, 30, 2)
    assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1 and row["low"] < row["high"]
    areas = []
    for seed in SEEDS:
        said = tables.read("predictions", results / f"models/sononet/seed{seed}/predictions.parquet")
        assert said["image"].str.startswith("test_").all() and len(said) == 60
        areas.append(roc_auc_score(said["image"].str.startswith("test_PNEUMONIA"), said["logit"]))
    assert row["value"] == pytest.approx(np.mean(areas), abs=1e-9)
    maps = tables.read("maps", results / "maps/kermany/sononet/seed0/clean/gradcam/maps.parquet")
    assert maps["image"].nunique() == 60 and set(maps["status"]) == {"ok"}


def test_trained_and_random_weights_are_compared_with_an_interval(results):
    rows = tables.read("comparisons", results / "comparisons.parquet")
    chosen = rows[
        (rows["family"] == "trained_or_random")
        & (rows["reference"] == "lungs")
        & (rows["metric"] == "mass_inside")
    ]
    assert set(chosen["reading"]) == {"evidence", "magnitude"}
    assert (chosen["low"] <= chosen["difference"]).all() and (chosen["difference"] <= chosen["high"]).all()
    assert chosen["p_corrected"].ge(chosen["p"]).all() and chosen["p"].between(0, 1).all()


def test_gaze_of_each_participant_meets_that_of_the_others(results):
    rows = tables.read("gaze", results / "references/andersson/gaze.parquet")
    values = arrays.open_flat(results / "references/andersson/gaze.npy")
    maps = {
        (row.image, row.reader): np.array(arrays.view(values, row.offset, row.shape))
        for row in rows.itertuples()
    }
    assert len(maps) == 14 and all(gaze.sum() == pytest.approx(1, abs=1e-4) for gaze in maps.values())
    found = scores(results, "andersson")
    between = found[(found["method"] == "interobserver") & (found["metric"] == "ncc")]
    assert len(between) == 14 and set(between["status"]) == {"ok"}
    for row in between.itertuples():
        rest = [gaze for (image, reader), gaze in maps.items() if image == row.image and reader != row.reader]
        expected = np.corrcoef(maps[row.image, row.reader].ravel(), np.mean(rest, axis=0).ravel())[0, 1]
        assert row.value == pytest.approx(expected, abs=1e-5)
    shuffled = found[(found["method"] == "interobserver") & (found["metric"] == "sauc")]
    assert set(shuffled["center_bias"]) == {"image", "none"} and set(shuffled["status"]) == {"ok"}


def test_the_page_names_its_sources_and_shows_films_of_a_free_licence_alone(study, results, real, films):
    page = (results / "report.html").read_text()
    for dataset in LINKS:
        assert dataset in page
    assert "Is the evidence of a pneumonia classifier inside the lungs?" in page
    assert 'src="http' not in page and str(real) not in page and str(study.folder) not in page
    assert all(re.fullmatch(r"CC BY(-SA)?( \d\.\d)?", film["license"]) for film in films.values())
    assert "CC BY 4.0" in (real / LINKS["kermany"] / "README.md").read_text()
    # photographs under another licence are drawn in no figure
    figures, carried = results / "figures", _pictures(page)
    drawn = {figure.name: _pictures(figure.read_text()) for figure in figures.glob("overlays.*.svg")}
    assert set(drawn) == {"overlays.kermany.svg", "overlays.covid.svg"}
    assert all(len(pictures) >= 4 and pictures <= carried for pictures in drawn.values())
    for credit in ("CC BY 4.0", "arXiv:2003.11597", "V7 Labs", "GPL-3.0"):
        assert credit in page


def _pictures(text: str) -> set[str]:
    """The pictures that a page or figure carries in itself."""
    return set(re.findall(r"data:image/png;base64,([\sA-Za-z0-9+/=]{200,})", text))


def test_a_second_run_does_nothing(study):
    assert study.would_run() == {}
