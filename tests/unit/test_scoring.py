"""The scores table: the plain functions' values, a row for everything asked, a reason where there is none."""

import numpy as np
import pandas as pd
import pytest

from sightline import center_bias, tables
from sightline.errors import ConfigError
from sightline.metrics.localisation import mass_inside, mass_over_area, pointing_game
from sightline.metrics.similarity import auc, ncc, sauc, sncc
from sightline.metrics.sparseness import gini
from sightline.metrics.thresholds import THRESHOLDS, ious, tuned_threshold
from sightline.scores import references, scoring
from sightline.scores.scoring import Absent, GazeReference, MapsOf, RegionReference

SHAPE = (18, 14)
NAMES = ["ncc", "sncc", "auc", "sauc"]
OF = MapsOf("d", "m", 3, "clean", "gradcam")
PLAIN = {
    "ncc": lambda reference, saliency, bias: ncc(reference, saliency),
    "sncc": sncc,
    "auc": lambda reference, saliency, bias: auc(reference, saliency),
    "sauc": sauc,
}


def density(seed):
    values = np.random.default_rng(seed).gamma(0.7, size=SHAPE)
    return values / values.sum()


def images(*names):
    return pd.DataFrame({"dataset": "d", "image": names, "subject": [f"s{name}" for name in names]})


def gaze(readings, biases=None):
    leave_outs = tuple(next(iter(biases.values()))) if biases else ()
    return GazeReference(
        "gaze", readings.__getitem__, lambda image: (biases or {}).get(image, {}), leave_outs
    )


def only(rows, **values):
    for column, value in values.items():
        rows = rows[rows[column] == value]
    assert len(rows) == 1, f"{values}: {len(rows)} rows"
    return rows.iloc[0]


@pytest.mark.parametrize("readers", [1, 2, 5])
def test_each_reader_is_scored_against_the_mean_of_the_others(readers):
    maps, saliency = [density(at) for at in range(readers)], density(99)
    biases = {"none": density(50), "image": density(51)}
    found = scoring.score_image(saliency, maps, biases, NAMES)
    assert len(found) == 6
    for at in range(readers):
        reference = maps[0] if readers == 1 else np.mean(maps[:at] + maps[at + 1 :], axis=0)
        for (name, leave_out), values in found.items():
            assert values.shape == (readers,)
            expected = PLAIN[name](reference, saliency, biases.get(leave_out))
            assert values[at] == pytest.approx(expected, abs=1e-12), (name, leave_out)


def test_the_authors_rows(golden):
    """NCC and sNCC of every method, and the center of their random AUCs, on the golden tree's five films."""
    folder = golden / "reflacx"
    outputs, inputs = np.load(folder / "outputs_et_and_cb.npz"), np.load(folder / "saliency_inputs.npz")
    theirs = pd.read_csv(folder / "results" / "results_uniform_df.csv")
    methods = {"sono": "sononet", "ag": "ag_sononet", "am1": "ag_sononet_am1", "am2": "ag_sononet_am2"}
    compared, away = 0, []
    for (phase, trial), rows in theirs.groupby(["phase", "trial"]):
        maps = [outputs[k] for k in outputs.files if k.startswith(f"et_heatmaps_phase_{phase}_1_{trial}_")]
        biases = {"none": outputs[f"cb_heatmaps_subtraction_{phase}_1_{trial}"]}
        candidates = {m: inputs[f"uniform_{name}_p{phase}_t{trial}"] for m, name in methods.items()}
        candidates["convex"] = inputs[f"segmentation_p{phase}_t{trial}"].astype(np.float32)
        for method, saliency in candidates.items():
            scores = {
                key[0]: values for key, values in scoring.score_image(saliency, maps, biases, NAMES).items()
            }
            for row in rows.to_dict("records"):
                ours, value = scores[row["metric"]][row["index_image"]], row[f"score_{method}"]
                compared += 1
                if row["metric"] in ("ncc", "sncc"):
                    assert ours == pytest.approx(value, abs=1e-6), (phase, trial, method, row["metric"])
                else:
                    away.append((ours - value) / 0.0135)
    assert compared == theirs[["phase", "trial", "index_image", "metric"]].drop_duplicates().shape[0] * 5
    assert abs(np.mean(away)) * np.sqrt(len(away)) < 4 and np.max(np.abs(away)) < 5


def test_a_study_has_one_row_for_everything_asked(tmp_path):
    readings = {
        "a": [("1", density(1)), ("2", density(2)), ("3", Absent("missing", "empty: no fixation"))],
        "b": [],
    }
    readings["c"] = [("1", density(3))]
    biases = {
        "a": {"none": density(4), "image": Absent("missing", "missing: no box")},
        "c": {"none": density(4), "image": density(5)},
    }
    mask = density(6) > 0.003
    masks = {"a": mask, "b": Absent("missing", "the image has no region 'lungs'"), "c": np.zeros(SHAPE, bool)}
    saliency = {
        "a": density(7),
        "b": density(8),
        "c": Absent("not_applicable", "needs a convolutional layer"),
    }
    targets = [gaze(readings, biases), RegionReference("lungs", masks.__getitem__)]
    names = [*NAMES, "mass_inside", "mass_over_area", "pointing_game"]
    found = scoring.score(
        OF,
        images("a", "b", "c"),
        ["signed", "relu"],
        lambda image, reading: saliency[image],
        targets,
        names,
    )
    tables.write("scores", found, tmp_path / "scores.parquet")  # checks columns, types and keys
    assert found["value"].notna().eq(found["status"] == "ok").all()
    assert found["reason"].isna().eq(found["status"] == "ok").all()
    # gaze: 3 readers of a, 1 of b, 1 of c; ncc, auc twice sncc, sauc. lungs: auc and three more; two readings
    assert len(found) == 2 * (5 * 6 + 3 * 4)
    assert (found["subject"] == "s" + found["image"]).all() and (found["seed"] == 3).all()

    a = found[(found["image"] == "a") & (found["reading"] == "relu")]
    assert only(a, reader="1", metric="sauc", center_bias="none")["value"] == pytest.approx(
        sauc(density(2), density(7), density(4)), abs=1e-12
    )
    row = only(a, reader="2", metric="sauc", center_bias="image")
    assert (row["status"], row["reason"]) == ("missing", "missing: no box")
    row = only(a, reader="3", metric="ncc")
    assert (row["status"], row["reason"]) == ("missing", "empty: no fixation")
    for name, function in (("mass_inside", mass_inside), ("mass_over_area", mass_over_area)):
        assert only(a, metric=name)["value"] == pytest.approx(function(density(7), mask), abs=1e-12)
    assert only(a, metric="pointing_game")["value"] == pointing_game(density(7), mask)
    assert only(a, metric="auc", reference="lungs")["value"] == pytest.approx(
        auc(mask, density(7)), abs=1e-12
    )

    assert set(found[found["image"] == "b"]["status"]) == {"missing"}
    c = found[found["image"] == "c"]
    assert set(c["status"]) == {"not_applicable"} and set(c["reason"]) == {"needs a convolutional layer"}


@pytest.mark.parametrize(
    "saliency, names, status, reason",
    [
        (np.full(SHAPE, 0.5), ["ncc", "sncc"], "undefined", "the map is constant"),
        (np.where(density(1) > 0.01, np.nan, 1.0), NAMES, "failed", "values are not finite"),
        (np.zeros(SHAPE), ["mass_inside", "mass_over_area"], "undefined", "the map is constant"),
        (-density(3), ["mass_inside"], "undefined", "no positive value"),
    ],
)
def test_no_silent_nan(saliency, names, status, reason):
    targets = [
        gaze({"a": [("1", density(1))]}, {"a": {"none": density(2)}}),
        RegionReference("lungs", lambda image: density(1) > 0.003),
    ]
    rows = scoring.score(OF, images("a"), [""], lambda *_: saliency, targets, names)
    asked = rows[rows["metric"].isin(names) & ~((rows["metric"] == "auc") & (status == "undefined"))]
    assert len(asked) and set(asked["status"]) == {status}
    assert asked["reason"].str.contains(reason).all()


def test_a_grid_of_one_pixel_has_no_correlation_and_the_auc_of_chance():
    one = np.ones((1, 1))
    targets = [
        gaze({"a": [("1", one), ("2", one)]}, {"a": {"none": one}}),
        RegionReference("lungs", lambda image: one > 0),
    ]
    rows = scoring.score(OF, images("a"), [""], lambda *_: one, targets, [*NAMES, "pointing_game"])
    rows = rows.set_index(["reference", "metric"])
    assert set(rows.loc[[("gaze", "ncc"), ("gaze", "sncc")], "status"]) == {"undefined"}
    assert set(rows.loc[[("gaze", "auc"), ("gaze", "sauc"), ("lungs", "auc")], "value"]) == {0.5}
    assert rows.loc[("lungs", "pointing_game"), "value"] == 1.0


def test_a_region_that_holds_nothing_and_a_film_without_reader_are_missing():
    targets = [gaze({"a": []}), RegionReference("lungs", lambda image: np.zeros(SHAPE, dtype=bool))]
    rows = scoring.score(OF, images("a"), [""], lambda *_: density(1), targets, ["ncc", "mass_inside"])
    assert rows["status"].tolist() == ["missing"] * 2 and rows["value"].isna().all()
    assert rows["reason"].tolist() == ["the image has no reading", "the region is empty"]


def test_no_image_is_an_empty_table():
    rows = scoring.score(OF, images(), [""], lambda *_: density(1), [gaze({})], ["ncc"])
    assert tables.conform("scores", rows, "test").num_rows == 0


def test_a_constant_map_has_an_auc():
    reference = gaze({"a": [("1", density(1))]}, {"a": {"none": density(2)}})
    rows = scoring.score(OF, images("a"), [""], lambda *_: np.full(SHAPE, 0.1), [reference], ["auc", "sauc"])
    assert rows["value"].tolist() == [0.5, 0.5] and set(rows["status"]) == {"ok"}


def test_a_center_bias_that_nobody_made_is_said():
    rows = scoring.score(
        OF, images("a"), [""], lambda *_: density(3), [gaze({"a": [("1", density(1))]})], ["ncc", "sncc"]
    )
    assert only(rows, metric="ncc")["status"] == "ok"
    row = only(rows, metric="sncc")
    assert row["status"] == "missing" and "set its leave_out" in row["reason"] and row["center_bias"] == ""


def test_unknown_metrics_and_unequal_frames_stop():
    reference = gaze({"a": [("1", density(1))]})
    with pytest.raises(ConfigError, match="nss.*auc"):
        scoring.score(OF, images("a"), [""], lambda *_: density(3), [reference], ["nss"])
    with pytest.raises(ValueError, match="the grid .*; expected one"):
        scoring.score(OF, images("a"), [""], lambda *_: density(3).T, [reference], ["ncc"])


def test_float32_maps_score_as_float64_ones():
    maps, biases = [density(1), density(2)], {"none": density(3)}
    wide = scoring.score_image(density(4), maps, biases, NAMES)
    narrow = scoring.score_image(
        density(4).astype(np.float32),
        [m.astype(np.float32) for m in maps],
        {"none": density(3).astype(np.float32)},
        NAMES,
    )
    for key in wide:
        assert narrow[key] == pytest.approx(wide[key], abs=1e-6)


def test_references_from_stored_tables():
    stores = {
        "gaze": [density(1), density(2)],
        "bias": [density(3), density(4)],
        "region": [density(5) > 0.003],
    }
    flat = {name: np.concatenate([v.ravel() for v in values]) for name, values in stores.items()}
    size = SHAPE[0] * SHAPE[1]
    at = {"status": "ok", "reason": None, "shape": list(SHAPE)}
    rows = pd.DataFrame(
        [
            {"image": "a", "reader": "2", "offset": size, **at},
            {"image": "a", "reader": "1", "offset": 0, **at},
            {"image": "a", "reader": "3", "offset": None, **at, "status": "empty", "reason": "no fixation"},
        ]
    )
    bias_rows = pd.DataFrame(
        [
            {"image": "a", "leave_out": out, "offset": i * size, **at}
            for i, out in enumerate(["none", "image"])
        ]
    )
    reference = references.with_center_bias(
        references.gaze_reference("gaze", rows, flat["gaze"]), bias_rows, flat["bias"], ["image"]
    )
    (one, first), (two, second), (three, lost) = reference.readings("a")
    assert (one, two, three) == ("1", "2", "3") and lost == Absent("missing", "empty: no fixation")
    assert np.array_equal(first, density(1)) and np.array_equal(second, density(2))
    assert list(reference.center_bias("a")) == ["image"] == list(reference.leave_outs)
    assert np.array_equal(reference.center_bias("a")["image"], density(4))
    assert reference.readings("z") == [] and reference.center_bias("z") == {}
    region = references.region_reference(
        "lungs", bias_rows.iloc[:1].drop(columns="leave_out"), flat["region"]
    )
    assert np.array_equal(region.mask("a"), density(5) > 0.003)
    assert region.mask("z").status == "missing"


def test_leaving_the_own_image_out_lowers_what_the_center_bias_takes_away():
    """The authors' center bias holds the image under test, so sNCC of its own gaze is higher without it."""
    maps = [density(at) for at in range(3)]
    average = center_bias.average(maps, [[2, 2, 12, 16]] * 3)
    pooled = average.place([2, 2, 12, 16], SHAPE)
    left_out = average.without([maps[0]], [[2, 2, 12, 16]]).place([2, 2, 12, 16], SHAPE)
    assert sncc(maps[0], maps[0], left_out) > sncc(maps[0], maps[0], pooled) + 0.1


def test_metrics_of_the_map_alone_have_one_row_a_map(tmp_path):
    saliency = {"a": density(7), "b": np.zeros(SHAPE), "c": Absent("failed", "out of memory")}
    rows = scoring.score(
        OF,
        images("a", "b", "c"),
        ["signed", "relu"],
        lambda image, reading: saliency[image],
        [RegionReference("lungs", lambda image: density(1) > 0.003)],
        ["gini", "mass_inside"],
    )
    tables.write("scores", rows, tmp_path / "scores.parquet")
    assert len(rows) == 2 * 3 * 2
    alone = rows[rows["metric"] == "gini"].set_index(["image", "reading"])
    assert set(alone["reference"]) == {""} == set(alone["reader"]) == set(alone["center_bias"])
    assert alone.loc[("a", "relu"), "value"] == gini(density(7)) > 0.1
    assert alone.loc[("b", "relu"), ["status", "reason"]].tolist() == ["undefined", "the map is constant"]
    assert alone.loc[("c", "relu"), ["status", "reason"]].tolist() == ["failed", "out of memory"]
    assert only(rows, image="a", metric="mass_inside", reading="relu")["reference"] == "lungs"
    without = scoring.score(OF, images("a"), [""], lambda *_: density(7), [], ["gini", "mass_inside"])
    assert without["metric"].tolist() == ["gini"]


def test_a_tuned_threshold_comes_from_the_other_subjects(tmp_path):
    """Two films of one subject, one each of two others, one constant map; two references apart."""
    films = images("a", "b", "c", "d", "e").assign(subject=["s", "s", "t", "u", "v"])
    saliency = {name: density(at) for at, name in enumerate("abcd")} | {"e": np.ones(SHAPE)}
    limits = {"large": 0.002, "small": 0.006}

    def regions(name):
        return RegionReference(name, lambda image: density(20 + ord(image)) > limits[name])

    rows = scoring.score(
        OF,
        films,
        [""],
        lambda image, _: saliency[image],
        [regions("large"), regions("small")],
        ["iou_tuned", "iou_max"],
    )
    tables.write("scores", rows, tmp_path / "scores.parquet")
    for name in limits:
        for image, others in (("a", "cd"), ("b", "cd"), ("c", "abd"), ("d", "abc")):
            masks = {film: regions(name).mask(film) for film in "abcd"}
            best = tuned_threshold([saliency[film] for film in others], [masks[film] for film in others])
            row = only(rows, image=image, reference=name, metric="iou_tuned")
            expected = ious(saliency[image], masks[image])[THRESHOLDS.index(best)]
            assert (row["value"], row["status"]) == (pytest.approx(expected, abs=1e-12), "ok")
            assert row["value"] <= only(rows, image=image, reference=name, metric="iou_max")["value"]
        row = only(rows, image="e", reference=name, metric="iou_tuned")
        assert (row["status"], row["reason"]) == ("undefined", "the map is constant")
    alone = scoring.score(
        OF, films[:2], [""], lambda image, _: saliency[image], [regions("large")], ["iou_tuned"]
    )
    assert set(alone["status"]) == {"undefined"} and alone["value"].isna().all()
    assert set(alone["reason"]) == {"there is no other subject to tune the threshold on"}
