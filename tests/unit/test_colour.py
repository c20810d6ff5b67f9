"""Colours through all that touches stored pixels: each of three colours is treated as a grey picture is."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch

from sightline import options
from sightline.attribution.condition import Condition
from sightline.explanation.roar import Mask, Masking, mean_grey
from sightline.figures import overlays
from sightline.frames import Frame
from sightline.models import vae
from sightline.models.augmentation import Augmentation, training_input
from sightline.models.examples import Examples
from sightline.models.inputs import DEVIATION, MEAN, explain_input
from sightline.prepared import Store
from sightline.report import cases
from tests.unit.test_roar import cell  # noqa: F401 (a fixture)

RANDOM = np.random.default_rng(0)
COLOURS = RANDOM.integers(0, 256, (3, 24, 20, 3), dtype=np.uint8)
AFFINE = Augmentation("affine", rotation=15, translation=0.05, scale=(0.9, 1.1), fill=128, flip=0.5)


def store(pictures: dict[str, np.ndarray], geometry: str = "explain") -> Store:
    rows, offset = [], 0
    for name, values in pictures.items():
        rows.append((16, geometry, name, offset, list(values.shape), [0.5, 0.5], [-0.25, -0.25]))
        offset += values.size
    columns = ["side", "geometry", "image", "offset", "shape", "scale", "shift"]
    flat = np.concatenate([values.ravel() for values in pictures.values()])
    return Store(pd.DataFrame(rows, columns=columns), flat)


def test_normalisation_of_colours_is_torchvisions():
    transforms = pytest.importorskip("torchvision.transforms")
    found = explain_input(COLOURS)
    expected = transforms.Normalize(MEAN, DEVIATION)(torch.as_tensor(COLOURS).permute(0, 3, 1, 2) / 255)
    torch.testing.assert_close(found, expected)


def test_three_equal_colours_are_grey():
    grey = COLOURS[..., 0]
    equal = np.repeat(grey[..., None], 3, axis=-1)
    assert torch.equal(explain_input(grey), explain_input(equal))
    inputs = [training_input(list(one), 16, AFFINE, np.random.default_rng(3)) for one in (grey, equal)]
    assert torch.equal(*inputs)
    assert (vae.squares(list(equal))[..., 1] == vae.squares(list(grey))).all()
    for share in (None, np.linspace(0, 1, 12).reshape(4, 3)):
        assert (overlays.overlay(grey[0], share, False) == overlays.overlay(equal[0], share, False)).all()


def test_each_colour_is_augmented_as_a_grey_picture_is():
    """Of images of two shapes; what lies outside takes the fill in all colours."""
    images = [COLOURS[0], COLOURS[1].transpose(1, 0, 2), COLOURS[2]]
    drawn = training_input(images, 18, AFFINE, np.random.default_rng(5))
    for channel in range(3):
        alone = [image[..., channel] for image in images]
        expected = training_input(alone, 18, AFFINE, np.random.default_rng(5))
        assert torch.equal(drawn[:, channel], expected[:, channel])
    assert (drawn[:, 0] != drawn[:, 1]).any()


@pytest.mark.parametrize("kind", sorted(options.available("sightline.attribution.conditions")))
def test_conditions_alter_all_colours_alike(kind):
    stated = options.read(f"sightline.attribution.conditions.{kind}")["OPTIONS"]
    chosen = {name: one.get("default", 20) for name, one in stated.items()}
    condition, names = Condition(kind, chosen), ["a", "b", "c"]
    found = condition.pixels(COLOURS, names, 0, coloured=True)
    assert found.shape == COLOURS.shape and found.dtype == np.uint8
    for channel in range(3):
        expected = condition.pixels(COLOURS[..., channel], names, 0)
        np.testing.assert_array_equal(found[..., channel], expected)


def test_a_store_of_colours_gives_batches_and_frames():
    held = store({"a": COLOURS[0], "b": COLOURS[1], "c": COLOURS[2].transpose(1, 0, 2)})
    assert held.get("b", 16, "explain").shape == (24, 20, 3)
    assert held.frame("b", 16, "explain").shape == (24, 20)
    examples = Examples(held, 16, "explain", ("a", "b", "c"), (), np.zeros((3, 0)))
    batches = [np.stack(examples.pixels(batch)).shape for batch in examples.batches(8)]
    assert batches == [(1, 20, 24, 3), (2, 24, 20, 3)]


def test_films_are_shown_in_their_colours_whole_and_upright():
    """Squeezed, mirrored or cut out, the shown film is the image: its aspect, its direction, black around."""
    image = np.zeros((40, 20, 3), dtype=np.uint8)
    image[10:20, 4:8] = (200, 100, 50)
    images = pd.DataFrame({"image": ["a"], "height": 40, "width": 20})

    def film(values: np.ndarray, frame: Frame) -> np.ndarray:
        pixels = SimpleNamespace(get=lambda *_: values, frame=lambda *_: frame)
        return cases.picture("a", (40, 20), cases.Beside(images, images, pixels, 16, 0.5))

    whole = Frame.of_image((40, 20))
    np.testing.assert_array_equal(film(image, whole), image)
    mirrored = whole.then(Frame((40, 20), (-1.0, 1.0), (19.0, 0.0)))
    np.testing.assert_array_equal(film(image[:, ::-1], mirrored), image)
    cut = film(image[8:24, 2:12] + np.uint8(9), whole.cropped((8, 2), (16, 10)))
    np.testing.assert_array_equal(cut[8:24, 2:12], image[8:24, 2:12] + np.uint8(9))
    assert not cut[:8].any() and not cut[24:].any() and not cut[:, :2].any() and not cut[:, 12:].any()
    squeezed = film(image[::2], Frame.resized((40, 20), (20, 20)))
    assert squeezed.shape == (40, 20, 3)
    grey = film(image[..., 0], whole)
    np.testing.assert_array_equal(grey, image[..., 0])


def test_masked_pictures_lose_all_colours_of_a_pixel(cell):  # noqa: F811
    side = cell.setting.side
    names = cell.images["image"].tolist()
    grey = {}
    for geometry in ("train", "explain"):
        for name in cell.pixels.images(side, geometry):
            grey[name] = cell.pixels.get(name, side, geometry)
    coloured = {name: np.stack([values, values // 2, values // 3], axis=-1) for name, values in grey.items()}
    pixels = SimpleNamespace(
        images=cell.pixels.images,
        frame=cell.pixels.frame,
        get=lambda image, *_: coloured[image],
    )
    training = [name for name in names if name in cell.pixels.images(side, "train")]
    expected = np.concatenate([coloured[name].reshape(-1, 3) for name in training]).mean(axis=0)
    mean = mean_grey(pixels, side)
    np.testing.assert_array_equal(mean, np.rint(expected))
    cell.pixels = pixels
    masking = Masking(cell, Mask(0.3, "random", mean, 0), None)
    alone = Masking(cell, Mask(0.3, "random", 77, 0), None)
    for (name, frame, found), (_, _, other) in zip(
        masking.masked(iter(masking.plan)), alone.masked(iter(alone.plan))
    ):
        assert found.shape == (*frame.shape, 3)
        gone = (found != coloured[name]).any(axis=-1) | (other != coloured[name]).any(axis=-1)
        assert (found[gone] == mean).all() and (found[~gone] == coloured[name][~gone]).all()
        assert gone.any() and not gone.all()
