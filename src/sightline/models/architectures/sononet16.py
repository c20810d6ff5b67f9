"""Sononet-16: the chest x-ray gaze study's network without attention gates.

Source: the authors' code (ricbl/etsaliencymaps, `woAG`), whose state-dict keys are kept so that their
checkpoints load. Their paper draws no 1x1 layers after the last block; their code has two, and so has this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sightline.models.blocks import Block, initialise

OPTIONS = {
    "width": {
        "type": "integer",
        "minimum": 1,
        "default": 16,
        "description": "Channels of the first block; the later ones have 2, 4, 8 and 8 times as many.",
    },
}
LAYERS: dict[str, tuple[str, ...]] = {"last": ("features.10",)}
ATTENTION: dict[str, str] = {}


class Pointwise(nn.Module):
    """Convolution 1x1 and batch normalisation, then ReLU or none; `name` is the authors' name of the unit."""

    def __init__(self, name: str, inputs: int, outputs: int, relu: bool):
        super().__init__()
        layers = [nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs)] + ([nn.ReLU()] if relu else [])
        self.add_module(name, nn.Sequential(*layers))

    def forward(self, x: Tensor) -> Tensor:
        """The unit's activations, (B, outputs, H, W)."""
        for unit in self.children():
            x = unit(x)
        return x


class Sononet16(nn.Module):
    """Five blocks, two 1x1 layers, the mean over all positions, one linear layer."""

    def __init__(self, outputs: int, width: int):
        super().__init__()
        self.features = nn.Sequential(
            Block(3, width, 3),  # (B, 16, H, W)
            nn.MaxPool2d(2),
            Block(width, 2 * width, 3),  # (B, 32, H/2, W/2)
            nn.MaxPool2d(2),
            Block(2 * width, 4 * width, 3),  # (B, 64, H/4, W/4)
            nn.MaxPool2d(2),
            Block(4 * width, 8 * width, 2),  # (B, 128, H/8, W/8)
            nn.MaxPool2d(2),
            Block(8 * width, 8 * width, 2),  # (B, 128, H/16, W/16)
            Pointwise("cbr_unit", 8 * width, 4 * width, relu=True),  # (B, 64, H/16, W/16)
            Pointwise("cb_unit", 4 * width, 2 * width, relu=False),  # (B, 32, H/16, W/16), may be negative
        )
        self.classifier = nn.Sequential(nn.Linear(2 * width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs) of images (B, 3, H, W), normalised; H and W at least 16."""
        x = self.features(x)  # (B, 32, H/16, W/16)
        x = x.mean(dim=(2, 3))  # (B, 32)
        return self.classifier(x)


def build(outputs: int, width: int = 16) -> nn.Module:
    """The network with `outputs` logits; torch's generator draws its weights (see `models.network`)."""
    network = Sononet16(outputs, width)
    with torch.no_grad():
        initialise(network)
    return network
