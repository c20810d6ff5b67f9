"""The device that computes: chosen by name or found, never part of what a number is made from.

On a GPU this process holds a lease (`sightline.running.leases`) and sees no other one; what is computed there
is float32 throughout (no TF32), by algorithms that no timing chooses and that sum in a fixed order.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

import torch

from sightline.errors import ConfigError
from sightline.running import leases

VARIABLE = "SIGHTLINE_DEVICE"  # what `auto` stands for
KNOWN = "use 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps'"


def named(name: str, say: Callable[[str], object] = print) -> torch.device:
    """The device called `name`, ready: `cpu`, `cuda` (a free GPU), `cuda:1` (that one), `mps` or `auto`.

    `auto` is what SIGHTLINE_DEVICE names, else a GPU where this process may use one, else the CPU. For a GPU
    it waits until one is free, and tells `say`; this process and its children then have that one alone. CUDA
    itself is not touched, so that the process may still fork. Raises `ConfigError` for a name that is none,
    and for a device that is not there, saying what is.
    """
    chosen = os.environ.get(VARIABLE, "auto") if name == "auto" else str(name)
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", chosen):
        source = f" ({VARIABLE})" if chosen != str(name) else ""
        raise ConfigError(f"device '{chosen}'{source}: unknown; {KNOWN}")
    if chosen == "cpu":
        return torch.device("cpu")
    if chosen == "mps":
        return _metal(say)
    there, number = gpus(), chosen.partition(":")[2]
    if chosen == "auto" and not there.gpus:
        print(f"device: cpu; {there}")
        return torch.device("cpu")
    wanted = there.gpus[int(number) : int(number) + 1] if number else there.gpus
    if not wanted:
        raise ConfigError(f"device '{chosen}': this process may use {there}; {KNOWN}")
    return _leased(wanted, say)


def gpus() -> leases.Found:
    """The GPUs that this process may use and that this torch can compute on."""
    if torch.version.cuda is None and torch.version.hip is None:
        return leases.Found((), f"torch {torch.__version__} is built for the CPU alone")
    found = leases.found()
    return found if found.listed else leases.numbered(torch.cuda.device_count())


def _leased(wanted: tuple[leases.Gpu, ...], say: Callable[[str], object]) -> torch.device:
    """The device of the first of `wanted` that is free, which alone this process sees from now on."""
    if torch.cuda.is_initialized() and leases.held() is None:
        raise RuntimeError("a GPU was computed on before one was leased: call device.named first")
    gpu = leases.take(wanted, say)
    _compute_exactly()
    print(f"device: {gpu}")
    if gpu.index is not None:
        return torch.device("cuda", gpu.index)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"
    os.environ[leases.VISIBLE] = gpu.identity  # by its UUID, whatever way CUDA counts
    return torch.device("cuda", 0)


def _compute_exactly() -> None:
    """No TF32, whose 10 bits of fraction would show in maps; nothing that differs from run to run.

    An operation that has no algorithm of a fixed order warns, and runs.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA starts
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # costs time, and nothing reads such memory


def _metal(say: Callable[[str], object]) -> torch.device:
    if not torch.backends.mps.is_available():
        raise ConfigError(f"device 'mps': this torch finds no GPU of Apple's; {KNOWN}")
    leases.take([leases.Gpu("mps", "Apple's GPU")], say)
    return torch.device("mps")
