"""Figures: what they say is what the tables say, each draws, and equal figures are equal bytes."""

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
    center_bias,
    classification,
    cohort,
    curves,
    distributions,
    intervals,
    overlays,
    rows,
    strata,
    style,
    words,
)
from tests.unit import made_up_study as made_up


def cases() -> list[overlays.Case]:
    maps = {"reader": made_up.blob((0.4, 0.3), 0.1), "gradcam": made_up.blob((0.5, 0.4), 0.2, (15, 12))}
    signed = {**maps, "gradient": made_up.blob((0.4, 0.3), 0.1) - made_up.blob((0.6, 0.7), 0.1)}
    outline = overlays.Outline(40, 70, 80, 120, "ellipse")
    return [
        overlays.Case(
            "Best", made_up.film(), signed, frozenset({"gradient"}), [outline], {"gradcam": "sAUC 0.6"}
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
    ],
)
def test_an_empty_table_gives_a_figure_that_says_so(draw, tmp_path):
    assert len(texts(draw(), tmp_path / "figure.svg")) == 1


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


def test_curves_draw_a_line_per_seed_and_their_median():
    figure = curves.draw(made_up.curves())
    loss = [axes for axes in figure.axes if axes.get_visible()][:2]
    assert [len(axes.lines) for axes in loss] == [12, 12]  # 2 quantities x (5 seeds + median)
    middle = max(loss[0].lines, key=lambda line: line.get_linewidth())
    table = made_up.curves().query("model == 'ag_sononet' and quantity == 'train_loss'")
    assert np.allclose(middle.get_ydata(), table.groupby("epoch")["value"].median())


def test_classification_is_sorted_best_first_under_the_mean(tmp_path):
    found = texts(classification.draw(made_up.classification()), tmp_path / "figure.svg")
    means = made_up.classification().groupby("label")["auc"].mean().drop(["mean", "Pleural Other"])
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


def test_shared_maps_have_one_maximum_in_their_row():
    case = overlays.Case("a", made_up.film(), {"a": np.ones((4, 4)), "b": np.full((4, 4), 0.25)})
    assert overlays._scaled(case, "b", ()).max() == 1.0
    assert overlays._scaled(case, "b", ("a", "b")).max() == 0.25


def test_large_films_are_drawn_small_and_missing_maps_are_named(tmp_path):
    assert max(overlays.overlay(made_up.film(900, 700), None, False).shape) == overlays.PIXELS
    assert "not made" in texts(overlays.draw(cases()), tmp_path / "figure.svg")


# ---- look and words


def test_methods_keep_their_colour_whatever_is_drawn_with_them():
    study = ["gradcam", "lrp", "occlusion"]
    assert style.colours(study)["gradcam"] == style.colours(["gradcam", "am1"])["gradcam"]
    assert style.colours([*study, "occlusion"])["occlusion"] == style.colours(study)["occlusion"]
    assert (
        len(set(style.colours([*words.METHODS, *study]).values())) == len(words.METHODS) + 2 - 3
    )  # center bias, however made, is one grey


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


def test_sides_of_comparisons_in_words():
    assert (
        words.side("gradcam/uniform@ag_sononet+random") == "Grad-CAM (uniform) of ag sononet, random weights"
    )
    assert words.side("interobserver") == "Interobserver"


@pytest.mark.parametrize(
    "caption",
    [
        lambda: intervals.caption(made_up.summary(), "a paper"),
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
