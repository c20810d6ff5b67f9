"""What replaces an image: closed forms, and SciPy's Gaussian."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn

from sightline.attribution.engines import fills
from sightline.attribution.maps import Explained, NotApplicable

SHAPES = [(3, 24, 20), (1, 9, 12, 7)]


def images_of(shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn((2, *shape), generator=torch.Generator().manual_seed(0)) + 3


def model_of(shape: tuple[int, ...], references: torch.Tensor | None = None) -> Explained:
    model = Explained(nn.Flatten(), (), spatial_dims=len(shape) - 1, reference_images=references)
    model.passes.input_shape = shape
    return model


@pytest.mark.parametrize("shape", SHAPES)
def test_each_image_is_replaced_by_its_own(shape):
    images, model = images_of(shape), model_of(shape)
    array = images.numpy()
    axes = tuple(range(2, array.ndim))
    assert not fills.fill("zero", model, images).any()
    for kind, expected in (("black", array.min(axes)), ("mean", array.mean(axes))):
        found = fills.fill(kind, model, images).numpy()
        assert found.shape == array.shape
        np.testing.assert_allclose(found.min(axes), expected, rtol=1e-5)
        np.testing.assert_allclose(found.max(axes), expected, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("deviation", [0.4, 1.7, 6.0])
def test_blurred_is_scipys_gaussian(shape, deviation):
    images = images_of(shape)
    expected = ndimage.gaussian_filter(
        images.double().numpy(), (0, 0, *(deviation,) * (len(shape) - 1)), mode="nearest", truncate=4.0
    )
    np.testing.assert_allclose(fills.blurred(images, deviation).numpy(), expected, atol=1e-5)


def test_the_blur_of_an_image_grows_with_its_longest_side():
    images = images_of((1, 24, 20))
    expected = fills.blurred(images, 10 * 24 / 224)
    assert torch.equal(fills.fill("blurred", model_of((1, 24, 20)), images), expected)


def test_references_give_their_mean_or_a_reason():
    images = images_of((1, 4, 4))
    references = torch.arange(3.0).view(3, 1, 1, 1) * torch.ones(3, 1, 4, 4)
    assert fills.lacks("references", model_of((1, 4, 4), references)) is None
    assert (fills.fill("references", model_of((1, 4, 4), references), images) == 1.0).all()
    assert "reference images" in fills.lacks("references", model_of((1, 4, 4)))
    with pytest.raises(NotApplicable, match="reference images"):
        fills.fill("references", model_of((1, 4, 4)), images)


def test_an_unknown_fill_is_refused():
    with pytest.raises(ValueError, match="zero, black, mean"):
        fills.lacks("grey", model_of((1, 4, 4)))


# ---- painting over


@pytest.mark.parametrize("shape", [(2, 9, 8), (1, 7, 6, 5)])
def test_a_hidden_pixel_becomes_the_mean_of_its_neighbours(shape):
    images = images_of(shape)
    hidden = torch.zeros((2, 1, *shape[1:]), dtype=torch.bool)
    middle = tuple(side // 2 for side in shape[1:])
    hidden[(0, 0, *middle)] = True
    found = fills.inpainted(images, hidden)
    window = images[0][(slice(None), *(slice(at - 1, at + 2) for at in middle))].flatten(1)
    own = images[0][(slice(None), *middle)]
    expected = (window.sum(dim=1) - own) / (3 ** len(middle) - 1)
    assert torch.allclose(found[0][(slice(None), *middle)], expected, atol=1e-5)
    assert torch.equal(found[1], images[1])
    known = ~hidden.expand_as(images)
    assert torch.equal(found[known], images[known])


def test_holes_are_painted_from_their_border_inwards():
    images = torch.full((1, 1, 12, 12), 2.0)
    hidden = torch.zeros((1, 1, 12, 12), dtype=torch.bool)
    hidden[..., 2:12, 0:9] = True  # up to two edges of the image
    images[hidden] = torch.inf
    assert torch.allclose(fills.inpainted(images, hidden), torch.full_like(images, 2.0))
    ramp = torch.arange(12.0).expand(1, 1, 12, 12).clone()
    hidden = torch.zeros_like(hidden)
    hidden[..., 4:7] = True  # a band of three columns: 1-wide rings from both sides
    assert torch.allclose(fills.inpainted(ramp, hidden)[0, 0, 5, 4:7], torch.tensor([3.0, 5.0, 7.0]))


def test_nothing_can_be_painted_from_nothing():
    hidden = torch.ones((2, 1, 4, 4), dtype=torch.bool)
    hidden[0, 0, 0, 0] = False
    with pytest.raises(ValueError, match="hidden"):
        fills.inpainted(torch.zeros(2, 1, 4, 4), hidden)
