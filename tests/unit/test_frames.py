"""Frames turned against each other: composition, resampling, what a warped image shows; 2-D and 3-D."""

import math

import numpy as np
import pytest
from skimage import transform

from sightline.frames import Frame, axis_weights, resample, scoring_frame, shown


def rotation(shape: tuple[int, ...], degrees: float, scale: float = 1.0) -> Frame:
    """The grid turned in the plane of x and y about its centre; other axes stay."""
    turn = math.radians(degrees)
    matrix = np.eye(len(shape))
    matrix[:2, :2] = scale * np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    centre = (np.array(shape[::-1]) - 1) / 2
    return Frame.linear(shape, matrix, centre - matrix @ centre)


def applied(frame: Frame, points: np.ndarray) -> np.ndarray:
    """Indices (n, axes) of the frame for image indices (n, axes), by the definition."""
    matrix = np.eye(len(frame.shape)) if frame.matrix is None else np.array(frame.matrix)
    return np.array(frame.scale) * (points @ matrix.T) + frame.shift


def smooth(shape: tuple[int, ...]) -> np.ndarray:
    """A few broad waves."""
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    return sum(
        np.cos(0.7 * number + 2.5 * axis / side) for number, (axis, side) in enumerate(zip(axes, shape))
    )


FRAMES = {
    2: [
        Frame.resized((40, 50), (20, 30)),
        rotation((20, 30), 25.0, 0.8),
        Frame((20, 30), (-1.0, -1.0), (29.0, 19.0)),
        Frame.linear((20, 30), [[1.0, 0.3], [0.0, 0.7]], [2.0, -1.0]),
        Frame.resized((20, 30), (4, 5)).cropped((-1, 2), (7, 3)),
    ],
    3: [
        Frame.resized((8, 20, 30), (8, 20, 30)),
        Frame.linear((8, 20, 30), [[0.9, 0.2, 0.0], [-0.1, 1.1, 0.3], [0.2, 0.0, 0.8]], [1.0, 2.0, 3.0]),
        rotation((8, 20, 30), -40.0),
        Frame.resized((8, 20, 30), (2, 5, 6)).cropped((0, -1, 1), (3, 6, 4)),
    ],
}


# ---- what a frame is


@pytest.mark.parametrize("dims", [2, 3])
def test_frames_compose_as_the_maps_that_they_are(dims):
    points = np.random.default_rng(0).uniform(-5, 30, (7, dims))
    whole, expected = Frame.of_image(FRAMES[dims][0].shape), points
    for inner in FRAMES[dims]:
        whole, expected = whole.then(inner), applied(inner, expected)
        np.testing.assert_allclose(applied(whole, points), expected, atol=1e-9)
    assert whole.shape == FRAMES[dims][-1].shape
    np.testing.assert_allclose(np.linalg.norm(whole.matrix, axis=1), 1.0)


def test_parallel_frames_are_what_they_were():
    plain = Frame((4, 5), (2.0, 0.5), (1.0, 0.0))
    assert plain.matrix is None
    assert plain == Frame((4, 5), (2.0, 0.5), (1.0, 0.0)) and hash(plain) == hash(
        Frame((4, 5), (2.0, 0.5), (1.0, 0.0))
    )
    assert Frame.linear((4, 5), [[2.0, 0.0], [0.0, 0.5]], [1.0, 0.0]) == plain
    assert rotation((4, 5), 30.0) == rotation((4, 5), 30.0) != rotation((4, 5), 31.0)
    assert hash(rotation((4, 5), 30.0)) == hash(rotation((4, 5), 30.0))


def test_a_frame_without_inverse_is_refused():
    with pytest.raises(ValueError, match="inverse"):
        Frame.linear((4, 5), [[1.0, 2.0], [2.0, 4.0]], [0.0, 0.0])
    with pytest.raises(ValueError, match="inverse"):
        Frame.linear((4, 5), [[0.0, 0.0], [0.0, 1.0]], [0.0, 0.0])


# ---- a negative scale


@pytest.mark.parametrize("kind", ["linear", "nearest"])
@pytest.mark.parametrize("scale", [1.0, 2.5, 0.4, 1 / 3])
def test_an_axis_that_is_turned_round_has_the_weights_in_reverse(scale, kind):
    length, new_length, shift = 12, round(12 * scale), 0.5 * scale - 0.5
    forwards = axis_weights(length, new_length, scale, shift, kind)
    # new index = -scale * old + (new_length - 1 - shift) reads the old axis from its end
    backwards = axis_weights(length, new_length, -scale, new_length - 1 - shift, kind)
    np.testing.assert_allclose(backwards, forwards[::-1], atol=1e-12)


@pytest.mark.parametrize("shape", [(6, 9), (3, 6, 9)])
def test_half_a_turn_is_exact(shape):
    values = np.random.default_rng(1).normal(size=(2, *shape))
    turned = Frame(shape, (-1.0, -1.0, 1.0)[: len(shape)], (8.0, 5.0, 0.0)[: len(shape)])
    image = Frame.of_image(shape)
    assert (resample(values, turned, image) == values[..., ::-1, ::-1]).all()
    assert (resample(values, image, turned) == values[..., ::-1, ::-1]).all()
    assert shown(turned, image).all()


def test_a_coarse_map_of_a_turned_image_is_turned_exactly():
    values = np.random.default_rng(2).normal(size=(4, 5))
    image = Frame.of_image((32, 40))
    half = image.then(Frame((32, 40), (-1.0, -1.0), (39.0, 31.0)))
    cells = Frame.resized((32, 40), (4, 5))
    for target in (image, scoring_frame((32, 40), 0.5), scoring_frame((32, 40), 0.05)):
        expected = resample(values[::-1, ::-1], cells, target)
        np.testing.assert_allclose(resample(values, half.then(cells), target), expected, atol=1e-12)


# ---- turned grids


@pytest.mark.parametrize(("kind", "order"), [("linear", 1), ("nearest", 0)])
def test_a_turned_grid_is_interpolated_as_scikit_image_does(kind, order):
    values = smooth((30, 40))
    source = rotation((30, 40), 33.0, 1.3)  # its pixels are smaller than the target's are apart: no average
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = np.diag(source.scale) @ source.matrix, source.shift
    target = Frame.resized((30, 40), (60, 80))
    there = np.eye(3)
    there[:2, :2], there[:2, 2] = np.diag(target.scale), target.shift
    expected = transform.warp(
        values, transform.AffineTransform(matrix @ np.linalg.inv(there)), output_shape=(60, 80), order=order,
        mode="edge",
    )  # fmt: skip
    found = resample(values, source, target, kind)
    if kind == "linear":
        np.testing.assert_allclose(found, expected, atol=1e-6)
    else:  # ties may fall on either side
        assert (np.abs(found - expected) > 1e-9).mean() < 0.005


@pytest.mark.parametrize("dims", [2, 3])
def test_a_quarter_turn_is_exact(dims):
    values = np.random.default_rng(3).normal(size=(2, *(5, 6, 6)[3 - dims :]))
    shape = values.shape[1:]
    quarter = rotation(shape, 90.0)  # counterclockwise: the altered image is np.rot90 of the unaltered one
    image = Frame.of_image(shape)
    np.testing.assert_allclose(resample(values, image, quarter), np.rot90(values, 1, (-2, -1)), atol=1e-12)
    np.testing.assert_allclose(resample(values, quarter, image), np.rot90(values, -1, (-2, -1)), atol=1e-12)


@pytest.mark.parametrize("shape", [(24, 30), (8, 24, 30)])
@pytest.mark.parametrize("factor", [0.3, 1.0, 2.2])
def test_a_hair_of_a_turn_changes_nothing(shape, factor):
    """The rule for turned grids meets that for parallel ones, where pixels grow and where they shrink."""
    values = np.random.default_rng(4).normal(size=shape)
    target = scoring_frame(shape, factor)
    straight = resample(values, Frame.of_image(shape), target)
    turned = resample(values, rotation(shape, 1e-7), target)
    np.testing.assert_allclose(turned, straight, atol=1e-5)


def test_a_turned_and_shrunk_map_is_averaged_not_sampled():
    """A checkerboard's mean is nought; sampling every eighth pixel would alias it."""
    board = np.indices((64, 64)).sum(axis=0) % 2 * 2.0 - 1.0
    found = resample(board, rotation((64, 64), 30.0), scoring_frame((64, 64), 0.125))
    assert np.abs(found).max() < 0.2


def test_a_spot_keeps_its_mass_and_goes_where_the_turn_takes_it():
    y, x = np.ogrid[:64, :64]
    spot = np.exp(-((x - 40) ** 2 + (y - 20) ** 2) / 50)
    turned, target = rotation((64, 64), 30.0), scoring_frame((64, 64), 0.25)
    found = resample(spot, turned, target)
    assert found.sum() * 16 == pytest.approx(spot.sum(), rel=0.01)
    centre = np.array([(found.sum(axis) * np.arange(16)).sum() / found.sum() for axis in (0, 1)])  # (x, y)
    in_image = (centre - target.shift) / target.scale
    np.testing.assert_allclose(applied(turned, in_image[None])[0], [40, 20], atol=0.1)


def test_leading_axes_are_kept_and_constants_stay_constant():
    values = np.ones((2, 3, 10, 12)) * np.arange(3.0)[:, None, None]
    found = resample(values, rotation((10, 12), 70.0, 0.3), scoring_frame((10, 12), 1.5))
    assert found.shape == (2, 3, 15, 18)
    np.testing.assert_allclose(found, np.broadcast_to(np.arange(3.0)[:, None, None], found.shape), atol=1e-12)


def test_a_grid_that_is_turned_with_its_target_needs_no_turning():
    values = np.random.default_rng(5).normal(size=(8, 9))
    turned = rotation((40, 45), 20.0)
    cells = Frame.resized((40, 45), (8, 9))
    expected = resample(values, cells, Frame.of_image((40, 45)))
    np.testing.assert_allclose(resample(values, turned.then(cells), turned), expected, atol=1e-12)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="cubic"):
        resample(np.zeros((4, 4)), rotation((4, 4), 10.0), Frame.of_image((4, 4)), "cubic")


# ---- what is shown


def test_shown_is_the_part_of_the_target_that_the_source_covers():
    image = Frame.of_image((20, 30))
    assert shown(image, scoring_frame((20, 30), 0.4)).all()
    moved = Frame.linear((20, 30), np.eye(2), [5.0, -3.0])  # shows x in [-5, 24], y in [3, 22]
    expected = np.zeros((20, 30), dtype=bool)
    expected[3:, :25] = True
    assert (shown(moved, image) == expected).all()


def test_a_turned_square_covers_the_area_of_its_overlap_with_itself():
    side = 200
    found = shown(rotation((side, side), 45.0), Frame.of_image((side, side))).mean()
    # the regular octagon in the unit square: 2 (sqrt 2 - 1)
    assert found == pytest.approx(2 * (math.sqrt(2) - 1), abs=0.005)
    deep = shown(rotation((3, side, side), 45.0), Frame.of_image((3, side, side)))
    assert deep.shape == (3, side, side)
    assert deep.mean() == pytest.approx(found)
