"""AG-Sononet: the chest x-ray gaze study's network with two additive attention gates.

Source: the authors' code (ricbl/etsaliencymaps, `wAG`), after Schlemper et al. 2019, "Attention gated
networks"; state-dict keys are the authors'. The gated maps are summed over positions, not averaged as their
paper draws it, so logits grow with the input's area.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightline.models.blocks import Block, initialise

OPTIONS = {
    "width": {
        "type": "integer",
        "minimum": 1,
        "default": 16,
        "description": "Channels of the first block; the later ones have 2, 4, 8 and 8 times as many.",
    },
    "gated_pooling": {
        "type": "string",
        "enum": ["sum", "mean"],
        "default": "sum",
        "description": "How gated maps are pooled: sum is the authors' code, mean what their paper draws.",
    },
}
LAYERS: dict[str, tuple[str, ...]] = {"last": ("gated1", "gated2", "ungated")}
ATTENTION: dict[str, str] = {"am1": "compatibility_score1", "am2": "compatibility_score2"}


class Gate(nn.Module):
    """How well each position of a fine map agrees with a coarse gating map: (B, 1, H, W), in (0, 1)."""

    def __init__(self, inputs: int, gating: int, between: int):
        super().__init__()
        self.theta = nn.Conv2d(inputs, between, 1, bias=False)
        self.phi = nn.Conv2d(gating, between, 1, bias=False)
        self.psi = nn.Conv2d(between, 1, 1)

    def forward(self, x: Tensor, gating: Tensor) -> Tensor:
        """The attention map of `x` (B, inputs, H, W) under `gating` (B, gating, H', W')."""
        theta = self.theta(x)  # (B, between, H, W)
        phi = self.phi(gating)  # (B, between, H', W')
        phi = functional.interpolate(phi, size=theta.shape[2:], mode="bilinear", align_corners=False)
        return torch.sigmoid(self.psi(torch.relu(theta + phi)))


class AGSononet(nn.Module):
    """Five blocks; the fifth gates the third and fourth; all three are pooled and classified together."""

    def __init__(self, outputs: int, width: int, gated_pooling: str):
        super().__init__()
        self.features1 = nn.Sequential(
            Block(3, width, 3),  # (B, 16, H, W)
            nn.MaxPool2d(2),
            Block(width, 2 * width, 3),  # (B, 32, H/2, W/2)
            nn.MaxPool2d(2),
            Block(2 * width, 4 * width, 3),  # (B, 64, H/4, W/4)
        )
        self.features2 = nn.Sequential(nn.MaxPool2d(2), Block(4 * width, 8 * width, 2))  # (B, 128, H/8, W/8)
        self.features = nn.Sequential(nn.MaxPool2d(2), Block(8 * width, 8 * width, 2))  # (B, 128, H/16, W/16)
        self.compatibility_score1 = Gate(4 * width, 8 * width, 8 * width)
        self.compatibility_score2 = Gate(8 * width, 8 * width, 8 * width)
        # modules of their own, so that a hook reaches the maps that are pooled
        self.gated1, self.gated2, self.ungated = nn.Identity(), nn.Identity(), nn.Identity()
        self.gated_pooling = gated_pooling
        self.classifier = nn.Sequential(nn.Linear((4 + 8 + 8) * width, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, outputs) of images (B, 3, H, W), normalised; H and W at least 16."""
        conv3 = self.features1(x)  # (B, 64, H/4, W/4)
        conv4 = self.features2(conv3)  # (B, 128, H/8, W/8)
        conv5 = self.features(conv4)  # (B, 128, H/16, W/16)
        gated1 = self.gated1(self.compatibility_score1(conv3, conv5) * conv3)
        gated2 = self.gated2(self.compatibility_score2(conv4, conv5) * conv4)
        # a tensor apart from the one that gates: its gradient is the classifier's alone
        ungated = self.ungated(conv5 * 1)
        if self.gated_pooling == "sum":
            gated = [gated1.sum(dim=(2, 3)), gated2.sum(dim=(2, 3))]
        else:
            gated = [gated1.mean(dim=(2, 3)), gated2.mean(dim=(2, 3))]
        return self.classifier(torch.cat([*gated, ungated.mean(dim=(2, 3))], dim=1))  # of (B, 320)


def build(outputs: int, width: int = 16, gated_pooling: str = "sum") -> nn.Module:
    """The network with `outputs` logits; torch's generator draws its weights (see `models.network`)."""
    network = AGSononet(outputs, width, gated_pooling)
    with torch.no_grad():
        initialise(network)
        for gate in (network.compatibility_score1, network.compatibility_score2):
            nn.init.constant_(gate.psi.bias, 3.0)  # nearly open
    return network
