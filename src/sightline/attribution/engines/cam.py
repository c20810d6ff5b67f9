"""The engine of class activation maps: a layer's channels, weighted and summed, for all targets at once.

A method of the family is one function, `weigh(activation, gradient)`: from a layer's activations
(B, K, *grid) and one target's gradient with respect to them to a weight per channel (B, K) or per cell
(B, K, *grid). The map is the sum over channels of weight times activation, signed: the ReLU that most papers
end with is a reading. One forward serves all targets; only what follows the layer is differentiated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.explained import Cost, Explained, Images, NotApplicable
from sightline.attribution.maps import Maps
from sightline.attribution.targets import Targets

Weigh = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Layer:
    """A layer in a batch's pass: `activation` (B, K, *grid), and one such tensor a target in `gradients`."""

    name: str
    activation: Tensor
    gradients: list[Tensor]

    @property
    def grid(self) -> tuple[int, ...]:
        """([D,] H, W) of its cells."""
        return tuple(self.activation.shape[2:])


@dataclass(frozen=True)
class Pass:
    """One forward of a batch with what follows the layers differentiated: `scalars` are (B, T)."""

    layers: list[Layer]
    outputs: Tensor
    scalars: Tensor


def check(model: Explained, targets: Targets, layers: Sequence[str] = ("last",)) -> str | None:
    """A reason where the network has no such layer, else None. That they give maps shows when they run."""
    return model.has_layers(layers)


def cost(model: Explained, shape: tuple[int, ...], targets: int, layers: Sequence[str] = ("last",)) -> Cost:
    """One forward; what follows the layers once backwards per target."""
    return Cost(1, targets, 1, targets * model.cells(layers))


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str],
    weigh: Weigh,
    total: Callable[..., Tensor] | None = None,
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer: sum over channels of `weigh` times activation.

    `total` (torch.sum, torch.mean) over a map's cells gives, for methods that are complete where what
    follows the layer is linear, the score less that of an all-zero layer: their gap (`completeness_gap`).
    Where one layer feeds another, its gradient takes the paths through both. Raises `NotApplicable` where a
    layer has no grid, or no target depends on it.
    """
    seen = differentiate(model, images, targets, layers)
    found = []
    for layer in seen.layers:
        each = [combined(weigh(layer.activation, gradient), layer.activation) for gradient in layer.gradients]
        values, gap = torch.stack(each, dim=1), None
        if total is not None:
            totals = total(values.flatten(2), dim=2)
            gap = completeness_gap(model, images, targets, layer.name, totals, seen)
        found.append(as_maps(model, images, targets, layer, values, seen.outputs, gap))
    return found


def combined(weights: Tensor, activation: Tensor) -> Tensor:
    """The map (B, *grid): sum over channels of weights, (B, K) or (B, K, *grid), times activation."""
    cells = activation.flatten(2)  # (B, K, N)
    if weights.ndim == 2:
        summed = torch.bmm(weights[:, None], cells)[:, 0]
    else:
        summed = torch.einsum("bkn,bkn->bn", weights.flatten(2), cells)
    return summed.unflatten(1, activation.shape[2:])


def by_gradient(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K, *grid): the gradient itself, of HiResCAM and the linear approximation."""
    return gradient


def by_share_of_activation(activation: Tensor, gradient: Tensor) -> Tensor:
    """(B, K): sum over cells of gradient times activation, over the sum of activation; 0 for a zero channel.

    The weights of both Respond-CAM and XGrad-CAM: each channel keeps its share of the gradient times
    activation.
    """
    sums = activation.flatten(2).sum(dim=2)
    shares = (activation * gradient).flatten(2).sum(dim=2)
    return torch.where(sums == 0, 0.0, shares / torch.where(sums == 0, 1.0, sums))


def mean_over_cells(values: Tensor) -> Tensor:
    """(B, K) of (B, K, *grid)."""
    return values.flatten(2).mean(dim=2)


def as_maps(
    model: Explained,
    images: Images,
    targets: Targets,
    layer: Layer,
    values: Tensor,
    outputs: Tensor,
    gap: np.ndarray | None = None,
) -> Maps:
    """`values` (B, T, *grid) of a layer, with its place in the input; all tensors brought to the CPU."""
    return Maps(
        source=layer.name,
        targets=targets.names,
        values=values.float().cpu().numpy(),
        frame=model.frame(layer.name, images.shape, layer.grid),
        gap=gap,
        outputs=outputs.float().cpu().numpy(),
    )


# ---- one forward, what follows the layers backwards


def differentiate(model: Explained, images: Images, targets: Targets, layers: Sequence[str]) -> Pass:
    """The batch's activations and gradients at each layer, of every target, on the layer's grid.

    Raises `NotApplicable` as `explain`.
    """
    modules = model.modules(layers)
    with torch.enable_grad(), leaves(modules) as found:
        outputs = model.network(images.pixels)
        scalars = targets.scalars(outputs)  # (B, T)
    activations = {name: model.grid(name, found.get(name)) for name in modules}
    if not scalars.requires_grad:
        raise NotApplicable("no target depends on the layer")
    starts = [found[name] for name in modules]
    gradients: dict[str, list[Tensor]] = {name: [] for name in modules}
    for target in range(targets.count):
        # images are independent in evaluation mode: the gradient of the batch's sum is each image's own
        last = target == targets.count - 1
        each = torch.autograd.grad(scalars[:, target].sum(), starts, retain_graph=not last, allow_unused=True)
        for name, gradient in zip(modules, each):
            if gradient is None:
                raise NotApplicable(f"a target does not depend on the layer '{name}'")
            gradients[name].append(model.grid(name, gradient))
    for name in modules:
        left_out = found[name].ndim != activations[name].ndim  # tokens before those of the patches
        if left_out and not any(gradient.any() for gradient in gradients[name]):
            raise NotApplicable(f"the targets depend on the layer '{name}' by its class token alone")
    passed = [Layer(name, activations[name].detach(), gradients[name]) for name in modules]
    return Pass(passed, outputs.detach(), scalars.detach())


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


# ---- what the network gives where the layer is zero: the share of a score that no cell can have


@dataclass(frozen=True)
class Head:
    """What follows a layer: its outputs (1, n) where the layer is zero, None where other paths lead past it.

    `linear` says that outputs are linear in the layer's mean over cells (but for a constant).
    """

    at_zero: Tensor | None
    linear: bool


# network -> {(layer, input shape): head}: two rows once for all batches of a shape
_HEADS: WeakKeyDictionary[nn.Module, dict[tuple, Head]] = WeakKeyDictionary()


def head(model: Explained, name: str, input_shape: tuple[int, ...]) -> Head:
    """What follows layer `name`, found by giving what follows zeros and noise in its stead (two rows)."""
    known = _HEADS.setdefault(model.network, {})
    key = (name, tuple(input_shape))
    if key not in known:
        known[key] = _head(model, name, input_shape)
    return known[key]


def _head(model: Explained, name: str, input_shape: tuple[int, ...]) -> Head:
    generator = torch.Generator().manual_seed(0)
    starts: list[Tensor] = []

    def replace(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        noise = torch.randn(output.shape, generator=generator).to(output)
        noise[0] = 0.0
        starts[:] = [noise.requires_grad_()]
        return starts[0].clone()

    (module,) = model.modules([name]).values()
    handle = module.register_forward_hook(replace)
    image = torch.randn((2, *input_shape), generator=generator).to(model.device).requires_grad_()
    try:
        with torch.enable_grad():
            outputs = model.network(image)
            mixture = torch.rand(outputs.shape[1:], generator=generator).to(outputs)
            past, gradient = torch.autograd.grad(
                (outputs * mixture).sum(), [image, starts[0]], allow_unused=True
            )
    finally:
        handle.remove()
    if past is not None or gradient is None:
        return Head(None, linear=False)
    gradient = model.grid(name, gradient)
    spread = gradient - mean_over_cells(gradient)[:1].reshape(1, -1, *[1] * model.spatial_dims)
    return Head(outputs[:1].detach(), bool(spread.abs().max() <= 1e-4 * gradient.abs().max()))


def completeness_gap(
    model: Explained, images: Images, targets: Targets, name: str, totals: Tensor, seen: Pass
) -> np.ndarray | None:
    """How far maps' `totals` (B, T) are from the scores less those at an all-zero layer (`relative_gap`).

    None where the network leads past the layer: nothing is known then of what the maps should sum to.
    """
    at_zero = head(model, name, images.shape).at_zero
    if at_zero is None:
        return None
    expected = seen.scalars - targets.scalars(at_zero.expand(len(seen.outputs), *at_zero.shape[1:]))
    return relative_gap(totals.cpu(), expected.cpu(), seen.outputs.float().cpu().numpy())
