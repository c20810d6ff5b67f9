"""What the header of a picture's file tells, without its pixels: its size, and which series it is of."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sightline import dicom
from sightline.datasets import upstream
from sightline.errors import DatasetError

FORMATS = ("JPEG", "PNG", "TIFF", "BMP")  # beside DICOM; what else Pillow knows is left alone
# what Pillow raises on headers of any kind
UNREADABLE = (OSError, SyntaxError, ValueError, TypeError, LookupError, OverflowError, struct.error)
UNREADABLE += (Image.DecompressionBombError,)


@dataclass(frozen=True)
class Header:
    """A picture's file (its path relative to the dataset's folder) and what its header says.

    Spacing is in mm per pixel, NaN where unknown. Texts are "" where the format has none of them.
    """

    path: str
    height: int
    width: int
    spacing_y: float = np.nan
    spacing_x: float = np.nan
    series: str = ""  # SeriesInstanceUID
    instance: str = ""  # SOPInstanceUID
    description: str = ""  # SeriesDescription

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W)."""
        return self.height, self.width


def of_dicom(path: Path, root: Path) -> Header:
    """The header of a DICOM file. Raises `DatasetError` where it cannot be read or names no size."""
    found = dicom.header(path, root)
    shown = upstream.shown(path, root)
    try:
        height, width = int(found.get("Rows") or 0), int(found.get("Columns") or 0)
        spacing = found.get("PixelSpacing") or found.get("ImagerPixelSpacing") or (np.nan, np.nan)
        spacing_y, spacing_x = (float(side) for side in spacing)
    except (TypeError, ValueError) as error:
        raise DatasetError(
            f"{shown}: its size or spacing is no number ({error}); replace the file"
        ) from error
    if height < 1 or width < 1:
        raise DatasetError(f"{shown}: names no rows and columns: it holds no picture; replace the file")
    texts = {
        "series": found.get("SeriesInstanceUID"),
        "instance": found.get("SOPInstanceUID"),
        "description": found.get("SeriesDescription"),
    }
    return Header(
        shown, height, width, spacing_y, spacing_x, **{name: str(text or "") for name, text in texts.items()}
    )


def size(path: Path) -> tuple[int, int]:
    """(W, H) of an image file, by its header. Raises one of `UNREADABLE` where it has none of `FORMATS`."""
    with Image.open(path, formats=FORMATS) as opened:
        return opened.size


def of_image(path: Path, root: Path, description: str = "") -> Header:
    """The header of a JPEG or another image file. Raises `DatasetError` where it cannot be read."""
    shown = upstream.shown(path, root)
    try:
        width, height = size(path)
        return Header(shown, height, width, description=description)
    except UNREADABLE as error:
        raise DatasetError(f"{shown}: cannot be read ({error}); replace the file") from error
