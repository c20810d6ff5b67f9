"""Score-CAM: against its formula image by image and channel by channel, and what a network may do to it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import fills
from sightline.attribution.maps import Images, NotApplicable, classes
from sightline.attribution.methods import score_cam
from sightline.frames import Frame, resample
from tests.unit.small_networks import LABELS, SHAPES, convolutions, explained, images


def by_formula(model, layer: str, pixels, cover, weights: str) -> np.ndarray:
    """The map (T, *grid) of one image, a channel at a time, enlarged as scores enlarge maps."""
    kept = []
    handle = model.network.get_submodule(layer).register_forward_hook(
        lambda *call: kept.append(call[2].clone())
    )
    with torch.no_grad():
        model.network(pixels[None])
        handle.remove()
        channels = kept[0][0].numpy()
        frame = model.frame(layer, tuple(pixels.shape), channels.shape[1:])
        baseline = model.network(cover[None])[0]
        increases = []
        for channel in channels:
            mask = resample(channel, frame, Frame.of_image(tuple(pixels.shape[1:])))
            extent = mask.max() - mask.min()
            mask = (mask - mask.min()) / extent if extent > 0 else np.zeros_like(mask)
            mask = torch.from_numpy(mask).float()
            increases.append(model.network((mask * pixels + (1 - mask) * cover)[None])[0] - baseline)
    alpha = torch.stack(increases)  # (K, T)
    if weights == "softmax":
        alpha = alpha.softmax(dim=0)
    return np.einsum("kt,k...->t...", alpha.numpy(), channels)


@pytest.mark.parametrize("weights", ["increase", "softmax"])
@pytest.mark.parametrize("dims", [2, 3])
def test_maps_are_the_papers_formula(dims, weights):
    model, given = convolutions(dims), images(SHAPES[dims])
    for fill in ("zero", "mean"):
        found = score_cam.explain(
            model, given, classes(LABELS), layers=["one", "two"], weights=weights, fill=fill
        )
        assert [one.source for one in found] == ["one", "two"]
        covers = fills.fill(fill, model, given.pixels)
        for one in found:
            assert one.frame == model.frame(one.source, given.shape, one.values.shape[2:])
            for image, (pixels, cover) in enumerate(zip(given.pixels, covers)):
                expected = by_formula(model, one.source, pixels, cover, weights)
                np.testing.assert_allclose(one.values[image], expected, rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(found[0].outputs, model.network(given.pixels).numpy())


def test_masks_lie_where_the_cells_truly_lie():
    """A layer whose cells lie at 4i: one bright cell is a peak at its own pixel, not half a cell further."""

    class Strided(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1, stride=4)
            nn.init.ones_(self.layer.weight)
            nn.init.zeros_(self.layer.bias)
            self.seen = []

        def forward(self, x):
            self.seen.append(x.clone())
            return self.layer(x).flatten(1)[:, :3]

    network = Strided()
    model = explained(network, (1, 16, 16))
    pixels = torch.full((1, 1, 16, 16), 0.5)
    pixels[0, 0, 8, 4] = 1.0

    def profile(model) -> np.ndarray:
        score_cam.explain(model, Images.of(pixels), classes(LABELS), layers=["layer"])
        return (network.seen[-1] / pixels)[0, 0].numpy()  # the only channel's mask

    mask = profile(model)
    assert np.unravel_index(mask.argmax(), mask.shape) == (8, 4)
    np.testing.assert_allclose(mask[8, :9], [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0], atol=1e-6)
    usual = profile(replace(model, placement="usual_resize"))
    assert usual[9, 5] == usual[10, 6] == usual.max()


def test_a_constant_channel_weighs_nothing_and_others_are_scaled_to_one():
    masks = torch.stack([torch.full((3, 4), 2.5), torch.arange(12.0).view(3, 4) - 5])
    found = score_cam.normalised(masks)
    assert not found[0].any()
    np.testing.assert_allclose(found[1], torch.arange(12.0).view(3, 4) / 11, atol=1e-6)


def test_the_channels_that_vary_most_may_stand_for_all():
    model, given = convolutions(), images(SHAPES[2])
    (every,) = score_cam.explain(model, given, classes(LABELS), layers=["two"], channels=5)
    (all_of_them,) = score_cam.explain(model, given, classes(LABELS), layers=["two"])
    np.testing.assert_array_equal(every.values, all_of_them.values)
    kept = []
    handle = model.network.two.register_forward_hook(lambda *call: kept.append(call[2].clone()))
    model.network(given.pixels)
    handle.remove()
    (few,) = score_cam.explain(model, given, classes(LABELS), layers=["two"], channels=2)
    for image, channels in enumerate(kept[0].numpy()):
        chosen = np.argsort(-channels.reshape(5, -1).var(axis=1))[:2]
        left_out = channels.copy()
        left_out[[one for one in range(5) if one not in chosen]] = 0
        # maps are linear in channels: what is left is spanned by the chosen ones
        basis = channels[chosen].reshape(2, -1).T
        for target in range(3):
            values = few.values[image, target].ravel()
            weights = np.linalg.lstsq(basis, values, rcond=None)[0]
            np.testing.assert_allclose(basis @ weights, values, rtol=1e-3, atol=1e-4)


def test_an_image_is_masked_by_its_activations_before_what_follows_changes_them():
    """The ReLU after `one` works in place: the layer's own channels are signed."""
    model, given = convolutions(), images(SHAPES[2])
    (found,) = score_cam.explain(model, given, classes(LABELS), layers=["one"])
    (after,) = score_cam.explain(model, given, classes(LABELS), layers=["relu"])
    assert np.abs(found.values - after.values).max() > 1e-3
    with torch.no_grad():
        assert model.network.one(given.pixels).min() < 0


def test_layers_without_a_grid_are_refused():
    model = convolutions()
    assert "no layer three" in score_cam.check(model, classes(LABELS), layers=["three"])
    with pytest.raises(NotApplicable, match="not channels on a 2-D grid"):
        score_cam.explain(model, images(SHAPES[2]), classes(LABELS), layers=["head"])
