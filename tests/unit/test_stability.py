"""How steady maps are where the image is altered: the matrix, its image, its words, where it stands."""

import re

import numpy as np
import pandas as pd
import pytest
import yaml
from matplotlib.patches import Rectangle

from sightline import options, tables
from sightline.attribution.condition import Condition
from sightline.figures import stability, style, trust, words
from sightline.frames import Frame, resample
from sightline.outcomes import Absent
from sightline.report import cases, facts, trust_answers
from sightline.report import stability as altered
from sightline.study import stability as study_stability
from sightline.study.grid import CONDITIONS
from tests.unit import made_up_stability as made_up
from tests.unit.test_study import ROOT, study

METHODS, WAYS = list(made_up.METHODS), list(made_up.WAYS)


def svg(figure, path) -> str:
    style.save(figure, path)
    return path.read_text()


# ---- the cells and their margins


def test_cells_are_the_ranks_correlation_in_the_shown_reading():
    other = made_up.agreements().assign(reading="another", mean=0.0)
    random = made_up.agreements().assign(condition_a="random", mean=0.0).drop_duplicates("method_a")
    cells = trust.altered(made_up.ASKED, pd.concat([other, random, made_up.agreements()]))
    assert len(cells) == len(METHODS) * len(WAYS) and set(cells["metric"]) == {"spearman"}
    assert list(dict.fromkeys(cells["altered"])) == WAYS
    found = cells.set_index(["method", "altered"])["mean"]
    assert found["gradient", "log"] == pytest.approx(0.45) and (cells["mean"] != 0).all()
    assert trust.altered(trust.Asked("digits", "vit", made_up.READINGS), made_up.agreements()).empty


def test_margins_are_means_over_methods_that_have_every_cell():
    whole = trust.complete(made_up.cells())
    assert set(whole["method"]) == set(METHODS) - {"score_cam"}  # it lacks one
    by_method, by_way = trust.margin(whole, "method"), trust.margin(whole, "altered")
    kept = [value for name, value in made_up.METHODS.items() if name != "score_cam"]
    shares = list(made_up.WAYS.values())
    assert by_method.loc["gradcam", "mean"] == pytest.approx(0.93 * np.mean(shares))
    assert by_way.loc["affine", "mean"] == pytest.approx(0.5 * np.mean(kept))
    assert by_way.loc["affine", "high"] == pytest.approx(0.5 * np.mean(kept) + 0.03)
    unknown = whole.assign(low=whole["low"].where(whole["altered"] != "log"))
    ends = trust.margin(unknown, "method")
    assert ends["low"].isna().all() and ends["high"].notna().all()


# ---- the figure


def test_a_picture_for_each_condition_and_a_map_for_each_cell(tmp_path):
    figure = stability.draw(made_up.cells(), made_up.pictures(), METHODS)
    drawn = [axes for axes in figure.axes if axes.images and not axes.axison]
    assert len(drawn) == (1 + len(METHODS)) * (1 + len(WAYS)) - 1  # one has failed
    said = {text.get_text() for axes in figure.axes for text in axes.texts}
    assert said == {"failed", "constant"}
    titles = [text.get_text().replace("\n", " ") for text in figure.texts]
    assert {words.method(name) for name in METHODS} <= set(titles)
    assert {"Unaltered", "Image", "Black rectangle"} <= set(titles)
    text = svg(figure, tmp_path / "a.svg")
    again = stability.draw(made_up.cells(), made_up.pictures(), METHODS)
    assert text == svg(again, tmp_path / "b.svg") and figure.get_figwidth() <= style.WIDTH


def test_bars_are_as_long_as_the_numbers_say():
    cells = made_up.cells()
    figure = stability.draw(cells, None, METHODS)
    bars = [patch for patch in figure.artists if isinstance(patch, Rectangle)]
    tracks = [
        bar
        for bar in bars
        if bar.get_facecolor()[:3] == tuple(int(style.BAND[i : i + 2], 16) / 255 for i in (1, 3, 5))
    ]
    shares = []
    for track in tracks:
        filled = [bar for bar in bars if bar is not track and bar.get_xy() == track.get_xy()]
        shares += [bar.get_width() / track.get_width() for bar in filled]
    whole = trust.complete(cells)
    expected = [
        *cells["mean"].dropna(),
        *trust.margin(whole, "method")["mean"],
        *trust.margin(whole, "altered")["mean"],
    ]
    np.testing.assert_allclose(sorted(shares), sorted(np.abs(expected)), atol=1e-9)
    written = [
        text.get_text() for text in figure.texts if re.fullmatch(r"\N{MINUS SIGN}?\d\.\d+", text.get_text())
    ]
    assert len(written) == len(expected)
    values = sorted(float(text.replace("\N{MINUS SIGN}", "-")) for text in written)
    np.testing.assert_allclose(values, sorted(expected), atol=0.006)


def test_the_steadiest_method_and_the_hardest_transformation_stand_out():
    figure = stability.draw(made_up.cells(), None, METHODS)
    bold = {text.get_text() for text in figure.texts if text.get_weight() == "bold"}
    whole = trust.complete(made_up.cells())
    best, worst = trust.margin(whole, "method")["mean"].max(), trust.margin(whole, "altered")["mean"].min()
    numbers = {text for text in bold if re.search(r"\d\.\d", text)}
    assert numbers == {words.signed(best, 2), words.signed(worst, 2)}


def test_without_pixels_there_are_numbers_alone(tmp_path):
    text = svg(stability.draw(made_up.cells(), None, METHODS), tmp_path / "a.svg")
    assert "<image" not in text and "0.84" in text
    assert "one image" not in stability.caption(made_up.cells(), None, about="a")


@pytest.mark.parametrize("count", [1, 3])
def test_few_methods_or_transformations(count, tmp_path):
    cells = made_up.cells()
    cells = cells[cells["method"].isin(METHODS[:count]) & cells["altered"].isin(WAYS[:1])]
    figure = stability.draw(cells, made_up.pictures(), METHODS)
    assert ("Mean of the\nrows above" not in [text.get_text() for text in figure.texts]) and figure.axes
    svg(figure, tmp_path / "a.svg")


def test_nothing_to_compare_is_said(tmp_path):
    none = made_up.cells().assign(mean=np.nan)
    for cells in (none, none[:0]):
        assert "No agreement" in svg(stability.draw(cells), tmp_path / "a.svg")
        assert "Nothing was compared" in stability.caption(cells, about="vit on digits")


def test_the_caption_says_n_intervals_and_what_has_no_map():
    text = stability.caption(
        made_up.cells(),
        made_up.pictures(),
        about="vit on digits",
        chosen="The middle one.",
        lost={"am1": "no attention"},
    )
    assert text.startswith(
        "How much do the maps of vit on digits change when the image is altered? Left: one image"
    )
    assert "n = 100 images, 1 seed." in text and "crossed bootstrap" in text and "The middle one." in text
    assert "No maps of AM1: no attention." in text and "negative" in text


# ---- the sentence


def test_the_sentence_names_whose_maps_change_least_and_most():
    (said,) = trust_answers._steady(made_up.cells())
    assert "6 transformations" in said and "the maps of Grad-CAM (0.581) change least" in said
    assert (
        "those of Gradient (0.313) most" in said
        and "rotate180 (\N{MINUS SIGN}0.074) changes maps most" in said
    )
    assert "gaussian noise (0.706) least" in said and "overlap: Grad-CAM++ and Occlusion" in said
    assert trust_answers._steady(made_up.cells()[:0]) == []
    nothing = tables.empty("summary"), tables.empty("map_summary")
    assert trust_answers.answers([made_up.ASKED], nothing[0], made_up.agreements(), nothing[1]) == [said]


def test_conditions_that_leave_the_image_as_it_is_are_known():
    kinds = {name: {"kind": name} for name in options.available(CONDITIONS)}
    altering = {name for name in kinds if "alter_pixels" in options.defined(f"{CONDITIONS}.{name}")}
    assert set(trust.altering(kinds)) == altering and len(altering) == 6
    config = yaml.safe_load((ROOT / "config/mnist.yaml").read_text())
    asked = facts.asked(config, {})
    assert [one.model for one in asked] == ["efficientnet", "vit"]
    assert asked[0].altered == tuple(name for name in config["conditions"] if name != "clean")


# ---- the image


def agreed(values: dict[str, float], **changed) -> pd.DataFrame:
    row = {"axis": "condition", "metric": "spearman", "status": "ok", "reading": "r"}
    row |= {
        f"{key}_{side}": value
        for key, value in (("model", "m"), ("seed", 0), ("method", "a"))
        for side in "ab"
    }
    row |= {"condition_a": "turned", "condition_b": "clean"} | changed
    return pd.DataFrame([row | {"image": image, "value": value} for image, value in values.items()])


SHOWN = [
    {"model": "m", "seed": 0, "method": "a", "reading": "r", "condition": name}
    for name in ("clean", "turned")
]


def test_the_image_is_the_middle_one_by_the_mean_agreement_of_its_maps():
    table = pd.concat(
        [
            agreed({"i1": 0.9, "i2": 0.1, "i4": 0.6, "i5": 0.55}),
            agreed({"i3": 0.75}, condition_a="clean", condition_b="turned", method_a="a"),
            agreed({"i2": 9.0}, metric="ssim"),
            agreed({"i2": 9.0}, seed_a=1),
            agreed({"i2": 9.0}, condition_a="random"),
            agreed({"i2": 9.0}, reading="other"),
            agreed({"i2": 9.0}, status="undefined"),
        ]
    )
    image, why = altered.typical(table, SHOWN)  # 0.1 (i2), 0.55 (i5), 0.6 (i4), 0.75 (i3), 0.9 (i1)
    assert image == "i4" and "middle one of 5" in why and "(0.60)" in why
    assert altered.typical(table[:0], SHOWN) == ("", "")


def test_an_image_of_which_maps_are_constant_is_not_shown():
    values = {"i1": 0.2, "i2": 0.4, "i3": 0.6}
    whole = {"i2": 0.4, "i3": 0.6}  # of the first image the other map has no agreement
    other = agreed(whole).assign(method_a="b", method_b="b")
    shown = [*SHOWN, *(row | {"method": "b"} for row in SHOWN)]
    image, why = altered.typical(pd.concat([agreed(values), other]), shown)
    assert image == "i2" and "middle one of 2 that lack no more maps than most (3 in all)" in why


class Stored:
    """One stored image of 20 x 20 pixels, the image enlarged by two."""

    picture = np.arange(400, dtype=np.uint16).astype(np.uint8).reshape(20, 20)

    def get(self, image: str, side: int, geometry: str) -> np.ndarray:
        return self.picture

    def frame(self, image: str, side: int, geometry: str) -> Frame:
        return Frame.resized((10, 10), (20, 20))


class Maps:
    """A map that was made on altered pixels, or none."""

    def __init__(self, values: np.ndarray | None, frame: Frame | None = None):
        self.values, self.frame = values, frame

    def get(self, image, readings, frame):
        if self.values is None:
            return {"": Absent("not_applicable", "because")}
        return {"": resample(self.values, self.frame, frame)}


@pytest.mark.parametrize("kind", ["clean", "rotate180"])
def test_the_map_is_shown_as_it_was_made_on_the_altered_image(kind):
    condition = Condition(kind)
    native = np.random.default_rng(0).random((20, 20))
    frame = condition.placed(Stored().frame("i", 20, "explain"))
    reading = {"classes": "predicted"}
    shown = {
        (kind, "gradient"): cases.Shown("gradient", Maps(native, frame), reading),
        (kind, "am1"): cases.Shown("am1", Maps(None), {"classes": "none"}),
    }
    found = altered.build("i", {kind: condition}, shown, Stored(), 20, 0)
    expected = Stored.picture if kind == "clean" else Stored.picture[::-1, ::-1]
    assert (found.images[kind] == expected).all()
    np.testing.assert_allclose(found.maps[kind, "gradient"], native, atol=1e-12)
    assert found.maps[kind, "am1"] == "not applicable" and found.signed == {"gradient"}


def test_around_the_part_of_a_film_that_was_cut_out_there_is_no_map():
    stored = Stored().frame("i", 20, "explain")
    part = Frame.of_image((10, 10)).cropped(
        (0, 2), (10, 6)
    )  # columns 4 to 15 of the picture; the rest pads it
    corner = Condition("affine", {"degrees": 0.0, "scale": 1.0, "shear": 0.0, "shift": [0.1, 0.1]})
    ways = {"clean": Condition("clean"), "moved": corner}
    shown = {
        (name, "gradient"): cases.Shown(
            "gradient",
            Maps(np.ones((20, 20)), way.placed(stored)),
            {"classes": "predicted"},
            lambda image: part,
        )
        for name, way in ways.items()
    }
    found = altered.build("i", ways, shown, Stored(), 20, 0)
    there = {name: np.isfinite(found.maps[name, "gradient"]) for name in ways}
    assert there["clean"][:, 4:16].all() and there["clean"].sum() == 20 * 12
    assert (
        there["moved"][2:, 6:18].all() and there["moved"].sum() == 18 * 12
    )  # two pixels to the right and down


def test_colours_are_altered_as_the_model_sees_them():
    class Coloured(Stored):
        picture = np.random.default_rng(1).integers(0, 255, (20, 20, 3), dtype=np.uint8)

    for kind in ("rotate180", "speckle"):
        condition = Condition(kind, {"deviation": 1.0} if kind == "speckle" else {})
        found = altered.build("i", {kind: condition}, {}, Coloured(), 20, 3).images[kind]
        assert (found == condition.pixels(Coloured.picture[None], ["i"], 3, True)[0]).all()
        assert found.shape == (20, 20, 3) and (found != Coloured.picture).any()


# ---- where it stands


def test_a_matrix_for_each_model_whose_maps_of_altered_images_are_compared():
    one = study()
    assert study_stability.altering(one) == ["turned"]
    assert study_stability.matrices(one) == [("cxr", "small")]  # `own` explains unaltered films alone
    shown = [(row["condition"], row["method"]) for row in study_stability.shown(one, "cxr", "small")]
    assert shown == [("clean", "gradcam"), ("turned", "gradcam")]  # `absent` has no maps of turned films
    assert [cell.condition for cell in study_stability.shown_cells(one, "cxr", "small")] == [
        "clean",
        "turned",
    ]
    overlaid = {(row["condition"], row["method"]) for row in study_stability.overlaid(one, "cxr")}
    assert overlaid == {("clean", "gradcam"), ("clean", "absent"), ("clean", "detail")}
    assert {cell.method for cell in study_stability.overlaid_cells(one, "cxr")} == {
        "gradcam",
        "absent",
        "detail",
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"agreements": {}},
        {"agreements": {"turned": {"between": "condition", "with": "turned"}}},
        {"agreements": {"methods": {"between": "method"}}},
        {"conditions.turned": {"kind": "randomise", "layers": "all"}},
    ],
)
def test_no_matrix_where_altered_images_are_not_compared_with_unaltered(changes):
    one = study(**changes)
    assert study_stability.matrices(one) == []
    assert study_stability.overlaid(one, "cxr") == one.shown("cxr")
