"""Right against wrong on the page: sentences, figure and table say what the tables say."""

import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

from sightline import contrasts, statistics, tables
from sightline.figures import strata, style, words
from sightline.intervals import Options
from sightline.report import digest, facts, prediction_answers, report_tables, study_page
from sightline.report.answers import answer
from sightline.report.facts import Plan

PARTS = ("lesion", "rest_of_breast", "outside_breast")
METHODS = {"gradcam": 0.3, "occlusion": 0.15, "gradient": 0.0}  # how well each finds the lesion
AREAS = {("cbis", "lesion"): 0.0123, ("cbis", "rest_of_breast"): 0.4, ("cbis", "outside_breast"): 0.59}
PLAN = Plan(
    places=[("cbis", name) for name in PARTS],
    maps=[("vit", name, "signed") for name in METHODS],
    parts={"lesion": list(PARTS[1:])},
)
OPTIONS = Options(resamples=400)


def made(images: int = 60, seeds: int = 3, share: float = 0.3, better: float = 0.2):
    """Scores of maps that find the lesion less where the model is wrong, and strata of its predictions."""
    random = np.random.default_rng(0)
    wrong = random.random((images, seeds)) < share
    rows = []
    for method, found in METHODS.items():
        for image in range(images):
            for seed in range(seeds):
                mass = np.clip(0.1 + found * (1 if not wrong[image, seed] else 1 - better / 0.3), 0.01, 0.9)
                mass = float(np.clip(mass + 0.05 * random.normal(), 0.001, 0.95))
                rest = (1 - mass) * 0.7
                place = {"method": method, "image": f"i{image}", "subject": f"s{image}", "seed": seed}
                for part, value in zip(PARTS, (mass, rest, 1 - mass - rest)):
                    rows.append(place | {"reference": part, "metric": "mass_inside", "value": value})
                shuffled = 0.5 + mass - 0.1 + 0.02 * random.normal()
                rows.append(
                    place
                    | {"reference": "lesion", "metric": "sauc", "value": shuffled, "center_bias": "image"}
                )
    scores = pd.DataFrame(rows).fillna({"center_bias": ""}).assign(
        dataset="cbis", model="vit", condition="clean", reading="signed", reader="", status="ok", reason=None
    )  # fmt: skip
    levels = [
        {"dataset": "cbis", "image": f"i{image}", "stratum": "prediction", "model": "vit", "seed": seed,
         "value": "wrong" if wrong[image, seed] else "correct"}
        for image in range(images) for seed in range(seeds)
    ]  # fmt: skip
    return tables.conform("scores", scores, "test").to_pandas(), pd.DataFrame(levels)


@pytest.fixture(scope="module")
def study() -> tuple[pd.DataFrame, pd.DataFrame]:
    scores, levels = made()
    summary = statistics.summarise_strata(scores, levels, interval=OPTIONS)
    found = contrasts.contrast(scores, levels, options=OPTIONS)
    return tuple(
        tables.conform(name, frame, "test").to_pandas()
        for name, frame in (("summary", summary), ("contrasts", found))
    )


def row(frame: pd.DataFrame, **values) -> pd.Series:
    for column, value in values.items():
        frame = frame[frame[column] == value]
    assert len(frame) == 1, values
    return frame.iloc[0]


def test_the_two_questions_are_answered_from_the_tables(study):
    summary, differences = study
    first, second = prediction_answers.answers(summary, differences, PLAN, AREAS, "image")
    at = {"method": "gradcam", "stratum": "prediction"}
    for level, said in (("correct", "right"), ("wrong", "wrong")):
        mass = row(summary, reference="lesion", metric="mass_inside", level=level, **at)
        sauc = row(summary, reference="lesion", metric="sauc", level=level, **at)
        held = f"{mass['images']} images under some seed"
        assert f"when it is {said} ({held}), {words.estimate(mass)} of its mass lies inside" in first
        assert f"sAUC {words.estimate(sauc)}" in first
    mass = row(differences, reference="lesion", metric="mass_inside", method="gradcam")
    assert f"right less wrong, difference of the mass {words.difference(mass)} and of sAUC " in first
    assert mass["low"] > 0.1 and mass["difference"] == pytest.approx(0.2, abs=0.03)
    rest, outside = (words.estimate(row(summary, reference=part, level="wrong", **at)) for part in PARTS[1:])
    assert first.endswith(
        f"Of its mass when the model is wrong: {rest} in rest of breast and {outside} in outside breast."
    )
    assert first.startswith("Grad-CAM (signed) of vit against lesion (share of the area: 0.012): ")
    order = ["Grad-CAM", "Occlusion", "Gradient"]
    assert second.startswith("Which maps of vit find lesion, by sAUC over all images (chance 0.5): Grad-CAM ")
    assert [name for name in re.findall("Grad-CAM|Occlusion|Gradient", second)] == order
    assert second.endswith("2 of 3 do better than chance.")


def test_the_shares_of_the_parts_add_up(study):
    summary, _ = study
    at = {"method": "gradcam", "metric": "mass_inside", "stratum": "prediction", "level": "wrong"}
    assert sum(row(summary, reference=part, **at)["mean"] for part in PARTS) == pytest.approx(1, abs=1e-9)


def test_a_model_that_is_never_wrong_says_so():
    scores, levels = made(images=20, share=0.0)
    summary = statistics.summarise_strata(scores, levels, interval=OPTIONS)
    found = contrasts.contrast(scores, levels, options=OPTIONS)
    first, _ = prediction_answers.answers(summary, found, PLAN, AREAS, "image")
    assert "when it is wrong, there is no image to tell from." in first
    assert "difference" not in first and "Of its mass when" not in first


def test_a_study_without_predictions_or_parts_says_nothing(study):
    summary, differences = study
    assert prediction_answers.answers(summary, differences, Plan(places=PLAN.places)) == []
    plain = summary[summary["stratum"] == ""]
    (ranked,) = prediction_answers.answers(plain, tables.empty("contrasts"), PLAN)
    assert ranked.startswith("Which maps of vit")
    assert prediction_answers.answers(tables.empty("summary"), tables.empty("contrasts"), PLAN) == []


def test_a_lesion_is_a_region_although_it_has_a_center_bias(study):
    summary, _ = study
    assert words.is_region(["sauc", "mass_inside"], "lesion") and not words.is_region(["sauc", "auc"])
    assert words.main_metric(["sauc", "mass_inside", "mass_over_area"], "lesion") == "sauc"
    assert words.main_metric(["mass_inside", "auc"], "lungs") == "mass_inside"
    sentences = answer(summary, plan=PLAN, areas=AREAS, center_bias="image")
    assert "of its mass inside lesion, whose share of the area is 0.012;" in sentences[0]


def test_the_plan_knows_what_is_found_and_where_else_a_map_may_look():
    region = {"kind": "region", "of": "breast", "source": "mask"}
    found = facts.plan(
        {
            "datasets": {"cbis": {}},
            "methods": {},
            "models": {},
            "references": {
                "lesion": region | {"of": "lesion", "center_bias": True},
                "breast": region,
                "rest": region | {"minus": "lesion"},
                "outside": region | {"minus": "lesion", "outside": True},
            },
        }
    )
    assert found.parts == {"lesion": ["rest", "outside"]}


def test_the_figure_has_a_mark_per_level_correct_first(study):
    summary, _ = study
    here = summary[summary["reference"] == "lesion"]
    figure = strata.draw(here, stratum="prediction", center_bias="image")
    told = [item.get_text() for item in figure.findobj(Text)]
    labels = [text for text in told if re.match(r"(correct|wrong) \(n = ", text)]
    assert [label.split(" ")[0] for label in labels] == ["correct", "wrong"]
    axes = next(axes for axes in figure.axes if axes.get_title() == "Mass inside")
    drawn = sorted(
        float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() not in ("None", None, "")
    )
    chosen = here[(here["stratum"] == "prediction") & (here["metric"] == "mass_inside")]
    assert drawn == pytest.approx(sorted(chosen["mean"]))
    caption = strata.caption(here, stratum="prediction", center_bias="image")
    assert "may belong to one level under one seed and to another under the next" in caption


def test_levels_stand_in_a_readers_order():
    sizes = ["large (above 3 %)", "medium (up to 3 %)", "small (up to 1 % of the image)"]
    frame = pd.DataFrame({"level": [*sizes, "x"]})
    assert strata._levels(frame) == [*sizes[::-1], "x"]
    outcomes = ["false negative", "false positive", "true negative", "true positive"]
    assert strata._levels(pd.DataFrame({"level": outcomes}))[0] == "true positive"
    assert len({look for look in strata.LOOKS}) == 8  # so many levels are told apart


def test_the_table_has_both_levels_and_the_difference(study):
    summary, differences = study
    (lesion, rest, _) = report_tables.contrasts_tables(differences, summary, "image")
    assert list(lesion.frame["Metric"])[:3] == ["sAUC"] * 3 and len(lesion.frame) == 6
    first = lesion.frame.iloc[3]
    assert first["Map"] == "Grad-CAM, signed" and first["Metric"] == "Mass inside"
    found = row(differences, method="gradcam", metric="mass_inside", reference="lesion")
    assert first["Difference"] == words.difference(found)
    assert first["Images"] == f"{found['images_first']} and {found['images_second']}"
    level = {"method": "gradcam", "metric": "mass_inside", "reference": "lesion", "level": "wrong"}
    assert first["Wrong"] == words.estimate(row(summary, **level))
    assert "right and wrong" in lesion.caption and len(rest.frame) == 3


def test_the_page_opens_with_the_answer(study, tmp_path):
    summary, differences = study
    path = tmp_path / "figure.svg"
    style.save(strata.draw(summary[summary["reference"] == "lesion"], stratum="prediction"), path)
    evidence = study_page.Evidence(
        title="cbis", question="?", summary=summary, contrasts=differences, plan=PLAN, areas=AREAS,
        center_bias="image", pictures={"strata": [study_page.Picture(path, "Do they?")]},
    )  # fmt: skip
    text = study_page.render(evidence)
    opening = text[: text.index("Groups of images")]
    assert "when it is wrong" in opening and "Which maps of vit find lesion" in opening
    assert text.index("Groups of images") < text.index("do maps differ between images about which")


def test_the_digest_holds_the_table_and_the_ranking(study, tmp_path):
    for name, table in zip(("summary", "contrasts"), study):
        tables.write(name, table, tmp_path / f"{name}.parquet")
    for name in ("comparisons", "classification"):
        tables.write(name, tables.empty(name), tmp_path / f"{name}.parquet")
    text = digest.digest(tmp_path)
    assert "## Right and wrong predictions" in text
    (lesion, *_) = report_tables.contrasts_tables(study[1], study[0])
    assert digest.markdown(lesion) in text
    (tmp_path / "contrasts.parquet").unlink()  # of a study made before there were any
    assert "Right and wrong" not in digest.digest(tmp_path)
