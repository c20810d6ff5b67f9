"""A small variational autoencoder of images (Kingma & Welling 2014), and its training.

Convolutional throughout, so that images of any size pass: the code is a grid of vectors. Trained on images as
the explained networks get them; what it rebuilds badly is what training images do not look like.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn import functional

from sightline.errors import ConfigError, DatasetError
from sightline.randomness import derived_seed

OPTIONS = {
    "width": {
        "type": "integer",
        "minimum": 1,
        "default": 16,
        "description": "Channels after the first layer; each further layer doubles them.",
    },
    "depth": {
        "type": "integer",
        "minimum": 1,
        "default": 4,
        "description": "Layers that halve the sides.",
    },
    "code": {
        "type": "integer",
        "minimum": 1,
        "default": 8,
        "description": "Length of the code of a cell of 2^depth pixels.",
    },
    "beta": {
        "type": "number",
        "minimum": 0,
        "default": 1.0,
        "description": "Weight of the code's divergence from the normal distribution (1: the bound).",
    },
    "epochs": {
        "type": "integer",
        "minimum": 1,
        "default": 20,
        "description": "Passes over the training images.",
    },
    "batch": {"type": "integer", "minimum": 1, "default": 16, "description": "Images per step."},
    "lr": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.0e-3,
        "description": "Adam's learning rate.",
    },
}


class VAE(nn.Module):
    """Encoder, code of mean and logarithm of variance, decoder; `forward` rebuilds from the mean."""

    def __init__(self, channels: int, dims: int, width: int, depth: int, code: int):
        super().__init__()
        convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
        transposed = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[dims]
        widths = [width * 2**level for level in range(depth)]
        down: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths):
            down += [convolution(before, after, 4, stride=2, padding=1), nn.SiLU()]
        self.encoder = nn.Sequential(*down, convolution(widths[-1], 2 * code, 1))
        up: list[nn.Module] = [convolution(code, widths[-1], 1), nn.SiLU()]
        for before, after in zip(widths[::-1], [*widths[-2::-1], width]):
            up += [transposed(before, after, 4, stride=2, padding=1), nn.SiLU()]
        self.decoder = nn.Sequential(*up, convolution(width, channels, 3, padding=1))
        self.multiple = 2**depth

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and logarithm of the variance of the code, (B, code, *cells), of images (B, C, *S).

        Sides that are no multiple of a cell's are continued by their last pixel.
        """
        short = [-side % self.multiple for side in x.shape[2:]]
        padding = [amount for side in reversed(short) for amount in (0, side)]
        mean, log_variance = self.encoder(functional.pad(x, padding, mode="replicate")).chunk(2, dim=1)
        return mean, log_variance

    def decode(self, code: Tensor, shape: Sequence[int]) -> Tensor:
        """The image (B, C, *shape) of a code."""
        return self.decoder(code)[(..., *(slice(side) for side in shape))]

    def forward(self, x: Tensor) -> Tensor:
        """Images (B, C, *S) rebuilt from the mean of their code."""
        return self.decode(self.encode(x)[0], x.shape[2:])


@dataclass(frozen=True)
class Fit:
    """A finished training: weights (on the CPU), and the curve: epoch (from 1), quantity, value."""

    state: dict[str, Tensor]
    curves: pd.DataFrame


def build(channels: int, dims: int, width: int, depth: int, code: int, seed: int = 0) -> VAE:
    """An autoencoder of `dims` dimensions, weights drawn for `seed`. Torch's own generator is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derived_seed(seed, "initialise", "vae"))
        return VAE(channels, dims, width, depth, code)


def loss(network: VAE, x: Tensor, noise: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """The two parts of the negative bound per pixel value: half squared error, and `beta` times divergence.

    Kingma & Welling 2014, their equation 10, with a decoder of variance 1; `noise` (B, code, *cells) is drawn
    from the normal distribution.
    """
    mean, log_variance = network.encode(x)
    rebuilt = network.decode(mean + noise * (0.5 * log_variance).exp(), x.shape[2:])
    error = 0.5 * (rebuilt - x).square().sum() / x.numel()
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum() / x.numel()
    return error, beta * divergence


def squares(images: Sequence[np.ndarray]) -> np.ndarray:
    """Stored images (H, W[, 3]), uint8, in the middle of black squares: (B, S, S[, 3]), S the longest side.

    What explained images are like: whole, in a zero-padded square.
    """
    side = max(max(image.shape[:2]) for image in images)
    result = np.zeros((len(images), side, side, *images[0].shape[2:]), dtype=np.uint8)
    for one, image in zip(result, images):
        top, left = ((side - length) // 2 for length in image.shape[:2])
        one[top : top + image.shape[0], left : left + image.shape[1]] = image
    return result


def batches(longest: Sequence[int], size: int) -> list[list[int]]:
    """Indices of images in batches of at most `size`, by their `longest` side: few need much padding."""
    order = sorted(range(len(longest)), key=lambda index: longest[index])
    return [order[at : at + size] for at in range(0, len(order), size)]


def fit(
    network: VAE,
    load: Callable[[Sequence[int]], Tensor],
    batches: Sequence[Sequence[int]],
    seed: int,
    epochs: int,
    lr: float,
    beta: float,
    device: str = "cpu",
    progress: Callable[[str], object] = print,
) -> Fit:
    """Train `network` in place; `load` gives the images (B, C, *S) of one of `batches`, whose order is drawn.

    The same arguments give the same bits on a CPU, by the same number of threads. `progress` is told one line
    per epoch. Raises `DatasetError` where there is no image, `ConfigError` where the loss is not finite.
    """
    if not batches:
        raise DatasetError("no training image for the autoencoder: check the splits and the skipped table")
    generator = torch.Generator().manual_seed(derived_seed(seed, "train", "vae") % 2**63)
    network.to(device).train()
    optimiser = torch.optim.Adam(network.parameters(), lr=lr)
    rows = []
    for epoch in range(1, epochs + 1):
        sums, count = torch.zeros(2, dtype=torch.float64), 0
        for at in torch.randperm(len(batches), generator=generator).tolist():
            x = load(batches[at]).to(device)
            cells = [-(-side // network.multiple) for side in x.shape[2:]]
            noise = torch.randn((len(x), network.decoder[0].in_channels, *cells), generator=generator)
            parts = loss(network, x, noise.to(device), beta)
            optimiser.zero_grad()
            sum(parts).backward()
            optimiser.step()
            sums += len(x) * torch.tensor([part.item() for part in parts], dtype=torch.float64)
            count += len(x)
        error, divergence = (sums / count).tolist()
        if not torch.isfinite(sums).all():
            raise ConfigError(f"vae: the loss is not finite in epoch {epoch}; lower lr ({lr:g})")
        rows += [(epoch, "train_error", error), (epoch, "train_divergence", divergence)]
        progress(f"epoch {epoch} of {epochs}: squared error {error:.4g}, divergence {divergence:.4g}")
    state = {name: value.detach().cpu().clone() for name, value in network.eval().state_dict().items()}
    return Fit(state, pd.DataFrame(rows, columns=["epoch", "quantity", "value"]))
