"""DeepDream: an image changed so that a layer answers to it more strongly (Mordvintsev et al. 2015).

As in the authors' notebook: the layer's squared length is climbed with steps of equal mean gradient, at
several sizes of the image from small to large, each carrying on the detail of the one before; the image is
moved about by `jitter` at each step and kept within the values that the image has.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines import ascent
from sightline.attribution.explained import Explained
from sightline.attribution.material import Material

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, a dream each: `last` (the architecture's choice) or module names.",
    },
    "examples": {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "Images that are dreamt on, the dataset's first ones.",
    },
    "octaves": {
        "type": "integer",
        "minimum": 1,
        "default": 4,
        "description": "Sizes of the image; 1 for a network that takes images of its own size only.",
    },
    "scale": {
        "type": "number",
        "exclusiveMinimum": 1,
        "default": 1.4,
        "description": "Between one size and the next.",
    },
    "steps": {"type": "integer", "minimum": 1, "default": 10, "description": "Steps at each size."},
    "step": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.026,
        "description": "A step's root mean square, normalised (the notebook's 1.5 grey values over 57; it "
        "divides by the mean absolute value instead).",
    },
    "jitter": {
        "type": "integer",
        "minimum": 0,
        "default": 32,
        "description": "Pixels by which the image is moved at most, either way.",
    },
}
NEEDS = ("gradient", "layer")
SCOPE = "dataset"
SOURCE = "Mordvintsev et al. 2015, Inceptionism (deepdream notebook)"


def check(model: Explained, layers: Sequence[str] = ("last",), **_options: object) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers(layers)


def make(
    model: Explained, data: Material, layers: Sequence[str] = ("last",), examples: int = 1, octaves: int = 4,
    scale: float = 1.4, steps: int = 10, step: float = 0.026, jitter: int = 32,
) -> list[Artifact]:  # fmt: skip
    """Per image and layer the image and its dream, (2, C, [D,] H, W), normalised.

    Titles have the layer's root mean square. Raises `NotApplicable` where the network refuses a smaller size.
    """
    names, pixels = data.first(model, examples)
    made = []
    for image, one in zip(names, pixels.split(1)):
        for name, module in model.modules(layers).items():
            generator = data.generator("deep dream", name, image)
            sizes = _sizes(one.shape[2:], octaves, scale)
            dreamt = dream(model, name, module, one, sizes, steps, step, jitter, generator, data.progress)
            with torch.no_grad():
                a, b = (strength(model, name, module, x).sqrt().item() for x in (one, dreamt))
            facts = {
                "titles": [f"before: {a:.2g}", f"after: {b:.2g}"],
                "look": "image",
                "says": [f"Titles: root mean square of {name}; {len(sizes)} sizes, {steps} steps at each."],
            }
            values = torch.cat([one, dreamt]).float().cpu().numpy()
            made.append(Artifact(f"{image}: {name}", "images", values, facts))
    return made


def dream(
    model: Explained, name: str, module: nn.Module, image: Tensor, sizes: list[tuple[int, ...]],
    steps: int, step: float, jitter: int, generator: torch.Generator, progress=lambda items, what: items,
) -> Tensor:  # fmt: skip
    """The dream of `image` (1, C, [D,] H, W), through `sizes` from small to large."""
    detail = torch.zeros((1, image.shape[1], *sizes[0]), device=image.device)
    low, high = image.min(), image.max()
    at = image
    for size in sizes:
        base = resized(image, size)
        at = base + resized(detail, size)
        for _ in progress(range(steps), f"steps at {' x '.join(map(str, size))}"):
            moves = torch.randint(-jitter, jitter + 1, (len(size),), generator=generator).tolist()
            axes = tuple(range(2, image.ndim))
            moved = ascent.climb(
                at.roll(moves, axes), lambda x: strength(model, name, module, x), [0], lambda _: step
            )
            at = moved.roll([-move for move in moves], axes).clamp(low, high)
        detail = at - base
    return at


def strength(model: Explained, name: str, module: nn.Module, pixels: Tensor) -> Tensor:
    """The mean square of what the layer gives of each row, (R,)."""
    return ascent.activations(model, name, module, pixels).flatten(1).square().mean(dim=1)


def resized(image: Tensor, size: tuple[int, ...]) -> Tensor:
    """`image` (R, C, [D,] H, W) at another size, linearly."""
    kind = {1: "linear", 2: "bilinear", 3: "trilinear"}[image.ndim - 2]
    return functional.interpolate(image, size=tuple(size), mode=kind, align_corners=False)


def _sizes(whole: Sequence[int], octaves: int, scale: float) -> list[tuple[int, ...]]:
    """From the smallest to the whole, each once."""
    found = [tuple(max(1, round(side / scale**octave)) for side in whole) for octave in range(octaves)]
    return list(dict.fromkeys(reversed(found)))
