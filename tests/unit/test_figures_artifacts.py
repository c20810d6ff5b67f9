"""Figures of artefacts: what is drawn is what the arrays hold, and equal figures are equal bytes."""

import numpy as np
import pytest
from matplotlib.colors import to_rgba

from sightline.attribution.artifact import Artifact
from sightline.figures import artifacts, style

GENERATOR = np.random.default_rng(0)
TABLE = Artifact(
    "layer4", "table", np.array([[0.2, 0.6, 0.1, 1.5], [0.5, np.nan, 0.4, 7.0]]),
    {
        "rows": ["unit 0", "unit 1"], "columns": ["lungs", "heart", "low", "T"], "axis": "IoU",
        "marks": ["lungs", "heart"], "spread": {"lungs": ["low", "heart"]}, "notes": ["T"],
        "line": [0.04, "least"], "says": ["Two units."],
    },
)  # fmt: skip
SCATTER = Artifact(
    "tsne", "scatter", np.array([[0.0, 1.0, 0.1, 0.0], [2.0, 3.0, 4.0, 1.0], [1.0, 1.0, 0.2, 0.0]]),
    {"points": ["x", "y", "z"], "groups": ["a", "a", "b"], "columns": ["t-SNE 1", "t-SNE 2", "s", "o"],
     "says": ["Three images."]},
)  # fmt: skip


def images(look: str, *shape: int) -> Artifact:
    facts = {
        "titles": [f"{number}: -1.5 to 2" for number in range(shape[0])],
        "look": look,
        "says": ["Grids."],
    }
    return Artifact("conv1", "images", GENERATOR.normal(size=shape).astype(np.float32), facts)


DRAWN = {
    "images": [images("image", 3, 3, 8, 8), images("map", 20, 1, 4, 4), images("signed", 2, 3, 5, 5)],
    "volumes": [images("image", 2, 1, 6, 8, 10), images("signed", 3, 2, 3, 3, 3)],
    "table": [TABLE],
    "scatters": [SCATTER, SCATTER, SCATTER],
}


@pytest.mark.parametrize("name", DRAWN)
def test_equal_figures_are_equal_bytes(name, tmp_path):
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        style.save(artifacts.draw(DRAWN[name]), path)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def shown(figure) -> list:
    return [axes.images[0] for axes in figure.axes if axes.images]


def test_tiles_hold_the_values_on_one_scale_for_maps_and_each_its_own_for_images():
    grey, signed = images("image", 3, 3, 8, 8), images("signed", 2, 3, 5, 5)
    tiles = shown(artifacts.draw([grey, signed]))
    for tile, values in zip(tiles[:3], grey.values):
        np.testing.assert_allclose(tile.get_array(), values.astype(float).mean(axis=0))
        assert tile.norm.vmax == pytest.approx(values.astype(float).mean(axis=0).max())
    largest = np.abs(signed.values.astype(float).sum(axis=1)).max()
    for tile, values in zip(tiles[3:], signed.values):
        np.testing.assert_allclose(tile.get_array(), values.astype(float).sum(axis=0))
        assert (tile.norm.vmin, tile.norm.vmax) == pytest.approx((-largest, largest))
    assert len(tiles) == 5


def test_a_volume_is_its_three_middle_planes():
    volume = GENERATOR.normal(size=(1, 48, 50, 60))
    plane = artifacts.plane(volume, "image")
    assert plane.shape == (50, 60 + 60 + 50 + 2 * 2)
    np.testing.assert_array_equal(plane[:, :60], volume[0, 24])
    np.testing.assert_array_equal(plane[:48, 62:122], volume[0, :, 25])
    np.testing.assert_array_equal(plane[:48, 124:], volume[0, :, :, 30])
    assert np.isnan(plane[:, 60:62]).all()
    assert np.isnan(plane[48:, 62:]).all()
    small = artifacts.plane(np.arange(8.0).reshape(1, 2, 2, 2), "map")
    assert small.shape == (48, 3 * 48 + 2 * 2)  # the gap is narrower than a cell
    assert set(small[:, :48].ravel()) == {4.0, 5.0, 6.0, 7.0}


def test_minus_signs_are_real_in_numbers_and_stay_in_names():
    found = images("image", 1, 1, 2, 2)
    found.facts["titles"][0] = "a-2: -1.5"
    texts = [text.get_text() for text in artifacts.draw([found]).texts]
    assert "a-2: \N{MINUS SIGN}1.5" in texts


def test_a_table_draws_its_marks_spread_line_and_notes():
    figure = artifacts.draw([TABLE])
    (axes,) = figure.axes
    lines = {line.get_label(): line for line in axes.lines}
    assert lines["lungs"].get_xdata().tolist() == [0.2, 0.5]
    assert lines["heart"].get_xdata()[0] == 0.6
    assert lines["least"].get_xdata() == [0.04, 0.04]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["unit 0", "unit 1"]
    (spread,) = axes.collections
    assert spread.get_segments()[0].tolist() == [[0.1, 0.0], [0.6, 0.0]]
    assert {"1.5", "7"} <= {text.get_text() for text in figure.texts}


def test_of_a_long_table_the_highest_are_drawn():
    values = np.column_stack([np.arange(100.0), np.zeros(100)])
    facts = {
        "rows": [f"unit {i}" for i in range(100)],
        "columns": ["a", "b"],
        "axis": "x",
        "marks": ["a", "b"],
    }
    figure = artifacts.draw([Artifact("layer", "table", values, facts)])
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [f"unit {i}" for i in range(99, 69, -1)]
    assert "layer: the 30 highest of 100" in [text.get_text() for text in figure.texts]


def test_outliers_are_ringed_and_groups_have_a_colour():
    axes = artifacts.draw([SCATTER]).axes[0]
    *groups, rings = axes.collections
    assert rings.get_offsets().tolist() == [[2.0, 3.0]]
    coloured = {
        tuple(part.get_facecolor()[0]): part.get_offsets().tolist()
        for part in groups
        if len(part.get_offsets())
    }
    assert sorted(map(len, coloured.values())) == [1, 2]
    assert to_rgba(artifacts.GROUPS[0], 0.8) in coloured  # the most frequent group
    assert axes.get_xlabel() == "t-SNE 1"


def test_what_is_not_applicable_says_why():
    (text,) = artifacts.draw("the network has no convolution").texts
    assert text.get_text() == "Not applicable: the network has no convolution"
    assert artifacts.caption("filters", "the network has no convolution", "Model m").endswith(
        "Model m: not applicable, because the network has no convolution."
    )


def test_captions_ask_and_say_each_sentence_once():
    caption = artifacts.caption("feature_projection", [SCATTER, SCATTER], "Model m on d")
    assert caption.startswith("How do the images lie")
    assert caption.count("Three images.") == 1
    assert "Volumes" in artifacts.caption("filters", DRAWN["volumes"], "m")
    assert artifacts.caption("something_new", [TABLE], "m").startswith("Something new.")
