"""The state of an unfinished training: written whole or not at all, for the job that wrote it alone."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from sightline import publishing
from sightline.models.weights import DAMAGED


@dataclass
class State:
    """All that the next epoch depends on, but for the data."""

    network: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LRScheduler | None
    scaler: torch.amp.GradScaler
    epoch: int = 0  # epochs done
    curves: list = field(default_factory=list)  # [epoch, quantity, value]
    best_state: dict[str, Tensor] | None = None
    best_value: float | None = None
    best_epoch: int = 0

    def content(self) -> dict:
        """What a checkpoint holds."""
        return {name: self._part(name) for name in vars(self)}

    def _part(self, name: str) -> object:
        part = getattr(self, name)
        return part.state_dict() if hasattr(part, "state_dict") else part

    def restore(self, content: dict) -> None:
        """Become the state that `content` was taken from."""
        for name, value in content.items():
            part = getattr(self, name)
            if hasattr(part, "load_state_dict"):
                part.load_state_dict(value)
            else:
                setattr(self, name, value)


def write_checkpoint(path: str | Path, identity: str, content: dict) -> None:
    """Write `content` (tensors, numbers, text, containers) of job `identity`; a kill leaves the former."""
    with publishing.whole(path) as part, open(part, "wb") as file:
        torch.save({"identity": identity, "content": content, "digest": _digest(content)}, file)


def read_checkpoint(path: str | Path, identity: str, say: Callable[[str], object]) -> dict | None:
    """What the job `identity` wrote to `path`; None where nothing is, or another's, or a broken file.

    `say` is told why a file that is there is not used. Only tensors and plain containers are unpickled.
    """
    path = Path(path)
    if not path.exists():
        return None
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        whose, content = found["identity"], found["content"]
        if found["digest"] != _digest(content):
            raise ValueError("its content is not what was written")
    except (pickle.UnpicklingError, *DAMAGED) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        say(f"{path}: not a checkpoint of ours ({reason}); training starts anew")
        return None
    if whose != identity:
        say(
            f"{path}: checkpoint of another job (identity {whose}, this job is {identity}: "
            "other params, data or code); not used, training starts anew"
        )
        return None
    return content


def _digest(content: object) -> str:
    """SHA-256 of what a checkpoint holds; torch reads a flipped bit without a word."""
    digest = hashlib.sha256()
    _enter(content, digest)
    return digest.hexdigest()


def _enter(value: object, digest: hashlib._Hash) -> None:
    if isinstance(value, Tensor):
        digest.update(f"tensor {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    elif isinstance(value, dict):
        digest.update(f"dict {len(value)}".encode())
        for key, item in value.items():
            digest.update(f"key {key!r}".encode())
            _enter(item, digest)
    elif isinstance(value, (list, tuple)):
        digest.update(f"list {len(value)}".encode())
        for item in value:
            _enter(item, digest)
    else:
        digest.update(f"{type(value).__name__} {value!r}".encode())
