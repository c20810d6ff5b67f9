"""Grad-CAM: a layer's activations, each channel weighted by its mean gradient (Selvaraju et al. 2017).

Their equations 1 and 2, signed: the ReLU is a reading. Several layers give one map each under one
constant, so that they may be summed: the chest x-ray gaze study's map of a class is the ReLU of their
resampled sum, over the total number of channels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("gradient", "layer")
IDENTITY = None
FAMILY = "cam"
SOURCE = "Selvaraju et al. 2017, arXiv:1610.02391"


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no such layer, else None. That they give maps shows when they run."""
    return model.has_layers(layers)


def cost(
    model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)
) -> Cost:
    """One forward; what follows the layers once backwards per target."""
    return Cost(1, targets, 1, targets * model.cells(layers))


def explain(
    model: Explained, images: Images, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of the target's mean gradient x activation.

    All targets from one forward; gradients of what follows the layers only. Where one layer feeds another,
    its gradient takes the paths through both.
    """
    modules = model.modules(layers)
    with torch.enable_grad(), leaves(modules) as found:
        outputs = model.network(images.pixels)
        scalars = targets.scalars(outputs)  # (B, T)
    activations = [model.grid(name, found.get(name)) for name in modules]
    weights = _weights(scalars, [found[name] for name in modules], list(modules), model)
    maps = []
    for name, activation, alpha in zip(modules, activations, weights):
        grid = tuple(activation.shape[2:])
        values = torch.bmm(alpha, activation.detach().flatten(2)).unflatten(2, grid)  # (B, T, *grid)
        frame = model.frame(name, images.shape, grid)
        maps.append(
            Maps(
                source=name,
                targets=targets.names,
                values=values.float().cpu().numpy(),
                frame=frame,
                outputs=outputs.detach().float().cpu().numpy(),
            )
        )
    return maps


def _weights(scalars: Tensor, leaves: list[Tensor], names: list[str], model: Explained) -> list[Tensor]:
    """For each layer the spatial mean of each target's gradient, (B, T, K)."""
    found = []
    for target in range(scalars.shape[1]):
        # images are independent in evaluation mode: the gradient of the batch's sum is each image's own
        last = target == scalars.shape[1] - 1
        gradients = torch.autograd.grad(
            scalars[:, target].sum(), leaves, retain_graph=not last, allow_unused=True
        )
        if any(gradient is None for gradient in gradients):
            raise NotApplicable("a target does not depend on the layer")
        found.append([model.grid(*pair).flatten(2).mean(dim=2) for pair in zip(names, gradients)])
    return [torch.stack(layer, dim=1) for layer in zip(*found)]


@contextmanager
def leaves(modules: dict[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """While active, the modules' outputs start the graph: found[name] is the output of the last call.

    Nothing before them is recorded, so that differentiating costs what follows them alone.
    """
    found: dict[str, Tensor] = {}

    def start(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> object:
            if not isinstance(output, Tensor):
                return output
            # an output that already depends on another leaf keeps its graph
            leaf = output.clone() if output.requires_grad else output.detach().clone().requires_grad_()
            found[name] = leaf
            return leaf.clone()  # what follows may change it in place

        return hook

    handles = [module.register_forward_hook(start(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
