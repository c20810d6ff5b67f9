"""Any image classifier of timm by its name, with random weights (`timm.list_models()` lists them)."""

from __future__ import annotations

from torch import nn

from sightline.errors import ConfigError
from sightline.models import libraries

OPTIONS = {
    "model": {"type": "string", "description": "A name of timm's, without a tag of weights: `resnet18`."},
    "arguments": {
        "type": "object",
        "default": {},
        "description": "Arguments of `timm.create_model`, e.g. `img_size`, `drop_rate`, `output_stride`.",
    },
}


def build(outputs: int, model: str, arguments: dict[str, object]) -> nn.Module:
    """timm's `model` with `outputs` logits of three channels; nothing is downloaded.

    Raises `ConfigError` for an unknown model, with the nearest names, and for arguments that it refuses.
    """
    import timm

    known = timm.list_models()
    name, dot, tag = model.partition(".")
    if dot and name in known:
        raise ConfigError(
            f"architecture timm, model {model}: weights are drawn for the seed; leave out the tag '.{tag}'"
        )
    if model not in known:  # also refuses "hf-hub:...", which would be looked up in the network
        raise libraries.unknown("timm", model, known)
    given = {"pretrained": False, "num_classes": outputs, "in_chans": libraries.CHANNELS}
    return libraries.construct(
        "timm", model, lambda **chosen: timm.create_model(model, **chosen), given, arguments
    )
