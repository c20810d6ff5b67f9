"""The page: its answer follows from the numbers, it loads nothing, escapes everything, and keeps what may
not leave."""

import html
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sightline import page, report, report_tables, tables
from sightline.answers import answer
from sightline.errors import ConfigError, SightlineError
from sightline.figures import intervals, style
from tests.unit import made_up_study as made_up

VOID = {"meta", "img", "br", "link", "path", "use", "rect", "image"}


class Checker(HTMLParser):
    """Collects tags, ids and addresses, and the text outside of SVG."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "src", "xlink:href"):
                self.addresses.append(value)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, tag


def checked(text: str) -> Checker:
    checker = Checker()
    checker.feed(text)
    assert checker.open == []
    return checker


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> dict:
    path = tmp_path_factory.mktemp("figures") / "intervals.svg"
    style.save(intervals.draw(made_up.summary()), path)
    shown = report.Picture(path, intervals.caption(made_up.summary()))
    return {
        "intervals": [shown],
        "strata": [shown],
        "overlays": [report.Picture(path, "Cases?", restricted=True)],
    }


def evidence(pictures=None, **changes) -> report.Evidence:
    given = {
        "title": "cxr_gaze_demo",
        "question": "Do the maps show what radiologists look at?",
        "summary": made_up.summary(),
        "comparisons": made_up.comparisons(),
        "classification": made_up.classification(),
        "cohort": made_up.cohort(),
        "skipped": made_up.skipped(),
        "pictures": pictures or {},
        "facts": {"Seeds": "0 to 4"},
        "config": "study: <demo>",
    }
    return report.Evidence(**{**given, **changes})


def one(
    mean: float, low: float, high: float, method: str = "gradcam", metric: str = "sauc", **changes
) -> dict:
    table = made_up.summary()
    row = (
        table[(table["method"] == method) & (table["metric"] == metric) & (table["stratum"] == "")]
        .iloc[0]
        .to_dict()
    )
    bias = "image" if metric[0] == "s" else ""
    return {
        **row,
        "condition": "clean",
        "center_bias": bias,
        "mean": mean,
        "low": low,
        "high": high,
        **changes,
    }


# ---- the answer


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.51, 0.55, "1 is above chance"),
        (0.48, 0.55, "1 is not distinguishable from chance"),
        (0.45, 0.49, "1 is below chance"),
        (0.50, 0.55, "1 is not distinguishable from chance"),  # touching is not above
    ],
)
def test_the_interval_decides_about_chance(low, high, told):
    (sentence,) = answer(pd.DataFrame([one((low + high) / 2, low, high)]))
    assert told in sentence and "chance 0.5" in sentence


def test_sncc_is_held_against_zero():
    (sentence,) = answer(pd.DataFrame([one(0.03, 0.01, 0.05, metric="sncc")]))
    assert "1 is above chance" in sentence and "chance 0)" in sentence


@pytest.mark.parametrize(
    ("interval", "relation"),
    [
        ((0.50, 0.53), "lies below theirs"),
        ((0.53, 0.56), "overlaps theirs"),
        ((0.6, 0.62), "lies above theirs"),
    ],
)
def test_the_nearest_map_is_named_with_its_relation_to_the_readers(interval, relation):
    low, high = interval
    frame = pd.DataFrame(
        [
            one(0.56, 0.55, 0.57, "interobserver"),
            one((low + high) / 2, low, high, reading="uniform"),
            one(0.40, 0.39, 0.41, reading="weighted"),
        ]
    )
    sentences = answer(frame)
    assert sentences[0].startswith(
        "Readers agree with one another at sAUC 0.560 [0.550, 0.570], above chance"
    )
    assert sentences[1].startswith("Grad-CAM (uniform)") and relation in sentences[1]


def test_random_weights_are_not_taken_for_the_best_map():
    frame = pd.DataFrame(
        [
            one(0.56, 0.55, 0.57, "interobserver"),
            one(0.53, 0.52, 0.54, reading="uniform"),
            one(0.56, 0.55, 0.57, reading="uniform", condition="random"),
        ]
    )
    assert "0.530" in answer(frame)[1] and "of 1 maps" in answer(frame)[2]


def test_leaving_the_image_out_is_told_with_sign_and_range():
    frame = pd.DataFrame(
        [
            one(mean, mean - 0.01, mean + 0.01, reading=reading, center_bias=bias)
            for reading, none, image in (("uniform", 0.52, 0.526), ("weighted", 0.51, 0.508))
            for bias, mean in (("none", none), ("image", image))
        ]
    )
    assert "changes sAUC by \N{MINUS SIGN}0.002 to +0.006, +0.002 on average" in answer(frame)[-1]


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.4, 0.5, "more than"), (0.3, 0.5, "not distinguishable"), (0.1, 0.2, "less than")],
)
def test_mass_is_held_against_the_area_and_random_weights(low, high, told):
    row = {"metric": "mass_inside", "center_bias": "", "reference": "lungs"}
    frame = pd.DataFrame(
        [
            {**one((low + high) / 2, low, high), **row},
            {**one(0.25, 0.22, 0.28, condition="random"), **row},
        ]
    )
    (sentence,) = answer(frame, areas={("cxr", "lungs"): 0.34})
    assert f"inside lungs, {told}" in sentence and "0.34 of the area that lungs cover" in sentence
    assert "with random weights it is 0.250 [0.220, 0.280]" in sentence
    assert ("do not overlap" in sentence) == (low > 0.28 or high < 0.22)


def test_a_study_without_models_or_without_scores_answers_too():
    only = pd.DataFrame([one(0.56, 0.49, 0.63, "interobserver", model="")])
    assert answer(only) == [
        "Readers agree with one another at sAUC 0.56 [0.49, 0.63], not distinguishable from chance (0.5)."
    ]
    assert "no score" in answer(tables.empty("summary"))[0]
    undefined = pd.DataFrame([one(np.nan, np.nan, np.nan)])
    assert "no score" in answer(undefined)[0]


# ---- the page


def test_the_page_is_whole_and_loads_nothing(pictures):
    text = report.render(evidence(pictures))
    found = checked(text)
    assert len(found.ids) == len(set(found.ids))  # one figure shown twice keeps its own ids
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert "script" not in found.tags and "link" not in found.tags
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= set(found.ids)


def test_the_page_opens_with_the_question_and_the_answer(pictures):
    text = report.render(evidence(pictures))
    places = [
        text.index(part)
        for part in ("<h1>Do the maps", 'class="answer"', "<h2>Scores", "<h2>How it was made", "<h2>Limits")
    ]
    assert places == sorted(places)
    for sentence in answer(made_up.summary()):
        assert html.escape(sentence) in text


def test_everything_is_escaped():
    bad = "<img src=x onerror=alert(1)>"
    summary = made_up.summary().replace({"model": {"sononet": bad}})
    given = evidence(
        summary=summary, title=bad, question=bad, facts={bad: bad}, versions={bad: bad}, config=f"{bad}</pre>"
    )
    text = report.render(given)
    assert bad not in text and "<b>at all" not in text
    assert "img" not in checked(text).tags


def test_restricted_pictures_stay_out_unless_the_study_says_otherwise(pictures):
    closed, local = (
        report.render(evidence(pictures)),
        report.render(evidence(pictures, publish_images="local")),
    )
    assert (
        "<h2>Cases" not in closed
        and "Left out for that reason: 1 figure." in closed
        and "aggregates only" in closed
    )
    assert "<h2>Cases" in local and "Keep it on this disk" in local
    with pytest.raises(ConfigError, match="publish_images.*none, local, publish"):
        report.render(evidence(publish_images="yes"))


def test_skipped_inputs_are_counted_by_reason_and_never_named():
    text = report.render(evidence())
    assert "p10" not in text and "i0.jpg" not in text
    frame = report_tables.skipped_table(made_up.skipped()).frame
    assert list(zip(frame["Reason"], frame["Inputs"])) == [
        ("(input): truncated", "2"),
        ("not an image <b>at all</b>", "1"),
    ]


def test_scores_are_sorted_best_first_with_baselines_among_them():
    frame = report_tables.scores_table(made_up.summary(), "none").frame
    means = [float(text.split(" ")[0]) for text in frame["sAUC"]]
    assert means == sorted(means, reverse=True) and frame["Method"].iloc[0] == "Interobserver"
    assert frame["n"].iloc[0] == "91" and "91 × 5" in set(frame["n"])
    assert "3 (constant map)" in set(frame["Left out"])


def test_comparisons_show_largest_differences_first_with_corrected_p():
    (shown,) = report_tables.comparisons_tables(made_up.comparisons())
    assert list(shown.frame["Difference"]) == ["\N{MINUS SIGN}0.029", "0.018", "0.004"]
    assert list(shown.frame["p, corrected"]) == ["< 0.001", "0.006", "0.93"]


def test_the_classification_table_has_a_column_per_model_and_says_undefined():
    frame = report_tables.classification_table(made_up.classification()).frame
    assert list(frame.columns) == ["Label", "Positives", "ag sononet", "sononet"]
    assert frame["Label"].iloc[0] == "Mean of the labels" and frame["Label"].iloc[-1] == "Pleural Other"
    assert frame["sononet"].iloc[-1] == "undefined"


def test_costs_are_summed_by_rule():
    costs = pd.DataFrame(
        {
            "job": ["train/a/0", "train/a/1", "score/a"],
            "seconds": [60.0, 120.0, 30.0],
            "cpu_seconds": [60.0, 60.0, 30.0],
            "peak_bytes": [10**9, 2 * 10**9, 10**8],
            "device": "cpu",
        }
    )
    frame = report_tables.costs_table(costs).frame
    assert frame.iloc[0].tolist() == ["train", 2, "3.0", "2.0", "2.00", "cpu"]


def test_a_study_without_gaze_and_one_without_anything_still_make_a_page():
    regions = report.Evidence(
        "open_cxr", "Is the evidence inside the lungs?", made_up.regions(), areas=made_up.AREAS
    )
    text = report.render(regions)
    checked(text)
    assert "sAUC" not in text and "Pointing game" in text and "<h2>Classification" not in text
    assert "no score" in report.render(report.Evidence("empty", "What is there?"))


# ---- figures in pages


@pytest.mark.parametrize(
    "inside",
    [
        "<script>1</script>",
        '<image href="http://example.org/a.png"/>',
        '<a xlink:href="file:///etc/x"/>',
        '<g onload="x()"/>',
        '<rect fill="url(http://example.org/a)"/>',
    ],
)
def test_figures_with_scripts_or_outside_resources_are_refused(tmp_path, inside):
    path = tmp_path / "figure.svg"
    path.write_text(f'<svg width="10pt" height="10pt" viewBox="0 0 10 10">{inside}</svg>')
    with pytest.raises(SightlineError, match="figure.svg"):
        page.embedded(path, "a")


def test_png_figures_are_embedded_and_others_refused(tmp_path):
    style.save(style.empty("nothing"), tmp_path / "figure.png")
    assert page.embedded(tmp_path / "figure.png", "a").startswith('<img src="data:image/png;base64,')
    with pytest.raises(SightlineError, match="save the figure"):
        page.embedded(tmp_path / "figure.pdf", "a")
