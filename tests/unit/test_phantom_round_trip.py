"""The mammography phantoms read by their adapters: labels, patients and planted places come back."""

import csv
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from PIL import Image

from sightline import regions
from sightline.datasets import dataset as upstream
from sightline.phantom import cbis_ddsm, inbreast
from sightline.phantom.breast.film import tissue
from sightline.phantom.breast.lesions import Kind
from sightline.phantom.breast.outline import SIDES, VIEWS
from sightline.phantom.breast.scene import draw, lay_out
from sightline.preparing import breast

SMALL = {"height": 160, "width": 128}
DDSM = {
    "mass_train": 8,
    "mass_test": 4,
    "calc_train": 8,
    "calc_test": 4,
    "several": 0.3,
    "mixed": 0.5,
    **SMALL,
}
LAYOUTS = ["retriever", "rest", "kaggle"]
MARKER = {"share_with_label": 1.0, "share_without": 0.0, "share_evaluated": 1.0}


def lesions(read: upstream.Dataset, root: Path) -> dict[str, np.ndarray]:
    """Every image's lesion masks united, in its own pixels."""
    shapes = {row.image: (row.height, row.width) for row in read.images.itertuples()}
    of = defaultdict(list)
    for row in read.masks[read.masks["kind"] == "lesion"].itertuples():
        of[row.image].append(row)
    return {image: regions.united(rows, shapes[image], root) for image, rows in of.items()}


def films(read: upstream.Dataset, root: Path) -> dict[str, np.ndarray]:
    """Every image's pixels."""
    found = {}
    for row in read.images.itertuples():
        path = root / row.path
        dicom = path.suffix == ".dcm"
        found[row.image] = (
            pydicom.dcmread(path).pixel_array if dicom else cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        ).astype(int)
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cbis_ddsm_comes_back_in_each_layout(layout, tmp_path):
    options = {"resized_masks": 0.0, **DDSM, "layout": layout, "marker": MARKER}
    cbis_ddsm.write(tmp_path / "seen", 8, **options)
    cbis_ddsm.write(tmp_path / "bare", 8, **options, contrast=0.0)
    read = upstream.read("ddsm", tmp_path / "seen", "cbis_ddsm", {"leak": "kept"}, {"phantom_truth": {}})
    rows, patients = defaultdict(list), {}
    for path in (tmp_path / "seen").rglob("*_case_description_*.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                name = row["image file path"].split("/")[0]
                rows[name].append(row["pathology"])
                patients[name] = row["patient_id"]
    assert read.skipped.empty
    assert dict(zip(read.images["image"], read.images["subject"])) == patients
    malignant = read.labels[read.labels["label"] == "malignant"].set_index("image")["value"]
    assert {image: bool(value) for image, value in malignant.items()} == {
        image: "MALIGNANT" in told for image, told in rows.items()
    }
    assert read.masks.groupby("image").size().to_dict() == {image: len(told) for image, told in rows.items()}
    # what was planted changed the film inside the masks that come back, and most of them shows it
    seen, bare = films(read, tmp_path / "seen"), films(read, tmp_path / "bare")
    step = 12 if layout == "kaggle" else 0  # of a JPEG's ringing
    on_one_film = {
        image for image in rows if sum(other.split("_", 1)[1] == image.split("_", 1)[1] for other in rows) > 1
    }
    for image, mask in lesions(read, tmp_path / "seen").items():
        changed = np.abs(seen[image] - bare[image]) > step
        assert changed[mask].mean() > (0 if layout == "kaggle" else 0.15)
        if image not in on_one_film:  # the other table's lesion is on that film too
            assert not changed[~cv2.dilate(mask.astype(np.uint8), np.ones((3, 3))).astype(bool)].any()
    marked = read.boxes[read.boxes["kind"] == "marker"]
    expected = {image for image in rows if malignant[image] == 1 or "-Test_" in image}
    assert set(marked["image"]) == expected | (set(marked["image"]) & on_one_film)


def test_resized_masks_and_separate_series_come_back(tmp_path):
    options = {**DDSM, "layout": "rest", "shared_patients": 0}
    cbis_ddsm.write(tmp_path / "odd", 8, **options, resized_masks=1.0, separate_series=1.0)
    cbis_ddsm.write(tmp_path / "plain", 8, **options, resized_masks=0.0, separate_series=1.0)
    masks = {}
    for name in ("odd", "plain"):
        read = upstream.read("ddsm", tmp_path / name, "cbis_ddsm", {}, {})
        assert read.skipped.empty
        masks[name] = lesions(read, tmp_path / name)
    assert set(masks["odd"]) == set(masks["plain"])
    overlap = [
        (masks["odd"][image] & one).sum() / (masks["odd"][image] | one).sum()
        for image, one in masks["plain"].items()
    ]
    assert np.mean(overlap) > 0.85
    assert min(overlap) > 0.6


def test_a_subset_of_the_published_tables_is_read_like_the_whole(real, tmp_path):
    tables = real / "cbis_ddsm_tables"
    cbis_ddsm.write(tmp_path, 2, tables=str(tables), max_images=20, **SMALL)
    read = upstream.read("ddsm", tmp_path, "cbis_ddsm", {"leak": "kept"}, {})
    assert len(read.images) == 20
    assert read.skipped.empty
    assert set(read.images["upstream_split"]) == {"train", "test"}
    assert (read.masks.groupby("image").size() >= 1).all()


def test_inbreast_comes_back(tmp_path):
    options = {"patients": 14, "at_edge": 0.1, **SMALL, "marker": MARKER}
    inbreast.write(tmp_path / "seen", 6, **options)
    inbreast.write(tmp_path / "bare", 6, **options, contrast=0.0)
    read = upstream.read(
        "inbreast", tmp_path / "seen", "inbreast", {"test_patients": 4}, {"phantom_truth": {}}
    )
    with (tmp_path / "seen/INbreast Release 1.0/INbreast.csv").open(newline="") as file:
        rows = {row["File Name"]: row for row in csv.DictReader(file, delimiter=";")}
    assert read.skipped.empty
    assert set(read.images["image"]) == set(rows)
    assert read.images["subject"].nunique() == 14
    malignant = read.labels[read.labels["label"] == "malignant"].set_index("image")["value"]
    assert {image for image, value in malignant.items() if value} == {
        image for image, row in rows.items() if row["Bi-Rads"][0] in "456"
    }
    seen, bare = films(read, tmp_path / "seen"), films(read, tmp_path / "bare")
    masks = lesions(read, tmp_path / "seen")
    assert set(masks) == {image for image, row in rows.items() if row["Bi-Rads"] != "1"}
    for image in rows:
        changed = np.abs(seen[image] - bare[image]) > 0
        assert changed.any() == (image in masks)
        if image in masks:
            around = np.ones((9, 9), np.uint8)  # specks are points
            assert not changed[cv2.dilate(masks[image].astype(np.uint8), around) == 0].any()
            assert changed[masks[image]].mean() > 0.25
    marked = read.boxes[read.boxes["kind"] == "marker"]
    assert set(marked["image"]) == {image for image, value in malignant.items() if value}


@pytest.mark.parametrize("haze", [0.0, cbis_ddsm.HAZE])
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("side", SIDES)
def test_the_breast_that_preparation_finds_is_the_one_that_was_drawn(side, view, haze):
    settings = {name: option["default"] for name, option in cbis_ddsm.OPTIONS.items()}
    for density in (1, 2, 3, 4):
        film = (f"P_{density}", side, view)
        shown = lay_out(film, [Kind("mass", True, 5)], density, False, 3, settings)
        pixels = draw(shown, film, 3, settings, haze)
        inside = tissue(shown.breast, shown.pose, *shown.size)
        ys, xs = np.nonzero(inside if side == "LEFT" else inside[:, ::-1])
        box = xs.min(), ys.min(), xs.max() + 1, ys.max() + 1
        found = breast.find(Image.fromarray(pixels, mode="F"))
        np.testing.assert_allclose(found.box, box, atol=4)  # a pixel of its small version, and the margin
        assert found.lies_right == (side == "RIGHT")
