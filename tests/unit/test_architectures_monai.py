"""Networks of MONAI by name: its own words for outputs and channels are found in the signature."""

import pytest
import torch
from monai.networks import nets

from sightline.errors import ConfigError
from sightline.models import libraries
from sightline.models.network import build, check
from sightline.randomness import derived_seed

# a class, a class that passes **keywords on, a function that does, one that is pretrained unless told
CONSTRUCTORS = {
    "DenseNet": ({"init_features": 4, "block_config": [1, 1]}, {"in_channels": 3, "out_channels": 3}),
    "SEResNet50": ({"layers": [1, 1, 1, 1]}, {"in_channels": 3, "num_classes": 3}),
    "resnet10": ({"conv1_t_size": 3}, {"n_input_channels": 3, "num_classes": 3}),
    "EfficientNetBN": (
        {"model_name": "efficientnet-b0"},
        {"in_channels": 3, "num_classes": 3, "pretrained": False},
    ),
}


@pytest.mark.parametrize("model", CONSTRUCTORS)
def test_it_is_monais_network_in_two_dimensions_under_the_seed(model):
    arguments, given = CONSTRUCTORS[model]
    ours = build("monai", 3, seed=5, model=model, arguments=arguments)
    with torch.random.fork_rng():
        torch.manual_seed(derived_seed(5, "initialise", "monai"))
        theirs = getattr(nets, model)(spatial_dims=2, **given, **arguments)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    assert all(torch.equal(tensor, theirs.state_dict()[name]) for name, tensor in ours.state_dict().items())
    check(ours, 3, 64)


@pytest.mark.parametrize(
    ("model", "arguments", "said"),
    [
        ("densnet121", {}, ["no model 'densnet121'", "densenet121"]),
        ("drop_connect", {}, ["no model 'drop_connect'"]),  # a function that builds none
        ("Critic", {"channels": [4]}, ["num_classes, out_channels", "in_shape", "architecture 'file'"]),
        ("resnet10", {"n_input_channels": 1}, ["'n_input_channels'", "3 channels"]),
        ("resnet10", {"spatial_dims": 3}, ["'spatial_dims'", "2 dimensions"]),
        ("resnet10", {"pretrained": True}, ["'pretrained'", "drawn for the seed"]),
        ("resnet10", {"depth": 1}, ["refuses its arguments", "depth"]),
    ],
)
def test_what_cannot_be_built_is_said(model, arguments, said):
    with pytest.raises(ConfigError) as raised:
        build("monai", 2, 0, model=model, arguments=arguments)
    assert all(words in str(raised.value) for words in said), str(raised.value)


def test_a_network_that_segments_is_refused_before_training():
    network = build("monai", 2, 0, model="UNet", arguments={"channels": [4, 8], "strides": [2]})
    with pytest.raises(ConfigError, match=r"UNet: gives \(1, 2, 64, 64\).* expected a tensor \(1, 2\)"):
        check(network, 2, 64)


class Inner:
    def __init__(self, first, num_classes=2):
        pass


class Outer(Inner):
    def __init__(self, second, **keywords):
        super().__init__(**keywords)


class Closed(Inner):
    def __init__(self, third):
        super().__init__(third)


def made(fourth, *more, **keywords) -> Outer:
    return Outer(fourth, **keywords)


@pytest.mark.parametrize(
    ("constructor", "names"),
    [
        (Inner, ["first", "num_classes"]),
        (Outer, ["second", "first", "num_classes"]),
        (Closed, ["third"]),
        (made, ["fourth", "second", "first", "num_classes"]),
    ],
)
def test_parameters_are_followed_where_keywords_are_passed_on(constructor, names):
    assert list(libraries.parameters(constructor)) == names
