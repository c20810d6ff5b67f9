"""Methods on paths: closed forms of linear networks, captum with the same points, completeness, memory."""

import inspect
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import fills, paths
from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.maps import Explained, Images, Targets, classes
from sightline.attribution.methods import gradient_shap, integrated_gradients
from sightline.attribution.targets import own_classes
from tests.zoo import LABELS, ZOO

build = cache(lambda name: ZOO[name]())
ALL = classes(LABELS)
METHODS = {integrated_gradients: {"steps": 3}, gradient_shap: {"samples": 3, "noise": 0.1}}


def name_of(value: object) -> str:
    return getattr(value, "__name__", str(value)).rpartition(".")[2]


def with_micro_batch(model: Explained, rows: int) -> Explained:
    """The model as another study would have it."""
    changed = replace(model, micro_batch=rows)
    changed.passes.input_shape = model.input_shape
    return changed


def linear(shape: tuple[int, ...]) -> tuple[Explained, torch.Tensor]:
    """A linear layer with bias as a network, three references, and its weights (4, C, [D,] H, W)."""
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn((4, *shape), generator=generator)
    network = nn.Sequential(nn.Flatten(), nn.Linear(weights[0].numel(), 4))
    network[1].weight.data = weights.flatten(1)
    references = torch.randn((3, *shape), generator=generator)
    model = Explained(
        network, LABELS, spatial_dims=len(shape) - 1, reference_images=references, micro_batch=4
    )
    model.passes.input_shape = shape
    return model, weights


def noise_images(shape: tuple[int, ...], count: int = 2) -> Images:
    return Images.of(torch.randn((count, *shape), generator=torch.Generator().manual_seed(5)) + 1)


# ---- every method, every network


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_passes_are_as_stated_and_maps_are_finite(method, name):
    model, images = build(name)
    options = METHODS[method]
    assert method.check(model, ALL, **options) is None
    method.explain(model, images, ALL, **options)
    before = replace(model.passes)
    (found,) = method.explain(model, images, ALL, **options)
    stated = method.cost(model, images.shape, ALL.count, **options)
    assert (model.passes.forwards - before.forwards) / 2 == stated.forwards
    assert (model.passes.backwards - before.backwards) / 2 == stated.backwards
    assert found.values.shape == (2, 4, *images.shape[1:]) and found.values[0].size == stated.values
    assert np.isfinite(found.values).all() and np.isfinite(found.gap).all() and found.gap.shape == (2, 4)
    assert found.values.any(axis=tuple(range(2, found.values.ndim))).all()


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_an_image_has_its_maps_whatever_its_batch_and_its_targets_are(method):
    model, images = build("resnet3d")
    (whole,) = method.explain(model, images, ALL, **METHODS[method])
    second = Images(images.pixels[1:], images.names[1:])
    for micro_batch, own in ((2, [[2]]), (5, [[2, 0]])):
        small = with_micro_batch(model, micro_batch)
        (alone,) = method.explain(small, second, own_classes(LABELS, own), **METHODS[method])
        np.testing.assert_allclose(alone.values[0], whole.values[1, own[0]], rtol=1e-3, atol=1e-6)
        np.testing.assert_allclose(alone.gap[0], whole.gap[1, own[0]], rtol=1e-2, atol=1e-4)


def test_images_have_targets_of_their_own_at_every_point():
    model, images = build("resnet")
    own = own_classes(LABELS, [[3], [1]])
    for method, options in METHODS.items():
        (whole,) = method.explain(model, images, ALL, **options)
        (found,) = method.explain(model, images, own, **options)
        np.testing.assert_allclose(found.values[:, 0], whole.values[[0, 1], [3, 1]], rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_no_pass_holds_more_than_a_micro_batch(method):
    model, images = build("densenet")
    model, most = with_micro_batch(model, 5), []
    handle = model.network.register_forward_pre_hook(lambda _module, inputs: most.append(len(inputs[0])))
    try:
        method.explain(model, images, ALL, **METHODS[method])
    finally:
        handle.remove()
    assert max(most) == 5


@pytest.mark.parametrize("method", METHODS, ids=name_of)
def test_options_have_the_defaults_that_are_documented(method):
    stated = {name: option["default"] for name, option in method.OPTIONS.items()}
    for function in (method.check, method.explain):
        given = inspect.signature(function).parameters.items()
        assert {name: one.default for name, one in given if one.default is not one.empty} == stated


# ---- quadrature


def test_rules_integrate_what_they_must():
    for rule in paths.RULES:
        positions, weights = paths.quadrature(rule, 7)
        assert weights.sum().item() == pytest.approx(1) and len(positions) == 7
        assert positions.min() >= 0 and positions.max() <= 1
        exact = {"gauss_legendre": 13, "middle": 1, "trapezoid": 1}.get(rule, 0)  # of polynomials, up to
        for power in range(exact + 2):
            found = (weights * positions**power).sum().item()
            assert (found == pytest.approx(1 / (power + 1), abs=1e-12)) == (power <= exact), (rule, power)
    assert paths.quadrature("left", 4)[0].tolist() == [0, 0.25, 0.5, 0.75]
    assert paths.quadrature("right", 4)[0].tolist() == [0.25, 0.5, 0.75, 1]
    for rule, steps, message in (("simpson", 4, "expected one of"), ("trapezoid", 1, "at least 2")):
        with pytest.raises(ValueError, match=message):
            paths.quadrature(rule, steps)


# ---- integrated gradients


@pytest.mark.parametrize("baseline", fills.KINDS)
@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 4, 5, 3)])
def test_of_a_linear_network_it_is_weights_times_the_way_from_the_baseline(shape, baseline):
    model, weights = linear(shape)
    images = noise_images(shape)
    way = images.pixels - fills.fill(baseline, model, images.pixels)
    expected = (weights[None] * way[:, None]).sum(dim=2)
    for rule in paths.RULES:
        options = {"steps": 3, "rule": rule, "baseline": baseline}
        (found,) = integrated_gradients.explain(model, images, ALL, **options)
        np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
        assert found.gap.max() < 1e-3


def test_a_planted_pixel_is_found():
    """A network that sees one pixel, through a curve: all attribution is there, and is complete."""

    class Pixel(nn.Module):
        def forward(self, x):
            return torch.tanh(2 * x[:, :, 5, 2])

    model, images = Explained(Pixel(), ("a",)), noise_images((1, 8, 7))
    (found,) = integrated_gradients.explain(model, images, classes(("a",)), steps=20)
    expected = np.zeros((2, 8, 7))
    expected[:, 5, 2] = torch.tanh(2 * images.pixels[:, 0, 5, 2])
    np.testing.assert_allclose(found.values[:, 0], expected, atol=1e-5)
    assert found.gap.max() < 1e-4
    (coarse,) = integrated_gradients.explain(model, images, classes(("a",)), steps=2, rule="right")
    change = expected[:, 5, 2]
    gap = abs(coarse.values.sum(axis=(1, 2, 3)) - change) / abs(change)
    np.testing.assert_allclose(coarse.gap[:, 0], gap, rtol=1e-4)  # two steps are too few, and it says so
    assert coarse.gap.max() > 0.05


@pytest.mark.parametrize(
    ("name", "rule", "theirs"),
    [
        ("resnet", "gauss_legendre", "gausslegendre"),
        ("efficientnet", "right", "riemann_right"),
        ("vit", "left", "riemann_left"),
        ("unet3d", "middle", "riemann_middle"),
    ],
)
def test_captum_gives_the_same_integrated_gradients(name, rule, theirs):
    from captum.attr import IntegratedGradients

    model, images = build(name)
    (found,) = integrated_gradients.explain(model, images, ALL, steps=5, rule=rule, baseline="mean")
    baselines = images.pixels.mean(dim=tuple(range(2, images.pixels.ndim)), keepdim=True)
    explainer = IntegratedGradients(model.network)
    for target in (0, 3):
        expected, delta = explainer.attribute(
            images.pixels, baselines.expand_as(images.pixels), target, n_steps=5, method=theirs,
            return_convergence_delta=True,
        )  # fmt: skip
        np.testing.assert_allclose(
            found.values[:, target], expected.sum(dim=1), atol=1e-4 * abs(found.values).max()
        )
        sums = expected.flatten(1).sum(dim=1)[:, None]
        gap = relative_gap(sums, sums - delta[:, None], found.outputs)[:, 0]
        np.testing.assert_allclose(found.gap[:, target], gap, rtol=0.02, atol=1e-3)


def test_more_steps_close_the_gap_and_a_mask_frozen_before_keeps_it_closed():
    """A segmentation target: the mean logit over a region fixed by the image, not anew at each point."""
    model, images = build("vit")
    few, many = (
        integrated_gradients.explain(model, images, ALL, steps=steps, rule="right")[0].gap
        for steps in (2, 32)
    )
    assert many.max() < 0.02 and many.max() < 0.2 * few.max()
    network = nn.Sequential(nn.Conv2d(1, 2, 5, padding=2), nn.Tanh(), nn.Conv2d(2, 2, 3, padding=1))
    model, images = Explained(network, ("background", "organ")), noise_images((1, 12, 12))
    region = network(images.pixels).argmax(dim=1) == 1  # (B, H, W)

    def frozen(outputs, rows=None):
        mask = region if rows is None else region[rows]
        return (outputs[:, 1] * mask).sum(dim=(1, 2))[:, None] / mask.sum(dim=(1, 2))[:, None]

    assert region.flatten(1).any(dim=1).all()
    (found,) = integrated_gradients.explain(model, images, Targets(("organ",), frozen), steps=12)
    assert found.gap.max() < 1e-4


def test_a_baseline_of_references_needs_them():
    model, _ = build("resnet")
    bare = replace(model, reference_images=None)
    assert "reference images" in integrated_gradients.check(bare, ALL, baseline="references")
    assert integrated_gradients.check(bare, ALL) is None
    assert "reference images" in gradient_shap.check(bare, ALL)


# ---- gradient SHAP


@pytest.mark.parametrize("shape", [(3, 6, 5), (1, 4, 5, 3)])
def test_of_a_linear_network_it_is_complete_for_each_draw(shape):
    model, weights = linear(shape)
    images = noise_images(shape)
    (found,) = gradient_shap.explain(model, images, ALL, samples=4)
    lines = paths.draw_lines(model, images, 4, 0.0, "gradient_shap")
    starts = model.references[lines.chosen].mean(dim=1)  # (B, C, *S)
    expected = (weights[None] * (images.pixels - starts)[:, None]).sum(dim=2)
    np.testing.assert_allclose(found.values, expected, rtol=1e-4, atol=1e-5)
    assert found.gap.max() < 1e-4


@pytest.mark.parametrize("name", ["densenet", "vit", "resnet3d"])
def test_captum_gives_the_same_for_the_same_lines(name, monkeypatch):
    from captum.attr._core.gradient_shap import InputBaselineXGradient

    model, images = build(name)
    (found,) = gradient_shap.explain(model, images, ALL, samples=3, noise=0.1)
    lines = paths.draw_lines(model, images, 3, 0.1, "gradient_shap")
    rows, expected = torch.arange(2), 0
    for number in range(3):
        start, end, _ = lines.at(rows, torch.full((2,), number))
        shares = lines.shares[:, number].numpy()
        monkeypatch.setattr(np.random, "uniform", lambda low, high, size, given=shares: given)
        explainer = InputBaselineXGradient(model.network)
        expected += explainer.attribute(end, start, target=2).sum(dim=1).detach() / 3
    np.testing.assert_allclose(found.values[:, 2], expected, atol=1e-4 * abs(found.values).max())


def test_lines_use_all_references_and_the_whole_way():
    model, _ = linear((1, 3, 3))
    images = noise_images((1, 3, 3))
    lines = paths.draw_lines(model, images, 400, 0.0, "test")
    for row in range(2):
        assert np.bincount(lines.chosen[row]).min() > 100
        assert abs(lines.shares[row].mean() - 0.5) < 0.05 and lines.shares[row].std() > 0.25
    assert not torch.equal(lines.shares[0], lines.shares[1])
    start, end, place = lines.at(torch.tensor([1]), torch.tensor([7]))
    assert torch.equal(end[0], images.pixels[1]) and torch.equal(
        start[0], model.references[lines.chosen[1, 7]]
    )
    assert torch.allclose(place, start + lines.shares[1, 7] * (end - start))


def test_with_more_samples_its_sum_comes_near_what_is_expected():
    model, images = build("vit")
    few, many = (
        gradient_shap.explain(model, images, classes(LABELS, ["a"]), samples=count)[0] for count in (2, 128)
    )
    assert many.gap.mean() < 0.3 and many.gap.mean() < few.gap.mean()
