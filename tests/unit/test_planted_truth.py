"""The planted truth: readers' dwell comes out through the library, and the study asks for all claims."""

from pathlib import Path

import numpy as np
import pytest
import yaml

from sightline import center_bias, gaze
from sightline.datasets import dataset
from sightline.metrics.similarity import sauc
from sightline.phantom import mimic_cxr
from sightline.scores.scoring import others
from sightline.study.grid import Study

ROOT = Path(__file__).resolve().parents[2]
DWELLS = (0.0, 0.2, 0.45, 0.8)
FILMS = {"training": 1, "validation": 0, "test": 0, "phase_1": 24, "phase_2": 0, "phase_3": 0, "discarded": 0}
SMALL = {"height": 128, "width": 112, "traps": 0, "shared_subjects": 0}
PLANTED = {"findings": ["Consolidation", "Pleural Effusion"], "prevalence": {"Consolidation": 0.9}}
SCALE = 1.0  # coarser grids blur the center bias by rounding, which lifts zero dwell a little above a half

# ---- 1. readers


def interobserver_sauc(root: Path, dwell: float) -> np.ndarray:
    """(films,): mean over readers of sAUC against the others, by the center bias without the film."""
    mimic_cxr.write(root, 0, dwell=dwell, **FILMS, **SMALL, **PLANTED)
    read = dataset.read("cxr", root, "mimic_cxr", {}, {"reflacx": {}})
    rows, rendered = gaze.render_all(read.fixations, read.images, read.readings, SCALE)
    maps = rows.assign(map=list(rendered)).groupby("image")["map"].agg(list)
    boxes = center_bias.image_boxes(read.boxes, read.images, "chest") * SCALE
    flat = [(image, values) for image, own in maps.items() for values in own]
    average = center_bias.average(
        [values for _, values in flat],
        [boxes.loc[image] for image, _ in flat],
        [image for image, _ in flat],
    )
    scores = []
    for image, own in maps.items():
        bias = average.without(own, [boxes.loc[image]] * len(own)).place(boxes.loc[image], own[0].shape)
        scores.append(np.mean([sauc(other, one, bias) for other, one in zip(others(own), own)]))
    return np.array(scores)


@pytest.fixture(scope="module")
def by_dwell(tmp_path_factory) -> dict[float, np.ndarray]:
    folder = tmp_path_factory.mktemp("dwell")
    return {dwell: interobserver_sauc(folder / str(dwell), dwell) for dwell in DWELLS}


def test_without_dwell_readers_agree_on_nothing_but_anatomy(by_dwell):
    scores = by_dwell[0.0]
    assert len(scores) == FILMS["phase_1"]
    assert abs(scores.mean() - 0.5) < 3 * scores.std(ddof=1) / np.sqrt(len(scores))
    assert scores.std(ddof=1) / np.sqrt(len(scores)) < 0.005  # so that "near a half" says something


def test_agreement_of_readers_rises_with_dwell(by_dwell):
    for weaker, stronger in zip(DWELLS, DWELLS[1:]):
        gain = by_dwell[stronger] - by_dwell[weaker]  # the same films
        assert gain.mean() > 3 * gain.std(ddof=1) / np.sqrt(len(gain)), (weaker, stronger)
    assert by_dwell[0.8].mean() > 0.65


# ---- the study


@pytest.fixture(scope="module")
def study() -> Study:
    config = yaml.safe_load((ROOT / "config/planted_truth.yaml").read_text(encoding="utf-8"))
    return Study(config, ROOT / "workflow/schemas/config.schema.yaml")


def phantoms(study: Study) -> dict[str, dict]:
    return {name: given["phantom"] for name, given in study.datasets.items()}


def differing(one: dict, other: dict) -> set[str]:
    return {key for key in one if one[key] != other[key]}


def test_four_datasets_differ_in_nothing_but_dwell(study):
    readers = [given for name, given in phantoms(study).items() if name.startswith("dwell_")]
    strengths = [given["dwell"] for given in readers]
    assert len(strengths) == 4 and strengths[0] == 0 and strengths == sorted(set(strengths))
    assert all(differing(readers[0], other) == {"dwell"} for other in readers[1:])
    assert "interobserver" in study.baselines and study.leave_outs == ["image"]
    scored = set(study.scored_datasets)
    assert scored >= {name for name in study.datasets if name.startswith("dwell_")}


def test_follower_and_control_differ_in_nothing_but_what_the_marker_follows(study):
    follower, control = study.models["follower"], study.models["control"]
    assert differing(follower, control) == {"train_on"}
    label, chance = (phantoms(study)[model["train_on"]] for model in (follower, control))
    assert differing(label, chance) == {"shortcut"}
    assert differing(label["shortcut"], chance["shortcut"]) == {"share_with_label", "share_without"}
    assert chance["shortcut"]["share_with_label"] == chance["shortcut"]["share_without"]
    assert label["shortcut"]["share_with_label"] > label["shortcut"]["share_without"]
    assert study.readings_of("lesion")["lesion"]["classes"] == label["shortcut"]["label"]
    assert phantoms(study)["learnable"]["shortcut"] is None


def test_the_claims_have_their_maps_references_and_comparisons(study):
    cells = {(cell.dataset, cell.model, cell.condition, cell.method) for cell in study.scored_cells}
    assert cells == {
        *(
            ("learnable", "finder", condition, method)
            for condition in ("clean", "random")
            for method in ("gradcam", "gradcam_block4")
        ),
        *(
            ("marker_follows", model, "clean", method)
            for model in ("follower", "control")
            for method in ("lesion", "lesion_block4")
        ),
    }
    assert all(len(study.seeds_of(name)) >= 3 for name in study.models)
    assert {"gaze", "finding"} <= set(study.references_of("learnable"))
    assert "marker" in study.references_of("marker_follows")
    for kind in ("finding", "marker"):
        region = study.references[kind]
        assert (region["of"], region["source"], region["reader"]) == (kind, "box", "")
    compared = study.config["statistics"]["comparisons"]
    assert ["gradcam_block4/weighted@finder", "gradcam_block4/weighted@finder+random"] in compared[
        "trained_or_random"
    ]
    assert ["gradcam_block4/weighted@finder", "center_bias"] in compared["map_or_center_bias"]
    assert {"sauc", "pointing_game", "mass_over_area"} <= set(study.config["scores"]["metrics"])


def test_explained_films_are_of_subjects_that_no_model_saw(study, tmp_path):
    """Also those whom upstream has in training; both marked phantoms have the same films to explain."""
    few = {
        "training": 30,
        "validation": 4,
        "test": 2,
        "phase_1": 3,
        "phase_2": 3,
        "phase_3": 6,
        "height": 64,
        "width": 64,
    }
    subjects, films = {}, {}
    for name in ("learnable", "marker_follows", "marker_anywhere"):
        given = study.datasets[name]
        mimic_cxr.write(tmp_path / name, study.seed, **given["phantom"] | few)
        read = dataset.read(
            name, tmp_path / name, given["adapter"], given["adapter_options"], given["annotations"]
        )
        train = read.images["split"] == "train"
        assert not (train & read.images["evaluated"]).any()
        subjects[name] = set(read.images["subject"][train])
        chosen = read.images[read.images["evaluated"]]
        assert not subjects[name] & set(chosen["subject"])
        films[name] = {row.image: (tmp_path / name / row.path).read_bytes() for row in chosen.itertuples()}
    assert subjects["marker_follows"] == subjects["marker_anywhere"]
    assert films["marker_follows"] == films["marker_anywhere"]
