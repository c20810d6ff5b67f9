"""Regions: closed forms for boxes, ellipses and hulls; masks as frames' nearest resampling has them."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from sightline import tables
from sightline.datasets import rle
from sightline.errors import DatasetError
from sightline.frames import Frame, resample, scoring_frame
from sightline.metrics.localisation import mass_inside
from sightline.regions import convex_hull, draw_boxes, nearest, read_mask, render, sampled
from sightline.running.limited import resident_bytes
from tests.unit import dicom_files

SHAPE = (80, 120)
IMAGES = pd.DataFrame({"dataset": "made_up", "image": ["a", "b"], "height": 80, "width": 120})


def boxes(*rows: dict) -> pd.DataFrame:
    plain = {"dataset": "made_up", "image": "a", "reader": "0", "kind": "finding", "label": "", "index": 0}
    plain |= {
        "shape": "rectangle",
        "xmin": 10.0,
        "ymin": 20.0,
        "xmax": 50.0,
        "ymax": 40.0,
        "certainty": np.nan,
    }
    return pd.DataFrame([plain | row for row in rows], columns=list(tables.SCHEMAS["boxes"].columns))


def masks(*rows: dict) -> pd.DataFrame:
    plain = {"dataset": "made_up", "image": "a", "kind": "lungs", "index": 0, "height": 80, "width": 120}
    return pd.DataFrame([plain | row for row in rows], columns=list(tables.SCHEMAS["masks"].columns))


def rendered(kind: dict, boxes_table: pd.DataFrame, masks_table: pd.DataFrame, root=".", scale=1.0):
    rows, values = render({"k": kind}, boxes_table, masks_table, IMAGES, root, scale)
    values = list(values)
    tables.conform("regions", rows, "test")
    assert [value is None for value in values] == (rows["status"] != "ok").tolist()
    return rows, values


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.25, 0.125])
def test_a_rectangle_covers_its_area(scale):
    frame = scoring_frame(SHAPE, scale)
    region = draw_boxes(boxes({"xmin": 16, "ymin": 24, "xmax": 64, "ymax": 56}), SHAPE, frame)
    assert region.sum() == (64 - 16) * (56 - 24) * scale**2
    if scale == 1.0:
        assert region[24:56, 16:64].all()


def test_an_ellipse_covers_pi_a_b():
    region = draw_boxes(
        boxes({"shape": "ellipse", "xmin": 10, "ymin": 10, "xmax": 110, "ymax": 70}),
        SHAPE,
        Frame.of_image(SHAPE),
    )
    assert region.sum() == pytest.approx(np.pi * 50 * 30, rel=0.005)
    assert region[40, 60] and not region[11, 11]
    np.testing.assert_array_equal(region, region[::-1])
    np.testing.assert_array_equal(region, region[:, ::-1])


def test_boxes_are_united_and_may_leave_the_image():
    parts = boxes(
        {"xmin": -50, "xmax": 20, "ymin": -9, "ymax": 10}, {"xmin": 15, "xmax": 25, "ymin": 0, "ymax": 10}
    )
    assert draw_boxes(parts, SHAPE, Frame.of_image(SHAPE)).sum() == 25 * 10


@pytest.mark.parametrize(
    ("narrowed", "area"),
    [
        ({}, 40 * 20 + 10 * 10),
        ({"label": "Edema"}, 40 * 20),
        ({"label": None}, 40 * 20 + 10 * 10),
        ({"min_certainty": 3}, 10 * 10),
        ({"reader": ""}, 10 * 10),
        ({"reader": "0"}, 40 * 20),
        ({"hull": True, "label": "Edema"}, 40 * 20),
    ],
)
def test_labels_and_certainty_narrow_boxes(narrowed, area):
    table = boxes(
        {"label": "Edema", "certainty": 2.0},
        {"label": "Mass", "certainty": 3.0, "reader": "", "xmin": 80, "xmax": 90, "ymin": 60, "ymax": 70},
        {"kind": "chest", "xmin": 0, "xmax": 120},
        {"image": "b", "label": "Edema", "certainty": 1.0},
    )
    rows, values = rendered({"of": "finding", "source": "box", **narrowed}, table, masks())
    assert values[0].sum() == area and values[0].dtype == np.uint8
    assert rows["area_share"].iloc[0] == pytest.approx(area / (80 * 120))


def test_images_without_a_region_say_why():
    rows, values = rendered(
        {"of": "finding", "source": "box", "label": "Mass"}, boxes({"label": "Edema"}), masks()
    )
    assert rows["status"].tolist() == ["not_applicable"] * 2 and values == [None, None]
    assert rows["reason"].iloc[0] == (
        "the image has boxes 'finding', but none labelled 'Mass': "
        "change label of the reference to take them in"
    )
    of_nobody = {"of": "finding", "source": "box", "reader": "", "min_certainty": 2}
    rows, _ = rendered(of_nobody, boxes({"reader": "r1", "certainty": 3.0}), masks())
    told = "none of certainty 2 or more, of the dataset's own, by no reader: change min_certainty, reader of"
    assert told in rows["reason"].iloc[0]
    assert rows["reason"].iloc[1] == "the image has no box 'finding'"  # whatever narrows
    rows, _ = rendered({"of": "heart"}, boxes(), masks())
    assert rows["reason"].iloc[1] == "the image has no mask 'heart'"
    tiny = boxes({"xmin": 3, "xmax": 4, "ymin": 1, "ymax": 2})
    rows, _ = rendered({"of": "finding", "source": "box"}, tiny, masks(), scale=0.125)
    assert rows["reason"].iloc[0] == "the region 'finding' holds no pixel of the 10 x 15 grid"


PARTS = {
    "lesion": {"of": "lesion"},
    "breast": {"of": "breast"},
    "rest": {"of": "breast", "minus": "lesion"},
    "outside": {"of": "breast", "outside": True, "minus": "lesion"},
}


def breast_with_lesions(**changes) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    """A breast, a lesion that leaves it, and their masks; image b has a breast alone."""
    breast, lesion = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    breast[10:70, :60], lesion[20:40, 50:70] = True, True
    one = {"kind": "lesion", "encoding": "rle", "data": rle.encode(lesion)} | changes
    whole = {"kind": "breast", "encoding": "rle", "data": rle.encode(breast)}
    return breast, lesion, masks(one, whole, whole | {"image": "b"})


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.125])
def test_the_parts_of_an_image_share_its_mass_between_them(scale):
    breast, lesion, table = breast_with_lesions()
    rows, values = render(PARTS, boxes(), table, IMAGES, ".", scale)
    tables.conform("regions", rows, "test")
    found = {(row.kind, row.image): one for row, one in zip(rows.itertuples(), values)}
    frame = scoring_frame(SHAPE, scale)
    expected = {"rest": breast & ~lesion, "outside": ~breast & ~lesion, "lesion": lesion, "breast": breast}
    for name, mask in expected.items():
        np.testing.assert_array_equal(found[name, "a"], nearest(mask, frame))
    saliency = np.random.default_rng(0).gamma(0.5, size=frame.shape)
    shares = [mass_inside(saliency, found[name, "a"] > 0) for name in ("lesion", "rest", "outside")]
    assert sum(shares) == pytest.approx(1, abs=1e-6) and min(shares) > 0
    # an image without lesion: nothing is taken out, and its breast and the rest are all
    assert found["lesion", "b"] is None
    np.testing.assert_array_equal(found["rest", "b"], found["breast", "b"])
    np.testing.assert_array_equal(found["outside", "b"], 1 - found["breast", "b"])


def test_a_damaged_mask_that_is_to_be_taken_out_leaves_no_region():
    _, _, table = breast_with_lesions(data="1 2 3")
    rows, _ = render(PARTS, boxes(), table, IMAGES, ".", 0.5)
    status = rows.set_index(["kind", "image"])["status"]
    assert status["breast", "a"] == "ok"
    assert {status[name, "a"] for name in ("lesion", "rest", "outside")} == {"not_applicable"}


def test_a_part_that_holds_nothing_says_so():
    breast, _, table = breast_with_lesions(data=rle.encode(np.ones(SHAPE, dtype=bool)))
    rows, _ = render(PARTS, boxes(), table, IMAGES, ".", 0.125)
    reason = rows.set_index(["kind", "image"])["reason"]["rest", "a"]
    assert reason == "the region 'rest' holds no pixel of the 10 x 15 grid"


@pytest.mark.parametrize("seed", range(5))
def test_no_speck_is_lost_and_nothing_else_changes(seed):
    """Specks of one to nine pixels, each in its own neighbourhood, and a mass."""
    random, frame = np.random.default_rng(seed), scoring_frame((403, 611), 0.125)
    mask = np.zeros((403, 611), dtype=bool)
    mask[100:190, 200:330] = True
    corners = [
        (y, x) for y in range(0, 400, 40) for x in range(0, 600, 40) if not (60 < y < 200 and 160 < x < 340)
    ]
    for y, x in corners:
        y, x = min(y + random.integers(30), 400), min(x + random.integers(30), 608)
        mask[y : y + random.integers(1, 4), x : x + random.integers(1, 4)] = True
    found, plain = sampled(mask, frame), nearest(mask, frame)
    assert not (plain & ~found).any()
    parts, count = ndimage.label(mask, structure=np.ones((3, 3)))
    assert count > 60
    added = found & ~plain
    for part in range(1, count + 1):
        met = nearest(parts == part, frame)
        y, x = (np.array(ndimage.center_of_mass(parts == part)) + 0.5) * frame.scale[::-1]
        at = min(int(y), frame.shape[0] - 1), min(int(x), frame.shape[1] - 1)
        assert met.any() or added[at]
        added[at] &= met.any()
    assert not added.any(), "a pixel that no speck asked for"


def test_a_region_of_specks_alone_is_a_region():
    points = [[[13, 9]], [[60, 33]], [[61, 33]], [[118, 78]]]
    found = masks({"kind": "lesion", "encoding": "polygons", "data": json.dumps(points)})
    rows, values = rendered({"of": "lesion"}, boxes(), found, scale=0.125)
    assert rows["status"].iloc[0] == "ok"
    assert sorted(zip(*np.nonzero(values[0]))) == [(1, 1), (4, 7), (9, 14)]
    whole = sampled(np.ones(SHAPE, bool), scoring_frame(SHAPE, 0.125))
    assert whole.all() and not sampled(np.zeros(SHAPE, bool), scoring_frame(SHAPE, 0.125)).any()


def test_offsets_count_the_arrays_before():
    table = boxes({}, {"image": "b"})
    kinds = {name: {"of": "finding", "source": "box"} for name in ("z", "y")}
    told = []
    rows, values = render(
        kinds, table, masks(), IMAGES, ".", 0.5, lambda items, *of: told.append(of) or items
    )
    assert told == [(2, "images")]
    assert rows["kind"].tolist() == ["y", "y", "z", "z"] and rows["image"].tolist() == ["a", "b", "a", "b"]
    assert rows["offset"].tolist() == [0, 2400, 4800, 7200] and len(list(values)) == 4


def test_regions_of_many_images_wait_in_little_memory():
    """Of 100 films each of a megabyte; what is given is what was drawn, whatever the number of pixels."""
    films = IMAGES.iloc[[0] * 100].assign(image=[f"{at:03}" for at in range(100)], height=999, width=1001)
    table = boxes(*({"image": image, "xmax": 500.0 + int(image)} for image in films["image"]))
    before = resident_bytes(os.getpid())
    rows, values = render({"k": {"of": "finding", "source": "box"}}, table, masks(), films, ".", 1.0)
    assert resident_bytes(os.getpid()) - before < 0.5 * 100 * 999 * 1001
    for width, region in zip(range(490, 590), values):
        assert region.dtype == np.uint8 and region.shape == (999, 1001)
        assert region.sum() == region[20:40, 10 : 10 + width].sum() == 20 * width


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.37, 0.125])
def test_a_mask_is_resampled_as_frames_do(scale):
    mask = np.random.default_rng(0).random((53, 71)) < 0.4
    frame = scoring_frame(mask.shape, scale)
    expected = resample(mask, Frame.of_image(mask.shape), frame, kind="nearest")
    np.testing.assert_array_equal(nearest(mask, frame), expected)


def test_masks_from_run_lengths_and_from_files(tmp_path):
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[10:50, 30:60] = True
    drawn[60:70, 5:9] = True
    Image.fromarray(drawn.astype(np.uint8) * 255).save(tmp_path / "grey.png")
    Image.fromarray(np.dstack([drawn * 9, drawn * 0, drawn * 0]).astype(np.uint8)).save(
        tmp_path / "colour.png"
    )
    for encoding, data in [("rle", rle.encode(drawn)), ("file", "grey.png"), ("file", "colour.png")]:
        np.testing.assert_array_equal(read_mask(encoding, data, SHAPE, tmp_path), drawn)
        rows, values = rendered(
            {"of": "lungs"}, boxes(), masks({"encoding": encoding, "data": data}), tmp_path, 0.5
        )
        np.testing.assert_array_equal(values[0], nearest(drawn, scoring_frame(SHAPE, 0.5)))
        assert rows["status"].tolist() == ["ok", "not_applicable"]


@pytest.mark.parametrize(
    ("encoding", "data", "words"),
    [
        ("rle", "1 2 3", "pairs"),
        ("file", "none.png", "none.png: the mask cannot be read .*replace the file"),
        ("file", "small.png", "small.png: the mask is 120 x 79 pixels, expected 120 x 80; resize the mask"),
        ("file", "../up.png", "leaves the dataset's folder"),
        ("file", "broken.dcm", "broken.dcm: the mask is damaged"),
        ("file", "movie.dcm", "movie.dcm: the mask holds 2 pictures"),
        ("polygons", "[[[1, 2], [3]]]", "the outlined mask"),
        ("polygons", "[[1, 2]]", "no list of points"),
        ("polygons", "[[[1, NaN]]]", "not finite"),
        ("polygons", "{", "not a list of polygons"),
    ],
)
def test_a_bad_mask_says_what_is_wrong(tmp_path, encoding, data, words):
    Image.fromarray(np.zeros((79, 120), np.uint8)).save(tmp_path / "small.png")
    dicom_file(tmp_path / "broken.dcm", np.zeros(SHAPE, np.uint8))
    (tmp_path / "broken.dcm").write_bytes((tmp_path / "broken.dcm").read_bytes()[:-99])
    dicom_file(tmp_path / "movie.dcm", np.zeros(SHAPE, np.uint8), NumberOfFrames=2, PixelData=bytes(19200))
    with pytest.raises(DatasetError, match=words):
        read_mask(encoding, data, SHAPE, tmp_path)
    rows, _ = rendered({"of": "lungs"}, boxes(), masks({"encoding": encoding, "data": data}), tmp_path)
    assert rows["status"].iloc[0] == "not_applicable" and rows["reason"].iloc[0]


def test_masks_of_one_kind_are_united():
    first, second = np.zeros(SHAPE, dtype=bool), np.zeros(SHAPE, dtype=bool)
    first[10:20, 10:20], second[15:40, 15:30] = True, True
    found = masks(
        *({"encoding": "rle", "data": rle.encode(one), "index": at} for at, one in enumerate([first, second]))
    )
    rows, values = rendered({"of": "lungs"}, boxes(), found)
    np.testing.assert_array_equal(values[0], first | second)
    assert rows["area_share"].iloc[0] == (10 * 10 + 25 * 15 - 5 * 5) / (80 * 120)
    broken = pd.concat([found, masks({"encoding": "file", "data": "none.png", "index": 2})])
    rows, values = rendered({"of": "lungs"}, boxes(), broken)
    assert rows["status"].iloc[0] == "not_applicable" and "none.png" in rows["reason"].iloc[0]
    assert values[0] is None, "a part of a region is no region"


def test_a_mask_of_another_grid_is_stretched_onto_the_image():
    small = np.random.default_rng(1).random((40, 40)) < 0.5  # the image is 80 x 120
    found = masks({"encoding": "rle", "data": rle.encode(small), "height": 40, "width": 40})
    _, values = rendered({"of": "lungs"}, boxes(), found)
    np.testing.assert_array_equal(values[0], np.repeat(np.repeat(small, 2, axis=0), 3, axis=1))
    larger = np.repeat(np.repeat(small, 6, axis=0), 9, axis=1)  # 240 x 360, cut down by three
    found = masks({"encoding": "rle", "data": rle.encode(larger), "height": 240, "width": 360})
    np.testing.assert_array_equal(rendered({"of": "lungs"}, boxes(), found)[1][0], values[0])


def polygon_mask(outlines: list, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return read_mask("polygons", json.dumps(outlines), shape, ".")


def test_polygons_hold_the_pixels_whose_centres_they_hold():
    square = polygon_mask([[[10, 20], [30, 20], [30, 50], [10, 50]]])
    expected = np.zeros(SHAPE, dtype=bool)
    expected[20:51, 10:31] = True  # points of the edge are inside: the outline of these pixels' centres
    np.testing.assert_array_equal(square, expected)
    between = polygon_mask([[[9.5, 19.5], [30.5, 19.5], [30.5, 50.5], [9.5, 50.5]]])
    np.testing.assert_array_equal(between, expected)  # and so is the outline of their outer edges
    triangle = polygon_mask([[[0, 0], [79, 0], [0, 79]]])
    rows, columns = np.indices(SHAPE)
    np.testing.assert_array_equal(triangle, rows + columns <= 79)
    angles = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    circle = np.stack([60.3 + 30 * np.cos(angles), 40.2 + 30 * np.sin(angles)], axis=1)
    disc = (columns - 60.3) ** 2 + (rows - 40.2) ** 2
    drawn = polygon_mask([circle.tolist()])
    assert drawn.sum() == pytest.approx(np.pi * 30**2, rel=0.01)
    assert drawn[disc < 29.9**2].all() and not drawn[disc > 30**2].any()


def test_polygons_are_united_and_specks_are_pixels():
    overlapping = polygon_mask(
        [[[10, 10], [20, 10], [20, 20], [10, 20]], [[15, 15], [25, 15], [25, 25], [15, 25]]]
    )
    assert overlapping.sum() == 2 * 11 * 11 - 6 * 6, "an overlap stays inside"
    specks = polygon_mask(
        [[[5, 7]], [[5.4, 6.6]], [[40.5, 30.4]], [[60.2, 60.2], [60.4, 60.3], [60.3, 60.4]]]
    )
    assert sorted(zip(*np.nonzero(specks))) == [(7, 5), (30, 41), (60, 60)]
    border = polygon_mask([[[120, 40]], [[-1, 80]]])  # a pixel off the grid: moved onto its edge
    assert sorted(zip(*np.nonzero(border))) == [(40, 119), (79, 0)]
    stroke = polygon_mask([[[1, 1], [4, 1]]])
    assert sorted(zip(*np.nonzero(stroke))) == [(1, 1), (1, 4)]
    clipped = polygon_mask([[[110, 70], [130, 70], [130, 90], [110, 90]]])
    assert clipped.sum() == 10 * 10 and clipped[70:, 110:].all()
    assert not polygon_mask([]).any()


def dicom_file(path: Path, pixels: np.ndarray, **elements) -> None:
    path.write_bytes(dicom_files.content(pixels, **elements))


def test_masks_from_dicom_and_jpeg_files(tmp_path):
    drawn = np.zeros(SHAPE, dtype=bool)
    drawn[8:48, 32:64] = True
    dicom_file(tmp_path / "mask.dcm", drawn.astype(np.uint8) * 255)
    dicom_file(tmp_path / "noname", drawn.astype(np.uint16) * 7, PhotometricInterpretation="MONOCHROME1")
    for name in ("mask.dcm", "noname"):
        np.testing.assert_array_equal(read_mask("file", name, SHAPE, tmp_path), drawn)
    # its zeros are not zero: a ring of small values surrounds what was white
    disc = np.hypot(*(np.indices(SHAPE) - np.array([40, 60])[:, None, None])) < 20
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "mask.jpg", quality=60)
    assert (np.asarray(Image.open(tmp_path / "mask.jpg"))[~disc] > 0).sum() > 100
    read = read_mask("file", "mask.jpg", SHAPE, tmp_path)
    assert (read != disc).sum() <= 0.01 * disc.sum()


def test_the_hull_of_two_lungs_in_closed_form():
    lungs = np.zeros((60, 100), dtype=bool)
    lungs[10:40, 10:30] = True
    lungs[10:40, 60:90] = True
    expected = np.zeros_like(lungs)
    expected[10:40, 10:90] = True
    np.testing.assert_array_equal(convex_hull(lungs), expected)
    assert not convex_hull(np.zeros((5, 5), bool)).any()
    point = np.zeros((5, 5), bool)
    point[2, 3] = True
    np.testing.assert_array_equal(convex_hull(point), point)


@pytest.mark.parametrize("seed", range(4))
def test_the_hull_agrees_with_the_half_planes(seed):
    """Against scipy's hull: every pixel well inside is filled, none well outside is."""
    from scipy.spatial import ConvexHull

    generator = np.random.default_rng(seed)
    mask = np.zeros((70, 90), dtype=bool)
    mask[tuple(generator.integers(5, 65, (2, 12)))] = True
    filled = convex_hull(mask)
    assert (filled | mask).sum() == filled.sum()
    points = np.argwhere(mask)
    faces = ConvexHull(points).equations  # normal, offset: outside where positive
    rows, columns = np.indices(mask.shape)
    distance = (np.stack([rows, columns], -1) @ faces[:, :2].T + faces[:, 2]).max(axis=-1)
    assert filled[distance <= 0].all() and not filled[distance > 1].any()


def test_the_authors_hulls_are_convex(golden):
    """Their hulls of lung masks, hulled again, stay as they are but for pixels of the edge."""
    files = sorted((golden / "reflacx" / "segmentations_convex").glob("*.png"))
    assert len(files) == 5
    for path in files:
        mask = np.asarray(Image.open(path)) > 0
        mask = mask if mask.ndim == 2 else mask[..., 0]
        assert mask.sum() <= convex_hull(mask).sum() <= 1.02 * mask.sum()


def test_the_real_lung_masks_are_regions(real):
    from sightline.datasets import dataset

    root = real / "cxr_covid_open"
    found = dataset.read("covid", root, "covid_cxr", {}, {})
    kinds = {"lungs": {"of": "lungs"}, "boxes": {"of": "lung", "source": "box"}}
    rows, _ = render(kinds, found.boxes, found.masks, found.images, root, 0.125)
    status = rows.groupby("kind")["status"].value_counts()
    assert (
        status["lungs", "ok"] == 83
        and status["lungs", "not_applicable"] == 30
        and status["boxes", "ok"] == 113
    )
    shares = rows[rows["status"] == "ok"].groupby("kind")["area_share"].median()
    assert 0.1 < shares["lungs"] < shares["boxes"] < 0.7
