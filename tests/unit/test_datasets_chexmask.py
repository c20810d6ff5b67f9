"""CheXmask's run lengths against drawn masks, and the annotation against a small csv."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.datasets import chexmask, dataset, rle
from sightline.errors import DatasetError
from tests.unit.upstream_trees import HEIGHT, MASKS, WIDTH, dicom, write_mimic, write_reflacx

SHAPE = (HEIGHT, WIDTH)


def rectangle(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros(SHAPE, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def text_of_rectangle(top: int, bottom: int, left: int, right: int) -> str:
    """The closed form: row r starts at r * width + left + 1."""
    return " ".join(f"{row * WIDTH + left + 1} {right - left}" for row in range(top, bottom))


@pytest.mark.parametrize("sides", [(0, 1, 0, 1), (3, 9, 5, 12), (0, HEIGHT, 4, 5), (39, 40, 29, 30)])
def test_a_rectangle_in_closed_form(sides):
    text = text_of_rectangle(*sides)
    np.testing.assert_array_equal(rle.decode(text, SHAPE), rectangle(*sides))
    assert rle.encode(rectangle(*sides)) == text
    top, bottom, left, right = sides
    assert rle.bounds(text, SHAPE) == (left, top, right, bottom)


def test_runs_that_wrap_over_a_row_end():
    assert rle.encode(rectangle(2, 5, 0, WIDTH)) == f"{2 * WIDTH + 1} {3 * WIDTH}"
    assert rle.bounds(f"{2 * WIDTH + 1} {3 * WIDTH}", SHAPE) == (0, 2, WIDTH, 5)
    assert rle.bounds(f"{WIDTH} 2", SHAPE) == (0, 0, WIDTH, 2)
    assert rle.bounds("", SHAPE) is None and rle.encode(np.zeros(SHAPE)) == ""


@pytest.mark.parametrize("seed", range(5))
def test_encode_inverts_decode_and_union_is_or(seed):
    generator = np.random.default_rng(seed)
    masks = [generator.random(SHAPE) < share for share in (0.1, 0.5, 0.02)]
    texts = [rle.encode(mask) for mask in masks]
    for mask, text in zip(masks, texts):
        np.testing.assert_array_equal(rle.decode(text, SHAPE), mask)
    assert rle.union(texts, SHAPE) == rle.encode(np.any(masks, axis=0))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 2 3", "pairs"),
        ("a 2", "whole numbers"),
        ("0 5", "outside"),
        (f"{HEIGHT * WIDTH} 2", "outside"),
        ("4 0", "outside"),
        ("9223372036854775807 2", "outside"),
    ],
)
def test_texts_that_are_no_mask(text, words):
    with pytest.raises(ValueError, match=words):
        rle.decode(text, SHAPE)


def write_masks(root: Path, **changes: dict) -> Path:
    """Masks for films 0 and 10, and for a stranger; `changes` by the name film0 or film10."""
    rows = [
        {
            "dicom_id": dicom(film),
            "Dice RCA (Max)": 0.9,
            "Dice RCA (Mean)": 0.8,
            "Landmarks": "1,2",
            "Left Lung": text_of_rectangle(5, 20, 18, 26),
            "Right Lung": text_of_rectangle(6, 22, 4, 12),
            "Heart": text_of_rectangle(15, 25, 10, 19),
            "Height": HEIGHT,
            "Width": WIDTH,
            **changes.get(f"film{film}", {}),
        }
        for film in (0, 77, 10)
    ]
    path = root / MASKS
    path.parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_mimic(tmp_path)
    write_reflacx(tmp_path, [{"phase": 3, "id": f"P300R00000{film % 9}", "film": film} for film in (0, 10)])
    return tmp_path


def read(root: Path, annotations: dict | None = None, **options) -> dataset.Dataset:
    annotations = {"reflacx": {}} if annotations is None else annotations
    found = dataset.read("cxr", root, "mimic_cxr", {}, {**annotations, "chexmask": options})
    for name in dataset.table_names():
        tables.conform(name, getattr(found, name), "test")
    return found


def test_both_lungs_are_one_mask_and_the_heart_another(root):
    write_masks(root)
    found = read(root, boxes=True)
    assert len(found.masks) == 4 and set(found.masks["image"]) == {dicom(0), dicom(10)}
    lungs = found.masks[(found.masks["kind"] == "lungs") & (found.masks["image"] == dicom(0))].iloc[0]
    expected = rectangle(5, 20, 18, 26) | rectangle(6, 22, 4, 12)
    np.testing.assert_array_equal(rle.decode(lungs["data"], SHAPE), expected)
    box = found.boxes[found.boxes["kind"] == "lungs"].iloc[0]
    assert box[["xmin", "ymin", "xmax", "ymax"]].tolist() == [4, 5, 26, 22]
    assert not (read(root).boxes["kind"] == "lungs").any()


def test_rows_are_found_in_every_piece_of_the_file(root, monkeypatch):
    write_masks(root)
    monkeypatch.setattr(chexmask, "ROWS_AT_ONCE", 1)
    assert len(read(root).masks) == 4


def test_poor_masks_are_left_out(root):
    write_masks(root, film0={"Dice RCA (Mean)": 0.69})
    assert set(read(root).masks["image"]) == {dicom(10)}
    assert set(read(root, minimum_dice=0.5).masks["image"]) == {dicom(0), dicom(10)}


def test_without_gaze_the_masks_evaluate_test_images(tmp_path):
    write_mimic(tmp_path)
    write_masks(tmp_path)
    assert read(tmp_path, {}).masks.empty
    assert read(tmp_path, {}, evaluate=True).images["evaluated"].sum() == 0, "films 0 and 10 are not in test"
    path = tmp_path / MASKS
    path.write_text(path.read_text().replace(dicom(77), dicom(8)))
    images = read(tmp_path, {}, evaluate=True).images.set_index("image")
    assert images["evaluated"].to_dict() == {dicom(film): film == 8 for film in (0, 2, 3, 8, 10)}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Left Lung": "5 4 3"}, "pairs of start and length"),
        ({"Heart": f"{HEIGHT * WIDTH} 9"}, "outside the 40 x 30 mask"),
        ({"Height": 41}, "is 41 x 30, its image 40 x 30"),
    ],
)
def test_a_broken_mask_is_skipped_with_its_row(root, change, words):
    write_masks(root, film10=change)
    found = read(root)
    assert set(found.masks["image"]) == {dicom(0)}
    (row,) = found.skipped.to_dict("records")
    assert row["item"] == dicom(10) and row["stage"] == "reading"
    for word in (f"{MASKS}: row 4", words, "take it again"):
        assert word in row["reason"]


def test_a_missing_file_or_column(root):
    with pytest.raises(DatasetError, match=r"MIMIC-CXR-JPG.csv: missing; put the file there"):
        read(root)
    path = write_masks(root)
    pd.read_csv(path).rename(columns={"dicom_id": "ImageID"}).to_csv(path, index=False)
    with pytest.raises(
        DatasetError, match=r"MIMIC-CXR-JPG.csv: row 1: lacks the column\(s\) dicom_id; take the csv"
    ):
        read(root)
