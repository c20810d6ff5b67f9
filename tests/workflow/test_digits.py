"""Drawn digits in idx files go through a study to its page: two techniques on upright and turned digits."""

import gzip
import re
import struct

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tests.workflow.conftest import Project, copy_project

STUDY = """\
study: tiny
datasets:
  digits:
    adapter: {name: mnist, test_share: 0.25, validation_share: 0.2}
    redistributable: true
label_sets:
  digits: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
recipes:
  one_epoch: {side: 32, batch: 16, epochs: 1, augmentation: {name: none}}
models:
  small:
    architecture: {name: sononet16, arguments: {width: 4}}
    train_on: digits
    labels: digits
    recipe: one_epoch
conditions:
  clean: {kind: clean}
  turned: {kind: rotate180}
methods:
  gradcam: {kind: gradcam, layers: [last], readings: [predicted]}
  gradient: {kind: gradient, readings: [predicted]}
readings:
  predicted: {classes: predicted}
runs:
  main:
    models: [small]
    seeds: [0]
    datasets: [digits]
    conditions: [clean, turned]
    methods: [gradcam, gradient]
    targets: predicted
    images: test
    at_most: 8
agreements:
  transformations: {between: condition, with: clean}
scores: {scale: 1.0}
statistics: {resamples: 200}
"""


def drawn(digit: int, number: int) -> np.ndarray:
    """A digit as a font draws it, somewhere on 28 x 28 pixels."""
    picture = Image.new("L", (28, 28))
    ImageDraw.Draw(picture).text((8 + number % 3, 4 + number % 5), str(digit), fill=255, font_size=18)
    return np.asarray(picture)


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Project:
    """The study of 60 drawn digits, run to its page."""
    project = copy_project(tmp_path_factory.mktemp("digits") / "project")
    folder = project.folder / "data/digits"
    folder.mkdir(parents=True)
    labels = np.arange(60) % 10
    pictures = np.stack([drawn(digit, number) for number, digit in enumerate(labels)])
    for what, values in (("images-idx3", pictures), ("labels-idx1", labels)):
        head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
        (folder / f"t10k-{what}-ubyte.gz").write_bytes(
            gzip.compress(head + values.astype(np.uint8).tobytes())
        )
    (project.folder / "study.yaml").write_text(STUDY)
    project.snakemake()
    return project


def test_at_most_so_many_digits_are_explained_the_same_ones_by_all(digits):
    tables = list(digits.results.glob("maps/digits/small/seed0/*/*/maps.parquet"))
    explained = [set(pd.read_parquet(path)["image"]) for path in tables]
    tested = pd.read_parquet(digits.results / "datasets/digits/images.parquet").query("split == 'test'")
    assert len(tables) == 4 and len(tested) == 15
    assert len(explained[0]) == 8 and explained[0] <= set(tested["image"])
    assert all(found == explained[0] for found in explained)


def test_the_page_holds_the_matrix_of_stability_and_answers_with_it(digits):
    page = (digits.results / "report.html").read_text()
    assert "How much do the maps of small on digits change when the image is altered?" in page
    summary = pd.read_parquet(digits.results / "agreement_summary.parquet")
    ranks = summary[summary["metric"] == "spearman"]
    assert len(ranks) == 2 and (ranks["images"] == 8).all()
    best = {"gradcam": "Grad-CAM", "gradient": "Gradient"}[ranks.set_index("method_a")["mean"].idxmax()]
    said = re.search(r"Under the transformation of the image[^<]*", page)[0]
    assert f"the maps of {best} (" in said and " change least" in said
    figure = (digits.results / "figures/stability.digits.small.svg").read_text()
    assert (
        figure.count("<image") == 2 * 3 + 1
    )  # the digit and two maps, upright and turned; a scale of colours


def test_predictions_are_told_for_each_digit(digits):
    said = pd.read_parquet(digits.results / "models/small/seed0/predictions.parquet")
    assert set(said["label"]) == set("0123456789") and np.isfinite(said["logit"]).all()


def test_a_second_run_does_nothing(digits):
    assert digits.would_run() == {}
