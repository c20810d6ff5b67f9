"""Images made by gradient ascent: steps, and what a layer gives with its graph down to the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sightline.attribution.explained import Explained, NotApplicable

# what a network raises on input of another size than it was made for
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError)


def climb(
    start: Tensor, objective: Callable[[Tensor], Tensor], steps: Iterable[int], size: Callable[[int], float]
) -> Tensor:
    """`start` (R, ...) after steps of `size(step)` along each row's gradient, of root mean square 1.

    `objective` gives (R,), each row's own. A row whose gradient is zero stays where it is. Raises
    `NotApplicable` where the objective does not depend on the pixels.
    """
    at = start.detach().clone()
    for step in steps:
        at.requires_grad_()
        with torch.enable_grad():
            value = objective(at)
        if not value.requires_grad:
            raise NotApplicable("what is maximised does not depend on the image")
        (gradient,) = torch.autograd.grad(value.sum(), [at])
        flat = gradient.flatten(1)
        length = flat.square().mean(dim=1).sqrt().clamp_min(torch.finfo(flat.dtype).tiny)
        direction = (flat / length[:, None]).view_as(gradient)
        at = (at.detach() + size(step) * direction).detach()
    return at


@contextmanager
def given(modules: dict[str, nn.Module]):
    """While active, found[name] is what a module gave last, with its graph."""
    found: dict[str, Tensor] = {}

    def keep(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> Tensor | None:
            if not isinstance(output, Tensor):
                return None
            found[name] = output
            return output.clone()  # what follows may change it in place

        return hook

    handles = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def activations(model: Explained, name: str, module: nn.Module, pixels: Tensor) -> Tensor:
    """What layer `name` gives of `pixels`, channels on a grid (R, K, *grid), with its graph.

    Raises `NotApplicable` where the network refuses the pixels' size, or the layer has no grid.
    """
    model.passes.input_shape = tuple(pixels.shape[1:])
    with given({name: module}) as found:
        try:
            model.network(pixels)
        except (torch.OutOfMemoryError, torch.AcceleratorError):
            raise
        except REFUSALS as error:
            size = " x ".join(map(str, pixels.shape[2:]))
            raise NotApplicable(f"the network refuses images of {size} pixels: {error}") from error
    return model.grid(name, found.get(name))


def channels_of(model: Explained, name: str, module: nn.Module, shape: tuple[int, ...]) -> int:
    """How many channels layer `name` has for inputs of `shape` (C, [D,] H, W)."""
    with torch.no_grad():
        return activations(model, name, module, torch.zeros((1, *shape), device=model.device)).shape[1]


def chosen_units(units: list[int], count: int, channels: int) -> list[int]:
    """`units`, or the first `count` where it is empty. Raises `NotApplicable` where there is no such unit."""
    missing = [unit for unit in units if unit >= channels]
    if missing:
        raise NotApplicable(f"the layer has units 0 to {channels - 1}, none is {missing[0]}")
    return list(units) or list(range(min(count, channels)))
