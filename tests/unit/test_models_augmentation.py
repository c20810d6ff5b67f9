"""The batched augmentation against torchvision's, image by image, for the same parameters."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as torchvision

from sightline.models.augmentation import Affine, Augmentation, draw, training_input, transform

AUTHORS = Augmentation("affine", rotation=15, translation=0.05, scale=(0.95, 1.05), fill=128, flip=0.5)
# Keras' rotation_range 20, shifts 0.2, shear_range 0.15, zoom_range 0.15
THESIS = Augmentation("affine", 20, 0.2, (1 / 1.15, 1 / 0.85), fill=0, flip=0.5, shear=0.15, anisotropic=True)
NONE = Augmentation("none", rotation=15, translation=0.05, scale=(0.95, 1.05), fill=128, flip=0.5)


def pictures(count, side, seed=0):
    random = np.random.default_rng(seed)
    longer = random.integers(side, side + side // 2, count)
    shapes = [(side, long) if odd % 2 else (long, side) for odd, long in enumerate(longer)]
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]


def one_by_one(images, side, affine, fill):
    for index, image in enumerate(images):
        moved = torchvision.affine(
            Image.fromarray(image),
            angle=affine.angle[index],
            translate=[int(value) for value in affine.move[index]],
            scale=affine.scale[index],
            shear=[affine.shear[index], 0.0],
            interpolation=InterpolationMode.NEAREST,
            fill=fill,
        )
        cropped = torchvision.center_crop(moved, [side, side])
        yield np.asarray(torchvision.hflip(cropped) if affine.flip[index] else cropped)


@pytest.mark.parametrize("side", [33, 64])
@pytest.mark.parametrize(
    "limits",
    [
        AUTHORS,
        Augmentation("affine", rotation=90, translation=0.3, scale=(0.5, 2.0), fill=7, flip=0.5),
        Augmentation("affine", 90, 0.3, (0.5, 2.0), fill=7, flip=0.5, shear=40),
    ],
    ids=["authors", "extreme", "sheared"],
)
def test_equals_torchvision(side, limits):
    images = pictures(40, side)
    affine = draw(np.array([image.shape for image in images]), limits, np.random.default_rng(1))
    ours = transform(images, side, affine, limits.fill).numpy()
    theirs = np.stack(list(one_by_one(images, side, affine, limits.fill)))
    different = (ours != theirs).mean(axis=(1, 2))
    assert different.max() < 0.005  # pixels whose source lies on an edge between two
    assert different.mean() < 0.001
    assert (theirs == limits.fill).mean() > 0.004  # something was filled


def test_one_parameter_at_a_time():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    still = {"angle": np.zeros(1), "move": np.zeros((1, 2)), "scale": np.ones(1), "flip": np.zeros(1, bool)}
    still |= {"shear": np.zeros(1), "aspect": np.ones(1)}

    def moved(**change):
        return transform([image], 8, Affine(**still | change), fill=255)[0].numpy()

    np.testing.assert_array_equal(moved(), image)
    np.testing.assert_array_equal(moved(flip=np.ones(1, bool)), image[:, ::-1])
    right = moved(move=np.array([[2.0, 0.0]]))
    np.testing.assert_array_equal(right[:, 2:], image[:, :-2])
    assert (right[:, :2] == 255).all()
    np.testing.assert_array_equal(moved(angle=np.array([90.0])), np.rot90(image, -1))


def keras_source(shape, angle, move, shear, zoom):
    """Keras' apply_affine_transform: from (row, column) of the output to that of the input, 3 x 3."""
    turn, lean = np.deg2rad(angle), np.deg2rad(shear)
    rotation = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    shift = np.array([[1, 0, move[0]], [0, 1, move[1]], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(lean), 0], [0, np.cos(lean), 0], [0, 0, 1]])
    zoomed = np.diag([*zoom, 1.0])
    centre = np.eye(3)
    centre[:2, 2] = (np.array(shape) - 1) / 2
    return centre @ rotation @ shift @ sheared @ zoomed @ np.linalg.inv(centre)


def test_scaling_by_axis_is_keras_zoom():
    """A picture of its own coordinates tells where each pixel came from."""
    side, zoom = 40, (0.83, 1.21)  # Keras' zx is for rows; above 1 it makes smaller
    still = {"move": np.zeros((1, 2)), "flip": np.zeros(1, bool), "shear": np.zeros(1)}
    affine = Affine(
        angle=np.zeros(1), scale=np.array([1 / zoom[1]]), aspect=np.array([zoom[1] / zoom[0]]), **still
    )
    rows, columns = np.mgrid[:side, :side].astype(np.uint8)
    expected = keras_source((side, side), 0, (0, 0), 0, zoom)
    at = np.stack([rows.ravel(), columns.ravel(), np.ones(side * side)])
    theirs = np.round((expected @ at)[:2]).reshape(2, side, side)
    for picture, axis in ((rows, 0), (columns, 1)):
        ours = transform([picture], side, affine, fill=255)[0].numpy()
        inside = ours != 255
        assert 0.6 < inside.mean() < 0.95
        np.testing.assert_array_equal(ours[inside], theirs[axis][inside])


def test_shear_leans_upright_lines():
    """Upper ends go right by the tangent of the angle; heights stay."""
    line = np.zeros((41, 41), np.uint8)
    line[:, 20] = 255
    one = {"angle": np.zeros(1), "move": np.zeros((1, 2)), "scale": np.ones(1), "aspect": np.ones(1)}
    leaning = Affine(**one, flip=np.zeros(1, bool), shear=np.array([30.0]))
    found = transform([line], 41, leaning, fill=0)[0].numpy().argmax(axis=1)
    expected = 20 + np.tan(np.deg2rad(30)) * (20 - np.arange(41))
    assert np.abs(found - expected).max() <= 0.5 + 1e-6


def test_what_is_not_asked_for_draws_nothing():
    """Shear and anisotropy are drawn after all else: what older recipes draw is as it was."""
    shapes = np.tile([[100, 140]], (50, 1))
    more = Augmentation(**vars(AUTHORS) | {"shear": 10, "anisotropic": True})
    plain, both = (draw(shapes, limits, np.random.default_rng(3)) for limits in (AUTHORS, more))
    for name in ("angle", "move", "scale", "flip"):
        np.testing.assert_array_equal(getattr(plain, name), getattr(both, name))
    assert (plain.shear == 0).all() and (plain.aspect == 1).all()
    after = np.random.default_rng(3)
    draw(shapes, AUTHORS, after)
    expected = np.random.default_rng(3)
    expected.random(50 * 5)  # angle, two moves, scale, flip: one number each
    assert after.bit_generator.state == expected.bit_generator.state


def test_the_thesis_draws_fill_their_limits():
    affine = draw(np.tile([[100, 100]], (4000, 1)), THESIS, np.random.default_rng(0))
    for values, limit in [(affine.angle, 20), (affine.shear, 0.15), (affine.move, 20)]:
        assert 0.95 * limit < np.abs(values).max() <= limit
    for values in (affine.scale, affine.scale * affine.aspect):
        assert 1 / 1.15 <= values.min() + 1e-9 < 0.88 and 1.17 < values.max() <= 1 / 0.85 + 1e-9
    assert abs(np.corrcoef(affine.scale, affine.scale * affine.aspect)[0, 1]) < 0.06


def test_draws_stay_within_their_limits_and_fill_them():
    shapes = np.tile([[100, 140]], (4000, 1))
    affine = draw(shapes, AUTHORS, np.random.default_rng(0))
    for values, low, high in [
        (affine.angle, -15, 15),
        (affine.move[:, 0], -7, 7),
        (affine.move[:, 1], -5, 5),
        (affine.scale, 0.95, 1.05),
    ]:
        assert low <= values.min() < low + 0.05 * (high - low)
        assert high >= values.max() > high - 0.05 * (high - low)
    assert (affine.move == np.round(affine.move)).all()
    assert abs(affine.flip.mean() - 0.5) < 0.03


def test_none_is_the_normalised_central_square():
    images = pictures(6, 20)
    batch = training_input(images, 20, NONE, np.random.default_rng(0))
    assert batch.shape == (6, 3, 20, 20)
    for image, made in zip(images, batch):
        crop = torchvision.center_crop(Image.fromarray(image), [20, 20])
        expected = torchvision.normalize(
            torchvision.to_tensor(crop).repeat(3, 1, 1), [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
        )
        torch.testing.assert_close(made, expected)


def test_the_generator_alone_decides():
    images = pictures(8, 24)
    first, again, other = (training_input(images, 24, AUTHORS, np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_an_image_smaller_than_the_crop_is_an_error():
    with pytest.raises(ValueError, match="smaller than the crop of 32"):
        training_input(pictures(3, 24), 32, AUTHORS, np.random.default_rng(0))
