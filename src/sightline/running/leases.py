"""Which GPUs this process may use, and which one it holds: one GPU a process, one process of a user a GPU.

Snakemake counts GPUs and tells no job which one is its own. So a job takes a lease: an advisory lock
(flock(2)) on a file named after the GPU, freed by the kernel when the process dies, however it dies. What a
process forks holds the lease with it; what it starts otherwise finds it named in `VARIABLE`. The locks of
all studies of a user lie in one folder of the machine.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
# what SLURM sets in a job that it granted GPUs: which they are, counted within the job and within the node
GRANTED = (VISIBLE, "GPU_DEVICE_ORDINAL", "ROCR_VISIBLE_DEVICES")
GRANTED_OF_NODE = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
NOT_GRANTED = (
    "SLURM granted this job no GPU: ask for one, of Snakemake by --set-resources <rule>:device=cuda, of "
    "salloc, srun or sbatch by --gpus=1"
)
VARIABLE = "SIGHTLINE_LEASE"  # the GPU that this process, or the one that started it, holds
FOLDER_VARIABLE = "SIGHTLINE_LEASES"  # another folder for the locks: one that containers share, for example
WAIT_SECONDS = 0.5  # between two tries
ANSWER_SECONDS = 60  # that nvidia-smi has
LISTED = re.compile(r"GPU \d+: (?P<name>.+) \(UUID: (?P<identity>GPU-[^)]+)\)")
INSTANCE = re.compile(r"\s+MIG (?P<name>\S+)\s+Device\s+\d+: \(UUID: (?P<identity>MIG-[^)]+)\)")
_held: list[tuple[Gpu, int]] = []  # the GPU, and the descriptor of its locked file


@dataclass(frozen=True)
class Gpu:
    """A GPU, or an instance of one that is partitioned (MIG).

    `identity` is its UUID; where nothing tells that, its number: then `index` is the one by which CUDA knows
    it, and None otherwise.
    """

    identity: str
    name: str
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.identity})"


@dataclass(frozen=True)
class Found:
    """The GPUs that this process may use, in order; `remark` says where from, or why there are none."""

    gpus: tuple[Gpu, ...]
    remark: str
    listed: bool = True  # whether nvidia-smi was there to be asked

    def __str__(self) -> str:
        return f"{', '.join(map(str, self.gpus)) or 'no GPU'} ({self.remark})"


# ---- which there are


def found() -> Found:
    """What nvidia-smi lists, as far as CUDA_VISIBLE_DEVICES lets this process see it.

    Asked instead of CUDA, which a process must not touch before it forks. Numbers count as nvidia-smi counts.
    A job of SLURM that was granted no GPU sees none, though the machine may show them.
    """
    command = shutil.which("nvidia-smi")
    if command is None:
        return Found((), "nvidia-smi is not there", listed=False)
    try:
        done = subprocess.run([command, "-L"], capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except subprocess.TimeoutExpired:
        return Found((), f"nvidia-smi -L gave no answer in {ANSWER_SECONDS} s")
    cards = _cards(done.stdout) if done.returncode == 0 else []
    if not cards:
        said = (done.stdout + done.stderr).strip().splitlines()
        return Found((), f"nvidia-smi -L: {said[0] if said else f'exit code {done.returncode}'}")
    if not _granted():
        return Found((), NOT_GRANTED)
    every = tuple(gpu for card in cards for gpu in card[1])
    name, asked = _asked(len(cards))
    if asked is None:
        return Found(every, "all that nvidia-smi lists")
    return Found(_visible(cards, asked), f"{name}={asked} of {len(every)} that nvidia-smi lists")


def _in_slurm() -> bool:
    return "SLURM_JOB_ID" in os.environ


def _granted() -> bool:
    """Whether GPUs of this machine are this process's to take: outside of SLURM, or where it granted some."""
    return not _in_slurm() or any(os.environ.get(name) for name in (*GRANTED, *GRANTED_OF_NODE))


def _asked(listed: int) -> tuple[str, str | None]:
    """The variable that says which of the `listed` cards this process may see, and what it says.

    A site may have SLURM tell the node's numbers alone. They count where more cards are listed than were
    granted; else those that are listed are the job's.
    """
    for name in (VISIBLE, "GPU_DEVICE_ORDINAL") if _in_slurm() else ():
        if name in os.environ:
            return name, os.environ[name]
    for name in GRANTED_OF_NODE if _in_slurm() else ():
        if (asked := os.environ.get(name)) and len(asked.split(",")) < listed:
            return name, asked
    return VISIBLE, os.environ.get(VISIBLE)


def numbered(count: int) -> Found:
    """`count` GPUs known by number alone, for where there is no nvidia-smi."""
    if not _granted():
        return Found((), NOT_GRANTED, listed=False)
    shown = os.environ.get(VISIBLE, os.environ.get("HIP_VISIBLE_DEVICES"))
    tokens = [str(index) for index in range(count)] if shown is None else shown.split(",")[:count]
    # SLURM numbers each job's GPUs from 0, and gives no two jobs the same
    job = f"slurm{os.environ['SLURM_JOB_ID']}-" if _in_slurm() else ""
    gpus = [Gpu(f"{job}{token.strip()}", f"GPU {index}", index) for index, token in enumerate(tokens)]
    return Found(tuple(gpus), "nvidia-smi is not there; as many as torch sees", listed=False)


def _cards(text: str) -> list[tuple[str, list[Gpu]]]:
    """UUID and GPUs of each card that `nvidia-smi -L` tells of: itself, or its instances."""
    cards: list[tuple[str, str, list[Gpu]]] = []
    for line in text.splitlines():
        if card := LISTED.match(line):
            cards.append((card["identity"], card["name"], []))
        elif (instance := INSTANCE.match(line)) and cards:
            cards[-1][2].append(Gpu(instance["identity"], f"{cards[-1][1]}, MIG {instance['name']}"))
    return [(identity, parts or [Gpu(identity, name)]) for identity, name, parts in cards]


def _visible(cards: list[tuple[str, list[Gpu]]], asked: str) -> tuple[Gpu, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES=`asked` shows: as CUDA, none from the first that is not there on."""
    shown: list[Gpu] = []
    for token in map(str.strip, asked.split(",")):
        if token.isdecimal():
            chosen = cards[int(token)][1] if int(token) < len(cards) else []
        else:
            of_card = [
                gpu for identity, gpus in cards if token and identity.startswith(token) for gpu in gpus
            ]
            chosen = of_card or [gpu for _, gpus in cards for gpu in gpus if gpu.identity == token]
        if not chosen:
            break
        shown += [gpu for gpu in chosen if gpu not in shown]
    return tuple(shown)


# ---- which is held


def held() -> Gpu | None:
    """The GPU that this process holds, or None."""
    return _held[0][0] if _held else None


def take(wanted: Sequence[Gpu], say: Callable[[str], object] = print) -> Gpu:
    """Hold the first of `wanted` that is free until this process ends; wait where none is, and tell `say`.

    A process that holds one, or was started by the one that does, keeps that. Raises `ConfigError` where it
    is none of `wanted`: no process takes two.
    """
    if _held:
        if held().identity not in {gpu.identity for gpu in wanted}:
            raise ConfigError(f"this process holds {held()} and cannot take another GPU: run another process")
        return held()
    start, told = time.monotonic(), False
    while True:
        for gpu in wanted:
            if (lock := _locked(gpu)) is not None:
                _held.append((gpu, lock))
                os.environ[VARIABLE] = gpu.identity
                if told:
                    say(f"{gpu} is free after {time.monotonic() - start:.0f} s of waiting")
                return gpu
            if os.environ.get(VARIABLE) == gpu.identity:  # the process that started this one holds it
                return gpu
        if not told:
            told = True
            say("waiting for a GPU: " + "; ".join(f"{gpu} is held by {_holder(gpu)}" for gpu in wanted))
        time.sleep(WAIT_SECONDS)


def release() -> None:
    """Give back what this process holds; where it ends, nobody needs to."""
    while _held:
        os.close(_held.pop()[1])
        os.environ.pop(VARIABLE, None)


def folder() -> Path:
    """Where the locks lie: one place for all of a user's processes on this machine, whatever TMPDIR says.

    Raises `ConfigError` where it is not the user's own.
    """
    given = os.environ.get(FOLDER_VARIABLE)
    if given:
        Path(given).mkdir(parents=True, exist_ok=True)
        return Path(given)
    # not the runtime folder of a login, which goes with its last session while jobs go on
    local = Path("/var/tmp")  # noqa: S108 (the folder is held against its owner and mode below)
    place = (local if os.access(local, os.W_OK) else Path(tempfile.gettempdir())) / f"sightline-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        place.mkdir(mode=0o700)
    about = place.lstat()
    if not stat.S_ISDIR(about.st_mode) or about.st_uid != os.getuid() or about.st_mode & 0o022:
        raise ConfigError(
            f"{place}: not a folder of this user alone, so the leases of GPUs cannot lie there; remove it, "
            f"or let {FOLDER_VARIABLE} name another folder on this machine"
        )
    return place


def _path(gpu: Gpu) -> Path:
    return folder() / f"{re.sub(r'[^A-Za-z0-9.-]', '_', gpu.identity)}.lock"


def _locked(gpu: Gpu) -> int | None:
    """The descriptor of the GPU's file, locked; None where another process holds it."""
    path = _path(gpu)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        current = path.exists() and os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return None
        raise ConfigError(
            f"{path}: cannot be locked ({error.strerror}); let {FOLDER_VARIABLE} name a folder on a local "
            "disk"
        ) from error
    if not current:  # removed meanwhile: another process would lock another file
        os.close(descriptor)
        return _locked(gpu)
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"process {os.getpid()} in {Path.cwd()}".encode(), 0)
    return descriptor


def _holder(gpu: Gpu) -> str:
    """Who holds the GPU, in words."""
    with contextlib.suppress(OSError):
        return _path(gpu).read_text(encoding="utf-8") or "a process"
    return "a process"
