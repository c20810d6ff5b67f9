"""One file as one picture: what is read, what is refused, and how it becomes grey values or colours."""

from __future__ import annotations

import functools
import hashlib
import io
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sightline import dicom
from sightline.datasets import idx, upstream
from sightline.datasets.picture_headers import FORMATS
from sightline.errors import DatasetError

MOST_PIXELS = dicom.MOST_PIXELS  # of one file; more is taken for a decompression bomb
LONGEST = dicom.LONGEST  # times the shorter side: the grids that models take grow with the square of it
ORIENTATION = 0x0112  # EXIF
RECORD = re.compile(r"(.+)#(\d+)")  # a picture in a container


@dataclass(frozen=True)
class Content:
    """A picture's bytes, and the file that holds them: its path, size and digest.

    `record` is the picture itself where the file is a container (idx), else None.
    """

    file: str
    bytes: int
    sha256: str
    data: bytes
    record: np.ndarray | None = None


def content(path: str, root: Path) -> Content:
    """What lies at `path`, relative to `root`: a file, or a record of a container as `name.idx.gz#17`.

    Raises `ValueError` with the reason where the file is missing, cannot be read, or lies outside `root`.
    """
    held = RECORD.fullmatch(path)
    try:
        if held and not upstream.inside(root, path, "table images").is_file():
            return _record(held[1], int(held[2]), upstream.plain_file(root, held[1], "table images"))
        data = upstream.plain_file(root, path, "table images").read_bytes()
    except FileNotFoundError as error:
        raise ValueError("the file is missing; put it there") from error
    except (OSError, DatasetError) as error:
        raise ValueError(str(error)) from error
    return Content(path, len(data), hashlib.sha256(data).hexdigest(), data)


def _record(name: str, number: int, file: Path) -> Content:
    """Record `number` of the container `name` at `file`."""
    stat = file.stat()
    size, digest, records = _opened(file, stat.st_mtime_ns, stat.st_size)
    if records.ndim != 3:
        raise DatasetError(f"{name}: holds no pictures, but an array of shape {records.shape}")
    if number >= len(records):
        raise DatasetError(f"{name}: has no record {number}; it holds {len(records)}, counted from 0")
    return Content(name, size, digest, b"", records[number])


@functools.lru_cache(maxsize=1)
def _opened(file: Path, _modified: int, _size: int) -> tuple[int, str, np.ndarray]:
    """(bytes, SHA-256, records) of a container, read once per process."""
    data = file.read_bytes()
    return len(data), hashlib.sha256(data).hexdigest(), idx.parsed(data, file.name)


def picture(
    found: Content, shape: tuple[int, int], colour: str = "grey", window: str = "full"
) -> Image.Image:
    """The picture of `shape` (H, W): mode L (or RGB, where `colour` is rgb) of bytes, F of DICOM, 0 to 1.

    DICOM has no colours: with `colour: rgb` it stays F. `window` is that of `dicom.picture`. Raises
    `ValueError` with reason and remedy for what is not such a picture.
    """
    if found.record is not None:
        _require_shape(found.record.shape, shape)
        image = Image.fromarray(found.record)
        return image.convert("RGB") if colour == "rgb" else image
    if dicom.is_dicom(found.data) or Path(found.file).suffix.lower() in dicom.SUFFIXES:
        return Image.fromarray(dicom.picture(found.data, shape, window=window))
    return read_file(found.data, shape, colour)


def read_grey(data: bytes, shape: tuple[int, int]) -> Image.Image:
    """An image file's bytes as an 8-bit grey image of `shape` (H, W); see `read_file`."""
    return read_file(data, shape, "grey")


def read_file(data: bytes, shape: tuple[int, int], colour: str) -> Image.Image:
    """An image file's bytes as an image of `shape` (H, W), mode L, or RGB where `colour` is rgb.

    Colour becomes luma (ITU-R 601) where grey is asked for, grey three equal channels where colour is. 16-bit
    grey is stretched from its own minimum and maximum to 0..255, as the makers of MIMIC-CXR-JPG did. Raises
    `ValueError` with reason and remedy for anything else.
    """
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise Image.DecompressionBombError
        _require_shape((height, width), shape)
        if getattr(image, "n_frames", 1) > 1:
            raise ValueError(f"holds {image.n_frames} pictures; split it")
        if image.getexif().get(ORIENTATION, 1) != 1:
            raise ValueError("asks viewers to turn it (EXIF); store it upright")
        image.load()  # a truncated file ends here
        return _coloured(image) if colour == "rgb" else _grey(image)
    except Image.UnidentifiedImageError as error:
        expected = ", ".join((*FORMATS, "DICOM"))
        raise ValueError(f"is not an image of type {expected}; replace the file") from error
    except Image.DecompressionBombError as error:
        raise ValueError(f"has more than {MOST_PIXELS} pixels; reduce it") from error
    except (OSError, SyntaxError, EOFError, TypeError) as error:
        raise ValueError(f"is damaged ({error}); take it again from its source") from error


def _require_shape(found: tuple[int, int], shape: tuple[int, int]) -> None:
    """Raise `ValueError` where a picture is not of its table's shape (H, W), or is a sliver."""
    if tuple(found) != tuple(shape):
        raise ValueError(
            f"is {found[1]} x {found[0]} pixels, but its table says {shape[1]} x {shape[0]}; correct the "
            f"table or take the right file"
        )
    if max(shape) > LONGEST * min(shape):
        raise ValueError(f"is more than {LONGEST} times as long as wide; crop it")


def _coloured(image: Image.Image) -> Image.Image:
    """The image in mode RGB; see `read_file`."""
    if image.mode == "RGB":
        return image
    opaque = image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255)
    if opaque or (image.mode in ("P", "CMYK", "YCbCr") and "transparency" not in image.info):
        return image.convert("RGB")
    return _grey(image).convert("RGB")


def _grey(image: Image.Image) -> Image.Image:
    """The image in mode L; see `read_file`."""
    if image.mode in ("L", "RGB", "1"):
        return image.convert("L")
    if image.mode == "P" and "transparency" not in image.info:
        return image.convert("RGB").convert("L")
    if image.mode in ("LA", "RGBA") and image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB").convert("L")
    if image.mode in ("I;16", "I;16B", "I;16L", "I"):
        values = np.asarray(image).astype(np.float64)
        low, high = values.min(), values.max()
        return Image.fromarray(np.rint((values - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8))
    raise ValueError(
        f"has pixels of kind '{image.mode}'; store it as 8- or 16-bit grey, or RGB without transparency"
    )
