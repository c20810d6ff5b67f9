"""A simulated subject's chest: outlines of lungs, heart and bones in the frame of the chest's box.

In that frame (a, b) runs from (-1, -1), the box's top left, to (1, 1). Left in the image is the right lung.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

SAMPLES = 8  # points drawn between two control points of an outline

# one lung, outward positive: apex, lateral wall, costophrenic angle, diaphragm, medial border
LUNG = np.array(
    [
        (0.40, -1.00), (0.63, -0.84), (0.81, -0.45), (0.91, 0.00), (0.97, 0.45), (0.98, 0.82),
        (0.96, 0.98), (0.84, 0.82), (0.60, 0.66), (0.34, 0.66), (0.17, 0.74),
        (0.15, 0.35), (0.18, -0.05), (0.15, -0.40), (0.15, -0.72), (0.23, -0.94),
    ]
)  # fmt: skip
DIAPHRAGM, MEDIAL, LATERAL = [7, 8, 9, 10], [10, 11, 12, 13, 14], [1, 2, 3, 4]


@dataclass(frozen=True)
class Heart:
    """A tilted ellipse: centre, half axes and tilt (radians), in the chest box's frame."""

    a: float
    b: float
    half_a: float
    half_b: float
    tilt: float

    def _quadratic(self) -> tuple[float, float, float]:
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        aa, bb = self.half_a**-2, self.half_b**-2
        return cos**2 * aa + sin**2 * bb, 2 * cos * sin * (aa - bb), sin**2 * aa + cos**2 * bb

    def edge(self, b: np.ndarray, side: int) -> np.ndarray:
        """The outline's a at heights `b` on the image's left (-1) or right (1); NaN above and below."""
        A, B, C = self._quadratic()
        db = b - self.b
        root = B**2 * db**2 - 4 * A * (C * db**2 - 1)
        return self.a + np.where(root > 0, (-B * db + side * np.sqrt(np.maximum(root, 0))) / (2 * A), np.nan)

    def outline(self, points: int = 64) -> np.ndarray:
        """The outline (points, 2)."""
        t = np.linspace(0, 2 * np.pi, points, endpoint=False)
        u, v = self.half_a * np.cos(t), self.half_b * np.sin(t)
        cos, sin = np.cos(self.tilt), np.sin(self.tilt)
        return np.stack([self.a + cos * u - sin * v, self.b + sin * u + cos * v], axis=1)

    def enlarged(self, by: float) -> Heart:
        """The heart grown by the factor `by`, towards the subject's left."""
        return replace(
            self, half_a=self.half_a * by, half_b=self.half_b * (0.6 + 0.4 * by), a=self.a + 0.2 * (by - 1)
        )


@dataclass(frozen=True)
class Anatomy:
    """What makes one subject's chest look different from another's."""

    heart: Heart
    right_lung: np.ndarray  # control points (16, 2), outward positive
    left_lung: np.ndarray
    mediastinum: float  # half width
    first_rib: float
    rib_step: float
    rib_slope: float
    clavicle: float
    shoulder: float
    vessels: tuple[np.ndarray, ...]  # polylines, each (points, 2)
    half_width: float  # chest box in shares of the film
    half_height: float

    def lung(self, side: int) -> np.ndarray:
        """Outline (128, 2) of the lung on the image's left (-1) or right (1), less what the heart takes."""
        a, b = _closed_curve(self.right_lung if side < 0 else self.left_lung).T
        outline = self.heart.outline()
        widest = outline[np.argmax(side * outline[:, 0]), 1]
        # below its widest place the heart rests on the diaphragm: no lung under it
        border = side * self.heart.edge(np.minimum(b, widest), side) + 0.02
        return np.stack([side * np.fmax(a, border), b], axis=1)


@dataclass(frozen=True)
class Place:
    """Where the chest box lies on a film: centre and half sides, in pixels."""

    x: float
    y: float
    half_x: float
    half_y: float

    def to_film(self, points: np.ndarray) -> np.ndarray:
        """Points (..., 2) of the chest box's frame in film pixels."""
        return points * np.array([self.half_x, self.half_y]) + np.array([self.x, self.y])

    @property
    def box(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax in film pixels."""
        return (
            self.x - self.half_x,
            self.y - self.half_y,
            self.x + self.half_x,
            self.y + self.half_y,
        )


def _closed_curve(points: np.ndarray) -> np.ndarray:
    """A Catmull-Rom curve through closed control points (n, 2): (n * SAMPLES, 2)."""
    t = np.arange(SAMPLES)[:, None, None] / SAMPLES
    before, after, beyond = np.roll(points, 1, 0), np.roll(points, -1, 0), np.roll(points, -2, 0)
    curve = 0.5 * (
        2 * points
        + (after - before) * t
        + (2 * before - 5 * points + 4 * after - beyond) * t**2
        + (3 * points - before - 3 * after + beyond) * t**3
    )  # (SAMPLES, n, 2)
    return curve.transpose(1, 0, 2).reshape(-1, 2)


def _lung(rng: np.random.Generator, low: float) -> np.ndarray:
    points = LUNG + rng.normal(0, 0.008, LUNG.shape)
    points[DIAPHRAGM, 1] += low
    points[MEDIAL, 0] += rng.normal(0, 0.015)
    points[LATERAL, 0] += rng.normal(0, 0.012)
    return points


def _vessels(rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Branches that leave both hila and thin out; wandering lines in the chest box's frame."""
    lines = []
    for side in (-1, 1):
        for angle in np.linspace(-1.25, 1.35, 13) + rng.normal(0, 0.08, 13):
            steps = rng.integers(5, 9)
            turn = angle + np.cumsum(rng.normal(0, 0.13, steps))
            step = 0.085 * np.stack([np.cos(turn), np.sin(turn)], axis=1)
            line = np.array([0.17, rng.normal(-0.02, 0.07)]) + np.cumsum(step, axis=0)
            lines.append(line * np.array([side, 1.0]))
    return tuple(lines)


def draw_subject(rng: np.random.Generator) -> Anatomy:
    """One subject's anatomy; proportions vary by a few percent around a plain adult chest."""
    heart = Heart(
        a=rng.normal(0.15, 0.025),
        b=rng.normal(0.46, 0.03),
        half_a=np.clip(rng.normal(0.430, 0.022), 0.37, 0.48),
        half_b=rng.normal(0.32, 0.018),
        tilt=rng.normal(0.55, 0.08),
    )
    low = rng.normal(0, 0.03)
    return Anatomy(
        heart=heart,
        right_lung=_lung(rng, low),
        left_lung=_lung(rng, low + abs(rng.normal(0.05, 0.02))),
        mediastinum=rng.normal(0.15, 0.012),
        first_rib=rng.normal(-0.98, 0.03),
        rib_step=rng.normal(0.205, 0.010),
        rib_slope=rng.normal(0.20, 0.04),
        clavicle=rng.normal(-0.10, 0.05),
        shoulder=rng.normal(-0.95, 0.05),
        vessels=_vessels(rng),
        half_width=rng.normal(0.385, 0.016),
        half_height=rng.normal(0.355, 0.014),
    )


def pose(anatomy: Anatomy, rng: np.random.Generator, height: int, width: int) -> Place:
    """Where this subject's chest lies on a film of `height` x `width` pixels: each film differs."""
    grown = 1 + rng.normal(0, 0.03)
    return Place(
        x=width * (0.5 + rng.normal(0, 0.018)),
        y=height * (0.47 + rng.normal(0, 0.02)),
        half_x=width * min(anatomy.half_width * grown, 0.45),
        half_y=height * min(anatomy.half_height * grown, 0.42),
    )
