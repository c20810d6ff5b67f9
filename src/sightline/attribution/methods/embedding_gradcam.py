"""Grad-CAM of networks whose output is an embedding, by reference images (Chen et al. 2020).

Such a network has no class whose score could be explained. `triplets`: each reference image is an anchor
with positives and negatives among the others; its channel weights are Grad-CAM's, averaged over its
triplets, of how much nearer it is to the positives. An image takes the weights of the references nearest to
it in the embedding, and needs no backward pass of its own (their weight transfer). `similarity`: Grad-CAM of
the image's similarity to the mean direction of the references. Signed: the ReLU is a reading.

Distances are those of unit vectors, as theirs. The triplet loss max(0, |a - p|^2 - |a - n|^2 + margin)
enters without its hinge and with its sign turned, so that what is positive brings the anchor to its
positives (a loss of zero would have no gradient; they leave such triplets out). They draw triplets by the
labels of the training images: give those of the reference images as `groups`. Without them the nearest other
reference is the positive, and all others are negatives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from sightline.attribution.engines import cam
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets
from sightline.attribution.methods import gradcam
from sightline.attribution.targets import similarity

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
    "by": {
        "enum": ["triplets", "similarity"],
        "default": "triplets",
        "description": "Weights of the nearest references' triplets, or of the similarity to all references.",
    },
    "neighbours": {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "For `triplets`: from how many of the nearest references the weights are averaged.",
    },
    "groups": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "For `triplets`: each reference image's group, in order; none: the nearest is alike.",
    },
}
PER_TARGET = False
GRID = "layer"
NEEDS = ("gradient", "layer", "references", "embedding")
IDENTITY = None
FAMILY = "cam"
SOURCE = "Chen et al. 2020, arXiv:2001.06538"


SAME = 1e-4  # unit vectors that are this near to each other are one, rounded


@dataclass(frozen=True)
class Index:
    """What is kept of the references: unit `embeddings` (A, D) of the anchors, `weights` (A, K) a layer."""

    references: Tensor
    embeddings: Tensor
    weights: dict[str, Tensor]


# network -> {(layers, groups, input shape): index}: one row per reference, once for all batches
_INDICES: WeakKeyDictionary[nn.Module, dict[tuple, Index]] = WeakKeyDictionary()


def check(
    model: Explained,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    by: str = "triplets",
    neighbours: int = 1,
    groups: Sequence[str] = (),
) -> str | None:
    """A reason where reference images are missing or too few, or their groups do not fit; else None."""
    count = 0 if model.reference_images is None else len(model.reference_images)
    needed = 3 if by == "triplets" else 1
    if count < needed:
        return f"it needs at least {needed} reference images; there are {count}"
    if by == "triplets" and groups and len(groups) != count:
        return f"groups names {len(groups)} reference images; there are {count}"
    return model.has_layers(layers)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    layers: Sequence[str] = ("last",),
    by: str = "triplets",
    neighbours: int = 1,
    groups: Sequence[str] = (),
) -> Cost:
    """One forward; backwards for `similarity` alone. (The references: one of each per image, once.)"""
    return Cost(1, 1 if by == "similarity" else 0, 1, model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    by: str = "triplets",
    neighbours: int = 1,
    groups: Sequence[str] = (),
) -> list[Maps]:
    """One Maps (B, 1, *grid) per layer, target "". Raises `NotApplicable` where outputs are no vectors."""
    if by == "similarity":
        directions = normalize(_embeddings(model), dim=1).mean(dim=0, keepdim=True)
        return gradcam.explain(model, images, similarity(directions, targets.names), layers)
    index = _index(model, layers, tuple(groups))
    modules = model.modules(layers)
    with torch.no_grad(), cam.leaves(modules) as found:
        outputs = model.network(images.pixels)
    near = (
        (normalize(outputs, dim=1) @ index.embeddings.T).topk(min(neighbours, len(index.embeddings))).indices
    )
    maps = []
    for name in modules:
        activation = model.grid(name, found.get(name)).detach()
        weights = index.weights[name][near].mean(dim=1)  # (B, K)
        layer = cam.Layer(name, activation, [])
        maps.append(
            cam.as_maps(model, images, targets, layer, cam.combined(weights, activation)[:, None], outputs)
        )
    return maps


def _embeddings(model: Explained) -> Tensor:
    """The network's outputs (R, D) of the reference images."""
    with torch.no_grad():
        found = torch.cat([model.network(part) for part in model.references.split(model.micro_batch)])
    if found.ndim != 2 or found.shape[1] < 2:
        raise NotApplicable(
            f"the network's outputs {tuple(found.shape[1:])} are no vectors that span an angle"
        )
    return found


def _index(model: Explained, layers: Sequence[str], groups: tuple[str, ...]) -> Index:
    known = _INDICES.setdefault(model.network, {})
    key = (tuple(layers), groups, model.input_shape)
    if key not in known or known[key].references is not model.references:
        known[key] = _made(model, layers, groups)
    return known[key]


def _made(model: Explained, layers: Sequence[str], groups: tuple[str, ...]) -> Index:
    """Each anchor's weights: Grad-CAM's of its mean triplet, without the hinge."""
    embeddings = normalize(_embeddings(model), dim=1)
    directions, anchors = triplet_directions(embeddings, groups)
    if not len(anchors):
        raise NotApplicable("the reference images make no triplets: one embedding for all, or no two groups")
    weights: dict[str, list[Tensor]] = {}
    for part in anchors.split(model.micro_batch):
        towards = directions[part]
        nearer = Targets(
            ("",),
            lambda outputs, rows=None, to=towards: (normalize(outputs, dim=1) * to).sum(dim=1, keepdim=True),
        )
        seen = cam.differentiate(model, Images.of(model.references[part]), nearer, layers)
        for layer in seen.layers:
            each = gradcam.weights(layer.activation, layer.gradients[0])
            weights.setdefault(layer.name, []).append(each)
    return Index(
        model.references, embeddings[anchors], {name: torch.cat(parts) for name, parts in weights.items()}
    )


def triplet_directions(embeddings: Tensor, groups: Sequence[str] = ()) -> tuple[Tensor, Tensor]:
    """(R, D) and the indices of the anchors: 2 (mean of an anchor's positives - mean of its negatives).

    For unit vectors |a - n|^2 - |a - p|^2 = 2 a (p - n): the mean over all triplets of an anchor is its
    product with this direction.
    """
    count = len(embeddings)
    others = ~torch.eye(count, dtype=torch.bool, device=embeddings.device)
    if groups:
        code = torch.tensor([sorted(set(groups)).index(group) for group in groups], device=embeddings.device)
        alike = (code[:, None] == code[None]) & others
    else:
        angles = (embeddings @ embeddings.T).masked_fill(~others, -torch.inf)
        alike = nn.functional.one_hot(angles.argmax(dim=1), count).bool()
    unlike = others & ~alike
    positive, negative = (
        one.to(embeddings) @ embeddings / one.sum(dim=1, keepdim=True).clamp(min=1) for one in (alike, unlike)
    )
    directions = 2 * (positive - negative)
    apart = directions.norm(dim=1) > SAME
    return directions, (alike.any(dim=1) & unlike.any(dim=1) & apart).nonzero()[:, 0]
