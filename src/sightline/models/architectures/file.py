"""A network of a user's own: a Python file with the interface of the modules of this folder.

It has a function `build(outputs, **options)` and may state OPTIONS, LAYERS and ATTENTION. A study puts the
file itself in this module's place, so that its code, its layers and its options are those of the model.
"""

from __future__ import annotations

from torch import nn

from sightline.models import network

OPTIONS = {
    "path": {
        "type": "string",
        "pattern": r"\.py$",
        "description": "The file, from the folder where snakemake runs; outside of it by its absolute path.",
    },
    "arguments": {
        "type": "object",
        "default": {},
        "description": "What `build` takes beside the number of outputs: the file's own OPTIONS.",
    },
}


def build(outputs: int, path: str, arguments: dict[str, object]) -> nn.Module:
    """The network that the file builds; torch's generator draws its weights. Raises `ConfigError`."""
    return network.architecture(path).build(outputs, **arguments)
