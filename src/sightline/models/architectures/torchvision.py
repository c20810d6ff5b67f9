"""Any image classifier of torchvision by its name, with random weights."""

from __future__ import annotations

from torch import nn

from sightline.errors import ConfigError
from sightline.models import libraries

OPTIONS = {
    "model": {"type": "string", "description": "A builder of `torchvision.models`: `densenet121`."},
    "arguments": {
        "type": "object",
        "default": {},
        "description": "The builder's arguments, e.g. `aux_logits: false` for googlenet and inception_v3.",
    },
}


def build(outputs: int, model: str, arguments: dict[str, object]) -> nn.Module:
    """torchvision's `model` with `outputs` logits of three channels; nothing is downloaded.

    Raises `ConfigError` for an unknown model, with the nearest names, and for arguments that it refuses.
    """
    from torchvision import models

    known = models.list_models(module=models)  # its classifiers alone
    if model not in known:
        raise libraries.unknown("torchvision", model, known)
    given = {"weights": None, "num_classes": outputs}
    network = libraries.construct("torchvision", model, models.get_model_builder(model), given, arguments)
    if getattr(network, "aux_logits", False):
        raise ConfigError(
            f"architecture torchvision, model {model}: gives two kinds of logits in training; set its "
            "argument aux_logits: false"
        )
    return network
