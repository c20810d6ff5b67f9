"""Maps against regions with a center bias: counted by hand and by scikit-learn, registered by boxes."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from sightline import arrays, center_bias, tables
from sightline.frames import scoring_frame
from sightline.metrics.localisation import mass_inside
from sightline.metrics.similarity import auc, ncc, sauc, sncc
from sightline.outcomes import Absent, MapsOf
from sightline.scores import baselines, references, scoring
from sightline.scores.scoring import RegionReference

SHAPE = (17, 12)
OF = MapsOf("d", "m", 0, "clean", "gradcam")
NAMES = ["ncc", "sncc", "auc", "sauc", "mass_inside"]


def lesion(top=3, left=4, height=3, width=4, shape=SHAPE) -> np.ndarray:
    mask = np.zeros(shape, dtype=np.uint8)
    mask[top : top + height, left : left + width] = 1
    return mask


def maps(kind: str) -> np.ndarray:
    random = np.random.default_rng(4)
    signed = random.normal(size=SHAPE).astype(np.float32)
    return {"signed": signed, "ties": np.round(signed), "relu": np.maximum(signed, 0)}[kind]


def bias(seed=2) -> np.ndarray:
    values = np.random.default_rng(seed).gamma(0.4, size=SHAPE)
    return values / values.sum()


# ---- AUC and sAUC of a region


@pytest.mark.parametrize("kind", ["signed", "ties", "relu"])
@pytest.mark.parametrize("shuffled", [False, True])
def test_auc_of_a_region_is_a_count_over_pairs_and_scikit_learns(kind, shuffled):
    mask, saliency = lesion(), maps(kind)
    negative = bias() if shuffled else np.full(SHAPE, 1 / mask.size)
    value, wins = saliency.ravel(), 0.0
    for positive in value[mask.ravel() > 0]:  # each of the lesion's pixels alike
        for other, weight in zip(value, negative.ravel()):
            wins += weight * ((positive > other) + 0.5 * (positive == other)) / mask.sum()
    truth = np.repeat([1, 0], value.size)
    weights = np.concatenate([mask.ravel() / mask.sum(), negative.ravel()])
    theirs = roc_auc_score(truth, np.tile(value, 2), sample_weight=weights)
    ours = sauc(mask, saliency, negative) if shuffled else auc(mask, saliency)
    assert ours == pytest.approx(wins, abs=1e-12)
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_the_best_map_of_a_region_reaches_one_less_half_its_area():
    mask = lesion()
    assert auc(mask, mask) == pytest.approx(1 - mask.mean() / 2, abs=1e-12)
    elsewhere = lesion(top=10)
    assert sauc(mask, mask, elsewhere) == 1.0  # no other lesion was ever here
    assert sauc(mask, mask, mask) == 0.5  # all others were just here


# ---- which metrics a region has, and what is said where there is no score


def scored(reference: RegionReference, saliency: np.ndarray, names=NAMES) -> pd.DataFrame:
    images = pd.DataFrame({"dataset": "d", "image": ["a"], "subject": ["s"]})
    rows = scoring.score(OF, images, [""], lambda *_: saliency, [reference], names)
    return tables.conform("scores", rows, "test").to_pandas().set_index(["metric", "center_bias"])


def test_a_region_with_a_center_bias_has_all_four_and_one_without_has_auc():
    saliency = maps("signed")
    given = {"none": bias(1), "image": bias(2)}
    rows = scored(RegionReference("lesion", lambda _: lesion(), lambda _: given, ("none", "image")), saliency)
    assert set(rows.index) == {
        ("ncc", ""), ("auc", ""), ("mass_inside", ""),
        *((name, out) for name in ("sncc", "sauc") for out in ("none", "image")),
    }  # fmt: skip
    assert rows.loc[("ncc", ""), "value"] == pytest.approx(ncc(lesion(), saliency), abs=1e-12)
    assert rows.loc[("auc", ""), "value"] == pytest.approx(auc(lesion(), saliency), abs=1e-12)
    for out, values in given.items():
        assert rows.loc[("sauc", out), "value"] == pytest.approx(sauc(lesion(), saliency, values), abs=1e-12)
        assert rows.loc[("sncc", out), "value"] == pytest.approx(sncc(lesion(), saliency, values), abs=1e-12)
    plain = scored(RegionReference("lungs", lambda _: lesion()), saliency)
    assert set(plain.index) == {("auc", ""), ("mass_inside", "")}


def test_an_image_without_the_region_has_the_rows_of_one_with_it():
    lost = Absent("not_applicable", "the image has no mask 'lesion'")
    rows = scored(RegionReference("lesion", lambda _: lost, lambda _: {}, ("image",)), maps("signed"))
    assert set(rows.index) == {(name, "image" if name[0] == "s" else "") for name in NAMES}
    assert set(rows["status"]) == {"not_applicable"} and set(rows["reason"]) == {lost.reason}


def test_why_a_region_has_no_shuffled_score():
    nothing = {"image": np.zeros(SHAPE), "none": Absent("missing", "missing: image a has no box")}
    reference = RegionReference("lesion", lambda _: lesion(), lambda _: nothing, ("image", "none"))
    rows = scored(reference, maps("signed"))
    for name in ("sauc", "sncc"):
        assert rows.loc[(name, "image"), "status"] == "undefined"
        assert "center bias is constant or without mass" in rows.loc[(name, "image"), "reason"]
        assert tuple(rows.loc[(name, "none"), ["status", "reason"]]) == ("missing", nothing["none"].reason)
    whole = scored(
        RegionReference("k", lambda _: lesion() * 0 + 1, lambda _: nothing, ("image",)), maps("signed")
    )
    assert whole.loc[("ncc", ""), "status"] == "undefined"  # a region that is the whole image is constant


# ---- the center bias of regions


BOXES = [[4, 6, 24, 36], [10, 4, 34, 40], [3, 3, 20, 33]]
SIDES = [(44, 30), (48, 40), (40, 26)]


def registered(scale=1.0):
    """Lesions of three images, each at its own place in its box."""
    spots = [(0.2, 0.3), (0.6, 0.5), (0.4, 0.8)]  # (y, x) in shares of the box
    found = []
    for (height, width), (left, top, right, bottom), (y, x) in zip(SIDES, BOXES, spots):
        row, column = round(top + y * (bottom - top)), round(left + x * (right - left))
        found.append(lesion(row - 1, column - 1, 3, 3, (height, width)))
    return found


def test_equal_boxes_give_the_mean_of_even_maps_whatever_the_lesions_sizes():
    small, large = lesion(2, 2, 1, 1), lesion(5, 3, 6, 5)
    average = center_bias.average([small, large], [[1, 1, 10, 15]] * 2, regions=True)
    expected = (small / small.sum() + large / large.sum()) / 2
    np.testing.assert_allclose(average.place([1, 1, 10, 15], SHAPE), expected, rtol=0, atol=1e-12)


def test_a_lesion_lands_at_its_place_in_the_other_images_box():
    found = registered()
    for own in range(3):
        rest = center_bias.average(found, BOXES, regions=True).without(
            [found[at] for at in range(3) if at != own], [BOXES[at] for at in range(3) if at != own]
        )
        for other in range(3):
            left, top, right, bottom = BOXES[other]
            placed = rest.place(BOXES[other], SIDES[other])
            y, x = ((values * placed).sum() for values in np.indices(SIDES[other]))
            at = (y + 0.5 - top) / (bottom - top), (x + 0.5 - left) / (right - left)
            rows, columns = np.nonzero(found[own])
            box = BOXES[own]
            expected = (
                (rows.mean() + 0.5 - box[1]) / (box[3] - box[1]),
                (columns.mean() + 0.5 - box[0]) / (box[2] - box[0]),
            )
            np.testing.assert_allclose(at, expected, atol=0.06)  # a pixel of rounding in a box of 17
            assert placed.sum() == pytest.approx(1, abs=1e-12)


def test_no_lesion_is_lost_where_its_image_shrinks():
    """One pixel in a box five times the average one: two samples may pass it by."""
    for at in range(5):
        speck = lesion(50 + at, 61, 1, 1, (100, 120))
        average = center_bias.average(
            [speck, lesion(), lesion(8)], [[0, 0, 100, 100], [0, 0, 6, 6], [0, 0, 6, 6]], regions=True
        )
        assert average.total.sum() == pytest.approx(3.0, abs=1e-9)


def test_leaving_out_equals_averaging_the_others():
    found = registered()
    pooled = center_bias.average(found, BOXES, regions=True)
    rest = pooled.without(found[:1], BOXES[:1])
    expected = np.zeros_like(pooled.total)
    for mask, box in zip(found[1:], BOXES[1:]):
        alone = pooled.without(found, BOXES)
        alone._add(mask, np.array(box, dtype=float), 1)
        expected += alone.total + alone.error
    np.testing.assert_allclose(rest.total + rest.error, expected, atol=1e-12)


def test_an_image_that_no_other_lesion_reaches_has_an_empty_center_bias():
    masks = [lesion(0, 0, 2, 2, (40, 40)), lesion(36, 36, 2, 2, (40, 40))]
    boxes = [[0, 0, 20, 20], [0, 0, 20, 20]]
    rest = center_bias.average(masks, boxes, regions=True).without(masks[1:], boxes[1:])
    placed = rest.place([-30, -30, 2, 2], (20, 20))
    assert placed.shape == (20, 20) and placed.sum() == 0.0


def stored(masks: list[np.ndarray | None]):
    """Table regions and its flat values, of kind lesion; None: the image has none."""
    rows, offset = [], 0
    for at, mask in enumerate(masks):
        there = mask is not None
        rows.append(
            ("d", "lesion", f"i{at}", "ok" if there else "not_applicable", None if there else "no mask",
             offset if there else None, list(mask.shape) if there else None)
        )  # fmt: skip
        offset += mask.size if there else 0
    columns = ["dataset", "kind", "image", "status", "reason", "offset", "shape"]
    flat = np.concatenate([mask.ravel() for mask in masks if mask is not None])
    return pd.DataFrame(rows, columns=columns).assign(area_share=0.1), flat


def study_of(scale=0.5):
    masks = [lesion(at + 1, 3, 2, 3) for at in range(4)] + [None]
    regions, flat = stored(masks)
    images = pd.DataFrame(
        {"dataset": "d", "image": [f"i{at}" for at in range(5)], "subject": ["s0", "s0", "s1", "s2", "s3"],
         "height": round(SHAPE[0] / scale), "width": round(SHAPE[1] / scale), "split": "test",
         "evaluated": True}
    )  # fmt: skip
    assert scoring_frame((34, 24), scale).shape == SHAPE
    boxes = pd.DataFrame([[2.0, 2.0, 22.0, 32.0]] * 5, index=images["image"], columns=center_bias.CORNERS)
    return masks, regions, flat, images, boxes


def test_every_image_with_the_region_gets_the_average_of_the_others(tmp_path):
    masks, regions, flat, images, boxes = study_of()
    rows, found = center_bias.place_region("lesion", regions, flat, boxes, images, ["image", "subject"], 0.5)
    tables.write("center_bias", rows, tmp_path / "center_bias.parquet")
    values = np.concatenate([one.ravel() for one in found])
    assert set(rows["image"]) == {"i0", "i1", "i2", "i3"} and set(rows["reference"]) == {"lesion"}
    even = [mask / mask.sum() for mask in masks[:4]]
    for row in rows.itertuples():
        own = int(row.image[1])
        gone = {own} if row.leave_out == "image" or own > 1 else {0, 1}
        expected = np.mean([even[at] for at in range(4) if at not in gone], axis=0)
        np.testing.assert_allclose(arrays.view(values, row.offset, row.shape), expected, atol=1e-9)


def test_only_images_alike_are_averaged_with_each_other():
    masks, regions, flat, images, boxes = study_of()
    alike = pd.Series({"i0": "left", "i1": "right", "i2": "left"})  # i3 has no name
    rows, found = center_bias.place_region("lesion", regions, flat, boxes, images, ["image"], 0.5, alike)
    values = [one.ravel() for one in found]
    rows = rows.set_index("image")
    assert rows["status"].to_dict() == {
        "i0": "ok", "i1": "not_applicable", "i2": "ok", "i3": "not_applicable"
    }  # fmt: skip
    flat_values = np.concatenate(values)
    for own, other in (("i0", 2), ("i2", 0)):
        placed = arrays.view(flat_values, rows.loc[own, "offset"], rows.loc[own, "shape"])
        np.testing.assert_allclose(placed, masks[other] / masks[other].sum(), atol=1e-9)


def test_gaze_and_regions_share_one_table(tmp_path):
    masks, regions, flat, images, boxes = study_of()
    random = np.random.default_rng(0).random((4, *SHAPE)).astype(np.float32)
    gaze = regions.iloc[:4].assign(reader="r").drop(columns=["kind", "area_share"])
    parts = [
        center_bias.place_all(gaze, random.ravel(), boxes, images.iloc[:4], ["none"], 0.5),
        center_bias.place_region("lesion", regions, flat, boxes, images, ["none"], 0.5),
    ]
    rows, found = center_bias.joined(parts)
    alone = center_bias.place_all(gaze, random.ravel(), boxes, images.iloc[:4], ["none"], 0.5)
    with arrays.Writer(tmp_path / "center_bias.npy", "float32") as store:
        for one in found:
            store.append(one)
    tables.write("center_bias", rows, tmp_path / "center_bias.parquet")
    with arrays.Writer(tmp_path / "regions.npy", "uint8") as store:
        store.append(flat)
    tables.write("regions", regions, tmp_path / "regions.parquet")
    with arrays.Writer(tmp_path / "gaze.npy", "float32") as store:
        store.append(random)
    tables.write("gaze", gaze, tmp_path / "gaze.parquet")
    files = references.Files(
        *(
            tmp_path / f"{name}.{end}"
            for name in ("gaze", "center_bias", "regions")
            for end in ("parquet", "npy")
        )
    )
    chosen = {"eyes": {"kind": "gaze"}, "lesion": {"kind": "region", "center_bias": True}}
    eyes, region = references.opened(files, chosen, ["none"])
    expected = next(alone[1])
    assert np.array_equal(eyes.center_bias("i0")["none"], expected.astype(np.float32))
    mean = np.mean([mask / mask.sum() for mask in masks[:4]], axis=0)
    np.testing.assert_allclose(region.center_bias("i2")["none"], mean, atol=1e-7)
    plain = references.opened(files, {"lesion": {"kind": "region", "center_bias": False}}, ["none"])[0]
    assert plain.leave_outs == ()


# ---- the center bias as a baseline


def test_the_baseline_is_the_regions_own_center_bias():
    masks, regions, flat, images, boxes = study_of()
    rows, found = center_bias.place_region("lesion", regions, flat, boxes, images, ["image", "none"], 0.5)
    values = np.concatenate([one.ravel() for one in found])
    own = references.with_center_bias(
        references.region_reference("lesion", regions, flat), rows, values, ["image", "none"]
    )
    breast = RegionReference("breast", lambda _: lesion(1, 1, 12, 8))
    material = baselines.Material(images, 0, 0.5)
    scores = baselines.score_baselines(material, ["center_bias", "hull"], [own, breast], [*NAMES, "gini"])
    tables.conform("scores", scores, "test")
    at = scores.set_index(["method", "reference", "image", "metric", "center_bias"])
    for out, method in (("image", "center_bias"), ("none", "center_bias_none")):
        expected = mass_inside(own.center_bias("i1")[out], masks[1])
        assert at.loc[(method, "lesion", "i1", "mass_inside", ""), "value"] == pytest.approx(
            expected, abs=1e-7
        )
        for negative in ("image", "none"):
            biases = (own.center_bias("i1")[name] for name in (out, negative))
            assert at.loc[(method, "lesion", "i1", "sauc", negative), "value"] == pytest.approx(
                sauc(masks[1], *biases), abs=1e-7
            )
    assert at.loc[("center_bias", "lesion", "i4", "auc", ""), "status"] == "not_applicable"
    # nothing of gaze, and no lungs: said, not demanded
    assert set(scores[(scores["method"] == "center_bias") & (scores["reference"] == "breast")]["status"]) == {
        "not_applicable"
    }
    assert set(scores[scores["method"] == "hull"]["status"]) == {"not_applicable"}
