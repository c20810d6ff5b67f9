"""The full-size tables, small: what adapters read of them, their proportions, equal bytes for equal seeds."""

import hashlib
from pathlib import Path

import pytest
from benchmarks import full_size, full_size_scores, full_size_stages, scale, scale_page
from benchmarks.scale_page import Cost, Measured

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


# ---- the page


def cells(table: str) -> list[list[str]]:
    """The cells of a Markdown table, without its heading."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return rows[2:]


def test_what_the_study_costs_is_added_up_with_and_without_a_gpu():
    table = scale_page.cost_table(
        [
            Cost("read", 1, 0.5, memory=(1.5, 0.5), storage=0.02),
            Cost("train", 10, 4000, 40, storage=20),
            Cost("figures", 4),
        ]
    )
    read, train, figures, alone, with_gpu = cells(table)
    assert read == ["read", "1", "0.5 / 5 / 50", "–", "2 GB / 16 GB / 150 GB", "20 MB / 200 MB / 2 GB"]
    assert train[2:] == ["4,000 / 40,000 / 400,000", "40 / 400 / 4,000", "–", "20 GB / 200 GB / 2 TB"]
    assert figures == ["figures", "4", "–", "–", "–", "–"]
    together = ["2 GB / 16 GB / 150 GB", "20 GB / 200 GB / 2 TB"]
    assert alone[1:] == ["15", "4,000 / 40,000 / 400,000", "–", *together]
    assert with_gpu[1:] == ["15", "0.5 / 5 / 50", "40 / 400 / 4,000", *together]


def test_what_was_measured_says_whether_it_keeps_to_its_bounds():
    found = [
        Measured("read", "377,110 images", 21.6, 1.92, 0.94),
        Measured("quadratic", "10 films", 2000.4, 0.4, 1.9),
        Measured("large", "10 films", 1.0, 8.1, 1.0),
        Measured("planning", "90 jobs", 4.0),
    ]
    assert cells(scale_page.measured_table(found)) == [
        ["read", "377,110 images", "22", "1.9 GB", "0.94", "yes"],
        ["quadratic", "10 films", "2,000", "400 MB", "1.90", "no"],
        ["large", "10 films", "1", "8.1 GB", "1.00", "no"],
        ["planning", "90 jobs", "4", "–", "–", "–"],
    ]


def test_memory_that_grows_is_told_from_what_does_not():
    spent = [full_size_stages.Spent(size, 1.0, 0.5 + size / 1000) for size in (250, 500)]
    assert scale.grown(spent, share=0.5) == pytest.approx((1.0, 0.5))


def test_the_tables_stand_between_the_marks_of_the_page(tmp_path):
    page = tmp_path / "page.md"
    for text in ("first", "second"):
        old = page.read_text() if page.exists() else f"Before\n{scale_page.BEGIN}{scale_page.END}\nAfter\n"
        page.write_text(old)
        scale_page.write(page, text)
    assert page.read_text() == f"Before\n{scale_page.BEGIN}\n\nsecond\n{scale_page.END}\nAfter\n"
    page.write_text("no mark")
    with pytest.raises(SystemExit, match="lacks the marks"):
        scale_page.write(page, "third")
    there = (full_size_stages.ROOT / "docs/scale.md").read_text(encoding="utf-8")
    assert scale_page.BEGIN in there and scale_page.END in there
