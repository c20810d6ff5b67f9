"""The breast in drawn mammograms of known truth: labels, borders, noise and inversion do not move it."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from sightline.preparing import breast

SHAPE = (1100, 800)  # height, width


def truth(shape=SHAPE, right: bool = False, centre: float = 0.5, axes=(0.62, 0.4)) -> np.ndarray:
    """Half an ellipse whose flat side lies on the left (or right) edge; `axes` are shares of the sides."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    y, x = (y + 0.5) / shape[0], (x + 0.5) / shape[1]
    inside = (x / axes[0]) ** 2 + ((y - centre) / axes[1]) ** 2 <= 1.0
    return inside[:, ::-1] if right else inside


def film(inside: np.ndarray, noise: float = 0.0, dark: float = 4.0) -> np.ndarray:
    """Grey values 0 to 255: tissue that is faint at the skin and dense inside, on a `dark` background."""
    y, x = np.mgrid[: inside.shape[0], : inside.shape[1]]
    depth = ndimage.distance_transform_edt(np.pad(inside, ((0, 0), (400, 400)), mode="edge"))[:, 400:-400]
    texture = 1.0 + 0.15 * np.sin(x / 23.0) * np.cos(y / 31.0)
    tissue = (45.0 + 150.0 * (1.0 - np.exp(-depth / 120.0))) * texture
    values = np.where(inside, tissue, dark)
    values = values + noise * np.random.default_rng(0).standard_normal(inside.shape)
    return np.clip(values, 0.0, 255.0)


def overlap(found: breast.Tissue, inside: np.ndarray) -> float:
    """IoU of the mask, stretched onto the picture, with the truth."""
    rows = ((np.arange(inside.shape[0]) + 0.5) * found.mask.shape[0] / inside.shape[0]).astype(int)
    columns = ((np.arange(inside.shape[1]) + 0.5) * found.mask.shape[1] / inside.shape[1]).astype(int)
    mask = found.mask[rows[:, None], columns[None]]
    return (mask & inside).sum() / (mask | inside).sum()


def box_overlap(found: breast.Tissue, inside: np.ndarray) -> float:
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    true = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    sides = [min(found.box[i + 2], true[i + 2]) - max(found.box[i], true[i]) for i in (0, 1)]
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (found.box, true)]
    both = sides[0] * sides[1]
    return both / (sum(areas) - both)


def labelled(values: np.ndarray) -> np.ndarray:
    """A white box with black letters, and a marker of metal, away from the breast."""
    values = values.copy()
    values[40:130, 560:760] = 255.0
    values[60:110, 580:740:20] = 0.0
    values[960:1010, 650:690] = 230.0
    return values


def bordered(values: np.ndarray) -> np.ndarray:
    """White borders on three sides, and a scratch of three pixels from border to border."""
    values = values.copy()
    values[:25], values[-30:], values[:, -20:] = 255.0, 250.0, 255.0
    values[:, 700:703] = 200.0
    return values


def wedged(values: np.ndarray) -> np.ndarray:
    """A white strip along a part of an edge."""
    values = values.copy()
    values[:500, -12:] = 255.0
    return values


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("noise", [0.0, 3.0, 12.0])
@pytest.mark.parametrize("draw", [lambda values: values, labelled, bordered, wedged])
def test_it_is_found(draw, noise, right):
    inside = truth(right=right)
    values = draw(film(inside, noise)[:, :: -1 if right else 1])[:, :: -1 if right else 1]
    found = breast.find(Image.fromarray(np.rint(values).astype(np.uint8)))
    visible = inside if draw is not bordered else inside & (values < 249)
    assert overlap(found, visible) > 0.97
    assert box_overlap(found, inside) > 0.97
    assert found.lies_right == right


def test_bytes_floats_and_colours_are_one_picture():
    inside = truth()
    values = film(inside, 3.0)
    eight = np.rint(values).astype(np.uint8)
    pictures = [
        Image.fromarray(eight),
        Image.fromarray(np.dstack([eight] * 3)),
        Image.fromarray((values / 255).astype(np.float32)),
    ]
    found = [breast.find(picture) for picture in pictures]
    assert found[0].box == found[1].box == found[2].box
    assert all(overlap(one, inside) > 0.97 for one in found)


def test_an_inverted_picture():
    """MONOCHROME1 that was written to a PNG as it is."""
    inside = truth()
    for draw in (lambda values: values, labelled):
        values = 255.0 - draw(film(inside, 3.0))
        assert overlap(breast.find(Image.fromarray(values.astype(np.uint8))), inside) > 0.97


def test_faint_tissue_and_an_uneven_background():
    inside = truth()
    dim = 4.0 + 0.3 * (film(inside) - 4.0) + 2.0 * np.random.default_rng(0).standard_normal(SHAPE)
    uneven = film(inside, 3.0) + np.where(inside, 0.0, np.linspace(0.0, 30.0, SHAPE[1]))
    for values in (labelled(dim), uneven):
        found = breast.find(Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)))
        assert overlap(found, inside) > 0.97


@pytest.mark.parametrize("axes", [(0.95, 0.49), (0.3, 0.25), (0.5, 0.6)])
@pytest.mark.parametrize("centre", [0.35, 0.5])
def test_large_and_small_breasts(axes, centre):
    inside = truth(centre=centre, axes=axes)
    found = breast.find(Image.fromarray(labelled_if_free(film(inside, 3.0), inside).astype(np.uint8)))
    assert overlap(found, inside) > 0.97


def labelled_if_free(values: np.ndarray, inside: np.ndarray) -> np.ndarray:
    return values if inside[40:130, 560:760].any() else labelled(values)


def test_dark_holes_in_the_tissue_are_filled():
    inside = truth()
    values = film(inside)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    values[(y - 550) ** 2 + (x - 200) ** 2 < 70**2] = 4.0
    found = breast.find(Image.fromarray(values.astype(np.uint8)))
    assert overlap(found, inside) > 0.97


@pytest.mark.parametrize(
    "values",
    [
        np.zeros(SHAPE),
        np.full(SHAPE, 255.0),
        np.clip(20 + 4 * np.random.default_rng(1).standard_normal(SHAPE), 0, 255),
        labelled(np.zeros(SHAPE))[:, ::-1] * (np.mgrid[: SHAPE[0], : SHAPE[1]][0] > 900),
        np.zeros((1, 9)),
    ],
    ids=["black", "white", "noise", "a marker", "a line"],
)
def test_where_there_is_none(values):
    assert breast.find(Image.fromarray(values.astype(np.uint8))) is None


def test_the_box_has_a_margin_within_the_picture():
    inside = np.zeros((512, 512), dtype=bool)
    inside[100:300, :200] = True
    found = breast.find(Image.fromarray(np.where(inside, 200, 0).astype(np.uint8)))
    assert found.mask.shape == (256, 256)
    assert found.box == (0.0, 98.0, 202.0, 302.0) and found.window == (0, 98, 202, 302)
