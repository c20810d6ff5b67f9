"""Layer methods: captum's own numbers, closed forms, completeness, and what a layer has forgotten."""

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import paths
from sightline.attribution.maps import Explained, Images, NotApplicable, classes, no_class
from sightline.attribution.methods import (
    activation,
    conductance,
    gradient_x_activation,
    internal_influence,
    inverted_representation,
    layer_gradient_shap,
)
from sightline.attribution.targets import own_classes
from tests.zoo import LABELS, ZOO

build = cache(lambda name: ZOO[name]())
ALL = classes(LABELS)
METHODS = {
    activation: {},
    gradient_x_activation: {},
    conductance: {"steps": 3},
    internal_influence: {"steps": 3},
    layer_gradient_shap: {"samples": 3, "noise": 0.1},
    inverted_representation: {"steps": 2},
}
# two layers of each network (both with a grid, the first feeding the second), and where they lead past one
LAYERS = {
    "resnet": ["layer2", "layer4"],
    "densenet": ["features.denseblock2", "features.norm5"],
    "vit": ["blocks.1.norm1", "blocks.2.norm1"],
    "unet3d": ["network.model.0", "network.model"],
}


def name_of(value: object) -> str:
    return getattr(value, "__name__", str(value)).rpartition(".")[2]


def with_micro_batch(model: Explained, rows: int) -> Explained:
    """The model as another study would have it."""
    changed = replace(model, micro_batch=rows)
    changed.passes.input_shape = model.input_shape
    return changed


def targets_of(method) -> object:
    return ALL if method.PER_TARGET else no_class()


# ---- every method, every network


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_passes_are_as_stated_and_maps_are_finite(method, name):
    model, images = build(name)
    options, targets = METHODS[method], targets_of(method)
    if method is activation and name == "vit":
        pytest.skip("what its last attention reads is normalised: see the test of cancelling channels")
    assert method.check(model, targets, **options) is None
    stated = method.cost(model, images.shape, targets.count, **options)
    method.explain(model, images, targets, **options)
    before = replace(model.passes)
    (found,) = method.explain(model, images, targets, **options)
    assert (model.passes.forwards - before.forwards) / 2 == stated.forwards
    assert (model.passes.backwards - before.backwards) / 2 == stated.backwards
    assert found.values.shape == (2, targets.count, *found.frame.shape)
    assert found.values[0].size == stated.values
    assert np.isfinite(found.values).all()
    assert found.values.any(axis=tuple(range(2, found.values.ndim))).all()


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_an_image_has_its_maps_whatever_its_batch_and_its_targets_are(method):
    model, images = build("resnet")
    targets = targets_of(method)
    (whole,) = method.explain(model, images, targets, **METHODS[method])
    second = Images(images.pixels[1:], images.names[1:])
    own, kept = (own_classes(LABELS, [[2, 0]]), [2, 0]) if method.PER_TARGET else (targets, [0])
    (alone,) = method.explain(with_micro_batch(model, 2), second, own, **METHODS[method])
    np.testing.assert_allclose(alone.values[0], whole.values[1, kept], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_a_layer_that_is_not_there_or_has_no_grid_is_not_explained(method):
    model, images = build("resnet")
    options = METHODS[method]

    def with_layer(name: str) -> dict:
        single = method is inverted_representation
        return options | ({"layer": name} if single else {"layers": [name]})

    assert "nowhere" in method.check(model, targets_of(method), **with_layer("nowhere"))
    flat = Explained(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 4)), LABELS, reference_images=torch.ones(1, 3, 2, 2)
    )
    flat.passes.input_shape = (3, 2, 2)
    with pytest.raises(NotApplicable, match="no layer before the final one"):
        method.explain(flat, Images.of(torch.ones(2, 3, 2, 2)), targets_of(method), **options)
    if method is not inverted_representation:  # it needs no place
        with pytest.raises(NotApplicable, match="not channels on a 2-D grid"):
            method.explain(model, images, targets_of(method), **with_layer("fc"))


PER_CELL = [conductance, internal_influence, layer_gradient_shap, gradient_x_activation]


@pytest.mark.parametrize("method", PER_CELL, ids=name_of)
def test_a_layer_of_tokens_that_acts_by_its_class_token_alone_is_refused(method):
    model, images = build("vit")
    with pytest.raises(NotApplicable, match="class token alone"):
        method.explain(model, images, ALL, **METHODS[method] | {"layers": ["blocks.2"]})


def test_gradients_that_cancel_over_channels_are_no_map():
    """The residual stream of a transformer: layer normalisation takes the channels' mean away."""
    model, images = build("vit")
    with pytest.raises(NotApplicable, match="nothing but rounding"):
        internal_influence.explain(model, images, ALL, ["blocks.1"], steps=2)
    assert internal_influence.explain(model, images, ALL, ["blocks.1.norm1"], steps=2)[0].values.any()
    with pytest.raises(NotApplicable, match="the same in every cell"):
        activation.explain(model, images, no_class(), ["blocks.1.norm1"])
    assert activation.explain(model, images, no_class(), ["blocks.1"])[0].values.any()


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_options_have_the_defaults_that_are_documented(method):
    stated = {name: option["default"] for name, option in method.OPTIONS.items()}
    taken = {
        name: list(one.default) if isinstance(one.default, tuple) else one.default
        for name, one in inspect.signature(method.explain).parameters.items()
        if one.default is not one.empty
    }
    if method is inverted_representation:
        taken |= vars(inverted_representation.Descent())
    assert taken == stated


# ---- captum


def cells_of(model: Explained, name: str, values: torch.Tensor) -> np.ndarray:
    return model.grid(name, values).sum(dim=1).detach().numpy()


@pytest.mark.parametrize("name", LAYERS)
def test_captum_gives_the_same_at_layers_of_one_pass(name, monkeypatch):
    """Two layers in one pass; captum takes them one at a time. Its sums are ours before the channels' sum."""
    from captum.attr import InternalInfluence, LayerActivation, LayerConductance, LayerGradientXActivation
    from captum.attr._core.layer.layer_gradient_shap import LayerInputBaselineXGradient

    model, images = build(name)
    layers = LAYERS[name]
    lines = paths.draw_lines(model, images, 2, 0.0, "layer_gradient_shap")
    found = {
        gradient_x_activation: gradient_x_activation.explain(model, images, ALL, layers),
        conductance: conductance.explain(model, images, ALL, layers, steps=4, rule="left"),
        internal_influence: internal_influence.explain(model, images, ALL, layers, steps=4),
        layer_gradient_shap: layer_gradient_shap.explain(model, images, ALL, layers, samples=2),
    }
    for at, layer in enumerate(layers):
        module = model.network.get_submodule(layer)
        act = LayerActivation(model.network, module).attribute(images.pixels)
        expected = {
            gradient_x_activation: LayerGradientXActivation(model.network, module).attribute(
                images.pixels, 1
            ),
            conductance: LayerConductance(model.network, module).attribute(
                images.pixels, target=1, n_steps=4, method="riemann_trapezoid"
            ),
            internal_influence: InternalInfluence(model.network, module).attribute(
                images.pixels, target=1, n_steps=4
            ),
            layer_gradient_shap: 0,
        }
        for number in range(2):
            start, end, _ = lines.at(torch.arange(2), torch.full((2,), number))
            shares = lines.shares[:, number].numpy()
            monkeypatch.setattr(np.random, "uniform", lambda low, high, size, given=shares: given)
            theirs = LayerInputBaselineXGradient(model.network, module).attribute(end, start, target=1)
            expected[layer_gradient_shap] += theirs.detach() / 2
        if name != "vit":  # normalised there: refused
            mean = model.grid(layer, act).mean(dim=1).detach()
            (ours,) = activation.explain(model, images, no_class(), [layer])
            np.testing.assert_allclose(ours.values[:, 0], mean, rtol=1e-4, atol=1e-6)
        for method, values in expected.items():
            ours = found[method][at].values[:, 1]
            theirs = cells_of(model, layer, values)
            np.testing.assert_allclose(ours, theirs, atol=2e-4 * abs(theirs).max(), err_msg=name_of(method))


# ---- conductance


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("resnet", "layer1"),
        ("densenet", "features.transition1"),
        ("resnet3d", "layer3"),
        ("unet3d", "network.model"),
        ("vit", "blocks.0"),
    ],
)
def test_conductance_is_complete_where_all_goes_through_the_layer(name, layer):
    model, images = build(name)
    few, many = (
        conductance.explain(model, images, ALL, [layer], steps=steps, baseline="mean")[0].gap
        for steps in (4, 64)
    )
    assert many.max() < 0.1 and many.mean() < max(0.5 * few.mean(), 1e-4)


def test_inside_a_residual_branch_nothing_is_promised():
    model, images = build("resnet")
    inside, after = conductance.explain(model, images, ALL, ["layer3.0.conv1", "layer3"], steps=8)
    assert inside.gap is None and after.gap is not None


def test_of_a_linear_network_conductance_is_the_layers_change_times_what_follows():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Flatten(), nn.Linear(3 * 36, 4))
    model, images = Explained(network, LABELS), Images.of(torch.randn(2, 1, 6, 6))
    change = network[0](images.pixels) - network[0](torch.zeros(1, 1, 6, 6))
    expected = (change[:, None] * network[2].weight.view(1, 4, 3, 6, 6)).sum(dim=2).detach()
    for rule in ("trapezoid", "left"):
        (found,) = conductance.explain(model, images, ALL, ["0"], steps=5, rule=rule)
        np.testing.assert_allclose(found.values, expected, rtol=1e-3, atol=1e-5)
        assert found.gap.max() < 1e-4
    (influence,) = internal_influence.explain(model, images, ALL, ["0"], steps=2)
    weights = network[2].weight.view(1, 4, 3, 6, 6).sum(dim=2).expand(2, 4, 6, 6).detach()
    np.testing.assert_allclose(influence.values, weights, rtol=1e-4, atol=1e-6)


# ---- inverted representation


class Blind(nn.Module):
    """What it gives depends on the image's left half alone."""

    def __init__(self):
        super().__init__()
        self.look = nn.Conv2d(1, 4, 3, padding=1)
        self.last = nn.Linear(4, 4)

    def forward(self, x):
        left = x * (torch.arange(x.shape[-1]) < x.shape[-1] // 2)
        return self.last(torch.relu(self.look(left)).mean(dim=(2, 3)))


def test_what_a_layer_has_forgotten_stays_in_the_map():
    torch.manual_seed(0)
    model = Explained(Blind(), LABELS)
    images = Images.of(torch.randn(2, 1, 8, 8))
    options = {"layer": "look", "steps": 300, "norm_weight": 0.0, "variation_weight": 0.0}
    (found,) = inverted_representation.explain(model, images, no_class(), **options)
    assert found.values.shape == (2, 1, 8, 8) and found.gap.max() < 1e-3
    left, right = abs(found.values[..., :4]).mean(), abs(found.values[..., 4:]).mean()
    assert left < 0.05 < 0.5 < right
    reconstruction, gap, outputs = inverted_representation.reconstruct(
        model, images, "look", inverted_representation.Descent(300, 0.05, 0.0, 0.0)
    )
    np.testing.assert_allclose(images.pixels - reconstruction, found.values, atol=1e-6)
    half = torch.arange(8) < 4
    held, sought = (model.network.look(one * half).detach() for one in (images.pixels, reconstruction))
    distance = (sought - held).square().flatten(1).sum(dim=1)
    np.testing.assert_allclose(gap, distance / held.square().flatten(1).sum(dim=1), rtol=1e-3)
    np.testing.assert_allclose(outputs, model.network(images.pixels).detach(), rtol=1e-5)


def test_regularisation_calms_the_reconstruction():
    torch.manual_seed(0)
    model, images = Explained(Blind(), LABELS), Images.of(torch.randn(2, 1, 8, 8))
    rough, smooth = (
        inverted_representation.reconstruct(
            model, images, "look", inverted_representation.Descent(60, 0.05, 0.0, weight)
        )[0]
        for weight in (0.0, 1.0)
    )
    assert (inverted_representation.variation(smooth) < 0.5 * inverted_representation.variation(rough)).all()
    ramp = torch.arange(5.0).expand(1, 1, 4, 5)
    assert inverted_representation.variation(2 * ramp).item() == pytest.approx(4.0)


def test_a_layer_that_says_nothing_is_not_inverted():
    class Silent(Blind):
        def forward(self, x):
            return super().forward(x) + self.dead(torch.zeros_like(x)).sum()

    network = Silent()
    network.dead = nn.Conv2d(1, 1, 1)
    model, images = Explained(network, LABELS), Images.of(torch.ones(1, 1, 4, 4))
    with pytest.raises(NotApplicable, match="does not depend on the image"):
        inverted_representation.explain(model, images, no_class(), layer="dead", steps=1)
    nn.init.zeros_(network.dead.bias.data)
    with pytest.raises(NotApplicable, match="nothing but zeros"):
        inverted_representation.explain(model, images, no_class(), layer="dead", steps=1)
