"""The autoencoder: its bound against torch's own, the same bits again, and a planted anomaly."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.maps import Explained, Images, no_class
from sightline.attribution.methods import vae_reconstruction
from sightline.errors import ConfigError, DatasetError
from sightline.models import vae, weights


def smooth(count: int, dims: int, channels: int = 1, side: int = 16, seed: int = 0) -> torch.Tensor:
    """Images of one soft blob each."""
    generator = torch.Generator().manual_seed(seed)
    centres = 4 + (side - 8) * torch.rand((count, dims), generator=generator)
    axes = torch.meshgrid(*[torch.arange(float(side))] * dims, indexing="ij")
    squares = sum((axis - centres[:, i].view(-1, *[1] * dims)) ** 2 for i, axis in enumerate(axes))
    return (2 * (-squares / 20).exp())[:, None].expand(-1, channels, *[-1] * dims).contiguous()


def trained(images: torch.Tensor, epochs: int, seed: int = 0) -> tuple[vae.VAE, vae.Fit]:
    network = vae.build(images.shape[1], images.ndim - 2, width=8, depth=2, code=2, seed=seed)
    parts = torch.arange(len(images)).split(8)
    return network, vae.fit(
        network, lambda part: images[part], parts, seed, epochs, lr=5e-3, beta=0.1, progress=lambda line: None
    )


@pytest.mark.parametrize("dims", [2, 3])
def test_the_bound_is_torchs(dims):
    network = vae.build(2, dims, width=4, depth=2, code=3)
    x = torch.randn((5, 2, *[8] * dims), generator=torch.Generator().manual_seed(0))
    noise = torch.randn((5, 3, *[2] * dims), generator=torch.Generator().manual_seed(1))
    error, divergence = vae.loss(network, x, noise, beta=1.0)
    mean, log_variance = network.encode(x)
    code = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    expected = torch.distributions.kl_divergence(code, torch.distributions.Normal(0.0, 1.0)).sum()
    torch.testing.assert_close(divergence, expected / x.numel())
    drawn = mean + noise * code.scale
    likelihood = torch.distributions.Normal(network.decode(drawn, x.shape[2:]), 1.0).log_prob(x).sum()
    normaliser = 0.5 * np.log(2 * np.pi)
    torch.testing.assert_close(error, -likelihood / x.numel() - normaliser, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(vae.loss(network, x, noise, beta=0.25)[1], divergence / 4)


@pytest.mark.parametrize("shape", [(1, 16, 16), (3, 13, 18), (1, 9, 8, 14)])
def test_images_of_any_size_come_back_in_their_size(shape):
    network = vae.build(shape[0], len(shape) - 1, width=2, depth=3, code=2)
    x = torch.randn((2, *shape), generator=torch.Generator().manual_seed(0))
    assert network(x).shape == x.shape
    mean, log_variance = network.encode(x)
    assert mean.shape == log_variance.shape == (2, 2, *(-(-side // 8) for side in shape[1:]))


def test_training_lowers_the_error_and_gives_the_same_bits_again(tmp_path):
    images, state = smooth(24, 2), torch.get_rng_state()
    network, fit = trained(images, epochs=6)
    _, again = trained(images, epochs=6)
    _, other = trained(images, epochs=6, seed=1)
    assert all(torch.equal(fit.state[name], again.state[name]) for name in fit.state)
    assert any(not torch.equal(fit.state[name], other.state[name]) for name in fit.state)
    assert torch.equal(torch.get_rng_state(), state)
    errors = fit.curves[fit.curves["quantity"] == "train_error"]["value"].to_numpy()
    assert len(errors) == 6
    assert errors[-1] < 0.7 * errors[0]
    path = tmp_path / "vae.safetensors"
    weights.save(fit.state, path)
    back = weights.load(vae.build(1, 2, width=8, depth=2, code=2, seed=5), path)
    torch.testing.assert_close(back(images), network(images))


def test_images_of_any_shape_are_padded_to_squares_with_the_like():
    shapes = [(4, 6), (8, 5), (2, 2), (7, 3)]
    images = [np.full(shape, number + 1, dtype=np.uint8) for number, shape in enumerate(shapes)]
    assert vae.batches([max(shape) for shape in shapes], 2) == [[2, 0], [3, 1]]
    found = vae.squares(images[:2])
    assert found.shape == (2, 8, 8)
    expected = np.zeros((8, 8))
    expected[2:6, 1:7] = 1
    np.testing.assert_array_equal(found[0], expected)
    assert found[1].sum() == 2 * 8 * 5


def test_training_says_what_is_wrong():
    network = vae.build(1, 2, width=2, depth=1, code=1)
    with pytest.raises(DatasetError, match="no training image"):
        vae.fit(network, lambda part: part, [], 0, 1, 1e-3, 1.0)
    nothing = torch.full((2, 1, 4, 4), torch.inf)
    with pytest.raises(ConfigError, match="not finite in epoch 1"):
        vae.fit(network, lambda part: nothing, [[0, 1]], 0, 2, 1e-3, 1.0)


@pytest.mark.parametrize(("dims", "channels", "epochs"), [(2, 3, 40), (3, 1, 12)])
def test_the_error_is_largest_at_a_planted_anomaly(dims, channels, epochs):
    network, _ = trained(smooth(48, dims, channels), epochs)
    model = Explained(nn.Flatten(), ("a",), spatial_dims=dims, auxiliary=network)
    pixels = smooth(4, dims, channels, seed=9)
    place = (slice(None), slice(None), *[slice(2, 5)] * dims)
    pixels[place] = -2.0 * torch.ones_like(pixels[place])
    assert vae_reconstruction.check(model, no_class()) is None
    (found,) = vae_reconstruction.explain(model, Images.of(pixels), no_class())
    assert found.values.shape == (4, 1, *[16] * dims)
    assert found.values.min() >= 0
    inside = np.zeros([16] * dims, dtype=bool)
    inside[place[2:]] = True
    for one in found.values[:, 0]:
        assert one[inside].mean() > 4 * one[~inside].mean()
        assert inside[np.unravel_index(one.argmax(), one.shape)]
    with torch.no_grad():
        expected = (pixels - network(pixels)).abs().sum(dim=1)
    np.testing.assert_allclose(found.values[:, 0], expected, rtol=1e-5)


def test_without_an_autoencoder_it_is_not_applicable():
    model = Explained(nn.Flatten(), ("a",))
    assert "no autoencoder" in vae_reconstruction.check(model, no_class())
