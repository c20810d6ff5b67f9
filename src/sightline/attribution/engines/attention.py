"""The attention that a transformer's tokens pay to each other, read while the network runs.

Fused kernels never form the matrix of attention. While a pass is watched, scaled dot-product attention and
PyTorch's multi-head attention are computed by their definition instead, and every softmax over tokens is
kept with its graph. Nothing of the network is changed, so there is nothing to restore.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from sightline.attribution.discovery import MOST_PREFIX, TokenGrid
from sightline.attribution.maps import Explained, NotApplicable

SOFTMAX = (functional.softmax, torch.softmax, torch.special.softmax, Tensor.softmax)
NONE = "the network has no tokens made of patches, so no attention among them"


@dataclass(frozen=True)
class Attention:
    """One layer's attention (B, heads, L, L), with its graph: row i says what token i takes from the others.

    `name` is the innermost module in which it was computed.
    """

    name: str
    weights: Tensor


@dataclass(frozen=True)
class Attended:
    """One pass: the outputs (B, n), the layers in their order, and how the L tokens lie."""

    outputs: Tensor
    layers: list[Attention]
    tokens: TokenGrid

    def gradients(self, scalar: Tensor) -> list[Tensor]:
        """The gradient of `scalar` (one number) by each layer's attention, through all that follows it."""
        weights = [layer.weights for layer in self.layers]
        found = torch.autograd.grad(scalar, weights, retain_graph=True, allow_unused=True)
        return [
            torch.zeros_like(one) if gradient is None else gradient for one, gradient in zip(weights, found)
        ]

    def read(self) -> Tensor:
        """Which tokens the outputs read after the last attention, bool (L,).

        The class token where the head takes it alone, the patches where it averages them: those whose row
        of the last attention the outputs depend on. One backward pass, from the outputs to there.
        """
        generator = torch.Generator().manual_seed(0)
        mixed = torch.rand(self.outputs.shape[1:], generator=generator).to(self.outputs)
        (gradient,) = torch.autograd.grad(
            (self.outputs * mixed).sum(), [self.layers[-1].weights], retain_graph=True, allow_unused=True
        )
        return read_rows([torch.zeros(1, 1, 1, 1) if gradient is None else gradient])

    def on_grid(self, shares: Tensor) -> Tensor:
        """Values of tokens (..., L) as those of the patches on their grid (..., [D,] H, W)."""
        return shares[..., self.tokens.prefix :].unflatten(-1, self.tokens.shape)


def read_rows(gradients: list[Tensor]) -> Tensor:
    """The rows of a layer on which anything depends, bool (L,), from gradients (B, heads, L, L)."""
    rows = sum(gradient.abs().amax(dim=(0, 1, 3)) for gradient in gradients) > 0
    if not rows.any():
        raise NotApplicable("the outputs do not depend on the last attention")
    return rows


def check(model: Explained) -> str | None:
    """A reason where the network has no tokens made of patches, else None."""
    return None if model.tokens() is not None else NONE


def attended(model: Explained, pixels: Tensor, every: bool = True) -> Attended:
    """One pass of `pixels` (B, C, [D,] H, W), every layer's attention among all tokens kept.

    Raises `NotApplicable` where there is none, and (`every`) where tokens also attend otherwise (within
    windows, to pooled tokens): such layers are no step of a walk over all tokens.
    """
    tokens = model.tokens()
    if tokens is None:
        raise NotApplicable(NONE)
    with torch.enable_grad(), watched(model.network) as kept:
        outputs = model.network(pixels)
    length = tokens.prefix + tokens.cells
    rows, columns = (len(pixels), length), (length, length)
    among_all = [one.weights.shape[::2] == rows and one.weights.shape[2:] == columns for one in kept]
    layers = [one for one, is_one in zip(kept, among_all) if is_one]
    others = [tuple(one.weights.shape) for one, is_one in zip(kept, among_all) if not is_one]
    others = [shape for shape in others if shape[2] > MOST_PREFIX]  # fewer queries: a head that pools tokens
    if not layers or (every and others):
        found = f"attention of shapes {sorted(set(others))}" if others else "no attention"
        raise NotApplicable(f"{found}, not (images, heads, {length}, {length}) among all tokens")
    return Attended(outputs, layers, tokens)


@contextmanager
def watched(network: nn.Module) -> Iterator[list[Attention]]:
    """While active, every attention (B, heads, queries, keys) that `network` computes joins the list."""
    kept: list[Attention] = []
    inside: list[str] = []

    def enter(name: str):
        return lambda _module, _inputs: inside.append(name)

    def leave(_module: nn.Module, _inputs: tuple, _output: object) -> None:
        inside.pop()

    handles = []
    for name, module in network.named_modules():
        handles.append(module.register_forward_pre_hook(enter(name)))
        handles.append(module.register_forward_hook(leave))
    try:
        with _Watch(kept, inside):
            yield kept
    finally:
        for handle in handles:
            handle.remove()


class _Watch(TorchFunctionMode):
    """Computes attention by its definition, and keeps it."""

    def __init__(self, kept: list[Attention], inside: list[str]):
        super().__init__()
        self.kept, self.inside = kept, inside

    def __torch_function__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        if function is functional.scaled_dot_product_attention:
            return self._product(*arguments, **keywords)
        if function is functional.multi_head_attention_forward:
            return self._multi_head(arguments, keywords)
        result = function(*arguments, **keywords)
        return self._keep(result) if function in SOFTMAX and result.ndim == 4 else result

    def _keep(self, weights: Tensor) -> Tensor:
        """`weights`, kept; the graph starts at the first: neither weights nor images need gradients."""
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights = weights.detach().requires_grad_()
        self.kept.append(Attention(self.inside[-1] if self.inside else "", weights))
        return weights

    def _product(
        self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
        dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None, enable_gqa: bool = False,
    ) -> Tensor:  # fmt: skip
        """`functional.scaled_dot_product_attention`, without dropout."""
        if enable_gqa:  # fewer heads of keys than of queries
            key, value = (
                one.repeat_interleave(query.shape[-3] // one.shape[-3], dim=-3) for one in (key, value)
            )
        scale = query.shape[-1] ** -0.5 if scale is None else scale
        scores = (query * scale) @ key.transpose(-2, -1)
        if is_causal:
            attn_mask = torch.ones_like(scores[..., :, :], dtype=torch.bool).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(dim=-1)
        return (self._keep(weights) if weights.ndim == 4 else weights) @ value

    def _multi_head(self, arguments: tuple, keywords: dict) -> tuple[Tensor, Tensor]:
        """`functional.multi_head_attention_forward`: its own weights, and the output made from them."""
        names = functional.multi_head_attention_forward.__code__.co_varnames
        given = dict(zip(names, arguments)) | keywords
        if given.get("use_separate_proj_weight") or given["bias_k"] is not None or given["add_zero_attn"]:
            raise NotApplicable("multi-head attention with keys of its own making is not read")
        _, weights = functional.multi_head_attention_forward(
            **given | {"need_weights": True, "average_attn_weights": False}
        )
        weights = self._keep(weights)  # (B, heads, L, M)
        bias = given["in_proj_bias"]
        value = functional.linear(
            given["value"], given["in_proj_weight"].chunk(3)[2], None if bias is None else bias.chunk(3)[2]
        )  # (M, B, E)
        split = value.unflatten(2, (given["num_heads"], -1)).permute(1, 2, 0, 3)  # (B, heads, M, E / heads)
        joined = (weights @ split).permute(2, 0, 1, 3).flatten(2)  # (L, B, E)
        output = functional.linear(joined, given["out_proj_weight"], given["out_proj_bias"])
        mean = given.get("average_attn_weights", True)
        return output, weights.mean(dim=1) if mean else weights
