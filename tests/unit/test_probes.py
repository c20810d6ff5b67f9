"""Probes against closed forms, naive code and captum: on linear models the right answer is known."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import nn

from sightline import options
from sightline.attribution.explained import Explained, Images
from sightline.attribution.probes import deletion, infidelity, insertion, road, sensitivity_max
from sightline.attribution.probing import Probe, Probed, area, ranked
from sightline.attribution.targets import classes
from sightline.errors import ConfigError

SHAPES = [(3, 6, 8), (1, 4, 5, 6)]
KINDS = ["deletion", "infidelity", "insertion", "road", "sensitivity_max"]


class Linear(nn.Module):
    """Two logits, linear in the pixels."""

    def __init__(self, shape, seed=0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(0.1 * torch.randn((2, *shape), generator=generator), requires_grad=False)

    def forward(self, x):
        return (x[:, None] * self.weight).flatten(2).sum(dim=2)


def probed(shape=(3, 6, 8), saliency=None, again=None, network=None, count=2):
    model = Explained(network or Linear(shape), ("a", "b"), spatial_dims=len(shape) - 1, micro_batch=3)
    images = Images.of(torch.randn((count, *shape), generator=torch.Generator().manual_seed(1)), seed=4)
    if saliency is None:  # gradient x input: exact for a linear model
        saliency = np.stack(
            [(images.pixels * weight).sum(dim=1).numpy() for weight in model.network.weight], axis=1
        )
    return Probed(model, images, classes(("a", "b")), saliency, again or (lambda _: saliency))


@pytest.mark.parametrize("shape", SHAPES)
def test_deletion_and_insertion_are_the_cumulated_sums_of_a_linear_models_map(shape):
    given = probed(shape)
    pixels = int(np.prod(shape[1:]))
    deleted = deletion.probe(given, steps=pixels, output="logit")["deletion"]
    inserted = insertion.probe(given, steps=pixels, fill="zero", output="logit")["insertion"]
    assert deleted.shape == inserted.shape == (2, 2)
    for image in range(2):
        for target in range(2):
            parts = np.sort(given.saliency[image, target].ravel().astype(np.float64))[::-1]
            gained = np.concatenate([[0.0], np.cumsum(parts)])
            assert inserted[image, target] == pytest.approx(np.trapezoid(gained) / pixels, abs=1e-4)
            assert deleted[image, target] == pytest.approx(
                np.trapezoid(gained[-1] - gained) / pixels, abs=1e-4
            )


def test_probabilities_are_followed_by_default_and_the_best_map_wins():
    right = probed()
    wrong = dataclasses.replace(right, saliency=-right.saliency)
    for module, better in ((deletion, np.less), (insertion, np.greater)):
        name = module.__name__.rpartition(".")[2]
        ours, theirs = module.probe(right)[name], module.probe(wrong)[name]
        assert ((ours > 0) & (ours < 1)).all()
        assert better(ours, theirs).all()
        assert not np.allclose(ours, module.probe(right, output="softmax")[name])
    assert (road.probe(right)["road"] > road.probe(wrong)["road"]).all()
    assert (road.probe(right)["road_most_first"] < road.probe(wrong)["road_most_first"]).all()


def test_ties_are_broken_by_draws_of_the_image():
    flat = np.zeros((4, 5))
    first = ranked(flat, torch.Generator().manual_seed(0))
    assert sorted(first) == list(range(20))
    assert list(first) != list(range(20))
    assert (first == ranked(flat, torch.Generator().manual_seed(0))).all()
    flat[1, 2] = 1.0
    assert ranked(flat, torch.Generator().manual_seed(0))[0] == 7
    flat[0, 0] = -1.0
    assert ranked(flat, torch.Generator().manual_seed(0))[-1] == 0
    assert area(np.array([[0.0, 1.0, 1.0]])).tolist() == [0.75]


@pytest.mark.parametrize("shape", SHAPES)
def test_infidelity_is_zero_for_a_linear_models_gradient(shape):
    linear = Linear(shape)
    gradient = linear.weight.sum(dim=1).numpy()  # (T, *grid): noise is equal in all channels
    saliency = np.stack([gradient, gradient])
    given = probed(shape, saliency)
    found = infidelity.probe(given, samples=12)
    np.testing.assert_allclose(found["infidelity"], 0.0, atol=1e-8)
    np.testing.assert_allclose(found["infidelity_scaled"], 0.0, atol=1e-9)
    # twice the gradient is wrong by the change itself, and right at its best scale
    double = infidelity.probe(dataclasses.replace(given, saliency=2 * saliency), samples=12)
    np.testing.assert_allclose(double["infidelity_scaled"], 0.0, atol=1e-9)
    nothing = infidelity.probe(dataclasses.replace(given, saliency=0 * saliency), samples=12)
    np.testing.assert_allclose(nothing["infidelity_scaled"], 1.0)
    np.testing.assert_allclose(double["infidelity"], nothing["infidelity"], rtol=1e-4)


def test_infidelity_equals_captums_on_the_same_noise():
    metrics = pytest.importorskip("captum.metrics")
    given = probed(saliency=np.random.default_rng(0).normal(size=(2, 2, 6, 8)).astype(np.float32))
    found = infidelity.probe(given, samples=5)["infidelity"]
    generators = [given.images.generator(index, "infidelity") for index in range(2)]

    def perturb(inputs):  # all samples of the first image, then all of the second, as we draw them
        assert len(inputs) == 10
        noise = [0.2 * torch.randn((6, 8), generator=one) for one in generators for _ in range(5)]
        noise = torch.stack(noise)[:, None].expand(10, 3, 6, 8)
        return noise, inputs - noise

    for target in range(2):
        maps = torch.from_numpy(given.saliency[:, target])[:, None].expand(2, 3, 6, 8) / 3
        generators = [given.images.generator(index, "infidelity") for index in range(2)]
        expected = metrics.infidelity(
            given.model.network, perturb, given.images.pixels, maps, target=target, n_perturb_samples=5,
        )  # fmt: skip
        np.testing.assert_allclose(found[:, target], expected.numpy(), rtol=1e-4)


def test_infidelity_of_an_output_that_never_changes_is_undefined_when_scaled():
    network = Linear((3, 6, 8))
    network.weight.zero_()
    found = infidelity.probe(probed(network=network, saliency=np.ones((2, 2, 6, 8), np.float32)), samples=3)
    assert np.isnan(found["infidelity_scaled"]).all()
    assert (found["infidelity"] > 0).all()


def test_sensitivity_max_equals_a_loop_and_explains_with_the_same_draws():
    seen = []

    def again(images):
        seen.append(images)
        return np.stack([images.pixels.sum(dim=1).numpy(), images.pixels[:, 0].numpy()], axis=1)

    given = probed(again=again)
    given = dataclasses.replace(given, saliency=again(given.images))
    seen.clear()
    found = sensitivity_max.probe(given, samples=4, radius=0.1)["sensitivity_max"]
    changes = []
    for images in list(seen):
        assert images.names == given.images.names
        assert images.seed == given.images.seed
        assert 0.05 < (images.pixels - given.images.pixels).abs().max() <= 0.1
        difference = (again(images) - given.saliency).reshape(2, 2, -1)
        changes.append(np.linalg.norm(difference, axis=2))
    expected = np.max(changes, axis=0) / np.linalg.norm(given.saliency.reshape(2, 2, -1), axis=2)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    zeros = dataclasses.replace(given, saliency=0 * given.saliency)
    assert np.isnan(sensitivity_max.probe(zeros, samples=1)["sensitivity_max"]).all()


def test_an_images_noise_does_not_depend_on_its_batch():
    both = probed()
    alone = dataclasses.replace(
        both,
        images=Images(both.images.pixels[1:], both.images.names[1:], both.images.seed),
        saliency=both.saliency[1:],
    )
    for module in (deletion, insertion, infidelity, road):
        for name, values in module.probe(both).items():
            np.testing.assert_allclose(values[1:], module.probe(alone)[name], rtol=1e-5, err_msg=name)


# ---- imputation


def test_imputed_pixels_are_the_weighted_means_of_their_neighbours():
    generator = np.random.default_rng(0)
    pixels = generator.normal(size=(2, 9, 11))
    gone = generator.random((9, 11)) < 0.4
    found = road.imputed(pixels, gone)
    assert (found[:, ~gone] == pixels[:, ~gone]).all()
    for y, x in np.argwhere(gone):
        total = value = 0.0
        for dy in (-1, 0, 1):
            for dx in (-1, 0, 1):
                if (dy or dx) and 0 <= y + dy < 9 and 0 <= x + dx < 11:
                    weight = 1 / 6 if not (dy and dx) else 1 / 12
                    total += weight
                    value = value + weight * found[:, y + dy, x + dx]
        np.testing.assert_allclose(found[:, y, x], value / total, atol=1e-9)


def test_a_plane_is_imputed_as_itself_in_3d_and_nothing_left_gives_the_mean():
    z, y, x = np.mgrid[:5, :6, :7]
    plane = (2.0 * x - y + 0.5 * z)[None]
    gone = np.zeros((5, 6, 7), dtype=bool)
    gone[1:4, 2:4, 2:5] = True
    np.testing.assert_allclose(road.imputed(plane, gone), plane, atol=1e-9)
    everything = road.imputed(plane, np.ones_like(gone))
    np.testing.assert_allclose(everything, plane.mean())


# ---- the contract


@pytest.mark.parametrize("kind", KINDS)
def test_stated_passes_are_the_passes_made(kind):
    given = probed()
    module = Probe(kind).module
    given = dataclasses.replace(
        given, again=lambda images: [given.model.network(images.pixels), given.saliency][1]
    )
    before = given.model.passes.forwards
    found = module.probe(given)
    assert set(found) == set(module.METRICS)
    assert all(values.shape == (2, 2) and np.isfinite(values).all() for values in found.values())
    assert given.model.passes.forwards - before == 2 * module.passes(1, 2)


def test_every_probe_is_described_and_an_unknown_one_refused():
    assert options.available("sightline.attribution.probes") == KINDS
    for kind in KINDS:
        for metric in options.read(f"sightline.attribution.probes.{kind}")["METRICS"].values():
            assert set(metric) == {"symbol", "description", "better"}
    with pytest.raises(ConfigError, match="no file attribution/probes/nowhere.py"):
        _ = Probe("nowhere").module
