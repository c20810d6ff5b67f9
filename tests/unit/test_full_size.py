"""The full-size tables, small: what adapters read of them, their proportions, equal bytes for equal seeds."""

import hashlib
from pathlib import Path

import pytest
from benchmarks import full_size, full_size_scores, full_size_stages, scale

from sightline import tables
from sightline.datasets import dataset

SHARE = 1 / 256
ANNOTATIONS = {"reflacx": {}, "chexmask": {}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("small")
    full_size.write(root, share=SHARE)
    return root


@pytest.fixture(scope="module")
def read(folder) -> dataset.Dataset:
    return dataset.read("cxr", folder, "mimic_cxr", {}, ANNOTATIONS)


def test_its_numbers_are_the_releases():
    assert sum(images for *_, images in full_size.SPLITS.values()) == 377_110
    assert sum(studies for _, studies, _ in full_size.SPLITS.values()) - full_size.NOT_IN_CHEXPERT == 227_827
    assert sum(full_size.FILMS_READ.values()) == 2_616
    read = full_size.FILMS_READ
    assert full_size.READERS * (read[1] + read[2]) + read[3] - full_size.DISCARDED == 3_032


def test_the_adapters_read_it_without_complaint(read):
    assert read.skipped.empty
    images = sum(full_size.scaled(numbers[2], SHARE) for numbers in full_size.SPLITS.values())
    assert read.cohort.set_index("filter")["images"]["images of the release"] == images
    assert read.images["evaluated"].sum() == sum(full_size.scaled(n, SHARE) for n in (59, 50, 2507))
    assert len(read.fixations) == pytest.approx(full_size.FIXATIONS * len(read.readings), rel=0.1)
    assert set(read.masks["kind"]) == {"lungs", "heart"}
    for name in dataset.table_names():
        tables.conform(name, getattr(read, name), "test")


def test_views_and_labels_have_the_releases_proportions(folder):
    films = full_size.write(folder / "again", share=SHARE)
    shares = films["ViewPosition"].value_counts(normalize=True)
    for view, count in full_size.VIEWS.items():
        assert shares[view] == pytest.approx(count / 377_110, abs=0.001)
    first = ~films["study_id"].duplicated()
    assert first.sum() == sum(full_size.scaled(numbers[1], SHARE) for numbers in full_size.SPLITS.values())
    digests = [
        {
            path.relative_to(root): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted((root / "physionet.org").rglob("*.*"))
            if path.is_file()
        }
        for root in (folder, folder / "again")
    ]
    names = [{str(name): one for name, one in found.items()} for found in digests]
    assert names[0] == names[1] and len(names[0]) > 20


def test_scores_have_the_rows_that_scoring_gives(tmp_path):
    study = full_size_stages.study()
    one, five = (full_size_scores.template(study, "cxr", readers) for readers in (1, 5))
    gaze = one["reference"] == "gaze"
    assert gaze.sum() == 8, "four metrics, two of them for each of three center biases"
    assert (five["reference"] == "gaze").sum() == 5 * gaze.sum()
    paths, rows = full_size_scores.write(tmp_path, study, "cxr", full_size_scores.images(6, 2), most_seeds=1)
    assert len(paths) == 1 + len(study.scored_cells) / 5
    assert rows == len(tables.read_all("scores", paths))


def test_the_slope_tells_a_quadratic_step():
    sizes = [1.0, 2.0, 4.0, 8.0]
    assert scale.slope(sizes, [3 * size for size in sizes]) == pytest.approx(1.0)
    assert scale.slope(sizes, [size**2 for size in sizes]) == pytest.approx(2.0)
