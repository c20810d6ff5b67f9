"""Where a layer's cells lie in the model's input: receptive-field centres, by strides, paddings, kernels.

The network is run once on zeros while every tensor operation is watched; each tensor's grid is placed from
its inputs' grids. This follows the real data flow (functional calls, branches, skips) of networks that no
symbolic tracer takes, in 2-D and 3-D.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from sightline.frames import Frame

AGREE = 0.5  # input pixels: branches whose cells lie further apart than this have no common place

# operations that keep each cell where it is, beside those that torch tags as pointwise
# (a view with the same grid at its end regroups images and channels alone)
KEEPS = {
    "_native_batch_norm_legit", "_native_batch_norm_legit_no_training", "_prelu_kernel", "_softmax",
    "_to_copy", "_unsafe_view", "alias", "cat", "copy_", "cudnn_batch_norm", "detach", "dropout",
    "hardswish", "hardswish_", "lift_fresh", "miopen_batch_norm", "native_batch_norm", "native_dropout",
    "native_group_norm", "view"
}  # fmt: skip


def place(network: nn.Module, names: Sequence[str], input_shape: tuple[int, ...]) -> dict[str, Frame | None]:
    """The frame of each named module's output grid in pixels of inputs of `input_shape` (C, [D,] H, W).

    Grid index = scale * input index + shift is the centre of a cell's receptive field (a module that runs
    more than once: its last output). None where the output is no (B, C, *grid), or an operation on the way
    moves cells in a way that has no such place (flattening, attention over tokens, branches that disagree
    by over half a pixel).
    """
    dims = len(input_shape) - 1
    found: dict[str, Frame | None] = dict.fromkeys(names)
    watch = _Watch(dims)

    def note(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            found[name] = watch.places.get(output) if isinstance(output, Tensor) else None

        return hook

    reference = next(network.parameters(), torch.zeros(()))
    image = torch.zeros((1, *input_shape), device=reference.device, dtype=reference.dtype)
    watch.places[image] = Frame.of_image(tuple(input_shape[1:]))
    handles = [network.get_submodule(name).register_forward_hook(note(name)) for name in found]
    try:
        with torch.no_grad(), watch:
            network(image)
    finally:
        for handle in handles:
            handle.remove()
    return found


def usual_resize(input_shape: tuple[int, ...], grid_shape: tuple[int, ...]) -> Frame:
    """The grid stretched over the whole input, edges on edges, as most libraries place it.

    Shapes are ([D,] H, W). Right for networks that shrink by pooling without overlap; in a ResNet half a cell
    right of and below the receptive fields' centres (where training may move what a cell looks at:
    docs/placement.md).
    """
    return Frame.resized(tuple(input_shape), tuple(grid_shape))


class _Watch(TorchDispatchMode):
    """Keeps, for each tensor that is made while it is active, the place of its grid in the input."""

    def __init__(self, dims: int):
        super().__init__()
        self.dims, self.places = dims, WeakTensorKeyDictionary()
        self.channels_last = WeakTensorKeyDictionary()  # places of (B, *grid, C), for normalisations of those

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler, seconds, to keep it away from this mode

    def __torch_dispatch__(self, operation, types, arguments=(), keywords=None):
        keywords = keywords or {}
        result = operation(*arguments, **keywords)
        output = result[0] if isinstance(result, (tuple, list)) and result else result
        if isinstance(output, Tensor) and output.ndim == self.dims + 2:
            self._follow_channels_last(operation, arguments, output)
            frame = self._place(operation, arguments, keywords, output)
            if frame is not None:
                self.places[output] = frame
            elif output in self.places:  # changed in place, in a way that moves cells
                del self.places[output]
        return result

    def _place(self, operation, arguments: tuple, keywords: dict, output: Tensor) -> Frame | None:
        name = operation.overloadpacket.__name__
        grid = tuple(output.shape[2:])
        if name == "permute" and _order(arguments) == [0, self.dims + 1, *range(1, self.dims + 1)]:
            return self.channels_last.get(arguments[0])
        if name in KEEPS or torch.Tag.pointwise in operation.tags:
            return self._common(arguments, grid)
        rule = RULES.get(name)
        if rule is None or not isinstance(arguments[0], Tensor) or arguments[0] not in self.places:
            return None
        given = dict(zip((argument.name for argument in operation._schema.arguments), arguments)) | keywords
        steps = rule(given, tuple(arguments[0].shape[2:]), grid)
        return None if steps is None else self.places[arguments[0]].then(_frame(grid, *steps))

    def _follow_channels_last(self, operation, arguments: tuple, output: Tensor) -> None:
        """Keep the place of cells whose channels were moved to the end (ConvNeXt's normalisation)."""
        name = operation.overloadpacket.__name__
        source = arguments[0] if arguments and isinstance(arguments[0], Tensor) else None
        if name == "permute" and _order(arguments) == [0, *range(2, self.dims + 2), 1]:
            frame = self.places.get(source)
        else:
            same = name == "native_layer_norm" or name in KEEPS or torch.Tag.pointwise in operation.tags
            frame = self.channels_last.get(source) if same and source is not None else None
        if frame is not None and tuple(output.shape[1:-1]) == frame.shape:
            self.channels_last[output] = frame

    def _common(self, arguments: tuple, grid: tuple[int, ...]) -> Frame | None:
        """The place that all inputs with the output's grid share."""
        flat = [one for item in arguments for one in (item if isinstance(item, (list, tuple)) else [item])]
        tensors = [one for one in flat if isinstance(one, Tensor) and tuple(one.shape[2:]) == grid]
        frames = [self.places[one] for one in tensors if one in self.places]
        return frames[0] if frames and all(_agree(frames[0], other) for other in frames) else None


def _order(arguments: tuple) -> list[int]:
    """The order of axes that a permutation asks for, all counted from the front."""
    return [axis % len(arguments[1]) for axis in arguments[1]]


def _agree(a: Frame, b: Frame) -> bool:
    """Whether the first and last cells of two grids of one shape lie within `AGREE` input pixels."""
    for axis, side in enumerate(reversed(a.shape)):
        for index in (0, side - 1):
            apart = (index - a.shift[axis]) / a.scale[axis] - (index - b.shift[axis]) / b.scale[axis]
            if abs(apart) > AGREE:
                return False
    return True


def _frame(grid: tuple[int, ...], scale: Sequence[float], shift: Sequence[float]) -> Frame:
    """A frame from scale and shift in array order ([z,] y, x)."""
    return Frame(grid, tuple(map(float, reversed(scale))), tuple(map(float, reversed(shift))))


# ---- one rule per operation: (arguments by name, input grid, output grid) -> scale and shift in array order


def _each(value: object, dims: int, default: object = None) -> list:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    values = values or list(default)
    return values * dims if len(values) == 1 else values


def _convolution(given: dict, before: tuple, _after: tuple) -> tuple:
    dims = len(before)
    kernel = given["weight"].shape[2:]
    stride, padding, dilation = (_each(given[key], dims) for key in ("stride", "padding", "dilation"))
    reach = [0.5 * d * (k - 1) for d, k in zip(dilation, kernel)]
    if given["transposed"]:  # input cell i writes outputs around stride * i - padding + reach
        return stride, [r - p for r, p in zip(reach, padding)]
    return [1 / s for s in stride], [(p - r) / s for s, p, r in zip(stride, padding, reach)]


def _pool(given: dict, before: tuple, _after: tuple) -> tuple:
    dims = len(before)
    kernel = _each(given["kernel_size"], dims)
    stride = _each(given.get("stride", []), dims, default=kernel)
    padding, dilation = _each(given.get("padding", 0), dims), _each(given.get("dilation", 1), dims)
    reach = [0.5 * d * (k - 1) for d, k in zip(dilation, kernel)]
    return [1 / s for s in stride], [(p - r) / s for s, p, r in zip(stride, padding, reach)]


def _resize(given: dict, before: tuple, after: tuple) -> tuple | None:
    if given.get("align_corners"):
        if 1 in before:
            return None
        return [(new - 1) / (old - 1) for old, new in zip(before, after)], [0.0] * len(before)
    scale = [new / old for old, new in zip(before, after)]
    return scale, [0.5 * s - 0.5 for s in scale]


def _pad(given: dict, before: tuple, _after: tuple) -> tuple | None:
    padding = list(given.get("pad", given.get("padding")))  # last axis first, before and after
    if any(padding[2 * len(before) :]):
        return None
    starts = padding[0::2] + [0] * (len(before) - len(padding) // 2)
    return [1.0] * len(before), list(reversed(starts[: len(before)]))


def _slice(given: dict, before: tuple, _after: tuple) -> tuple:
    axis, start, step = given.get("dim", 0), given.get("start") or 0, given.get("step", 1)
    axis = (axis + len(before) + 2 if axis < 0 else axis) - 2
    scale, shift = [1.0] * len(before), [0.0] * len(before)
    if axis >= 0:
        start = max(start + before[axis], 0) if start < 0 else start
        scale[axis], shift[axis] = 1 / step, -start / step
    return scale, shift


RULES = {"convolution": _convolution, "constant_pad_nd": _pad, "slice": _slice}
RULES |= {
    f"{kind}_pool{d}d{end}": _pool for d in "123" for kind, end in (("max", "_with_indices"), ("avg", ""))
}
RULES |= {f"_adaptive_avg_pool{d}d": _resize for d in "23"} | {
    f"adaptive_max_pool{d}d": _resize for d in "23"
}
RULES |= {f"{kind}_pad{d}d": _pad for kind in ("reflection", "replication") for d in "123"}
UPSAMPLINGS = ("nearest1d", "nearest2d", "nearest3d", "linear1d", "bilinear2d", "bicubic2d", "trilinear3d")
RULES |= {f"upsample_{kind}": _resize for kind in UPSAMPLINGS}
RULES |= {f"_upsample_nearest_exact{d}d": _resize for d in "123"}
