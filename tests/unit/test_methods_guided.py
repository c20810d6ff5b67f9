"""Guided backpropagation, deconvolution, guided activation: captum on the graph, closed form, refusals."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import guided
from sightline.attribution.maps import Explained, Images, NotApplicable, classes, no_class
from sightline.attribution.methods import deconvolution, guided_activation, guided_backprop
from tests.zoo import ZOO

RELU = ("resnet", "densenet", "resnet3d")
REFUSED = {
    "efficientnet": "no ReLU",
    "vit": "no ReLU",
    "unet3d": "no ReLU",
}


def two_layers() -> tuple[Explained, Images]:
    network = nn.Sequential(
        nn.Flatten(), nn.Linear(12, 5), nn.ReLU(), nn.Linear(5, 2), nn.ReLU(), nn.Linear(2, 2)
    )
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(
                torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
            )
    return Explained(network, ("a", "b")), Images.of(
        torch.randn((3, 3, 2, 2), generator=torch.Generator().manual_seed(0))
    )


def by_hand(network: nn.Sequential, pixels: torch.Tensor, mask: bool) -> np.ndarray:
    """Both targets' maps with matrices alone."""
    _, first, _, second, _, third = network
    one = first(pixels.flatten(1))
    two = second(one.relu())
    found = []
    for target in range(2):
        signal = third.weight[target].clamp(min=0).expand(len(pixels), -1)
        signal = ((signal * (two > 0) if mask else signal) @ second.weight).clamp(min=0)
        found.append((signal * (one > 0) if mask else signal) @ first.weight)
    return torch.stack(found, 1).unflatten(2, (3, 2, 2)).sum(dim=2).numpy()


@pytest.mark.parametrize(("method", "mask"), [(guided_backprop, True), (deconvolution, False)])
def test_by_hand_on_small_matrices(method, mask):
    model, images = two_layers()
    (maps,) = method.explain(model, images, classes(model.labels))
    assert maps.values.shape == (3, 2, 2, 2) and maps.source == "input"
    np.testing.assert_allclose(maps.values, by_hand(model.network, images.pixels, mask), rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        np.testing.assert_array_equal(maps.outputs, model.network(images.pixels).numpy())


@pytest.mark.parametrize("name", RELU)
def test_as_captum_on_the_graph_and_unlike_the_gradient(name):
    from captum.attr import Deconvolution, GuidedBackprop, Saliency

    model, images = ZOO[name]()
    targets = classes(model.labels)
    pixels = images.pixels.clone().requires_grad_()
    plain = Saliency(model.network).attribute(pixels, target=1, abs=False)
    for method, oracle in ((guided_backprop, GuidedBackprop), (deconvolution, Deconvolution)):
        (maps,) = method.explain(model, images, targets)
        expected = oracle(model.unshared).attribute(pixels, target=1).detach()
        scale = expected.sum(dim=1).abs().max()
        np.testing.assert_allclose(maps.values[:, 1], expected.sum(dim=1), atol=1e-5 * scale, rtol=1e-4)
        gap = (expected - plain).flatten(1).norm(dim=1) / plain.flatten(1).norm(dim=1)
        np.testing.assert_allclose(maps.gap[:, 1], gap, rtol=1e-3)
        assert (
            maps.gap.shape == (2, 4) and (maps.gap > 0.1).all() and maps.values.shape[2:] == images.shape[1:]
        )


@pytest.mark.parametrize("name", REFUSED)
def test_where_there_is_no_relu_it_is_refused(name):
    model, images = ZOO[name]()
    for method in (guided_backprop, deconvolution, guided_activation):
        assert REFUSED[name] in method.check(model, classes(model.labels))
    with pytest.raises(NotApplicable, match=REFUSED[name]):
        guided.guided_gradients(model, images, classes(model.labels))


class Blind(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else torch.relu(x)


def test_networks_guided_in_parts_are_refused():
    mixed = Explained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.PReLU(), nn.SiLU()), ("a",))
    assert "prelu, silu, for which" in guided.refusal(mixed)
    opaque = Explained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Blind()), ("a",))
    assert "cannot see into the network's Blind" in guided.refusal(opaque)
    gated = Explained(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sigmoid(), nn.MaxPool2d(2)), ("a",))
    assert guided.refusal(gated) is None


@pytest.mark.parametrize("name", RELU)
def test_activation_guided_as_captum_guides_a_neuron(name):
    from captum.attr import NeuronGuidedBackprop

    model, images = ZOO[name]()
    layer = {"resnet": "layer3", "densenet": "features.denseblock2", "resnet3d": "layer2"}[name]
    for channel in (slice(None), 2):
        given = None if channel == slice(None) else channel
        (maps,) = guided_activation.explain(model, images, no_class(), layer=layer, channel=given)
        oracle = NeuronGuidedBackprop(model.unshared, model.unshared.get_submodule(layer))
        total = partial(lambda chosen, output: output[:, chosen].flatten(1).sum(dim=1), channel)
        expected = oracle.attribute(images.pixels.clone(), neuron_selector=total).sum(dim=1)
        np.testing.assert_allclose(maps.values[:, 0], expected, atol=1e-5 * expected.abs().max(), rtol=1e-4)
        assert maps.values.shape == (2, 1, *images.shape[1:]) and maps.targets == ("",)
    with pytest.raises(NotApplicable, match="no channel 999"):
        guided_activation.explain(model, images, no_class(), layer=layer, channel=999)


@pytest.mark.parametrize("method", [guided_backprop, guided_activation])
def test_passes_are_those_of_the_cost(method):
    model, images = ZOO["resnet"]()
    targets = classes(model.labels, ["b", "d"]) if method.PER_TARGET else no_class()
    model.unshared, model.modules(["last"])  # noqa: B018  (found before counting)
    before = model.passes.forwards, model.passes.backwards
    method.explain(model, images, targets)
    cost = method.cost(model, images.shape, targets.count)
    counted = model.passes.forwards - before[0], model.passes.backwards - before[1]
    assert counted == (2 * cost.forwards, 2 * cost.backwards)
