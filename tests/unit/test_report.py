"""The page: its answer follows from the numbers, it loads nothing, escapes everything, and keeps what may
not leave."""

import dataclasses
import html
import re
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from sightline import tables
from sightline.errors import ConfigError, SightlineError
from sightline.figures import classification, intervals, style, words
from sightline.report import (
    captions,
    classification_report,
    facts,
    page,
    report_tables,
    study_page,
    trust_tables,
)
from sightline.report.answers import answer
from sightline.report.facts import Plan
from tests.unit import made_up_study as made_up
from tests.unit import made_up_trust

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
    shown = study_page.Picture(path, intervals.caption(made_up.summary()))
    return {
        "intervals": [shown],
        "strata": [shown],
        "overlays": [study_page.Picture(path, "Cases?", restricted=True)],
    }


def evidence(pictures=None, **changes) -> study_page.Evidence:
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
    return study_page.Evidence(**{**given, **changes})


def test_subjects_who_trained_and_are_tested_are_told_beside_the_images():
    told = "3 of the 9 subjects of b that are tested are subjects of a's training images"
    text = html.unescape(study_page.render(evidence(leaks=[told])))
    assert text.index("Which images does the study rest on") < text.index(told)
    assert "subjects of b" not in study_page.render(evidence())


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
        (0.51, 0.55, "it is above chance"),
        (0.48, 0.55, "it is not distinguishable from chance"),
        (0.45, 0.49, "it is below chance"),
        (0.50, 0.55, "it is not distinguishable from chance"),  # touching is not above
    ],
)
def test_the_interval_decides_about_chance(low, high, told):
    (sentence,) = answer(pd.DataFrame([one((low + high) / 2, low, high)]))
    assert told in sentence and sentence.startswith("Against gaze (sAUC, chance 0.5): ")


def test_sncc_is_held_against_zero():
    (sentence,) = answer(pd.DataFrame([one(0.03, 0.01, 0.05, metric="sncc")]))
    assert "it is above chance" in sentence and "sNCC, chance 0)" in sentence


@pytest.mark.parametrize(
    ("interval", "relation"),
    [((0.50, 0.53), "lies below"), ((0.53, 0.56), "overlaps"), ((0.6, 0.62), "lies above")],
)
def test_the_first_map_of_the_configuration_is_named_not_the_best(interval, relation):
    low, high = interval
    frame = pd.DataFrame(
        [
            one(0.56, 0.55, 0.57, "interobserver"),
            one(0.70, 0.69, 0.71, reading="weighted"),  # better by far
            one((low + high) / 2, low, high, reading="uniform"),
        ]
    )
    model = frame["model"].iloc[1]
    plan = Plan(maps=[(model, "gradcam", "uniform"), (model, "gradcam", "weighted")])
    (sentence,) = answer(frame, plan=plan)
    assert "agree with one another at 0.560 [0.550, 0.570]; Grad-CAM (uniform)" in sentence
    assert f"which {relation} the readers' interval" in sentence and "of 2 maps " in sentence
    assert "best" not in sentence and "Grad-CAM (weighted)" in answer(frame)[0]  # as the table has them


def test_sentences_and_tables_follow_the_configurations_order():
    study = {
        "datasets": {"kermany": {"redistributable": True}, "covid_open": {}},
        "references": {"lungs": {"datasets": None}, "finding": {"datasets": ["covid_open"]}},
        "models": {"b": {}, "a": {}},
        "methods": {"gradcam": {"readings": ["z", "y"]}, "am1": {"readings": ["x"]}},
    }
    plan = facts.plan(study)
    assert plan.maps[:3] == [("b", "gradcam", "z"), ("b", "am1", "x"), ("b", "gradcam", "y")]
    assert plan.places == [("kermany", "lungs"), ("covid_open", "lungs"), ("covid_open", "finding")]
    assert plan.redistributable == {"kermany": True, "covid_open": False}
    shuffled = made_up.regions().sort_values(["reference", "dataset"], ascending=False)
    for places in (plan.places, plan.places[::-1]):
        told = answer(shuffled, plan=Plan(places), areas=made_up.AREAS)
        expected = [f"On {dataset.replace('_', ' ')}, Grad-CAM" for dataset, _ in places]
        assert [sentence[: len(start)] for sentence, start in zip(told, expected, strict=True)] == expected
        page_text = study_page.render(study_page.Evidence("open", "?", shuffled, plan=Plan(places)))
        starts = [page_text.index(f"{d.replace('_', ' ')}, against {r}: which maps") for d, r in places]
        assert starts == sorted(starts)


def test_maps_are_counted_by_where_their_intervals_lie():
    rows = [(0.52, 0.51, 0.53, "a"), (0.52, 0.4, 0.6, "b"), (0.51, 0.4, 0.6, "c"), (0.4, 0.3, 0.45, "d")]
    (sentence,) = answer(pd.DataFrame([one(*row[:3], reading=row[3]) for row in rows]))
    assert "of 4 maps 1 above chance, 2 not distinguishable from chance, 1 below chance." in sentence


def test_random_weights_stand_beside_the_map_and_its_chance():
    frame = pd.DataFrame(
        [
            one(0.53, 0.52, 0.54, reading="uniform"),
            one(0.56, 0.55, 0.57, reading="uniform", condition="random"),
        ]
    )
    (sentence,) = answer(frame)
    told = "0.530 [0.520, 0.540]; with random weights 0.560 [0.550, 0.570]; it is above chance"
    assert f"{told} (with random weights: above chance)." in sentence


def test_the_paired_difference_is_that_of_the_map_named_in_its_metric():
    plan = Plan(maps=[("ag_sononet", "gradcam", "uniform")])
    given = {"plan": plan, "center_bias": "image"}
    told = answer(made_up.summary(), comparisons=made_up.comparisons(), **given)[0]
    assert "Grad-CAM (uniform) of ag sononet has 0.535" in told
    assert "; paired difference 0.018 [0.009, 0.026];" in told
    for change in ({"metric": "ncc"}, {"reference": "lungs"}, {"stratum": "abnormal"}):
        others = made_up.comparisons().assign(**change)
        assert "paired" not in answer(made_up.summary(), comparisons=others, **given)[0]


def test_leaving_the_image_out_is_told_with_sign_and_range():
    frame = pd.DataFrame(
        [
            one(mean, mean - 0.01, mean + 0.01, reading=reading, center_bias=bias)
            for reading, none, image in (("uniform", 0.52, 0.526), ("weighted", 0.51, 0.508))
            for bias, mean in (("none", none), ("image", image))
        ]
    )
    told = "changes sAUC by \N{MINUS SIGN}0.002 to +0.006 (mean +0.002), over 2 maps and baselines"
    assert told in answer(frame)[-1]


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [(0.4, 0.5, "it is above"), (0.3, 0.5, "it is not distinguishable from"), (0.1, 0.2, "it is below")],
)
def test_mass_is_held_against_the_area_and_readers_do_not_agree_in_a_region(low, high, told):
    row = {"metric": "mass_inside", "center_bias": "", "reference": "lungs"}
    frame = pd.DataFrame(
        [one((low + high) / 2, low, high) | row, one(0.45, 0.4, 0.5, "interobserver", model="") | row]
    )
    (sentence,) = answer(frame, areas={("cxr", "lungs"): 0.344})
    assert sentence.startswith("Grad-CAM ")
    assert "] of its mass inside lungs, whose share of the area is 0.34; " in sentence
    assert told in sentence and "agree" not in sentence


def test_mass_inside_stands_beside_area_and_random_weights_and_each_images_own_area_decides():
    (first, *_) = answer(
        made_up.regions().query("dataset == 'kermany'"),
        comparisons=made_up.comparisons()
        .iloc[:1]
        .assign(
            dataset="kermany",
            reference="lungs",
            metric="mass_inside",
            center_bias="",
            a="gradcam/weighted@resnet",
            b="gradcam/weighted@resnet+random",
        ),
        areas=made_up.AREAS,
    )
    assert first == (
        "Grad-CAM (weighted) of resnet has 0.52 [0.48, 0.56] of its mass inside lungs, whose share of the "
        "area is 0.34; with random weights 0.36 [0.32, 0.40]; paired difference 0.018 [0.009, 0.026]; by "
        "Mass over area, it is not distinguishable from chance "
        "(with random weights: below chance)."
    )
    (second,) = answer(made_up.regions().query("dataset == 'kermany'"))  # of an area unknown
    assert second.startswith(
        "Grad-CAM (weighted) of resnet has Mass over area 1.04 [1.00, 1.08] inside lungs; "
    )


def test_a_study_without_models_or_without_scores_answers_too():
    only = pd.DataFrame([one(0.56, 0.49, 0.63, "interobserver", model="")])
    told = "readers agree with one another at 0.56 [0.49, 0.63], not distinguishable from chance"
    assert answer(only) == [f"Against gaze (sAUC, chance 0.5): {told}."]
    assert "no score" in answer(tables.empty("summary"))[0]
    undefined = pd.DataFrame([one(np.nan, np.nan, np.nan)])
    assert "no score" in answer(undefined)[0]


def test_the_whole_answer_is_short():
    study = evidence()
    sentences = answer(study.summary, study.classification, study.comparisons)
    assert len(sentences) == 3 and max(map(len, sentences)) < 420
    assert sentences[-1].startswith("The models' mean AUC over labels: ")


# ---- the page


def test_the_page_is_whole_and_loads_nothing(pictures):
    text = study_page.render(evidence(pictures))
    found = checked(text)
    assert len(found.ids) == len(set(found.ids))  # one figure shown twice keeps its own ids
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert "script" not in found.tags and "link" not in found.tags
    assert {address[1:] for address in found.addresses if address.startswith("#")} <= set(found.ids)


def test_the_page_opens_with_the_question_and_the_answer(pictures):
    text = study_page.render(evidence(pictures))
    places = [
        text.index(part)
        for part in ("<h1>Do the maps", 'class="answer"', "<h2>Scores", "<h2>How it was made", "<h2>Limits")
    ]
    assert places == sorted(places)
    for sentence in answer(made_up.summary(), made_up.classification(), made_up.comparisons()):
        assert html.escape(sentence) in text


def test_everything_is_escaped():
    bad = "<img src=x onerror=alert(1)>"
    summary = made_up.summary().replace({"model": {"sononet": bad}})
    given = evidence(
        summary=summary, title=bad, question=bad, facts={bad: bad}, versions={bad: bad}, config=f"{bad}</pre>"
    )
    text = study_page.render(given)
    assert bad not in text and "<b>at all" not in text
    assert "img" not in checked(text).tags


def test_restricted_pictures_stay_out_unless_the_study_says_otherwise(pictures):
    closed, local = (
        study_page.render(evidence(pictures)),
        study_page.render(evidence(pictures, publish_images="local")),
    )
    assert "<h2>Cases" not in closed
    assert "Left out for that reason: 1 figure." in closed and "aggregates only" in closed
    assert "<h2>Cases" in local and "Keep it on this disk" in local
    with pytest.raises(ConfigError, match="publish_images.*none, local, publish"):
        study_page.render(evidence(publish_images="yes"))


def test_the_page_says_truly_whose_pictures_it_holds(pictures):
    path = pictures["intervals"][0].path
    both = [study_page.Picture(path, "?", title="open"), study_page.Picture(path, "?", True, "closed")]
    plan = Plan(redistributable={"open": True, "closed_set": False})
    text = study_page.render(evidence({"overlays": both}, plan=plan))
    assert "pictures of open, which may be passed on; no image, map," in text
    assert "of closed set, which may not. Left out for that reason: 1 figure." in text
    assert "aggregates only" not in text and text.count("<h3>") == 1
    free = study_page.render(evidence({"overlays": both[:1]}, plan=Plan(redistributable={"open": True})))
    assert "pictures of open, which may be passed on.</p>" in free
    assert "<h3>" not in free  # one figure needs no name
    none = study_page.render(evidence(plan=plan))
    assert "aggregates only: no image, map, identifier or value of a single image.</p>" in none


def test_titles_of_figures_survive_their_file(tmp_path):
    told = {"intervals": [study_page.Picture(tmp_path / "a.svg", "Why?", True, "cxr: gaze")]}
    captions.write(told, tmp_path / "captions.json")
    assert captions.read([tmp_path / "captions.json"]) == told


def test_skipped_inputs_are_counted_by_reason_and_never_named():
    text = study_page.render(evidence())
    assert "p10" not in text and "i0.jpg" not in text
    frame = report_tables.skipped_table(made_up.skipped(), {"cxr"}).frame
    assert list(zip(frame["Reason"], frame["Inputs"])) == [
        ("(input): truncated", "2"),
        ("not an image <b>at all</b>", "1"),
    ]


def test_reasons_of_a_dataset_that_may_not_be_passed_on_are_words_alone():
    skipped = made_up.skipped().assign(
        reason=[
            "main_data/P102R77/fixations.csv: row 7: the fixation 'P102R77 3' of subject 10000032 lies at "
            "(41.73, 23.9); correct or delete the row",
            "files/p10/i1.jpg: is 90 x 70 pixels, but its table says 70 x 90",
            "the dataset's file \"p10.png\" is not the reader's",
        ]
    )
    said = " ".join(report_tables.skipped_table(skipped).frame["Reason"])
    assert not re.search(r"\d|main_data|P102|fixations\.csv|p10|\.png", said)
    for kept in ("the fixation ... of subject", "correct or delete the row", "the dataset's file ... is not"):
        assert kept in said
    open_ones = " ".join(report_tables.skipped_table(skipped, {"cxr"}).frame["Reason"])
    assert "90 x 70" in open_ones and "i1.jpg" not in open_ones


def test_scores_are_sorted_best_first_with_baselines_among_them():
    (shown,) = report_tables.scores_tables(made_up.summary(), "none")
    frame = shown.frame
    means = [float(text.split(" ")[0]) for text in frame["sAUC"]]
    assert means == sorted(means, reverse=True) and frame["Map"].iloc[0] == "Interobserver"
    assert list(frame.columns[:4]) == ["Map", "Model", "sAUC", "NCC"]
    assert ("Grad-CAM, uniform", "sononet, random weights") in set(zip(frame["Map"], frame["Model"]))
    assert frame["n"].iloc[0] == "91" and "91 × 5" in set(frame["n"])
    assert "3 undefined" in set(frame["Scores left out"]) and "undefined (the map" in shown.caption


def test_every_reference_has_a_table_with_its_own_metrics():
    both = pd.concat([made_up.summary(), made_up.regions()])
    shown = report_tables.scores_tables(both)
    assert [table.caption.split(":")[0] for table in shown] == [
        "cxr, against gaze",
        "covid open, against finding",
        "covid open, against lungs",
        "kermany, against lungs",
    ]
    assert "sAUC" not in shown[1].frame and "Mass inside" not in shown[0].frame
    for table in shown:
        assert table.frame.replace("", pd.NA).dropna(axis=1, how="all").shape == table.frame.shape
    assert "Scores left out" not in shown[1].frame  # nothing was


def test_comparisons_are_ordered_by_reference_metric_and_p_and_name_them():
    first = made_up.comparisons()
    both = pd.concat([first.assign(reference="lungs", metric="mass_inside", center_bias=""), first])
    both.loc[both["reference"] == "lungs", "test"] += ", seeds averaged"
    (shown,) = report_tables.comparisons_tables(both)
    assert list(shown.frame["Reference"]) == ["gaze"] * 3 + ["lungs"] * 3
    assert list(shown.frame["p for these seeds"]) == ["< 0.001", "0.006", "0.93"] * 2
    assert (
        shown.frame["Difference"].iloc[0] == "\N{MINUS SIGN}0.029 [\N{MINUS SIGN}0.038, \N{MINUS SIGN}0.021]"
    )
    assert "Dataset" not in shown.frame and "Group" not in shown.frame and "Images: 91." in shown.caption


def test_one_difference_is_told_with_all_that_sets_it_apart():
    two = pd.concat([made_up.comparisons().iloc[:1], made_up.comparisons().iloc[:1].assign(dataset="other")])
    (shown,) = report_tables.comparisons_tables(two)
    assert list(shown.frame["Dataset"]) == ["cxr", "other"]
    told = (
        "First: Grad-CAM (uniform) of ag sononet. Second: Grad-CAM (uniform) of ag sononet, random weights."
    )
    assert told in shown.caption and "10,000; p corrected" in shown.caption


def test_the_leave_out_table_holds_every_center_bias_and_the_change():
    (shown,) = report_tables.leave_out_table(made_up.summary())
    assert not {"Center bias", "Uniform noise"} & set(shown.frame["Map"])
    assert set(shown.frame["Change"]) == {"+0.006"}
    row = shown.frame.query("Metric == 'sAUC' and Map == 'Interobserver'").iloc[0]
    assert row["Pooled"].startswith("0.558") and row["Without the image"].startswith("0.564")
    assert report_tables.leave_out_table(made_up.regions()) == []


def test_the_classification_table_has_a_column_per_model_and_says_undefined():
    frame = classification_report.areas(made_up.classification()).frame
    assert list(frame.columns) == ["Label", "Positives", "ag sononet", "sononet"]
    assert frame["Label"].iloc[0] == "Mean of the labels" and frame["Label"].iloc[-1] == "Pleural Other"
    assert frame["sononet"].iloc[-1] == "undefined"


def test_one_label_needs_no_mean():
    frame = made_up.classification()
    one_label = frame[frame["label"].isin(["mean", "Edema"]) & (frame["model"] == "sononet")]
    shown = classification_report.areas(one_label)
    assert list(shown.frame["Label"]) == ["Edema"]
    (sentence,) = answer(made_up.summary().iloc[:0], one_label)
    assert sentence.startswith("The models' AUC for Edema: sononet ")
    drawn = "".join(text.get_text() for axes in classification.draw(one_label).axes for text in axes.texts)
    assert "Edema" in drawn and "Mean of" not in drawn


def test_a_study_without_gaze_and_one_without_anything_still_make_a_page():
    regions = study_page.Evidence(
        "open_cxr", "Is the evidence inside the lungs?", made_up.regions(), areas=made_up.AREAS
    )
    text = study_page.render(regions)
    checked(text)
    assert "sAUC" not in text and "Pointing game" in text and "<h2>Classification" not in text
    assert "no score" in study_page.render(study_page.Evidence("empty", "What is there?"))


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


# ---- trust in maps


def trusting(**changes) -> study_page.Evidence:
    given = {
        "summary": made_up_trust.summary(),
        "agreements": made_up_trust.agreements(),
        "maps": made_up_trust.maps(),
        "asked": [made_up_trust.ASKED],
    }
    return evidence(**{**given, **changes})


def told(**changes) -> str:
    return "\n".join(study_page.trusted(trusting(**changes)))


def test_random_weights_say_which_maps_change_stay_and_turn_over():
    first = told().split("\n")[0]
    change, stay = first.split(" change; ")
    assert "Grad-CAM (0.12)" in change and "LRP (0.40)" in change and "Guided backprop (0.81) stays" in stay
    table = made_up_trust.agreements()
    rise = (table["method_a"] == "rise") & (table["condition_a"] == "random")
    table.loc[rise, ["mean", "low", "high"]] = [-0.9, -0.95, -0.85]
    assert "RISE (\N{MINUS SIGN}0.90) turns its sign" in told(agreements=table)
    table.loc[rise, ["mean", "low", "high"]] = [0.5, 0.4, 0.6]
    assert "of RISE (0.50) the interval does not say" in told(agreements=table)


def test_the_best_probe_names_whose_intervals_overlap_and_says_where_none_stands_out():
    assert "by Deletion, Occlusion with 0.240 [0.220, 0.260] (intervals that overlap: Integrated gr" in told()
    summary = made_up_trust.summary()
    wide = summary["metric"] == "deletion"
    summary.loc[wide, "low"], summary.loc[wide, "high"] = -1.0, 2.0
    assert "by Deletion none stands out (0.24 to 0.36; all" in told(summary=summary)


def test_identities_hold_or_do_not_by_the_stated_tolerance():
    text = told()
    assert "completeness holds to 5 % for HiResCAM, DeepLIFT and Kernel SHAP" in text
    assert "does not for Integrated gradients (0.11); conservation holds to 5 % for LRP" in text
    assert "Guided backprop (1.40): the map's distance from the plain gradient" in text
    maps = made_up_trust.maps()
    maps.loc[maps["method"] == "integrated_gradients", "gap"] = 0.05
    assert "does not for" not in told(maps=maps)


def test_what_did_not_fit_failed_or_is_zero_is_said_with_its_reason():
    text = told()
    assert f"No map of AM1, not applicable: {made_up_trust.WHY}." in text
    assert "Maps that failed: LRP 3 of 364." in text and "zero everywhere: Grad-CAM 2 of 364." in text


def test_two_models_are_told_apart():
    other = dataclasses.replace(made_up_trust.ASKED, model="ag_sononet")
    both = study_page.trusted(trusting(asked=[made_up_trust.ASKED, other]))
    assert both and all(sentence.startswith("sononet on cxr: ") for sentence in both)


def test_without_tables_nothing_is_said_of_trust():
    assert study_page.trusted(evidence()) == []
    assert "Can the maps be trusted?" not in [part.title for part in study_page.sections(evidence())]


def test_the_section_on_trust_has_sentences_figures_and_tables(tmp_path):
    path = tmp_path / "figure.svg"
    style.save(intervals.draw(made_up.summary()), path)
    shown = {name: [study_page.Picture(path, f"{name}?")] for name in ("trust", "agreement")}
    section = study_page.sections(trusting(pictures=shown))[0]
    assert section.title == "Can the maps be trusted?"
    kinds = [type(part).__name__ for part in section.parts]
    assert kinds[:3] == ["Points", "Picture", "Picture"] and set(kinds[3:]) == {"Table"}
    text = study_page.render(trusting(pictures=shown))
    checked(text)
    assert "<li>With random weights" in text.split("<nav")[0]  # the answer at the top says it too


def test_tables_on_trust_hold_the_numbers_and_tables_against_references_do_not():
    found = trust_tables.tables_of(made_up_trust.summary(), made_up_trust.agreements(), made_up_trust.maps())
    probes, altered, ssim, seeds, fate, sparse = found
    assert list(probes.frame.columns) == ["Map", "Deletion", "Insertion", "Sensitivity", "n"]
    assert probes.frame.set_index("Map").loc["Occlusion", "Deletion"] == "0.240 [0.220, 0.260]"
    assert probes.frame.set_index("Map").loc["AM1", "Deletion"] == "not applicable"
    assert list(altered.frame.columns) == ["Map", "rotate180", "last", "last 3", "random weights", "n"]
    assert altered.frame.set_index("Map").loc["Grad-CAM", "random weights"] == "0.12 [0.07, 0.17]"
    assert ssim.frame.set_index("Map").loc["Grad-CAM", "random weights"] == "0.04 [\N{MINUS SIGN}0.01, 0.09]"
    assert list(seeds.frame["Map"])[0] == "RISE" and len(seeds.frame) == 11  # least alike first
    row = fate.frame.set_index("Map").loc["Integrated gradients"]
    assert (row["Identity"], row["Gap"]) == ("completeness", "0.11 [0.037, 0.22]")
    assert fate.frame.set_index("Map").loc["AM1", "Why not"] == made_up_trust.WHY
    assert "Gini index" in sparse.frame
    against = report_tables.scores_tables(made_up_trust.summary(), "image")
    assert len(against) == 1 and set(against[0].frame) == {"Map", "Model", "sAUC", "n", "Scores left out"}


def test_a_probability_is_cut_at_its_ends_and_a_logit_is_not():
    row = {"metric": "deletion", "mean": 0.9, "low": 0.1, "high": 1.8, "excluded_why": ""}
    assert words.estimate(row) == "0.9 [0.1, 1.0]"
    assert words.estimate({**row, "mean": 3.9, "low": 3.1, "high": 4.8}) == "3.9 [3.1, 4.8]"


def test_which_maps_are_asked_about_follows_from_the_configuration():
    study = {
        "datasets": {"cxr": {}, "other": {}},
        "models": {"net": {}, "idle": {}},
        "conditions": {"clean": {"kind": "clean"}, "untrained": {"kind": "randomise"}},
        "methods": {"rise": {"readings": ["signed"]}, "gradcam": {"readings": ["weighted", "uniform"]}},
        "references": {"lungs": {"kind": "region", "datasets": ["other"]}, "gaze": {"kind": "gaze"}},
        "runs": {
            "a": run(["gradcam"], ["clean"], ["cxr", "other"]),
            "b": run(["rise"], ["untrained"], ["cxr"]),
        },
        "statistics": {"primary_center_bias": "image"},
    }
    first, second = facts.asked(study, {})
    assert (first.dataset, first.model, first.readings) == ("cxr", "net", {"gradcam": "weighted"})
    assert (first.reference, second.reference) == ("gaze", "lungs")
    assert first.random == "untrained" and first.center_bias == "image"


def run(methods: list[str], conditions: list[str], datasets: list[str]) -> dict:
    return {"models": ["net"], "datasets": datasets, "conditions": conditions, "methods": methods}
