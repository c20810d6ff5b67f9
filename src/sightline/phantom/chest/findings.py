"""Findings with a known place: where each label's may lie in a chest, and what it does to the film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from sightline.phantom.chest.anatomy import Anatomy, Place

LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Enlarged Cardiomediastinum",
    "Fracture",
    "Lung Lesion",
    "Lung Opacity",
    "Pleural Effusion",
    "Pleural Other",
    "Pneumonia",
    "Pneumothorax",
    "Support Devices",
)  # of 14, the one that is left is "No Finding"

# in the chest box's frame, outward positive: range of a, range of b, half axes, sides (1: one of two, 2:
# both, 0: midline)
REGIONS = {
    "Lung Opacity": ((0.45, 0.62), (-0.50, 0.40), (0.24, 0.21), 1),
    "Consolidation": ((0.45, 0.62), (-0.45, 0.35), (0.26, 0.21), 1),
    "Pneumonia": ((0.45, 0.62), (0.10, 0.42), (0.26, 0.20), 1),
    "Atelectasis": ((0.45, 0.60), (0.28, 0.50), (0.28, 0.11), 1),
    "Lung Lesion": ((0.35, 0.72), (-0.60, 0.40), (0.11, 0.10), 1),
    "Edema": ((0.36, 0.42), (-0.10, 0.12), (0.24, 0.33), 2),
    "Pneumothorax": ((0.50, 0.58), (-0.76, -0.66), (0.26, 0.20), 1),
    "Pleural Effusion": ((0.66, 0.72), (0.70, 0.78), (0.30, 0.22), 1),
    "Pleural Other": ((0.84, 0.88), (-0.20, 0.35), (0.09, 0.28), 1),
    "Fracture": ((0.58, 0.80), (-0.50, 0.35), (0.12, 0.10), 1),
    "Support Devices": ((0.05, 0.12), (-0.52, -0.42), (0.15, 0.55), 1),
    "Enlarged Cardiomediastinum": ((-0.02, 0.02), (-0.48, -0.40), (0.34, 0.34), 0),
}
HEART_GROWTH = 0.42  # of a heart with cardiomegaly, at contrast 1


@dataclass(frozen=True)
class Finding:
    """One planted change: its labels (its own first, then parents') and its ellipse in film pixels."""

    labels: tuple[str, ...]
    x: float
    y: float
    half_x: float
    half_y: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax of the axis-aligned ellipse."""
        return self.x - self.half_x, self.y - self.half_y, self.x + self.half_x, self.y + self.half_y


def place_findings(
    labels: tuple[str, ...], rng: np.random.Generator, anatomy: Anatomy, place: Place, size: float
) -> list[Finding]:
    """The places of one planted change: two ellipses where it is bilateral.

    `labels` holds its own label first. `anatomy` is the one drawn, so that cardiomegaly's ellipse is that
    of the enlarged heart. `size` scales the half axes.
    """
    if labels[0] == "Cardiomegaly":
        outline = place.to_film(anatomy.heart.outline())
        low, high = outline.min(0), outline.max(0)
        return [Finding(labels, *((low + high) / 2), *((high - low) / 2))]
    (a_low, a_high), (b_low, b_high), half, sides = REGIONS[labels[0]]
    a, b = rng.uniform(a_low, a_high), rng.uniform(b_low, b_high)
    scale = size * rng.uniform(0.85, 1.15, 2)
    one = 1 if rng.random() < 0.5 else -1
    found = []
    for side in {0: (1,), 1: (one,), 2: (-1, 1)}[sides]:
        x, y = place.to_film(np.array([side * a, b]))
        half_x, half_y = half[0] * scale[0] * place.half_x, half[1] * scale[1] * place.half_y
        found.append(Finding(labels, x, y, half_x, half_y))
    return found


def inside(finding: Finding, height: int, width: int) -> Finding:
    """The finding moved, and where it must be shrunk, so that its ellipse lies on the film."""
    half_x, half_y = min(finding.half_x, (width - 2) / 2), min(finding.half_y, (height - 2) / 2)
    x = float(np.clip(finding.x, half_x, width - 1 - half_x))
    y = float(np.clip(finding.y, half_y, height - 1 - half_y))
    return Finding(finding.labels, x, y, half_x, half_y)


@dataclass(frozen=True)
class Patch:
    """The part of a film below an ellipse: u (1, w) and v (h, 1) run from -1 to 1 across it."""

    u: np.ndarray
    v: np.ndarray
    radius: np.ndarray  # squared, 1 on the ellipse
    texture: np.ndarray  # smooth noise, mean 0, sd about 1
    outward: float  # 1 where the lung's wall is on the right of the image
    pixel: float  # one pixel, in u

    @property
    def soft(self) -> np.ndarray:
        """1 in the middle, fading to 0 on the ellipse."""
        return np.clip(1 - self.radius, 0, 1) ** 1.3

    @property
    def dense(self) -> np.ndarray:
        """1 in the inner half, then falling to 0 on the ellipse."""
        return np.clip(2.0 * (1 - self.radius), 0, 1)


def _rise(value: np.ndarray, steepness: float) -> np.ndarray:
    return 1 / (1 + np.exp(-steepness * value))


def _atelectasis(p: Patch) -> np.ndarray:
    plates = np.exp(-(((p.v + 0.25 * p.u + 0.25) / 0.28) ** 2)) + np.exp(
        -(((p.v - 0.1 * p.u - 0.4) / 0.2) ** 2)
    )
    return 0.34 * p.dense * np.clip(plates + 0.25, 0, 1.2)


def _pneumothorax(p: Patch) -> np.ndarray:
    # air outside the collapsed lung's edge, which shows as a thin line
    edge = np.exp(-(((np.sqrt(p.radius) - 0.72) / max(0.07, 1.2 * p.pixel)) ** 2)) * (p.u * p.outward < 0.35)
    return p.dense * (0.20 * edge - 0.19)


def _effusion(p: Patch) -> np.ndarray:
    return 0.42 * p.dense * _rise(p.v + 0.45 + 0.35 * p.u * p.outward, 9.0)


def _fracture(p: Patch) -> np.ndarray:
    gap = np.exp(-(((p.u - 0.35 * p.v) / max(0.11, 1.0 * p.pixel)) ** 2))
    return p.soft * (0.30 - 0.55 * gap)


def _devices(p: Patch) -> np.ndarray:
    tube = np.exp(-(((p.u - 0.5 * np.sin(2.4 * p.v)) / max(0.075, 1.1 * p.pixel)) ** 2))
    tip = np.exp(-((p.u - 0.5 * np.sin(2.16)) ** 2 + ((p.v - 0.9) * 2.5) ** 2) / 0.012)
    return 0.45 * np.maximum(tube, tip) * (p.radius < 1)


APPEARANCES: dict[str, Callable[[Patch], np.ndarray]] = {
    "Lung Opacity": lambda p: 0.30 * p.soft * (1 + 0.15 * p.texture),
    "Consolidation": lambda p: 0.36 * p.dense * (1 + 0.12 * p.texture),
    "Pneumonia": lambda p: 0.34 * p.soft * np.clip(1 + 0.55 * p.texture, 0.25, 1.7),
    "Edema": lambda p: 0.20 * p.soft * (1 + 0.35 * np.sin(9 * p.v + 3 * p.u * p.outward) + 0.2 * p.texture),
    "Atelectasis": _atelectasis,
    "Lung Lesion": lambda p: 0.34 * p.dense,
    "Pneumothorax": _pneumothorax,
    "Pleural Effusion": _effusion,
    "Pleural Other": lambda p: 0.30 * p.dense * (1 + 0.15 * p.texture),
    "Fracture": _fracture,
    "Support Devices": _devices,
    "Enlarged Cardiomediastinum": lambda p: 0.30 * p.dense,
}


def plant(
    film: np.ndarray, finding: Finding, rng: np.random.Generator, contrast: float, zoom: float, middle: float
) -> None:
    """Add a finding to `film` (density, 0 to 1), in place; outside its ellipse nothing changes.

    `zoom`: pixels of `film` per pixel of the film on disk; `middle`: the chest's middle, in pixels on disk.
    Cardiomegaly changes the anatomy instead and is not planted here.
    """
    if finding.labels[0] not in APPEARANCES:
        return
    x, y = (finding.x + 0.5) * zoom - 0.5, (finding.y + 0.5) * zoom - 0.5
    half_x, half_y = finding.half_x * zoom, finding.half_y * zoom
    left, right = max(0, int(np.ceil(x - half_x))), min(film.shape[1], int(x + half_x) + 1)
    top, bottom = max(0, int(np.ceil(y - half_y))), min(film.shape[0], int(y + half_y) + 1)
    if left >= right or top >= bottom:
        return
    u = (np.arange(left, right, dtype=np.float32)[None] - x) / half_x
    v = (np.arange(top, bottom, dtype=np.float32)[:, None] - y) / half_y
    coarse = rng.standard_normal((5, 5), dtype=np.float32)
    texture = cv2.resize(coarse, (right - left, bottom - top), interpolation=cv2.INTER_CUBIC)
    patch = Patch(u, v, u**2 + v**2, texture, 1.0 if finding.x > middle else -1.0, 1 / half_x)
    change = APPEARANCES[finding.labels[0]](patch)
    film[top:bottom, left:right] += np.float32(contrast) * np.where(patch.radius < 1, change, 0)
