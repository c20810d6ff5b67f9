"""Features and what attributes to them, by captum, scikit-learn and Shapley values as they are defined."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from sightline.attribution.engines.superpixels import cells, features, own_means, stored
from sightline.attribution.maps import Images, NotApplicable, classes
from sightline.attribution.methods import (
    feature_ablation,
    feature_permutation,
    kernel_shap,
    lime,
    shapley_sampling,
)
from tests.unit.small_networks import LABELS, SHAPES, convolutions, drawn, images, linear


def smooth_image(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """An image (C, [D,] H, W) with structure, so that superpixels have something to follow."""
    noise = drawn(1, shape, seed)[0].numpy()
    return torch.from_numpy(ndimage.gaussian_filter(noise, [0, *[1.5] * (len(shape) - 1)])).float()


def smooth_images(shape: tuple[int, ...], count: int = 2) -> Images:
    return Images.of(torch.stack([smooth_image(shape, seed) for seed in range(count)]))


def sums(contribution: Tensor, labels: Tensor, count: int) -> np.ndarray:
    """Sum over each feature's pixels of (T, C, *S): (n, T)."""
    summed = contribution.sum(dim=1).numpy()
    return np.stack([ndimage.sum(one, labels.numpy(), range(count)) for one in summed], axis=1)


def on_pixels(values: np.ndarray, labels: Tensor) -> np.ndarray:
    """(n, T) at each pixel: (T, *S)."""
    return values.T[:, labels.numpy()]


# ---- features


@pytest.mark.parametrize(
    ("shape", "number", "grid"), [((12, 18), 24, (4, 6)), ((7, 10), 6, (2, 3)), ((8, 9, 16), 9, (2, 2, 3))]
)
def test_cells_of_a_grid_are_equal_and_lie_where_their_pixels_lie(shape, number, grid):
    found = features(torch.zeros((1, *shape)), "grid", number, 0.1)
    assert (found.grid, found.count) == (grid, int(np.prod(grid)))
    labels = found.labels.numpy()
    assert sorted(set(labels.flat)) == list(range(found.count))
    frame_of = stored_frame(found)
    for number, at in enumerate(np.ndindex(grid)):
        pixels = np.argwhere(labels == number)
        extent = pixels.max(axis=0) - pixels.min(axis=0) + 1
        assert len(pixels) == np.prod(extent)
        assert (np.abs(extent - np.array(shape) / grid) < 1).all()
        centre = [(i - b) / a for i, a, b in zip(reversed(at), frame_of.scale, frame_of.shift)]
        assert np.abs(centre[::-1] - pixels.mean(axis=0)).max() <= 0.5


def stored_frame(found):
    values, frame = stored([found], [torch.arange(found.count * 2.0).view(-1, 2)])
    assert values.shape == (1, 2, *found.grid)
    np.testing.assert_array_equal(values[0, 1].ravel(), np.arange(found.count) * 2.0 + 1)
    return frame


def test_grids_have_at_least_a_cell_and_at_most_a_pixel_along_each_axis():
    assert cells((100, 2), 50) == (50, 1)
    assert cells((4, 4), 1000) == (4, 4)


@pytest.mark.parametrize("shape", [(1, 30, 36), (3, 30, 36), (1, 10, 12, 14)])
def test_superpixels_are_connected_and_the_same_however_often_a_channel_is_repeated(shape):
    image = smooth_image((1, *shape[1:]))
    found = features(image.expand(shape), "superpixels", 20, 0.1)
    labels = found.labels.numpy()
    assert 8 <= found.count <= 40
    assert found.grid is None
    assert sorted(set(labels.flat)) == list(range(found.count))
    assert all(ndimage.label(labels == number)[1] == 1 for number in range(found.count))
    from skimage.segmentation import slic

    alone = slic(image[0].double().numpy(), 20, 0.1, start_label=0, channel_axis=None)
    np.testing.assert_array_equal(np.unique(alone, return_inverse=True)[1].reshape(labels.shape), labels)


def test_superpixels_do_not_cross_an_edge():
    image = torch.zeros((2, 24, 24))
    image[:, :, 9:] = 1.0
    labels = features(image, "superpixels", 9, 0.1).labels.numpy()
    assert not set(labels[:, :9].flat) & set(labels[:, 9:].flat)


def test_a_features_own_mean_is_that_of_its_pixels():
    image = smooth_image((3, 12, 15))
    found = features(image, "superpixels", 8, 0.1)
    shown = own_means(image, found).numpy()
    for channel, mean in zip(image.numpy(), shown):
        expected = ndimage.mean(channel, found.labels.numpy(), range(found.count))
        np.testing.assert_allclose(mean, expected[found.labels.numpy()], rtol=1e-4, atol=1e-6)


# ---- against captum


def captum_mask(found) -> Tensor:
    return found.labels[None, None]


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("dims", [2, 3])
def test_ablation_is_captums(dims, kind):
    attr = pytest.importorskip("captum.attr")
    model, given = convolutions(dims), smooth_images(SHAPES[dims])
    (found,) = feature_ablation.explain(model, given, classes(LABELS), features_as=kind, count=7)
    oracle = attr.FeatureAblation(model.network)
    for image, pixels in enumerate(given.pixels):
        one = features(pixels, kind, 7, 0.1)
        for target in range(len(LABELS)):
            expected = oracle.attribute(pixels[None], target=target, feature_mask=captum_mask(one))[0, 0]
            ours = found.values[image, target]
            if kind == "grid":
                ours = ours.ravel()[one.labels.numpy()]
            np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_shapley_sampling_is_captums_over_the_same_orders(dims):
    attr = pytest.importorskip("captum.attr")
    model, given = convolutions(dims), smooth_images(SHAPES[dims])
    (found,) = shapley_sampling.explain(model, given, classes(LABELS), count=6, orders=4)
    oracle = attr.ShapleyValueSampling(model.network)
    for image, pixels in enumerate(given.pixels):
        one = features(pixels, "grid", 6, 0.1)
        random = torch.rand((4, one.count), generator=given.generator(image, "shapley_sampling"))
        orders = random.argsort(dim=1).tolist()
        oracle.permutation_generator = lambda count, samples, orders=orders: iter(orders)
        for target in range(len(LABELS)):
            expected = oracle.attribute(
                pixels[None], target=target, feature_mask=captum_mask(one), n_samples=4
            )[0, 0]
            ours = found.values[image, target].ravel()[one.labels.numpy()]
            np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


# ---- Shapley values by definition


def values_of_sets(model, pixels: Tensor, labels: Tensor, count: int) -> dict[frozenset, np.ndarray]:
    sets = [frozenset(one) for size in range(count + 1) for one in combinations(range(count), size)]
    versions = torch.stack([pixels * torch.isin(labels, torch.tensor(sorted(one))) for one in sets])
    return dict(zip(sets, model.network(versions).double().numpy()))


def shapley_values(worth: dict[frozenset, np.ndarray], count: int) -> np.ndarray:
    """(n, T): the weighted mean over all sets of what each feature adds."""
    values = np.zeros((count, len(LABELS)))
    for feature in range(count):
        for one, value in worth.items():
            if feature not in one:
                weight = 1 / (count * comb(count - 1, len(one)))
                values[feature] += weight * (worth[one | {feature}] - value)
    return values


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("dims", [2, 3])
def test_kernel_shap_over_all_sets_gives_shapley_values(dims, kind):
    model, given = convolutions(dims), smooth_images(SHAPES[dims])
    (found,) = kernel_shap.explain(
        model, given, classes(LABELS), features_as=kind, count=7, compactness=1, samples=2000
    )
    for image, pixels in enumerate(given.pixels):
        one = features(pixels, kind, 7, 1)
        assert 4 <= one.count <= 10
        expected = shapley_values(values_of_sets(model, pixels, one.labels, one.count), one.count)
        ours = found.values[image]
        ours = ours.reshape(3, -1) if kind == "grid" else ours
        expected = expected.T if kind == "grid" else on_pixels(expected, one.labels)
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)
    assert found.gap.max() < 1e-5


def test_sampled_kernel_shap_and_shapley_sampling_come_near_and_are_complete():
    model, given = convolutions(), smooth_images(SHAPES[2])
    targets, options = classes(LABELS), {"features_as": "grid", "count": 10}
    (exact,) = kernel_shap.explain(model, given, targets, **options, samples=5000)
    scale = np.abs(exact.values).max()
    (sampled,) = kernel_shap.explain(model, given, targets, **options, samples=400)
    (orders,) = shapley_sampling.explain(model, given, targets, count=10, orders=60)
    assert exact.values[0, 0].size == 12
    for found in (sampled, orders):
        error = np.abs(found.values - exact.values).max() / scale
        assert 1e-6 < error < 0.15
        gain = found.outputs - model.network(torch.zeros_like(given.pixels)).numpy()
        np.testing.assert_allclose(found.values.sum(axis=(2, 3)), gain, rtol=1e-4, atol=1e-5)
        assert found.gap.shape == (2, 3)
        assert found.gap.max() < 1e-5


def test_the_fit_of_kernel_shap_is_scikit_learns():
    from sklearn.linear_model import LinearRegression

    generator = torch.Generator().manual_seed(0)
    present, _ = kernel_shap.coalitions(6, 50, generator)
    rng = np.random.default_rng(0)
    gained, gain = rng.normal(size=(50, 2)), rng.normal(size=2)
    weights = rng.random(50) + 0.1
    ours = kernel_shap.fitted(present, weights, gained, gain)
    # the two constraints as two rows that nothing outweighs
    design = np.vstack([present.numpy(), np.ones((1, 6))])
    oracle = LinearRegression(fit_intercept=False).fit(
        design, np.vstack([gained, gain]), sample_weight=[*weights, 1e9]
    )
    np.testing.assert_allclose(ours, oracle.coef_.T, atol=1e-6)
    np.testing.assert_allclose(ours.sum(axis=0), gain, atol=1e-12)


def test_sets_are_drawn_with_their_complements_by_the_kernels_weights():
    present, weights = kernel_shap.coalitions(9, 500, torch.Generator().manual_seed(0))
    assert present.shape == (500, 9)
    assert (weights == 1).all()
    assert (present[::2] == ~present[1::2]).all()
    sizes = np.bincount(present.sum(dim=1), minlength=10) / 500
    inverse = np.array([0, *(1 / (k * (9 - k)) for k in range(1, 9)), 0])
    assert np.abs(sizes - inverse / inverse.sum()).max() < 0.06
    assert (present.sum(dim=0) == 250).all()  # each feature as often present as not
    every, weights = kernel_shap.coalitions(5, 30, torch.Generator())
    assert len({tuple(one) for one in every.tolist()}) == 30
    assert np.isclose(weights[every.sum(dim=1) == 2], 4 / (10 * 2 * 3)).all()


def test_kernel_shap_refuses_too_few_sets():
    with pytest.raises(NotApplicable, match="more `samples`"):
        kernel_shap.explain(
            convolutions(), images(SHAPES[2]), classes(LABELS), features_as="grid", count=48, samples=40
        )


# ---- additive models, planted patches


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("fill", ["zero", "black"])
@pytest.mark.parametrize("dims", [2, 3])
def test_additive_models_are_explained_exactly(dims, fill, kind):
    shape = SHAPES[dims]
    model, given, targets = linear(shape), smooth_images(shape), classes(LABELS)
    options = {"features_as": kind, "count": 9, "fill": fill}
    results = {
        "ablation": feature_ablation.explain(model, given, targets, **options),
        "sampling": shapley_sampling.explain(model, given, targets, **options, orders=2),
        "shap": kernel_shap.explain(model, given, targets, **options, samples=200),
        "lime": lime.explain(model, given, targets, **options, samples=200, alpha=1e-6),
    }
    axes = tuple(range(1, len(shape)))
    for image, pixels in enumerate(given.pixels):
        cover = pixels.amin(dim=axes, keepdim=True) if fill == "black" else torch.zeros_like(pixels)
        one = features(pixels, kind, 9, 0.1)
        expected = sums(drawn(3, shape, seed=3) * (pixels - cover), one.labels, one.count)
        wanted = expected.T if kind == "grid" else on_pixels(expected, one.labels)
        for name, (found,) in results.items():
            np.testing.assert_allclose(
                found.values[image].reshape(wanted.shape), wanted, rtol=1e-3, atol=1e-4, err_msg=name
            )
    assert results["lime"][0].gap.max() < 1e-6


@pytest.mark.parametrize("dims", [2, 3])
def test_permutation_of_a_linear_model_is_the_difference_to_the_references(dims):
    shape = SHAPES[dims]
    references = drawn(3, shape, seed=5)
    model, given = linear(shape, reference_images=references), smooth_images(shape)
    options = {"features_as": "grid", "count": 8}
    (every,) = feature_permutation.explain(model, given, classes(LABELS), **options, draws=5)
    (single,) = feature_permutation.explain(model, given, classes(LABELS), **options)
    weights = drawn(3, shape, seed=3)
    for image, pixels in enumerate(given.pixels):
        one = features(pixels, "grid", 8, 0.1)
        by_reference = np.stack(
            [sums(weights * (pixels - other), one.labels, one.count) for other in references]
        )
        np.testing.assert_allclose(
            every.values[image].reshape(3, -1), by_reference.mean(axis=0).T, rtol=1e-4, atol=1e-4
        )
        off = np.abs(single.values[image].reshape(3, -1).T - by_reference).max(axis=2)  # (R, n)
        assert off.min(axis=0).max() < 1e-3
        assert len(set(off.argmin(axis=0))) > 1  # each feature draws for itself


PLANTED = {
    feature_ablation: {},
    feature_permutation: {"draws": 4},
    shapley_sampling: {"orders": 3},
    lime: {"fill": "zero", "samples": 200},
    kernel_shap: {"samples": 300},
}


@pytest.mark.parametrize("kind", ["grid", "superpixels"])
@pytest.mark.parametrize("method", PLANTED, ids=lambda module: module.__name__.split(".")[-1])
def test_a_planted_patch_is_found(method, kind):
    shape = (1, 24, 24)
    image = torch.zeros(shape)
    image[0, 12:18, 6:12] = 1.0
    weights = torch.zeros((3, *shape))
    weights[1, 0, 12:18, 6:12] = 0.2
    model = linear(shape, weights, reference_images=torch.zeros((2, *shape)))
    (found,) = method.explain(
        model, Images.of(image[None]), classes(LABELS), features_as=kind, count=16, **PLANTED[method]
    )
    best = np.unravel_index(found.values[0, 1].argmax(), found.frame.shape)
    row, column = ((i - b) / a for i, a, b in zip(best, found.frame.scale, found.frame.shift))
    assert 12 <= row < 18
    assert 6 <= column < 12
    np.testing.assert_allclose(found.values[0, [0, 2]], 0, atol=1e-4)


# ---- LIME


@pytest.mark.parametrize("regression", ["ridge", "lasso"])
def test_the_fit_of_lime_is_scikit_learns(regression):
    from sklearn.linear_model import Lasso, Ridge
    from sklearn.metrics.pairwise import cosine_distances

    rng = np.random.default_rng(0)
    present = rng.random((40, 7)) < 0.5
    present[0], present[5] = True, False
    scalars = present @ rng.normal(size=(7, 3)) + 0.1 * rng.normal(size=(40, 3))
    alpha = 0.7 if regression == "ridge" else 0.03
    coefficients, left = lime.fitted(present, scalars, 0.25, regression, alpha)
    distance = cosine_distances(present.astype(float), np.ones((1, 7)))[:, 0]
    weights = np.sqrt(np.exp(-(distance**2) / 0.25**2))
    oracle = (Ridge if regression == "ridge" else Lasso)(alpha=alpha)
    for target in range(3):
        oracle.fit(present, scalars[:, target], sample_weight=weights)
        np.testing.assert_allclose(coefficients[:, target], oracle.coef_, rtol=1e-3, atol=1e-4)
        share = oracle.score(present, scalars[:, target], sample_weight=weights)
        np.testing.assert_allclose(left[target], 1 - share, atol=1e-4)


def test_a_lasso_that_leaves_nothing_says_so():
    model, given = convolutions(), smooth_images(SHAPES[2])
    (found,) = lime.explain(
        model, given, classes(LABELS), count=8, samples=30, regression="lasso", alpha=100.0
    )
    assert not found.values.any()
    np.testing.assert_array_equal(found.gap, 1)
    (ridge,) = lime.explain(model, given, classes(LABELS), count=8, samples=100)
    assert ridge.values.any(axis=(2, 3)).all()
    assert ridge.gap.max() < 0.5


def test_lime_fills_a_feature_with_its_own_mean():
    shape = SHAPES[2]
    model, given = linear(shape), smooth_images(shape)
    (found,) = lime.explain(model, given, classes(LABELS), count=9, samples=100, alpha=1e-6)
    for image, pixels in enumerate(given.pixels):
        one = features(pixels, "superpixels", 9, 0.1)
        expected = sums(drawn(3, shape, seed=3) * (pixels - own_means(pixels, one)), one.labels, one.count)
        np.testing.assert_allclose(found.values[image], on_pixels(expected, one.labels), rtol=1e-3, atol=1e-4)
