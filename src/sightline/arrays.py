"""Arrays of many shapes in one flat, memory-mapped `.npy`; a table's rows hold their offsets and shapes."""

from __future__ import annotations

import mmap
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from sightline import publishing
from sightline.errors import IntegrityError

HEADER_BYTES = 128
MAPPED_BYTES = 16_000_000  # of a file that one process has read and still holds
COPIED_BYTES = 1 << 20  # at a time


class Writer:
    """Appends arrays to one flat `.npy` of `dtype`; the file takes its name when all is written.

    Use as a context manager; after an exception nothing is left behind.
    """

    def __init__(self, path: str | Path, dtype: np.typing.DTypeLike):
        self.path, self.dtype, self.length = Path(path), np.dtype(dtype), 0
        self._part = publishing.begin(self.path)
        self._file = open(self._part, "wb")  # noqa: SIM115 (__exit__ closes it)
        self._file.write(b"\0" * HEADER_BYTES)

    def append(self, values: np.ndarray) -> int:
        """Write `values` (any shape) and return their offset, in elements."""
        offset = self.length
        flat = np.ascontiguousarray(values, dtype=self.dtype)
        self._file.write(flat.data if flat.size else b"")
        self.length += flat.size
        return offset

    def append_file(self, path: str | Path) -> int:
        """Write the values of another flat file, block by block, and return their offset, in elements.

        Raises `IntegrityError` where it is not a whole one of this `dtype`.
        """
        offset, flat = self.length, open_flat(path)
        if flat.dtype != self.dtype:
            raise IntegrityError(f"{path}: holds values of type {flat.dtype}, expected {self.dtype}")
        with open(path, "rb") as file:
            file.seek(HEADER_BYTES)
            shutil.copyfileobj(file, self._file, COPIED_BYTES)
        self.length += flat.size
        return offset

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with self._file:
                if kind is None:
                    self._file.seek(0)
                    self._file.write(self._header())
            if kind is None:
                publishing.publish(self._part, self.path)
        finally:  # closing a file writes, too: on a full disk it raises
            self._part.unlink(missing_ok=True)

    def _header(self) -> bytes:
        description = f"{{'descr': '{self.dtype.str}', 'fortran_order': False, 'shape': ({self.length},), }}"
        magic = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
        return magic + description.encode().ljust(HEADER_BYTES - 11) + b"\n"


def open_flat(path: str | Path) -> np.ndarray:
    """The flat array at `path`, memory-mapped, read-only. Raises `IntegrityError` where it is cut short."""
    # nothing is unpickled, and no archive of arrays (npz) taken for one
    empty = Path(path).stat().st_size == HEADER_BYTES  # cannot be mapped
    try:
        with open(path, "rb") as file:
            np.lib.format.read_magic(file)
        flat = np.load(path, mmap_mode=None if empty else "r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise IntegrityError(f"{path}: not a whole array file ({error}); delete it and run again") from error
    return flat


def view(flat: np.ndarray, offset: int, shape: tuple[int, ...] | list[int]) -> np.ndarray:
    """The array of `shape` at `offset` (elements) of a flat array. Raises `IntegrityError` past its end.

    However much of a file is looked at, view by view, about `MAPPED_BYTES` of it count as this process's
    memory.
    """
    shape = tuple(int(side) for side in shape)
    stop = int(offset) + int(np.prod(shape))
    if offset < 0 or min(shape, default=0) < 0 or stop > flat.size:
        raise IntegrityError(
            f"an array of shape {shape} at offset {offset} ends past the file's {flat.size} values"
        )
    found = flat[int(offset) : stop].reshape(shape)
    if isinstance(flat, np.memmap):
        _let_go(flat, found.nbytes)
    return found


class Views(Sequence):
    """Arrays in a flat array, by (offset, shape); each is opened (`view`) only when it is asked for."""

    def __init__(self, flat: np.ndarray, places: Sequence[tuple[int, Sequence[int]]]):
        self._flat, self._places = flat, places

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, at: int) -> np.ndarray:
        return view(self._flat, *self._places[at])


def _let_go(flat: np.memmap, taken: int) -> None:
    """Give back the pages of a mapped file once `MAPPED_BYTES` were taken: the system's cache keeps them.

    What is looked at once more is mapped again, so that views stay good.
    """
    taken += getattr(flat, "taken", 0)
    if taken > MAPPED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
        flat._mmap.madvise(mmap.MADV_DONTNEED)
        taken = 0
    flat.taken = taken
