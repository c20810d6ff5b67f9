"""Conditions: how the model (later also the input) is altered before it is explained."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn, random

from sightline.errors import ConfigError
from sightline.randomness import derived_seed

KINDS = ("clean", "randomise")
OPTIONS = {
    "layers": {
        "enum": ["all"],
        "default": "all",
        "description": "For `randomise`: the layers drawn anew; `all` is an untrained network.",
    },
}


def apply(
    kind: str, options: Mapping[str, object], network: nn.Module, build: Callable[[], nn.Module], seed: int
) -> nn.Module:
    """The network that is explained under condition `kind`; the given one is not changed.

    `build()` makes the same architecture with weights drawn from torch's generator; `seed` fixes them
    (derive it from the study's seed, the model and its seed). Raises `ConfigError` for an unknown choice.
    """
    if kind == "clean":
        return network
    if kind != "randomise":
        raise ConfigError(f"condition {kind!r}: expected one of {', '.join(KINDS)}")
    layers = options.get("layers", "all")
    if layers != "all":
        raise ConfigError(f"condition 'randomise': layers: {layers!r}; expected 'all'")
    with random.fork_rng(devices=[]):
        random.default_generator.manual_seed(derived_seed(seed, "condition", kind, layers))
        return build().train(network.training)
