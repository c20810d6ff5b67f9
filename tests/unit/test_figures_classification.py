"""Figures of classification: what they draw is what the tables hold, for two labels, ten and fourteen."""

import numpy as np
import pandas as pd
import pytest

from sightline import published, tables
from sightline.figures import (
    calibration,
    classification,
    classification_metrics,
    classified,
    confusions,
    discrimination,
    style,
)
from tests.unit import made_up_classification as made_up
from tests.unit.test_figures import DRAWN, panel, texts
from tests.unit.test_figures import test_no_text_leaves_the_figure_and_no_two_texts_overlap as texts_are_apart

KINDS = ("mammograms", "digits", "films")
KNOWN = published.classification("mammography")


def drawn(kind: str) -> dict:
    of = made_up.tables(kind)
    return {
        "metrics": lambda: classification_metrics.draw(of["classification"], KNOWN),
        "areas": lambda: classification.draw(of["classification"], KNOWN),
        "discrimination": lambda: discrimination.draw(of["discrimination"], of["classification"]),
        "confusions": lambda: confusions.draw(of["confusion_shares"]),
        "calibration": lambda: calibration.draw(of["calibration"], of["classification"]),
    }


NAMES = ("metrics", "areas", "discrimination", "confusions", "calibration")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_texts_stay_apart_and_inside(kind, name, monkeypatch):
    monkeypatch.setitem(DRAWN, "this", drawn(kind)[name])
    texts_are_apart("this")


@pytest.mark.parametrize("name", NAMES)
def test_equal_figures_are_equal_bytes(name, tmp_path):
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        style.save(drawn("mammograms")[name](), path)
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_published_accuracies_of_text_and_table_both_stand_hollow_beside_ours():
    of = made_up.tables("mammograms")["classification"]
    axes = panel(classification_metrics.draw(of, KNOWN), "Accuracy")
    hollow = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "D")
    assert hollow == [0.5991, 0.60, 0.65, 0.6925]
    ours = of[(of["dataset"] == "cbis_ddsm") & (of["label"] == "all") & (of["metric"] == "accuracy")]
    filled = sorted(line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o")
    np.testing.assert_allclose(filled, sorted(ours["value"]))
    said = classification_metrics.caption(of, KNOWN)
    assert "Sections 4.1, 4.2, Tables 2, 3, 4, 5)" in said and "Hollow" in said
    assert "Hollow" not in classification_metrics.caption(of, KNOWN.assign(model="other"))


def test_of_two_labels_that_exclude_each_other_one_area_is_drawn(tmp_path):
    found = texts(classification.draw(made_up.tables("mammograms")["classification"]), tmp_path / "a.svg")
    assert found.count("malignant") == 2 and "benign" not in found and "Mean of the labels" not in found
    digits = texts(classification.draw(made_up.tables("digits")["classification"]), tmp_path / "b.svg")
    assert {"Mean of the labels", "0", "9"} <= set(digits)


def test_published_values_of_any_dataset_and_of_one():
    of = made_up.tables("films")["classification"]
    found = classified.matching(of, published.classification("cxr_gaze"))
    assert set(found["dataset"]) == {"cxr"} and len(found) == 30
    assert classified.matching(of, KNOWN).empty and classified.matching(of, None).empty


def test_curves_are_the_tables_and_areas_stand_beside_them(tmp_path):
    of = made_up.tables("mammograms")
    figure = discrimination.draw(of["discrimination"], of["classification"])
    rows = of["discrimination"].query(
        "dataset == 'cbis_ddsm' and model == 'vit' and label == 'malignant' and curve == 'roc'"
    )
    lines = [line for line in figure.axes[0].lines if line.get_color() == style.SECOND]
    np.testing.assert_allclose(lines[0].get_ydata(), rows.sort_values("x")["y"])
    prevalence = figure.axes[1].lines[-1].get_ydata()[0]
    value = of["classification"].query(
        "dataset == 'cbis_ddsm' and model == 'vit' and label == 'malignant' and metric == 'auc'"
    )
    assert prevalence == pytest.approx(value["positives"].item() / value["images"].item())
    found = texts(figure, tmp_path / "figure.svg")
    assert any(text.startswith(f"AUC {value['value'].item():.2f}") for text in found)
    assert "mirror" in discrimination.caption(of["discrimination"], of["classification"])


def test_many_labels_have_a_small_panel_each_and_undefined_ones_say_so(tmp_path):
    of = made_up.tables("films")
    figure = discrimination.draw(of["discrimination"], of["classification"])
    assert len(figure.axes) == 2 + 14
    assert "undefined" in texts(figure, tmp_path / "figure.svg")
    assert "Small panels" in discrimination.caption(of["discrimination"], of["classification"])


def test_a_confusion_matrix_holds_shares_and_counts(tmp_path):
    shares = made_up.tables("mammograms")["confusion_shares"]
    row = shares.query("dataset == 'inbreast' and model == 'vit' and truth == 'malignant'").iloc[0]
    found = texts(confusions.draw(shares), tmp_path / "figure.svg")
    assert f"{row['share']:.0%}" in found
    assert f"[{100 * row['low']:.0f}, {100 * row['high']:.0f}]" in found
    films = texts(confusions.draw(made_up.tables("films")["confusion_shares"]), tmp_path / "films.svg")
    assert films.count("found") == films.count("false alarm") == 2 and films.count("none") == 4


def test_calibration_draws_the_bins_that_have_images():
    of = made_up.tables("digits")
    upper, lower = calibration.draw(of["calibration"], of["classification"]).axes
    rows = of["calibration"].query("model == 'vit' and label == 'all'").dropna(subset=["observed"])
    (line,) = [line for line in upper.lines if line.get_color() == style.SECOND]
    np.testing.assert_allclose(line.get_xydata(), rows[["predicted", "observed"]])
    assert len(lower.patches) == 2


@pytest.mark.parametrize(
    "draw",
    [
        lambda: classification_metrics.draw(tables.empty("classification")),
        lambda: discrimination.draw(tables.empty("discrimination"), tables.empty("classification")),
        lambda: confusions.draw(tables.empty("confusion_shares")),
        lambda: calibration.draw(tables.empty("calibration"), tables.empty("classification")),
    ],
)
def test_nothing_to_draw_is_said(draw, tmp_path):
    assert "No model was tested" in texts(draw(), tmp_path / "figure.svg")


def test_captions_name_how_intervals_were_made_once():
    of = made_up.tables("digits")
    for said in (
        classification_metrics.caption(of["classification"]),
        discrimination.caption(of["discrimination"], of["classification"]),
        confusions.caption(of["confusion_shares"]),
        calibration.caption(of["calibration"], of["classification"]),
    ):
        assert said.count("crossed bootstrap") <= 1 and "not all have it" not in said and "nan" not in said


def test_labels_that_are_numbers_stand_in_their_order():
    frame = pd.DataFrame({"label": ["10", "9", "mean", "b", "a", "all"]})
    assert classified.labels_in_order(frame) == ["9", "10", "a", "b"]


def test_a_model_may_be_called_after_the_published_one_and_its_dataset():
    ours = pd.DataFrame([("inbreast", name, "all", "accuracy") for name in ("vit", "vit_inbreast", "vit_x")])
    ours.columns = ["dataset", "model", "label", "metric"]
    row = {"dataset": "inbreast", "model": "vit", "label": "all", "metric": "accuracy", "value": "0.7"}
    known = pd.DataFrame([row | {"low": "", "high": "", "place": "Table 5", "source": "a thesis"}])
    assert sorted(classified.matching(ours, known)["model"]) == ["vit", "vit_inbreast"]
