"""A configuration is held against the schema and its own names before anything runs."""

import copy
from pathlib import Path

import pytest
import yaml

from sightline import options
from sightline.errors import ConfigError
from sightline.study import costs as study_costs
from sightline.study import training as study_training
from sightline.study.grid import ARCHITECTURES, Cell, Study

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
TINY = yaml.safe_load((ROOT / "tests/workflow/study.yaml").read_text())


def study(**changes: object) -> Study:
    """The tiny study with changes by dotted key, e.g. ``{"runs.main.seeds": [1]}``; None deletes a key."""
    config = copy.deepcopy(TINY)
    for path, value in changes.items():
        *above, last = path.split(".")
        section = config
        for key in above:
            section = section.setdefault(key, {})
        if value is None:
            del section[last]
        else:
            section[last] = value
    return Study(config, SCHEMA)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_every_shipped_configuration_is_valid(path):
    given = yaml.safe_load(path.read_text())
    assert Study(given, SCHEMA).name == given["study"]
    assert given["study"] == {"config.yaml": "demo"}.get(path.name, path.stem)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sed": 1}, ["sed", "did you mean 'seed'"]),
        ({"datasets.cxr.bx": "chest"}, ["datasets.cxr.bx", "box"]),
        ({"datasets.cxr.adapter": {"name": "mimic"}}, ["datasets.cxr.adapter", "mimic_cxr"]),
        ({"datasets.cxr.adapter": {"name": "mimic_cxr", "view": ["PA"]}}, ["adapter.view", "views"]),
        ({"datasets.cxr.annotations": {"reflax": {}}}, ["reflax", "reflacx"]),
        ({"seed": "zero"}, ["seed", "integer"]),
        ({"recipes.one_epoch.optimizer": {"lr": "1e-4"}}, ["recipes.one_epoch.optimizer.lr", "1.0e-4"]),
        ({"models.small.recipe": "fast"}, ["models.small.recipe", "one_epoch"]),
        ({"models.small.architecture": {"name": "resnet"}}, ["architecture", "sononet16"]),
        ({"methods.gradcam.kind": "grad_cam"}, ["methods.gradcam", "gradcam", "attention"]),
        ({"methods.gradcam.layer": ["last"]}, ["methods.gradcam.layer", "layers"]),
        ({"methods.gradcam.readings": ["weighed"]}, ["methods.gradcam.readings", "weighted"]),
        ({"readings.weighted.classes": "heavy"}, ["readings.weighted.classes", "thresholded"]),
        ({"readings.weighted.clip": "positive"}, ["readings.weighted.clip", "relu"]),
        ({"runs.main.seeds": []}, ["runs.main.seeds"]),
        ({"runs.main.datasets": ["mri"]}, ["runs.main.datasets", "cxr"]),
        ({"conditions.clean.kind": "blurred"}, ["conditions.clean", "randomise"]),
        ({"conditions.clean.layers": 1}, ["conditions.clean.layers"]),
        (
            {"conditions.noise": {"kind": "gaussian_noise", "deviaton": 5}},
            ["conditions.noise.deviaton", "did you mean 'deviation'"],
        ),
        ({"conditions.drawn": {"kind": "randomise", "layers": 0}}, ["drawn.layers", "minimum of 1"]),
        ({"conditions.drawn": {"kind": "randomise", "layers": "last"}}, ["conditions.drawn.layers", "last"]),
        ({"conditions.warped": {"kind": "affine", "shift": [0.1]}}, ["conditions.warped.shift"]),
        ({"scores.metrics": ["nss"]}, ["scores.metrics", "sauc"]),
        ({"references.lungs.source": None}, ["references.lungs", "source"]),
        ({"baselines": ["interobservers"]}, ["baselines", "interobserver"]),
        ({"center_bias.leave_out": ["subject"]}, ["statistics.primary_center_bias", "subject"]),
        (
            {"statistics.comparisons": {"one": [["gradcam@small", "lime"]]}},
            ["comparisons.one", "lime", "gradcam"],
        ),
        ({"limits.max_jobs": 5}, ["limits.max_jobs", "5"]),
        ({"datasets.cxr.phantom.film": 3}, ["datasets.cxr.phantom.film"]),
        (
            {"datasets.cxr.adapter": {"name": "tidy"}},
            ["datasets.cxr.phantom", "'tidy' is none of the modules of sightline.phantom", "mimic_cxr"],
        ),
    ],
)
def test_a_configuration_that_cannot_run_is_refused_with_its_key(changes, said):
    with pytest.raises(ConfigError) as error:
        study(**changes)
    for words in said:
        assert words in str(error.value)


def exclusive(**changes: object) -> Study:
    """The tiny study with labels that exclude each other, read as those of a softmax."""
    readings = {"readings.said": {"classes": "predicted"}, "readings.sure": {"classes": "thresholded"}}
    said = {f"methods.{name}.readings": ["said"] for name in ("gradcam", "detail")}
    softmax = {"recipes.one_epoch.loss": "categorical", "probes.deletion.output": "softmax"}
    return study(**readings | said | softmax | changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"methods.gradcam.readings": ["weighted"]}, ["readings.weighted.classes", "'small'", "predicted"]),
        ({"methods.detail.readings": ["said", "sure"]}, ["readings.sure.classes", "'own'", "thresholded"]),
        ({"probes.deletion.output": "sigmoid"}, ["probes.deletion.output", "'small'", "softmax"]),
        # sigmoid is what it has by default
        ({"probes.deletion": {"kind": "deletion"}}, ["probes.deletion.output", "softmax"]),
    ],
)
def test_outputs_of_exclusive_labels_are_not_read_as_sigmoids(changes, said):
    assert study_training.exclusive(exclusive(), "small")
    with pytest.raises(ConfigError) as error:
        exclusive(**changes)
    for words in said:
        assert words in str(error.value)


def test_images_are_masked_by_no_reading_of_sigmoids_where_labels_exclude_each_other():
    masked = TINY["models"]["small"] | {"training_condition": "roar50"}
    with pytest.raises(ConfigError, match=r"readings.weighted.classes.*'small' exclude each other"):
        exclusive(**{"training_conditions": {"roar50": ROAR}, "models.masked": masked})
    said = ROAR | {"reading": "said"}
    assert exclusive(**{"training_conditions": {"roar50": said}, "models.masked": masked}).trained


def test_the_grid_is_the_union_of_the_runs_without_repetition():
    again = TINY["runs"]["main"] | {"seeds": [0, 1], "methods": ["gradcam"]}
    found = study(**{"runs.again": again}).cells
    assert found == [
        Cell("cxr", "own", 0, "clean", "detail"),
        Cell("cxr", "small", 0, "clean", "absent"),
        Cell("cxr", "small", 0, "clean", "gradcam"),
        Cell("cxr", "small", 0, "turned", "gradcam"),
        Cell("cxr", "small", 1, "clean", "gradcam"),
    ]


def test_two_runs_may_not_place_one_cell_differently():
    again = TINY["runs"]["main"] | {"placement": "usual_resize"}
    with pytest.raises(ConfigError, match="runs.again"):
        _ = study(**{"runs.again": again}).cells


def test_defaults_are_filled_in_at_every_depth():
    found = study()
    assert found.config["limits"]["max_jobs"] == 5000
    assert found.datasets["cxr"]["adapter_options"]["views"] == ["PA", "AP"]
    assert found.recipe_of("small")["optimizer"]["name"] == "adam"
    assert found.sides_of("cxr") == [32]


def test_conditions_have_the_options_of_their_kind():
    noise = {"kind": "gaussian_noise", "deviation": 25.5}
    found = study(
        **{"conditions.noise": noise, "conditions.two": {"kind": "randomise", "layers": 2}}
    ).conditions
    assert found["clean"] == {"kind": "clean", "options": {}}
    assert found["noise"] == {"kind": "gaussian_noise", "options": {"deviation": 25.5}}
    assert found["two"]["options"] == {
        "layers": 2, "order": "top_down", "mode": "cascading", "stages": "layers"
    }  # fmt: skip


def test_cells_that_cost_the_same_are_forecast_once():
    found = study_costs.alike(study(**{"runs.main.seeds": [0, 1]}))
    assert [(group["model"], group["method"], group["cells"]) for group in found] == [
        ("own", "detail", 1),
        ("small", "absent", 2),
        ("small", "gradcam", 3),  # two seeds, and one under another condition
    ]
    deletion = found[2]["probes"]["deletion"]
    assert (deletion["kind"], deletion["cells"], deletion["probed"]) == ("deletion", 2, 3)
    assert found[2]["what"]["kind"] == "all_classes" == found[2]["targets"]


ROAR = {"kind": "mask_by_map", "model": "small", "method": "gradcam", "reading": "weighted", "fraction": 0.5}


def with_roar(condition: dict | None = None, **model: object) -> Study:
    """The tiny study with a model that is trained on images masked by the maps of `small`."""
    chosen = TINY["models"]["small"] | {"training_condition": "roar50"} | model
    return study(**{"training_conditions": {"roar50": condition or ROAR}, "models.masked": chosen})


def test_a_model_of_masked_images_has_the_seeds_of_the_one_that_masks_them():
    assert with_roar().trained == [("masked", 0), ("own", 0), ("small", 0)]
    found = study_training.masking_of(with_roar(), "masked")
    assert (found["base"], found["fraction"], found["order"]) == ("small", 0.5, "highest")
    assert found["reading"] == {"classes": "weighted", "clip": "relu"}
    assert found["setting"]["method"] == "gradcam" and found["setting"]["targets"]["kind"] == "all_classes"
    random = {"kind": "mask_by_map", "model": "small", "fraction": 0.5, "order": "random"}
    assert study_training.masking_of(with_roar(random), "masked")["setting"]["method"] is None


@pytest.mark.parametrize(
    ("condition", "model", "said"),
    [
        (ROAR | {"model": "smal"}, {}, ["roar50.model", "did you mean 'small'"]),
        (ROAR | {"method": None}, {}, ["roar50.method", "gradcam"]),
        (ROAR | {"reading": "wide"}, {}, ["roar50.reading", "weighted"]),
        (ROAR | {"fraction": 1.5}, {}, ["roar50.fraction"]),
        (ROAR | {"model": "masked"}, {}, ["itself trained on masked images"]),
        (ROAR, {"training_condition": "roar5"}, ["masked.training_condition", "did you mean 'roar50'"]),
        (ROAR, {"train_on": "own"}, ["train_on is own", "must be the same"]),
    ],
)
def test_masking_that_cannot_be_is_refused(condition, model, said):
    with pytest.raises(ConfigError) as error:
        with_roar(condition, **model)
    for words in said:
        assert words in str(error.value)


@pytest.mark.parametrize(("adapter", "option"), [("cbis_ddsm", "mass_train"), ("inbreast", "patients")])
def test_a_phantom_has_the_options_of_its_datasets_adapter(adapter, option):
    changes = {
        "datasets.cxr.adapter": {"name": adapter},
        "datasets.cxr.annotations": {"phantom_truth": {}},
        "datasets.cxr.phantom": {option: 3, "marker": {}},
    }
    phantom = study(**changes).datasets["cxr"]["phantom"]
    assert phantom[option] == 3
    assert phantom["height"] == 320
    assert phantom["marker"]["corner"] == "lower right"
    with pytest.raises(ConfigError, match="datasets.cxr.phantom.dwell"):
        study(**changes | {"datasets.cxr.phantom": {"dwell": 0.5}})


def test_what_matters_to_a_trainings_start_alone_reruns_nothing_that_explains():
    changes = {
        "models.small.architecture": {"name": "timm", "arguments": {"model": "resnet18"}},
        "methods.gradcam.layers": ["last"],
        "training_conditions": {"half": ROAR},
        "models.masked": TINY["models"]["small"] | {"training_condition": "half"},
    }
    first = study(**changes)
    changed = study(**changes, **{"models.small.architecture.arguments.unreachable": "error"})
    assert changed.models["small"]["arguments"] != first.models["small"]["arguments"]  # what trains is told
    for of in (
        lambda one: study_training.built_with(one, "small"),
        study_costs.models,
        lambda one: study_training.masking_of(one, "masked"),
    ):
        assert of(changed) == of(first)
    assert study_training.built_with(first, "small")["weights"] == "random"
    for name in options.available(ARCHITECTURES):
        stated = options.read(f"{ARCHITECTURES}.{name}")
        assert {*stated.get("OF_START", ())} <= set(stated["OPTIONS"])


def test_datasets_of_one_source_are_held_against_each_other():
    films = TINY["datasets"]["cxr"] | {"phantom": None, "redistributable": False}
    run = {"models": ["small"], "seeds": [0], "methods": ["gradcam"]}
    changes = {
        "datasets.cxr": films,
        "datasets.later": films,
        "runs.later": run | {"datasets": ["later"]},
        "runs.tidy": run | {"datasets": ["own"]},  # another adapter: its names mean others
    }
    assert study_training.crossings(study(**changes)) == [["cxr", "later"]]
    drawn = changes | {"datasets.later": TINY["datasets"]["cxr"]}  # a phantom's subjects are nobody
    assert study_training.crossings(study(**drawn)) == [] == study_training.crossings(study())
