"""The worked example of docs/extending.md, a network of one's own: three convolutions, one linear layer."""

from __future__ import annotations

from torch import nn

OPTIONS = {
    "width": {
        "type": "integer",
        "minimum": 1,
        "default": 8,
        "description": "Channels of the first convolution; the later ones have 2 and 4 times as many.",
    },
}
LAYERS = {"last": ("features.10",)}  # without this line, `last` is found by watching a forward pass
ATTENTION = {}


def build(outputs: int, width: int = 8) -> nn.Module:
    """Images (B, 3, H, W), normalised, to logits (B, outputs); torch's generator draws the weights."""
    network = nn.Sequential()
    network.features = nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1),  # (B, width, H, W)
        nn.BatchNorm2d(width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(width, 2 * width, 3, padding=1),  # (B, 2 width, H/2, W/2)
        nn.BatchNorm2d(2 * width),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(2 * width, 4 * width, 3, padding=1),  # (B, 4 width, H/4, W/4)
        nn.BatchNorm2d(4 * width),
        nn.ReLU(),
    )
    network.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())  # (B, 4 width)
    network.classifier = nn.Linear(4 * width, outputs)
    return network
