"""Feature permutation: how much the output falls when a feature comes from another image.

Permutation importance (Breiman 2001) of one image: f(x) - f(x with the feature of a reference image), each
feature with draws of its own. captum permutes within the batch, so that a map depends on which images happen
to be in it and a batch of one is all zero; here the other images are the study's references.
"""

from __future__ import annotations

import torch

from sightline.attribution.engines.masking import chunks, scalars, unaltered
from sightline.attribution.engines.superpixels import cost_in_values, expected_count, features, stored
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "features_as": {
        "enum": ["grid", "superpixels"],
        "default": "grid",
        "description": "Equal cells, or each image's superpixels (SLIC).",
    },
    "count": {
        "type": "integer",
        "minimum": 2,
        "default": 64,
        "description": "About how many features an image has. The source takes any.",
    },
    "compactness": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
        "description": "Of superpixels: nearness against likeness; larger is rounder.",
    },
    "draws": {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "Reference images that each feature is taken from in turn, without repeats; the fall "
        "is their mean. With as many as there are, nothing is left to chance.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward", "references")
IDENTITY = None
FAMILY = "perturbation"
SOURCE = "Breiman 2001, doi:10.1023/A:1010933404324; Fisher et al. 2019, arXiv:1801.01489"


def check(model: Explained, targets: Targets, **_options: object) -> str | None:
    """A reason where the study names no reference images, else None."""
    if model.reference_images is None:
        return "features are taken from reference images; the study names none"
    return None


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    features_as: str = "grid",
    count: int = 64,
    compactness: float = 0.1,
    draws: int = 1,
) -> Cost:
    """A forward for each feature and draw and one of the image itself; of superpixels, about."""
    references = 0 if model.reference_images is None else len(model.reference_images)
    versions = expected_count(shape, features_as, count) * min(draws, references)
    values = targets * cost_in_values(shape, features_as, count)
    return Cost(1 + versions, 0, min(model.micro_batch, versions), values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    features_as: str = "grid",
    count: int = 64,
    compactness: float = 0.1,
    draws: int = 1,
) -> list[Maps]:
    """One Maps: (B, T, *cells) of a grid, (B, T, [D,] H, W) of superpixels."""
    full, outputs = unaltered(model, images, targets)
    references = model.references  # (R, C, *S)
    if references is None:
        raise NotApplicable("features are taken from reference images; the study names none")
    found = [features(pixels, features_as, count, compactness) for pixels in images.pixels]
    falls = []
    for image, one in enumerate(found):
        generator = images.generator(image, "feature_permutation")
        order = torch.rand((one.count, len(references)), generator=generator).argsort(dim=1)[:, :draws]
        feature = torch.arange(one.count).repeat_interleave(order.shape[1])
        fallen = []
        for part in chunks(len(feature), model.micro_batch):
            taken = one.labels == feature[part].to(model.device).view(-1, *[1] * one.labels.ndim)  # (R, *S)
            others = references[order.flatten()[part].to(references.device)]
            versions = torch.where(taken[:, None], others, images.pixels[image])
            fallen.append(full[image] - scalars(model, targets, image, versions).double().cpu())
        falls.append(torch.cat(fallen).unflatten(0, order.shape).mean(dim=1))  # (features, T)
    values, frame = stored(found, falls)
    return [Maps("input", targets.names, values, frame, outputs=outputs)]
