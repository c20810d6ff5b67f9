"""Networks of torchvision by name: as torchvision builds them, or refused with what can be done."""

import pytest
import torch
from torchvision import models

from sightline.errors import ConfigError
from sightline.models.network import build, check
from sightline.randomness import derived_seed


@pytest.mark.parametrize("model", ["resnet18", "mnasnet0_5"])
def test_it_is_torchvisions_network_under_the_seed(model):
    ours = build("torchvision", 3, seed=5, model=model, arguments={})
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(5, "initialise", "torchvision"))
        theirs = models.get_model(model, weights=None, num_classes=3)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    check(ours, 3, 64)


def test_its_arguments_are_passed_on():
    network = build("torchvision", 2, 0, model="mobilenet_v3_small", arguments={"reduced_tail": True})
    assert network.classifier[0].out_features == 512  # 1024 without
    assert network.classifier[-1].out_features == 2


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("resnet19", {}, ["no model 'resnet19'", "resnet18"]),
        ("fcn_resnet50", {}, ["no model 'fcn_resnet50'"]),  # it segments
        ("resnet18", {"weights": "DEFAULT"}, ["'weights'", "drawn for the seed"]),
        ("resnet18", {"num_classes": 1000}, ["'num_classes'", "label set"]),
        ("resnet18", {"depth": 3}, ["refuses its arguments", "depth"]),
        ("inception_v3", {"init_weights": False}, ["two kinds of logits", "aux_logits: false"]),
    ],
)
def test_what_cannot_be_built_is_said(model, arguments, said):
    with pytest.raises(ConfigError) as raised:
        build("torchvision", 2, 0, model=model, arguments=arguments)
    assert all(words in str(raised.value) for words in said), str(raised.value)
