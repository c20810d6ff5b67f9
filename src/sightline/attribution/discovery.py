"""What a network of unknown make is built like: its last grid, and how its tokens lie. One pass shows it."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from sightline.attribution.layers import place
from sightline.frames import Frame

UNEVEN = 1.25  # a grid whose sides are shrunk as unequally as this may be none
MOST_PREFIX = 8  # tokens before those of the patches: class token, distillation token, registers


@dataclass(frozen=True)
class TokenGrid:
    """`prefix` tokens, then those of the patches in row-major order; `frame` places the patches' grid.

    `width` is how many values a token has.
    """

    prefix: int
    frame: Frame
    width: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the patches' grid, ([D,] H, W)."""
        return self.frame.shape

    @property
    def cells(self) -> int:
        """How many patches there are."""
        return prod(self.shape)


@dataclass
class _Pass:
    """Modules in the order in which they gave their outputs in one pass; `final` counts those given before
    the last module with weights of its own was entered."""

    given: list[tuple[str, Tensor]]
    outputs: Tensor
    final: int


def last_grid(network: nn.Module, input_shape: tuple[int, ...]) -> str | None:
    """The module whose output is the last grid that the outputs depend on, before the final layer.

    `input_shape` is (C, [D,] H, W). A grid has more than one cell; whether its cells have a place shows when
    it is asked for. In a transformer the tokens are the grid, where the outputs depend on those of the
    patches (with a class token: what the last attention reads). None where there is none, or where tokens
    become fewer on the way: those of the patches are then not the last.
    """
    seen = _watched(network, input_shape)
    if not seen.outputs.requires_grad:
        return None
    generator = torch.Generator().manual_seed(0)
    mixed = (seen.outputs * torch.rand(seen.outputs.shape, generator=generator).to(seen.outputs)).sum()
    dims = len(input_shape) - 1
    tokens = _tokens(network, seen, input_shape)
    for name, output in reversed(seen.given[: seen.final]):
        if tokens is not None and _is_merged(output, tokens):
            return None
        is_grid = output.ndim == dims + 2 and prod(output.shape[2:]) > 1
        if not (is_grid if tokens is None else _is_laid(output, tokens)):
            continue
        (gradient,) = torch.autograd.grad(mixed, [output], retain_graph=True, allow_unused=True)
        of_cells = gradient if gradient is None or tokens is None else gradient[:, tokens.prefix :]
        if of_cells is not None and of_cells.any():
            return name
    return None


def token_grid(network: nn.Module, input_shape: tuple[int, ...]) -> TokenGrid | None:
    """How tokens made of patches lie in inputs of `input_shape` (C, [D,] H, W); None where there are none.

    The patches are the cells of the last placed grid from which a module makes (B, L, K), L the cells or up
    to eight more.
    """
    return _tokens(network, _watched(network, input_shape), input_shape)


def looks_channels_last(shape: tuple[int, ...], input_shape: tuple[int, ...]) -> bool:
    """Whether a tensor of `shape` is rather (B, *grid, K) than (B, K, *grid).

    By its sides alone: a grid has about the proportions of the input (C, [D,] H, W).
    """

    def distortion(grid: tuple[int, ...]) -> float:
        shares = [cells / side for cells, side in zip(grid, input_shape[1:])]
        return max(shares) / min(shares)

    return distortion(shape[1:-1]) < distortion(shape[2:]) and distortion(shape[2:]) > UNEVEN


def _is_laid(output: Tensor, tokens: TokenGrid) -> bool:
    return output.ndim == 3 and output.shape[1:] == (tokens.prefix + tokens.cells, tokens.width)


def _is_merged(output: Tensor, tokens: TokenGrid) -> bool:
    """Whether a module gave one image's tokens in another number than the patches have (Swin)."""
    several = output.ndim == 3 and len(output) == 1 and output.shape[1] > MOST_PREFIX
    return several and output.shape[1] != tokens.prefix + tokens.cells


def _tokens(network: nn.Module, seen: _Pass, input_shape: tuple[int, ...]) -> TokenGrid | None:
    dims = len(input_shape) - 1
    for at, (_, output) in enumerate(seen.given):
        before = [
            (name, grid) for name, grid in seen.given[:at]
            if grid.ndim == dims + 2 and output.ndim == 3 and dims + 2 != 3
            and 0 <= output.shape[1] - prod(grid.shape[2:]) <= MOST_PREFIX and prod(grid.shape[2:]) > 1
        ]  # fmt: skip
        if before:
            name, grid = before[-1]
            frame = place(network, [name], input_shape)[name]
            if frame is None:
                return None
            width, cells = grid.shape[1], prod(grid.shape[2:])
            # the class token joins after the patches were embedded: the longest sequence of this width counts
            lengths = [
                one.shape[1] - cells for _, one in seen.given
                if one.ndim == 3 and one.shape[2] == width and 0 <= one.shape[1] - cells <= MOST_PREFIX
            ]  # fmt: skip
            return TokenGrid(max(lengths), frame, width) if lengths else None
    return None


def _watched(network: nn.Module, input_shape: tuple[int, ...]) -> _Pass:
    """One pass of an image of noise, all tensors that modules give kept with their graph."""
    given: list[tuple[str, Tensor]] = []
    final = [0]

    def enter(module: nn.Module, _inputs: tuple) -> None:
        if next(module.parameters(recurse=False), None) is not None:
            final[0] = len(given)

    def leave(name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor):
                given.append((name, output))

        return hook

    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(enter))
        if name:
            handles.append(module.register_forward_hook(leave(name)))
    reference = next(network.parameters(), torch.zeros(()))
    noise = torch.randn((1, *input_shape), generator=torch.Generator().manual_seed(0)).to(reference)
    try:
        with torch.enable_grad():
            outputs = network(noise.requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return _Pass(given, outputs, final[0])
