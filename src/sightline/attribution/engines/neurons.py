"""A unit inside a network as what is explained: the network cut off after a layer, its units as targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, fx, nn

from sightline.attribution.engines import graph
from sightline.attribution.explained import Explained, NotApplicable
from sightline.attribution.targets import Targets
from sightline.errors import ConfigError


class UpTo(nn.Module):
    """A network whose output is that of its module `layer` (a module that runs more than once: the last)."""

    def __init__(self, network: nn.Module, layer: str):
        super().__init__()
        self.network, self.layer = network, layer

    def forward(self, images: Tensor) -> Tensor:
        """The layer's output; the rest of the network runs too."""
        found: list[Tensor] = []
        module = self.network.get_submodule(self.layer)
        # a clone: what follows may change it in place
        handle = module.register_forward_hook(lambda _module, _inputs, output: found.append(output.clone()))
        try:
            self.network(images)
        finally:
            handle.remove()
        return found[-1]


def neuron(
    model: Explained, layer: str, units: int | Sequence[int | tuple[int, ...]]
) -> tuple[Explained, Targets]:
    """The model cut off after `layer`, and its `units` as targets: explained by every method, as classes are.

    A unit is a channel k, whose mean over cells is explained, or one cell of it (k, [z,] y, x). Where the
    network has a graph, it ends at the layer and its modules keep their names; else all of it runs. The model
    must have seen an image (`input_shape`). Raises `ConfigError` for a layer that there is not.
    """
    if layer not in dict(model.network.named_modules()):
        raise ConfigError(f"targets: the network has no layer {layer!r}")
    units = [units] if isinstance(units, int) else units
    chosen = [(unit,) if isinstance(unit, int) else tuple(unit) for unit in units]
    names = tuple(f"{layer} {','.join(map(str, unit))}" for unit in chosen)

    def scalars(outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        laid = outputs if outputs.ndim == 2 else model.grid(layer, outputs)  # (R, K, *grid)
        return torch.stack(
            [laid[(slice(None), *unit)].reshape(len(laid), -1).mean(dim=1) for unit in chosen], 1
        )

    cut = replace(model, network=_up_to(model, layer), labels=names, layers={}, attention={})
    cut.passes.input_shape = model.input_shape
    return cut, Targets(names, scalars)


def _up_to(model: Explained, layer: str) -> nn.Module:
    """The network's graph as far as `layer`; all of the network where it has no graph or no such module."""
    try:
        noise = torch.randn((1, *model.input_shape), generator=torch.Generator().manual_seed(0))
        traced = graph.verify(model.unshared, model.network, noise.to(model.device))
    except NotApplicable:
        return UpTo(model.network, layer)
    ends = [node for node in traced.graph.nodes if node.op == "call_module" and node.target == layer]
    if not ends:
        return UpTo(model.network, layer)
    short, made = fx.Graph(), {}
    for node in traced.graph.nodes:
        made[node] = short.node_copy(node, made.__getitem__)
        if node is ends[-1]:
            break
    short.output(made[ends[-1]])
    return fx.GraphModule(traced, short, type(model.network).__name__).eval()
