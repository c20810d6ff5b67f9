"""An image that a class's score is highest for (Simonyan et al. 2013, section 2).

Their objective is the score less decay times the image's squared length, climbed from an image of zeros (the
mean image of the normalisation). They give neither decay nor step: here steps have a root mean square that
falls to zero linearly, so that networks of any gradient size are served alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines import ascent
from sightline.attribution.explained import Explained
from sightline.attribution.material import Material
from sightline.attribution.targets import Targets
from sightline.attribution.targets import classes as class_targets

OPTIONS = {
    "classes": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "The labels that are maximised; empty: all.",
    },
    "steps": {"type": "integer", "minimum": 1, "default": 200, "description": "Steps of gradient ascent."},
    "step": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
        "description": "The first step's root mean square, in normalised pixel values.",
    },
    "decay": {
        "type": "number",
        "minimum": 0,
        "default": 1.0e-4,
        "description": "Weight of the image's squared length (Simonyan's lambda).",
    },
}
NEEDS = ("gradient",)
SCOPE = "model"
SOURCE = "Simonyan et al. 2013, arXiv:1312.6034"


def check(
    model: Explained, classes: Sequence[str] = (), steps: int = 200, step: float = 0.1, decay: float = 1e-4
) -> str | None:
    """A reason where the model has no such class, else None."""
    unknown = [name for name in classes if name not in model.labels]
    return f"the model has no class {', '.join(unknown)}" if unknown else None


def make(
    model: Explained, data: Material, classes: Sequence[str] = (), steps: int = 200, step: float = 0.1,
    decay: float = 1e-4,
) -> list[Artifact]:  # fmt: skip
    """One image per class, (T, C, [D,] H, W), normalised; the score before and after stands in its title."""
    targets = class_targets(model.labels, list(classes) or None)
    found, titles = [], []
    for at in range(0, targets.count, model.micro_batch):
        chosen = list(range(at, min(at + model.micro_batch, targets.count)))
        start = torch.zeros((len(chosen), *data.shape), device=model.device)
        count = data.progress(range(steps), "steps")

        def objective(image: Tensor, chosen: list[int] = chosen) -> Tensor:
            return scores(model, targets, image, chosen) - decay * image.flatten(1).square().sum(dim=1)

        image = ascent.climb(start, objective, count, lambda index: step * (1 - index / steps))
        with torch.no_grad():
            both = [scores(model, targets, one, chosen).tolist() for one in (start, image)]
        titles += [f"{targets.names[i]}: {a:.1f} to {b:.1f}" for i, a, b in zip(chosen, *both)]
        found.append(image)
    says = [f"Titles: the logit at the mean image and after {steps} steps."]
    facts = {"titles": titles, "look": "image", "says": says}
    return [Artifact("classes", "images", torch.cat(found).float().cpu().numpy(), facts)]


def scores(model: Explained, targets: Targets, image: Tensor, chosen: list[int]) -> Tensor:
    """Of row i of `image` (R, C, ...) the scalar of target `chosen[i]`: (R,)."""
    rows = torch.arange(len(image))
    return targets.scalars(model.network(image))[rows, chosen]
