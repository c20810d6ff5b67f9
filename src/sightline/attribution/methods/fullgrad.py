"""FullGrad: gradient x input plus every bias's part in the target, where it acts (Srinivas and Fleuret 2019).

In a network whose only nonlinearities are positively homogeneous (ReLU and its leaky kin, max pooling), a
target is the sum of gradient x image and of all biases times the gradients where they are added (their
proposition 1); batch normalisation's shift by its running mean is such a bias.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from sightline.attribution.engines import graph
from sightline.attribution.engines.gradients import Recorded, completeness
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets
from sightline.frames import Frame, resample

OPTIONS = {
    "rescaled": {
        "type": "boolean",
        "default": False,
        "description": "The authors' map: each part's magnitude, rescaled to 0-1 per image, before they are "
        "added. No reading of the signed map gives it. Not complete, not signed.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("gradient", "relu")
IDENTITY = "completeness"
FAMILY = "gradient"
SOURCE = "Srinivas and Fleuret 2019, arXiv:1905.00780"
# f(cz) = c f(z) for c > 0, piecewise linear: the derivative times the input is the output
HOMOGENEOUS = {"relu", "leakyrelu", "prelu", "rrelu"} | {
    f"{adaptive}maxpool{dims}d" for adaptive in ("", "adaptive") for dims in (1, 2, 3)
}


def check(model: Explained, targets: Targets, rescaled: bool = False) -> str | None:
    """A reason where the network has a nonlinearity for which the decomposition does not hold, else None.

    Raises `NotApplicable` where the network cannot be traced, so that none knows.
    """
    others = sorted(set(graph.activations(model.unshared)) - HOMOGENEOUS)
    if others:
        return (
            f"full gradients add up to the target only where all nonlinearities are ReLUs and max pools; "
            f"the network has {', '.join(others)}"
        )
    return None


def cost(model: Explained, shape: tuple[int, ...], targets: int, rescaled: bool = False) -> Cost:
    """One forward, once backwards per target."""
    return Cost(1, targets, 1, targets * prod(shape[1:]))


def explain(model: Explained, images: Images, targets: Targets, rescaled: bool = False) -> list[Maps]:
    """Gradient x image plus the biases' parts, brought to the input's pixels, (B, T, [D,] H, W).

    Each part is summed over its channels and resampled from its cells' true places; biases without a place
    (linear layers after the pooling, a single cell) are not in the map. The gap is that of the whole
    decomposition, those included: input's and biases' parts, unresampled, against the target.
    `rescaled` adds the parts as the authors do (there is no other way to show them unsigned: their magnitude
    and rescaling come before the sum); their code aligns the corners of all grids instead of placing cells.
    """
    modules = biased(model.network)
    with torch.enable_grad(), watched(modules) as calls:
        leaf = images.pixels.detach().requires_grad_()
        outputs = model.network(leaf.clone())
        scalars = targets.scalars(outputs)
    reached = [call for call in calls if call.output.requires_grad]
    recorded = Recorded(outputs.detach(), scalars, (leaf, *(call.output for call in reached)))
    totals, values = [], []
    for of_image, *of_calls in recorded.gradients(needed=1):
        total = (of_image * images.pixels).double().flatten(1).sum(dim=1)  # (B,)
        parts = [part(of_image * images.pixels, rescaled)]
        frames = [Frame.of_image(images.shape[1:])]
        for call, gradient in zip(reached, of_calls):
            if gradient is None:  # a branch that this target does not see
                continue
            share = gradient * call.bias
            total += share.double().flatten(1).sum(dim=1)
            frame = _place(model, call, images)
            if frame is not None:
                parts.append(part(share, rescaled))
                frames.append(frame)
        totals.append(total)
        values.append(_placed(parts, frames))
    gap = completeness(torch.stack(totals, dim=1), scalars.detach(), outputs.detach())
    return [
        Maps(
            source="input",
            targets=targets.names,
            values=np.stack(values, axis=1).astype(np.float32),
            frame=Frame.of_image(images.shape[1:]),
            signed=not rescaled,
            gap=gap,
            outputs=recorded.outputs.float().cpu().numpy(),
        )
    ]


@dataclass(frozen=True)
class Call:
    """One run of the biased module `name`: its `output`, and the `bias` in it, shaped to spread to it."""

    name: str
    bias: Tensor
    output: Tensor


def biased(network: nn.Module) -> dict[str, tuple[nn.Module, Tensor]]:
    """Modules that add a bias, with the bias (K,): convolutions, linear layers, batch normalisations.

    Normalisation by running statistics is scale x input + bias, the bias being shift - scale x running mean.
    """
    found: dict[str, tuple[nn.Module, Tensor]] = {}
    for name, module in network.named_modules():
        bias = getattr(module, "bias", None)
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            scale = torch.rsqrt(module.running_var + module.eps)
            scale = scale if module.weight is None else scale * module.weight
            bias = (0.0 if bias is None else bias) - scale * module.running_mean
        elif not isinstance(module, (_ConvNd, nn.Linear)):
            bias = None
        if bias is not None:
            found[name] = (module, bias.detach())
    return found


@contextmanager
def watched(modules: dict[str, tuple[nn.Module, Tensor]]) -> Iterator[list[Call]]:
    """While active, every run of the modules is noted, in order: their outputs as the bias leaves them.

    A normalisation's is what the function gives, for its module may have an activation inside (timm's
    BatchNormAct2d).
    """
    calls: list[Call] = []

    def note(name: str, bias: Tensor):
        def hook(module: nn.Module | None, _inputs: tuple, output: Tensor) -> Tensor:
            last = isinstance(module, nn.Linear)
            shape = bias.shape if last else (-1, *[1] * (output.ndim - 2))
            calls.append(Call(name, bias.view(shape), output))
            return output.clone()  # what follows may change it in place

        return hook

    plain, norms = {}, {}
    for name, (module, bias) in modules.items():
        if isinstance(module, _BatchNorm):
            norms[id(module.running_mean)] = note(name, bias)
        else:
            plain[module] = note(name, bias)
    handles = [module.register_forward_hook(hook) for module, hook in plain.items()]
    try:
        with _Normalisations(norms):
            yield calls
    finally:
        for handle in handles:
            handle.remove()


class _Normalisations(TorchFunctionMode):
    """Gives what `functional.batch_norm` makes with a known running mean to that one's hook."""

    def __init__(self, hooks: dict[int, Callable]):
        super().__init__()
        self.hooks = hooks

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        if function is not functional.batch_norm:
            return result
        mean = arguments[1] if len(arguments) > 1 else (keywords or {}).get("running_mean")
        hook = self.hooks.get(id(mean))
        return result if hook is None else hook(None, (), result)


def part(share: Tensor, rescaled: bool) -> Tensor:
    """A part (B, K, *grid) summed over channels, (B, *grid); `rescaled`: each image's magnitude in 0-1."""
    if not rescaled:
        return share.sum(dim=1)
    share = share.abs()
    flat = share.flatten(1)
    low = flat.amin(dim=1).view(-1, *[1] * (share.ndim - 1))
    high = flat.amax(dim=1).view_as(low)
    return ((share - low) / (high - low).clamp(min=torch.finfo(share.dtype).tiny)).sum(dim=1)


def _place(model: Explained, call: Call, images: Images) -> Frame | None:
    """Where a call's cells lie; None where it has none, or a single one."""
    grid = tuple(call.output.shape[2:])
    if call.output.ndim != model.spatial_dims + 2 or prod(grid) == 1:
        return None
    return model.frame(call.name, images.shape, grid)


def _placed(parts: list[Tensor], frames: list[Frame]) -> np.ndarray:
    """The sum of parts (B, *grid), each resampled from its frame to that of the first, (B, *S)."""
    sums: dict[Frame, Tensor] = {}
    for one, frame in zip(parts, frames):  # resampling is linear: once for all parts of one place
        sums[frame] = sums[frame] + one if frame in sums else one
    return sum(
        one.double().cpu().numpy() if frame == frames[0] else
        resample(one.cpu().numpy(), frame, frames[0])
        for frame, one in sums.items()
    )  # fmt: skip
