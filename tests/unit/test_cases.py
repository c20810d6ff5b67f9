"""Cases for the overlays: which images, in which order, and what stands beside them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from sightline.figures import overlays
from sightline.report import cases
from sightline.scores import scoring

ROWS = [
    {
        "model": "net",
        "seed": 0,
        "condition": "clean",
        "method": "gradcam",
        "reading": "uniform",
        "labels": ["Edema"],
        "exclusive": False,
    },
    {
        "model": "net",
        "seed": 0,
        "condition": "random",
        "method": "gradcam",
        "reading": "uniform",
        "labels": ["Edema"],
        "exclusive": False,
    },
]


class Maps:
    """Stands in for stored maps: a bright corner; the logit of image i3 is 3."""

    images = ("i1", "i2", "i3")

    def get(self, image, chosen, frame):
        if image == "i3":
            return dict.fromkeys(chosen, scoring.Absent("not_applicable", "no attention"))
        values = np.zeros(frame.shape)
        values[0, 0] = 1.0
        return dict.fromkeys(chosen, values)

    def logit(self, image, label):
        return float(image[1:])

    def truth(self, image, label):
        return {"i1": 1.0, "i2": 0.0}.get(image, np.nan)


class Pixels:
    """Stands in for prepared films: 8 x 6 in a padded square of 8."""

    def frame(self, image, side, geometry):
        return cases.Frame.resized((16, 12), (8, 6))

    def get(self, image, side, geometry):
        return np.full((8, 6), 100, np.uint8)


def shown() -> list[cases.Shown]:
    reading = {"classes": "uniform", "clip": "relu"}
    return [cases.Shown(cases.title(row, ROWS), Maps(), reading) for row in ROWS]


def beside(readers: int = 2, lungs: bool = True) -> cases.Beside:
    images = pd.DataFrame({"image": ["i1", "i2", "i3"], "height": 16, "width": 12})
    boxes = pd.DataFrame(
        {
            "image": ["i1", "i1", "i1"],
            "kind": ["finding", "chest", "finding"],
            "reader": ["", "", "r0"],
            "xmin": 1.0,
            "ymin": 2.0,
            "xmax": 5.0,
            "ymax": 6.0,
            "shape": "ellipse",
            "label": "Edema",
        }
    )
    maps = [(f"r{index}", np.full((4, 3), float(index + 1))) for index in range(readers)]
    gaze = scoring.GazeReference(
        "gaze", lambda image: maps, lambda image: {"image": np.ones((4, 3))}, ("image",)
    )
    region = scoring.RegionReference("lungs", lambda image: np.eye(4, 3) > 0)
    return cases.Beside(images, boxes, Pixels(), 8, 0.25, gaze, region if lungs else None)


def score(values: dict[str, float], **changes) -> pd.DataFrame:
    row = {key: ROWS[0][key] for key in ("model", "seed", "condition", "method", "reading")}
    row |= {"status": "ok", "metric": "sauc", "reference": "gaze", "center_bias": "image"} | changes
    return pd.DataFrame([row | {"image": image, "value": value} for image, value in values.items()])


# ---- which images


@pytest.mark.parametrize(
    ("count", "ranks"), [(4, [1, 4, 7, 10]), (2, [1, 10]), (1, [1]), (99, list(range(1, 11)))]
)
def test_the_spread_goes_from_best_to_worst_evenly_by_rank(count, ranks):
    found = cases.spread(pd.Series({f"i{rank}": -float(rank) for rank in range(10)}), count)
    assert list(found["rank"]) == ranks and set(found["of"]) == {10}
    assert list(found["value"]) == [1.0 - rank for rank in ranks]


def test_ties_are_ordered_by_name_and_undefined_values_are_left_out():
    values = pd.Series({"b": 1.0, "c": np.nan, "a": 1.0, "d": 2.0})
    assert list(cases.spread(values, 9)["image"]) == ["d", "a", "b"]
    assert cases.spread(values * np.nan, 4).empty


def test_titles_say_rank_and_value():
    first, last = (row for _, row in cases.spread(pd.Series({"a": 0.7, "b": -0.1}), 2).iterrows())
    assert cases.place(first, "sAUC (gaze)") == "Best\n1 of 2\nsAUC 0.70"
    assert cases.place(last, "sAUC (gaze)") == "Worst\n2 of 2\nsAUC \N{MINUS SIGN}0.10"
    assert cases.place(first, "") == "Image 1 of 2"
    assert cases.place(last, "logit").startswith("Lowest\n2 of 2")  # an output is no merit


def test_images_are_ranked_by_the_first_map_that_has_a_score_over_its_readers():
    rows = pd.concat(
        [
            score({"i1": 0.4, "i2": 0.6}),
            score({"i1": 0.6, "i2": 0.9}),  # another reader
            score({"i1": 9.0}, seed=1),
            score({"i1": 9.0}, status="undefined"),
            score({"i1": 9.0}, metric="ncc", center_bias=""),
        ]
    )
    found = cases.ranking(rows, ROWS, shown(), ["gaze"], ["i1", "i2"])
    assert found.values.to_dict() == pytest.approx({"i1": 0.5, "i2": 0.75})
    assert (
        found.what == "sAUC (gaze)" and "best to the worst image by the sAUC (gaze) of Grad-CAM" in found.why
    )
    second = cases.ranking(score({"i2": 0.3}, condition="random"), ROWS, shown(), ["gaze"], ["i1", "i2"])
    assert second.values.to_dict() == {"i2": 0.3} and "random weights" in second.why


def test_references_are_not_mixed():
    rows = pd.concat(
        [
            score({"i1": 1.0}, metric="mass_over_area", reference="lungs", center_bias=""),
            score({"i1": 5.0}, metric="mass_over_area", reference="finding", center_bias=""),
        ]
    )
    for first, value in (("lungs", 1.0), ("finding", 5.0)):  # as configured, not by the alphabet
        second = "finding" if first == "lungs" else "lungs"
        found = cases.ranking(rows, ROWS, shown(), ["gaze", first, second], ["i1"])
        assert found.values.to_dict() == {"i1": value} and found.what == f"Mass over area ({first})"


def test_without_models_readers_are_ranked_without_scores_the_output_and_else_names():
    rows = score({"i1": 0.5}, method="interobserver", model="", reading="")
    assert "one reader against the others" in cases.ranking(rows, [], [], ["gaze"], ["i1"]).why
    none = rows.iloc[:0]
    outputs = cases.ranking(none, ROWS, shown(), ["gaze"], ["i1", "i2", "i3"])
    assert outputs.values.to_dict() == {"i1": 1.0, "i2": 2.0, "i3": 3.0} and outputs.what == "logit"
    chosen = cases.spread(outputs.values, 3, outputs.true)
    titles = [cases.place(row, outputs.what).split("\n")[-1] for _, row in chosen.iterrows()]
    assert titles == ["logit 3.00", "Edema: no", "Edema: yes"] and "true label" in outputs.why
    names = cases.ranking(none, [], [], [], ["i2", "i1"])
    assert list(cases.spread(names.values, 2)["image"]) == ["i1", "i2"] and names.what == ""


class Classes(Maps):
    """Outputs of a model of three labels that exclude each other; of i3 it says the last, not the first."""

    logits = {"i1": (0.0, 5.0, 1.0), "i2": (2.0, 1.0, 0.0), "i3": (1.0, 0.0, 9.0)}  # noqa: RUF012
    truths = {"i1": "dog", "i2": "cat", "i3": "cat"}  # noqa: RUF012

    def logit(self, image, label):
        return self.logits[image][["cat", "dog", "fox"].index(label)]

    def truth(self, image, label):
        return float(self.truths[image] == label) if self.truths else np.nan


def test_where_labels_exclude_each_other_an_image_is_ranked_by_its_own_label():
    none = score({"i1": 0.5}).iloc[:0]
    rows = [row | {"labels": ["cat", "dog", "fox"], "exclusive": True} for row in ROWS]
    maps = Classes()
    drawn = [cases.Shown("a", maps, {"classes": "predicted"}) for _ in rows]
    found = cases.ranking(none, rows, drawn, [], list(maps.images))
    share = {image: np.exp(logits) / np.exp(logits).sum() for image, logits in maps.logits.items()}
    expected = {"i1": share["i1"][1], "i2": share["i2"][0], "i3": share["i3"][0]}
    assert found.values.to_dict() == pytest.approx(expected) and "gives the true label" in found.why
    chosen = cases.spread(found.values, 3, found.true)
    titles = [cases.place(row, found.what) for _, row in chosen.iterrows()]
    assert titles[0] == "Best\n1 of 3\nprobability 0.98\ntrue: dog"
    assert titles[2] == "Worst\n3 of 3\nprobability 0.00\ntrue: cat\nsaid: fox"
    maps.truths = {}
    unknown = cases.ranking(none, rows, drawn, [], list(maps.images))
    assert unknown.values.to_dict() == pytest.approx({image: max(each) for image, each in share.items()})
    assert "the predicted label" in unknown.why and unknown.true == {"i1": "dog", "i2": "cat", "i3": "fox"}
    first = cases.spread(unknown.values, 3).iloc[0]
    assert cases.place(first, unknown.what) == "Highest\n1 of 3\nprobability 1.00"
    maps.images = ()  # nothing was explained: as without maps
    assert cases.ranking(none, rows, drawn, [], ["i2"]).values.to_dict() == {"i2": 0.0}


# ---- what stands beside each


def test_a_case_holds_image_references_and_maps_in_the_images_aspect():
    chosen = cases.spread(pd.Series({"i1": 0.9, "i3": 0.1}), 2)
    first, last = cases.build(
        chosen, "sAUC (gaze)", beside(3), shown(), [{"of": "finding", "label": None, "reader": ""}]
    )
    assert first.image.shape == (8, 6) and (first.image == 100).all()
    assert set(first.panels) == {
        "reader",
        "other_readers",
        "center_bias",
        "hull",
        *(one.title for one in shown()),
    }
    assert (first.panels["reader"] == 1.0).all() and (first.panels["other_readers"] == 2.5).all()
    (outline,) = first.outlines  # image of 16 x 12, picture of 8 x 6: the first edge lies at -0.5 in both
    assert (outline.xmin, outline.ymin, outline.xmax, outline.ymax) == (0.0, 0.5, 2.0, 2.5)
    assert outline.shape == "ellipse" and last.outlines == []
    assert last.absent == dict.fromkeys((one.title for one in shown()), "not applicable")
    assert overlays.lines([first, last])[0][:5] == ["", "reader", "other_readers", "hull", "center_bias"]


def test_beyond_what_the_model_saw_there_is_no_map():
    part = cases.Frame.of_image((16, 12)).cropped((8, 0), (8, 6))  # of 16 x 12 the lower left
    cut = [replace(one, seen=lambda image: part) for one in shown()]
    chosen = cases.spread(pd.Series({"i1": 0.9, "i3": 0.1}), 2)
    first, last = cases.build(chosen, "sAUC (gaze)", beside(), cut, [])
    for one in cut:
        there = np.isfinite(first.panels[one.title])
        assert there[2:, :2].all() and there.sum() == 4  # of 4 x 3
        assert last.absent[one.title] == "not applicable"
    assert np.isfinite(first.panels["reader"]).all()  # readers saw the whole film
    assert "cut to the breast" in cases.cut_said("breast") and cases.cut_said(None) == ""


def test_what_an_image_lacks_is_said():
    chosen = cases.spread(pd.Series({"i1": 0.9}), 1)
    (alone,) = cases.build(chosen, "sAUC", beside(1, lungs=False), [], [])
    assert alone.absent == {"other_readers": "one reader only"} and "hull" not in alone.panels
    (unread,) = cases.build(chosen, "sAUC", beside(0), [], [])
    assert unread.absent == {"reader": "no reader", "other_readers": "no reader"}


# ---- words


def test_panels_are_titled_by_what_tells_them_apart():
    assert [cases.title(row, ROWS) for row in ROWS] == ["Grad-CAM", "Grad-CAM\nrandom weights"]
    more = [*ROWS, ROWS[0] | {"model": "other_net", "reading": "weighted"}]
    assert cases.title(more[2], more) == "Grad-CAM\nweighted\nother net"


def test_the_caption_says_which_seed_and_reading_are_shown():
    assert cases.said(ROWS) == "Maps of seed 0, Grad-CAM read as uniform."
    assert cases.said([]) == ""
