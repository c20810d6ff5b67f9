"""Images that single channels answer to, made robust by random transformations (Olah et al. 2017).

As in the authors' library: the image is a spectrum whose amplitudes are scaled by one over frequency, Adam
raises the channel's mean, and at each step the image is padded, moved, scaled, turned and moved again.
Colours are not decorrelated. `grey` gives all channels the same picture, as films have.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines import ascent
from sightline.attribution.explained import Explained, NotApplicable
from sightline.attribution.material import Material

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers: `last` (the architecture's choice) or module names.",
    },
    "units": {
        "type": "array",
        "items": {"type": "integer", "minimum": 0},
        "default": [],
        "description": "Channels, from 0; empty: the layer's first `count`.",
    },
    "count": {
        "type": "integer",
        "minimum": 1,
        "default": 8,
        "description": "Channels shown where none are named.",
    },
    "steps": {"type": "integer", "minimum": 1, "default": 512, "description": "Steps of Adam."},
    "rate": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.05,
        "description": "Adam's learning rate.",
    },
    "robust": {
        "type": "boolean",
        "default": True,
        "description": "Whether the image is moved, scaled and turned at each step.",
    },
    "grey": {
        "type": "boolean",
        "default": True,
        "description": "One picture for all channels (the source: colour).",
    },
}
NEEDS = ("gradient", "layer")
SCOPE = "model"
SOURCE = "Olah et al. 2017, doi:10.23915/distill.00007"

PAD, ANGLE = 12, 10  # pixels and degrees, the library's; images under 96 pixels are padded by an eighth
SCALES = tuple(1 + (i - 5) / 50 for i in range(11))
SPREAD = 0.01  # standard deviation of the first spectrum


def check(model: Explained, layers: Sequence[str] = ("last",), **_options: object) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers(layers)


def make(
    model: Explained, data: Material, layers: Sequence[str] = ("last",), units: Sequence[int] = (),
    count: int = 8, steps: int = 512, rate: float = 0.05, robust: bool = True, grey: bool = True,
) -> list[Artifact]:  # fmt: skip
    """Per layer an image for each channel, (units, C, [D,] H, W), normalised.

    Titles have the channel's mean before and after, of the image at rest. Raises `NotApplicable` where
    `data.span` is not known: which values are black and white.
    """
    if data.span is None:
        raise NotApplicable("the dataset does not say which normalised values are black and white")
    made = []
    for name, module in model.modules(layers).items():
        channels = ascent.channels_of(model, name, module, data.shape)
        chosen = ascent.chosen_units(list(units), count, channels)
        images, titles = [], []
        for unit in chosen:
            picture = Picture(
                data.shape, data.span, grey, model.device, data.generator("spectrum", name, unit)
            )
            before = _mean(model, name, module, picture().detach(), unit)
            moves = data.generator("transformations", name, unit) if robust else None
            _rise(
                model, name, module, picture, unit, data.progress(range(steps), f"unit {unit}"), rate, moves
            )
            images.append(picture().detach())
            titles.append(f"{unit}: {before:.2g} to {_mean(model, name, module, images[-1], unit):.2g}")
        says = [
            f"Channels of {name}; titles: a channel's mean over the image, before and after {steps} steps."
        ]
        facts = {"titles": titles, "look": "image", "says": says}
        made.append(Artifact(name, "images", torch.cat(images).float().cpu().numpy(), facts))
    return made


class Picture:
    """An image (1, C, [D,] H, W) between black and white, given by its spectrum, which is what is learnt."""

    def __init__(
        self, shape: tuple[int, ...], span: tuple[Sequence[float], Sequence[float]], grey: bool,
        device: torch.device, generator: torch.Generator,
    ):  # fmt: skip
        channels, *self.grid = shape
        frequencies = [torch.fft.fftfreq(side) for side in self.grid[:-1]] + [
            torch.fft.rfftfreq(self.grid[-1])
        ]
        squares = sum(axis.square() for axis in torch.meshgrid(*frequencies, indexing="ij"))
        drawn = SPREAD * torch.randn((2, 1 if grey else channels, *squares.shape), generator=generator)
        self.spectrum = drawn.to(device).requires_grad_()  # real and imaginary parts
        largest = 1 / squares.sqrt().clamp_min(1 / max(self.grid))
        self.scale = (largest * math.prod(self.grid) ** 0.5).to(device)
        per_channel = (channels, *[1] * len(self.grid))
        self.black, self.white = (torch.tensor(one, device=device).view(per_channel) for one in span)

    def __call__(self) -> Tensor:
        """The image, with its graph."""
        spectrum = torch.complex(*self.spectrum) * self.scale
        axes = tuple(range(1, spectrum.ndim))
        plane = torch.fft.irfftn(spectrum, s=tuple(self.grid), dim=axes, norm="backward") / 4
        return (self.black + (self.white - self.black) * plane.sigmoid())[None]


def _rise(
    model: Explained, name: str, module: nn.Module, picture: Picture, unit: int, steps, rate: float,
    moves: torch.Generator | None,
) -> None:  # fmt: skip
    """Raise the mean of channel `unit` by Adam on the picture's spectrum."""
    optimiser = torch.optim.Adam([picture.spectrum], lr=rate)
    for _ in steps:
        with torch.enable_grad():
            image = picture()
            seen = image if moves is None else transformed(image, moves)
            value = ascent.activations(model, name, module, seen)[:, unit].mean()
        if not value.requires_grad:
            raise NotApplicable(f"'{name}' does not depend on the image")
        (picture.spectrum.grad,) = torch.autograd.grad(-value, [picture.spectrum])
        optimiser.step()


def transformed(image: Tensor, generator: torch.Generator) -> Tensor:
    """`image` padded with grey, moved, scaled, turned in its last two axes, moved: cut to its own size.

    The first move is up to two thirds of the padding, the last up to a third. In 3-D padding, moves and
    scale take all axes.
    """
    dims = image.ndim - 2

    def drawn(count: int) -> int:
        return int(torch.randint(count, (1,), generator=generator))

    def moves(most: int) -> list[int]:
        return [drawn(2 * most + 1) - most for _ in range(dims)]

    pad = min(PAD, min(image.shape[2:]) // 8)
    padded = functional.pad(image, [pad] * 2 * dims, value=float(image.detach().mean()))
    axes = tuple(range(2, image.ndim))
    moved = padded.roll(moves(2 * pad // 3), axes)
    scale, angle = SCALES[drawn(len(SCALES))], math.radians(drawn(2 * ANGLE + 1) - ANGLE)
    height, width = padded.shape[-2:]
    matrix = torch.eye(dims, dims + 1)  # rows x, y[, z] in shares of the sides
    turn = torch.tensor([
        [math.cos(angle), -math.sin(angle) * height / width],
        [math.sin(angle) * width / height, math.cos(angle)],
    ])  # fmt: skip
    matrix[:2, :2] = turn
    grid = functional.affine_grid((matrix / scale)[None].to(image), list(padded.shape), align_corners=False)
    turned = functional.grid_sample(moved, grid, padding_mode="reflection", align_corners=False)
    start = [pad + move for move in moves(pad // 3)]
    for axis, at, side in zip(axes, start, image.shape[2:]):
        turned = turned.narrow(axis, at, side)
    return turned


def _mean(model: Explained, name: str, module: nn.Module, image: Tensor, unit: int) -> float:
    with torch.no_grad():
        return ascent.activations(model, name, module, image)[:, unit].mean().item()
