"""INbreast's contours: Apple property lists of named regions, their points (x, y) in image pixels."""

from __future__ import annotations

import json
import plistlib
import re
from dataclasses import dataclass
from pathlib import Path
from xml.parsers.expat import ExpatError

import numpy as np

from sightline.datasets import upstream
from sightline.errors import DatasetError

# names as annotators wrote them -> kind of finding; any other name is a kind of its own
KINDS = {
    "mass": "mass",
    "masses": "mass",
    "calcification": "calcification",
    "calcifications": "calcification",
    "calcificaton": "calcification",
    "calcificatons": "calcification",
    "cluster": "cluster",
    "clusters": "cluster",
    "spiculated region": "spiculated region",
    "espiculated region": "spiculated region",
    "asymmetry": "asymmetry",
    "assymetry": "asymmetry",
    "assymmetry": "asymmetry",
    "asymetry": "asymmetry",
    "distortion": "distortion",
    "architectural distortion": "distortion",
    "unnamed": "unnamed",
}
NO_LESION = frozenset({"axilla lymph node", "axillary lymph node", "lymph node"})
CALCIFIED = frozenset({"calcification", "cluster"})
POINT = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)")
OUTSIDE = 1.0  # pixels beyond the image's edge that a point may lie
DIGITS = 3  # of a coordinate's decimals
MOST_BYTES = 100_000_000  # of one file


@dataclass(frozen=True)
class Contour:
    """A region's number in its file (from 1), name as written, kind, and points (n, 2) as (x, y)."""

    number: int
    name: str
    kind: str
    points: np.ndarray


def kind_of(name: str) -> str:
    """The kind of finding that a region's name means, by `KINDS`; another name in lower case is its own."""
    plain = " ".join(name.lower().replace("_", " ").split())
    return KINDS.get(plain, plain or "unnamed")


def read(path: Path, root: Path, swapped: bool = False) -> list[Contour]:
    """The regions of one file; `swapped` for a file whose points are (y, x).

    A plain XML property list is read, nothing in it is expanded or fetched: one that declares entities is
    refused. Raises `DatasetError` for a file that is missing, no such list, or has a region without points.
    """
    shown = upstream.shown(path, root)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError(f"has more than {MOST_BYTES} bytes")
        with open(path, "rb") as file:
            found = plistlib.load(file, fmt=plistlib.FMT_XML)
        regions = [region for image in found["Images"] for region in image["ROIs"]]
        return [_contour(at, region, swapped) for at, region in enumerate(regions, 1)]
    except FileNotFoundError as error:
        raise DatasetError(
            f"{shown}: missing, though the table gives the image a finding; put the file there"
        ) from error
    # what plistlib and the look into what it returns raise on bytes of any kind
    except (OSError, ExpatError, ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        reason = str(error) or type(error).__name__
        raise DatasetError(f"{shown}: not a list of regions ({reason}); {upstream.DAMAGED}") from error


def _contour(number: int, region: dict, swapped: bool) -> Contour:
    """One region of the list. Raises `ValueError` where its points cannot be read."""
    texts = [POINT.fullmatch(text.strip()) for text in region["Point_px"]]
    if not texts or not all(texts):
        raise ValueError(f"region {number} has no points, or one that is not written as (x, y)")
    points = np.array([[float(text[1]), float(text[2])] for text in texts])
    if not np.isfinite(points).all():
        raise ValueError(f"region {number} has a point that is not finite")
    name = str(region.get("Name", ""))
    return Contour(number, name, kind_of(name), points[:, ::-1] if swapped else points)


def on_image(contour: Contour, shape: tuple[int, int]) -> np.ndarray:
    """The contour's points, those just outside the image of `shape` (H, W) moved onto its border pixels.

    Raises `ValueError`, saying what to do, where one lies more than `OUTSIDE` pixels beyond the edge.
    """
    height, width = shape
    last = np.array([width - 0.5, height - 0.5])
    beyond = np.maximum(-0.5 - contour.points, contour.points - last).max(axis=1)
    if beyond.max() > OUTSIDE:
        x, y = contour.points[beyond.argmax()]
        raise ValueError(
            f"region {contour.number} ('{contour.name}') lies {beyond.max():.1f} px outside the image of "
            f"{width} x {height} pixels, with a point at ({x:g}, {y:g}); correct it, or name the image in "
            f"the option `swapped` if x and y are exchanged"
        )
    return np.clip(contour.points, 0.0, (width - 1.0, height - 1.0))


def encoded(outlines: list[np.ndarray]) -> str:
    """Outlines as the text of encoding `polygons`, to a thousandth of a pixel."""
    return json.dumps([np.round(outline, DIGITS).tolist() for outline in outlines])


def finding(kinds: set[str]) -> str:
    """An image's kind of finding: mass, calcification (or a cluster of them), both, other or none."""
    mass, calcified = "mass" in kinds, bool(kinds & CALCIFIED)
    if mass or calcified:
        return "both" if mass and calcified else "mass" if mass else "calcification"
    return "other" if kinds - NO_LESION else "none"
