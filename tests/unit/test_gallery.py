"""The methods side by side: from which parts of a study, where the reference lies, what became of maps."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.attribution import summary
from sightline.report import cases, gallery
from sightline.scores import scoring
from sightline.study import shown as study_shown
from tests.unit.test_cases import Maps, beside
from tests.unit.test_study import study


def test_half_of_a_density_is_its_smallest_area():
    density = np.array([[0.1, 0.4, 0.0], [0.3, 0.1, 0.1]])
    assert (gallery.half(density) == [[False, True, False], [True, False, False]]).all()
    assert gallery.half(np.ones((4, 5))).sum() == pytest.approx(10, abs=1)


def test_the_reference_is_the_readers_mean_gaze_or_the_region():
    left, right = np.zeros((4, 4)), np.zeros((4, 4))
    left[0, 0], right[0, 0], right[3, 3] = 2.0, 1.0, 1.0  # shares: 1; a half each
    read = {"i1": [("a", left), ("b", right), ("c", scoring.Absent("empty", ""))]}
    gaze = scoring.GazeReference("gaze", lambda image: read.get(image, []))
    assert (gallery.where(gaze, "i1") == (left > 0)).all()
    assert gallery.where(gaze, "i2") is None
    mask = np.eye(4, dtype=np.uint8)
    region = scoring.RegionReference(
        "lungs", lambda image: mask if image == "i1" else scoring.Absent("missing", "")
    )
    assert (gallery.where(region, "i1") == (mask > 0)).all() and gallery.where(region, "i2") is None
    assert gallery.region_said(region) == "lungs" and gallery.where(None, "i1") is None


def test_cases_have_a_panel_per_method_and_the_reference():
    shown = [cases.Shown("rise", Maps(), {"classes": "predicted"})]
    shown += [cases.Shown("gradcam", Maps(), {"classes": "weighted", "clip": "relu"})]
    by = cases.Ranking(pd.Series({"i1": 0.4, "i2": 0.6, "i3": 0.5}), "sAUC (gaze)", "why")
    region = scoring.RegionReference("lungs", lambda image: np.ones((16, 12)))
    found = gallery.build(by, 3, beside(), shown, region, [])
    assert [case.title.split("\n")[0] for case in found] == ["Best", "2 of 3", "Worst"]
    assert {"rise", "gradcam"} <= set(found[0].panels) and found[0].signed == {"rise"}
    assert found[1].absent["rise"] == "not applicable"  # image i3
    assert all(case.region.all() for case in found)


def test_rows_stand_in_the_order_of_every_figure_with_their_reading():
    shown = [{"method": name, "reading": "signed_map"} for name in ("rise", "am1", "gradcam")]
    found = gallery.rows(shown, {"am1": "not applicable: none"})
    assert [row.method for row in found] == ["gradcam", "rise", "am1"]
    assert found[0].reading == "signed map" and found[2].absent == "not applicable: none"


def test_galleries_are_of_datasets_and_models_with_unaltered_maps():
    conditions = {"runs.own": None, "runs.turned.methods": ["gradcam"], "report": {"publish_images": "none"}}
    one = study(**conditions)
    assert study_shown.galleries(one) == [("cxr", "small")]
    rows = study_shown.gallery(one, "cxr", "small")
    assert {row["condition"] for row in rows} == {"clean"}
    assert [cell.method for cell in study_shown.gallery_cells(one, "cxr", "small")] == [
        row["method"] for row in rows
    ]
    assert study_shown.altered(one) == ["cxr"]
    assert study_shown.pixels_shown(one, "cxr") and not study_shown.pixels_shown(one, "own")


def maps(path: Path, seed: int, rows: list[dict]) -> Path:
    cell = {"dataset": "cxr", "model": "net", "seed": seed, "condition": "clean", "method": "rise"}
    usual = {"target": "", "source": "input", "status": "ok", "reason": None, "identity": None, "gap": None}
    empty = dict.fromkeys(("offset", "shape", "scale", "shift", "matrix"))
    zeros = {"signed": True, "all_zero": False, "non_finite": 0}
    table = pd.DataFrame([{**cell, **usual, **empty, **zeros, **row} for row in rows])
    tables.write("maps", table, path)
    return path


def test_what_became_of_maps_is_counted_over_seeds_with_quartiles_of_the_gap(tmp_path):
    gaps = (0.1, 0.2, 0.3, 0.4, 0.5)
    ok = [{"image": f"i{at}", "identity": "completeness", "gap": gap} for at, gap in enumerate(gaps)]
    lost = [
        {"image": "film 7", "status": "failed", "reason": "film 7: no room for ['film 7', 'i8']"},
        {"image": "i8", "status": "failed", "reason": "i8: no room for ['film 7', 'i8']"},
        {"image": "i9", "status": "not_applicable", "reason": "no such layer"},
    ]
    paths = [
        maps(tmp_path / "a.parquet", 0, [*ok, *lost]),
        maps(tmp_path / "b.parquet", 1, [{"image": "i0", "all_zero": True}]),
    ]
    table = summary.summarise(paths)
    tables.write("map_summary", table, tmp_path / "summary.parquet")
    row = table.iloc[0]
    assert (row["seeds"], row["images"], row["maps"], row["ok"]) == (2, 8, 9, 6)
    assert (row["failed"], row["not_applicable"], row["all_zero"], row["gaps"]) == (2, 1, 1, 5)
    assert (
        row["reason"] == "(image): no room for ['(image)', '(image)']" and row["identity"] == "completeness"
    )
    assert (row["gap_low"], row["gap"], row["gap_high"]) == pytest.approx((0.2, 0.3, 0.4))


def test_no_maps_give_an_empty_table():
    assert list(summary.summarise([]).columns) == list(tables.SCHEMAS["map_summary"].columns)
