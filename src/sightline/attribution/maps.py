"""The interface of every attribution method: what is explained, the scalars that are explained, and the maps.

A method is a module of `attribution/methods` with
    OPTIONS                                     its options, a literal (JSON schema properties)
    PER_TARGET: bool                            False where its maps serve no class (one target, named "")
    check(model, targets, **options)            a reason why it cannot be right for this model, or None
    explain(model, images, targets, **options)  a list of Maps, one for each source grid
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from sightline.attribution.batches import Batch
from sightline.attribution.layers import place, usual_resize
from sightline.errors import ConfigError
from sightline.frames import Frame

log = logging.getLogger(__name__)

# what a method or a network raises when it cannot serve a batch; anything else is an error of ours and
# stops the job
FAILURES = (RuntimeError, ValueError, AssertionError, IndexError, ArithmeticError)
# a RuntimeError of the machine, not of the method: a rerun may succeed, so it must not become a row
MACHINE = (torch.OutOfMemoryError, torch.AcceleratorError)


class NotApplicable(Exception):
    """Raised by `explain` where only the run shows that a method does not suit the model: the reason."""


@dataclass(frozen=True)
class Explained:
    """A trained network with what methods need to know of it; the network is put to evaluation and frozen.

    `layers` and `attention` are the architecture's LAYERS and ATTENTION; `placement` says where cells of a
    layer lie: "true" (receptive-field centres) or "usual_resize".
    """

    network: nn.Module
    labels: tuple[str, ...]
    layers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attention: Mapping[str, str] = field(default_factory=dict)
    spatial_dims: int = 2
    device: torch.device = torch.device("cpu")
    placement: str = "true"
    _places: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Freeze the network: no gradient is ever taken of its weights."""
        if self.placement not in ("true", "usual_resize"):
            raise ConfigError(f"placement {self.placement!r}; expected 'true' or 'usual_resize'")
        self.network.to(self.device).eval().requires_grad_(False)

    def modules(self, names: Sequence[str]) -> dict[str, nn.Module]:
        """Modules by name, in order; a name of `layers` stands for its modules. `KeyError` for others."""
        known = dict(self.network.named_modules())
        return {one: known[one] for name in names for one in self.layers.get(name, (name,))}

    def frame(self, layer: str, input_shape: tuple[int, ...], grid: tuple[int, ...]) -> Frame:
        """Where the output `grid` of module `layer` lies in inputs of `input_shape` (C, [D,] H, W).

        Raises `NotApplicable` where its cells have no place that follows from the network's operations.
        """
        if self.placement == "usual_resize":
            return usual_resize(input_shape[1:], grid)
        key = (layer, tuple(input_shape))
        if key not in self._places:
            names = {layer, *self.attention.values(), *chain.from_iterable(self.layers.values())}
            found = place(self.network, sorted(names), input_shape)  # one forward for all
            self._places.update({(name, tuple(input_shape)): placed for name, placed in found.items()})
        frame = self._places[key]
        if frame is None or frame.shape != tuple(grid):
            raise NotApplicable(
                f"the place of layer '{layer}' in the input does not follow from the network's operations; "
                "choose another layer, or the run's placement 'usual_resize'"
            )
        return frame


@dataclass(frozen=True)
class Targets:
    """Named scalars of a network's outputs: `scalars(outputs)` gives (B, T), differentiable.

    Rows are independent. A target that differs between images (a frozen region, a gallery) is a closure
    made for its batch.
    """

    names: tuple[str, ...]
    scalars: Callable[[Tensor], Tensor]


def classes(labels: Sequence[str], chosen: Sequence[str] | None = None) -> Targets:
    """The logits of the `chosen` classes (None: all), of outputs (B, len(labels)).

    Raises `ConfigError` for a class that the model has not.
    """
    labels = tuple(labels)
    chosen = labels if chosen is None else tuple(chosen)
    unknown = [name for name in chosen if name not in labels]
    if unknown:
        raise ConfigError(
            f"targets: unknown class(es) {', '.join(unknown)}; the model has {', '.join(labels)}"
        )
    index = [labels.index(name) for name in chosen]
    return Targets(chosen, lambda outputs: outputs[:, index])


def no_class() -> Targets:
    """The one target of maps that serve no class, named "" (an attention map)."""
    return Targets(("",), lambda outputs: outputs.sum(dim=1, keepdim=True))


@dataclass(frozen=True)
class Maps:
    """Maps of a batch on one source grid: `values` (B, T, *grid), float32, signed as the method gives them.

    `frame` places the grid in the model's input pixels. `outputs` are the network's (B, n) on the unaltered
    images, where the method saw them. `completeness_gap` (B, T) is the method's own error, where theory
    gives an identity.
    """

    source: str
    targets: tuple[str, ...]
    values: np.ndarray
    frame: Frame
    signed: bool = True
    completeness_gap: np.ndarray | None = None
    outputs: np.ndarray | None = None


@dataclass(frozen=True)
class Explanation:
    """What came of one batch: maps where `status` is ok; else not_applicable or failed, with the reason.

    `outputs` (B, n) are the network's; None where it failed to give them.
    """

    batch: Batch
    targets: tuple[str, ...]
    status: str
    reason: str | None
    maps: list[Maps]
    outputs: np.ndarray | None


@dataclass(frozen=True)
class Method:
    """A method's module by its name, with its options."""

    kind: str
    options: Mapping[str, object] = field(default_factory=dict)

    @property
    def module(self) -> ModuleType:
        """The module `sightline.attribution.methods.<kind>`. Raises `ConfigError` where there is none."""
        path = f"sightline.attribution.methods.{self.kind}"
        if not self.kind.isidentifier() or importlib.util.find_spec(path) is None:
            raise ConfigError(f"method {self.kind!r}: there is no file attribution/methods/{self.kind}.py")
        return importlib.import_module(path)


def run(
    method: Method,
    model: Explained,
    batches: Iterable[Batch],
    load: Callable[[Batch], Tensor],
    targets: Targets | None = None,
) -> Iterator[Explanation]:
    """Explain batch by batch, in order; `load` gives a batch's pixels (B, C, [D,] H, W), normalised.

    `targets` None stands for all classes. A method that cannot be right gives not_applicable for every
    batch, an error in one batch `failed` for that batch alone. Raises what `load` raises, and errors of the
    machine (out of memory).
    """
    module = method.module
    targets = (targets or classes(model.labels)) if module.PER_TARGET else no_class()
    reason = module.check(model, targets, **method.options)
    for batch in batches:
        images = load(batch).to(model.device)
        status, why, maps = (
            ("not_applicable", reason, []) if reason else _explain(method, model, images, targets)
        )
        if status == "failed":
            log.warning(
                "%s: failed on %d image(s) from %s: %s", method.kind, len(batch.images), batch.images[0], why
            )
        outputs = maps[0].outputs if maps and maps[0].outputs is not None else _outputs(model, images)
        yield Explanation(batch, targets.names, status, why, maps, outputs)


def _explain(
    method: Method, model: Explained, images: Tensor, targets: Targets
) -> tuple[str, str | None, list[Maps]]:
    try:
        return "ok", None, method.module.explain(model, images, targets, **method.options)
    except NotApplicable as reason:
        return "not_applicable", str(reason), []
    except MACHINE:
        raise
    except FAILURES as error:
        return "failed", f"{type(error).__name__}: {error}", []


def _outputs(model: Explained, images: Tensor) -> np.ndarray | None:
    try:
        with torch.no_grad():
            return model.network(images).cpu().numpy()
    except MACHINE:
        raise
    except FAILURES as error:
        log.warning("the network gives no outputs for a batch of shape %s: %s", tuple(images.shape), error)
        return None
