"""The batched augmentation against torchvision's, image by image, for the same parameters."""

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as torchvision

from sightline.models.augmentation import Affine, Augmentation, draw, training_input, transform

AUTHORS = Augmentation("affine", rotation=15, translation=0.05, scale=(0.95, 1.05), fill=128, flip=0.5)
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
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.NEAREST,
            fill=fill,
        )
        cropped = torchvision.center_crop(moved, [side, side])
        yield np.asarray(torchvision.hflip(cropped) if affine.flip[index] else cropped)


@pytest.mark.parametrize("side", [33, 64])
@pytest.mark.parametrize(
    "limits",
    [AUTHORS, Augmentation("affine", rotation=90, translation=0.3, scale=(0.5, 2.0), fill=7, flip=0.5)],
    ids=["authors", "extreme"],
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

    def moved(**change):
        return transform([image], 8, Affine(**still | change), fill=255)[0].numpy()

    np.testing.assert_array_equal(moved(), image)
    np.testing.assert_array_equal(moved(flip=np.ones(1, bool)), image[:, ::-1])
    right = moved(move=np.array([[2.0, 0.0]]))
    np.testing.assert_array_equal(right[:, 2:], image[:, :-2])
    assert (right[:, :2] == 255).all()
    np.testing.assert_array_equal(moved(angle=np.array([90.0])), np.rot90(image, -1))


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
