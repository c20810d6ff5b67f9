"""A network's weights: our files (safetensors), and PyTorch checkpoints of others by their key names."""

from __future__ import annotations

import pickle
import struct
from collections.abc import Collection
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor, nn

from sightline import publishing
from sightline.errors import DatasetError, IntegrityError

# what reading a damaged checkpoint raises, beside the unpickler's own refusal
DAMAGED = (OSError, EOFError, RuntimeError, AssertionError, LookupError)
DAMAGED += (TypeError, ValueError, AttributeError, struct.error)
# under which a checkpoint keeps the weights when it keeps more than them
WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net", "weights")


def save(state: dict[str, Tensor], path: str | Path) -> None:
    """Write a state dict as safetensors, to a temporary name first; equal states are equal bytes."""
    with publishing.whole(path) as part:
        safetensors.save_file({name: state[name].detach().cpu().contiguous() for name in sorted(state)}, part)


def load(network: nn.Module, path: str | Path, apart: Collection[str] = ()) -> nn.Module:
    """`network` with the weights at `path`: safetensors by that suffix, else a PyTorch checkpoint (`read`).

    Modules named in `apart` keep theirs, whatever the file has for them. Raises `DatasetError` where names or
    shapes differ from the network's, or a weight is not finite.
    """
    return fit(network, read(path), path, apart)


def fit(
    network: nn.Module, state: dict[str, Tensor], source: str | Path, apart: Collection[str] = ()
) -> nn.Module:
    """`network` with the weights `state`, which came from `source`, in all modules but those named `apart`.

    Raises `DatasetError` as `load`.
    """
    state = without(state, apart)
    check(network, state, source, apart)
    network.load_state_dict(state, strict=False)  # strictly checked above, but for batch counters
    return network


def inside(name: str, modules: Collection[str]) -> bool:
    """Whether the module or tensor called `name` is one of `modules` or belongs to one."""
    return any(name == one or name.startswith(f"{one}.") for one in modules)


def without(state: dict[str, Tensor], apart: Collection[str]) -> dict[str, Tensor]:
    """`state` less the tensors of the modules named `apart`."""
    return {name: tensor for name, tensor in state.items() if not inside(name, apart)}


def read(path: str | Path) -> dict[str, Tensor]:
    """The tensors at `path` by name; nothing but tensors and plain containers is ever unpickled.

    A checkpoint may be the state dict or hold it under one of `WRAPPERS`; `module.` before every name
    (data-parallel training) is taken off. Raises `DatasetError` for a file that would run code or that
    holds no state dict, `IntegrityError` for a broken one.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(
            f"{path}: no such file; give the path of a .safetensors file or a PyTorch checkpoint"
        )
    if path.suffix == ".safetensors":
        try:
            return safetensors.load_file(path)
        except SafetensorError as error:
            raise IntegrityError(f"{path}: not a whole safetensors file ({error}); make it again") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        reason = str(error).splitlines()[0]
        raise DatasetError(
            f"{path}: refused, because it is no checkpoint or holds more than tensors, and could run code "
            f"when opened ({reason}). Ask its owner for a state dict: torch.save(model.state_dict(), path)"
        ) from error
    except DAMAGED as error:
        raise IntegrityError(f"{path}: not a whole PyTorch checkpoint ({error}); copy it again") from error
    return _state_dict(content, path)


def check(
    network: nn.Module, state: dict[str, Tensor], path: str | Path, apart: Collection[str] = ()
) -> None:
    """Raise `DatasetError`, naming `path`, where names or shapes in `state` are not `network`'s.

    Modules of the network named in `apart` are not expected.
    """
    expected = without(network.state_dict(), apart)
    # counters of batches came with torch 0.4.1; older checkpoints lack them, and inference reads none
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    shapes = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(expected[name].shape)}"
        for name in expected
        if name in state and state[name].shape != expected[name].shape
    ]
    problems = {"lacks": missing, "has unknown": unexpected, "has other shapes for": shapes}
    said = [f"{verb} {len(names)} ({_few(names)})" for verb, names in problems.items() if names]
    if said:
        raise DatasetError(
            f"{path}: these weights do not fit {type(network).__name__}: the file {'; '.join(said)}. "
            "Check the architecture, its arguments and the number of labels"
        )
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise DatasetError(
            f"{path}: values that are not finite in {_few(broken)}; take an earlier checkpoint"
        )


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _is_state(content: object) -> bool:
    return (
        isinstance(content, dict) and bool(content) and all(isinstance(v, Tensor) for v in content.values())
    )


def _state_dict(content: object, path: Path) -> dict[str, Tensor]:
    """The state dict in a checkpoint's content, its names without `module.`."""
    if not _is_state(content):
        held = content if isinstance(content, dict) else {}
        inside = [held[name] for name in WRAPPERS if _is_state(held.get(name))]
        if not inside:
            raise DatasetError(
                f"{path}: holds no state dict, neither itself nor under {', '.join(WRAPPERS)}; "
                f"it has {_few([str(name) for name in held]) or type(content).__name__}"
            )
        content = inside[0]
    prefixed = all(name.startswith("module.") for name in content)
    return {name.removeprefix("module.") if prefixed else name: tensor for name, tensor in content.items()}
