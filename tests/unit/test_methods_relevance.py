"""LRP and excitation backpropagation: zennit where it is right, closed forms, conservation, refusals."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import excitation
from sightline.attribution.maps import Explained, Images, NotApplicable, Targets, classes
from sightline.attribution.methods import contrastive_excitation_backprop as contrastive
from sightline.attribution.methods import excitation_backprop, guided_activation, layer_deeplift, lrp
from tests.zoo import ZOO

RELU = ("resnet", "densenet", "resnet3d")
REFUSED = {
    "efficientnet": "product, sigmoid, silu",
    "vit": "gelu, layer_norm, scaled_dot_product_attention",
    "unet3d": "instancenorm3d, prelu",
}
COMPOSITES = lrp.OPTIONS["composite"]["enum"]


def drawn(network: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if value.dtype.is_floating_point:
                value.copy_(0.4 * torch.randn(value.shape, generator=generator))
            if name.endswith("running_var"):
                value.abs_().add_(0.5)
    return network.eval()


def plain(dims: int) -> tuple[Explained, Images]:
    """Convolution, normalisation, ReLU, pooling: what zennit's own canonizer merges."""
    conv, norm = (nn.Conv2d, nn.BatchNorm2d) if dims == 2 else (nn.Conv3d, nn.BatchNorm3d)
    most, mean = (nn.MaxPool2d, nn.AvgPool2d) if dims == 2 else (nn.MaxPool3d, nn.AvgPool3d)
    network = drawn(
        nn.Sequential(
            conv(2, 4, 3, padding=1), norm(4), nn.ReLU(), most(2),
            conv(4, 5, 3, padding=1), norm(5), nn.ReLU(),
            conv(5, 4, 3, bias=False), nn.ReLU(), mean(2),
            nn.Flatten(), nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3),
        )
    )  # fmt: skip
    pixels = torch.randn((2, 2, *[8] * dims), generator=torch.Generator().manual_seed(4))
    return Explained(network, ("a", "b", "c"), spatial_dims=dims), Images.of(pixels)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("composite", COMPOSITES)
def test_lrp_as_zennit_where_it_is_right(composite, dims):
    from zennit import composites
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.rules import Epsilon

    model, images = plain(dims)
    (maps,) = lrp.explain(model, images, classes(model.labels), composite=composite, gamma=0.5, epsilon=0.01)
    given = {"canonizers": [SequentialMergeBatchNorm()], "epsilon": 0.01}
    axes = tuple(range(2, 2 + dims))
    extremes = {
        "low": images.pixels.amin(axes, keepdim=True).expand_as(images.pixels),
        "high": images.pixels.amax(axes, keepdim=True).expand_as(images.pixels),
    }
    if composite == "epsilon":
        convolutions = [((nn.Conv2d, nn.Conv3d), Epsilon(epsilon=0.01))]
        oracle = composites.EpsilonPlus(**given, layer_map=convolutions)
    elif composite == "epsilon_gamma_box":
        oracle = composites.EpsilonGammaBox(**given, **extremes, gamma=0.5)
    else:
        oracle = composites.COMPOSITES[composite](**given)
    pixels = images.pixels.clone().requires_grad_()
    with oracle.context(model.network) as altered:
        outputs = altered(pixels)
        start = torch.zeros_like(outputs)
        start[:, 1] = outputs.detach()[:, 1]
        (expected,) = torch.autograd.grad(outputs, pixels, start)
    expected = expected.sum(dim=1)
    np.testing.assert_allclose(
        maps.values[:, 1], expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max())
    )


@pytest.mark.parametrize("name", RELU)
def test_epsilon_rule_is_gradient_times_input_on_relu_networks(name):
    model, images = ZOO[name]()
    model.network.double()
    pixels = images.pixels.double().requires_grad_()
    (maps,) = lrp.explain(
        model, Images.of(pixels.detach()), classes(model.labels), composite="epsilon", epsilon=1e-12
    )
    for target in range(4):
        (gradient,) = torch.autograd.grad(model.network(pixels)[:, target].sum(), pixels)
        expected = (gradient * pixels).sum(dim=1).detach().numpy()
        difference = np.abs(maps.values[:, target] - expected).max()
        assert difference < 5e-3 * np.abs(expected).max()


def without_biases(network: nn.Module) -> nn.Module:
    with torch.no_grad():
        for name, value in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith(("bias", "running_mean")):
                value.zero_()
    return network


# where a layer has few channels, some units are excited by none of them (inhibited by none: alpha-beta), and
# their relevance is lost; elsewhere it is all there
CONSERVED = {
    "resnet": COMPOSITES,
    "densenet": [one for one in COMPOSITES if "alpha" not in one],
    "resnet3d": ["epsilon", "epsilon_gamma_box"],
}


@pytest.mark.parametrize(("name", "composite"), [(name, one) for name in RELU for one in CONSERVED[name]])
def test_relevance_is_conserved_without_biases(name, composite):
    model, images = ZOO[name]()
    without_biases(model.network).double()
    pixels = images.pixels.double()
    (maps,) = lrp.explain(model, Images.of(pixels), classes(model.labels), composite=composite)
    with torch.no_grad():
        outputs = model.network(pixels).numpy()
    np.testing.assert_array_equal(maps.outputs, outputs.astype(np.float32))
    sums = maps.values.reshape(2, 4, -1).sum(axis=2, dtype=np.float64)
    np.testing.assert_allclose(sums, outputs, rtol=0.02)
    assert maps.gap.max() < 0.02 and maps.values.shape == (2, 4, *images.shape[1:])


@pytest.mark.parametrize("name", RELU)
def test_maps_with_biases_are_finite_and_their_gap_says_what_they_took(name):
    model, images = ZOO[name]()
    (maps,) = lrp.explain(model, images, classes(model.labels))
    sums = maps.values.reshape(2, 4, -1).sum(axis=2, dtype=np.float64)
    assert np.isfinite(maps.values).all() and np.abs(maps.values).max() > 0
    expected = np.abs(sums - maps.outputs) / np.abs(maps.outputs)
    np.testing.assert_allclose(maps.gap, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_networks_without_rules_are_refused(name):
    model, images = ZOO[name]()
    targets = classes(model.labels)
    for method in (lrp, excitation_backprop, contrastive):
        assert method.check(model, targets).endswith(f"also has {REFUSED[name]}")
        with pytest.raises(NotApplicable, match="has rules for ReLUs"):
            method.explain(model, images, targets)


# ---- excitation


def positive_pixels(model: Explained, images: Images) -> Images:
    return Images.of(images.pixels.abs())


@pytest.mark.parametrize("dims", [2, 3])
def test_excitation_as_zennit_down_to_the_pixels(dims):
    from zennit.canonizers import SequentialMergeBatchNorm
    from zennit.composites import ExcitationBackprop

    model, images = plain(dims)
    images = positive_pixels(model, images)
    (maps,) = excitation_backprop.explain(model, images, classes(model.labels), layers=["input"])
    pixels = images.pixels.clone().requires_grad_()
    oracle = ExcitationBackprop(zero_params="bias", canonizers=[SequentialMergeBatchNorm()])
    with oracle.context(model.network) as altered:
        (expected,) = torch.autograd.grad(altered(pixels)[:, 2].sum(), pixels)
    expected = expected.sum(dim=1)
    np.testing.assert_allclose(maps.values[:, 2], expected, rtol=1e-3, atol=1e-6)
    assert maps.source == "input" and maps.frame.shape == images.shape[1:]


@pytest.mark.parametrize("name", RELU)
def test_probabilities_are_positive_and_sum_to_one(name):
    model, images = ZOO[name]()
    without_biases(model.network)
    layers = {"resnet": ["layer2", "last"], "densenet": ["last"], "resnet3d": ["layer1", "last"]}[name]
    targets = classes(model.labels)
    found = excitation_backprop.explain(model, images, targets, layers=layers)
    assert len(found) == len(layers)
    for maps in found:
        assert (maps.values >= 0).all() and not maps.signed and maps.gap.max() < 1e-5
        np.testing.assert_allclose(maps.values.reshape(2, 4, -1).sum(axis=2), 1, atol=1e-5)
    for maps in contrastive.explain(model, images, targets, layers=layers):
        np.testing.assert_allclose(maps.values.reshape(2, 4, -1).sum(axis=2), 0, atol=1e-5)
        assert maps.signed and maps.gap.max() < 1e-5 and np.abs(maps.values).max() > 1e-3


def test_probability_is_lost_where_a_bias_alone_excites_and_the_gap_says_so():
    network = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(2, 1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([1.0, -1.0]).reshape(2, 1, 1, 1))
        network[0].bias.copy_(torch.tensor([0.0, 4.0]))
        network[3].weight.fill_(1.0)
    model, images = Explained(network, ("a",)), Images.of(torch.ones(1, 1, 1, 1))
    (maps,) = excitation_backprop.explain(model, images, classes(model.labels), layers=["input"])
    assert maps.values.item() == pytest.approx(0.25) and maps.gap.item() == pytest.approx(0.75)


def test_contrast_by_hand_at_the_layer_before_the_classifier():
    network = drawn(nn.Sequential(nn.Conv2d(1, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)))
    with torch.no_grad():
        network[0].bias.fill_(1.0)
    model = Explained(network, ("a", "b"))
    images = Images.of(torch.randn((3, 1, 2, 2), generator=torch.Generator().manual_seed(5)))
    (maps,) = contrastive.explain(model, images, classes(model.labels), layers=["1"])
    with torch.no_grad():
        activations = network[1](network[0](images.pixels)).flatten(1)[:, None]  # (B, 1, 12)
        for_it = activations * network[3].weight.clamp(min=0)
        against = activations * (-network[3].weight).clamp(min=0)
        shares = for_it / for_it.sum(dim=2, keepdim=True) - against / against.sum(dim=2, keepdim=True)
    expected = shares.unflatten(2, (3, 2, 2)).sum(dim=2)
    np.testing.assert_allclose(maps.values, expected, rtol=1e-5, atol=1e-7)


def test_where_activations_are_negative_it_is_refused():
    model, images = plain(2)
    targets = classes(model.labels)
    with pytest.raises(NotApplicable, match="inputs of '0' are negative"):
        excitation_backprop.explain(model, images, targets, layers=["input"])
    dense, images = ZOO["densenet"]()
    with pytest.raises(NotApplicable, match="takes negative ones"):
        excitation_backprop.explain(dense, images, targets, layers=["features.denseblock1"])
    assert "no layer nowhere" in excitation_backprop.check(dense, targets, layers=["nowhere", "input"])


def test_targets_must_be_sums_of_outputs_and_heads_linear():
    model, images = plain(2)
    difference = Targets(("a - b",), lambda outputs, rows=None: outputs[:, :1] - outputs[:, 1:2])
    with pytest.raises(NotApplicable, match="'a - b' is no sum of outputs"):
        excitation_backprop.explain(model, images, difference, layers=["8"])
    headless = Explained(nn.Sequential(*model.network, nn.ReLU()), model.labels)
    with pytest.raises(NotApplicable, match="do not come from a linear layer"):
        contrastive.explain(headless, images, classes(model.labels), layers=["8"])
    assert excitation.cells(model, (2, 8, 8), ["input"]) == 64


@pytest.mark.parametrize("method", [lrp, excitation_backprop, contrastive])
def test_passes_are_those_of_the_cost(method):
    model, images = ZOO["resnet"]()
    targets = classes(model.labels, ["b", "d"])
    method.explain(model, images, targets)  # finds the graph, the last layer and its place, once
    cost = method.cost(model, images.shape, targets.count)
    before = model.passes.forwards, model.passes.backwards
    method.explain(model, images, targets)
    counted = model.passes.forwards - before[0], model.passes.backwards - before[1]
    assert counted == (2 * cost.forwards, 2 * cost.backwards)


class Listed(nn.Module):
    """Layers in a list, which is a module that never runs itself."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3)])

    def forward(self, x):
        for block in self.blocks:
            x = torch.relu(block(x))
        return x.mean(dim=(2, 3))


@pytest.mark.parametrize(
    ("method", "named"),
    [(excitation_backprop, "layers"), (layer_deeplift, "layers"), (guided_activation, "layer")],
)
def test_a_module_that_gives_no_tensor_is_no_layer(method, named):
    model, images = Explained(Listed(), ("a", "b", "c")), Images.of(torch.rand((1, 2, 8, 8)))
    with pytest.raises(NotApplicable, match="layer 'blocks' gives no tensor"):
        option = ["blocks"] if named == "layers" else "blocks"
        method.explain(model, images, classes(model.labels), **{named: option})
