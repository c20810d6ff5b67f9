"""Arrays of many shapes in one flat, memory-mapped `.npy`; a table's rows hold their offsets and shapes."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType

import numpy as np

from sightline.errors import IntegrityError

HEADER_BYTES = 128


class Writer:
    """Appends arrays to one flat `.npy` of `dtype`; the file takes its name when all is written.

    Use as a context manager; after an exception nothing is left behind.
    """

    def __init__(self, path: str | Path, dtype: np.typing.DTypeLike):
        self.path, self.dtype, self.length = Path(path), np.dtype(dtype), 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._part = self.path.with_name(self.path.name + ".part")
        self._file = open(self._part, "wb")  # noqa: SIM115 (__exit__ closes it)
        self._file.write(b"\0" * HEADER_BYTES)

    def append(self, values: np.ndarray) -> int:
        """Write `values` (any shape) and return their offset, in elements."""
        offset = self.length
        flat = np.ascontiguousarray(values, dtype=self.dtype)
        self._file.write(flat.data if flat.size else b"")
        self.length += flat.size
        return offset

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is not None:
            self._file.close()
            self._part.unlink()
            return
        description = f"{{'descr': '{self.dtype.str}', 'fortran_order': False, 'shape': ({self.length},), }}"
        header = b"\x93NUMPY\x01\x00" + (HEADER_BYTES - 10).to_bytes(2, "little")
        self._file.seek(0)
        self._file.write(header + description.encode().ljust(HEADER_BYTES - 11) + b"\n")
        self._file.close()
        os.replace(self._part, self.path)


def open_flat(path: str | Path) -> np.ndarray:
    """The flat array at `path`, memory-mapped, read-only. Raises `IntegrityError` where it is cut short."""
    try:
        # an empty file cannot be mapped
        flat = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        if Path(path).stat().st_size == HEADER_BYTES:
            return np.load(path, allow_pickle=False)
        raise IntegrityError(f"{path}: not a whole array file ({error}); delete it and run again") from error
    return flat


def view(flat: np.ndarray, offset: int, shape: tuple[int, ...] | list[int]) -> np.ndarray:
    """The array of `shape` at `offset` (elements) of a flat array. Raises `IntegrityError` past its end."""
    shape = tuple(int(side) for side in shape)
    stop = int(offset) + int(np.prod(shape))
    if offset < 0 or stop > flat.size:
        raise IntegrityError(
            f"an array of shape {shape} at offset {offset} ends past the file's {flat.size} values"
        )
    return flat[int(offset) : stop].reshape(shape)
