"""Weights drawn anew, in all of the network or stage by stage: the model parameter randomisation test.

Source: Adebayo et al. 2018, "Sanity checks for saliency maps", arXiv:1810.03292: cascading from the output
down, or one layer alone. A map that explains the model must change. Weights are drawn as the architecture
initialises them; all counts and orders of stages share one draw, so that a cascade changes stage after stage.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import torch
from torch import nn, random

from sightline.errors import ConfigError
from sightline.randomness import derived_seed

OPTIONS = {
    "layers": {
        "type": ["integer", "string"],
        "minimum": 1,
        "pattern": "^all$",
        "default": "all",
        "description": "How many stages are drawn anew (or, with `independent`, which one, from 1); "
        "`all` is an untrained network.",
    },
    "order": {
        "enum": ["top_down", "bottom_up"],
        "default": "top_down",
        "description": "Stages counted from the output, as the source, or from the input.",
    },
    "mode": {
        "enum": ["cascading", "independent"],
        "default": "cascading",
        "description": "All stages up to that one, or that one alone.",
    },
    "stages": {
        "enum": ["layers", "blocks"],
        "default": "layers",
        "description": "A stage is a layer with weights and the normalisation after it, or a building block "
        "as the architecture names them.",
    },
}
CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def alter_network(
    trained: nn.Module,
    build: Callable[[], nn.Module],
    input_shape: tuple[int, ...],
    seed: int,
    layers: int | str = "all",
    order: str = "top_down",
    mode: str = "cascading",
    stages: str = "layers",
) -> nn.Module:
    """A network with the chosen stages (statistics too) as `build()` draws them, the rest bit-identical.

    `layers` "all" is `build()` itself, whatever the other options. Raises `ConfigError` where the network has
    fewer stages, naming them.
    """
    with random.fork_rng(devices=[]):
        random.default_generator.manual_seed(derived_seed(seed, "condition", "randomise", "all"))
        drawn = build().train(trained.training)
    if layers == "all":
        return drawn
    found = stages_of(trained, input_shape, stages)
    names = list(found) if order == "bottom_up" else list(reversed(found))
    if not isinstance(layers, int) or not 1 <= layers <= len(names):
        raise ConfigError(
            f"condition 'randomise': layers: {layers}, but this network has {len(names)} stages "
            f"('{stages}', {order}): {', '.join(names)}"
        )
    chosen = names[:layers] if mode == "cascading" else [names[layers - 1]]
    altered = copy.deepcopy(trained)
    target, source = altered.state_dict(), drawn.state_dict()
    with torch.no_grad():
        for key in (key for name in chosen for key in found[name]):
            target[key].copy_(source[key])
    return altered


def stages_of(
    network: nn.Module, input_shape: tuple[int, ...], stages: str = "layers"
) -> dict[str, list[str]]:
    """The stages from input to output by name, each with its parameters and statistics (state-dict names).

    In the order in which modules are first called on an input of `input_shape` (C, [D,] H, W). `layers`:
    every module that owns weights. `blocks`: the network's children; of plain containers and of a lone child
    the children in them. What holds vectors alone (normalisation, PReLU, a layer's scale) belongs to the
    stage before it; modules that are never called (weights used by their parents, auxiliary heads) go with
    the nearest module around them.
    """
    state = network.state_dict()
    owned = _owned(network)
    blocks = set(_blocks(network)) if stages == "blocks" else set()
    calls = [name for name in _called(network, input_shape) if name in owned]
    groups: dict[str, list[str]] = {}
    for name in [*calls, *(name for name in owned if name not in set(calls))]:
        at = name if name in calls else _nearest(name, calls)
        block = next((above for above in _above(at) if above in blocks), at)
        groups.setdefault(block, []).extend(owned[name])
    merged: dict[str, list[str]] = {}
    waiting: list[str] = []  # vectors before the first weights
    for name, keys in groups.items():
        if all(state[key].ndim < 2 for key in keys):
            (merged[next(reversed(merged))] if merged else waiting).extend(keys)
        else:
            merged[name or "+".join(keys)] = [*waiting, *keys]  # the network's own have no module's name
            waiting = []
    return merged | ({"+".join(waiting): waiting} if waiting else {})


def _owned(network: nn.Module) -> dict[str, list[str]]:
    """The names in the state dict of what each module owns itself; tied weights belong to the first name."""
    state = network.state_dict()
    found: dict[str, list[str]] = {}
    for key, _ in (*network.named_parameters(), *network.named_buffers()):
        if key in state:
            found.setdefault(key.rpartition(".")[0], []).append(key)
    return found


def _called(network: nn.Module, input_shape: tuple[int, ...]) -> list[str]:
    """The names of the modules in the order of their first call."""
    watched = copy.deepcopy(network).eval()
    reference = next(watched.parameters(), torch.zeros(()))
    found: dict[str, None] = {}
    for name, module in watched.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: found.setdefault(name))
    with torch.no_grad():
        watched(torch.zeros((1, *input_shape), device=reference.device, dtype=reference.dtype))
    return list(found)


def _above(name: str) -> Iterator[str]:
    """`name` and the modules around it, outwards; the network itself is ""."""
    while name:
        yield name
        name = name.rpartition(".")[0]
    yield ""


def _nearest(name: str, calls: list[str]) -> str:
    """The module of `calls` that stands for `name`: one around it, else the last in what is around it."""
    for above in _above(name):
        inside = [other for other in calls if not above or f"{other}.".startswith(f"{above}.")]
        if inside:
            return above if above in inside else inside[-1]
    return name


def _blocks(module: nn.Module, name: str = "") -> Iterator[str]:
    """The names of the building blocks in `module`."""
    children = [(key, child) for key, child in module.named_children() if child.state_dict()]
    opened = not name or type(module) in CONTAINERS or (len(children) == 1 and not module._parameters)
    if not children or not opened:
        yield name
        return
    for key, child in children:
        yield from _blocks(child, f"{name}.{key}" if name else key)
