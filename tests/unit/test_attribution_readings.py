"""Readings: class mixes by hand, the order of clip and mix, several layers, and what cannot be read."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from sightline.attribution.readings import (
    CLIPS,
    MIXES,
    Outputs,
    Reading,
    Source,
    class_weights,
    read,
    read_all,
)
from sightline.frames import Frame, resample
from sightline.study.names import CLASS_MIXES

ROOT = Path(__file__).resolve().parents[2]

LABELS = ("No Finding", "Edema", "Nodule")
GRID = Frame.resized((8, 8), (2, 2))
VALUES = np.array([[[1.0, 2], [3, 4]], [[-10, 20], [0, 0]], [[100, -100], [100, 100]]])
IMAGE = Frame.of_image((8, 8))


def one(reading: Reading, outputs: Outputs | None, values=VALUES, targets=LABELS, target=GRID):
    return read([Source("last", targets, values, GRID)], outputs, reading, target)


@pytest.mark.parametrize(
    ("classes", "logits", "expected"),
    [
        ("uniform", [-1, -1, -1], {"No Finding": 1, "Edema": 1, "Nodule": 1}),
        ("weighted", [0, math.log(3), -math.log(3)], {"No Finding": 0.5, "Edema": 0.75, "Nodule": 0.25}),
        ("thresholded", [-1, 0, 2], {"Edema": 1, "Nodule": 1}),  # zero counts, as in the authors' code
        ("thresholded", [-1, -0.5, -2], {"No Finding": 1}),  # none: the first label
        ("predicted", [-3, -1, -2], {"Edema": 1}),
        ("predicted", [2, 2, 1], {"No Finding": 1}),  # the first among equals
        ("labelled", [9, 9, 9], {"Edema": 1, "Nodule": 1}),
        ("Nodule", [9, 9, 9], {"Nodule": 1}),
    ],
)
def test_class_weights_by_hand(classes, logits, expected):
    outputs = Outputs(LABELS, np.array(logits, dtype=float), np.array([math.nan, 1, 1]))
    assert class_weights(outputs, classes) == pytest.approx(expected)


def test_weights_of_extreme_logits_are_finite():
    weights = class_weights(Outputs(LABELS, np.array([-2000.0, 2000, 0])), "weighted")
    assert weights == pytest.approx({"Edema": 1.0, "Nodule": 0.5})


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        ("none", [[-10 + 100, 20 - 100], [100, 100]]),
        ("relu", [[0 + 100, 20 + 0], [100, 100]]),  # each class is clipped, then they are mixed
        ("abs", [[10 + 100, 20 + 100], [100, 100]]),
    ],
)
def test_classes_are_clipped_before_they_are_mixed(clip, expected):
    found = one(Reading("thresholded", clip), Outputs(LABELS, np.array([-1.0, 1, 1])))
    assert found.status == "ok"
    np.testing.assert_allclose(found.values, expected)


def test_clip_comes_after_resampling():
    found = one(Reading("Edema", "relu"), Outputs(LABELS, np.zeros(3)), target=IMAGE)
    expected = np.maximum(resample(VALUES[1], GRID, IMAGE), 0)
    np.testing.assert_allclose(found.values, expected)
    before = resample(np.maximum(VALUES[1], 0), GRID, IMAGE)
    assert np.abs(before - expected).max() > 1  # the two orders differ here


def test_clip_comes_after_layers_are_summed():
    fine = Frame.resized((8, 8), (4, 4))
    up = np.full((3, 4, 4), -1.5)
    sources = [Source("deep", LABELS, VALUES, GRID), Source("early", LABELS, up, fine)]
    outputs = Outputs(LABELS, np.array([1.0, -1, -1]))
    found = read(sources, outputs, Reading("thresholded", "relu"), IMAGE)
    np.testing.assert_allclose(found.values, np.maximum(resample(VALUES[0], GRID, IMAGE) - 1.5, 0))


def test_readings_given_together_are_those_given_alone():
    outputs = Outputs(LABELS, np.array([-0.3, 0.2, 1.5]), np.array([0.0, 1, 0]))
    readings = [
        Reading(mix, clip)
        for mix in ("uniform", "weighted", "thresholded", "predicted", "labelled", "Nodule", "none")
        for clip in ("none", "relu", "abs")
    ]
    source = Source("last", LABELS, VALUES, GRID)
    for reading, together in zip(readings, read_all([source], outputs, readings, IMAGE)):
        alone = read([source], outputs, reading, IMAGE)
        assert (together.status, together.reason) == (alone.status, alone.reason)
        if reading.classes != "none":
            np.testing.assert_allclose(together.values, alone.values, atol=1e-12)


def test_a_mix_is_linear_without_a_clip():
    outputs = Outputs(LABELS, np.array([0.4, -0.7, 2.0]))
    psi = 1 / (1 + np.exp(-outputs.logits))
    found = one(Reading("weighted"), outputs, target=IMAGE)
    np.testing.assert_allclose(found.values, resample(np.tensordot(psi, VALUES, 1), GRID, IMAGE), atol=1e-12)


@pytest.mark.parametrize("classes", ["none", "weighted", "Edema"])
def test_maps_without_class_are_not_mixed(classes):
    found = one(Reading(classes), None, values=VALUES[:1], targets=("",))
    np.testing.assert_array_equal(found.values, VALUES[0])


@pytest.mark.parametrize(
    ("classes", "outputs", "word"),
    [
        ("labelled", Outputs(LABELS, np.zeros(3), np.array([0, 0, math.nan])), "labelled positive"),
        ("labelled", Outputs(LABELS, np.zeros(3)), "labelled positive"),
        ("Fracture", Outputs(LABELS, np.zeros(3)), "Fracture"),
        ("none", Outputs(LABELS, np.zeros(3)), "several classes"),
        ("weighted", None, "not known"),
        ("thresholded", Outputs(LABELS, np.array([0, math.nan, 0])), "not finite"),
        ("predicted", Outputs((*LABELS, "Other"), np.array([0, 0, 0, 1.0])), "Other"),
    ],
)
def test_what_cannot_be_read_says_why(classes, outputs, word):
    found = one(Reading(classes), outputs)
    assert found.values is None
    assert found.status == "not_applicable"
    assert word in found.reason


def test_no_map_is_a_failure_and_not_a_zero_map():
    found = read([], None, Reading(), IMAGE)
    assert (found.values, found.status) == (None, "failed")


def test_layers_must_hold_the_same_classes():
    sources = [Source("a", LABELS, VALUES, GRID), Source("b", LABELS[::-1], VALUES, GRID)]
    found = read(sources, Outputs(LABELS, np.zeros(3)), Reading("uniform"), IMAGE)
    assert found.status == "failed"


def test_volumes_are_read_alike():
    values = np.random.default_rng(0).normal(size=(3, 2, 3, 4))
    frame, image = Frame.resized((4, 6, 8), (2, 3, 4)), Frame.of_image((4, 6, 8))
    source = Source("last", LABELS, values, frame)
    found = read([source], Outputs(LABELS, np.zeros(3)), Reading("uniform", "relu"), image)
    np.testing.assert_allclose(found.values, np.maximum(resample(values, frame, image), 0).sum(axis=0))


def test_unknown_clips_are_refused():
    with pytest.raises(ValueError, match="sqrt"):
        Reading("uniform", "sqrt")


def test_reading_needs_no_torch():
    code = "import sys, sightline.attribution.store; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})


def test_a_configuration_may_ask_for_every_mix_and_clip_and_no_other():
    schema = yaml.safe_load((ROOT / "workflow/schemas/config.schema.yaml").read_text())
    clip = schema["properties"]["readings"]["additionalProperties"]["properties"]["clip"]
    assert CLASS_MIXES == MIXES and set(clip["enum"]) == set(CLIPS)
