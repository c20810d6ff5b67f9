"""The device that computes: chosen by name or found, never part of what a number is made from."""

import torch

from sightline.errors import ConfigError


def named(name: str) -> torch.device:
    """The device called `name`; `auto` is the first CUDA device where there is one, else the CPU.

    Raises `ConfigError` for a name that is none, and for a CUDA device that this machine lacks.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device '{name}': unknown; use 'auto', 'cpu', 'cuda' or 'cuda:1'") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device '{name}': this machine has {torch.cuda.device_count()} CUDA device(s); "
            "use 'auto' or 'cpu'"
        )
    return device
