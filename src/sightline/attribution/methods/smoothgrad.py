"""SmoothGrad: the mean of any method's maps of noisy copies of the image (Smilkov et al. 2017)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from sightline.attribution.engines.paths import noise as draw
from sightline.attribution.explained import NotApplicable
from sightline.attribution.maps import Cost, Explained, Images, Maps, Method, Targets
from sightline.randomness import derived_seed

OPTIONS = {
    "samples": {
        "type": "integer",
        "minimum": 1,
        "default": 50,
        "description": "Noisy copies of each image (the paper: gains vanish beyond 50).",
    },
    "noise": {
        "type": "number",
        "minimum": 0,
        "default": 0.15,
        "description": "Standard deviation of the noise, as a share of the image's range of values "
        "(the paper: 0.1 to 0.2; its authors' code: 0.15).",
    },
    "base": {
        "type": "object",
        "required": ["kind"],
        "properties": {"kind": {"type": "string", "description": "A method that serves targets."}},
        "default": {"kind": "gradient"},
        "description": "The method that explains each copy, by its `kind`, with its options.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient",)
IDENTITY = None
FAMILY = "gradient"
SOURCE = "Smilkov et al. 2017, arXiv:1706.03825"
GRADIENT = {"kind": "gradient"}


def check(
    model: Explained,
    targets: Targets,
    samples: int = 50,
    noise: float = 0.15,
    base: Mapping[str, object] = GRADIENT,
) -> str | None:
    """The base method's own reason, or that it serves no target; else None."""
    method = _method(base)
    if not method.module.PER_TARGET:
        return f"the base method '{method.kind}' serves no target"
    return method.module.check(model, targets, **method.options)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    samples: int = 50,
    noise: float = 0.15,
    base: Mapping[str, object] = GRADIENT,
) -> Cost:
    """The base method's for each copy; its maps are kept once."""
    method = _method(base)
    one = method.module.cost(model, shape, targets, **method.options)
    return Cost(samples * one.forwards, samples * one.backwards, one.rows, one.values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    samples: int = 50,
    noise: float = 0.15,
    base: Mapping[str, object] = GRADIENT,
) -> list[Maps]:
    """The mean over noisy copies of the base method's signed maps, on its grids.

    Each image has noise of its own, whatever batch it is in; what the base method draws differs from copy to
    copy. There is no gap: the base method's identity holds for each copy, not for the mean. Raises
    `NotApplicable` where the base method does.
    """
    method = _method(base)
    rows = torch.arange(len(images.pixels))
    sums: list[np.ndarray] = []
    for number in range(samples):
        added = draw(images, rows, torch.full_like(rows, number), noise, "smoothgrad")
        seed = derived_seed(images.seed, "smoothgrad copy", number)
        copies = Images(images.pixels + added, images.names, seed)
        found = method.module.explain(model, copies, targets, **method.options)
        if not sums:
            sums = [np.zeros(one.values.shape) for one in found]
        if [one.shape for one in sums] != [one.values.shape for one in found]:
            raise NotApplicable(f"the base method '{method.kind}' gives other grids for a noisy copy")
        for total, one in zip(sums, found):
            total += one.values
    return [
        Maps(
            source=one.source,
            targets=one.targets,
            values=(total / samples).astype(np.float32),
            frame=one.frame,
            signed=one.signed,
        )
        for total, one in zip(sums, found)
    ]


def _method(base: Mapping[str, object]) -> Method:
    return Method(base["kind"], {key: value for key, value in base.items() if key != "kind"})
