"""Gradients guided on their way back through ReLUs: guided backpropagation, deconvolution, what uses them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sightline.attribution.engines import graph
from sightline.attribution.engines.propagation import Call, Propagation
from sightline.attribution.explained import Explained, Images, NotApplicable
from sightline.attribution.maps import Maps
from sightline.attribution.targets import Targets
from sightline.frames import Frame

# activations that pass a signal on as a ReLU does, for which the papers have no rule: a network that mixes
# them with ReLUs would be guided in parts. Gates and normalisations keep their derivative.
UNGUIDED = {
    "celu", "elu", "gelu", "glu", "hardswish", "hardtanh", "leaky_relu", "leakyrelu", "mish", "prelu",
    "relu6", "rrelu", "selu", "silu", "softplus", "threshold"
}  # fmt: skip


def guided_backpropagation(call: Call, upper: Tensor) -> list[Tensor]:
    """What is positive, where the ReLU's input is (Springenberg et al. 2015, figure 1 and equation 6)."""
    return [upper.clamp(min=0) * (call.inputs[0] > 0)]


def deconvolution(call: Call, upper: Tensor) -> list[Tensor]:
    """What is positive, whatever the ReLU's input was (Zeiler and Fergus 2014, section 2.1)."""
    return [upper.clamp(min=0)]


RULES = {"guided_backpropagation": guided_backpropagation, "deconvolution": deconvolution}


@dataclass(frozen=True)
class Guided:
    """Guided and plain gradients of each target, (B, T, C, [D,] H, W), and the network's outputs."""

    gradients: Tensor
    plain: Tensor
    outputs: Tensor


def refusal(model: Explained) -> str | None:
    """Why the network's gradients cannot be guided, or None. Raises `NotApplicable` where it has no graph."""
    kinds = graph.activations(model.unshared)
    unseen = sorted(kind for kind in kinds if kind.startswith("opaque"))
    if unseen:
        return f"the graph pass cannot see into the network's {', '.join(unseen).replace('opaque ', '')}"
    if not kinds["relu"]:
        return "the network has no ReLU, so that guiding would give the plain gradient"
    other = sorted(kinds.keys() & UNGUIDED)
    if other:
        return f"beside ReLUs the network has {', '.join(other)}, for which the method has no rule"
    return None


def guided_gradients(
    model: Explained, images: Images, targets: Targets, rule: str = "guided_backpropagation"
) -> Guided:
    """Each target's gradient in the pixels with `rule` (of `RULES`) at every ReLU, and without.

    One forward, 2 T backwards. Raises `NotApplicable` where `refusal` has a reason or a target does not
    depend on the image.
    """
    watched = _Watched(model, images, rule)
    scalars = targets.scalars(watched.outputs)  # (B, T)
    pairs = [watched.differentiate(scalars[:, target]) for target in range(targets.count)]
    guided, plain = (torch.stack(one, dim=1) for one in zip(*pairs))
    return Guided(guided, plain, watched.outputs.detach())


def activation_gradients(
    model: Explained, images: Images, layer: str, channel: int | None, rule: str = "guided_backpropagation"
) -> Guided:
    """As `guided_gradients`, of one scalar: the sum of a layer's activations (of one `channel`, where given).

    One forward, 2 backwards from the layer.
    """
    watched = _Watched(model, images, rule, layer)
    activations = model.grid(layer, watched.network.layers.get(layer))  # (B, K, *grid)
    if channel is not None and channel >= activations.shape[1]:
        raise NotApplicable(f"layer '{layer}' has {activations.shape[1]} channels, no channel {channel}")
    chosen = activations if channel is None else activations[:, channel]
    guided, plain = watched.differentiate(chosen.flatten(1).sum(dim=1))
    model.passes.backwards += 2 * len(images.names)  # they start at the layer, where none are counted
    return Guided(guided[:, None], plain[:, None], watched.outputs.detach())


def as_maps(found: Guided, images: Images, names: tuple[str, ...]) -> list[Maps]:
    """Guided gradients summed over channels, signed; their gap is the relative distance to the plain ones."""
    apart = (found.gradients - found.plain).flatten(2).norm(dim=2)
    plain = found.plain.flatten(2).norm(dim=2)
    gap = (apart / plain.clamp(min=torch.finfo(plain.dtype).tiny)).float().cpu().numpy()
    return [
        Maps(
            source="input",
            targets=names,
            values=found.gradients.sum(dim=2).float().cpu().numpy(),
            frame=Frame.of_image(images.shape[1:]),
            gap=np.minimum(gap, np.finfo(np.float32).max),
            outputs=found.outputs.float().cpu().numpy(),
        )
    ]


@dataclass
class _Switch:
    """A rule (of `RULES`) that can be switched off. It knows nothing of the pass, whose graph keeps it."""

    rule: str
    on: bool = True

    def __call__(self, call: Call, upper: Tensor) -> list[Tensor]:
        return RULES[self.rule](call, upper) if self.on else call.pull(upper)


class _Watched:
    """A batch's forward through the network with a rule at its ReLUs that can be switched off."""

    def __init__(self, model: Explained, images: Images, rule: str, layer: str | None = None):
        reason = refusal(model)
        if reason:
            raise NotApplicable(reason)
        traced = graph.verify(model.unshared, model.network, images.pixels)
        self.switch = _Switch(rule)
        names = () if layer is None else (layer,)
        self.network = Propagation(traced, dict.fromkeys(graph.nodes(traced, "relu"), self.switch), names)
        self.pixels = images.pixels.detach().clone().requires_grad_()
        with torch.enable_grad():
            self.outputs = model.passes.watch(self.network)(self.pixels)

    def differentiate(self, scalar: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients (B, C, *S) of the sum over images of `scalar` (B,): guided, plain."""
        found = []
        for self.switch.on in (True, False):
            (gradient,) = torch.autograd.grad(scalar.sum(), self.pixels, retain_graph=True, allow_unused=True)
            if gradient is None:
                raise NotApplicable("the target does not depend on the image")
            found.append(gradient)
        return found[0], found[1]
