"""The engine of DeepLIFT: differences from a reference, handed down by multipliers (Shrikumar et al. 2017).

What is affine hands multipliers down as it does gradients. What is not has a rule, under which the
contributions of a node's inputs sum to the difference of its output:
    elementwise   the rescale rule (their equation 12): multiplier = difference out / difference in
    max-pooling   as in the authors' and SHAP's code: the image's maxima explain what lies above the
                  reference's maximum, the reference's maxima what lies below
    products      of two tensors (squeeze and excitation, gates): the difference of each factor times the
                  other's mean over image and reference. That is the Shapley value of the two factors, and
                  SHAP's DeepExplainer does the same; the paper has no rule
One forward of the image serves all references and all targets.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, fx

from sightline.attribution.engines import graph
from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.engines.propagation import Call, Propagation, Rule
from sightline.attribution.explained import Explained, Images, NotApplicable
from sightline.attribution.maps import Maps
from sightline.attribution.targets import Targets
from sightline.frames import Frame

ELEMENTWISE = {
    "abs", "celu", "elu", "exp", "gelu", "hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "leakyrelu",
    "log", "logsigmoid", "mish", "prelu", "relu", "relu6", "selu", "sigmoid", "silu", "softplus",
    "softsign", "sqrt", "square", "tanh", "tanhshrink", "threshold"
}  # fmt: skip
POOLS = {"maxpool1d", "maxpool2d", "maxpool3d"}
NEAR = 1e-10  # differences below this have no quotient: the derivative stands in, as in captum


def refusal(model: Explained) -> str | None:
    """Why contributions would not sum to the difference of the outputs, or None.

    Raises `NotApplicable` where the network has no graph.
    """
    kinds = set(graph.activations(model.unshared))
    other = sorted(kinds - ELEMENTWISE - POOLS - {"product"})
    return (
        f"there is no rule for the network's {', '.join(other)}: its maps would be incomplete"
        if other
        else None
    )


def rules(
    traced: fx.GraphModule, seen: dict[fx.Node, tuple[tuple[Tensor, ...], Tensor]]
) -> dict[fx.Node, Rule]:
    """A rule for every node that is not affine; `seen` is to hold its inputs and output for the reference."""

    def reference(call: Call) -> tuple[list[Tensor], Tensor]:
        inputs, output = seen[call.node]
        return [_rows(one, like) for one, like in zip(inputs, call.inputs)], _rows(output, call.output)

    def elementwise(call: Call, upper: Tensor) -> list[Tensor | None]:
        (before, *_), after = reference(call)
        slope = _quotient(
            call.output - after, call.inputs[0] - before, lambda: call.pull(torch.ones_like(upper))[0]
        )
        return [upper * slope, *[None] * (len(call.inputs) - 1)]

    def pool(call: Call, upper: Tensor) -> list[Tensor]:
        (before, *_), after = reference(call)
        top = torch.maximum(call.output, after)
        (above,) = call.pull(upper * (top - after))
        (below,) = call.pull(upper * (call.output - top), [before.expand_as(call.inputs[0])])
        return [_quotient(above + below, call.inputs[0] - before, lambda: call.pull(upper)[0])]

    def product(call: Call, upper: Tensor) -> list[Tensor]:
        before, _ = reference(call)
        return call.pull(upper, [0.5 * (one + other) for one, other in zip(call.inputs, before)])

    def rule_of(kind: str) -> Rule:
        return pool if kind in POOLS else product if kind == "product" else elementwise

    return {node: rule_of(kind) for kind in graph.activations(traced) for node in graph.nodes(traced, kind)}


def _rows(reference: Tensor, like: Tensor) -> Tensor:
    """A reference's values beside a batch's: one row stands for all."""
    if reference.ndim == 0 or like.ndim == 0 or len(reference) in (1, len(like)):
        return reference
    return reference.repeat(len(like) // len(reference), *[1] * (reference.ndim - 1))


def _quotient(over: Tensor, under: Tensor, instead) -> Tensor:
    near = under.abs() < NEAR
    if not near.any():
        return over / under
    return torch.where(near, instead(), over / torch.where(near, 1.0, under))


@dataclass(frozen=True)
class Contributions:
    """At one place ("input" or a layer): `values` (B, T, *shape of one image there), and their sums' gap."""

    source: str
    values: Tensor
    gap: np.ndarray | None


def contributions(
    model: Explained,
    images: Images,
    targets: Targets,
    references: Iterable[Tensor],
    layers: Sequence[str] = (),
) -> tuple[list[Contributions], Tensor]:
    """Multiplier times difference from the reference, the mean over `references`, and the network's outputs.

    `references` are images (1 or B, C, [D,] H, W), normalised. At the pixels, or at each of `layers`; there
    the gap is None where other paths lead past the layer, for its contributions are not all. Raises
    `NotApplicable` where `refusal` has a reason, or a target does not depend on a layer.
    """
    reason = refusal(model)
    if reason:
        raise NotApplicable(reason)
    traced = graph.verify(model.unshared, model.network, images.pixels)
    seen: dict[fx.Node, tuple[tuple[Tensor, ...], Tensor]] = {}
    network = model.passes.watch(Propagation(traced, rules(traced, seen), layers))
    pixels = images.pixels.detach().clone().requires_grad_(not layers)
    with torch.enable_grad():
        outputs = network(pixels)
        scalars = targets.scalars(outputs)  # (B, T)
    at = dict(network.layers) if layers else {"input": pixels}
    totals = {name: one.new_zeros((scalars.shape[1], *one.shape)) for name, one in at.items()}
    expected, count = torch.zeros_like(scalars), 0
    for reference in references:
        with torch.no_grad():
            from_outputs = network(reference)
            seen.update(network.seen)
            before = dict(network.layers) if layers else {"input": reference}
            expected += scalars - targets.scalars(from_outputs.expand_as(outputs))
        for target in range(scalars.shape[1]):
            for name, multiplier in zip(at, _multipliers(scalars[:, target], list(at.values()))):
                totals[name][target] += multiplier * (at[name].detach() - before[name])
        count += 1
    found = []
    for name, total in totals.items():
        whole = name == "input" or cuts(traced, name)
        sums = total.flatten(2).sum(dim=2).T / count
        seen_outputs = outputs.detach().float().cpu().numpy()
        gap = relative_gap(sums.cpu(), (expected.detach() / count).cpu(), seen_outputs) if whole else None
        found.append(Contributions(name, (total / count).transpose(0, 1), gap))
    return found, outputs.detach()


def _multipliers(scalar: Tensor, at: list[Tensor]) -> tuple[Tensor, ...]:
    found = torch.autograd.grad(scalar.sum(), at, retain_graph=True, allow_unused=True)
    if any(one is None for one in found):
        raise NotApplicable("a target does not depend on the layer")
    return found


def cuts(traced: fx.GraphModule, layer: str) -> bool:
    """Whether every path from the image to the outputs leads through the module `layer`."""
    reached: set[fx.Node] = set()
    for node in traced.graph.nodes:
        through = node.op == "call_module" and node.target == layer
        if node.op == "placeholder" or (not through and any(one in reached for one in node.all_input_nodes)):
            reached.add(node)
    return not any(node.op == "output" for node in reached)


def as_maps(
    model: Explained, images: Images, targets: Targets, found: Sequence[Contributions], outputs: Tensor
) -> list[Maps]:
    """Contributions summed over channels, signed, on the pixels or on each layer's grid."""
    maps = []
    for one in found:
        if one.source == "input":
            values, frame = one.values.sum(dim=2), Frame.of_image(images.shape[1:])
        else:
            on_grid = model.grid(one.source, one.values.flatten(0, 1)).sum(dim=1)
            values = on_grid.unflatten(0, one.values.shape[:2])
            frame = model.frame(one.source, images.shape, tuple(values.shape[2:]))
        maps.append(
            Maps(
                source=one.source,
                targets=targets.names,
                values=values.float().cpu().numpy(),
                frame=frame,
                gap=one.gap,
                outputs=outputs.float().cpu().numpy(),
            )
        )
    return maps
