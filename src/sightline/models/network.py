"""An architecture by its name, with weights drawn for a seed."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

import torch
from torch import nn

from sightline.errors import ConfigError
from sightline.randomness import derived_seed


def architecture(name: str) -> ModuleType:
    """The module `sightline.models.architectures.<name>`. Raises `ConfigError` where there is none."""
    path = f"sightline.models.architectures.{name}"
    if not name.isidentifier() or importlib.util.find_spec(path) is None:
        raise ConfigError(f"architecture {name!r}: there is no file models/architectures/{name}.py")
    return importlib.import_module(path)


def build(name: str, outputs: int, seed: int, **options: object) -> nn.Module:
    """The architecture `name` with `outputs` logits and weights drawn for `seed`, in training mode.

    Torch's own generator is left as it was.
    """
    module = architecture(name)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derived_seed(seed, "initialise", name))
        return module.build(outputs, **options)
