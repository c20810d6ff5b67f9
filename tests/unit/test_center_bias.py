"""Center bias: the authors' numbers, leaving out against recomputing, and images without a usable box."""

import os

import numpy as np
import pandas as pd
import pytest

from sightline import arrays, center_bias, tables
from sightline.errors import DatasetError
from sightline.running.limited import resident_bytes


@pytest.fixture(scope="module")
def authors(golden):
    """Readings of the golden tree: maps, boxes and each one's image (from the arrays' names)."""
    outputs = np.load(golden / "reflacx" / "outputs_et_and_cb.npz")
    maps, boxes, names = [], [], []
    for name in outputs.files:
        if name.startswith("et_heatmaps"):
            *_, phase, one, trial, _, reading = name.split("_")
            box = pd.read_csv(golden / "reflacx" / "main_data" / reading / "chest_bounding_box.csv")
            maps.append(outputs[name])
            boxes.append(box.iloc[0][center_bias.CORNERS].to_numpy(float))
            names.append(f"{phase}_{one}_{trial}")
    return outputs, np.load(golden / "reflacx" / "cb_debug.npz"), maps, boxes, names


def made(seed=0, sides=((40, 50), (50, 40), (44, 44), (60, 52)), readers=(1, 3, 2, 1)):
    """Images of several sizes with one box each and any number of readings."""
    random = np.random.default_rng(seed)
    maps, boxes, names = [], [], []
    for at, ((height, width), n) in enumerate(zip(sides, readers)):
        left, top = random.uniform(1, 9, 2)
        box = [left, top, width - random.uniform(2, 9), height - random.uniform(2, 9)]
        for _ in range(n):
            values = random.random((height, width)) ** 4
            maps.append(values / values.sum())
            boxes.append(box)
            names.append(f"i{at}")
    return maps, boxes, names


def test_average_canvas_and_counts_are_the_authors(authors):
    _, debug, maps, boxes, names = authors
    average = center_bias.average(maps, boxes, names)
    assert average.box == pytest.approx(debug["averages_boxes"], rel=1e-12)
    assert average.margins == pytest.approx(debug["max_margins"], rel=1e-12)
    assert np.array_equal(average.counts, debug["counts"])
    np.testing.assert_allclose(average.values, debug["average_heatmap"], rtol=1e-9, atol=0, equal_nan=True)


def test_every_placed_center_bias_is_the_authors(authors):
    outputs, _, maps, boxes, names = authors
    average = center_bias.average(maps, boxes, names)
    for name in sorted(set(names)):
        expected = outputs[f"cb_heatmaps_subtraction_{name}"]
        box = np.mean([box for box, other in zip(boxes, names) if other == name], axis=0)
        np.testing.assert_allclose(average.place(box, expected.shape), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("out", [["i0"], ["i1"], ["i2", "i3"], ["i0", "i1", "i2"]])
def test_taking_out_equals_summing_the_others(out):
    maps, boxes, names = made()
    pooled = center_bias.average(maps, boxes, names)
    gone = [at for at, name in enumerate(names) if name in out]
    rest = pooled.without([maps[at] for at in gone], [boxes[at] for at in gone])
    expected_total, expected_counts = np.zeros_like(pooled.total), np.zeros_like(pooled.counts)
    for at in set(range(len(maps))) - set(gone):
        alone = center_bias.Average(
            np.zeros_like(pooled.total), np.zeros_like(pooled.total), np.zeros_like(pooled.counts),
            np.zeros_like(pooled.reached), pooled.box, pooled.margins,
        )  # fmt: skip
        alone._add(maps[at], np.array(boxes[at]), 1)
        expected_total, expected_counts = expected_total + alone.total, expected_counts + alone.counts
    assert np.array_equal(rest.counts, expected_counts)
    expected = expected_total / np.maximum(expected_counts, 1)
    np.testing.assert_allclose(rest.values[pooled.reached], expected[pooled.reached], rtol=1e-9, atol=0)
    assert np.array_equal(
        pooled.counts, center_bias.average(maps, boxes, names).counts
    )  # the pooled one is untouched


def test_taking_out_a_peak_loses_no_digit():
    """The own reading dwarfs the others at one pixel: plain subtraction would keep few digits there."""
    faint = np.full((30, 30), 1e-13)
    faint[:, :4] = 1.0
    peak = np.zeros((30, 30))
    peak[15, 15] = 1.0
    box = [5, 5, 25, 25]
    maps = [faint, faint.copy(), peak]
    rest = center_bias.average(maps, [box] * 3).without([peak], [box])
    alone = center_bias.average(maps[:2], [box] * 2)
    np.testing.assert_allclose(rest.values, alone.values, rtol=1e-12, atol=0)
    plain = center_bias.average(maps, [box] * 3).total - peak
    assert abs(plain[15, 15] / alone.total[15, 15] - 1) > 1e-4  # what the test guards against


def test_pixels_that_only_the_own_image_covers_are_zero():
    maps = [np.full((40, 40), 1 / 1600), np.full((20, 20), 1 / 400)]
    boxes = [[15, 15, 25, 25], [5, 5, 15, 15]]  # the first has margins of 15, the second of 5
    rest = center_bias.average(maps, boxes, ["a", "b"]).without([maps[0]], [boxes[0]])
    placed = rest.place(boxes[0], (40, 40))
    assert np.all(placed[:9] == 0) and np.all(placed[12:28, 12:28] > 0)
    assert placed.sum() == pytest.approx(1.0, abs=1e-12)


def test_equal_boxes_and_sizes_give_the_plain_mean():
    random = np.random.default_rng(3)
    maps = [random.random((32, 24)) for _ in range(3)]
    maps = [values / values.sum() for values in maps]
    average = center_bias.average(maps, [[4, 6, 20, 26]] * 3)
    np.testing.assert_allclose(
        center_bias.place(average, [4, 6, 20, 26], (32, 24)), np.mean(maps, axis=0), rtol=1e-9, atol=0
    )


def test_readers_boxes_count_once_per_image():
    maps = [np.full((20, 20), 1 / 400)] * 4
    boxes = [[2, 2, 10, 10], [4, 4, 12, 12], [6, 6, 14, 14], [8, 8, 18, 18]]
    average = center_bias.average(maps, boxes, ["a", "a", "a", "b"])
    assert average.box.tolist() == [6, 6, 15, 15]  # not the mean over readings


@pytest.mark.parametrize(
    "box, problem",
    [
        (None, "no box"),
        ([5, 5, 5, 20], "empty"),
        ([np.nan, 1, 2, 3], "no box"),
        ([90, 90, 99, 99], "lies outside"),
    ],
)
def test_a_bad_box_names_the_image(box, problem):
    maps = [np.full((20, 20), 1 / 400)] * 2
    with pytest.raises(DatasetError, match=f"image film7.*{problem}"):
        center_bias.average(maps, [[1, 1, 9, 9], box], ["film1", "film7"])


def tables_of(scale=0.5):
    """Stored gaze of 4 images of 3 subjects, in the scoring frame; the image without a box is `i3`."""
    random = np.random.default_rng(1)
    images = pd.DataFrame(
        {"dataset": "d", "image": ["i0", "i1", "i2", "i3", "i4"], "subject": ["s0", "s1", "s1", "s2", "s3"],
         "height": [80, 100, 88, 90, 84], "width": [100, 80, 88, 70, 90]}
    )  # fmt: skip
    rows, flat, offset = [], [], 0
    for image, readers in (("i0", 1), ("i1", 3), ("i2", 2), ("i3", 1)):  # i4 has no reading
        row = images[images["image"] == image].iloc[0]
        for reader in range(readers):
            values = random.random((round(row["height"] * scale), round(row["width"] * scale))) ** 3
            flat.append((values / values.sum()).ravel())
            rows.append(("d", image, str(reader), "ok", None, offset, list(values.shape)))
            offset += values.size
    rows.append(("d", "i1", "9", "empty", "no fixation", None, None))
    gaze = pd.DataFrame(rows, columns=["dataset", "image", "reader", "status", "reason", "offset", "shape"])
    boxes = pd.DataFrame(
        [("i0", 10, 8, 80, 60), ("i0", 12, 10, 82, 62), ("i1", 9, 20, 70, 90), ("i2", 10, 10, 80, 80),
         ("i4", 5, 9, 80, 75)],
        columns=["image", *center_bias.CORNERS],
    ).assign(kind="chest")  # fmt: skip
    return gaze, np.concatenate(flat), boxes, images


def test_all_images_and_leave_outs(tmp_path):
    gaze, flat, boxes, images = tables_of()
    means = center_bias.image_boxes(boxes, images, "chest")
    assert means.loc["i0"].tolist() == [11, 9, 81, 61]
    rows, maps = center_bias.place_all(gaze, flat, means, images, ["none", "image", "subject"], 0.5)
    tables.write("center_bias", rows, tmp_path / "center_bias.parquet")
    assert len(rows) == 15
    lost = rows[rows["status"] != "ok"]
    assert set(lost["image"]) == {"i3"} and set(lost["status"]) == {"missing"}
    assert lost["reason"].str.contains("image i3 has no box.*add one").all()
    stored = np.concatenate([values.ravel() for values in maps])
    row = {(r.leave_out, r.image): r for r in rows.itertuples()}
    found = {key: arrays.view(stored, r.offset, r.shape) for key, r in row.items() if r.status == "ok"}
    assert stored.size == sum(values.size for values in found.values())

    there = gaze[(gaze["status"] == "ok") & (gaze["image"] != "i3")]
    values = [arrays.view(flat, r.offset, r.shape) for r in there.itertuples()]
    half = {image: means.loc[image].to_numpy() / 2 for image in means.index}
    pooled = center_bias.average(values, [half[image] for image in there["image"]], list(there["image"]))
    for leave_out, gone in (("none", []), ("image", ["i1"]), ("subject", ["i1", "i2"])):
        pick = [at for at, image in enumerate(there["image"]) if image in gone]
        rest = pooled.without([values[at] for at in pick], [half[there["image"].iloc[at]] for at in pick])
        expected = rest.place(half["i1"], (50, 40))
        np.testing.assert_allclose(found[leave_out, "i1"], expected, rtol=1e-9, atol=1e-300)
    assert np.array_equal(found["none", "i4"], found["image", "i4"])  # no own reading to take out
    assert not np.allclose(found["none", "i0"], found["image", "i0"], rtol=1e-3)


def test_nothing_left_to_average_is_said():
    gaze, flat, boxes, images = tables_of()
    only = images[images["image"].isin(["i1", "i2"])]
    rows, maps = center_bias.place_all(
        gaze, flat, center_bias.image_boxes(boxes, images, "chest"), only, ["subject"], 0.5
    )
    assert rows["status"].tolist() == ["not_applicable"] * 2 and list(maps) == []
    assert "subject" in rows["reason"].iloc[0]


def test_whole_image_as_box():
    _, _, boxes, images = tables_of()
    whole = center_bias.image_boxes(boxes, images, "image")
    assert whole.loc["i1"].tolist() == [0, 0, 80, 100] and len(whole) == 5


def test_unknown_leave_out():
    gaze, flat, boxes, images = tables_of()
    with pytest.raises(ValueError, match="reader.*none, image, subject"):
        center_bias.place_all(gaze, flat, boxes, images, ["reader"], 0.5)


def test_an_image_beyond_the_canvas_gets_zero_there():
    maps, boxes, names = made()
    average = center_bias.average(maps, boxes, names)
    box = np.array([60.0, 60.0, 60.0, 60.0])
    box[2:] += average.box[2:] - average.box[:2]  # no magnification: the canvas lies inside the image
    placed = average.place(box, (200, 180))
    assert placed.sum() == pytest.approx(1.0, abs=1e-12)
    top, left = 60 - round(average.margins[1]), 60 - round(average.margins[0])
    assert placed[: top - 1].sum() == 0 and placed[:, : left - 1].sum() == 0 and placed[:, -20:].sum() == 0
    assert placed[70:90, 70:80].min() > 0


def test_the_scoring_frame_gives_the_native_center_bias_averaged():
    """Registered at a quarter of the side: the same distribution, but for rounding to whole pixels."""
    random = np.random.default_rng(4)
    rows, columns = np.ogrid[:480, :400]
    native, quarter, boxes = [], [], []
    for _ in range(6):
        x, y = random.normal(200, 40), random.normal(240, 40)
        values = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 60**2))
        native.append(values / values.sum())
        quarter.append(native[-1].reshape(120, 4, 100, 4).sum(axis=(1, 3)))
        boxes.append(np.array([60 + random.integers(30), 80, 340 - random.integers(30), 420]))
    expected = center_bias.average(native, boxes).place(boxes[0], (480, 400))
    expected = expected.reshape(120, 4, 100, 4).sum(axis=(1, 3))
    small = center_bias.average(quarter, [box / 4 for box in boxes]).place(boxes[0] / 4, (120, 100))
    assert np.abs(small - expected).sum() / 2 < 0.02


def test_maps_in_a_file_are_not_held_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(arrays, "MAPPED_BYTES", 8_000_000)
    side, count = 1000, 30
    with arrays.Writer(tmp_path / "gaze.npy", np.float32) as writer:
        offsets = [writer.append(np.full((side, side), at + 1.0)) for at in range(count)]
    names = [f"i{at:02}" for at in range(count)]
    images = pd.DataFrame({"dataset": "d", "image": names, "subject": names, "height": side, "width": side})
    gaze = images.assign(status="ok", offset=offsets, shape=[[side, side]] * count)
    boxes = images.set_index("image").assign(xmin=0.0, ymin=0.0, xmax=1.0 * side, ymax=1.0 * side)
    before = resident_bytes(os.getpid())
    flat = arrays.open_flat(tmp_path / "gaze.npy")
    _, maps = center_bias.place_all(gaze, flat, boxes, images, ["none"], 1.0)
    np.testing.assert_allclose(next(maps), 1 / side**2)
    assert resident_bytes(os.getpid()) - before < 0.75 * flat.nbytes
