"""Networks for tests of methods that alter images: a linear one, and one of convolutions without symmetry."""

from math import prod

import torch
from torch import nn

from sightline.attribution.maps import Explained, Images

LABELS = ("a", "b", "c")
SHAPES = {2: (2, 12, 16), 3: (1, 8, 6, 10)}


class Convolutions(nn.Module):
    """Two convolutions, the ReLU between them in place, a mean and a linear layer."""

    def __init__(self, channels: int, dims: int):
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.one = convolution(channels, 4, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.two = convolution(4, 5, 3, padding=1)
        self.head = nn.Linear(5, len(LABELS))

    def forward(self, x):
        x = torch.tanh(self.two(self.relu(self.one(x))))
        return self.head(x.flatten(2).mean(dim=2) * 10)


def explained(network: nn.Module, shape: tuple[int, ...], **more) -> Explained:
    model = Explained(network, LABELS, spatial_dims=len(shape) - 1, **{"micro_batch": 7} | more)
    model.passes.input_shape = shape
    return model


def convolutions(dims: int = 2, **more) -> Explained:
    """The network in `dims` dimensions, with three reference images."""
    shape = SHAPES[dims]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = Convolutions(shape[0], dims)
    return explained(network, shape, **{"reference_images": drawn(3, shape, seed=5)} | more)


def linear(shape: tuple[int, ...], weights: torch.Tensor | None = None, **more) -> Explained:
    """Outputs (B, 3): the sum of weights (3, *shape) times pixels, and a bias."""
    layer = nn.Linear(prod(shape), len(LABELS))
    given = drawn(len(LABELS), shape, seed=3) if weights is None else weights
    with torch.no_grad():
        layer.weight.copy_(given.flatten(1))
        layer.bias.copy_(torch.tensor([0.5, -1.0, 2.0]))
    return explained(nn.Sequential(nn.Flatten(), layer), shape, **more)


def drawn(count: int, shape: tuple[int, ...], seed: int = 1) -> torch.Tensor:
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))


def images(shape: tuple[int, ...], count: int = 2, seed: int = 1) -> Images:
    return Images.of(drawn(count, shape, seed))
