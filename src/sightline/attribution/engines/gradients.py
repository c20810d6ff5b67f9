"""Gradients of all targets from one forward pass: at the input, or at layers and no further down."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sightline.attribution.engines.cam import leaves
from sightline.attribution.engines.identities import relative_gap
from sightline.attribution.explained import Explained, Images, NotApplicable
from sightline.attribution.maps import Maps
from sightline.attribution.targets import Targets
from sightline.frames import Frame


@dataclass(frozen=True)
class Recorded:
    """A forward pass with its graph: `outputs` (R, ...), `scalars` (R, T), tensors of interest `at`."""

    outputs: Tensor
    scalars: Tensor
    at: tuple[Tensor, ...]

    def gradients(self, needed: int | None = None) -> Iterator[tuple[Tensor | None, ...]]:
        """Target by target, its gradient at each of `at`; the graph is freed after the last.

        Raises `NotApplicable` where a target does not depend on one of the first `needed` (None: of all); a
        later one gives None.
        """
        count = self.scalars.shape[1]
        if not self.scalars.requires_grad:
            raise NotApplicable("a target does not depend on what is explained")
        for target in range(count):
            # images are independent in evaluation mode: the gradient of the rows' sum is each row's own
            found = torch.autograd.grad(
                self.scalars[:, target].sum(), self.at, retain_graph=target < count - 1, allow_unused=True
            )
            if any(gradient is None for gradient in found[:needed]):
                raise NotApplicable("a target does not depend on what is explained")
            yield found


def at_input(model: Explained, points: Tensor, targets: Targets, rows: Tensor | None = None) -> Recorded:
    """The network at `points` (R, C, [D,] H, W), whose gradients are asked for; `rows` as in `Targets`."""
    leaf = points.detach().requires_grad_()
    with torch.enable_grad():
        outputs = model.network(leaf.clone())  # its first layer may work in place
        scalars = targets.scalars(outputs, rows)
    return Recorded(outputs.detach(), scalars, (leaf,))


def at_layers(
    model: Explained,
    points: Tensor,
    targets: Targets,
    modules: dict[str, nn.Module],
    rows: Tensor | None = None,
) -> Recorded:
    """The network at `points`, differentiated down to the outputs of `modules` (in their order) alone.

    Raises `NotApplicable` where a module gives no tensor, or nothing at all.
    """
    with torch.enable_grad(), leaves(modules) as found:
        outputs = model.network(points.detach())
        scalars = targets.scalars(outputs, rows)
    return Recorded(outputs.detach(), scalars, _given(found, modules))


def layer_values(model: Explained, points: Tensor, modules: dict[str, nn.Module]) -> tuple:
    """What `modules` give at `points`, in their order, and the outputs; no graph. Raises as `at_layers`."""
    with torch.no_grad(), leaves(modules) as found:
        outputs = model.network(points)
    return tuple(one.detach() for one in _given(found, modules)), outputs


def _given(found: dict[str, Tensor], modules: dict[str, nn.Module]) -> tuple[Tensor, ...]:
    missing = [name for name in modules if name not in found]
    if missing:
        raise NotApplicable(f"layer '{missing[0]}' gives no tensor")
    return tuple(found[name] for name in modules)


def scalars_of(model: Explained, points: Tensor, targets: Targets, rows: Tensor | None = None) -> tuple:
    """The network's outputs and its targets (R, T) at `points`, without a graph, a micro-batch at a time."""
    with torch.no_grad():
        outputs = torch.cat([model.network(part) for part in points.split(model.micro_batch)])
        return outputs, targets.scalars(outputs, rows)


def completeness(total: Tensor, expected: Tensor, outputs: Tensor) -> np.ndarray:
    """How far attributions that sum to `total` (B, T) are from `expected` (B, T): see `relative_gap`."""
    return relative_gap(total.double().cpu(), expected.double().cpu(), outputs.float().cpu().numpy())


def input_maps(
    images: Images,
    targets: Targets,
    values: Tensor,
    gap: np.ndarray | None = None,
    outputs: Tensor | None = None,
) -> list[Maps]:
    """`values` (B, T, [D,] H, W) on the input's pixels as the one Maps of a method."""
    return [
        Maps(
            source="input",
            targets=targets.names,
            values=values.float().cpu().numpy(),
            frame=Frame.of_image(images.shape[1:]),
            gap=gap,
            outputs=None if outputs is None else outputs.float().cpu().numpy(),
        )
    ]


def layer_maps(
    model: Explained,
    images: Images,
    targets: Targets,
    names: Sequence[str],
    values: Sequence[Tensor],
    gaps: Sequence[np.ndarray | None] | None = None,
    outputs: Tensor | None = None,
) -> list[Maps]:
    """One Maps per layer of `names`, whose `values` (B, T, *grid) have been summed over channels."""
    said = None if outputs is None else outputs.detach().float().cpu().numpy()
    return [
        Maps(
            source=name,
            targets=targets.names,
            values=value.float().cpu().numpy(),
            frame=model.frame(name, images.shape, tuple(value.shape[2:])),
            gap=gap,
            outputs=said,
        )
        for name, value, gap in zip(names, values, gaps or [None] * len(names))
    ]
