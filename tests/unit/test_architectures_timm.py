"""Networks of timm by name: as timm builds them, trained and explained by what serves our own."""

import socket

import numpy as np
import pytest
import timm
import torch

from sightline.attribution import batches, maps
from sightline.errors import ConfigError
from sightline.frames import Frame
from sightline.models import weights
from sightline.models.inputs import explain_input
from sightline.models.network import architecture, build, check
from sightline.models.prediction import logits
from sightline.randomness import derived_seed
from tests.unit.small_trainings import LABELS, films, trained


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def refuse(*_arguments):
        raise AssertionError("nothing may be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("resnet10t", {"output_stride": 16}),
        ("vit_tiny_patch16_224", {"img_size": 64, "embed_dim": 24, "depth": 2}),
    ],
)
def test_it_is_timms_network_under_the_seed(model, arguments):
    ours = build("timm", 3, seed=5, model=model, arguments=arguments)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(5, "initialise", "timm"))
        theirs = timm.create_model(model, num_classes=3, **arguments)
    assert ours.training
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    check(ours, 3, 64)
    module = architecture("timm")
    assert (module.LAYERS, module.ATTENTION) == ({}, {})


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("resnet_18", {}, ["no model 'resnet_18'", "resnet18"]),
        ("ResNet18", {}, ["no model 'ResNet18'", "resnet18"]),
        ("resnet18.a1_in1k", {}, ["leave out the tag '.a1_in1k'"]),
        ("hf-hub:someone/resnet18", {}, ["no model 'hf-hub:someone/resnet18'"]),
        ("resnet10t", {"in_chans": 1}, ["'in_chans'", "3 channels", "leave it out"]),
        ("resnet10t", {"num_classes": 5}, ["'num_classes'", "label set"]),
        ("resnet10t", {"pretrained": True}, ["'pretrained'", "key 'weights'"]),
        ("resnet10t", {"checkpoint_path": "a.pt"}, ["'checkpoint_path'", "key 'weights'"]),
        ("resnet10t", {"depth": 3}, ["model resnet10t", "refuses its arguments", "depth"]),
    ],
)
def test_what_cannot_be_built_is_said(model, arguments, said):
    with pytest.raises(ConfigError) as raised:
        build("timm", 2, 0, model=model, arguments=arguments)
    assert all(words in str(raised.value) for words in said), str(raised.value)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("vit_tiny_patch16_224", {"embed_dim": 24, "depth": 1}, r"refuses images \(B, 3, 64, 64\)"),
        ("resnet10t", {"features_only": True}, r"gives a list .* expected a tensor \(1, 2\)"),
    ],
)
def test_a_network_that_does_not_suit_images_or_labels_is_refused_before_training(model, arguments, said):
    network = build("timm", 2, 0, model=model, arguments=arguments)
    with pytest.raises(ConfigError, match=said):
        check(network, 2, 64)
    assert network.training


def test_the_check_leaves_the_network_as_it_was():
    network = build("timm", 2, 0, model="resnet10t", arguments={})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    check(network, 2, 64)
    assert network.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())


def test_it_trains_on_the_phantom_and_is_explained(tmp_path):
    chosen = {"model": "resnet18", "arguments": {"layers": [1, 1, 1, 1], "output_stride": 16}}
    network = build("timm", len(LABELS), 0, **chosen)
    done = trained(network, tmp_path / "checkpoint")
    losses = done.curves[done.curves["quantity"] == "train_loss"]["value"].to_numpy()
    assert losses[-1] < 0.5 * losses[0]

    weights.save(network.state_dict(), tmp_path / "weights.safetensors")
    again = build("timm", len(LABELS), 9, **chosen)
    weights.load(again, tmp_path / "weights.safetensors")
    held_out = films(12, "explain")
    said = logits(again, held_out, batch=4)
    np.testing.assert_allclose(said, logits(network, held_out, batch=4), atol=1e-5)  # its layout differs
    assert ((said.argmax(axis=1) == np.arange(12) % 2).mean()) > 0.8

    def load(batch):
        return explain_input(np.stack(held_out.pixels([1, 5])))

    plan = batches.plan({name: Frame.of_image((64, 64)) for name in ("i01", "i05")}, 2)
    (found,) = maps.run(maps.Method("gradcam"), maps.Explained(again, LABELS), plan, load)
    (one,) = found.maps  # of `last`, found by itself
    assert one.source.startswith("layer4") and one.values.shape == (2, 2, 4, 4)
    assert np.isfinite(one.values).all() and one.values.any(axis=(2, 3)).all()
    np.testing.assert_allclose(one.outputs, said[[1, 5]], rtol=1e-4, atol=1e-4)
