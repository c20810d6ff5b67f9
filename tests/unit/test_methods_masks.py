"""Occlusion, RISE, extremal perturbations, and what all that alter images share."""

import importlib
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import smooth_masks as smooth
from sightline.attribution.engines.masking import inside_windows, windows
from sightline.attribution.maps import Images, NotApplicable, classes
from sightline.attribution.methods import extremal_perturbation, occlusion, rise
from tests.unit.small_networks import LABELS, SHAPES, convolutions, drawn, explained, images, linear

# methods that read all targets from the same forwards, with options that make them quick
SHARED = {
    "occlusion": {"window": 4, "stride": 3},
    "feature_ablation": {"count": 6},
    "feature_permutation": {"count": 6, "draws": 2},
    "shapley_sampling": {"count": 5, "orders": 3},
    "rise": {"masks": 20, "cells": 3},
    "lime": {"count": 6, "samples": 20},
    "kernel_shap": {"features_as": "grid", "count": 6, "samples": 40},
    "score_cam": {"layers": ["one", "two"]},
}
MORE = {
    "feature_permutation": [{"count": 6, "draws": 9}],
    "kernel_shap": [{"features_as": "grid", "count": 4}, {"samples": 301}],
    "score_cam": [{"layers": ["two"], "channels": 3}],
    "extremal_perturbation": [
        {"iterations": 2, "step": 4, "deviation": 5, "variant": "dual", "areas": [0.1, 0.2]}
    ],
}
ALTERING = SHARED | {"extremal_perturbation": {"iterations": 3, "step": 4, "deviation": 5}}


def explain(kind: str, model, given: Images, targets=None, **options) -> list:
    module = importlib.import_module(f"sightline.attribution.methods.{kind}")
    return module.explain(model, given, targets or classes(LABELS), **options)


# ---- what they share


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ALTERING)
def test_an_image_does_not_depend_on_its_company(kind, dims):
    model, given = convolutions(dims), images(SHAPES[dims], 3)
    together = explain(kind, model, given, **ALTERING[kind])
    alone = explain(kind, model, Images(given.pixels[1:2], given.names[1:2]), **ALTERING[kind])
    for one, other in zip(together, alone, strict=True):
        assert one.values.std() > 0
        np.testing.assert_allclose(one.values[1], other.values[0], rtol=1e-5, atol=1e-6)
        if one.gap is not None:
            np.testing.assert_allclose(one.gap[1], other.gap[0], atol=1e-5)


@pytest.mark.parametrize("kind", SHARED)
def test_all_targets_come_from_the_same_forwards(kind):
    model, given = convolutions(), images(SHAPES[2])
    forwards = []
    for labels in (LABELS, ("c",)):
        before = model.passes.forwards
        forwards.append((explain(kind, model, given, classes(LABELS, labels), **SHARED[kind]), before))
    (every, start), (single, middle) = forwards
    placing = 1 if kind == "score_cam" else 0  # the first call places the layers' cells
    assert model.passes.forwards - middle == middle - start - placing
    for one, other in zip(every, single, strict=True):
        np.testing.assert_array_equal(one.values[:, 2:], other.values)


@pytest.mark.parametrize("kind", ALTERING)
def test_no_pass_is_larger_than_the_micro_batch_and_its_size_changes_nothing(kind):
    rows = []
    model, given = convolutions(), images(SHAPES[2])
    model.network.register_forward_pre_hook(lambda module, inputs: rows.append(len(inputs[0])))
    found = explain(kind, model, given, **ALTERING[kind])
    assert max(rows) <= model.micro_batch
    for one, other in zip(found, explain(kind, convolutions(micro_batch=2), given, **ALTERING[kind])):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", ALTERING)
def test_costs_are_what_is_counted(kind, dims):
    model, given = convolutions(dims), images(SHAPES[dims])
    module = importlib.import_module(f"sightline.attribution.methods.{kind}")
    for options in (ALTERING[kind], *MORE.get(kind, [])):
        module.explain(model, given, classes(LABELS), **options)  # places the cells
        forwards, backwards = model.passes.forwards, model.passes.backwards
        found = module.explain(model, given, classes(LABELS), **options)
        seen = model.passes.forwards - forwards, model.passes.backwards - backwards
        stated = module.cost(model, given.shape, len(LABELS), **options)
        assert seen == (2 * stated.forwards, 2 * stated.backwards)
        assert sum(one.values[0].size for one in found) == stated.values


@pytest.mark.parametrize("kind", ALTERING)
def test_a_fill_that_is_not_to_be_had_is_refused(kind):
    model = convolutions(reference_images=None)
    module = importlib.import_module(f"sightline.attribution.methods.{kind}")
    if kind == "feature_permutation":
        assert "names none" in module.check(model, classes(LABELS))
        return
    assert module.check(model, classes(LABELS)) is None or kind == "score_cam"
    options = {"fill": "references"} | ({"layers": ["two"]} if kind == "score_cam" else {})
    assert "names none" in module.check(model, classes(LABELS), **options)
    assert module.check(convolutions(), classes(LABELS), **options) is None


# ---- occlusion


def spread(values: np.ndarray, shape, size, stride) -> np.ndarray:
    """Each pixel's mean over the windows that cover it, from (B, T, *positions)."""
    grid = values.shape[2:]
    total, count = np.zeros((*values.shape[:2], *shape)), np.zeros(shape)
    for at in product(*(range(side) for side in grid)):
        window = tuple(slice(i * step, i * step + side) for i, step, side in zip(at, stride, size))
        total[(..., *window)] += values[(..., *at)][(..., *[None] * len(shape))]
        count[window] += 1
    return total / count


@pytest.mark.parametrize(
    ("dims", "window", "stride"), [(2, [4, 5], [3, 2]), (2, 6, 6), (3, [3, 2, 4], [2, 2, 3])]
)
def test_occlusion_spread_over_pixels_is_captums(dims, window, stride):
    attr = pytest.importorskip("captum.attr")
    model, given = convolutions(dims), images(SHAPES[dims])
    (found,) = occlusion.explain(model, given, classes(LABELS), window=window, stride=stride)
    size, step = ([one] * dims if isinstance(one, int) else one for one in (window, stride))
    pixels = spread(found.values, given.shape[1:], size, step)
    channels = given.shape[0]
    oracle = attr.Occlusion(model.network)
    for target in range(len(LABELS)):
        expected = oracle.attribute(
            given.pixels, (channels, *size), (channels, *step), target=target, perturbations_per_eval=8
        )
        # captum repeats the value in each channel: their sum would be the number of channels too large
        np.testing.assert_allclose(pixels[:, target], expected[:, 0].numpy(), atol=2e-5)
        np.testing.assert_allclose(expected.sum(dim=1), channels * expected[:, 0], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found.outputs, model.network(given.pixels).numpy())


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_occlusion_of_a_linear_model_is_what_the_window_holds(fill):
    shape = (2, 9, 11)
    weights = drawn(3, shape, seed=3)
    model, given = linear(shape), images(shape)
    (found,) = occlusion.explain(model, given, classes(LABELS), window=3, stride=2, fill=fill)
    cover = given.pixels.mean(dim=(2, 3), keepdim=True) if fill == "mean" else 0
    held = torch.einsum("tcyx,bcyx->btyx", weights, given.pixels - cover)
    for row, column in product(range(4), range(5)):
        window = held[:, :, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3].sum(dim=(2, 3))
        np.testing.assert_allclose(found.values[:, :, row, column], window, atol=2e-5)


@pytest.mark.parametrize(
    ("shape", "size", "stride"), [((9, 11), (3, 4), (2, 3)), ((5, 6, 7), (2, 3, 7), (1, 2, 3))]
)
def test_windows_cover_the_image_and_lie_at_their_centres(shape, size, stride):
    frame = windows(shape, size, stride)
    count = int(np.prod(frame.shape))
    inside = inside_windows(shape, size, stride, slice(0, count), torch.device("cpu")).numpy()
    assert inside.any(axis=0).all()
    for number, at in enumerate(np.ndindex(frame.shape)):
        pixels = np.argwhere(inside[number])
        centre = [(i - shift) / scale for i, scale, shift in zip(reversed(at), frame.scale, frame.shift)]
        start = pixels.min(axis=0)
        np.testing.assert_allclose(centre[::-1], start + (np.array(size) - 1) / 2)
        assert (start == np.array(at) * stride).all()
    part = inside_windows(shape, size, stride, slice(2, 5), torch.device("cpu")).numpy()
    np.testing.assert_array_equal(part, inside[2:5])


@pytest.mark.parametrize("dims", [2, 3])
def test_occlusion_finds_a_planted_pixel(dims):
    shape = (1, *(12, 14, 10)[:dims])
    weights = torch.zeros((3, *shape))
    at = (5, 8, 3)[:dims]
    weights[(1, 0, *at)] = 2.0
    model, pixels = linear(shape, weights), torch.ones((1, *shape))
    (found,) = occlusion.explain(model, Images.of(pixels), classes(LABELS), window=3, stride=1)
    hit = np.argwhere(found.values[0, 1] > 1)
    np.testing.assert_array_equal(hit.mean(axis=0) + 1, at)  # windows of 3: the centre is one after the start
    assert len(hit) == 3**dims
    np.testing.assert_array_equal(found.values[0, [0, 2]], 0)


def test_occlusion_refuses_windows_that_do_not_fit():
    model, targets = convolutions(), classes(LABELS)
    assert "3 axes" in occlusion.check(model, targets, window=[2, 2, 2], stride=1)
    assert "longer than window" in occlusion.check(model, targets, window=2, stride=[2, 3])
    assert occlusion.check(model, targets) is None
    with pytest.raises(NotApplicable, match="larger than the images"):
        occlusion.explain(model, images(SHAPES[2]), targets, window=13, stride=1)


# ---- RISE


@pytest.mark.parametrize("dims", [2, 3])
def test_rise_masks_are_an_enlarged_grid_cut_out_at_a_shift(dims):
    shape, cells = (13, 10, 7)[:dims], 3
    drawn_masks = rise.Masks.drawn(shape, 30, cells, 0.4, torch.Generator().manual_seed(0))
    made = drawn_masks.made(slice(4, 30), torch.device("cpu"))
    sides = [-(-length // cells) for length in shape]
    mode = "bilinear" if dims == 2 else "trilinear"
    for number, mask in enumerate(made, 4):
        whole = nn.functional.interpolate(
            drawn_masks.kept[number][None, None], [(cells + 1) * side for side in sides], mode=mode
        )[0, 0]
        shift = drawn_masks.shifts[number].tolist()
        assert all(0 <= one < side for one, side in zip(shift, sides))
        cut = whole[tuple(slice(one, one + length) for one, length in zip(shift, shape))]
        np.testing.assert_allclose(mask, cut, atol=1e-6)
    assert set(drawn_masks.kept.unique().tolist()) == {0.0, 1.0}
    assert all(len(column.unique()) > 1 for column in drawn_masks.shifts.T)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("fill", ["zero", "blurred"])
def test_rise_is_the_mean_of_masks_by_outputs(dims, fill):
    from sightline.attribution.engines import fills

    model, given = convolutions(dims), images(SHAPES[dims])
    options = {"masks": 23, "cells": 3, "keep": 0.4}
    (found,) = rise.explain(model, given, classes(LABELS), **options, fill=fill, centred=False)
    (centred,) = rise.explain(model, given, classes(LABELS), **options, fill=fill)
    drawn_masks = rise.Masks.drawn(given.shape[1:], 23, 3, 0.4, given.shared_generator("rise"))
    masks = drawn_masks.made(slice(0, 23), torch.device("cpu"))
    for image, pixels in enumerate(given.pixels):
        cover = fills.fill(fill, model, pixels[None])
        scores = model.network(masks[:, None] * pixels + (1 - masks[:, None]) * cover)
        expected = torch.einsum("nt,n...->t...", scores, masks) / (0.4 * 23)
        np.testing.assert_allclose(found.values[image], expected, rtol=1e-4, atol=1e-4)
        mean = scores.mean(dim=0)
        spared = torch.einsum("nt,n...->t...", scores - mean, masks) / (0.4 * 23)
        expected = spared + mean.reshape(-1, *[1] * dims)
        np.testing.assert_allclose(centred.values[image], expected, rtol=1e-4, atol=1e-4)


def test_rise_of_unrelated_networks_does_not_look_alike_for_the_masks_sake():
    shape, alike = (1, 14, 14), {}
    for centred in (False, True):
        maps = []
        for seed in (1, 2):
            weights = 0.01 * torch.randn((3, *shape), generator=torch.Generator().manual_seed(seed))
            model = linear(shape, weights)
            model.network[1].bias.fill_(-3.0)
            (found,) = rise.explain(model, images(shape, 1), classes(LABELS), masks=200, centred=centred)
            maps.append(found.values[0, 0].ravel())
        alike[centred] = np.corrcoef(*maps)[0, 1]
    assert alike[False] > 0.9 and abs(alike[True]) < 0.6


def test_rise_of_a_linear_model_has_the_expectation_that_follows_from_its_masks():
    shape, cells, keep, count = (1, 6, 6), 2, 0.3, 6000
    model, given = linear(shape), images(shape, 1)
    (found,) = rise.explain(model, given, classes(LABELS), masks=count, cells=cells, keep=keep)
    # E[M(i) M(j)] = p^2 + p (1 - p) sum over cells of both weights, the mean over all shifts
    second = np.zeros((36, 36))
    for shift in product(range(3), range(3)):
        axes = []
        for start in shift:
            line = nn.functional.interpolate(torch.eye(cells)[None], 9, mode="linear")[0].T
            axes.append(line[start : start + 6].numpy())  # (6, cells)
        weights = np.kron(*axes)  # (36, cells ** 2)
        second += (keep**2 + keep * (1 - keep) * weights @ weights.T) / 9
    contribution = (drawn(3, shape, seed=3) * given.pixels).flatten(1).numpy()  # (T, 36)
    bias = model.network[1].bias.numpy()
    expected = (contribution @ second) / keep + bias[:, None]
    spread_of_one = np.abs(contribution).sum(axis=1, keepdims=True) + np.abs(bias)[:, None]
    error = np.abs(found.values[0].reshape(3, 36) - expected) / spread_of_one
    assert error.max() < 4 * 0.5 / np.sqrt(count) / keep
    # and it is no weaker a claim than it looks: leaving out the covariance is told apart
    wrong = keep * contribution.sum(axis=1, keepdims=True) + bias[:, None]
    assert (np.abs(wrong - expected) / spread_of_one).max() > 3 * error.max()


def test_rise_finds_a_planted_patch_with_masks_that_all_images_share():
    shape = (1, 21, 21)
    weights = torch.zeros((3, *shape))
    weights[2, 0, 12:17, 3:8] = 1.0
    model = linear(shape, weights)
    given = Images(torch.ones((2, *shape)), ("one", "another"))
    (found,) = rise.explain(model, given, classes(LABELS), masks=1500)
    np.testing.assert_array_equal(found.values[0], found.values[1])
    row, column = np.unravel_index(found.values[0, 2].argmax(), shape[1:])
    assert 12 <= row < 17
    assert 3 <= column < 8
    other = replace(given, seed=1)
    assert (rise.explain(model, other, classes(LABELS), masks=20)[0].values != found.values).any()


# ---- extremal perturbations


def brute_force(cells: np.ndarray, shape, step: int, deviation: float) -> np.ndarray:
    """The smooth maximum, pixel by pixel."""
    reach = 1 + int(np.ceil(deviation / step))
    mask = np.zeros(shape)
    for pixel in np.ndindex(shape):
        products = []
        for offset in product(range(-reach, reach + 1), repeat=len(shape)):
            at = np.array(pixel) // step + offset
            known = (at >= 0).all() and (at < cells.shape).all()
            distance = np.linalg.norm(np.array(pixel) - step * at) / deviation
            kernel = np.exp(-2 * max(0.0, distance - 0.5) ** 2)
            products.append(kernel * cells[tuple(at)] if known else 0.0)
        weights = np.exp(20 * np.array(products))
        mask[pixel] = (products * weights).sum() / weights.sum()
    return mask


@pytest.mark.parametrize(
    ("shape", "step", "deviation"), [((11, 13), 4, 5.0), ((7, 6), 3, 2.0), ((5, 6, 4), 3, 2.5)]
)
def test_smooth_masks_are_smooth_maxima_with_the_same_gradient_in_pieces(shape, step, deviation, monkeypatch):
    grid = smooth.cells_of(shape, step)
    cells = torch.rand((2, *grid), generator=torch.Generator().manual_seed(0)).requires_grad_()
    weights = torch.rand((2, *shape), generator=torch.Generator().manual_seed(1))
    masks = smooth.smooth_masks(cells, shape, step, deviation)
    for one, mask in zip(cells.detach().numpy(), masks.detach().numpy()):
        np.testing.assert_allclose(mask, brute_force(one, shape, step, deviation), atol=2e-6)
    (gradient,) = torch.autograd.grad((masks * weights).sum(), cells)
    monkeypatch.setattr(smooth, "MOST_HELD", 1)
    again = smooth.smooth_masks(cells, shape, step, deviation)
    np.testing.assert_allclose(again.detach(), masks.detach(), atol=1e-7)
    (in_pieces,) = torch.autograd.grad((again * weights).sum(), cells)
    np.testing.assert_allclose(in_pieces, gradient, rtol=1e-5, atol=1e-6)


def test_areas_are_measured_by_sorted_pixels():
    mask = torch.zeros((1, 4, 5))
    mask.view(-1)[[3, 9, 12, 17]] = 1.0
    assert smooth.off_area(mask, torch.tensor([0.2])) == 0
    np.testing.assert_allclose(smooth.off_area(mask, torch.tensor([0.5])), 6 / 20)
    np.testing.assert_allclose(smooth.off_area(0.5 * mask, torch.tensor([0.2])), 4 * 0.25 / 20)


def test_a_mask_chooses_between_the_levels_of_a_pyramid():
    pyramid = drawn(4, (2, 3, 5))
    for height in (0.0, 0.25, 1 / 3, 0.9, 1.0):
        shown = smooth.perturbed(pyramid, torch.full((1, 3, 5), height))[0]
        low = min(int(height * 3 + 1e-6), 2)
        part = height * 3 - low
        np.testing.assert_allclose(shown, (1 - part) * pyramid[low] + part * pyramid[low + 1], atol=1e-5)
    fade = torch.stack([torch.zeros((2, 3, 5)), pyramid[0]])
    mask = torch.rand((3, 3, 5), generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(smooth.perturbed(fade, mask), mask[:, None] * pyramid[0], atol=1e-6)


@pytest.mark.parametrize("variant", ["preserve", "delete", "dual"])
@pytest.mark.parametrize("dims", [2, 3])
def test_the_mask_lies_on_a_planted_patch(variant, dims):
    side = 20 if dims == 2 else 9
    shape = (1, *[side] * dims)
    patch = (slice(2, 8), slice(11, 17)) if dims == 2 else (slice(4, 8), slice(1, 5), slice(4, 8))
    weights = torch.zeros((3, *shape))
    weights[(1, 0, *patch)] = 1.0
    area = 0.12
    (found,) = extremal_perturbation.explain(
        linear(shape, weights), Images.of(torch.ones((1, *shape))), classes(LABELS, ["b"]), areas=[area],
        iterations=100, step=2, deviation=3, variant=variant, fill="zero", flip=False,
    )  # fmt: skip
    mask = found.values[0, 0]
    inside = np.zeros(shape[1:], dtype=bool)
    inside[patch] = True
    assert not found.signed
    assert 0 <= mask.min() <= mask.max() <= 1
    assert mask[inside].mean() > 0.8
    assert mask[~inside].mean() < 0.3
    np.testing.assert_allclose(found.gap[0, 0], abs(mask.mean() - area) / area, rtol=1e-4)


def test_the_map_of_several_areas_is_their_mean_and_targets_do_not_mix():
    model, given = convolutions(), images(SHAPES[2])
    options = {"iterations": 4, "step": 4, "deviation": 5}
    (both,) = extremal_perturbation.explain(model, given, classes(LABELS), areas=[0.1, 0.4], **options)
    each = [
        extremal_perturbation.explain(model, given, classes(LABELS, ["b"]), areas=[area], **options)[0]
        for area in (0.1, 0.4)
    ]
    np.testing.assert_allclose(both.values[:, 1:2], (each[0].values + each[1].values) / 2, atol=1e-5)
    np.testing.assert_allclose(both.gap[:, 1:2], (each[0].gap + each[1].gap) / 2, rtol=1e-3)


def test_a_flipped_image_gives_the_flipped_network_to_every_other_step():
    seen = []

    class First(nn.Module):
        def forward(self, x):
            seen.append(x[0, 0, 0].detach().clone())
            return x.flatten(1)[:, :3] * 1.0

    shape = (1, 4, 6)
    model = explained(First(), shape)
    pixels = torch.arange(24.0).view(1, 1, 4, 6)
    for flip in (True, False):
        seen.clear()
        extremal_perturbation.explain(
            model, Images.of(pixels), classes(LABELS, ["a"]), iterations=2, step=2, deviation=2, flip=flip
        )
        increasing = [bool((one.diff() > 0).all()) for one in seen[1:]]
        assert increasing == ([False, True] if flip else [True, True])
