"""DICOM files (PS3.5, PS3.3): the header, and the one picture as grey values from 0 to 1.

What is read: uncompressed (little and big endian), RLE, JPEG (baseline, lossless), JPEG-LS and JPEG 2000;
8 to 32 bits, signed or not; MONOCHROME1 and 2, RGB and YBR as luma. Rows and columns are as stored: a flip of
the field of view (0018,7034 ...) has happened to them already, and nothing here turns a picture.
"""

from __future__ import annotations

import io
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sightline.errors import DatasetError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

MOST_PIXELS = 80_000_000  # of one file; more is taken for a decompression bomb
LONGEST = 16  # times the shorter side
SUFFIXES = (".dcm", ".dicom")
WINDOWS = ("full", "dicom")
MONOCHROME = ("MONOCHROME1", "MONOCHROME2")
COLOURS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R 601
DEFLATED = b"1.2.840.10008.1.2.1.99"  # a dataset that unpacks to any size
NEEDED = (
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "PhotometricInterpretation",
    "PixelRepresentation",
)
AGAIN = "take it again from its source"


class Refused(ValueError):
    """A file that is no picture for us: the reason and what to do."""


def is_dicom(data: bytes) -> bool:
    """Whether a file's bytes begin as a DICOM file's do: 128 bytes, then DICM."""
    return data[128:132] == b"DICM"


def header(path: Path, root: Path | None = None) -> Dataset:
    """The elements of a DICOM file before its pixels, which are not read.

    Raises `DatasetError`, naming the file relative to `root`, where it is missing or no DICOM file.
    """
    inside = root is not None and path.is_relative_to(root)
    name = path.relative_to(root) if inside else path
    try:
        with open(path, "rb") as file:
            if DEFLATED in file.read(4096):
                raise Refused("is deflated; store it uncompressed")
            file.seek(0)
            return _parsed(file)
    except FileNotFoundError as error:
        raise DatasetError(
            f"{name}: missing; put the file there or correct the folder in the config"
        ) from error
    except (Refused, OSError) as error:
        raise DatasetError(f"{name}: {error}") from error
    except Exception as error:  # of a parser, on bytes of any kind
        raise DatasetError(f"{name}: is damaged ({error}); {AGAIN}") from error


def picture(data: bytes, shape: tuple[int, int], window: str = "full") -> np.ndarray:
    """The picture of a DICOM file's bytes, float32 (H, W) from 0 (black) to 1 (white), of `shape`.

    `window` full: the whole range of the stored values, from their own minimum to their maximum, nothing
    clipped; pixels of the padding value do not count, and are black. `dicom`: as the file says that it is to
    be shown: its modality LUT or rescale, then its first VOI LUT or, without one, its first window (LINEAR,
    LINEAR_EXACT or SIGMOID; PS3.3 C.11.1 and C.11.2, by pydicom); a file that has neither is read in full.
    MONOCHROME1 is inverted, so that air is black. Raises `ValueError` with reason and remedy for several
    pictures, too many pixels (before decoding), a shape other than `shape`, a compression that nothing
    installed decodes, damage, and pixels that are no grey values or colours.
    """
    if window not in WINDOWS:
        raise ValueError(f"unknown window: {window!r}; expected one of {', '.join(WINDOWS)}")
    values, elements = _read(data, shape)
    with _faults():
        if values.ndim == 3:
            return _spread(values.astype(np.float32) @ LUMA, None, inverted=False)
        return _grey(values, elements, window)


def stored(data: bytes) -> np.ndarray:
    """The stored values of a DICOM file's bytes, whole numbers (H, W) or (H, W, 3): as masks are read.

    Nothing is rescaled, inverted or windowed. Raises `ValueError` as `picture`.
    """
    return _read(data, None)[0]


def _read(data: bytes, shape: tuple[int, int] | None) -> tuple[np.ndarray, Dataset]:
    """The stored values of a picture (of `shape`, where given), and the elements before it."""
    if DEFLATED in data[:4096]:
        raise Refused("is deflated; store it uncompressed")
    with _faults():
        elements = _parsed(io.BytesIO(data))
        _check(elements, shape or (elements.get("Rows"), elements.get("Columns")))
        _check_compression(elements, data)
        return _decoded(elements, data), elements


@contextmanager
def _faults() -> Iterator[None]:
    """What parsers and decoders raise on bytes of any kind, as `Refused`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom's, about values that do no harm
        try:
            yield
        except (Refused, MemoryError):
            raise
        except Exception as error:
            said = next(iter(str(error).splitlines()), "") or type(error).__name__
            raise Refused(f"is damaged ({said}); {AGAIN}") from error


def _parsed(file: io.BufferedIOBase) -> Dataset:
    """The elements before the pixels. Raises `ValueError` for what is no DICOM file."""
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        with pydicom.config.disable_value_validation():
            return pydicom.dcmread(file, stop_before_pixels=True)
    except InvalidDicomError as error:
        raise Refused("is not a DICOM file (it lacks the word DICM at byte 128); replace the file") from error


def _check(elements: Dataset, shape: tuple[int, int]) -> None:
    """Raise `ValueError` for a picture that is not to be decoded, by its header alone."""
    absent = [name for name in NEEDED if elements.get(name) is None]
    if absent:
        raise Refused(f"lacks the element(s) {', '.join(absent)}: it holds no picture; {AGAIN}")
    rows, columns = int(elements.Rows), int(elements.Columns)
    frames, samples = int(elements.get("NumberOfFrames") or 1), int(elements.get("SamplesPerPixel") or 1)
    depth, stored = int(elements.BitsAllocated), int(elements.BitsStored)
    if rows * columns > MOST_PIXELS:
        raise Refused(f"has {columns} x {rows} pixels, more than {MOST_PIXELS} pixels; reduce it")
    if (rows, columns) != tuple(shape):
        raise Refused(
            f"is {columns} x {rows} pixels, but its table says {shape[1]} x {shape[0]}; correct the table or "
            f"take the right file"
        )
    if max(shape) > LONGEST * min(shape):
        raise Refused(f"is more than {LONGEST} times as long as wide; crop it")
    if frames != 1:
        raise Refused(f"holds {frames} pictures; split it")
    kind = str(elements.PhotometricInterpretation)
    if (kind in MONOCHROME) != (samples == 1) or kind not in (*MONOCHROME, *COLOURS):
        raise Refused(
            f"has pixels of kind '{kind}' with {samples} value(s) each; store it as {', '.join(MONOCHROME)} "
            f"or RGB"
        )
    if depth not in (8, 16, 32) or (samples > 1 and depth != 8):
        raise Refused(f"has {depth} bits per value; store it with 8 or 16 (colours with 8)")
    highest = int(elements.get("HighBit", stored - 1))
    if not 1 <= stored <= depth or highest != stored - 1:
        raise Refused(f"says that {stored} of {depth} bits are stored, the highest at {highest}; {AGAIN}")


def _check_compression(elements: Dataset, data: bytes) -> None:
    """Raise `ValueError` where nothing decodes the transfer syntax, or where the codestream has another size.

    A decoder allocates what the codestream says, whatever rows and columns the header was checked for.
    """
    from pydicom.encaps import get_frame
    from pydicom.filereader import dcmread
    from pydicom.pixels import get_decoder

    syntax = elements.file_meta.get("TransferSyntaxUID")
    if syntax is None:
        raise Refused(f"does not say its transfer syntax; {AGAIN}")
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise Refused(f"has the transfer syntax {syntax.name} ({syntax}), no picture; {AGAIN}") from error
    if not decoder.is_available:
        raise Refused(
            f"is compressed as {syntax.name} ({syntax}), for which no decoder is installed; store the file "
            f"uncompressed, or install what decodes it: {'; or '.join(decoder.missing_dependencies)}"
        )
    if not syntax.is_encapsulated or "RLE" in syntax.name:
        return
    whole = dcmread(io.BytesIO(data), specific_tags=["PixelData", "NumberOfFrames"])
    found = codestream_shape(get_frame(whole.PixelData, 0, number_of_frames=1))
    if found != (elements.Rows, elements.Columns):
        raise Refused(
            f"holds a picture of {found[1]} x {found[0]} pixels under a header that says "
            f"{elements.Columns} x {elements.Rows}; {AGAIN}"
        )


def codestream_shape(stream: bytes) -> tuple[int, int]:
    """(H, W) that a JPEG, JPEG-LS or JPEG 2000 codestream says. Raises `Refused` where it says none."""
    start = stream.find(b"\xff\x4f\xff\x51") if stream[:2] != b"\xff\xd8" else -1
    if start >= 0:  # JPEG 2000: SIZ follows SOC (ISO 15444-1, A.5.1)
        size = stream[start + 8 : start + 24]
        if len(size) == 16:
            right, bottom, left, top = struct.unpack(">4I", size)
            return bottom - top, right - left
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 <= len(stream):
        if stream[at] != 0xFF:
            break
        marker = stream[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xF7 or (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)):  # SOF
            return struct.unpack(">HH", stream[at + 5 : at + 9])
        at += 2 + struct.unpack(">H", stream[at + 2 : at + 4])[0]
    raise Refused(f"is damaged (its codestream says no size); {AGAIN}")


def _decoded(elements: Dataset, data: bytes) -> np.ndarray:
    """The stored values, (H, W) or (H, W, 3), of whole numbers, without the bits that are not stored."""
    import gdcm  # pydicom's decoder of the JPEG family
    from pydicom.pixels import pixel_array

    gdcm.Trace.WarningOff()  # it prints; what is wrong comes back as an error
    gdcm.Trace.ErrorOff()
    values = pixel_array(io.BytesIO(data))
    if values.shape[:2] != (elements.Rows, elements.Columns):
        raise Refused(f"has pixels of shape {values.shape}; {AGAIN}")
    return values


def _grey(values: np.ndarray, elements: Dataset, window: str) -> np.ndarray:
    """Stored values as grey from 0 to 1; see `picture`."""
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    padding = _padding(values, elements)
    inverted = elements.PhotometricInterpretation == "MONOCHROME1"
    has_lut, rescaled = bool(elements.get("VOILUTSequence")), bool(elements.get("ModalityLUTSequence"))
    slope = float(elements.get("RescaleSlope", 1.0))
    if slope == 0.0:
        raise Refused("RescaleSlope is 0")
    if rescaled:
        values = apply_modality_lut(values, elements)
    if window == "full" or not (has_lut or elements.get("WindowWidth") is not None):
        # the range is spread anyway: of a rescaling only its sign is seen
        return _spread(values, padding, inverted ^ (slope < 0 and not rescaled))
    shown = apply_voi_lut(values if rescaled else apply_modality_lut(values, elements), elements)
    if has_lut:
        low, high = 0.0, 2.0 ** int(elements.VOILUTSequence[0].LUTDescriptor[2]) - 1.0
    else:  # what the window makes of values far below and far above it
        with np.errstate(over="ignore"):
            low, high = apply_voi_lut(np.array([-1e12, 1e12]), elements)
    grey = ((shown - low) / (high - low)).astype(np.float32)
    grey = np.clip(1.0 - grey if inverted else grey, 0.0, 1.0)
    if padding is not None:
        grey[padding] = 0.0
    return grey


def _padding(values: np.ndarray, elements: Dataset) -> np.ndarray | None:
    """Which pixels only pad the picture (PS3.3 C.7.5.1.1.2): bool (H, W), None where none does."""
    first = elements.get("PixelPaddingValue")
    if first is None:
        return None
    last = elements.get("PixelPaddingRangeLimit")
    ends = sorted((int(first), int(first if last is None else last)))
    padding = (values >= ends[0]) & (values <= ends[1])
    return padding if padding.any() else None


def _spread(values: np.ndarray, padding: np.ndarray | None, inverted: bool) -> np.ndarray:
    """Values from their own minimum to their maximum as 0 to 1, float32; `padding` and constants: 0."""
    inside = values if padding is None else values[~padding]
    low, high = (float(inside.min()), float(inside.max())) if inside.size else (0.0, 0.0)
    if high == low:
        return np.zeros(values.shape, dtype=np.float32)
    exact = values.dtype.itemsize <= 2 or values.dtype == np.float32
    grey = values.astype(np.float32 if exact else np.float64)
    grey -= low
    grey /= high - low
    if inverted:
        np.subtract(1.0, grey, out=grey)
    if padding is not None:
        grey[padding] = 0.0
    return grey.astype(np.float32, copy=False)
