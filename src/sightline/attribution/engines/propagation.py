"""One engine for methods that replace derivatives: backward rules of one's own for nodes of a traced network.

A rule takes what comes down to a node (one tensor, of its output's shape) to its inputs. Nodes without a
rule keep their derivative. The forward is the network's own; one serves all targets and all rules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_flatten, tree_unflatten

from sightline.attribution.explained import NotApplicable


@dataclass(frozen=True)
class Call:
    """What a rule sees of its node: its tensor inputs and output, its function of the inputs alone.

    `kept` is the rule's own, and lives as long as the forward's graph: what it computes once for all targets.
    """

    node: fx.Node
    function: Callable[..., Tensor]
    inputs: tuple[Tensor, ...]
    output: Tensor
    kept: dict = field(default_factory=dict)

    def pull(self, upper: Tensor, inputs: Sequence[Tensor] | None = None) -> list[Tensor]:
        """The node's derivative: `upper` pulled back to each input, at `inputs` (by default the call's)."""
        with torch.enable_grad():
            leaves = [one.detach().requires_grad_() for one in (self.inputs if inputs is None else inputs)]
            return list(torch.autograd.grad(self.function(*leaves), leaves, upper))


Rule = Callable[[Call, Tensor], Sequence[Tensor]]


class Propagation(nn.Module):
    """A traced network with `rules` by node; after a forward `layers` holds the outputs of the named modules.

    Where a batch's pixels ask for no gradient, the graph starts at the named modules, so that nothing before
    them is differentiated. Without gradients enabled, `seen` keeps the inputs and output of every node that
    has a rule (and the named modules' outputs are there all the same).
    """

    def __init__(self, traced: fx.GraphModule, rules: Mapping[fx.Node, Rule], names: Iterable[str] = ()):
        super().__init__()
        self.traced, self.rules = traced, dict(rules)
        last = {node.target: node for node in traced.graph.nodes if node.op == "call_module"}
        names = list(names)
        missing = [name for name in names if name not in last]
        if missing:
            raise NotApplicable(f"layer '{missing[0]}' gives no tensor")
        self.named = {last[name]: name for name in names}
        self.layers: dict[str, Tensor] = {}
        self.seen: dict[fx.Node, tuple[tuple[Tensor, ...], Tensor]] = {}

    def forward(self, pixels: Tensor) -> Tensor:
        """The network's outputs, equal to the bit."""
        self.layers, self.seen = {}, {}
        return _Run(self).run(pixels)


class _Run(fx.Interpreter):
    """One forward, node by node."""

    def __init__(self, owner: Propagation):
        super().__init__(owner.traced)
        self.owner = owner

    def run_node(self, node: fx.Node) -> object:
        """A node's value, under its rule where it has one; noted where its module was asked for."""
        rule = self.owner.rules.get(node)
        value = super().run_node(node) if rule is None else self._ruled(node, rule)
        name = self.owner.named.get(node)
        if name is not None and isinstance(value, Tensor):
            if torch.is_grad_enabled() and not value.requires_grad:
                value = value.detach().requires_grad_()
            self.owner.layers[name] = value
        return value

    def _ruled(self, node: fx.Node, rule: Rule) -> Tensor:
        flat, structure = tree_flatten(self.fetch_args_kwargs_from_env(node))
        where = [index for index, one in enumerate(flat) if isinstance(one, Tensor)]
        inputs = [flat[index] for index in where]
        others = [None if isinstance(one, Tensor) else one for one in flat]
        traced = self.module  # the graph keeps the function: a function that kept this run, which keeps the
        # outputs, would never be freed, nor would they

        def function(*tensors: Tensor) -> Tensor:
            values = list(others)
            for index, tensor in zip(where, tensors):
                values[index] = tensor
            return _called(traced, node, *tree_unflatten(values, structure))

        if torch.is_grad_enabled() and any(one.requires_grad for one in inputs):
            return _Ruled.apply(node, function, rule, *inputs)
        output = function(*inputs)
        if not torch.is_grad_enabled():
            self.owner.seen[node] = (tuple(inputs), output)
        return output


def _called(traced: fx.GraphModule, node: fx.Node, args: tuple, kwargs: dict) -> Tensor:
    """What a node calls, of `args` and `kwargs`."""
    if node.op == "call_module":
        return traced.get_submodule(node.target)(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], node.target)(*args[1:], **kwargs)
    return node.target(*args, **kwargs)


class _Ruled(torch.autograd.Function):
    """A node's forward with a rule for its derivative."""

    @staticmethod
    def forward(ctx, node: fx.Node, function: Callable, rule: Rule, *inputs: Tensor) -> Tensor:
        """The node's output; its inputs are kept for the rule."""
        output = function(*inputs)
        if any(output is one for one in inputs):  # an identity: the graph needs a tensor of its own
            output = output.clone()
        ctx.node, ctx.function, ctx.rule, ctx.kept = node, function, rule, {}
        ctx.save_for_backward(*inputs, output)
        return output

    @staticmethod
    def backward(ctx, upper: Tensor) -> tuple:
        """What the rule gives to each input."""
        *inputs, output = ctx.saved_tensors
        call = Call(ctx.node, ctx.function, tuple(inputs), output, ctx.kept)
        return None, None, None, *ctx.rule(call, upper)
