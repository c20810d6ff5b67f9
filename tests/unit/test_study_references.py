"""What a configuration may say of regions and of the strata that a study makes, and what follows from it."""

import pytest

from sightline.errors import ConfigError
from sightline.study import references, shown, strata
from sightline.study.grid import Study
from tests.unit.test_study import SCHEMA

LESION = {"kind": "region", "of": "lesion", "source": "mask"}
BREAST = {"kind": "region", "of": "breast", "source": "mask"}
TIDY = {"adapter": {"name": "tidy"}}


def study(found: dict | None = None, statistics: dict | None = None, **changes) -> Study:
    """Exclusive labels, a model of several labels beside, two methods under two conditions; no gaze."""
    net = {"architecture": {"name": "sononet16"}, "train_on": "cbis", "labels": "pathology", "recipe": "soft"}
    config = {
        "study": "mammography",
        "datasets": {"cbis": TIDY | {"box": "breast"}, "digits": TIDY},
        "label_sets": {"pathology": ["benign", "malignant"], "kinds": ["mass", "calcification"]},
        "recipes": {"soft": {"loss": "categorical"}, "each": {"loss": "binary"}},
        "models": {"net": net, "several": net | {"labels": "kinds", "recipe": "each"}},
        "conditions": {"clean": {"kind": "clean"}, "drawn": {"kind": "randomise"}},
        "readings": {"predicted": {"classes": "predicted"}},
        "methods": {name: {"kind": name, "readings": ["predicted"]} for name in ("gradcam", "gradient")},
        "runs": {
            "main": {"models": ["net", "several"], "seeds": [0, 1], "datasets": ["cbis"],
                     "conditions": ["clean", "drawn"], "methods": ["gradcam", "gradient"]},
        },
        "references": {"lesion": LESION | {"center_bias": True}} if found is None else found,
        "statistics": statistics or {},
    }  # fmt: skip
    return Study(config | changes, SCHEMA)


PARTS = {
    "lesion": LESION | {"center_bias": True, "alike": ["side"], "datasets": ["cbis"]},
    "breast": BREAST,
    "rest": BREAST | {"minus": "lesion", "datasets": ["cbis"]},
    "outside": BREAST | {"minus": "lesion", "outside": True, "datasets": ["cbis"]},
}


def test_regions_are_made_with_what_they_are_made_of():
    made = references.regions(study(PARTS), "cbis")
    plain = {"of": "breast", "source": "mask", "label": None, "reader": None}
    assert made["breast"] == plain  # as before there were others: a render is not made again
    assert made["rest"] == plain | {"minus": "lesion"}
    assert made["outside"] == plain | {"minus": "lesion", "outside": True}
    assert set(references.regions(study(PARTS), "digits")) == {"breast"}
    assert references.centred(study(PARTS), "cbis") == {"lesion": ["side"]}
    assert references.centred(study(PARTS), "digits") == {}


def test_lungs_are_drawn_for_the_hull_alone():
    assert "lungs" not in references.regions(study(PARTS, baselines=["center_bias"]), "cbis")
    assert references.regions(study(PARTS, baselines=["hull"]), "cbis")["lungs"]["of"] == "lungs"


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"rest": BREAST | {"minus": "lesion"}}, "references.rest.minus: 'lesion' is no region|there: none"),
        ({**PARTS, "x": BREAST | {"minus": "rest"}}, "references.x.minus|without 'minus'|lesion, breast"),
        ({**PARTS, "x": BREAST | {"minus": "lesion"}}, "references.x.minus|not held by the dataset digits"),
        ({"eyes": {"kind": "gaze", "center_bias": True}}, "references.eyes|only a region|center_bias"),
        ({"eyes": {"kind": "gaze", "outside": True}}, "references.eyes|outside"),
        ({"gaze": LESION | {"center_bias": True}}, "references.gaze|may not be called 'gaze'"),
        ({"lesion": LESION | {"alike": ["side"]}}, "references.lesion|set center_bias: true"),
        ({"lesion": {"kind": "region", "of": "lesion"}}, "references.lesion|source"),
    ],
)  # fmt: skip
def test_references_that_cannot_be_made_are_refused(found, said):
    with pytest.raises(ConfigError) as error:
        study(found)
    for words in said.split("|"):
        assert words in str(error.value)


def test_the_primary_center_bias_of_a_lesion_must_be_made():
    with pytest.raises(ConfigError, match="primary_center_bias"):
        study(statistics={"primary_center_bias": "subject"})
    assert study({"lesion": LESION}, {"primary_center_bias": "subject"})  # nothing has one


@pytest.mark.parametrize(
    ("statistics", "said"),
    [
        ({"strata": ["outcome"]}, ["'outcome' needs statistics.positive"]),
        ({"strata": ["outcome"], "positive": ["mass"]}, ["statistics.positive: 'mass'", "benign, malignant"]),
    ],
)
def test_strata_that_cannot_be_made_are_refused(statistics, said):
    with pytest.raises(ConfigError) as error:
        study(statistics=statistics)
    for words in said:
        assert words in str(error.value)


def test_a_study_of_several_labels_alone_has_no_right_and_wrong():
    several = study().config["models"]["several"]
    runs = {"main": {"models": ["several"], "seeds": [0], "datasets": ["cbis"], "methods": ["gradcam"]}}
    with pytest.raises(ConfigError, match="'prediction' needs a model with one label, or with labels that"):
        study(statistics={"strata": ["prediction"]}, models={"several": several}, runs=runs)


def test_predictions_are_taken_once_per_model_and_seed_of_unaltered_images():
    made = study(statistics={"strata": ["view", "prediction", "lesion_size"]})
    assert strata.judged(made) == {"net": ["benign", "malignant"]}
    cells = [(cell.model, cell.seed, cell.condition, cell.method) for cell in strata.predicted_cells(made)]
    assert cells == [("net", 0, "clean", "gradcam"), ("net", 1, "clean", "gradcam")]
    assert strata.sized(made) == ["lesion"] and strata.of_model(made) == ["prediction"] and strata.made(made)
    plain = study(statistics={"strata": ["view", "size"]})
    assert strata.predicted_cells(plain) == [] and not strata.made(plain)
    fewer = {"models": ["net"], "seeds": [0], "datasets": ["cbis"], "methods": ["gradient"], "at_most": 5}
    other = study(
        statistics={"strata": ["prediction"]},
        runs={"few": fewer, "all": fewer | {"methods": ["gradcam"], "at_most": None}},
    )
    assert len(strata.predicted_cells(other)) == 2  # of five images, and of all


def test_one_label_is_right_or_wrong_too():
    made = study(label_sets={"pathology": ["malignant"], "kinds": ["mass", "calcification"]})
    assert strata.judged(made) == {"net": ["malignant"]}


def test_parts_of_an_image_have_strata_of_predictions_alone():
    names = shown.score_figures(
        study(PARTS, {"strata": ["view", "prediction"]}, center_bias={"leave_out": ["image", "none"]})
    )
    of = {kind: {name.split(".")[-1] for name in names if name.startswith(kind)} for kind in (
        "intervals", "strata.view", "strata.prediction", "distributions", "center_bias")}  # fmt: skip
    assert (
        of["intervals"]
        == of["distributions"]
        == of["strata.prediction"]
        == {"lesion", "breast", "rest", "outside"}
    )
    assert of["strata.view"] == {"lesion", "breast"} and of["center_bias"] == {"lesion"}
