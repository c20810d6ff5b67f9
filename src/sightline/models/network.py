"""An architecture by its name, with weights drawn for a seed."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from sightline import modules
from sightline.errors import ConfigError
from sightline.models.inputs import MEAN
from sightline.randomness import derived_seed

PACKAGE = "sightline.models.architectures"
# what a network raises on input that it was not made for
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError)


def architecture(name: str) -> ModuleType:
    """The module `sightline.models.architectures.<name>`, or a user's file where `name` is its path.

    A module that states no LAYERS or ATTENTION names none. Raises `ConfigError` where there is no module, or
    none with a function `build`.
    """
    module = modules.load(PACKAGE, name)
    if not callable(getattr(module, "build", None)):
        raise ConfigError(f"architecture {name}: the file has no function build(outputs, **options)")
    for constant in ("LAYERS", "ATTENTION"):
        if not hasattr(module, constant):
            setattr(module, constant, {})
    return module


def build(name: str, outputs: int, seed: int, **options: object) -> nn.Module:
    """The architecture `name` with `outputs` logits and weights drawn for `seed`, in training mode.

    Torch's own generator is left as it was.
    """
    module = architecture(name)
    purpose = "file" if modules.is_file(name) else name  # a file that moves keeps its weights
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derived_seed(seed, "initialise", purpose))
        network = module.build(outputs, **options)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"architecture {name}: build gives a {type(network).__name__}, not an nn.Module")
    return network.train()


def start(name: str, network: nn.Module, say: Callable[[str], object], **options: object) -> str:
    """Give `network`, as `build` made it, the first weights that its options name; returns whose they are.

    "random" where the architecture has no function `start`: those that `build` drew. `say` is told warnings.
    """
    begin = getattr(architecture(name), "start", None)
    with torch.random.fork_rng(devices=[]):
        return "random" if begin is None else begin(network, say, **options)


def check(network: nn.Module, outputs: int, side: int) -> None:
    """Raise `ConfigError` where `network` does not make `outputs` logits of a square image of `side` pixels.

    One forward pass of one blank image (1, 3, side, side), in evaluation mode; the mode is put back.
    """
    mode = network.training
    place = next(network.parameters(), torch.empty(0)).device
    image = torch.zeros(1, len(MEAN), side, side, device=place)
    try:
        with torch.inference_mode():
            found = network.eval()(image)
    except torch.OutOfMemoryError:
        raise
    except REFUSALS as error:
        raise ConfigError(
            f"{type(network).__name__}: refuses images (B, {len(MEAN)}, {side}, {side}), which is what it is "
            f"given: {error}"
        ) from error
    finally:
        network.train(mode)
    shape = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    if shape != (1, outputs):
        raise ConfigError(
            f"{type(network).__name__}: gives {shape} for one image of {side} x {side} pixels; expected a "
            f"tensor (1, {outputs}), a logit for each label"
        )
