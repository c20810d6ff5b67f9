"""Figures: what they say is what the tables say, each draws, and equal figures are equal bytes."""

import dataclasses
import re
import subprocess
import sys
import xml.etree.ElementTree as xml

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from sightline import tables
from sightline.figures import (
    agreement,
    center_bias,
    classification,
    cohort,
    curves,
    distributions,
    intervals,
    methods,
    overlays,
    rows,
    strata,
    style,
    trust,
    words,
)
from tests.unit import made_up_study as made_up
from tests.unit import made_up_trust


def cases() -> list[overlays.Case]:
    maps = {"reader": made_up.blob((0.4, 0.3), 0.1), "gradcam": made_up.blob((0.5, 0.4), 0.2, (15, 12))}
    signed = {**maps, "gradient": made_up.blob((0.4, 0.3), 0.1) - made_up.blob((0.6, 0.7), 0.1)}
    outline = overlays.Outline(40, 70, 80, 120, "ellipse")
    return [
        overlays.Case(
            "Best", made_up.film(), signed, frozenset({"gradient"}), [outline], {"am1": "not applicable"}
        ),
        overlays.Case("Worst", made_up.film(200, 300), maps),
    ]


DRAWN = {
    "intervals": lambda: intervals.draw(made_up.summary(), made_up.published()),
    "regions": lambda: intervals.draw(made_up.regions(), areas=made_up.AREAS),
    "strata": lambda: strata.draw(made_up.summary(), stratum="abnormal"),
    "center_bias": lambda: center_bias.draw(made_up.summary()),
    "cohort": lambda: cohort.draw(made_up.cohort()),
    "curves": lambda: curves.draw(made_up.curves(), {("sononet", 0): 12}),
    "classification": lambda: classification.draw(made_up.classification()),
    "distributions": lambda: distributions.draw(made_up.scores(30)),
    "overlays": lambda: overlays.draw(cases()),
    "methods": lambda: methods.draw(*side_by_side()),
    "trust": lambda: methods.draw(*side_by_side()[:2]),
    "agreement": lambda: agreement.draw(made_up_trust.agreements(), "cxr", made_up_trust.CONDITIONS),
}


def texts(figure, path) -> list[str]:
    style.save(figure, path)
    return [item.text for item in xml.parse(path).iter("{http://www.w3.org/2000/svg}text")]


def panel(figure, title: str, index: int = 0):
    return [axes for axes in figure.axes if axes.get_title() == title][index]


def marks(axes) -> list[tuple[float, float]]:
    """(x, y) of the drawn estimates, top to bottom."""
    found = [line for line in axes.lines if line.get_marker() not in ("None", None, "")]
    return sorted(
        [(float(x), float(y)) for line in found for x, y in zip(*line.get_data())], key=lambda at: at[1]
    )


@pytest.mark.parametrize("name", DRAWN)
def test_equal_figures_are_equal_bytes_without_a_date(name, tmp_path):
    for path in (tmp_path / "a.svg", tmp_path / "b.svg"):
        style.save(DRAWN[name](), path)
    first = (tmp_path / "a.svg").read_bytes()
    assert first == (tmp_path / "b.svg").read_bytes()
    assert b"<dc:date>" not in first and b"<text" in first  # text as text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.svg", "b.svg"]


@pytest.mark.parametrize("name", DRAWN)
def test_no_text_leaves_the_figure_and_no_two_texts_overlap(name):
    figure = DRAWN[name]()
    with style.settings():
        renderer = FigureCanvasAgg(figure).get_renderer()
        figure.draw(renderer)
        hidden = _not_drawn(figure)
        found = [item for item in figure.findobj(Text) if item.get_text().strip()]
        found = [item for item in found if item.get_visible() and id(item) not in hidden]
        boxes = [(item.get_text(), item.get_window_extent(renderer)) for item in found]
    width, height = figure.bbox.width, figure.bbox.height
    for text, box in boxes:
        assert box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1, text
    for index, (text, box) in enumerate(boxes):
        for other, beside in boxes[index + 1 :]:
            inside_x = min(box.x1, beside.x1) - max(box.x0, beside.x0)
            inside_y = min(box.y1, beside.y1) - max(box.y0, beside.y0)
            assert not (inside_x > 2 and inside_y > 2), (text, other)


def _not_drawn(figure) -> set[int]:
    """Tick labels outside their axis' limits, and all texts of axes that are invisible or switched off."""
    hidden = set()
    for axes in figure.axes:
        if not axes.get_visible():
            hidden |= {id(item) for item in axes.findobj(Text)}
        for axis, limits in ((axes.xaxis, sorted(axes.get_xlim())), (axes.yaxis, sorted(axes.get_ylim()))):
            for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()):
                if not axes.axison or not limits[0] <= tick.get_loc() <= limits[1]:
                    hidden |= {id(tick.label1), id(tick.label2)}
    return hidden


def test_intervals_draws_the_means_with_references_for_chance_and_readers():
    figure = intervals.draw(made_up.summary(), center_bias="none")
    axes = panel(figure, "sAUC")
    drawn = sorted(round(x, 6) for x, _ in marks(axes))
    table = made_up.summary()
    chosen = table[(table["metric"] == "sauc") & (table["center_bias"] == "none") & (table["stratum"] == "")]
    assert drawn == sorted(round(value, 6) for value in chosen["mean"])
    vertical = [
        line.get_xdata()[0]
        for line in axes.lines
        if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2
    ]
    assert 0.5 in vertical and pytest.approx(0.558) in vertical


def test_baselines_stand_above_models_and_readings_in_the_papers_order():
    blocks = rows.blocks(*_clean(made_up.summary()))
    labels = [(row.heading, row.label) for row in blocks[0].rows]
    assert labels[:4] == [
        ("Baselines", name) for name in ("Interobserver", "Lung hull", "Center bias", "Uniform noise")
    ]
    assert labels[4:9] == [
        ("ag sononet", name)
        for name in ("Grad-CAM, thresholded", "Grad-CAM, weighted", "Grad-CAM, uniform", "AM1", "AM2")
    ]
    assert [panel.key for panel in blocks[0].panels] == ["ncc", "sncc", "auc", "sauc"]


def _clean(summary: pd.DataFrame) -> tuple[pd.DataFrame, pd.Series]:
    frame = rows.overall(rows.with_center_bias(summary))
    frame = frame[frame["condition"] == "clean"]
    return frame, frame["condition"]


def test_published_values_stand_at_their_own_row_and_only_there():
    only = made_up.published().query("method == 'gradcam' and model == 'sononet' and reading == 'uniform'")
    summary = made_up.summary()
    frame = rows.overall(rows.with_center_bias(summary))
    found = rows.published_as(frame[frame["condition"] == "clean"], only)
    assert set(zip(found["model"], found["method"], found["reading"])) == {("sononet", "gradcam", "uniform")}
    assert sorted(found["mean"]) == pytest.approx(sorted(only["mean"]))
    without, with_it = intervals.draw(summary), intervals.draw(summary, only)
    assert len(marks(panel(with_it, "AUC"))) == len(marks(panel(without, "AUC"))) + 1


def test_a_published_reading_is_not_taken_for_another():
    other = (
        made_up.published().query("method == 'gradcam' and reading == 'uniform'").assign(reading="softmax")
    )
    frame = rows.overall(rows.with_center_bias(made_up.summary()))
    assert rows.published_as(frame[frame["condition"] == "clean"], other).empty
    am1 = (
        made_up.published().query("method == 'am1'").assign(reading="none")
    )  # one reading: its name does not matter
    assert len(rows.published_as(frame[frame["condition"] == "clean"], am1)) == 4


def test_the_strictest_center_bias_is_the_default():
    frame = rows.with_center_bias(made_up.summary())
    assert set(frame["center_bias"]) == {"", "image"}
    assert set(rows.with_center_bias(made_up.summary(), "none")["center_bias"]) == {"", "none"}


def test_regions_have_a_block_each_and_the_area_as_reference():
    figure = intervals.draw(made_up.regions(), areas=made_up.AREAS)
    areas = []
    for index in range(3):
        lines = panel(figure, "Mass inside", index).lines
        areas += [line.get_xdata()[0] for line in lines if line.get_linestyle() == ":"]
    assert areas == [made_up.AREAS[key] for key in sorted(made_up.AREAS)]


def test_undefined_means_are_said_and_not_drawn(tmp_path):
    summary = made_up.summary()
    row = (summary["method"] == "am1") & (summary["metric"] == "ncc")
    summary.loc[row, ["mean", "low", "high"]] = np.nan
    figure = intervals.draw(summary)
    assert len(marks(panel(figure, "NCC"))) == len(marks(panel(figure, "AUC"))) - 2
    assert texts(figure, tmp_path / "figure.svg").count("undefined") == 1


def wide() -> pd.DataFrame:
    """A summary whose intervals of few seeds go beyond what the metrics can be."""
    table = made_up.regions()
    return table.assign(low=table["mean"] - 3.0, high=table["mean"] + 3.0)


def test_axes_end_where_the_metric_ends_and_intervals_there_have_arrow_heads():
    figure = intervals.draw(wide(), areas=made_up.AREAS)
    for title, most in (("Mass inside", 1.2), ("AUC", 1.2), ("Mass over area", 10.0)):
        axes = panel(figure, title)
        assert axes.get_xlim()[0] > -0.7 and axes.get_xlim()[1] < most, title
        heads = [tuple(found.get_offsets()[0])[0] for found in axes.collections if len(found.get_offsets())]
        assert heads.count(0.0) == 2  # trained and random weights
        assert heads.count(1.0) == (0 if title == "Mass over area" else 2)
    assert "Arrow heads" in intervals.caption(wide()) and "Arrow heads" not in intervals.caption(
        made_up.regions()
    )


def test_a_row_without_mean_says_the_reason_of_most_of_its_scores(tmp_path):
    summary = made_up.summary()
    row = (summary["method"] == "am1") & (summary["metric"] == "ncc")
    summary.loc[row, ["mean", "low", "high"]] = np.nan
    summary.loc[row, "excluded_why"] = "not_applicable: 80; undefined: 11"
    assert texts(intervals.draw(summary), tmp_path / "figure.svg").count("not applicable") == 1


def test_a_baseline_that_a_dataset_cannot_have_is_left_out_and_a_method_that_does_not_fit_is_not():
    summary = made_up.summary()
    for method in ("hull", "am1"):
        row = summary["method"] == method
        summary.loc[row, ["mean", "low", "high"]] = np.nan
        summary.loc[row, "images"] = 0
        summary.loc[row, "excluded_why"] = "not_applicable: 91"
    labels = [row.label for row in rows.blocks(*_clean(summary))[0].rows]
    assert "Lung hull" not in labels and "AM1" in labels


def test_a_level_whose_images_lack_the_reference_is_not_drawn_but_named(tmp_path):
    summary = made_up.summary()
    row = (summary["stratum"] == "abnormal") & (summary["level"] == "normal")
    summary.loc[row, "images"] = 0
    found = texts(strata.draw(summary, stratum="abnormal"), tmp_path / "figure.svg")
    assert "abnormal (n = 74)" in found and not [text for text in found if text.startswith("normal")]
    assert "no image has it: normal against gaze" in strata.caption(summary, stratum="abnormal")


def test_diamonds_are_told_of_where_they_are_drawn_with_their_tables():
    summary, known = made_up.summary(), made_up.published()
    assert "Diamonds: published values (A paper 2022, Tables 1 and 2;" in intervals.caption(summary, known)
    assert "Diamonds" not in strata.caption(summary, known, stratum="abnormal")
    levels = known.assign(stratum="abnormal", level="normal", source="A paper 2022, Table 3")
    assert "(A paper 2022, Table 3)" in strata.caption(summary, levels, stratum="abnormal")
    aucs = pd.DataFrame(
        {
            "dataset": [""],
            "model": ["sononet"],
            "label": ["mean"],
            "metric": ["auc"],
            "value": [0.8],
            "place": ["Table 4"],
            "source": ["A paper 2022, Table 4"],
        }
    )
    assert "(A paper 2022, Table 4)" in classification.caption(made_up.classification(), aucs)
    assert "Diamonds" not in classification.caption(made_up.classification(), aucs.assign(model="other"))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: intervals.draw(tables.empty("summary")),
        lambda: strata.draw(made_up.regions(), stratum="abnormal"),
        lambda: center_bias.draw(made_up.regions()),
        lambda: cohort.draw(tables.empty("cohort")),
        lambda: curves.draw(tables.empty("curves")),
        lambda: classification.draw(tables.empty("classification")),
        lambda: distributions.draw(tables.empty("scores")),
        lambda: overlays.draw([]),
        lambda: methods.draw([], []),
        lambda: agreement.draw(tables.empty("agreement_summary"), "cxr", made_up_trust.CONDITIONS),
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(draw, tmp_path):
    assert len(texts(draw(), tmp_path / "figure.svg")) == 1


def test_captions_name_the_reference_and_the_dataset():
    one = rows.at(made_up.regions(), ("covid_open", "finding"))
    assert "agree with finding on covid open, compared" in intervals.caption(one)
    assert "against gaze on cxr depend" in strata.caption(made_up.summary(), stratum="abnormal")
    assert "No image here" in strata.caption(one, stratum="abnormal")
    assert "against finding on covid open carried" in distributions.caption(made_up.region_scores(9))


def test_strata_names_levels_with_their_n_normal_first(tmp_path):
    found = texts(strata.draw(made_up.summary(), stratum="abnormal"), tmp_path / "figure.svg")
    assert found.index("normal (n = 17)") < found.index("abnormal (n = 74)")


def test_the_cohort_says_what_every_filter_dropped(tmp_path):
    found = texts(cohort.draw(made_up.cohort()), tmp_path / "figure.svg")
    for text in (
        "377,110 images",
        "133,776 dropped",
        "none dropped",
        "2,525 dropped",
        "91 images",
        "90 subjects",
    ):
        assert text in found
    assert "91 of 2,616 images" in cohort.caption(made_up.cohort())


@pytest.mark.parametrize("epochs", [1, 2])
def test_a_curve_of_one_epoch_is_marked(epochs):
    lines = curves.draw(made_up.curves(epochs)).axes[0].lines
    assert {line.get_marker() in ("o", "_") for line in lines} == {epochs == 1}


def test_curves_draw_a_line_per_seed_and_their_median():
    figure = curves.draw(made_up.curves())
    loss = [axes for axes in figure.axes if axes.get_visible()][:2]
    assert [len(axes.lines) for axes in loss] == [12, 12]  # 2 quantities x (5 seeds + median)
    middle = max(loss[0].lines, key=lambda line: line.get_linewidth())
    table = made_up.curves().query("model == 'ag_sononet' and quantity == 'train_loss'")
    assert np.allclose(middle.get_ydata(), table.groupby("epoch")["value"].median())


def test_the_kept_epoch_is_that_of_the_training_and_is_marked():
    table, trainings = made_up.curves(4), made_up.trainings()
    kept = curves.kept(trainings)
    assert kept["ag_sononet", 0] == 2 and len(kept) == 10
    dots = [line for line in curves.draw(table, kept).axes[0].lines if line.get_marker() == "o"]
    assert len(dots) == 10 and {float(line.get_xdata()[0]) for line in dots} == {2.0, 3.0}
    assert "Dots" in curves.caption(table, kept) and "Dots" not in curves.caption(table)
    given = trainings.assign(best_epoch=None, epochs=0, initial="given weights.pth", trained=0)
    assert curves.kept(given) == {}
    assert curves.caption(table, {}, given) == curves.caption(table)


def test_the_caption_of_curves_tells_what_training_began_with():
    table, trainings = made_up.curves(4), made_up.trainings()
    assert curves.caption(table, None, trainings) == curves.caption(table)
    other = trainings["model"] == "ag_sononet"
    trainings.loc[other, "initial"] = "random: the pretrained weights of resnet18 were unreachable"
    trainings.loc[other, "trained"] = 1025
    said = curves.caption(table, None, trainings)
    assert "ag sononet began with: random: the pretrained weights of resnet18 were unreachable." in said
    assert "ag sononet: 1,025 of 1,000,000 weights were trained." in said
    assert "sononet16" not in said


def test_accuracy_is_drawn_for_the_models_that_have_it():
    table = made_up.curves(4)
    last = sorted(set(table["model"]))[-1]
    more = table[(table["model"] == last) & (table["quantity"] == "val_auc")]
    both = pd.concat([table, more.assign(quantity="val_accuracy"), more.assign(quantity="train_accuracy")])
    visible = [axes for axes in curves.draw(both).axes if axes.get_visible()]
    assert len(visible) == 2 * 2 + 1
    (panel,) = (axes for axes in visible if axes.get_ylabel() == "accuracy")
    assert len(panel.lines) == 12


def test_classification_is_sorted_best_first_under_the_mean(tmp_path):
    found = texts(classification.draw(made_up.classification()), tmp_path / "figure.svg")
    means = made_up.classification().groupby("label")["value"].mean().drop(["mean", "Pleural Other"])
    order = [text for text in found if text in set(means.index)]
    assert order == list(means.sort_values(ascending=False).index)
    assert found.count("undefined") == 2
    assert "Pleural Other" in classification.caption(made_up.classification())


def test_distributions_hold_quartiles_and_no_single_image():
    figure = distributions.draw(made_up.scores(40))
    axes = figure.axes[0]
    table = made_up.scores(40).query("method == 'interobserver' and metric == 'ncc'")
    drawn = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "o"]
    assert len(drawn) == 12  # one median per row
    assert drawn[0] == pytest.approx(table["value"].median())


def test_distributions_of_two_datasets_are_refused():
    two = pd.concat([made_up.scores(5), made_up.scores(5).assign(dataset="other")])
    with pytest.raises(ValueError, match="one dataset"):
        distributions.draw(two)


def test_a_density_ends_where_the_metric_ends_and_what_lies_beyond_is_folded_back():
    values, at = np.array([0.01, 0.02, 0.03, 0.05]), np.linspace(0, 1, 2001)
    free, bounded = distributions.density(values, at), distributions.density(values, at, 0.0, 1.0)
    assert bounded[0] > free[0] * 1.2  # mass from below zero
    axes = panel(distributions.draw(made_up.region_scores(60)), "Mass inside")
    for shape in axes.collections:
        assert shape.get_paths()[0].vertices[:, 0].min() >= 0.0


def test_hits_are_bars_of_always_and_sometimes():
    axes = panel(distributions.draw(made_up.region_scores(60)), "Pointing game")
    assert not axes.collections and axes.get_xlim() == (0.0, 1.0)
    every, some = (bar.get_width() for bar in axes.patches[:2])
    values = (
        made_up.region_scores(60).query("metric == 'pointing_game'").groupby("image")["value"].mean().dropna()
    )
    assert every == pytest.approx((values == 1).mean())
    assert some == pytest.approx(((values > 0) & (values < 1)).mean()) and some > 0


def test_what_was_left_out_is_told_by_reason():
    scores = made_up.region_scores(60)
    text = distributions.caption(scores)
    assert (
        f"{(scores['status'] == 'not_applicable').sum()} not applicable" in text and "undefined" not in text
    )


def test_the_density_is_that_of_scipy():
    from scipy.stats import gaussian_kde

    values, at = np.random.default_rng(0).normal(size=200), np.linspace(-3, 3, 50)
    width = 0.9 * min(values.std(), np.subtract(*np.quantile(values, (0.75, 0.25))) / 1.349) * 200**-0.2
    expected = gaussian_kde(values, bw_method=width / values.std(ddof=1))(at)
    assert np.allclose(distributions.density(values, at), expected / expected.max())


# ---- overlays


def test_an_overlay_without_a_map_is_the_film_and_a_zero_map_changes_nothing():
    film = made_up.film(100, 80)
    plain = overlays.overlay(film, None, False)
    assert (plain == film[..., None]).all()
    assert (overlays.overlay(film, np.zeros((5, 4)), False) == plain).all()
    assert (overlays.overlay(film, np.zeros((5, 4)), True) == plain).all()


def test_a_panels_title_ends_with_what_tells_its_map_apart():
    title = overlays.heading("Gradient \N{MULTIPLICATION SIGN} activation\nsononet\nrandom weights")
    assert title.split("\n")[-2:] == ["sononet", "random weights"] and title.startswith("Gradient")


def test_an_overlay_is_strongest_where_the_map_is():
    film = np.full((100, 80), 128, np.uint8)
    drawn = overlays.overlay(film, made_up.blob((0.2, 0.75), 0.05, (100, 80)), False).astype(int)
    change = np.abs(drawn - 128).sum(axis=2)
    y, x = np.unravel_index(change.argmax(), change.shape)
    assert abs(y - 20) < 8 and abs(x - 60) < 8 and change[80, 10] == 0


def test_signed_maps_are_symmetric_about_zero():
    film = np.full((40, 40), 128, np.uint8)
    positive = overlays.overlay(film, np.full((4, 4), 0.8), True)[0, 0].astype(int)
    negative = overlays.overlay(film, np.full((4, 4), -0.8), True)[0, 0].astype(int)
    assert positive[0] > positive[2] and negative[2] > negative[0]  # red above, blue below


@pytest.mark.parametrize(
    ("values", "is_signed", "low", "high"),
    [
        (np.array([[2.0, 3.0, 4.0]]), False, 0.0, 1.0),
        (np.array([[-4.0, 0.0, 2.0]]), True, -1.0, 0.5),
        (np.full((2, 2), 7.0), False, 0.0, 0.0),  # a constant map has nothing to show
        (np.array([[np.nan, 0.0, 5.0]]), False, 0.0, 1.0),
    ],
)
def test_maps_are_drawn_on_their_own_scale(values, is_signed, low, high):
    drawn = overlays.scaled(values, is_signed)
    assert (np.nanmin(drawn), np.nanmax(drawn)) == (low, high)
    assert (np.isnan(drawn) == np.isnan(values)).all()


def test_where_there_is_no_map_the_film_is_bare():
    film = np.full((100, 80), 128, np.uint8)
    values = np.broadcast_to(np.linspace(5.0, 6.0, 8), (10, 8))
    cut = np.where(np.arange(8) < 4, values, np.nan)
    for signed in (False, True):
        share = overlays.scaled(cut, signed)
        drawn = overlays.overlay(film, share, signed)
        assert (drawn[:, 40:] == 128).all() and (drawn[:, 30:40] != 128).any(axis=2).all()
        whole = overlays.overlay(
            film, overlays.scaled(values[:, :4], signed), signed
        )  # stretched over the film
        assert (drawn[:, 39] == whole[:, 79]).all()  # the strongest place of what there is, up to the edge
        flat = overlays.scaled(np.where(np.isnan(cut), np.nan, 7.0), signed)
        assert overlays.is_constant(flat) != signed
    case = overlays.Case("a", film, {"cam": np.where(np.isnan(cut), np.nan, 7.0)})
    said = [text.get_text() for axes in overlays.draw([case]).axes for text in axes.texts]
    assert said == ["constant map"]


def test_a_mask_keeps_its_edge():
    mask = np.zeros((10, 8))
    mask[2:5, 2:5] = 1.0
    drawn = overlays.overlay(np.full((100, 80), 128, np.uint8), mask, False)
    assert len(np.unique(drawn.reshape(-1, 3), axis=0)) == 2


def test_panels_stand_in_one_order_and_wrap_when_there_are_too_many():
    maps = {name: np.eye(4) for name in ("gradcam", "center_bias", "reader", "a", "b")}
    case = overlays.Case("a", made_up.film(), maps, absent={"hull": "missing", "am1": "not applicable"})
    first = ["", "reader", "center_bias", "gradcam", "a", "b", "am1"]
    assert overlays.lines([case]) == [first]  # no case has a hull: no panel
    more = overlays.Case("b", made_up.film(), {str(index): np.eye(4) for index in range(9)})
    assert [len(line) for line in overlays.lines([case, more])] == [3, 7, 6]


def test_a_panel_that_is_not_there_says_why(tmp_path):
    found = texts(overlays.draw(cases()), tmp_path / "figure.svg")
    assert "not applicable" in found and "not made" in found and found.count("AM1") == 1


def test_large_films_are_drawn_small():
    assert max(overlays.overlay(made_up.film(900, 700), None, False).shape) == overlays.PIXELS


# ---- look and words


def test_methods_keep_their_colour_whatever_is_drawn_with_them():
    study = ["gradcam", "lrp", "occlusion"]
    assert style.colours(study)["gradcam"] == style.colours(["gradcam", "am1"])["gradcam"]
    assert style.colours([*study, "occlusion"])["occlusion"] == style.colours(study)["occlusion"]
    nine = [name for name in words.METHODS if name not in style.COLOURS][: len(style.FREE)]
    assert len(set(style.colours([*style.COLOURS, *nine]).values())) == len(style.COLOURS) + len(nine) - 3
    # center bias, however made, is one grey


def test_methods_stand_by_family_and_a_name_may_go_on_after_its_kind():
    names = ["rise", "my_method", "gradcam_block4", "gradcam", "hirescam", "hull"]
    assert style.methods(names) == ["hull", "gradcam", "gradcam_block4", "hirescam", "rise", "my_method"]
    said = [words.method(name) for name in ("gradcam_plus_plus_3", "gradient_x_input", "my_method")]
    assert said == ["Grad-CAM++, 3", "Gradient \N{MULTIPLICATION SIGN} input", "my method"]


def test_methods_differ_in_lightness_or_hue_for_the_colour_blind():
    """Deuteranopia (Machado et al. 2009, severity 1): simulated colours of the main methods stay apart."""
    matrix = np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    )
    names = ["interobserver", "gradcam", "am1", "am2"]
    colours = [np.array([int(style.COLOURS[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]) for name in names]
    seen = [matrix @ np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in colours]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[i + 1 :]]
    assert min(apart) > 0.12


@pytest.mark.parametrize(
    ("low", "high", "places"),
    [
        (0.606, 0.658, 3),
        (0.5, 0.6, 2),
        (0.521, 0.5392, 3),
        (10, 50, 0),
        (-0.1, 0.1, 2),
        (0.5, 0.5, 3),
        (0, 0.000001, 4),
    ],
)
def test_decimals_follow_the_interval(low, high, places):
    assert words.decimals(low, high) == places


def test_numbers_in_words():
    assert words.number(-0.0351, -0.058, -0.012) == "\N{MINUS SIGN}0.035"
    assert words.number(0.62, 0.52, 0.72) == "0.62"
    assert words.number(-0.0001, -0.05, 0.05) == "0.00"  # never minus zero
    assert words.number(float("nan")) == words.number(None) == "undefined"
    assert words.interval(0.1, float("nan")) == "undefined"
    assert words.span([91, 88, 91]) == "88 to 91"


def test_intervals_of_many_groups_are_told_once():
    frame = pd.DataFrame(
        {
            "interval": [
                f"95% crossed bootstrap, 10000 resamples of {n} subjects and {k} seeds"
                for n, k in ((17, 5), (90, 3))
            ]
        }
    )
    assert (
        words.made_by(frame)
        == "95% crossed bootstrap, 10,000 resamples of 17 to 90 subjects and 3 to 5 seeds"
    )
    assert words.made_by(frame.iloc[:0]) == "no interval"


def test_ways_of_making_intervals_that_share_their_start_are_joined():
    ways = [
        f"95% crossed bootstrap, 10000 resamples of {n} subjects and {k}"
        for n, k in ((9, "1 seed"), (8, "3 seeds"))
    ]
    frame = pd.DataFrame({"interval": [*ways, "no usable row"]})
    told = "95% crossed bootstrap, 10,000 resamples of 8 subjects and 3 seeds, or of 9 subjects and 1 seed"
    assert words.made_by(frame) == told


@pytest.mark.parametrize(
    ("metric", "difference", "told"),
    [
        ("auc", False, "[0.0, 1.0]"),
        ("auc", True, "[\N{MINUS SIGN}1.0, 1.0]"),
        ("ncc", False, "[\N{MINUS SIGN}1.0, 1.0]"),
        ("mass_over_area", False, "[0.0, 2.2]"),
        ("mass_over_area", True, "[\N{MINUS SIGN}1.1, 2.2]"),
        ("unheard_of", False, "[\N{MINUS SIGN}1.1, 2.2]"),
    ],
)
def test_intervals_are_cut_to_what_the_metric_can_be(metric, difference, told):
    assert words.interval(-1.1, 2.2, metric, difference) == told


def test_sources_of_one_paper_are_named_together():
    assert words.cited(["P 2022, Table 2", "P 2022, Table 1", "P 2022, Table 1", "Own rows"]) == (
        "Own rows; P 2022, Tables 1 and 2"
    )


def test_what_was_left_out_of_rows_is_told_with_the_most_of_each_reason():
    told = words.left_out(["not_applicable: 29; undefined: 2", "undefined: 7", ""])
    assert told.startswith("up to 7 scores undefined") and "up to 29 scores not applicable" in told
    assert words.reason("failed: 3; undefined: 1") == "failed" and words.reason("") == "undefined"


def test_a_reference_is_a_region_by_its_metrics():
    assert words.is_region(["auc", "mass_inside"]) and words.is_region(["auc"], "lungs")
    assert not words.is_region(["auc", "ncc"]) and not words.is_region(["auc"], "gaze")
    assert words.method("interobserver", in_region=True) == "Readers' gaze"


def test_sides_of_comparisons_in_words():
    assert (
        words.side("gradcam/uniform@ag_sononet+random") == "Grad-CAM (uniform) of ag sononet, random weights"
    )
    assert words.side("interobserver") == "Interobserver"


@pytest.mark.parametrize(
    "caption",
    [
        lambda: intervals.caption(made_up.summary(), made_up.published()),
        lambda: strata.caption(made_up.summary(), stratum="abnormal"),
        lambda: center_bias.caption(made_up.summary()),
        lambda: classification.caption(made_up.classification()),
    ],
)
def test_captions_ask_and_carry_n_and_how_the_interval_was_made(caption):
    text = caption()
    assert "?" in text.split(".")[0]
    assert re.search(r"n(?: =|:) .*\d+", text) and "95%" in text


def test_captions_of_figures_without_intervals_say_so():
    for text in (
        cohort.caption(made_up.cohort()),
        curves.caption(made_up.curves()),
        distributions.caption(made_up.scores(9)),
        overlays.caption(cases(), "Chosen by sAUC."),
    ):
        assert "?" in text and "interval" in text.lower()


def test_save_refuses_other_files(tmp_path):
    with pytest.raises(ValueError, match="figure.jpg"):
        style.save(style.empty("nothing"), tmp_path / "figure.jpg")
    style.save(style.empty("nothing"), tmp_path / "figure.pdf")
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_figures_import_neither_torch_nor_statsmodels():
    code = (
        "import sys; from sightline.figures import intervals, overlays, distributions; import "
        "sightline.report;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'statsmodels', 'sklearn', "
        "'matplotlib.pyplot')))"
    )
    source = str(tables.Path(tables.__file__).resolve().parents[1])
    assert (
        subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": source}, check=False).returncode == 0
    )


# ---- methods side by side


def side_by_side(count: int = 4):
    lost = trust.lost(made_up_trust.ASKED, made_up_trust.maps())
    found = [
        methods.Row(name, made_up_trust.READINGS[name], lost.get(name, ""))
        for name in style.methods(made_up_trust.METHODS)
    ]
    return found, made_up_trust.columns(), made_up_trust.cases(count)


def column(key: str) -> trust.Column:
    return next(one for one in made_up_trust.columns() if one.key == key)


def test_columns_are_the_tables_numbers_in_the_asked_reading():
    keys = [one.key for one in made_up_trust.columns()]
    assert keys == ["sauc", "deletion", "insertion", "sensitivity_max", trust.RANDOM, trust.GAP]
    for place, key in ((0, "sauc"), (1, "deletion"), (4, trust.RANDOM)):
        marks = column(key).marks.set_index("method")["mean"]
        for method, values in made_up_trust.METHODS.items():
            expected = np.nan if values[place] is None else values[place]
            assert marks[method] == pytest.approx(expected, nan_ok=True)
    assert column("sauc").panel.chance == 0.5 and column(trust.RANDOM).better == "zero"
    gaps = column(trust.GAP).marks.set_index("method")
    assert gaps.loc["integrated_gradients", "mean"] == 0.11
    assert list(gaps.index[gaps["apart"].astype(bool)]) == ["guided_backprop"]


def test_another_reading_model_or_condition_fills_no_column():
    asked = made_up_trust.ASKED
    tables_of = made_up_trust.summary(), made_up_trust.agreements(), made_up_trust.maps()
    other = dataclasses.replace(asked, readings=dict.fromkeys(asked.readings, "uniform"))
    assert [one.key for one in trust.columns(other, *tables_of)] == [*made_up_trust.METRICS[1:], trust.GAP]
    assert trust.columns(dataclasses.replace(asked, model="ag_sononet"), *tables_of) == []
    turned = dataclasses.replace(asked, random="rotate180")
    least = min(trust.columns(turned, *tables_of)[4].marks["mean"].dropna())
    assert least == pytest.approx(1.0 - 0.1 * 1.03)


def test_a_cascade_goes_from_few_stages_to_all_in_one_order():
    conditions = made_up_trust.CONDITIONS
    assert trust.cascade(conditions) == ["random", "last_3", "last"][::-1]
    assert trust.untrained(conditions) == "random"
    assert trust.untrained({"clean": conditions["clean"]}) == ""


def test_a_row_of_maps_has_one_scale_which_it_tells(tmp_path):
    rows_of, found, cases_of = side_by_side()
    name = "occlusion"
    values = np.concatenate([case.panels[name].ravel() for case in cases_of])
    told = texts(methods.draw(rows_of, found, cases_of), tmp_path / "figure.svg")
    assert f"scale \N{PLUS-MINUS SIGN}{words.short(np.percentile(np.abs(values), 99.5))}" in told
    assert any(text.startswith("0 to ") for text in told)
    assert any("not applicable: this network has no attention" in text for text in told)
    assert told.count("failed") == 1 and told.count("constant map") == 1


def test_without_cases_the_columns_stand_alone():
    rows_of, found, _ = side_by_side()
    figure = methods.draw(rows_of, found)
    assert len(figure.axes) == len(found) and not any(axes.images for axes in figure.axes)
    assert "Maps:" not in methods.caption(rows_of, found, about="sononet on cxr")


def test_marks_stand_in_the_row_of_their_method():
    rows_of, found, cases_of = side_by_side()
    figure = methods.draw(rows_of, found, cases_of)
    deletion = next(axes for axes in figure.axes if axes.get_xlabel() == "mean output")
    drawn = [x for x, _ in sorted(marks(deletion), key=lambda at: -at[1])]
    expected = [made_up_trust.METHODS[row.method][1] for row in rows_of if not row.absent]
    assert drawn == pytest.approx(expected)


def test_a_gap_of_zero_stands_at_the_axis_end_and_is_told_as_zero(tmp_path):
    rows_of, found, _ = side_by_side()
    figure = methods.draw(rows_of, found)
    gap = figure.axes[-1]
    assert min(x for x, _ in marks(gap)) == trust.SMALLEST
    assert "0" in texts(figure, tmp_path / "figure.svg")


def test_the_caption_asks_and_says_how():
    rows_of, found, cases_of = side_by_side()
    told = methods.caption(
        rows_of, found, cases_of, about="sononet on cxr", sizes="91 images", chosen="Evenly.", region="lungs"
    )
    for part in ("?", "n = 91 images.", "Evenly.", "yellow line: lungs", "10,000 resamples", "5 %"):
        assert part in told


def test_agreement_falls_along_the_cascade_and_starts_at_one():
    figure = agreement.draw(made_up_trust.agreements(), "cxr", made_up_trust.CONDITIONS)
    axes = figure.axes[0]
    lines = [line for line in axes.lines if len(line.get_xdata()) == 4]
    assert len(lines) == 11 and all(line.get_ydata()[0] == 1.0 for line in lines)
    gradcam = next(line for line in lines if line.get_color() == style.COLOURS["gradcam"])
    assert list(gradcam.get_ydata()) == pytest.approx([1.0, 0.648, 0.296, 0.12])
    labels = [item.get_text() for item in figure.axes[1].get_xticklabels()]
    assert labels == ["unaltered", "last", "last 3", "random weights", "rotate180"]


def test_agreement_of_another_dataset_is_not_drawn(tmp_path):
    drawn = agreement.draw(made_up_trust.agreements(), "other", made_up_trust.CONDITIONS)
    assert texts(drawn, tmp_path / "figure.svg") == ["No agreement with the unaltered maps to draw"]


@pytest.mark.parametrize(
    ("value", "told"), [(0.0123, "0.012"), (3.1e-5, "3.1×10⁻⁵"), (0.0, "0"), (-2.0, "−2")]
)
def test_small_numbers_have_powers(value, told):
    assert words.short(value) == told


def test_rows_without_a_reference_stand_in_no_table_against_one():
    summary = made_up_trust.summary()
    assert set(rows.overall(summary)["metric"]) == {"sauc"}
    assert rows.places(rows.overall(summary)) == [("cxr", "gaze")]
    assert set(rows.alone(summary, ("gini",))["metric"]) == {"gini"}
