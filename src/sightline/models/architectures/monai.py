"""Any classifier of MONAI's `networks.nets`, in two dimensions, with random weights."""

from __future__ import annotations

import inspect
import typing

from torch import nn

from sightline.models import libraries

OPTIONS = {
    "model": {"type": "string", "description": "A class or function of `monai.networks.nets`: `resnet18`."},
    "arguments": {
        "type": "object",
        "default": {},
        "description": "The constructor's arguments, e.g. `init_features: 8` for `DenseNet`.",
    },
}


def build(outputs: int, model: str, arguments: dict[str, object]) -> nn.Module:
    """MONAI's `model` with `outputs` logits of two-dimensional images of three channels.

    The constructor's own names for these (`num_classes` or `out_channels`, `in_channels` or
    `n_input_channels`, `spatial_dims`) are found in its signature. Raises `ConfigError` for an unknown model,
    with the nearest names, for one that has no such parameter, and for arguments that it refuses.
    """
    from monai.networks import nets

    known = {name: value for name, value in vars(nets).items() if _constructs(value)}
    if model not in known:
        raise libraries.unknown("monai", model, known)
    constructor = known[model]
    taken = libraries.parameters(constructor)
    labels = libraries.named("monai", model, constructor, ("num_classes", "out_channels"), "the outputs")
    channels = libraries.named(
        "monai", model, constructor, ("in_channels", "n_input_channels"), "the input's channels"
    )
    given = {labels: outputs, channels: libraries.CHANNELS}
    fixed = {"spatial_dims": 2, "pretrained": False}  # some are pretrained unless told otherwise
    given |= {name: value for name, value in fixed.items() if name in taken}
    return libraries.construct("monai", model, constructor, given, arguments)


def _constructs(value: object) -> bool:
    made = typing.get_type_hints(value).get("return") if inspect.isfunction(value) else value
    return inspect.isclass(made) and issubclass(made, nn.Module)
