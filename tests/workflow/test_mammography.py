"""Both mammography phantoms go from their upstream formats to a page that answers where the maps lie."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest

from tests.workflow import leaks
from tests.workflow.conftest import ROOT, Project, copy_project

PARTS = ("lesion", "rest_of_breast", "outside")


@pytest.fixture(scope="module")
def mammograms(tmp_path_factory) -> Project:
    """The smallest mammography study, run to its page."""
    project = copy_project(tmp_path_factory.mktemp("mammograms") / "project")
    shutil.copy(ROOT / "tests/workflow/mammography.yaml", project.folder / "study.yaml")
    project.snakemake()
    return project


def scores(project: Project, dataset: str) -> pd.DataFrame:
    found = sorted((project.results / f"scores/{dataset}").rglob("*.parquet"))
    return pd.concat(map(pd.read_parquet, found), ignore_index=True)


@pytest.mark.parametrize("dataset", ["cbis", "inbreast"])
def test_the_mass_of_a_map_is_in_the_lesion_or_beside_it_or_outside(mammograms, dataset):
    rows = scores(mammograms, dataset).query("metric == 'mass_inside' and method != 'center_bias'")
    wide = rows[rows["status"] == "ok"].pivot(
        index=["model", "seed", "condition", "method", "image"], columns="reference", values="value"
    )
    whole = wide.dropna()
    assert len(whole) > 10
    np.testing.assert_allclose(whole[list(PARTS)].sum(axis=1), 1.0, atol=1e-6)


def test_films_that_were_cut_and_mirrored_are_scored_on_the_whole_film(mammograms):
    boxes = pd.read_parquet(mammograms.results / "prepared/inbreast/boxes.parquet")
    images = pd.read_parquet(mammograms.results / "datasets/inbreast/images.parquet")
    regions = pd.read_parquet(mammograms.results / "references/inbreast/regions.parquet")
    assert set(boxes["image"]) == set(images["image"]) and (boxes["kind"] == "breast").all()
    shapes = regions[regions["status"] == "ok"].merge(images, on="image")
    assert all(
        (found[0], found[1]) == (round(0.5 * height), round(0.5 * width))
        for found, height, width in zip(shapes["shape"], shapes["height"], shapes["width"])
    )


def test_right_and_wrong_predictions_are_strata_of_each_model_and_seed(mammograms):
    strata = pd.read_parquet(mammograms.results / "strata.parquet")
    levels = strata[strata["stratum"] == "prediction"]
    assert set(levels["value"]) <= {"correct", "wrong"}
    told = levels.set_index(["model", "seed", "image"])["value"].sort_index()
    for model, seed in (("small", 0), ("small", 1), ("small_inbreast", 0)):
        said = pd.read_parquet(mammograms.results / f"models/{model}/seed{seed}/predictions.parquet")
        wide = said.pivot(index="image", columns="label", values=["logit", "value"])
        right = wide["logit"].idxmax(axis=1) == wide["value"].idxmax(axis=1)
        mine = told[model, seed]
        assert (mine.map({"correct": True, "wrong": False}) == right[mine.index]).all()


def test_the_page_opens_with_the_answer(mammograms):
    page = (mammograms.results / "report.html").read_text()
    assert "Do the maps find the lesion when the model is right" in page
    opening = re.sub(r"<[^>]+>", "", page[: page.index("<h2")])
    assert "lesion" in opening and ("right" in opening or "wrong" in opening)


def test_nothing_of_single_films_that_may_not_be_passed_on_is_in_what_is_shared(mammograms):
    films = {name: leaks.prepared_films(mammograms.results, name) for name in ("cbis", "inbreast")}
    page = mammograms.results / "report.html"
    assert len(films["inbreast"]) > 8 and "may not" in page.read_text()
    assert len(leaks.films_in(page, films["cbis"])) >= 4  # the search finds films: these may be passed on
    images = pd.read_parquet(mammograms.results / "datasets/inbreast/images.parquet")
    named = {*images["image"], *images["subject"], *images["path"]}
    for path in leaks.shared_pages(mammograms.results):
        assert leaks.films_in(path, films["inbreast"]) == [], path
        assert leaks.words_in(path, named) == [], path
        if "inbreast" in path.name:
            assert leaks.pictures(path) == [], path  # no fine map either
    for path in leaks.aggregates(mammograms.results):
        assert leaks.words_in(path, named) == [], path


def test_a_second_run_does_nothing(mammograms):
    assert mammograms.would_run() == {}
