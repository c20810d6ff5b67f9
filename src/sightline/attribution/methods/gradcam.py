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

from sightline.attribution.maps import Explained, Maps, NotApplicable, Targets

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


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no such layer, else None. That they give maps shows when they run."""
    known = {*model.layers, *(name for name, _ in model.network.named_modules())}
    missing = [name for name in layers if name not in known]
    if missing:
        return f"the network has no layer {', '.join(missing)}"
    return None


def explain(
    model: Explained, images: Tensor, targets: Targets, layers: Sequence[str] = ("last",)
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of the target's mean gradient x activation.

    All targets from one forward; gradients of what follows the layers only. Where one layer feeds another,
    its gradient takes the paths through both.
    """
    modules = model.modules(layers)
    with torch.enable_grad(), leaves(modules) as found:
        outputs = model.network(images)
        scalars = targets.scalars(outputs)  # (B, T)
    activations = [_grid_of(name, found.get(name), model.spatial_dims) for name in modules]
    weights = _weights(scalars, activations)
    maps = []
    for name, activation, alpha in zip(modules, activations, weights):
        grid = tuple(activation.shape[2:])
        values = torch.bmm(alpha, activation.detach().flatten(2)).unflatten(2, grid)  # (B, T, *grid)
        frame = model.frame(name, tuple(images.shape[1:]), grid)
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


def _weights(scalars: Tensor, activations: list[Tensor]) -> list[Tensor]:
    """For each layer the spatial mean of each target's gradient, (B, T, K)."""
    axes = tuple(range(2, activations[0].ndim))
    found = []
    for target in range(scalars.shape[1]):
        # images are independent in evaluation mode: the gradient of the batch's sum is each image's own
        last = target == scalars.shape[1] - 1
        gradients = torch.autograd.grad(
            scalars[:, target].sum(), activations, retain_graph=not last, allow_unused=True
        )
        if any(gradient is None for gradient in gradients):
            raise NotApplicable("a target does not depend on the layer")
        found.append([gradient.mean(dim=axes) for gradient in gradients])
    return [torch.stack(layer, dim=1) for layer in zip(*found)]


def _grid_of(name: str, activation: Tensor | None, spatial_dims: int) -> Tensor:
    if activation is None or activation.ndim != spatial_dims + 2:
        shape = None if activation is None else tuple(activation.shape)
        raise NotApplicable(f"layer '{name}' gives {shape}, not channels on a {spatial_dims}-D grid")
    return activation


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
