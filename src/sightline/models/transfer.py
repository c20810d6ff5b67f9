"""Networks that begin with what others learned: a trunk held still, a head of one's own, first weights.

After the mammography study, which takes trunks trained on ImageNet, freezes them and adds a block. Its text
names the block's parts (GELU, dropout of 0.2, softmax, and for EfficientNet global max pooling before them);
their order and widths are in a figure alone. Ours: linear, GELU, dropout, linear.
"""

from __future__ import annotations

import torch
from torch import nn

from sightline.errors import ConfigError
from sightline.models.inputs import DEVIATION, MEAN
from sightline.models.weights import inside


class HeldStill:
    """Mixed into a network's class: training mode reaches the modules `trained_parts` names, no others.

    Batch normalisation keeps its statistics and dropout is off in all the others, whatever mode is asked for.
    """

    trained_parts: tuple[str, ...]

    def train(self, mode: bool = True) -> nn.Module:
        """Put the network, and its trained parts alone, to training or to evaluation."""
        super().train(mode)
        for name, module in self.named_modules():
            if name and not inside(name, self.trained_parts):
                module.training = False
        return self


def freeze(network: nn.Module, trained: tuple[str, ...]) -> nn.Module:
    """`network` with only the modules named `trained` left to learn; the others change in nothing.

    Its class becomes one of the same name that is also a `HeldStill`.
    """
    for name, weight in network.named_parameters():
        weight.requires_grad_(inside(name, trained))
    network.__class__ = type(type(network).__name__, (HeldStill, type(network)), {})
    network.trained_parts = trained
    return network.train(network.training)


def accept(first: nn.Module, mean: tuple[float, ...], deviation: tuple[float, ...]) -> bool:
    """Let a network that learned images normalised by `mean` and `deviation` take those normalised as ours.

    Into the weights of `first`, the layer that sees the images: exact for a convolution with a bias and
    without padding (a transformer's patches). False, and nothing changed, where it is not one.
    """
    if not isinstance(first, nn.Conv2d) or first.bias is None or any(_padding(first)):
        return False
    ours, theirs = (torch.tensor([MEAN, DEVIATION]).double(), torch.tensor([mean, deviation]).double())
    scale, shift = ours[1] / theirs[1], (ours[0] - theirs[0]) / theirs[1]  # theirs = scale * ours + shift
    weight = first.weight.detach().double()  # (K, C, h, w)
    with torch.no_grad():
        first.bias.add_((weight.sum(dim=(2, 3)) @ shift).to(first.bias.dtype))
        first.weight.copy_((weight * scale[:, None, None]).to(first.weight.dtype))
    return True


def _padding(convolution: nn.Conv2d) -> tuple[int, ...]:
    same = convolution.padding == "same" and max(convolution.kernel_size) > 1
    return (int(same),) if isinstance(convolution.padding, str) else tuple(convolution.padding)


def mlp(inputs: int, hidden: int, outputs: int, dropout: float) -> nn.Module:
    """The mammography study's block: features (B, inputs) to logits (B, outputs)."""
    layers = [nn.Linear(inputs, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, outputs)]
    return nn.Sequential(*layers)


def name_of(network: nn.Module, module: nn.Module) -> str:
    """The name under which `network` holds `module`. Raises `ConfigError` where it does not."""
    for name, one in network.named_modules():
        if one is module:
            return name
    raise ConfigError(
        f"{type(network).__name__}: its classifier, a {type(module).__name__}, is no part of it by name"
    )


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where `network` holds the one called `name`."""
    parent, _, last = name.rpartition(".")
    setattr(network.get_submodule(parent), last, module)
