"""ROAR: which pixels go, what stands in their place, and the store that another model is trained on."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.attribution import maps
from sightline.errors import DatasetError
from sightline.explanation.roar import Mask, Masking, mean_grey, write
from sightline.frames import Frame
from sightline.prepared import Store, open_store
from sightline.scores.saliency import cut_out
from tests.zoo import LABELS, ZOO

BRIGHT = '''"""The brightness itself."""
from sightline.attribution.maps import Maps
from sightline.frames import Frame
OPTIONS, PER_TARGET, GRID, NEEDS, IDENTITY, FAMILY, SOURCE = {}, False, "input", (), None, "gradient", "none"
def check(model, targets): return model.labels[0] == "z" and "it cannot be" or None
def cost(model, shape, targets): raise NotImplementedError
def explain(model, images, targets):
    values = images.pixels.sum(dim=1, keepdim=True).numpy()
    return [Maps("input", ("",), values, Frame.of_image(images.shape[1:]))]
'''
SIDE = 32
# (image, split, height, width): an explained one is padded to a square
IMAGES = [("a", "train", 64, 64), ("b", "train", 64, 96), ("v", "validate", 64, 64), ("t", "test", 64, 48)]


def stored(image: str, split: str, height: int, width: int) -> tuple[np.ndarray, Frame]:
    """Grey values below 200 and one planted pixel of 255, with their place."""
    shape = (height // 2, width // 2)
    draws = np.random.default_rng(sum(map(ord, image)))
    pixels = draws.integers(1, 200, shape, dtype=np.uint8)
    pixels[5, 7] = 255
    frame = Frame.resized((height, width), shape)
    if split == "train" or shape[0] == shape[1]:
        return pixels, frame
    padded = np.zeros((SIDE, SIDE), dtype=np.uint8)
    padded[:, 4 : 4 + shape[1]] = pixels
    return padded, frame.cropped((0, -4), (SIDE, SIDE))


@pytest.fixture
def cell(tmp_path):
    """What ROAR asks of a cell of the grid; the method's maps are the images themselves."""
    (tmp_path / "bright.py").write_text(BRIGHT)
    rows, flat, offset = [], [], 0
    for image, split, height, width in IMAGES:
        pixels, frame = stored(image, split, height, width)
        geometry = "train" if split == "train" else "explain"
        rows.append((SIDE, geometry, image, offset, list(pixels.shape), frame.scale, frame.shift))
        flat.append(pixels.ravel())
        offset += pixels.size
    columns = ["side", "geometry", "image", "offset", "shape", "scale", "shift"]
    images = pd.DataFrame(IMAGES, columns=["image", "split", "height", "width"]).assign(dataset="cxr")
    model, _ = ZOO["resnet"]()
    return SimpleNamespace(
        setting=SimpleNamespace(side=SIDE, batch=2, study_seed=0, labels=LABELS, method="bright"),
        images=images,
        pixels=Store(pd.DataFrame(rows, columns=columns), np.concatenate(flat)),
        method=maps.Method(str(tmp_path / "bright.py")),
        model=model,
        choice=maps.Choice("all_classes", LABELS),
        truth=lambda image: np.zeros(len(LABELS)),
    )


def masked(cell, fraction: float, order: str = "highest") -> dict[str, np.ndarray]:
    reading = None if order == "random" else {"classes": "none"}
    masking = Masking(cell, Mask(fraction, order, 77, 0), reading)
    return {image: pixels for image, _, pixels in masking.masked(iter(masking.plan))}


# ---- which pixels


@pytest.mark.parametrize("order", ["highest", "lowest", "random"])
def test_exactly_the_fraction_of_the_images_own_pixels_goes(order):
    inside = np.ones((10, 10), dtype=bool)
    inside[:, :3] = False
    values = np.arange(100.0).reshape(10, 10)
    for fraction in (0.1, 0.5, 0.9):
        gone = Mask(fraction, order, 0, 0).of("a", inside, values)
        assert gone.sum() == round(70 * fraction) and not gone[~inside].any()
        if order != "random":
            kept, lost = values[inside & ~gone], values[gone]
            assert lost.min() > kept.max() if order == "highest" else lost.max() < kept.min()


def test_equal_values_go_in_an_order_drawn_for_each_image():
    inside, flat = np.ones((8, 8), dtype=bool), np.zeros((8, 8))
    tied = Mask(0.5, "highest", 0, 0)
    again, other = tied.of("a", inside, flat), tied.of("b", inside, flat)
    assert (again == tied.of("a", inside, flat)).all() and (again != other).any()
    assert not again[:4].all()  # not the first ones
    assert (again == Mask(0.5, "random", 0, 0).of("a", inside, None)).all()
    assert (again != Mask(0.5, "random", 0, 1).of("a", inside, None)).any()


def test_more_of_an_image_goes_with_what_went_before():
    inside, values = np.ones((8, 8), dtype=bool), np.random.default_rng(0).integers(0, 4, (8, 8))
    for order in ("highest", "random"):
        less, more = (Mask(fraction, order, 0, 0).of("a", inside, values) for fraction in (0.3, 0.6))
        assert (more | ~less).all()


def test_what_pads_a_cut_picture_is_none_of_its_pixels(cell):
    """The picture of the left half of a film, padded to a square: the padding lies where the film goes on."""
    cell.images.loc[cell.images["image"] == "t", "width"] = 96
    box = {"image": "t", "kind": "breast", "xmin": 0.0, "ymin": 0.0, "xmax": 48.0, "ymax": 64.0}
    shapes = {row.image: (row.height, row.width) for row in cell.images.itertuples()}
    seen = cut_out(pd.DataFrame([box]), "breast", shapes)
    masking = Masking(cell, Mask(0.5, "highest", 77, 0), {"classes": "none"}, seen)
    found = {image: pixels for image, _, pixels in masking.masked(iter(masking.plan))}
    for image, *rest in IMAGES:
        pixels, _ = stored(image, *rest)
        inside = np.ones(pixels.shape, dtype=bool)
        if image == "t":
            inside[:, :4] = inside[:, 28:] = False
        gone = found[image] != pixels
        assert not gone[~inside].any() and (found[image][~inside] == 0).all()
        marked = inside & (found[image] == 77)  # some were of that grey before
        assert marked.sum() >= round(inside.sum() / 2) >= gone.sum() > 0.45 * inside.sum()


# ---- the images


def test_the_grey_is_the_mean_of_the_images_that_train(cell):
    pixels = np.concatenate([stored(*row)[0].ravel() for row in IMAGES if row[1] == "train"])
    assert mean_grey(cell.pixels, SIDE) == round(pixels.mean())
    nothing = Store(
        pd.DataFrame(columns=["side", "geometry", "image", "offset", "shape", "scale", "shift"]), pixels
    )
    with pytest.raises(DatasetError, match="training images"):
        mean_grey(nothing, SIDE)


def test_the_planted_pixel_goes_first_and_the_last_remain(cell):
    one = masked(cell, 1.0 / (SIDE * SIDE))
    assert set(one) == {row[0] for row in IMAGES}
    planted = {"a": (5, 7), "v": (5, 7), "t": (5, 11)}
    for image, place in planted.items():
        assert one[image][place] == 77
    lowest = masked(cell, 0.5, "lowest")
    assert all(lowest[image][place] == 255 for image, place in planted.items())


@pytest.mark.parametrize("order", ["highest", "random"])
def test_all_other_pixels_are_as_they_were_padding_too(cell, order):
    for (image, split, height, width), found in zip(
        IMAGES, [masked(cell, 0.25, order)[row[0]] for row in IMAGES]
    ):
        before, _ = stored(image, split, height, width)
        gone = found != before
        assert found.dtype == np.uint8 and set(found[gone]) <= {77}
        expected = round(0.25 * height * width / 4)
        assert expected - (before == 77).sum() <= gone.sum() <= expected
        if image == "t":
            assert not gone[:, :4].any() and not gone[:, 28:].any()


def test_the_store_is_a_prepared_one_of_all_splits_whatever_the_batch(cell, tmp_path):
    written = []
    for batch in (1, 3):
        cell.setting.batch = batch
        masking = Masking(cell, Mask(0.5, "highest", 77, 0), {"classes": "none"})
        paths = tmp_path / f"{batch}.parquet", tmp_path / f"{batch}.npy"
        write(masking, iter(masking.plan), *paths)
        assert set(tables.read("prepared", paths[0])["dataset"]) == {"cxr"}
        written.append(open_store(*paths))
    expected = masked(cell, 0.5)
    for image, split, height, width in IMAGES:
        geometry = "train" if split == "train" else "explain"
        for store in written:
            assert (store.get(image, SIDE, geometry) == expected[image]).all()
            assert store.frame(image, SIDE, geometry) == stored(image, split, height, width)[1]


def test_an_image_without_a_map_stops_the_study_with_the_reason(cell):
    cell.model = maps.Explained(cell.model.network, ("z", *LABELS[1:]))
    with pytest.raises(DatasetError, match="no map by 'bright'.*it cannot be.*training_conditions"):
        masked(cell, 0.5)
