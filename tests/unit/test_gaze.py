"""Gaze maps: the authors' numbers, full 2-D Gaussians, clipping, scale, and readings without a map."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import multivariate_normal

from sightline import gaze
from sightline.errors import DatasetError

SHAPE = (60, 48)


def fixation(x=20.0, y=30.0, seconds=1.0, degree=(6.0, 5.0), shown=(0, 0, 48, 60), start=0.5):
    return dict(
        zip(
            gaze.COLUMNS,
            (start, start + seconds, x, degree[0], shown[0], shown[2], y, degree[1], shown[1], shown[3]),
        )
    )


def frame(*rows):
    return pd.DataFrame(list(rows), columns=list(gaze.COLUMNS))


def by_full_gaussians(fixations, shape):
    total = np.zeros(shape)
    pixels = np.stack(np.mgrid[: shape[0], : shape[1]], axis=-1)
    for _, row in fixations.iterrows():
        start, stop, x, sx, left, right, y, sy, top, bottom = (row[c] for c in gaze.COLUMNS)
        density = multivariate_normal((y, x), np.diag([sy**2, sx**2])).pdf(pixels) * (stop - start)
        inside = np.zeros(shape)
        inside[max(0, round(top)) : round(bottom), max(0, round(left)) : round(right)] = 1
        total += density * inside
    return total / total.sum()


def mixed():
    return frame(
        fixation(),
        fixation(x=5, y=50, seconds=0.2, degree=(3, 9), shown=(0, 10.5, 24.5, 55.5)),
        fixation(x=-8, y=70, seconds=2.0),  # off the image
        fixation(x=40, y=12, seconds=0.7, shown=(-5, -3, 200, 40)),
    )


def test_every_reading_of_the_authors(golden):
    outputs = np.load(golden / "reflacx" / "outputs_et_and_cb.npz")
    names = [name for name in outputs.files if name.startswith("et_heatmaps")]
    assert len(names) == 24
    for name in names:
        reading = name.split("_")[-1]
        fixations = pd.read_csv(golden / "reflacx" / "main_data" / reading / "fixations.csv")
        made = gaze.render(fixations, outputs[name].shape)
        assert np.abs(made - outputs[name]).max() <= 1e-6 * outputs[name].max(), name


def test_equals_full_gaussians_within_rectangles():
    made = gaze.render(mixed(), SHAPE)
    expected = by_full_gaussians(mixed(), SHAPE)
    assert np.abs(made - expected).max() < 1e-12 * expected.max()
    assert made.sum() == pytest.approx(1.0, abs=1e-12)


def test_clipping_is_not_renormalised():
    """A fixation whose Gaussian is cut in half weighs half of a whole one."""
    both = frame(
        fixation(x=12, degree=(2, 2), shown=(0, 0, 24, 60)),
        fixation(x=35.5, degree=(2, 2), shown=(36, 0, 48, 60)),
    )
    made = gaze.render(both, SHAPE)
    assert made[:, :24].sum() == pytest.approx(2 * made[:, 36:].sum(), rel=1e-6)
    assert made[:, 24:36].sum() == 0.0


def test_rectangle_is_rounded_half_to_even():
    made = gaze.render(frame(fixation(shown=(10.5, 20.5, 30.5, 41.5))), SHAPE)
    rows, columns = np.flatnonzero(made.any(axis=1)), np.flatnonzero(made.any(axis=0))
    assert (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1) == (20, 42, 10, 30)


def test_weight_is_duration():
    pair = frame(fixation(x=10, degree=(1, 1), seconds=3), fixation(x=38, degree=(1, 1), seconds=1, start=-4))
    made = gaze.render(pair, SHAPE)
    assert made[:, :24].sum() == pytest.approx(0.75, abs=1e-9)


@pytest.mark.parametrize("scale", [0.5, 0.25, 0.3])
def test_scaled_map_is_the_area_mean_of_the_native_one(scale):
    native, made = gaze.render(mixed(), SHAPE), gaze.render(mixed(), SHAPE, scale)
    height, width = made.shape
    assert (height, width) == (round(60 * scale), round(48 * scale))
    # area means by repeating pixels to a common grid
    fine = np.repeat(np.repeat(native, height, axis=0), width, axis=1)
    expected = fine.reshape(height, 60, width, 48).mean(axis=(1, 3))
    expected /= expected.sum()
    assert np.abs(made - expected).max() < 1e-12 * expected.max()


@pytest.mark.parametrize(
    "rows, reason",
    [
        ([], "no fixation"),
        ([fixation(x=-4000)], "none of its 1 fixations"),
        ([fixation(shown=(48, 0, 90, 60))], "none of its 1 fixations"),
        ([fixation(seconds=0.0)], "none of its 1 fixations"),
    ],
)
def test_a_reading_without_gaze_on_the_image_says_so(rows, reason):
    with pytest.raises(gaze.EmptyReading, match=reason):
        gaze.render(frame(*rows), SHAPE)


@pytest.mark.parametrize(
    "change, problem",
    [
        ({"x_position": np.nan}, "row 1: a value is not a finite"),
        ({"ymax_shown_from_image": np.inf}, "row 1: a value is not a finite"),
        ({"timestamp_end_fixation": 0.1}, "row 1: the fixation ends before"),
        ({"angular_resolution_x_pixels_per_degree": 0.0}, "row 1: pixels per degree"),
    ],
)
def test_bad_values_are_named(change, problem):
    bad = frame(fixation(), {**fixation(), **change})
    with pytest.raises(DatasetError, match=problem):
        gaze.render(bad, SHAPE)


def test_a_missing_column_is_named():
    with pytest.raises(DatasetError, match="x_position"):
        gaze.render(mixed().drop(columns="x_position"), SHAPE)


def study():
    images = pd.DataFrame({"dataset": "d", "image": ["a", "b"], "height": [60, 40], "width": [48, 80]})
    readings = pd.DataFrame(
        [("d", "b", "1"), ("d", "a", "2"), ("d", "a", "1"), ("d", "a", "0")],
        columns=["dataset", "image", "reader"],
    )
    rows = [
        ("a", "0", fixation()),
        ("a", "2", fixation(x=-4000)),
        ("b", "1", fixation(x=30, y=20, shown=(0, 0, 80, 40))),
    ]
    fixations = pd.DataFrame([{"image": image, "reader": reader, **row} for image, reader, row in rows])
    return fixations, images, readings


def test_all_readings_have_a_row_and_arrays_lie_where_rows_say():
    fixations, images, readings = study()
    rows, maps = gaze.render_all(fixations, images, readings, 0.5)
    assert list(zip(rows["image"], rows["reader"], rows["status"])) == [
        ("a", "0", "ok"), ("a", "1", "empty"), ("a", "2", "empty"), ("b", "1", "ok"),
    ]  # fmt: skip
    assert rows["reason"].str.contains("no fixation|none of its").sum() == 2
    flat = np.concatenate([values.ravel() for values in maps])
    there = rows[rows["status"] == "ok"]
    assert there["offset"].tolist() == [0, 30 * 24] and there["shape"].tolist() == [[30, 24], [20, 40]]
    last = flat[30 * 24 :].reshape(20, 40)
    assert np.array_equal(last, gaze.render(fixations[fixations["image"] == "b"], (40, 80), 0.5))


def test_rows_are_a_gaze_table(tmp_path):
    from sightline import tables

    rows, _ = gaze.render_all(*study(), 0.5)
    tables.write("gaze", rows, tmp_path / "gaze.parquet")
    assert len(tables.read("gaze", tmp_path / "gaze.parquet")) == 4


def test_fixations_of_an_unknown_reading_stop():
    fixations, images, readings = study()
    with pytest.raises(DatasetError, match="image b, reader 1: no such reading"):
        gaze.render_all(fixations, images, readings[readings["image"] == "a"], 1.0)
    with pytest.raises(DatasetError, match="not in the table of images"):
        gaze.render_all(fixations, images[images["image"] == "a"], readings, 1.0)
