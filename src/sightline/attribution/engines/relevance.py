"""The engine of relevance propagation through ReLU networks, with LRP's rules.

A layer's relevance goes to its inputs in proportion to their contributions, which a rule defines. A batch
normalisation that follows a convolution or linear layer is merged into it; one that precedes (DenseNet) is a
linear layer of its own. Additions and averages share in proportion to what is added; max-pooling gives to
the winner; views and concatenations only move relevance. The forward is the network's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.func import functional_call
from torch.nn.utils.fusion import fuse_conv_bn_weights, fuse_linear_bn_weights

from sightline.attribution.engines import graph, tracing
from sightline.attribution.engines.propagation import Call, Rule
from sightline.attribution.explained import Explained
from sightline.attribution.targets import Targets

LINEAR = (nn.modules.conv._ConvNd, nn.Linear)
MOVES = tracing.VIEWS | {
    "cat", "clone", "concat", "dropout1d", "dropout2d", "dropout3d", "expand_as", "pad", "repeat", "roll",
    "stack", "stochastic_depth"
}  # fmt: skip
MOVING_MODULES = (*tracing.VIEW_MODULES, nn.PixelShuffle, nn.modules.padding._ConstantPadNd,
                  nn.modules.padding._ReflectionPadNd, nn.modules.padding._ReplicationPadNd)  # fmt: skip
POOLS = ("maxpool1d", "maxpool2d", "maxpool3d")
STABILISER = 1e-6  # added to denominators, with their sign


@dataclass(frozen=True)
class Layer:
    """A convolution or linear layer, the normalisation after it merged: weights, no effect on the forward."""

    module: nn.Module
    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer with other weights; a bias of None is none."""
        if self.module.bias is not None:
            bias = torch.zeros_like(self.module.bias) if bias is None else bias
            return functional_call(self.module, {"weight": weight, "bias": bias}, (x,))
        y = functional_call(self.module, {"weight": weight}, (x,))
        if bias is None:
            return y
        return y + (bias if isinstance(self.module, nn.Linear) else bias.reshape(-1, *[1] * (y.ndim - 2)))


@dataclass(frozen=True)
class Term:
    """A contribution: the layer with `weight` and `bias` at `inputs`, counted with `sign`."""

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    sign: int = 1


# from a layer, its input and its output (with normalisation): groups of terms, each with its share of the
# relevance and where it applies (None: everywhere)
Terms = Callable[[Layer, Tensor, Tensor], list[tuple[float, Tensor | None, list[Term]]]]


def positive(values: Tensor | None) -> Tensor | None:
    """The positive part."""
    return None if values is None else values.clamp(min=0)


def negative(values: Tensor | None) -> Tensor | None:
    """The negative part, as it is signed."""
    return None if values is None else values.clamp(max=0)


def epsilon_terms(layer: Layer, x: Tensor, _y: Tensor) -> list:
    """Weight times input over their sum (Bach et al. 2015, equations 56 and 58)."""
    return [(1.0, None, [Term(x, layer.weight, layer.bias)])]


def alpha_beta_terms(alpha: float, beta: float) -> Terms:
    """Positive contributions alpha times, negative ones -beta times (Bach et al. 2015, equation 60)."""

    def terms(layer: Layer, x: Tensor, _y: Tensor) -> list:
        w, b = layer.weight, layer.bias
        groups = [
            (alpha, None, [Term(positive(x), positive(w), positive(b)), Term(negative(x), negative(w), None)])
        ]
        if beta:
            groups += [
                (
                    -beta,
                    None,
                    [Term(positive(x), negative(w), negative(b)), Term(negative(x), positive(w), None)],
                )
            ]
        return groups

    return terms


def gamma_terms(gamma: float) -> Terms:
    """Contributions of an output's own sign weighted by 1 + gamma (Andeol et al. 2021; zennit's Gamma)."""

    def terms(layer: Layer, x: Tensor, y: Tensor) -> list:
        w, b = layer.weight, layer.bias
        more, less = w + gamma * positive(w), w + gamma * negative(w)
        more_b = None if b is None else b + gamma * positive(b)
        less_b = None if b is None else b + gamma * negative(b)
        return [
            (1.0, y > 0, [Term(positive(x), more, more_b), Term(negative(x), less, None)]),
            (1.0, y < 0, [Term(positive(x), less, less_b), Term(negative(x), more, None)]),
        ]

    return terms


def flat_terms(layer: Layer, x: Tensor, _y: Tensor) -> list:
    """Equal shares for all inputs of a layer (Lapuschkin et al. 2019)."""
    return [(1.0, None, [Term(torch.ones_like(x), torch.ones_like(layer.weight), None)])]


def box_terms(layer: Layer, x: Tensor, _y: Tensor) -> list:
    """For pixels between bounds, here each image's own extremes (Montavon et al. 2017, z^B)."""
    axes = tuple(range(2, x.ndim)) or (1,)
    low, high = (one.expand_as(x) for one in (x.amin(axes, keepdim=True), x.amax(axes, keepdim=True)))
    w, b = layer.weight, layer.bias
    return [
        (
            1.0,
            None,
            [
                Term(x, w, b),
                Term(low, positive(w), positive(b), -1),
                Term(high, negative(w), negative(b), -1),
            ],
        )
    ]


# ---- the rules of a network


def refusal(model: Explained) -> str | None:
    """Why relevance cannot be propagated, or None. Raises `NotApplicable` where the network has no graph."""
    kinds = set(graph.activations(model.unshared))
    other = sorted(kinds - {"relu", *POOLS})
    if other:
        return f"relevance has rules for ReLUs and max-pooling; the network also has {', '.join(other)}"
    return None


def starts(outputs: Tensor, targets: Targets) -> tuple[list[Tensor], Tensor]:
    """For each target the outputs' relevance: outputs times the target's gradient in them; and the targets.

    For a class its logit; for a sum of outputs (a region) each one's part.
    """
    leaf = outputs.detach().requires_grad_()
    with torch.enable_grad():
        scalars = targets.scalars(leaf)  # (B, T)
    gradients = [
        torch.autograd.grad(scalars[:, target].sum(), leaf, retain_graph=True)[0]
        for target in range(scalars.shape[1])
    ]
    return [leaf.detach() * one for one in gradients], scalars.detach()


def lrp_rules(
    traced: fx.GraphModule, first: Terms | None, convolution: Terms, epsilon: float
) -> dict[fx.Node, Rule]:
    """LRP's rule for each node: `first` for the first layer, `convolution`, epsilon for linear layers."""
    starts = first_layers(traced) if first is not None else set()

    def linear(node: fx.Node, layer: Layer) -> Rule:
        dense = isinstance(layer.module, nn.Linear)
        terms = first if node in starts else epsilon_terms if dense else convolution
        return linear_rule(layer, terms, epsilon if terms is epsilon_terms else STABILISER)

    return rules(traced, linear, proportional, proportional)


def rules(traced: fx.GraphModule, linear: Callable, affine: Rule, addition: Rule) -> dict[fx.Node, Rule]:
    """A rule for each node that does more than move values: `linear(node, layer)` makes that of a layer.

    `addition` is for additions, `affine` for averages, unmerged normalisations and the like.
    """
    merged = merged_layers(traced)
    absorbed = {end for _, end in merged.values()}
    pools = {node for kind in POOLS for node in graph.nodes(traced, kind)}
    found: dict[fx.Node, Rule] = {}
    for node in graph.dependent(traced):
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        name = tracing.name_of(node) if module is None else ""
        if node in merged:
            found[node] = linear(node, merged[node][0])
        elif node in absorbed or isinstance(module, nn.ReLU):
            found[node] = _pass
        elif name in ("add", "sum"):
            found[node] = addition
        elif not (node.op == "placeholder" or name in MOVES or isinstance(module, MOVING_MODULES)):
            found[node] = affine
        if node in pools:  # the derivative gives to the winner
            del found[node]
    return found


def _pass(call: Call, upper: Tensor) -> list[Tensor]:
    return [upper]


def merged_layers(traced: fx.GraphModule) -> dict[fx.Node, tuple[Layer, fx.Node | None]]:
    """Convolutions and linear layers, each with the batch normalisation that it alone feeds merged."""
    found: dict[fx.Node, tuple[Layer, fx.Node | None]] = {}
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(traced.get_submodule(node.target), LINEAR):
            module = traced.get_submodule(node.target)
            after = _after(node, traced)
            weight, bias = module.weight, module.bias
            if after is not None:
                weight, bias = _merge(module, traced.get_submodule(after.target))
            found[node] = Layer(module, weight.detach(), None if bias is None else bias.detach()), after
    return found


def _after(node: fx.Node, traced: fx.GraphModule) -> fx.Node | None:
    """The batch normalisation by its running statistics that alone sees the node's output."""
    while len(node.users) == 1:
        (node,) = node.users
        module = traced.get_submodule(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            return node if module.running_mean is not None else None
        if not isinstance(module, (nn.Identity, nn.modules.dropout._DropoutNd)):
            return None
    return None


def _merge(module: nn.Module, after: nn.Module) -> tuple[Tensor, Tensor]:
    given = (after.running_mean, after.running_var, after.eps, after.weight, after.bias)
    if isinstance(module, nn.Linear):
        return fuse_linear_bn_weights(module.weight, module.bias, *given)
    return fuse_conv_bn_weights(module.weight, module.bias, *given, transpose=module.transposed)


def first_layers(traced: fx.GraphModule) -> set[fx.Node]:
    """The layers with weights that see the image before any other such layer."""
    seen: set[fx.Node] = set()  # what depends on the image through a layer
    first: set[fx.Node] = set()
    for node in graph.dependent(traced):
        linear = node.op == "call_module" and isinstance(traced.get_submodule(node.target), LINEAR)
        behind = any(one in seen for one in node.all_input_nodes)
        if linear and not behind:
            first.add(node)
        if linear or behind:
            seen.add(node)
    return first


# ---- rules


def _stable(values: Tensor, epsilon: float) -> Tensor:
    return values + torch.where(values < 0, -epsilon, epsilon)


def linear_rule(layer: Layer, terms: Terms, epsilon: float) -> Rule:
    """Relevance in proportion to the terms' contributions, which are worked out once for all targets."""

    def rule(call: Call, upper: Tensor) -> list[Tensor]:
        if "groups" not in call.kept:
            call.kept["groups"] = _prepare(layer, terms, call.inputs[0], epsilon)
        total = torch.zeros_like(call.inputs[0])
        for share, where, signs, leaves, outputs, under in call.kept["groups"]:
            down = upper / under if where is None else upper * where / under
            pulled = torch.autograd.grad(outputs, leaves, [down] * len(outputs), retain_graph=True)
            for sign, leaf, one in zip(signs, leaves, pulled):
                total += share * sign * leaf.detach() * one
        return [total]

    return rule


def _prepare(layer: Layer, terms: Terms, x: Tensor, epsilon: float) -> list[tuple]:
    groups = []
    with torch.enable_grad():
        y = layer(x, layer.weight, layer.bias).detach()
        for share, where, parts in terms(layer, x, y):
            leaves = [part.inputs.detach().clone().requires_grad_() for part in parts]
            outputs = [layer(leaf, part.weight, part.bias) for leaf, part in zip(leaves, parts)]
            signs = [part.sign for part in parts]
            under = _stable(sum(sign * one.detach() for sign, one in zip(signs, outputs)), epsilon)
            groups.append((share, where, signs, leaves, outputs, under))
    return groups


def proportional(call: Call, upper: Tensor) -> list[Tensor]:
    """To each input of an affine operation by its share of the output (the epsilon rule without weights)."""
    pulled = call.pull(upper / _stable(call.output, STABILISER))
    return [one * x for one, x in zip(pulled, call.inputs)]
