"""Interobserver against the authors' rows, hulls, center bias, noise, and what cannot be scored."""

import numpy as np
import pandas as pd
import pytest

from sightline import frames, tables
from sightline.errors import ConfigError
from sightline.metrics.localisation import mass_inside
from sightline.metrics.similarity import auc, ncc, sauc
from sightline.scores import baselines
from sightline.scores.baselines import Material, hull, score_baselines, uniform_noise
from sightline.scores.scoring import Absent, GazeReference, RegionReference

SHAPE = (24, 20)
NAMES = ["ncc", "sncc", "auc", "sauc", "mass_inside"]


def density(seed, shape=SHAPE):
    values = np.random.default_rng(seed).gamma(0.7, size=shape)
    return values / values.sum()


def made(leave_outs=("image", "none")):
    images = pd.DataFrame(
        {"dataset": "d", "image": ["a", "b", "c"], "subject": ["s", "s", "t"], "height": 48, "width": 40}
    )
    readings = {
        "a": [
            ("1", density(1)),
            ("2", density(2)),
            ("3", density(3)),
            ("4", Absent("missing", "empty: no fixation")),
        ],
        "b": [("1", density(4))],
        "c": [],
    }
    biases = {
        "a": {"image": density(5), "none": density(6)},
        "b": {"image": density(7), "none": density(6)},
        "c": {},
    }
    gaze = GazeReference("gaze", readings.__getitem__, biases.__getitem__, leave_outs)
    lungs = np.zeros(SHAPE, bool)
    lungs[4:20, 2:7] = lungs[4:20, 12:17] = True
    masks = {"a": lungs, "b": Absent("missing", "the image has no region 'lungs'"), "c": lungs}
    material = Material(images, 7, 0.5, gaze, masks.__getitem__)
    return material, [gaze, RegionReference("lungs", masks.__getitem__)], lungs


def test_every_baseline_has_its_rows(tmp_path):
    material, references, _ = made()
    found = score_baselines(material, list(baselines.BASELINES), references, NAMES)
    tables.write("scores", found, tmp_path / "scores.parquet")
    assert set(found["method"]) == {
        "interobserver",
        "hull",
        "center_bias",
        "center_bias_none",
        "uniform_noise",
    }
    assert set(zip(found["model"], found["seed"], found["condition"], found["reading"])) == {
        ("", 0, "clean", "")
    }
    assert found["value"].notna().eq(found["status"] == "ok").all()
    for _, rows in found.groupby("method"):
        assert set(rows["image"]) == {"a", "b", "c"} and {"gaze", "lungs"} == set(rows["reference"])


def test_interobserver_is_a_reader_against_the_mean_of_the_others():
    material, references, lungs = made()
    found = score_baselines(material, ["interobserver"], references, NAMES)
    at = found[found["image"] == "a"].set_index(["reference", "reader", "metric", "center_bias"])
    others = (density(1) + density(3)) / 2
    assert at.loc[("gaze", "2", "ncc", ""), "value"] == pytest.approx(ncc(others, density(2)), abs=1e-12)
    expected = sauc(others, density(2), density(5))
    assert at.loc[("gaze", "2", "sauc", "image"), "value"] == pytest.approx(expected, abs=1e-12)
    assert at.loc[("gaze", "4", "auc", ""), "reason"] == "empty: no fixation"
    assert at.loc[("lungs", "3", "mass_inside", ""), "value"] == pytest.approx(
        mass_inside(density(3), lungs), abs=1e-7
    )
    for image, n in (("b", 1), ("c", 0)):
        rows = found[(found["image"] == image) & (found["reference"] == "gaze")]
        assert set(rows["status"]) == {"not_applicable"}
        assert rows["reason"].str.startswith(f"{n} reader").all()


def test_interobserver_of_the_authors(golden):
    folder = golden / "reflacx"
    outputs = np.load(folder / "outputs_et_and_cb.npz")
    theirs = pd.read_csv(folder / "results" / "results_uniform_df.csv")
    theirs["image"] = theirs["phase"].astype(str) + "_1_" + theirs["trial"].astype(str)
    names = sorted(set(theirs["image"]))
    maps = {
        name: [
            (k.split("_")[6], outputs[k]) for k in outputs.files if k.startswith(f"et_heatmaps_phase_{name}_")
        ]
        for name in names
    }
    gaze = GazeReference(
        "gaze", maps.__getitem__, lambda name: {"none": outputs[f"cb_heatmaps_subtraction_{name}"]}, ("none",)
    )
    images = pd.DataFrame({"dataset": "d", "image": names, "subject": names})
    found = score_baselines(Material(images, 0, 1.0, gaze), ["interobserver"], [gaze], ["ncc", "sncc"])
    ours = found.set_index(["image", "reader", "metric"])["value"]
    rows = theirs[theirs["metric"].isin(["ncc", "sncc"])]
    assert len(rows) >= 40
    for row in rows.itertuples():
        value = ours.loc[(row.image, str(row.index_image), row.metric)]
        assert value == pytest.approx(row.score_interobserver, abs=1e-6)


def test_hull_is_convex_and_holds_the_mask():
    _, _, lungs = made()
    found = hull(lungs)
    assert found.dtype == np.float32 and set(np.unique(found)) == {0.0, 1.0}
    expected = np.zeros(SHAPE)
    expected[4:20, 2:17] = 1  # of two rectangles of equal height: the rectangle about both
    assert np.array_equal(found, expected)


def test_hull_scores_and_what_lacks_lungs():
    material, references, lungs = made()
    found = score_baselines(material, ["hull"], references, ["auc"])
    a = found[(found["image"] == "a") & (found["reader"] == "1")].iloc[0]
    assert a["value"] == pytest.approx(auc((density(2) + density(3)) / 2, hull(lungs)), abs=1e-12)
    b = found[found["image"] == "b"]
    assert set(b["status"]) == {"missing"} and b["reason"].str.contains("no region 'lungs'").all()
    without = Material(material.images, 7, 0.5, material.gaze)
    rows = score_baselines(without, ["hull"], references, ["auc"])
    assert set(rows[rows["image"] == "a"]["status"]) == {"not_applicable"}


def test_center_bias_as_a_map():
    material, references, _ = made()
    found = score_baselines(material, ["center_bias"], references, ["ncc", "sauc"])
    a = found[(found["image"] == "a") & (found["reader"] == "1")]
    others = (density(2) + density(3)) / 2
    for method, seed in (("center_bias", 5), ("center_bias_none", 6)):
        rows = a[a["method"] == method].set_index(["metric", "center_bias"])
        assert rows.loc[("ncc", ""), "value"] == pytest.approx(ncc(others, density(seed)), abs=1e-12)
        expected = sauc(others, density(seed), density(6))
        assert rows.loc[("sauc", "none"), "value"] == pytest.approx(expected, abs=1e-12)
    material, references, _ = made(leave_outs=())
    rows = score_baselines(material, ["center_bias"], references, ["ncc"])
    assert len(rows) and set(rows["status"]) == {"not_applicable"}


def test_noise_is_seeded_by_image_and_scores_chance():
    shape = frames.scoring_frame((480, 400), 0.5).shape
    one = uniform_noise(shape, 0, "d", "a")
    assert np.array_equal(one, uniform_noise(shape, 0, "d", "a")) and one.min() >= 0 and one.max() < 1
    for other in ((1, "d", "a"), (0, "e", "a"), (0, "d", "b")):
        assert abs(np.corrcoef(one.ravel(), uniform_noise(shape, *other).ravel())[0, 1]) < 0.03
    flat = np.ones(shape)
    flat[:, :100] = 3.0
    assert auc(flat, one) == pytest.approx(0.5, abs=0.02)
    material, references, _ = made()
    rows = score_baselines(material, ["uniform_noise"], references, ["auc"])
    assert set(rows[rows["image"] == "a"]["status"]) == {"ok", "missing"}
    assert rows[rows["status"] == "missing"]["reason"].notna().all()


def test_unknown_baselines_stop():
    material, references, _ = made()
    with pytest.raises(ConfigError, match="'oracle'.*interobserver, hull, center_bias, uniform_noise"):
        score_baselines(material, ["hull", "oracle"], references, ["auc"])
