"""Gradient SHAP: gradients at random points between reference images and the image (Lundberg and Lee 2017).

Expected gradients over a distribution of baselines, as in SHAP's GradientExplainer and captum's GradientShap.
"""

from __future__ import annotations

from math import prod

from torch import Tensor

from sightline.attribution.engines import paths
from sightline.attribution.engines.gradients import completeness, input_maps, scalars_of
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "samples": {
        "type": "integer",
        "minimum": 1,
        "default": 5,
        "description": "Random points per image (captum: 5; SHAP: 200).",
    },
    "noise": {
        "type": "number",
        "minimum": 0,
        "default": 0.0,
        "description": "Standard deviation of noise added to the image, as a share of its range of values.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "references")
IDENTITY = "completeness"
FAMILY = "gradient"
SOURCE = "Lundberg and Lee 2017, arXiv:1705.07874; Erion et al. 2021, arXiv:1906.10670"


def check(model: Explained, targets: Targets, samples: int = 5, noise: float = 0.0) -> str | None:
    """A reason where the study has no reference images, else None."""
    if model.reference_images is None:
        return "it needs a set of reference images; the study names none"
    return None


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, samples: int = 5, noise: float = 0.0
) -> Cost:
    """A forward per sample, backwards per sample and target; as many forwards and one measure the gap."""
    return Cost(2 * samples + 1, samples * targets, model.micro_batch, targets * prod(shape[1:]))


def explain(
    model: Explained, images: Images, targets: Targets, samples: int = 5, noise: float = 0.0
) -> list[Maps]:
    """The samples' mean of (image - reference) x gradient, summed over channels, (B, T, [D,] H, W).

    A sample draws a reference, a place on the line from it to the image, and noise on the image. Completeness
    holds in expectation: the gap compares the map's sum with f(image) - the drawn references' mean f, and
    falls with the number of samples.
    """
    lines = paths.draw_lines(model, images, samples, noise, "gradient_shap")
    at_starts = images.pixels.new_zeros((len(images.pixels), targets.count))

    def points(rows: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        start, end, place = lines.at(rows, numbers)
        paths.add(at_starts, rows, scalars_of(model, start, targets, rows)[1] / samples)
        return place, (end - start) / samples

    values = paths.along_input(model, images.pixels, targets, samples, points)
    outputs, at_image = scalars_of(model, images.pixels, targets)
    gap = completeness(values.double().flatten(2).sum(dim=2), at_image - at_starts, outputs)
    return input_maps(images, targets, values, gap, outputs)
