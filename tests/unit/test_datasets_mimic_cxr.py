"""MIMIC-CXR-JPG's tables: the authors' filter, labels, splits, and every broken table with its remedy."""

import gzip
from pathlib import Path

import pandas as pd
import pytest

from sightline import tables
from sightline.datasets import dataset, mimic_cxr
from sightline.errors import ConfigError, DatasetError
from tests.unit.upstream_trees import FILMS, MIMIC, dicom, write_mimic


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_mimic(tmp_path)
    return tmp_path


def table_path(root: Path, name: str) -> Path:
    return root / MIMIC / f"mimic-cxr-2.0.0-{name}.csv.gz"


def edit(root: Path, name: str, change) -> None:
    path = table_path(root, name)
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    change(frame).to_csv(path, index=False)


def read(root: Path, **options) -> dataset.Dataset:
    return dataset.read("cxr", root, "mimic_cxr", options, {})


def test_the_authors_filter_keeps_labelled_single_frontals(root):
    found = read(root)
    assert set(found.images["image"]) == {dicom(0), dicom(2), dicom(3), dicom(8), dicom(10)}
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")


@pytest.mark.parametrize(
    ("options", "added", "removed"),
    [
        ({"single_frontal": False}, {4, 5}, set()),
        ({"views": ["PA"]}, {4}, {2, 3, 10}),
        ({"views": ["PA", "LATERAL"]}, {4}, {0, 2, 3, 10}),
    ],
)
def test_filter_options(root, options, added, removed):
    numbers = ({0, 2, 3, 8, 10} | added) - removed
    assert set(read(root, **options).images["image"]) == {dicom(number) for number in numbers}


def test_cohort_counts_after_every_filter(root):
    flow = read(root).cohort
    assert list(flow["images"]) == [11, 10, 7, 5, 4, 4]
    assert list(flow["subjects"]) == [8, 7, 5, 4, 3, 3]
    assert set(flow["flow"]) == {"training"}


def test_rows_hold_what_upstream_says(root):
    row = read(root).images.set_index("image").loc[dicom(10)]
    assert row["path"] == f"{MIMIC}/files/p10/p10000008/s50000009/{dicom(10)}.jpg"
    assert (row["height"], row["width"], row["view"]) == (40, 30, "AP")
    assert (row["subject"], row["study"], row["split"], row["upstream_split"]) == (
        "10000008",
        "50000009",
        "validate",
        "validate",
    )


@pytest.mark.parametrize(("uncertain", "fracture"), [("negative", 0.0), ("positive", 1.0), ("unknown", None)])
def test_labels_and_the_rule_for_uncertain_ones(root, uncertain, fracture):
    labels = read(root, uncertain=uncertain).labels.set_index(["image", "label"])
    assert list(labels.loc[dicom(0)].index) == list(mimic_cxr.LABELS)
    values = labels.loc[dicom(0), "value"]
    assert values["Edema"] == 1.0
    assert values["Pneumonia"] == 0.0, "an empty cell of a labelled study is negative"
    assert pd.isna(values["Fracture"]) if fracture is None else values["Fracture"] == fracture
    assert labels.loc[(dicom(0), "Fracture"), "raw"] == -1.0
    assert pd.isna(labels.loc[(dicom(0), "Pneumonia"), "raw"])
    assert labels.loc[(dicom(2), "Edema"), "raw"] == 0.0


def test_an_unlabelled_image_has_unknown_labels_before_selection(root):
    labels = mimic_cxr.read(root, "cxr").labels
    assert len(labels) == len(FILMS) * 14
    assert labels[labels["image"] == dicom(7)][["value", "raw"]].isna().all(axis=None)


def test_columns_are_found_by_name_not_by_place(root):
    before = read(root)
    for name in ("metadata", "split", "chexpert"):
        edit(root, name, lambda frame: frame[frame.columns[::-1]].assign(added="x"))
    after = read(root)
    pd.testing.assert_frame_equal(before.images, after.images)
    pd.testing.assert_frame_equal(before.labels, after.labels)


def set_cell(row: int, column: str, value: str):
    """A change of the cell in `row`, counted as messages count: the header is row 1."""

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame.loc[row - 2, column] = value
        return frame

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("metadata", set_cell(4, "dicom_id", dicom(2)[:20]), ["row 4", "dicom_id", "take it again"]),
        ("metadata", set_cell(5, "dicom_id", dicom(0)), ["row 5", "each value once"]),
        (
            "metadata",
            set_cell(3, "subject_id", "../../etc"),
            ["row 3", "subject_id is '../../etc'", "8 digits"],
        ),
        ("metadata", set_cell(3, "study_id", "40000001"), ["row 3", "study_id", "start with 5"]),
        ("metadata", set_cell(6, "Rows", "nan"), ["row 6", "Rows", "a whole number of pixels"]),
        ("metadata", set_cell(6, "Columns", "0"), ["row 6", "Columns is '0'", "a whole number of pixels"]),
        (
            "metadata",
            lambda frame: frame.drop(columns="ViewPosition"),
            ["row 1", "ViewPosition", "rename or add"],
        ),
        ("split", set_cell(7, "split", "valid"), ["row 7", "split is 'valid'", "train, validate or test"]),
        ("chexpert", set_cell(2, "Edema", "2.0"), ["row 2", "Edema is '2.0'", "1.0, 0.0, -1.0 or nothing"]),
        ("chexpert", set_cell(3, "Fracture", "yes"), ["row 3", "Fracture is 'yes'"]),
        ("chexpert", lambda frame: frame.drop(columns="Lung Opacity"), ["row 1", "Lung Opacity"]),
        ("chexpert", lambda frame: pd.concat([frame, frame[:1]]), ["each value once", "study_id"]),
    ],
)
def test_a_broken_table_is_named_with_its_row_and_remedy(root, name, change, words):
    edit(root, name, change)
    with pytest.raises(DatasetError) as caught:
        read(root)
    for word in [f"{MIMIC}/mimic-cxr-2.0.0-{name}.csv.gz", *words]:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["metadata", "split", "chexpert"])
def test_a_missing_table(root, name):
    table_path(root, name).unlink()
    with pytest.raises(DatasetError, match=rf"2\.0\.0-{name}\.csv\.gz: missing; put the file there"):
        read(root)


def test_a_table_cut_short(root):
    path = table_path(root, "metadata")
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()))[:-20])
    with pytest.raises(DatasetError, match="metadata.csv.gz: not a readable csv .*take it again"):
        read(root)


def test_an_image_without_a_split_is_skipped_with_a_reason(root):
    edit(root, "split", lambda frame: frame.drop(index=2))
    found = read(root)
    assert dicom(2) not in set(found.images["image"])
    row = found.skipped.iloc[0]
    assert (row["stage"], row["item"]) == ("read", dicom(2))
    assert "split.csv.gz has no row for this image" in row["reason"] and "one release" in row["reason"]


def test_filters_that_leave_nothing_say_what_each_left(root):
    with pytest.raises(DatasetError, match=r"dataset 'cxr'.*no image is left; loosen a filter") as caught:
        dataset.read("cxr", root, "mimic_cxr", {"views": ["XX"]}, {})
    assert "\n  0 view XX" in str(caught.value) and " images of the release" in str(caught.value)


def test_unknown_modules_are_named_with_those_that_exist(root):
    with pytest.raises(ConfigError, match=r"unknown adapter 'mimic'; expected one of .*mimic_cxr.*tidy"):
        dataset.read("cxr", root, "mimic", {}, {})
    with pytest.raises(ConfigError, match=r"unknown annotation 'tidy'; expected one of chexmask.*reflacx"):
        dataset.read("cxr", root, "mimic_cxr", {}, {"tidy": {}})


def test_sources_are_the_tables_that_are_read(root):
    expected = [table_path(root, name) for name in ("metadata", "split", "chexpert")]
    assert dataset.sources(root, "mimic_cxr", {}, {}) == expected
    masks = dataset.sources(root, "mimic_cxr", {}, {"chexmask": {"file": "a.csv"}})
    assert masks == [*expected, root / "a.csv"]
