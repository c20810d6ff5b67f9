"""Masks as files and as outlines, on their own grid."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

from sightline import dicom
from sightline.datasets import picture_headers
from sightline.errors import DatasetError

LOSSY_HALF = 128  # a JPEG's zeros are not zero: half of white parts the two


def polygons(text: str) -> list[np.ndarray]:
    """The outlines in JSON [[[x, y], ...], ...], each (n, 2) float64. Raises `ValueError` for other text."""
    try:
        outlines = [np.array(outline, dtype=np.float64) for outline in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"is not a list of polygons ({error})") from error
    if any(outline.ndim != 2 or outline.shape[1] != 2 for outline in outlines):
        raise ValueError("holds a polygon that is no list of points [x, y]")
    if not all(np.isfinite(outline).all() for outline in outlines):
        raise ValueError("holds a point that is not finite")
    return outlines


def drawn(outlines: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The union of filled polygons (points x, y in pixels, whose centres are integers): bool, `shape` (H, W).

    A pixel is in a polygon where its centre lies inside (even-odd) or on the edge, so that an outline traced
    through the border pixels of a shape gives back the shape. A polygon without any such pixel (a point, a
    stroke, a speck) is the pixels nearest to its points; those off the grid move to its edge.
    """
    from skimage.draw import polygon

    mask = np.zeros(shape, dtype=bool)
    for outline in outlines:
        x, y = outline.T
        rows, columns = polygon(y, x, shape) if len(outline) > 2 else (np.array([], int),) * 2
        if not len(rows):
            rows = np.clip(np.floor(y + 0.5).astype(int), 0, shape[0] - 1)
            columns = np.clip(np.floor(x + 0.5).astype(int), 0, shape[1] - 1)
        mask[rows, columns] = True
    return mask


def read_file(path: Path, shown: str) -> np.ndarray:
    """The mask in an image or DICOM file: bool (H, W), where a pixel is not 0 (of a JPEG: half of white).

    Raises `DatasetError`, calling the file `shown`, where it cannot be read or is no single picture.
    """
    try:
        values = pixels(path)
    except ValueError as error:
        raise DatasetError(f"{shown}: the mask {error}") from error
    return values >= LOSSY_HALF if is_lossy(path) else values > 0


def pixels(path: Path) -> np.ndarray:
    """The stored values of a DICOM or image file, (H, W); of colours, the largest of each pixel.

    Raises `ValueError` with the reason where the file is missing, damaged or holds several pictures.
    """
    try:
        data = path.read_bytes()
        if dicom.is_dicom(data):
            values = dicom.stored(data)
        else:
            with Image.open(io.BytesIO(data), formats=picture_headers.FORMATS) as opened:
                if opened.width * opened.height > dicom.MOST_PIXELS:
                    raise Image.DecompressionBombError(f"{opened.width} x {opened.height} pixels")
                plain = opened.convert("RGB") if opened.mode in ("P", "RGBA", "LA") else opened
                values = np.asarray(plain)
    except dicom.Refused:
        raise
    except picture_headers.UNREADABLE as error:
        raise ValueError(f"cannot be read ({error}); replace the file") from error
    return values if values.ndim == 2 else values.max(axis=2)


def is_lossy(path: Path) -> bool:
    """Whether the file is a JPEG, whose zeros are not zero. Raises `OSError` where it cannot be read."""
    with open(path, "rb") as file:
        return file.read(3) == b"\xff\xd8\xff"
