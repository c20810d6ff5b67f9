"""DeepLIFT and its kin: completeness, captum on the graph, cases by hand, refusals."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import graph, rescale
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import deeplift, deeplift_shap, layer_deeplift, layer_deeplift_shap
from tests.zoo import ZOO

RELU = ("resnet", "densenet", "resnet3d")
LAYER = {
    "resnet": "layer2",
    "densenet": "features.transition2",
    "efficientnet": "blocks.2",
    "resnet3d": "layer2",
}
COMPLETE = tuple(LAYER)
REFUSED = {"vit": "layer_norm, scaled_dot_product_attention", "unet3d": "instancenorm3d"}


def sums(maps) -> np.ndarray:
    return maps.values.reshape(*maps.values.shape[:2], -1).sum(axis=2, dtype=np.float64)


def scores(model: Explained, pixels: torch.Tensor) -> np.ndarray:
    with torch.no_grad():
        return model.network(pixels).double().numpy()


def double(name: str) -> tuple[Explained, Images]:
    model, images = ZOO[name]()
    model.network.double()
    return model, Images.of(images.pixels.double())


@pytest.mark.parametrize("name", COMPLETE)
def test_maps_are_complete(name):
    model, images = double(name)
    targets = classes(model.labels)
    (maps,) = deeplift.explain(model, images, targets)
    expected = scores(model, images.pixels) - scores(model, torch.zeros_like(images.pixels))
    np.testing.assert_allclose(sums(maps), expected, atol=1e-5 * np.abs(expected).max())
    assert maps.gap.shape == (2, 4) and maps.gap.max() < 1e-7
    (maps,) = deeplift_shap.explain(model, images, targets)
    expected = scores(model, images.pixels) - scores(model, model.references.double()).mean(axis=0)
    np.testing.assert_allclose(sums(maps), expected, atol=1e-5 * np.abs(expected).max())
    assert maps.gap.max() < 1e-7


@pytest.mark.parametrize("name", RELU)
def test_maps_are_complete_in_float32(name):
    model, images = ZOO[name]()
    for method in (deeplift, deeplift_shap):
        assert method.explain(model, images, classes(model.labels))[0].gap.max() < 1e-3


@pytest.mark.parametrize("name", COMPLETE)
def test_a_layer_that_all_paths_cross_is_complete(name):
    model, images = double(name)
    targets, layers = classes(model.labels), [LAYER[name], "last"]
    for method in (layer_deeplift, layer_deeplift_shap):
        found = method.explain(model, images, targets, layers=layers)
        assert [one.source for one in found][0] == LAYER[name] and len(found) == 2
        for maps in found:
            assert maps.values.shape[2:] == maps.frame.shape and maps.gap.max() < 1e-7


def test_a_layer_that_paths_lead_past_has_no_gap():
    model, images = ZOO["resnet"]()
    (maps,) = layer_deeplift.explain(model, images, classes(model.labels), layers=["layer3.0.conv2"])
    assert maps.gap is None and np.abs(maps.values).max() > 0


def test_as_captum_on_the_graph():
    from captum.attr import DeepLift, DeepLiftShap, LayerDeepLift

    model, images = ZOO["resnet3d"]()  # it has no max-pooling, with which captum 0.9's maps are not complete
    targets, zeros = classes(model.labels), torch.zeros_like(images.pixels)
    traced = graph.unshared(model.network)
    layered = LayerDeepLift(traced, traced.layer1)
    for found, expected in (
        (
            deeplift.explain(model, images, targets),
            DeepLift(traced).attribute(images.pixels, zeros, target=2),
        ),
        (
            deeplift_shap.explain(model, images, targets),
            DeepLiftShap(traced).attribute(images.pixels, model.references, target=2),
        ),
        (
            layer_deeplift.explain(model, images, targets, layers=["layer1"]),
            layered.attribute(images.pixels.clone().requires_grad_(), zeros, target=2),
        ),
    ):
        expected = expected.detach().sum(dim=1)
        scale = float(expected.abs().max())
        np.testing.assert_allclose(found[0].values[:, 2], expected, rtol=1e-3, atol=1e-5 * scale)


def explained(network: nn.Module, shape: tuple[int, ...]) -> tuple[Explained, Images]:
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    model = Explained(network, ("a", "b"), reference_images=torch.randn((3, *shape), generator=generator))
    model.passes.input_shape = shape
    return model, Images.of(torch.randn((2, *shape), generator=generator))


def test_a_linear_network_gives_weight_times_difference():
    model, images = explained(nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), (2, 2, 2))
    weight = model.network[1].weight.unflatten(1, (2, 2, 2))
    (maps,) = deeplift.explain(model, images, classes(model.labels), baseline="references")
    difference = images.pixels - model.references.mean(dim=0)
    np.testing.assert_allclose(maps.values, (weight * difference[:, None]).sum(dim=2), rtol=1e-5, atol=1e-6)
    assert maps.gap.max() < 1e-5


class Gated(nn.Module):
    """Two linear forms of the image, multiplied, one through a sigmoid."""

    def __init__(self):
        super().__init__()
        self.one, self.other = nn.Linear(4, 2), nn.Linear(4, 2)

    def forward(self, x):
        x = x.flatten(1)
        return self.one(x) * self.other(x).sigmoid()


def test_factors_share_a_product_as_players_do():
    model, images = explained(Gated(), (1, 2, 2))
    (maps,) = deeplift.explain(model, images, classes(model.labels))
    network, x = model.network, images.pixels.flatten(1)
    f, g = network.one(x), network.other(x)
    f0, g0 = network.one.bias, network.other.bias
    s, s0 = g.sigmoid(), g0.sigmoid()
    slope = (s - s0) / (g - g0)  # (B, T)
    multiplier = (
        0.5 * (s + s0)[..., None] * network.one.weight
        + (0.5 * (f + f0) * slope)[..., None] * network.other.weight
    )  # (B, T, 4)
    np.testing.assert_allclose(maps.values.reshape(2, 2, 4), multiplier * x[:, None], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("stride", [1, 2])
def test_overlapping_max_pooling_is_complete(stride):
    layers = nn.Sequential(nn.MaxPool2d(3, stride, padding=1), nn.Flatten(), nn.LazyLinear(2))
    layers(torch.zeros(1, 1, 6, 6))
    model, images = explained(layers, (1, 6, 6))
    (maps,) = deeplift_shap.explain(model, images, classes(model.labels))
    assert maps.gap.max() < 1e-4


def test_where_image_and_reference_agree_nothing_is_divided_by_zero():
    model, images = explained(
        nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 2)), (1, 4, 4)
    )
    images.pixels[:, :, :2] = 0
    (maps,) = deeplift.explain(model, images, classes(model.labels))
    assert np.isfinite(maps.values).all() and (maps.values[:, :, :2] == 0).all() and maps.gap.max() < 1e-5


@pytest.mark.parametrize("name", REFUSED)
def test_networks_without_rules_are_refused(name):
    model, _ = ZOO[name]()
    targets = classes(model.labels)
    for method in (deeplift, deeplift_shap, layer_deeplift, layer_deeplift_shap):
        assert f"no rule for the network's {REFUSED[name]}" in method.check(model, targets)


def test_references_are_needed():
    model, _ = explained(nn.Sequential(nn.Flatten(), nn.Linear(8, 2)), (2, 2, 2))
    bare = Explained(model.network, model.labels)
    targets = classes(model.labels)
    assert "reference images" in deeplift_shap.check(bare, targets)
    assert "reference images" in layer_deeplift_shap.check(bare, targets, layers=["0"])
    assert "no layer nowhere" in layer_deeplift.check(model, targets, layers=["nowhere"])


@pytest.mark.parametrize("method", [deeplift, deeplift_shap])
def test_passes_are_those_of_the_cost(method):
    model, images = ZOO["resnet"]()
    one, targets = Images.of(images.pixels[:1]), classes(model.labels, ["b", "d"])
    model.unshared  # noqa: B018  (traced before counting)
    before = model.passes.forwards, model.passes.backwards
    method.explain(model, one, targets)
    cost = method.cost(model, images.shape, targets.count)
    assert (model.passes.forwards - before[0], model.passes.backwards - before[1]) == (
        cost.forwards,
        cost.backwards,
    )


def test_rules_cover_what_is_not_affine():
    model, _ = ZOO["efficientnet"]()
    assert len(rescale.rules(model.unshared, {})) == graph.activations(model.network).total() > 0
