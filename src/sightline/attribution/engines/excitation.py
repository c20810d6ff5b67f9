"""The engine of excitation backpropagation in ReLU networks, plain and contrastive (Zhang et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor, fx

from sightline.attribution.engines import graph, relevance, tracing
from sightline.attribution.engines.propagation import Call, Propagation, Rule
from sightline.attribution.explained import Explained, Images, NotApplicable
from sightline.attribution.maps import Maps
from sightline.attribution.targets import Targets
from sightline.frames import Frame


def cells(model: Explained, shape: tuple[int, ...], layers: Sequence[str]) -> int:
    """How many cells `layers` have together; `input` has the image's pixels."""
    named = [name for name in layers if name != "input"]
    return (prod(shape[1:]) if len(named) < len(layers) else 0) + (model.cells(named) if named else 0)


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str], contrast: bool = False
) -> list[Maps]:
    """Winning probabilities at each of `layers` (or "input"); with `contrast` less those of the opposite.

    Raises `NotApplicable` where the network, its activations or a target do not suit.
    """
    reason = relevance.refusal(model)
    if reason:
        raise NotApplicable(reason)
    traced = graph.verify(model.unshared, model.network, images.pixels)
    signs = [1]
    head = classifier(traced) if contrast else None
    named = list(model.modules([name for name in layers if name != "input"]))
    network = Propagation(traced, excitation_rules(traced, head, lambda: signs[-1]), named)
    pixels = images.pixels.detach().clone().requires_grad_("input" in layers)
    with torch.enable_grad():
        outputs = model.passes.watch(network)(pixels)
    at = {"input": pixels, **network.layers} if "input" in layers else dict(network.layers)
    totals: dict[str, list[Tensor]] = {name: [] for name in at}
    for start in _probabilities(outputs, targets):
        parts = []
        for sign in (1, -1) if contrast else (1,):
            signs[-1] = sign
            found = torch.autograd.grad(
                outputs, list(at.values()), start, retain_graph=True, allow_unused=True
            )
            if any(one is None for one in found):
                raise NotApplicable("a target does not depend on the layer")
            parts.append(found)
        for index, name in enumerate(at):
            totals[name].append(parts[0][index] - parts[1][index] if contrast else parts[0][index])
    seen = outputs.detach().float().cpu().numpy()
    return [
        _as_maps(model, images, targets, name, torch.stack(each, 1), 0 if contrast else 1, seen)
        for name, each in totals.items()
    ]


def _probabilities(outputs: Tensor, targets: Targets) -> list[Tensor]:
    """For each target one distribution over each image's outputs: on a class, or evenly on a region's."""
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        scalars = targets.scalars(leaf)
    found = []
    for target in range(scalars.shape[1]):
        (one,) = torch.autograd.grad(scalars[:, target].sum(), leaf, retain_graph=True)
        total = one.flatten(1).sum(dim=1)
        if one.min() < 0 or total.min() <= 0:
            raise NotApplicable(
                f"target '{targets.names[target]}' is no sum of outputs, among which one could win"
            )
        found.append(one / total.reshape(-1, *[1] * (one.ndim - 1)))
    return found


def _as_maps(
    model: Explained,
    images: Images,
    targets: Targets,
    name: str,
    values: Tensor,
    expected: int,
    outputs: np.ndarray,
) -> Maps:
    """Probabilities (B, T, K, *grid), or as the layer has them, summed over channels."""
    if name == "input":
        summed, frame = values.sum(dim=2), Frame.of_image(images.shape[1:])
    else:
        summed = model.grid(name, values.flatten(0, 1)).sum(dim=1).unflatten(0, values.shape[:2])
        frame = model.frame(name, images.shape, tuple(summed.shape[2:]))
    gap = (summed.double().flatten(2).sum(dim=2) - expected).abs().float().cpu().numpy()
    return Maps(
        source=name,
        targets=targets.names,
        values=summed.float().cpu().numpy(),
        frame=frame,
        signed=expected == 0,
        gap=gap,
        outputs=outputs,
    )


# ---- rules


def excitation_rules(
    traced: fx.GraphModule, head: fx.Node | None = None, sign: Callable[[], int] = lambda: 1
) -> dict[fx.Node, Rule]:
    """Excitation backpropagation's rule for each node; at node `head` weights are taken with `sign()`."""

    def linear(node: fx.Node, layer: relevance.Layer) -> Rule:
        return _excitation(layer, sign if node is head else lambda: 1)

    return relevance.rules(traced, linear, _excitatory, _adding)


def classifier(traced: fx.GraphModule) -> fx.Node:
    """The linear layer (or convolution) that gives the outputs; `NotApplicable` where there is none."""
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    node = output.args[0]
    while isinstance(node, fx.Node):
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, relevance.LINEAR):
            return node
        name = tracing.name_of(node) if module is None else ""
        moves = isinstance(module, tracing.VIEW_MODULES) or name in tracing.VIEWS
        node = node.args[0] if moves else None
    raise NotApplicable("the network's outputs do not come from a linear layer, to negate its weights")


def _excitation(layer: relevance.Layer, sign: Callable[[], int]) -> Rule:
    """Probabilities by excitatory weights times activations (Zhang et al. 2016, equation 5)."""

    def rule(call: Call, upper: Tensor) -> list[Tensor]:
        (x,) = call.inputs
        if x.min() < 0:
            raise NotApplicable(
                f"excitation needs activations of at least 0; the inputs of '{call.node.target}' are negative"
            )
        weight = relevance.positive(sign() * layer.weight)
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            under = layer(leaf, weight, None)
        (pulled,) = torch.autograd.grad(under, leaf, _shares(upper, under.detach()))
        return [pulled * x]

    return rule


def _shares(upper: Tensor, under: Tensor) -> Tensor:
    """`upper` over `under`; nothing goes down where nothing excites."""
    return torch.where(under > 0, upper / torch.where(under > 0, under, 1.0), 0.0)


def _excitatory(call: Call, upper: Tensor) -> list[Tensor]:
    """Averages and the like share by activation."""
    weights = call.pull(torch.ones_like(call.output))
    if any(one.min() < 0 for one in (*weights, *call.inputs)):
        raise NotApplicable(f"excitation needs activations of at least 0; '{call.node}' takes negative ones")
    return [one * x for one, x in zip(call.pull(_shares(upper, call.output)), call.inputs)]


def _adding(call: Call, upper: Tensor) -> list[Tensor]:
    """Additions share by what each branch adds; a branch that takes away gets nothing."""
    added = [relevance.positive(x) for x in call.inputs]
    pulled = call.pull(_shares(upper, call.function(*added)))
    return [one * x for one, x in zip(pulled, added)]
