"""Work within limits: in a child process that is ended where it takes too long or too much memory.

A process, because nothing else ends a pass through a network: signals wait until it returns. It is forked, so
start it before threads are and before a GPU is touched. Linux alone says what a process holds and lets a
child die with its parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

from sightline.errors import ConfigError, SightlineError

Result = TypeVar("Result")
WATCH_SECONDS = 0.05  # between two looks at a child
GB = 1e9
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)


class Ended(SightlineError):
    """Work that was ended at a limit, or whose process died: why."""


@dataclass(frozen=True)
class Limits:
    """Wall-clock seconds and gigabytes (1e9 bytes) of some work; None: no limit.

    Of memory, what is resident (its children's too) and what it holds of a device are held against the limit
    each on its own.
    """

    seconds: float | None = None
    memory_gb: float | None = None

    def __bool__(self) -> bool:
        return self.seconds is not None or self.memory_gb is not None


def run(work: Callable[[], Result], limits: Limits, device_bytes: Callable[[], int] = int) -> Result:
    """What `work()` returns, done here where there is no limit, else in a child that inherits what is open.

    `device_bytes`, asked in the child, says how much it held of a device's memory at most so far.

    Raises `Ended` where the child passed a limit or died, and what `work` raises. No process is left behind,
    not even where this one is killed.
    """
    if not limits:
        return work()
    if limits.memory_gb is not None and not Path("/proc/self/status").exists():
        raise ConfigError("limits of memory need Linux: this system does not say what a process holds")
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    on_device = context.RawValue(ctypes.c_int64, 0)
    given = (work, device_bytes, on_device, receiver, sender, os.getpid())
    child = context.Process(target=_in_child, args=given)
    child.start()
    sender.close()
    try:
        return _watched(child, receiver, limits, on_device)
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)  # what it started, too
        child.kill()
        child.join()
        receiver.close()


def resident_bytes(process: int) -> int:
    """What a process and its descendants hold in memory, bytes; 0 where it is no more."""
    total, found = 0, [process]
    while found:
        folder = Path(f"/proc/{found.pop()}")
        with contextlib.suppress(OSError):  # it may end while it is looked at
            for line in (folder / "status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
            for thread in (folder / "task").iterdir():
                found += map(int, (thread / "children").read_text().split())
    return total


def _watched(
    child: multiprocessing.Process, receiver: Connection, limits: Limits, on_device: ctypes.c_int64
) -> object:
    start = time.monotonic()
    while not receiver.poll(WATCH_SECONDS):
        if not child.is_alive() and not receiver.poll():
            raise Ended(_death(child))
        seconds = time.monotonic() - start
        if limits.seconds is not None and seconds > limits.seconds:
            raise Ended(f"took longer than {limits.seconds:g} s")
        if limits.memory_gb is not None:
            _check_memory(resident_bytes(child.pid), "memory", limits)
            _check_memory(on_device.value, "a GPU's memory", limits)
    try:
        result, error = receiver.recv()
    except EOFError:
        child.join()
        raise Ended(_death(child)) from None
    if error is not None:
        raise error
    if limits.memory_gb is not None:  # a peak between two looks
        _check_memory(on_device.value, "a GPU's memory", limits)
    return result


def _check_memory(held: int, of_what: str, limits: Limits) -> None:
    if held / GB > limits.memory_gb:
        raise Ended(f"held {held / GB:.3g} GB of {of_what}, more than {limits.memory_gb:g} GB")


def _death(child: multiprocessing.Process) -> str:
    code = child.exitcode
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        hint = " (the system, out of memory?)" if name == "SIGKILL" else ""
        return f"its process was ended by {name}{hint}"
    return f"its process left with exit code {code}"


def _in_child(
    work: Callable[[], object],
    device_bytes: Callable[[], int],
    on_device: ctypes.c_int64,
    receiver: Connection,
    sender: Connection,
    parent: int,
) -> None:
    receiver.close()
    os.setpgid(0, 0)
    _die_with(parent)
    threading.Thread(target=_tell, args=(device_bytes, on_device), daemon=True).start()
    result, error = None, None
    try:
        result = work()
    except BaseException as raised:  # the parent raises it again
        traceback.print_exc()
        error = _portable(raised)
    sys.stdout.flush()
    sys.stderr.flush()
    on_device.value = device_bytes()
    sender.send((result, error))


def _tell(device_bytes: Callable[[], int], on_device: ctypes.c_int64) -> None:
    """Let the parent know how much the work holds of a device."""
    while True:
        on_device.value = device_bytes()
        time.sleep(WATCH_SECONDS)


def _die_with(parent: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:  # it died before
            os._exit(1)


def _portable(error: BaseException) -> BaseException:
    """`error`, or one of its text where it does not come through a pipe."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 (made here)
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
