"""The gradient family without paths: closed forms, captum, the decomposition that FullGrad promises."""

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sightline.attribution.engines import fills, paths
from sightline.attribution.maps import Explained, Images, NotApplicable, Targets, classes
from sightline.attribution.methods import (
    activation,
    fullgrad,
    gradcam,
    gradient,
    gradient_x_input,
    iterative_saliency,
    smoothgrad,
)
from sightline.attribution.targets import own_classes
from sightline.frames import resample
from tests.zoo import LABELS, ZOO, randomised

build = cache(lambda name: ZOO[name]())
ALL = classes(LABELS)
METHODS = {
    gradient: {},
    gradient_x_input: {},
    smoothgrad: {"samples": 2},
    iterative_saliency: {"iterations": 3, "stop": None},
    fullgrad: {},
}


def name_of(value: object) -> str:
    return getattr(value, "__name__", str(value)).rpartition(".")[2]


def with_micro_batch(model: Explained, rows: int) -> Explained:
    """The model as another study would have it."""
    changed = replace(model, micro_batch=rows)
    changed.passes.input_shape = model.input_shape
    return changed


def linear(shape: tuple[int, ...], seed: int = 0) -> tuple[Explained, torch.Tensor]:
    """A network that is one linear layer without bias, and its weights (4, C, [D,] H, W)."""
    weights = torch.randn((4, *shape), generator=torch.Generator().manual_seed(seed))
    network = nn.Sequential(nn.Flatten(), nn.Linear(weights[0].numel(), 4, bias=False))
    network[1].weight.data = weights.flatten(1)
    model = Explained(network, LABELS, spatial_dims=len(shape) - 1, micro_batch=3)
    model.passes.input_shape = shape
    return model, weights


def noise_images(shape: tuple[int, ...], count: int = 2) -> Images:
    return Images.of(torch.randn((count, *shape), generator=torch.Generator().manual_seed(5)))


# ---- every method, every network


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_passes_are_as_stated_and_maps_are_finite(method, name):
    model, images = build(name)
    options = METHODS[method]
    reason = method.check(model, ALL, **options)
    if method is fullgrad and name in ("efficientnet", "vit", "unet3d"):
        assert {"efficientnet": "silu", "vit": "gelu", "unet3d": "instancenorm3d"}[name] in reason
        return
    assert reason is None
    method.explain(model, images, ALL, **options)  # what is found once is found
    before = replace(model.passes)
    (found,) = method.explain(model, images, ALL, **options)
    stated = method.cost(model, images.shape, ALL.count, **options)
    assert (model.passes.forwards - before.forwards) / 2 == stated.forwards
    assert (model.passes.backwards - before.backwards) / 2 == stated.backwards
    assert found.values.shape == (2, 4, *images.shape[1:]) and found.frame.shape == images.shape[1:]
    assert found.values[0].size == stated.values
    assert np.isfinite(found.values).all() and found.values.any(axis=(0, *range(2, found.values.ndim))).all()


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_an_image_has_its_maps_whatever_its_batch_and_its_targets_are(method):
    model, images = build("resnet")
    (whole,) = method.explain(model, images, ALL, **METHODS[method])
    second = Images(images.pixels[1:], images.names[1:])
    own = own_classes(LABELS, [[2]])
    alone = method.explain(with_micro_batch(model, 3), second, own, **METHODS[method])[0]
    np.testing.assert_allclose(alone.values[0, 0], whole.values[1, 2], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_options_have_the_defaults_that_are_documented(method):
    stated = {name: option["default"] for name, option in method.OPTIONS.items()}
    for function in (method.check, method.explain):
        given = inspect.signature(function).parameters.items()
        assert {name: one.default for name, one in given if one.default is not one.empty} == stated


# ---- gradient, gradient x input


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 4, 5, 3)])
def test_of_a_linear_network_the_gradient_is_its_weights(shape):
    model, weights = linear(shape)
    images = noise_images(shape)
    found = gradient.explain(model, images, ALL)[0].values
    np.testing.assert_allclose(found, weights.sum(dim=1).expand(2, *found.shape[1:]), rtol=1e-5)
    found = gradient_x_input.explain(model, images, ALL)[0]
    expected = (weights[None] * images.pixels[:, None]).sum(dim=2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(found.values.reshape(2, 4, -1).sum(axis=2), found.outputs, rtol=1e-3)


@pytest.mark.parametrize("name", ["resnet", "vit", "unet3d"])
def test_captum_gives_the_same_gradients(name):
    from captum.attr import InputXGradient, Saliency

    model, images = build(name)
    ours = gradient.explain(model, images, ALL)[0].values
    times_input = gradient_x_input.explain(model, images, ALL)[0].values
    for target in range(4):
        theirs = Saliency(model.network).attribute(images.pixels.clone(), target=target, abs=False)
        np.testing.assert_allclose(ours[:, target], theirs.sum(dim=1), atol=1e-5 * abs(ours).max())
        theirs = InputXGradient(model.network).attribute(images.pixels.clone(), target=target).detach()
        np.testing.assert_allclose(
            times_input[:, target], theirs.sum(dim=1), atol=1e-5 * abs(times_input).max()
        )


def test_a_target_that_no_pixel_moves_is_refused():
    model, _ = linear((1, 4, 4))
    constant = Targets(("bias",), lambda outputs, rows=None: torch.ones(len(outputs), 1))
    with pytest.raises(NotApplicable, match="does not depend"):
        gradient.explain(model, noise_images((1, 4, 4)), constant)


# ---- SmoothGrad


def test_smoothgrad_is_captums_gradient_of_the_same_noisy_copies():
    from captum.attr import Saliency

    model, images = build("efficientnet")
    (found,) = smoothgrad.explain(model, images, ALL, samples=3, noise=0.1)
    rows = torch.arange(2)
    theirs = [
        Saliency(model.network).attribute(
            images.pixels + paths.noise(images, rows, torch.full((2,), number), 0.1, "smoothgrad"),
            target=1,
            abs=False,
        )
        for number in range(3)
    ]
    expected = torch.stack(theirs).mean(dim=0).sum(dim=1)
    np.testing.assert_allclose(found.values[:, 1], expected, atol=1e-4 * abs(expected).max())


def test_the_noise_is_a_share_of_each_images_range_and_each_images_own():
    pixels = torch.randn((3, 2, 40, 40), generator=torch.Generator().manual_seed(0))
    pixels[1] *= 10
    images = Images(pixels, ("a", "b", "a"))
    drawn = paths.noise(images, torch.arange(3), torch.tensor([0, 0, 0]), 0.2, "test")
    for image, one in zip(pixels, drawn):
        assert one.std().item() == pytest.approx(0.2 * (image.max() - image.min()).item(), rel=0.05)
    units = drawn / drawn.flatten(1).std(dim=1).view(-1, 1, 1, 1)
    assert torch.allclose(units[0], units[2], atol=1e-5)  # the name decides, not the place in the batch
    assert not torch.allclose(units[0], units[1], atol=0.5)
    other = paths.noise(images, torch.arange(3), torch.tensor([1, 1, 1]), 0.2, "test")
    assert not torch.allclose(other[0], drawn[0], atol=0.5)


def test_smoothgrad_smooths_any_method_that_serves_targets():
    model, images = build("resnet3d")
    base = {"kind": "gradcam", "layers": ["layer3"]}
    (found,) = smoothgrad.explain(model, images, ALL, samples=2, noise=0.1, base=base)
    rows = torch.arange(2)
    each = []
    for number in range(2):
        added = paths.noise(images, rows, torch.full((2,), number), 0.1, "smoothgrad")
        each += gradcam.explain(model, Images.of(images.pixels + added), ALL, layers=["layer3"])
    np.testing.assert_allclose(found.values, (each[0].values + each[1].values) / 2, rtol=1e-5, atol=1e-8)
    assert found.frame == each[0].frame and found.source == "layer3" and found.gap is None
    assert "no target" in smoothgrad.check(model, ALL, base={"kind": activation.__name__.rpartition(".")[2]})
    assert "no layer" in smoothgrad.check(model, ALL, base={"kind": "gradcam", "layers": ["nowhere"]})


def test_what_the_base_method_draws_differs_from_copy_to_copy():
    model, images = build("resnet")
    base = {"kind": "gradient_shap", "samples": 1}
    one, two = (
        smoothgrad.explain(model, images, ALL, samples=count, noise=0.0, base=base)[0].values
        for count in (1, 2)
    )
    assert not np.allclose(one, two, rtol=0.1)


# ---- FullGrad


@pytest.mark.parametrize("name", ["resnet", "densenet", "resnet3d"])
def test_full_gradients_add_up_to_the_target(name):
    model, images = build(name)
    (found,) = fullgrad.explain(model, images, ALL)
    assert found.gap.shape == (2, 4) and found.gap.max() < 1e-3 and found.signed


def relu_network() -> nn.Sequential:
    """Biases of every kind, in-place ReLUs, normalisation without affine weights, max and mean pooling."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(inplace=True), nn.BatchNorm2d(5), nn.LeakyReLU(0.2, True),
        nn.MaxPool2d(2), nn.Conv2d(5, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6, affine=False),
        nn.PReLU(), nn.ConvTranspose2d(6, 3, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 4),
    ).eval()  # fmt: skip
    for module in network:
        for name in ("running_mean", "bias"):
            if getattr(module, name, None) is not None:
                nn.init.normal_(getattr(module, name))
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.data *= 3  # so that what lies below counts above
    return network


def test_every_kind_of_bias_is_counted_and_a_missing_one_shows(monkeypatch):
    model = Explained(relu_network(), LABELS)
    images = noise_images((2, 12, 12))
    assert fullgrad.check(model, ALL) is None
    assert fullgrad.explain(model, images, ALL)[0].gap.max() < 1e-4
    every = fullgrad.biased(model.network)
    assert list(every) == ["0", "2", "6", "8", "11", "13"]
    for name in every:
        without = {key: value for key, value in every.items() if key != name}
        monkeypatch.setattr(fullgrad, "biased", lambda network, kept=without: kept)
        assert fullgrad.explain(model, images, ALL)[0].gap.max() > 1e-2, name


def test_the_map_is_the_sum_of_its_parts_in_their_places():
    """A convolution of stride 2 with a bias, a ReLU, a linear layer: every part has a closed form."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(1, 3, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 4)).eval()
    model = Explained(network, LABELS)
    images = noise_images((1, 8, 8))
    (found,) = fullgrad.explain(model, images, ALL)
    hidden = network[0](images.pixels)
    weights = network[3].weight.view(4, 1, 3, 4, 4) * (hidden > 0)[None]  # (T, B, K, 4, 4)
    slope = functional.conv_transpose2d(weights.flatten(0, 1), network[0].weight, None, 2, 1, 1)
    of_image = (slope.unflatten(0, (4, 2)) * images.pixels).sum(dim=2).detach()  # (T, B, 8, 8)
    of_bias = (weights * network[0].bias.view(3, 1, 1)).sum(dim=2).detach()  # (T, B, 4, 4)
    placed = resample(of_bias.numpy(), model.frame("0", (1, 8, 8), (4, 4)), found.frame)
    np.testing.assert_allclose(found.values, np.swapaxes(of_image.numpy() + placed, 0, 1), atol=1e-5)
    assert found.gap.max() < 1e-5  # the linear layer's own bias counts, though it has no place
    (rescaled,) = fullgrad.explain(model, images, ALL, rescaled=True)
    assert not rescaled.signed and rescaled.values.min() >= 0 and rescaled.values.max() <= 1 + 3


def test_biases_of_normalisations_with_an_activation_inside_count_before_it():
    from timm.layers import BatchNormAct2d

    network = randomised(
        nn.Sequential(
            nn.Conv2d(1, 3, 3), BatchNormAct2d(3), nn.Conv2d(3, 4, 3), BatchNormAct2d(4),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4),
        ), 1
    )  # fmt: skip
    model, images = Explained(network, LABELS), noise_images((1, 8, 8))
    (found,) = fullgrad.explain(model, images, ALL)
    assert found.gap.max() < 1e-4


def test_a_branch_that_a_target_does_not_see_counts_for_nothing():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 2, 3), nn.Conv2d(1, 2, 3)

        def forward(self, x):
            means = [torch.relu(one(x)).mean(dim=(2, 3)) for one in (self.first, self.second)]
            return torch.cat(means, dim=1)

    torch.manual_seed(0)
    (found,) = fullgrad.explain(Explained(Two(), LABELS), noise_images((1, 6, 6)), ALL)
    assert found.gap.max() < 1e-5


# ---- iterative saliency


def test_its_first_map_is_the_gradient_and_the_later_ones_are_of_the_painted_image():
    model, images = build("resnet")
    options = {"share": 0.1, "decay": 0.5, "smoothing": 0.02, "stop": None}
    first = gradient.explain(model, images, ALL)[0].values
    one = iterative_saliency.explain(model, images, ALL, iterations=1, **options)[0].values
    np.testing.assert_allclose(one, first, atol=1e-6)
    two = iterative_saliency.explain(model, images, ALL, iterations=2, **options)[0].values
    for target in range(4):
        magnitude = fills.blurred(torch.from_numpy(first[:, target]).abs()[:, None], 0.02 * 32)
        least = magnitude.flatten(1).topk(round(0.1 * 32 * 32)).values[:, -1]
        painted = fills.inpainted(images.pixels, magnitude >= least.view(-1, 1, 1, 1))
        second = gradient.explain(model, Images.of(painted), ALL)[0].values[:, target]
        np.testing.assert_allclose(two[:, target], first[:, target] + np.exp(-0.5) * second, atol=1e-6)


def test_what_was_salient_gives_way_to_what_was_less_so_until_the_target_falls():
    """Two bright spots, the weaker behind the stronger: the largest counts, as in a max over places."""

    class Largest(nn.Module):
        def forward(self, x):
            return torch.amax(x, dim=(2, 3)) - 0.3

    pixels = torch.zeros(1, 1, 16, 16)
    pixels[0, 0, 3, 3], pixels[0, 0, 12, 10] = 1.0, 0.5
    model, only = Explained(Largest(), ("a",)), classes(("a",))
    options = {"share": 9 / 256, "smoothing": 0.05, "decay": 0.1}
    assert not gradient.explain(model, Images.of(pixels), only)[0].values[0, 0, 12, 10]
    found = iterative_saliency.explain(model, Images.of(pixels), only, **options)[0].values[0, 0]
    expected = np.zeros((16, 16))
    expected[3, 3], expected[12, 10] = 1, np.exp(-0.1)
    np.testing.assert_allclose(found, expected, atol=1e-6)  # then -0.3 is left, below 0
    assert model.passes.forwards == 1 + 3
    low = Images.of(pixels - 1)  # below 0 from the start: its first map alone
    found = iterative_saliency.explain(model, low, only, **options)[0].values[0, 0]
    np.testing.assert_allclose(found, gradient.explain(model, low, only)[0].values[0, 0])


def test_painting_over_the_whole_image_is_refused():
    model, _ = build("resnet")
    assert "leave no image" in iterative_saliency.check(model, ALL, iterations=10, share=0.1)
    assert iterative_saliency.check(model, ALL) is None
