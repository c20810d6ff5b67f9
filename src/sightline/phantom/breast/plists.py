"""INbreast's contours: a property list per film, with the points of its regions of interest."""

from __future__ import annotations

import plistlib
from pathlib import Path

import numpy as np

from sightline.phantom.breast.lesions import Lesion

# what readers typed: the usual name, then others that stand for it
MASS = {True: ("Mass", "Mass", "Distortion"), False: ("Mass", "Mass", "Assymetry")}
SPECK = ("Calcification", "Calcifications", "Unnamed")
CLUSTER = "Cluster"
SPICULATED = "Espiculated Region"
BEYOND = 1.08  # size of a spiculated region over that of its mass
CONTOUR, POINT = 9, 19  # what OsiriX calls closed polygons and points


def regions(
    lesion: Lesion, size: tuple[int, int], odd: float, rng: np.random.Generator
) -> list[tuple[str, np.ndarray]]:
    """The regions (name, points (n, 2) in image pixels) that a reader draws for a lesion on a film of `size`.

    A mass is a contour, half of the spiculated ones have a second around it; a speck is a point, a coarse one
    a contour; a cluster of fine specks has a contour of its own. A share `odd` of names are rarer ones.
    """
    odd_name = rng.random() < odd
    if lesion.kind.lesion == "mass":
        names = MASS[lesion.kind.malignant]
        found = [(names[int(rng.integers(1, 3)) if odd_name else 0], lesion.outline)]
        if lesion.kind.malignant and rng.random() < 0.5:
            middle = lesion.outline.mean(0)
            wider = middle + BEYOND * (lesion.outline - middle)
            found.append((SPICULATED, np.clip(wider, -1, (size[1], size[0]))))
        return found
    found = [(CLUSTER, lesion.outline)] if lesion.kind.malignant else []
    name = SPECK[int(rng.integers(1, 3)) if odd_name else 0]
    for x, y, long, _, _ in lesion.specks:
        if long >= 2.5:
            turn = np.arange(8) * (np.pi / 4)
            ring = np.stack([x + long * np.cos(turn), y + long * np.sin(turn)], axis=1)
            found.append((name, ring))
        else:
            found.append((name, np.array([[x, y]])))
    return found


def write(path: Path, found: list[tuple[str, np.ndarray]], pixels: np.ndarray, spacing: float) -> None:
    """Write the regions of one film; `pixels` (H, W) are described below them, `spacing` is mm per pixel."""
    rois = [_region(number, name, points, pixels, spacing) for number, (name, points) in enumerate(found)]
    image = {"ImageIndex": 0, "NumberOfROIs": len(rois), "ROIs": rois}
    path.write_bytes(plistlib.dumps({"Images": [image]}, fmt=plistlib.FMT_XML))


def _region(number: int, name: str, points: np.ndarray, pixels: np.ndarray, spacing: float) -> dict:
    height, width = pixels.shape
    low = np.clip(np.floor(points.min(0)), 0, (width - 1, height - 1)).astype(int)
    high = np.clip(np.ceil(points.max(0)), 0, (width - 1, height - 1)).astype(int)
    below = pixels[low[1] : high[1] + 1, low[0] : high[0] + 1].astype(float)
    x, y = (points * spacing).T
    area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2 / 100  # cm2
    length = float(np.hypot(x - np.roll(x, 1), y - np.roll(y, 1)).sum()) / 10  # cm
    middle = points.mean(0) * spacing
    return {
        "Area": float(area),
        "Center": f"({middle[0]:f}, {middle[1]:f}, 0.000000)",
        "Dev": float(below.std()),
        "IndexInImage": number,
        "Length": length,
        "Max": float(below.max()),
        "Mean": float(below.mean()),
        "Min": float(below.min()),
        "Name": name,
        "NumberOfPoints": len(points),
        "Point_mm": [f"({x * spacing:f}, {y * spacing:f}, 0.000000)" for x, y in points],
        "Point_px": [f"({x:f}, {y:f})" for x, y in points],
        "Total": float(below.sum()),
        "Type": POINT if len(points) == 1 else CONTOUR,
    }
