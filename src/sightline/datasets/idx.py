"""The idx format of MNIST: arrays of bytes, plain or gzipped.

Big-endian: two zero bytes, a type (8: unsigned bytes), the number of axes, the axes' lengths as 32-bit
numbers, then the values, row-major (Y. LeCun, C. Cortes, C. Burges, the page of the MNIST database).
"""

from __future__ import annotations

import io
import math
import struct
import zlib
from gzip import GzipFile
from pathlib import Path

import numpy as np

from sightline.datasets import upstream
from sightline.errors import DatasetError

BYTES, MOST_AXES, MOST_VALUES = 8, 3, 2_000_000_000  # the type; pictures have three axes; more is a bomb


def read(path: Path, root: Path | None = None) -> np.ndarray:
    """The array of an idx file: uint8, images (N, H, W) or labels (N,), read-only.

    Raises `DatasetError`, naming the file relative to `root`, where it is missing or no whole idx file.
    """
    name = upstream.shown(path, root)
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetError(
            f"{name}: missing; put the file there or correct the folder in the config"
        ) from error
    except OSError as error:
        raise DatasetError(f"{name}: cannot be read ({error})") from error
    return parsed(data, name)


def parsed(data: bytes, name: str) -> np.ndarray:
    """The array of an idx file's bytes, gzipped or not; see `read`, which has the errors."""
    opened = GzipFile(fileobj=io.BytesIO(data)) if data[:2] == b"\x1f\x8b" else io.BytesIO(data)
    try:
        head = opened.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] != BYTES or not 1 <= head[3] <= MOST_AXES:
            raise DatasetError(
                f"{name}: begins with 0x{head.hex()}, an idx file of bytes with 0x000008 and 1 to "
                f"{MOST_AXES} axes (images 0x00000803, labels 0x00000801); {upstream.DAMAGED}"
            )
        shape = struct.unpack(f">{head[3]}I", opened.read(4 * head[3]))
        count = math.prod(shape)
        if count > MOST_VALUES:
            raise DatasetError(
                f"{name}: says that it holds {count} values, at most {MOST_VALUES} are read; "
                f"{upstream.DAMAGED}"
            )
        values = opened.read(count + 1)
    except (OSError, EOFError, struct.error, zlib.error) as error:
        raise DatasetError(f"{name}: not a whole idx file ({error}); {upstream.DAMAGED}") from error
    if len(values) != count:
        less = "fewer" if len(values) < count else "more"
        raise DatasetError(
            f"{name}: holds {less} than the {count} values of its shape {shape}; {upstream.DAMAGED}"
        )
    return np.frombuffer(values, np.uint8).reshape(shape)
