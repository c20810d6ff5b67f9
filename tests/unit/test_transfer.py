"""Trunks held still, heads of one's own, first weights: from a file, timm's cache, or not to be had."""

import copy
import logging

import numpy as np
import pytest
import timm
import torch
from huggingface_hub import constants

from sightline.errors import ConfigError, DatasetError
from sightline.models import weights
from sightline.models.inputs import DEVIATION, MEAN
from sightline.models.network import build, start
from sightline.models.recipe import Recipe
from sightline.models.training import fit
from sightline.models.transfer import accept
from tests.unit.small_trainings import LABELS, films

EFFICIENT = {"model": "test_efficientnet", "arguments": {"output_stride": 16}}
VIT = {
    "model": "test_vit",
    "arguments": {"img_size": 64, "depth": 2, "pos_drop_rate": 0.1, "proj_drop_rate": 0.1},
}
HEADS = {
    "efficientnet": EFFICIENT | {"head": "mlp", "hidden": 8, "pool": "max"},
    "vit": VIT | {"head": "mlp", "hidden": 8},
}


def snapshot(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


@pytest.mark.parametrize("chosen", HEADS.values(), ids=HEADS)
def test_a_frozen_trunk_is_bit_equal_after_training(tmp_path, chosen):
    network = build("timm", len(LABELS), 0, trunk="frozen", **chosen)
    (head,) = network.trained_parts
    before = snapshot(network)
    assert any("running_mean" in name for name in before) == ("efficientnet" in chosen["model"])
    recipe = {"side": 64, "batch": 8, "epochs": 2, "optimizer": {"name": "sgdw", "lr": 0.05}}
    done = fit(
        network,
        films(24, "train"),
        films(8, "explain"),
        Recipe.of(recipe),
        0,
        tmp_path / "c",
        "job",
        progress=str,
    )
    moved = {name for name, tensor in done.best_state.items() if not torch.equal(tensor, before[name])}
    assert moved == {f"{head}.{name}" for name in ("0.weight", "0.bias", "3.weight", "3.bias")}
    assert all(
        weight.grad is None for name, weight in network.named_parameters() if not name.startswith(head)
    )


def test_training_mode_reaches_the_head_alone():
    network = build("timm", 2, 0, trunk="frozen", **HEADS["vit"])
    assert (
        isinstance(network, timm.models.VisionTransformer) and type(network).__name__ == "VisionTransformer"
    )
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    for one in (network.train(), copy.deepcopy(network), copy.deepcopy(network).eval().train()):
        assert {name for name, module in one.named_modules() if module.training} == {
            "", *(f"head{part}" for part in ("", ".0", ".1", ".2", ".3"))
        }  # fmt: skip
        torch.testing.assert_close(one.forward_features(images), one.forward_features(images), rtol=0, atol=0)
        torch.manual_seed(0)
        assert not torch.equal(one(images), one(images))  # the head's dropout draws
    assert not any(module.training for module in network.eval().modules())
    free = build("timm", 2, 0, **HEADS["vit"])
    assert all(module.training for module in free.modules())
    assert not torch.equal(free.forward_features(images), free.forward_features(images))


@pytest.mark.parametrize("name", HEADS)
def test_the_head_is_the_block_on_pooled_features(name):
    network = build("timm", 2, 0, **HEADS[name] | {"dropout": 0.4}).eval()
    images = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.forward_features(images)
        pooled = features.amax(dim=(2, 3)) if name == "efficientnet" else features[:, 0]
        first, act, dropout, last = network.get_classifier()
        expected = last(torch.nn.functional.gelu(pooled @ first.weight.T + first.bias))
        torch.testing.assert_close(network(images), expected)
    assert (dropout.p, first.out_features, last.out_features) == (0.4, 8, 2)
    assert isinstance(act, torch.nn.GELU)


def test_the_defaults_are_timms_own_network():
    plain = build("timm", 2, 0, model="test_efficientnet", arguments={})
    stated = build("timm", 2, 0, model="test_efficientnet", arguments={}, head="linear", trunk="trainable")
    assert plain.state_dict().keys() == stated.state_dict().keys()
    assert all(weight.requires_grad for weight in plain.parameters())
    assert type(plain) is type(timm.create_model("test_efficientnet"))
    assert start("timm", plain, pytest.fail, model="test_efficientnet", arguments={}) == "random"
    assert start("sononet16", build("sononet16", 2, 0, width=2), pytest.fail, width=2) == "random"


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (EFFICIENT | {"pool": "max", "arguments": {"global_pool": "avg"}}, "leave out one"),
        ({"model": "deit_tiny_distilled_patch16_224", "arguments": {}, "head": "mlp"}, "it has 2 clas"),
        ({"model": "resnetv2_50x1_bit", "arguments": {}, "trunk": "frozen"}, "a Conv2d, not a linear layer"),
        (EFFICIENT | {"model": "test_efficientnet.me", "weights": "pretrained"}, "test_efficientnet.r160_in"),
        ({"model": "resnet10t.c3_in1k", "arguments": {}, "weights": "random"}, "leave out the tag '.c3_in1k"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_said(chosen, said):
    with pytest.raises(ConfigError, match=said):
        build("timm", 2, 0, **chosen)


# ---- first weights


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
@pytest.mark.parametrize("name", HEADS)
def test_a_files_weights_fill_all_but_the_classifier(tmp_path, suffix, name):
    model, arguments = HEADS[name]["model"], HEADS[name]["arguments"]
    theirs = timm.create_model(model, num_classes=7, **arguments)
    path = tmp_path / f"theirs.{suffix}"
    if suffix == "pth":
        torch.save({"state_dict": theirs.state_dict()}, path)
    else:
        weights.save(theirs.state_dict(), path)
    network = build("timm", 2, 0, weights=str(path), **HEADS[name])
    drawn = snapshot(network)
    said = start("timm", network, pytest.fail, weights=str(path), **HEADS[name])
    assert said.startswith(f"file {path} (sha256 ")
    head = "head" if name == "vit" else "classifier"
    for key, tensor in network.state_dict().items():
        expected = drawn if key.startswith(f"{head}.") else theirs.state_dict()
        assert torch.equal(tensor, expected[key]), key


def test_a_file_that_does_not_fit_is_refused_with_a_list(tmp_path):
    path = tmp_path / "other.safetensors"
    weights.save(timm.create_model("resnet10t", num_classes=2).state_dict(), path)
    network = build("timm", 2, 0, **EFFICIENT)
    before = snapshot(network)
    with pytest.raises(
        DatasetError, match=r"do not fit EfficientNet: the file lacks \d+ \(conv_stem.*has unknown"
    ):
        start("timm", network, pytest.fail, weights=str(path), **EFFICIENT)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """No hub, and an empty cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def cached(folder, state, name="test_efficientnet.r160_in1k"):
    """timm's weights as its hub's cache holds them."""
    place = folder / f"models--timm--{name}"
    (place / "refs").mkdir(parents=True)
    (place / "refs/main").write_text("0" * 40)
    weights.save(state, place / "snapshots" / ("0" * 40) / "model.safetensors")


def test_pretrained_weights_come_from_timms_cache(offline):
    theirs = timm.create_model("test_efficientnet", num_classes=1000)
    cached(offline, theirs.state_dict())
    chosen = EFFICIENT | {
        "weights": "pretrained",
        "head": "mlp",
        "hidden": 8,
        "pool": "max",
        "trunk": "frozen",
    }
    network = build("timm", 2, 0, **chosen)
    drawn = snapshot(network)
    said = start("timm", network, pytest.fail, **chosen)
    assert said == "pretrained: timm/test_efficientnet.r160_in1k"
    for key, tensor in network.state_dict().items():
        expected = drawn if key.startswith("classifier.") else theirs.state_dict()
        assert torch.equal(tensor, expected[key]), key
    assert network.training and not network.bn1.training


def test_weights_that_learned_another_normalisation_take_ours(offline):
    """Features of the same grey values are equal, but for sums in another order."""
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", num_classes=1000)
    learned = timm.get_pretrained_cfg("test_vit")
    cached(offline, theirs.state_dict(), learned.hf_hub_id.partition("/")[2])
    chosen = {"model": "test_vit", "arguments": {}, "weights": "pretrained"}
    network = build("timm", 2, 0, **chosen)
    said = start("timm", network, pytest.fail, **chosen)
    assert "'patch_embed.proj' adapted to ImageNet's" in said and learned.mean == (0.5, 0.5, 0.5)
    grey = torch.rand(2, 3, *learned.input_size[1:], generator=torch.Generator().manual_seed(0))
    ours, other = (
        (grey - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
        for mean, deviation in ((MEAN, DEVIATION), (learned.mean, learned.std))
    )
    with torch.no_grad():
        expected = theirs.eval().forward_features(other)
        torch.testing.assert_close(network.eval().forward_features(ours), expected, rtol=1e-4, atol=1e-4)
        assert not torch.allclose(theirs.forward_features(ours), expected, atol=1e-2)


@pytest.mark.parametrize(
    "layer",
    [torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.Linear(3, 4)],
)
def test_a_layer_that_cannot_be_adapted_exactly_is_left_alone(layer):
    before = snapshot(layer)
    assert not accept(layer, (0.5,) * 3, (0.5,) * 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in layer.state_dict().items())


def test_pretrained_weights_of_another_network_are_refused(offline):
    state = timm.create_model("test_efficientnet", num_classes=1000).state_dict()
    cached(offline, {name: tensor for name, tensor in state.items() if not name.startswith("blocks.2")})
    chosen = EFFICIENT | {"weights": "pretrained"}
    with pytest.raises(ConfigError, match=r"do not fit the network that its arguments.*\n?.*blocks\.2"):
        start("timm", build("timm", 2, 0, **chosen), pytest.fail, **chosen)


def test_unreachable_weights_are_random_with_a_warning_or_an_error(offline):
    chosen = EFFICIENT | {"weights": "pretrained"}
    network, said = build("timm", 2, 0, **chosen), []
    before = snapshot(network)
    torch.manual_seed(3)
    generator = torch.get_rng_state()
    found = start("timm", network, said.append, **chosen)
    assert found == "random: the pretrained weights of test_efficientnet were unreachable"
    assert len(said) == 1 and said[0].startswith("WARNING") and "RANDOM WEIGHTS" in said[0]
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    with pytest.raises(ConfigError, match="neither fetched nor found.*unreachable: random"):
        start("timm", network, said.append, unreachable="error", **chosen)


def test_building_reads_no_weights(offline, caplog):
    """What explains builds the network too, and conditions draw it anew: `start` alone begins a training."""
    with caplog.at_level(logging.INFO, logger="timm"):
        first = build("timm", 2, 0, **EFFICIENT, weights="pretrained")
        other = build("timm", 2, 1, **EFFICIENT, weights="pretrained")
    assert not caplog.records
    assert not np.allclose(first.conv_stem.weight.detach(), other.conv_stem.weight.detach())
