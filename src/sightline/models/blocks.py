"""What both networks of the chest x-ray gaze study are made of, with the authors' names of parts."""

from __future__ import annotations

from torch import Tensor, nn


class Block(nn.Module):
    """Two or three times convolution 3x3, batch normalisation, ReLU; keeps the grid."""

    def __init__(self, inputs: int, outputs: int, depth: int):
        super().__init__()
        for layer in range(1, depth + 1):
            convolution = nn.Conv2d(inputs if layer == 1 else outputs, outputs, 3, padding=1)
            self.add_module(f"conv{layer}", nn.Sequential(convolution, nn.BatchNorm2d(outputs), nn.ReLU()))

    def forward(self, x: Tensor) -> Tensor:
        """The block's activations."""
        for unit in self.children():
            x = unit(x)
        return x


def initialise(network: nn.Module) -> None:
    """Draw weights as the authors do: Kaiming's normal (fan in), N(1, 0.02) for normalisation."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
