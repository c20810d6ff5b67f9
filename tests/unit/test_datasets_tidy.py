"""The tidy folder: the documentation's own example, what may be left out, and every broken folder."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from sightline import tables
from sightline.datasets import dataset
from sightline.errors import DatasetError

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tidy.md"
NAMES = ("images.csv", "boxes.csv", "fixations.csv")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The example of docs/tidy.md, with films of 100 x 90 and one mask."""
    example = PAGE.read_text().split("## An example")[1].split("## What stops")[0]
    blocks = re.findall(r"```\n(.*?)```", example, flags=re.DOTALL)
    assert len(blocks) == len(NAMES)
    for name, block in zip(NAMES, blocks):
        (tmp_path / name).write_text(block)
    (tmp_path / "films").mkdir()
    for image in ("a1", "b1", "c1"):
        Image.fromarray(np.full((90, 100), 7, np.uint8)).save(tmp_path / "films" / f"{image}.png")
    (tmp_path / "masks" / "lungs").mkdir(parents=True)
    Image.fromarray(np.full((90, 100), 255, np.uint8)).save(tmp_path / "masks" / "lungs" / "c1.png")
    return tmp_path


def read(root: Path, **options) -> dataset.Dataset:
    found = dataset.read("mine", root, "tidy", {"pixels_per_degree": 31.5, **options}, {})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def test_the_documented_example(root):
    found = read(root)
    images = found.images.set_index("image")
    assert images["split"].to_dict() == {"a1": "train", "b1": "validate", "c1": "test"}
    assert images["evaluated"].to_dict() == {"a1": False, "b1": False, "c1": True}
    assert images.loc["c1", ["path", "height", "width", "view"]].tolist() == ["films/c1.png", 90, 100, "AP"]
    labels = found.labels.set_index(["image", "label"])["value"]
    assert (
        labels["a1", "Edema"] == 1.0 and labels["a1", "Fracture"] == 0.0 and pd.isna(labels["b1", "Fracture"])
    )
    assert found.boxes[["kind", "label", "reader", "shape", "xmax"]].to_numpy().tolist() == [
        ["chest", "", "r1", "rectangle", 90.0],
        ["finding", "Edema", "r1", "ellipse", 50.0],
    ]
    assert found.masks[["image", "kind", "data"]].to_numpy().tolist() == [
        ["c1", "lungs", "masks/lungs/c1.png"]
    ]
    assert found.readings[["reader", "fixations"]].to_numpy().tolist() == [["r1", 2], ["r2", 1]]
    assert found.skipped.empty


def test_durations_follow_one_another_and_the_whole_image_is_shown(root):
    fixations = read(root).fixations.query("reader == 'r1'")
    np.testing.assert_allclose(fixations["timestamp_start_fixation"], [0, 0.31])
    np.testing.assert_allclose(fixations["timestamp_end_fixation"], [0.31, 0.53])
    assert fixations["xmax_shown_from_image"].tolist() == [100.0, 100.0]
    assert fixations["ymax_shown_from_image"].tolist() == [90.0, 90.0]
    assert fixations["angular_resolution_y_pixels_per_degree"].tolist() == [31.5, 31.5]


def test_only_images_are_required(root):
    (root / "boxes.csv").unlink()
    (root / "fixations.csv").unlink()
    (root / "masks" / "lungs" / "c1.png").unlink()
    found = read(root)
    assert len(found.images) == 3 and not found.images["evaluated"].any()
    assert found.boxes.empty and found.fixations.empty and found.masks.empty
    assert dataset.sources(root, "tidy", {}, {}) == [root / "images.csv"]


def test_a_folder_below_the_root(root, tmp_path):
    moved = tmp_path / "deep"
    moved.mkdir()
    for name in (*NAMES, "films", "masks"):
        (root / name).rename(moved / name)
    found = read(root, folder="deep")
    assert found.images["path"].tolist() == ["deep/films/a1.png", "deep/films/b1.png", "deep/films/c1.png"]
    assert found.masks["data"].tolist() == ["deep/masks/lungs/c1.png"]


def test_own_columns_of_the_schema_are_taken(root):
    path = root / "fixations.csv"
    table = pd.read_csv(path).assign(
        angular_resolution_x_pixels_per_degree=20,
        angular_resolution_y_pixels_per_degree=21,
        timestamp_start_fixation=[1, 2, 3],
        timestamp_end_fixation=[1.5, 2.5, 3.5],
        xmin_shown_from_image=5,
        group="second",
    )
    table.to_csv(path, index=False)
    found = read(root, pixels_per_degree=None)
    assert found.fixations["angular_resolution_x_pixels_per_degree"].tolist() == [20.0] * 3
    assert found.fixations["timestamp_end_fixation"].tolist() == [1.5, 2.5, 3.5]
    assert found.fixations["xmin_shown_from_image"].tolist() == [5.0] * 3
    assert set(found.readings["group"]) == {"second"}


def replace_in(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        (
            "images.csv",
            "validate",
            "valid",
            ["images.csv: row 3", "split is 'valid'", "train, validate or test"],
        ),
        ("images.csv", "PA,1,0", "PA,1,2", ["images.csv: row 2", "label:Fracture is '2'", "1, 0 or nothing"]),
        ("images.csv", "b1,films", "a1,films", ["images.csv: row 3", "image is 'a1'", "each value once"]),
        ("images.csv", "b1,films", "x/b1,films", ["images.csv: row 3", "a name without"]),
        (
            "images.csv",
            "ben",
            "anna",
            ["images.csv: row 2", "subject 'anna'", "give all its images one split"],
        ),
        ("images.csv", "ben", "", ["images.csv: row 3", "subject is ''", "the id of a person"]),
        ("images.csv", "subject", "person", ["images.csv: row 1", "lacks the column(s) subject"]),
        ("boxes.csv", "c1,finding", "d1,finding", ["boxes.csv: row 3", "image is 'd1'", "add its row there"]),
        (
            "boxes.csv",
            ",ellipse",
            ",circle",
            ["boxes.csv: row 3", "shape is 'circle'", "rectangle or ellipse"],
        ),
        ("boxes.csv", "xmin", "x", ["boxes.csv: row 1", "lacks the column(s) xmin"]),
        ("fixations.csv", "c1,r2", "z,r2", ["fixations.csv: row 4", "image is 'z'", "add its row there"]),
        ("fixations.csv", "duration", "length", ["fixations.csv: row 1", "timestamp_start_fixation"]),
    ],
)
def test_a_broken_folder_is_named_with_row_and_remedy(root, name, old, new, words):
    replace_in(root, name, old, new)
    with pytest.raises(DatasetError) as caught:
        read(root)
    for word in words:
        assert word in str(caught.value)


def test_numbers_that_are_none_are_no_silent_gaps(root):
    for name, column in (("images.csv", "spacing_y"), ("boxes.csv", "certainty")):
        path = root / name
        whole = path.read_text()
        table = pd.read_csv(path, dtype=str).assign(**{column: "high"})
        table.to_csv(path, index=False)
        with pytest.raises(DatasetError, match=f"{name}: row 2: {column} is 'high'.*a number or nothing"):
            read(root)
        path.write_text(whole)


def test_a_table_without_images(root):
    (root / "images.csv").write_text("image,path,subject,split\n")
    with pytest.raises(DatasetError, match="images.csv: has no row; add one for each image"):
        read(root)


def test_resolution_is_needed_somewhere(root):
    with pytest.raises(
        DatasetError, match=r"fixations.csv: row 1: lacks the column\(s\) angular_resolution_x"
    ):
        read(root, pixels_per_degree=None)


def test_a_mask_of_a_stranger(root):
    Image.fromarray(np.zeros((90, 100), np.uint8)).save(root / "masks" / "lungs" / "zz.png")
    with pytest.raises(
        DatasetError, match=r"masks/lungs/zz.png: .*add the image's row or take the mask away"
    ):
        read(root)


@pytest.mark.parametrize("path", ["../c1.png", "/etc/passwd", "films/../../x", "films/c1\0.png", "x" * 5000])
def test_an_image_whose_path_leaves_the_folder_is_skipped(root, path):
    replace_in(root, "images.csv", "films/c1.png", path)
    found = read(root)
    assert found.images["image"].tolist() == ["a1", "b1"] and found.boxes.empty
    (row,) = found.skipped.to_dict("records")
    assert (row["stage"], row["item"]) == ("read", "c1") and len(row["reason"]) < 400
    for word in ("images.csv: row 4", "leaves the dataset's folder", "relative to that folder"):
        assert word in row["reason"]


@pytest.mark.parametrize("content", [None, b"not an image"])
def test_an_unreadable_image_is_skipped_with_what_belongs_to_it(root, content):
    path = root / "films" / "c1.png"
    path.unlink()
    if content:
        path.write_bytes(content)
    found = read(root)
    assert found.images["image"].tolist() == ["a1", "b1"]
    assert found.boxes.empty and found.fixations.empty and found.masks.empty
    (row,) = found.skipped.to_dict("records")
    assert (row["stage"], row["item"]) == ("read", "c1")
    for word in ("images.csv: row 4", "films/c1.png", "replace the file"):
        assert word in row["reason"]


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        (
            "boxes.csv",
            "30,40,50,60",
            "50,40,30,60",
            ["boxes.csv: row 3", "inverted or empty", "correct or delete"],
        ),
        ("boxes.csv", "30,40,50,60", "inf,40,30,60", ["boxes.csv: row 3", "infinite"]),
        ("fixations.csv", "61.5,48", "nan,48", ["fixations.csv: row 3", "infinite", "correct or delete"]),
        ("fixations.csv", "0.22", "-0.22", ["fixations.csv: row 3", "ends before it starts"]),
    ],
)
def test_a_bad_annotation_is_skipped_with_row_and_remedy(root, name, old, new, words):
    whole = read(root)
    replace_in(root, name, old, new)
    found = read(root)
    lost = (len(whole.boxes) + len(whole.fixations)) - (len(found.boxes) + len(found.fixations))
    assert lost == 1
    (row,) = found.skipped.to_dict("records")
    assert row["stage"] == "reading"
    for word in words:
        assert word in row["reason"]
