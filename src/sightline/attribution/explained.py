"""What a method is given: a batch of images, and a frozen network with what there is to know of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from sightline.attribution.discovery import TokenGrid, last_grid, looks_channels_last, token_grid
from sightline.attribution.layers import place, usual_resize
from sightline.errors import ConfigError, NotApplicable
from sightline.frames import Frame
from sightline.randomness import derived_seed


@dataclass(frozen=True)
class Images:
    """A batch as methods see it: `pixels` (B, C, [D,] H, W), normalised; `names` are the images' ids.

    Draws follow from `seed`, a purpose and the image alone, so that no batching changes them.
    """

    pixels: Tensor
    names: tuple[str, ...]
    seed: int = 0

    @staticmethod
    def of(pixels: Tensor, seed: int = 0) -> Images:
        """Images named by their index."""
        return Images(pixels, tuple(str(index) for index in range(len(pixels))), seed)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, [D,] H, W) of one image."""
        return tuple(self.pixels.shape[1:])

    def generator(self, index: int, purpose: str) -> torch.Generator:
        """A generator on the CPU for image `index` alone."""
        return _generator(self.seed, purpose, self.names[index])

    def shared_generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU that gives every image of the study the same draws."""
        return _generator(self.seed, purpose)


def _generator(*unit: object) -> torch.Generator:
    return torch.Generator().manual_seed(derived_seed(*unit) % 2**63)


def same_shape(images: Sequence[Tensor], shape: tuple[int, ...] | None = None) -> Tensor:
    """Batches of images (b, C, [D,] H, W) as one, in `shape` ([D,] H, W), by default the first one's.

    Those of another shape are resized, linearly.
    """
    shape = tuple(images[0].shape[2:]) if shape is None else tuple(shape)
    mode = "bilinear" if len(shape) == 2 else "trilinear"
    return torch.cat(
        [
            one if tuple(one.shape[2:]) == shape else functional.interpolate(one, shape, mode=mode)
            for one in images
        ]
    )


@dataclass(frozen=True)
class Cost:
    """What one image costs a method: passes through the whole network, memory, storage.

    `forwards` and `backwards` count rows (an image seen once is one row); `rows` is how many of them a pass
    holds at once with their graph; `values` are the numbers kept.
    """

    forwards: float
    backwards: float
    rows: int
    values: int


@dataclass
class Passes:
    """Rows that have gone through a network, forwards and backwards, and the shape of the last input."""

    forwards: int = 0
    backwards: int = 0
    input_shape: tuple[int, ...] | None = None

    def watch(self, network: nn.Module) -> nn.Module:
        """`network`, every pass of which is counted from now on."""

        def before(_module: nn.Module, inputs: tuple) -> None:
            self.forwards += len(inputs[0])
            self.input_shape = tuple(inputs[0].shape[1:])

        def after(_module: nn.Module, _inputs: tuple, output: object) -> None:
            if isinstance(output, Tensor) and output.requires_grad:
                output.register_hook(self._count_backward)

        network.register_forward_pre_hook(before)
        network.register_forward_hook(after)
        return network

    def _count_backward(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclass(frozen=True)
class Explained:
    """A trained network with what methods need to know of it; the network is put to evaluation and frozen.

    `layers` and `attention` are the architecture's LAYERS and ATTENTION; `placement` says where cells of a
    layer lie: "true" (receptive-field centres) or "usual_resize". `reference_images` (R, C, [D,] H, W)
    are what some methods compare with; `micro_batch` is how many rows a loop of forwards takes at once.
    `auxiliary` is a network trained beside the explained one (an autoencoder of its images).
    """

    network: nn.Module
    labels: tuple[str, ...]
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attention: Mapping[str, str] = field(default_factory=dict)
    spatial_dims: int = 2
    device: torch.device = torch.device("cpu")
    placement: str = "true"
    reference_images: Tensor | None = None
    micro_batch: int = 16
    auxiliary: nn.Module | None = None
    passes: Passes = field(default_factory=Passes, init=False, repr=False, compare=False)
    _known: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Freeze the network: no gradient is ever taken of its weights."""
        if self.placement not in ("true", "usual_resize"):
            raise ConfigError(f"placement {self.placement!r}; expected 'true' or 'usual_resize'")
        self.passes.watch(self.network.to(self.device).eval().requires_grad_(False))
        if self.auxiliary is not None:
            self.auxiliary.to(self.device).eval().requires_grad_(False)

    @cached_property
    def unshared(self) -> nn.Module:
        """The same network, each use of a ReLU a module of its own, nothing in place (`graph.unshared`).

        Weights are shared, outputs equal to the bit. Raises `NotApplicable` where it cannot be traced.
        """
        from sightline.attribution.engines import graph

        return self.passes.watch(graph.unshared(self.network).eval())

    @property
    def references(self) -> Tensor | None:
        """The reference images in the last input's shape (resized where theirs differs), or None."""
        if self.reference_images is None:
            return None
        shape = self.input_shape
        if ("references", shape) not in self._known:
            resized = same_shape([self.reference_images], shape[1:])
            self._known["references", shape] = resized.to(self.device)
        return self._known["references", shape]

    def modules(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """Modules by name, in order; a name of `layers` stands for its modules. `KeyError` for others.

        `last`, where the architecture does not say, is the last grid before the final layer (`last_grid`).
        """
        known = dict(self.network.named_modules())
        return {
            one: known[one] for name in names for one in self.layers.get(name) or self._last(name) or (name,)
        }

    def has_layers(self, names: Sequence[str]) -> str | None:
        """A reason where one of `names` stands for no module, else None. Its grid shows when it runs."""
        known = {*self.layers, "last", *(name for name, _ in self.network.named_modules())}
        missing = [name for name in names if name not in known]
        return f"the network has no layer {', '.join(missing)}" if missing else None

    def _last(self, name: str) -> tuple[str, ...]:
        if name != "last":
            return ()
        shape = self.input_shape
        if ("last", shape) not in self._known:
            self._known["last", shape] = last_grid(self.network, shape)
        found = self._known["last", shape]
        if found is None:
            raise NotApplicable("no layer before the final one has cells with a place in the input; name one")
        return (found,)

    def cells(self, names: Sequence[str]) -> int:
        """How many cells the grids of the layers `names` have together, for the last input shape."""
        found: dict[str, object] = {}

        def note(name: str):
            def hook(_module: nn.Module, _inputs: tuple, output: object) -> None:
                found[name] = output

            return hook

        modules = self.modules(names)
        handles = [module.register_forward_hook(note(name)) for name, module in modules.items()]
        try:
            with torch.no_grad():
                self.network(torch.zeros((1, *self.input_shape), device=self.device))
        finally:
            for handle in handles:
                handle.remove()
        return sum(prod(self.grid(name, output).shape[2:]) for name, output in found.items())

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, [D,] H, W) of what the network saw last; `run` sets it before each batch is explained."""
        if self.passes.input_shape is None:
            raise ValueError("the network has seen no image yet: set passes.input_shape")
        return self.passes.input_shape

    def tokens(self) -> TokenGrid | None:
        """How the network lays its tokens out, for the last input shape; None where it has none."""
        key = ("tokens", self.input_shape)
        if key not in self._known:
            self._known[key] = token_grid(self.network, self.input_shape)
        return self._known[key]

    def grid(self, name: str, output: object) -> Tensor:
        """The output of module `name` as channels on a grid (B, K, *grid), differentiable.

        Tokens (B, L, K) are laid out on the patch grid, those before the patches (class token) left out.
        Raises `NotApplicable` where it is neither, or has its channels last (Swin's layers).
        """
        if isinstance(output, Tensor) and output.ndim == self.spatial_dims + 2:
            if looks_channels_last(output.shape, self.input_shape) and self._placed(name) is None:
                raise NotApplicable(
                    f"layer '{name}' gives {tuple(output.shape)}, which looks like cells before channels: "
                    "choose a layer with channels first"
                )
            return output
        if isinstance(output, Tensor) and output.ndim == 3:
            tokens = self.tokens()
            if tokens is not None and output.shape[1] == tokens.prefix + tokens.cells:
                return output[:, tokens.prefix :].transpose(1, 2).unflatten(2, tokens.shape)
        shape = tuple(output.shape) if isinstance(output, Tensor) else None
        raise NotApplicable(f"layer '{name}' gives {shape}, not channels on a {self.spatial_dims}-D grid")

    def frame(self, layer: str, input_shape: tuple[int, ...], grid: tuple[int, ...]) -> Frame:
        """Where the output `grid` of module `layer` lies in inputs of `input_shape` (C, [D,] H, W).

        Raises `NotApplicable` where its cells have no place that follows from the network's operations.
        """
        if self.placement == "usual_resize":
            return usual_resize(input_shape[1:], grid)
        frame = self._placed(layer, input_shape) or self._frame_of_tokens(layer, grid)
        if frame is None or frame.shape != tuple(grid):
            raise NotApplicable(
                f"the place of layer '{layer}' in the input does not follow from the network's operations; "
                "choose another layer, or the run's placement 'usual_resize'"
            )
        return frame

    def _placed(self, layer: str, input_shape: tuple[int, ...] | None = None) -> Frame | None:
        """The place of module `layer`, by default in inputs of the last shape, as the operations give it."""
        shape = self.input_shape if input_shape is None else tuple(input_shape)
        key = ("place", layer, shape)
        if key not in self._known:
            names = [name for name, _ in self.network.named_modules() if name]
            found = place(self.network, names, shape)  # one forward for all
            self._known.update({("place", name, shape): placed for name, placed in found.items()})
        return self._known.get(key)

    def _frame_of_tokens(self, layer: str, grid: tuple[int, ...]) -> Frame | None:
        """Tokens lie where the patches lie that they were made of, as far as a layer keeps their order."""
        tokens = self.tokens()
        return tokens.frame if tokens is not None and tokens.shape == tuple(grid) else None
