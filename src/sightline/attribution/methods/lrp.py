"""Layer-wise relevance propagation: the output, handed down layer by layer (Bach et al. 2015).

Each layer's relevance is shared among its inputs by a rule; a composite says which rule stands where. Nothing
is lost but what biases and stabilisers take up: relevance that a bias contributed is not handed on, so that
maps of a network with biases sum to less than the output, or more. Lost, too, is what a rule finds nobody to
share with (plus: no input excites a unit; alpha-beta: none inhibits it).

For ReLU networks with max-pooling, 2-D and 3-D, residual or dense. Gates, attention, other activations and
normalisations have no rule here (there are conserving ones for transformers, Achtibat et al. 2024): such
networks are not applicable. Maps sum the channels, signed.
"""

from __future__ import annotations

from math import prod

import torch

from sightline.attribution.engines import graph, relevance
from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.engines.propagation import Propagation
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets
from sightline.frames import Frame

OPTIONS = {
    "composite": {
        "enum": [
            "epsilon_plus_flat",
            "epsilon_plus",
            "epsilon_gamma_box",
            "epsilon_alpha2_beta1",
            "epsilon_alpha2_beta1_flat",
            "epsilon",
        ],
        "default": "epsilon_plus_flat",
        "description": "Rules for linear layers (epsilon), convolutions (plus, gamma, alpha-beta) and the "
        "first layer (flat, box), as in zennit.",
    },
    "epsilon": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1e-6,
        "description": "Stabiliser of the epsilon rule.",
    },
    "gamma": {
        "type": "number",
        "minimum": 0,
        "default": 0.25,
        "description": "For `epsilon_gamma_box`: how much more contributions of the output's sign weigh.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "relu")
IDENTITY = "conservation"
FAMILY = "relevance"
SOURCE = "Bach et al. 2015, doi:10.1371/journal.pone.0130140; Montavon et al. 2019"


def check(
    model: Explained,
    targets: Targets,
    composite: str = "epsilon_plus_flat",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> str | None:
    """A reason where the network has what no rule is for, else None."""
    return relevance.refusal(model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    composite: str = "epsilon_plus_flat",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> Cost:
    """One forward; each target once backwards (rules with two parts do twice a gradient's work)."""
    return Cost(1, targets, 4, targets * prod(shape[1:]))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    composite: str = "epsilon_plus_flat",
    epsilon: float = 1e-6,
    gamma: float = 0.25,
) -> list[Maps]:
    """The pixels' relevance (B, T, [D,] H, W) for each target.

    The gap is that of conservation: the map's sum against the target. It is 0 without biases; with them it
    says which part they took up.
    """
    reason = relevance.refusal(model)
    if reason:
        raise NotApplicable(reason)
    traced = graph.verify(model.unshared, model.network, images.pixels)
    first, convolution = _composite(composite, gamma)
    network = Propagation(traced, relevance.lrp_rules(traced, first, convolution, epsilon))
    pixels = images.pixels.detach().clone().requires_grad_()
    with torch.enable_grad():
        outputs = model.passes.watch(network)(pixels)
    starts, scalars = relevance.starts(outputs, targets)
    maps = []
    for start in starts:
        (found,) = torch.autograd.grad(outputs, pixels, start, retain_graph=True)
        maps.append(found.sum(dim=1))
    values = torch.stack(maps, dim=1)  # (B, T, *S)
    seen = outputs.detach().float().cpu().numpy()
    return [
        Maps(
            source="input",
            targets=targets.names,
            values=values.float().cpu().numpy(),
            frame=Frame.of_image(images.shape[1:]),
            gap=relative_gap(values.double().flatten(2).sum(dim=2).cpu(), scalars.cpu(), seen),
            outputs=seen,
        )
    ]


def _composite(name: str, gamma: float) -> tuple[relevance.Terms | None, relevance.Terms]:
    """The rules of the first layer (None: as the others) and of convolutions."""
    plus, mixed = relevance.alpha_beta_terms(1, 0), relevance.alpha_beta_terms(2, 1)
    return {
        "epsilon_plus_flat": (relevance.flat_terms, plus),
        "epsilon_plus": (None, plus),
        "epsilon_gamma_box": (relevance.box_terms, relevance.gamma_terms(gamma)),
        "epsilon_alpha2_beta1": (None, mixed),
        "epsilon_alpha2_beta1_flat": (relevance.flat_terms, mixed),
        "epsilon": (None, relevance.epsilon_terms),
    }[name]
