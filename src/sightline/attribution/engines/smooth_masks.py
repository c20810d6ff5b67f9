"""Masks that cannot be finer than a kernel, images that a mask blurs (Fong et al. 2019), in 2-D and 3-D."""

from __future__ import annotations

from itertools import product
from math import ceil

import torch
from torch import Tensor
from torch.nn import functional

from sightline.attribution.engines.masking import chunks

COLDNESS = 20.0  # of the smooth maximum
MOST_HELD = 2**24  # numbers of the smooth maximum that are held at once


def cells_of(shape: tuple[int, ...], step: int) -> tuple[int, ...]:
    """How many cells masks of `shape` ([D,] H, W) have, one every `step` pixels from the first pixel on."""
    return tuple(ceil(side / step) for side in shape)


def smooth_masks(cells: Tensor, shape: tuple[int, ...], step: int, deviation: float) -> Tensor:
    """Masks (R, [D,] H, W) from values of their cells (R, *cells) in 0 to 1, differentiable.

    At each pixel the smooth maximum over the cells around it of value times kernel: the mean of these
    products under a softmax of 20 times them. The kernel is that of the authors' code, exp(-2 max(0, d -
    1/2)^2), d being the distance in deviations; cells over a deviation and a step or two away are left out.
    """
    dims, reach = len(shape), 1 + ceil(deviation / step)
    around = functional.pad(cells, (reach, reach) * dims)
    for axis in range(dims):
        around = around.unfold(axis + 1, 2 * reach + 1, 1)  # ..., last the cells around each
    around = around.flatten(dims + 1).unsqueeze(dims + 1)  # (R, *cells, 1, K)
    kernel = _kernel(step, deviation, dims, reach, cells.device)  # (step ** dims, K)
    blocks = _Pooled.apply(around, kernel).unflatten(-1, (step,) * dims)  # (R, *cells, *step)
    order = [0, *(axis for pair in zip(range(1, dims + 1), range(dims + 1, 2 * dims + 1)) for axis in pair)]
    whole = blocks.permute(order).reshape(len(cells), *(count * step for count in cells.shape[1:]))
    return whole[(slice(None), *(slice(side) for side in shape))]


def _kernel(step: int, deviation: float, dims: int, reach: int, device: torch.device) -> Tensor:
    """The kernel between each pixel of a cell's block and each cell around: (step ** dims, K)."""
    pixels = torch.tensor(list(product(range(step), repeat=dims)), dtype=torch.float32, device=device)
    cells = torch.tensor(
        list(product(range(-reach, reach + 1), repeat=dims)), dtype=torch.float32, device=device
    )
    distance = torch.cdist(pixels, step * cells, compute_mode="donot_use_mm_for_euclid_dist") / deviation
    return torch.exp(-2 * (distance - 0.5).clamp(min=0) ** 2)


class _Pooled(torch.autograd.Function):
    """The smooth maximum over K of (R, *cells, 1, K) times (P, K): (R, *cells, P).

    In parts that are computed again on the way back: in 3-D there would be too much to keep.
    """

    @staticmethod
    def forward(ctx, around: Tensor, kernel: Tensor) -> Tensor:
        """Keeps what goes in, nothing of what is in between."""
        ctx.save_for_backward(around, kernel)
        return torch.cat([_smooth_maximum(around, kernel[part]) for part in _parts(around, kernel)], dim=-1)

    @staticmethod
    def backward(ctx, upper: Tensor) -> tuple[Tensor, None]:
        """The gradient for `around`; the kernel has none."""
        around, kernel = ctx.saved_tensors
        total = torch.zeros_like(around)
        for part in _parts(around, kernel):
            with torch.enable_grad():
                leaf = around.detach().requires_grad_()
                pooled = (_smooth_maximum(leaf, kernel[part]) * upper[..., part]).sum()
            total += torch.autograd.grad(pooled, leaf)[0]
        return total, None


def _parts(around: Tensor, kernel: Tensor) -> list[slice]:
    return list(chunks(len(kernel), max(1, MOST_HELD // around.numel())))


def _smooth_maximum(around: Tensor, kernel: Tensor) -> Tensor:
    weighted = around * kernel
    return (weighted * (COLDNESS * weighted).softmax(dim=-1)).sum(dim=-1)


def off_area(masks: Tensor, areas: Tensor) -> Tensor:
    """How far masks (R, [D,] H, W) are from holding `areas` (R,) of the image: (R,).

    The mean squared difference of their sorted pixels to a step of that many ones.
    """
    pixels = masks.flatten(1).sort(dim=1).values
    zeros = (pixels.shape[1] * (1 - areas)).long()  # (R,)
    step = torch.arange(pixels.shape[1], device=masks.device) >= zeros[:, None]
    return ((pixels - step.to(pixels)) ** 2).mean(dim=1)


def perturbed(pyramid: Tensor, masks: Tensor) -> Tensor:
    """An image (R, C, [D,] H, W) under each mask (R, [D,] H, W), differentiable in the masks.

    `pyramid` (L, C, [D,] H, W) leads from what a mask of 0 shows to the image, which 1 shows; between two
    levels it is interpolated.
    """
    last = len(pyramid) - 1
    height = masks[:, None] * last  # (R, 1, *S)
    level = height.detach().floor().clamp(0, last - 1)
    part = height - level
    spread = pyramid.expand(len(masks), *pyramid.shape)  # (R, L, C, *S), a view
    index = level.long()[:, None].expand(-1, 1, *pyramid.shape[1:])
    low, high = spread.gather(1, index)[:, 0], spread.gather(1, index + 1)[:, 0]
    return low + part * (high - low)
