"""What explaining will cost: passes as counted, storage as written, memory in closed form, limits."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sightline import tables
from sightline.attribution import batches, maps, planning, store
from sightline.attribution.explained import Explained
from sightline.attribution.planning import Part, Speed
from sightline.attribution.probing import Probe
from sightline.errors import ConfigError
from sightline.explanation import forecasting
from sightline.explanation.forecasting import Dataset, Network
from sightline.frames import Frame
from tests.zoo import LABELS, ZOO

SHAPE = (3, 32, 32)
IMAGES = {f"i{index}": SHAPE for index in range(5)}
TRUTH = {
    "i0": [1, 0, 0, 0],
    "i1": [1, 1, 1, 0],
    "i2": [0, 0, 0, 0],
    "i3": [0, np.nan, 1, 0],
    "i4": [1, 1, 1, 1],
}
ONE = Speed(SHAPE, 2.0, 3.0, 500.0, 100.0)


def truth(image):
    return np.array(TRUTH[image], dtype=float)


# ---- a network's speed


def test_bytes_of_a_pass_are_those_of_its_tensors():
    network = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 5, 1), nn.Flatten(), nn.Linear(80, 4))
    speed = planning.measured(Explained(network, LABELS), (3, 4, 4))
    assert speed.forward > 0 < speed.backward
    # of all values only the ReLU's are kept: the layers after it are linear, and their weights are frozen
    assert speed.graph_bytes == 4 * 3 * 16
    # flattening has the most: its input and its output
    assert speed.pass_bytes == 4 * (5 * 16 + 5 * 16)
    assert speed.times((3, 8, 4)) == 2.0


def test_gradients_that_end_at_a_layer_keep_less():
    model, images = ZOO["resnet"]()
    whole, part = (planning.measured(model, images.shape, layers) for layers in ((), ("last",)))
    assert 0 <= part.graph_bytes < whole.graph_bytes / 2
    assert planning.ends_of(maps.Method("gradcam", {"layers": ["last"]})) == ("last",)
    assert planning.ends_of(maps.Method("occlusion", {"window": 8})) == ()


# ---- what is explained


@pytest.mark.parametrize(
    ("kind", "targets", "kept"),
    [
        ("all_classes", [(4, 5)], [20]),
        ("predicted", [(1, 5)], [5]),
        ("labelled", [(3, 2), (1, 2), (4, 1)], [4, 1, 4]),
        ("predicted_and_labelled", [(4, 3), (2, 2)], [10, 3]),
    ],
)
def test_images_go_in_the_batches_in_which_they_are_explained(kind, targets, kept):
    most = planning.most_targets(maps.Choice(kind, LABELS, truth=truth), references=2)
    found = planning.parts(IMAGES, most, 2)
    assert [(part.targets, part.images) for part in found] == targets
    assert [part.kept for part in found] == kept


def test_images_of_several_shapes_are_told_apart():
    found = planning.parts(IMAGES | {"i5": (3, 48, 32)}, lambda _image: 1, 4)
    assert found == [Part(SHAPE, 1, 5, 5), Part((3, 48, 32), 1, 1, 1)]


# ---- what a method takes


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        (maps.Method("gradient"), "labelled"),
        (maps.Method("gradient"), "all_classes"),
        (maps.Method("gradcam", {"layers": ["last"]}), "all_classes"),
        (maps.Method("occlusion", {"window": 16, "stride": 16}), "all_classes"),
        (maps.Method("activation", {"layers": ["last"]}), "all_classes"),
    ],
    ids=lambda one: getattr(one, "kind", one),
)
def test_passes_and_storage_are_those_of_the_explaining(method, kind, tmp_path):
    model, _ = ZOO["resnet"]()
    choice = maps.Choice(kind, LABELS, truth=truth)
    parts = planning.parts(IMAGES, planning.most_targets(choice, 0), 2)
    planned = planning.of_method(method, model, parts, 2, lambda _layers: ONE)
    plan = batches.plan({image: Frame.of_image(shape[1:]) for image, shape in IMAGES.items()}, 2)
    pixels = torch.randn(5, *SHAPE, generator=torch.Generator().manual_seed(0))
    model.passes.forwards = model.passes.backwards = 0
    found = maps.run(method, model, plan, lambda batch: pixels[: len(batch.images)], choice)
    identity = {"dataset": "d", "model": "m", "seed": 0, "condition": "c", "method": method.kind}
    store.write(found, identity, LABELS, tmp_path / "maps.parquet", tmp_path / "values.npy")
    assert set(tables.read("maps", tmp_path / "maps.parquet")["status"]) == {"ok"}
    passes = model.passes
    # the rows that find the place of a layer's cells come once, not per image
    assert planned.forwards <= passes.forwards <= planned.forwards + 2
    assert planned.backwards == passes.backwards
    assert planned.storage_bytes == (tmp_path / "values.npy").stat().st_size - 128
    assert planned.seconds == pytest.approx(2.0 * planned.forwards + 3.0 * planned.backwards)


def test_memory_is_that_of_the_rows_held_at_once():
    model, _ = ZOO["resnet"]()
    assert model.micro_batch == 8

    def memory(method: maps.Method, images: int, batch: int) -> float:
        part = Part(SHAPE, 4, images, 4 * images)
        return planning.of_method(method, model, [part], batch, lambda _layers: ONE).memory_bytes

    gradient = maps.Method("gradient")
    assert memory(gradient, 5, 2) == 2 * 500  # a batch, with its graph
    assert memory(gradient, 1, 2) == 500
    occlusion = maps.Method("occlusion", {"window": 8})
    assert memory(occlusion, 5, 2) == 8 * 100  # a micro-batch of one image, without a graph


def test_larger_images_take_more_in_proportion():
    model, _ = ZOO["resnet"]()
    small, large = (
        planning.of_method(maps.Method("gradient"), model, [Part(shape, 1, 3, 3)], 2, lambda _layers: ONE)
        for shape in (SHAPE, (3, 64, 64))
    )
    assert (large.seconds, large.memory_bytes) == (4 * small.seconds, 4 * small.memory_bytes)
    assert large.forwards == small.forwards


def test_what_does_not_suit_the_network_costs_nothing_and_says_why():
    model, _ = ZOO["resnet"]()
    parts = planning.parts(IMAGES, lambda _image: 1, 2)
    planned = planning.of_method(maps.Method("chefer"), model, parts, 2, lambda _layers: ONE)
    assert (planned.status, planned.seconds, planned.images) == ("not_applicable", 0.0, 5)
    assert "attention" in planned.reason


def test_a_probe_that_explains_again_costs_the_methods_passes():
    model, _ = ZOO["resnet"]()
    parts, gradient = [Part(SHAPE, 1, 5, 5)], maps.Method("gradient")
    deletion = Probe("deletion", {"steps": 10})
    planned = planning.of_probe(deletion, gradient, model, parts, 2, lambda _layers: ONE)
    assert planned.forwards == 5 * deletion.module.passes(1, 1, steps=10) and planned.backwards == 0
    assert planned.storage_bytes == 0
    again = Probe("sensitivity_max")
    once = planning.of_probe(again, gradient, model, parts, 2, lambda _layers: ONE)
    explained = again.module.passes(1, 1) - again.module.passes(0, 1)
    assert explained > 0 and once.backwards == 5 * explained


# ---- a study


def group(method: str = "gradcam", **options) -> dict:
    return {
        "dataset": "cxr", "model": "small", "method": method, "kind": method, "options": options,
        "study_seed": 0, "chosen": "evaluated", "at_most": None, "placement": "true",
        "targets": "all_classes", "what": {"kind": "all_classes"}, "reference_images": 0, "probes": {},
        "cells": 3,
    }  # fmt: skip


@pytest.fixture(scope="module")
def planned():
    rows = [("a", "test", True, 48, 32), ("b", "test", True, 32, 32), ("c", "test", False, 32, 32),
            ("d", "train", True, 32, 32), ("e", "validate", True, 32, 32)]  # fmt: skip
    images = pd.DataFrame(rows, columns=["image", "split", "evaluated", "height", "width"]).assign(
        dataset="cxr"
    )
    labels = pd.DataFrame([(row[0], label, 1.0) for row in rows for label in LABELS])
    dataset = Dataset(images, labels.set_axis(["image", "label", "value"], axis=1))
    network = Network("sononet16", {}, LABELS, 32, 8, torch.device("cpu"))
    groups = [group(layers=["last"]), group("attention_rollout"), group("occlusion", window=8, stride=8)]
    probes = {"away": {"kind": "deletion", "options": {"steps": 2}, "cells": 1, "probed": 2}}
    groups[2] |= {"chosen": "test", "probes": probes}
    groups += [group("gradient") | {"at_most": count} for count in (1, None)]
    return forecasting.forecast(groups, {"small": network}, {"cxr": dataset}, 16)


def test_a_study_is_forecast_from_its_tables_alone(planned):
    tables.conform("planned_costs", planned, "planned")
    rows = planned.set_index(["method", "probe"])
    assert rows.loc[("gradcam", ""), "images"] == 2 and rows.loc[("occlusion", ""), "images"] == 3
    # positions of the window in 48 x 48 pixels: 36, in 32 x 32: 16; each and the image itself
    assert rows.loc[("occlusion", ""), "forwards"] == 37 + 2 * 17
    assert rows.loc[("occlusion", ""), "storage_bytes"] == 3 * 4 * len(LABELS) * (36 + 2 * 16)
    assert rows.loc[("occlusion", "away"), "images"] == 2
    assert sorted(rows.loc[("gradient", ""), "images"]) == [1, 2]
    assert rows.loc[("attention_rollout", ""), "status"] == "not_applicable"
    assert (rows.loc[rows["status"] == "ok", "seconds"] > 0).all()


def test_the_terminal_shows_the_longest_first_and_what_is_left_out(planned):
    text = forecasting.as_text(planned)
    lines = text.splitlines()
    seconds = planned.loc[planned["probe"] == "", "seconds"].max()
    assert lines[1].startswith("'occlusion' of small on cxr") and f"{seconds:.2g} s" in lines[1]
    assert "Explaining will take about" in text and "on cpu" in text
    assert "not_applicable: 'attention_rollout' of small on cxr: " in text
    assert max(map(len, lines[:4])) < 110


def test_limits_refuse_and_say_what_costs_most(planned):
    forecasting.check(planned, None, None)
    hours = planned["seconds"].sum() / 3600
    forecasting.check(planned, 1.01 * hours, 1.0)
    with pytest.raises(ConfigError, match=r"limits.max_hours: .* on cpu, .* allowed.*'occlusion' of small"):
        forecasting.check(planned, 0.99 * hours, None)
    with pytest.raises(ConfigError, match=r"limits.max_storage_gb: .*in 3 cell\(s\) of \d images. Make its"):
        forecasting.check(planned, None, 1e-9)


def test_a_method_that_needs_an_autoencoder_is_forecast_with_one():
    images = pd.DataFrame(
        [("a", "test", True, 32, 32)], columns=["image", "split", "evaluated", "height", "width"]
    )
    labels = pd.DataFrame([("a", label, 1.0) for label in LABELS], columns=["image", "label", "value"])
    network = Network("sononet16", {}, LABELS, 32, 8, torch.device("cpu"))
    groups = [group("vae_reconstruction")]
    found = forecasting.forecast(groups, {"small": network}, {"cxr": Dataset(images, labels)}, 4)
    assert list(found["status"]) == ["ok"] and found["storage_bytes"][0] == 3 * 4 * 32 * 32


@pytest.mark.parametrize(("fit", "square"), [("crop", 64), ("stretch", 32), ("pad", 32)])
def test_images_are_forecast_at_the_size_to_which_they_are_fitted(fit, square):
    images = pd.DataFrame(
        [("a", "test", True, 48, 24)], columns=["image", "split", "evaluated", "height", "width"]
    )
    assert Dataset(images, pd.DataFrame(), fit).shapes(group(), 32) == {"a": (3, square, square)}
