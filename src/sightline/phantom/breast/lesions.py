"""Masses and calcifications: what one is, where it may lie in a breast, and what it does to the film.

Malignant masses are irregular, dense and spiculated, benign ones smooth ovals and fainter. Malignant
calcifications are fine, of many shapes and close together, benign ones coarse, round and scattered.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

POINTS = 72  # of a mass's outline
SHIFT = 4  # binary digits of a pixel that OpenCV's drawing keeps
# half the mean size of a mass and of a calcified area, in shares of the film's width
SIZE = {"mass": (0.070, 0.115), "calcification": (0.075, 0.125)}
# what a lesion adds to the film's brightness (0 to 1) at subtlety 5 and contrast 1
MASS = {True: 0.40, False: 0.24}
SPECK = {True: 0.55, False: 0.50}
HAZE = 0.07  # of a malignant cluster's own tissue
FAINTEST = 0.35  # share of that at subtlety 1


@dataclass(frozen=True)
class Kind:
    """What is to be planted."""

    lesion: str  # mass or calcification
    malignant: bool
    subtlety: int  # 1 subtle to 5 obvious


@dataclass(frozen=True)
class Lesion:
    """A lesion at its place, in film pixels: nothing outside its outline is changed."""

    kind: Kind
    outline: np.ndarray  # (points, 2) x, y
    centre: tuple[float, float]
    radii: np.ndarray  # of a mass: (POINTS,) from the centre to the outline, at equal angles; else empty
    spicules: np.ndarray  # (n,) angles
    specks: np.ndarray  # (n, 5): x, y, half length, half width, angle
    turned: bool = False  # whether it lies on a right film, mirrored

    @property
    def box(self) -> tuple[float, float, float, float]:
        """xmin, ymin, xmax, ymax of the outline."""
        low, high = self.outline.min(0), self.outline.max(0)
        return float(low[0]), float(low[1]), float(high[0]), float(high[1])

    def mask(self, height: int, width: int) -> np.ndarray:
        """The outline filled: bool (height, width)."""
        if self.turned:  # exactly what was drawn
            return self.mirrored(width).mask(height, width)[:, ::-1]
        drawn = np.zeros((height, width), np.uint8)
        cv2.fillPoly(drawn, [np.round(self.outline * (1 << SHIFT)).astype(np.int32)], 1, cv2.LINE_8, SHIFT)
        return drawn.astype(bool)

    def mirrored(self, width: int) -> Lesion:
        """The lesion on the film of the other side; only its places, for what is drawn is drawn before."""
        outline, specks = self.outline * (-1, 1) + (width - 1, 0), self.specks.copy()
        specks[:, 0] = width - 1 - specks[:, 0]
        centre = (width - 1 - self.centre[0], self.centre[1])
        return replace(self, outline=outline, centre=centre, specks=specks, turned=not self.turned)


def room(tissue: np.ndarray, beyond: bool = False) -> np.ndarray:
    """How far every pixel of `tissue` (bool (h, w)) is from what is none: float32, pixels.

    None is also what lies across all edges but the left one, unless tissue goes on `beyond` the film.
    """
    padded = np.pad(tissue.astype(np.uint8), ((1, 1), (0, 1)), mode="edge" if beyond else "constant")
    return cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, :-1]


def place(
    kind: Kind,
    tissue: np.ndarray,
    width: int,
    zoom: float,
    size: float,
    rng: np.random.Generator,
    at_wall: bool = False,
) -> Lesion:
    """A lesion where `tissue` (bool (h, w), `zoom` of its pixels to one of the film's) has room for it.

    `width`: of the film, in pixels; `size`: factor on the lesion's usual size. Where the tissue is too small
    for it, the lesion shrinks. `at_wall`: where there is room, across the film's edge at the chest wall; its
    outline is cut one pixel outside.
    """
    free, across = room(tissue), np.arange(1, tissue.shape[1] + 1, dtype=np.float32)[None]
    low, high = SIZE[kind.lesion]
    radius = size * rng.uniform(low, high) * width
    if at_wall:
        column = int(0.6 * radius * zoom)
        rows = np.flatnonzero(free[:, column] >= radius * zoom)
        if rows.size:
            lesion = grown(kind, (0.6 * radius, (int(rng.choice(rows)) + 0.5) / zoom - 0.5), radius, rng)
            return replace(lesion, outline=np.maximum(lesion.outline, (-1, -np.inf)))
    free = np.minimum(free, across)
    radius = min(radius, 0.95 * float(free.max()) / zoom)
    ys, xs = np.nonzero(free >= min(radius * zoom + 0.5, float(free.max())))
    pick = int(rng.integers(len(ys)))
    x, y = ((xs[pick] + 0.5) / zoom - 0.5, (ys[pick] + 0.5) / zoom - 0.5)
    return grown(kind, (float(x), float(y)), float(radius), rng)


def grown(kind: Kind, centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Lesion:
    """A lesion of this kind around `centre` that stays within `radius`, both in film pixels."""
    if kind.lesion == "mass":
        return _mass(kind, centre, radius, rng)
    return _calcifications(kind, centre, radius, rng)


def _mass(kind: Kind, centre: tuple[float, float], radius: float, rng: np.random.Generator) -> Lesion:
    angles = np.arange(POINTS) * (2 * np.pi / POINTS)
    ratio, tilt = rng.uniform(0.68, 0.95), rng.uniform(0, np.pi)
    oval = ratio / np.hypot(ratio * np.cos(angles - tilt), np.sin(angles - tilt))
    waves = np.arange(3, 10)
    strength = 0.13 if kind.malignant else 0.012
    wave = rng.normal(0, strength, waves.size) / np.sqrt(waves / 3)
    phase = rng.uniform(0, 2 * np.pi, waves.size)
    rough = 1 + (wave * np.cos(waves * angles[:, None] + phase)).sum(1)
    radii = oval * np.clip(rough, 0.5, 1.5)
    radii *= radius / radii.max()
    outline = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], axis=1)
    count = int(rng.integers(11, 18)) if kind.malignant else 0
    spicules = np.sort((np.arange(count) + rng.uniform(-0.35, 0.35, count)) * (2 * np.pi / max(count, 1)))
    return Lesion(kind, outline, centre, radii, spicules, np.zeros((0, 5)))


def _calcifications(
    kind: Kind, centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> Lesion:
    if kind.malignant:  # fine, of many shapes, close together
        count, spread = int(rng.integers(18, 32)), 0.62
        length = radius * rng.uniform(0.035, 0.085, count)
        breadth = length * rng.uniform(0.3, 1.0, count)
    else:  # coarse, round, scattered
        count, spread = int(rng.integers(4, 8)), 0.80
        length = radius * rng.uniform(0.11, 0.19, count)
        breadth = length * rng.uniform(0.85, 1.0, count)
    away = radius * spread * np.sqrt(rng.uniform(0, 1, count))
    turn = rng.uniform(0, 2 * np.pi, count)
    x, y = centre[0] + away * np.cos(turn), centre[1] + away * np.sin(turn)
    specks = np.stack([x, y, length, breadth, rng.uniform(0, np.pi, count)], axis=1)
    around = np.arange(12) * (2 * np.pi / 12)
    ring = np.stack([np.cos(around), np.sin(around)], axis=1)
    margin = 0.06 * radius + 1.0  # a reader draws around the specks, not through them
    cloud = (specks[:, None, :2] + (length[:, None, None] * 1.05 + margin) * ring[None]).reshape(-1, 2)
    hull = cv2.convexHull(cloud.astype(np.float32))[:, 0].astype(float)
    return Lesion(kind, hull, centre, np.zeros(0), np.zeros(0), specks)


def plant(film: np.ndarray, lesion: Lesion, contrast: float, zoom: float) -> None:
    """Add a lesion to `film` (brightness, 0 to 1), in place; outside its outline nothing changes.

    `zoom`: pixels of `film` per pixel of the film on disk.
    """
    if contrast == 0:
        return
    left, top, right, bottom = (
        int(limit) for limit in np.clip(_working(np.array(lesion.box).reshape(2, 2), zoom), 0, None).ravel()
    )
    window = film[top : bottom + 2, left : right + 2]
    if not window.size:
        return
    inside = np.zeros(window.shape, np.uint8)
    outline = _working(lesion.outline, zoom) - (left, top)
    cv2.fillPoly(inside, [np.round(outline * (1 << SHIFT)).astype(np.int32)], 1, cv2.LINE_8, SHIFT)
    strength = contrast * (FAINTEST + (1 - FAINTEST) * (lesion.kind.subtlety - 1) / 4)
    change = _mass_change if lesion.kind.lesion == "mass" else _speck_change
    window += np.where(inside, np.float32(strength) * change(lesion, window.shape, (left, top), zoom), 0)


def _working(points: np.ndarray, zoom: float) -> np.ndarray:
    """Points (n, 2) of the film in pixels of the working grid."""
    return (points + 0.5) * zoom - 0.5


def _mass_change(lesion: Lesion, shape: tuple[int, int], corner: tuple[int, int], zoom: float) -> np.ndarray:
    middle = _working(np.array([lesion.centre]), zoom)[0] - corner
    dx = np.arange(shape[1], dtype=np.float32)[None] - middle[0]
    dy = np.arange(shape[0], dtype=np.float32)[:, None] - middle[1]
    distance, angle = np.hypot(dx, dy), np.arctan2(dy, dx) % (2 * np.pi)
    places = np.arange(POINTS + 1) * (2 * np.pi / POINTS)
    reach = np.interp(angle, places, np.append(lesion.radii, lesion.radii[0])) * zoom
    share = distance / np.maximum(reach, 1e-6)  # 1 on the outline
    height = MASS[lesion.kind.malignant]
    if not lesion.kind.malignant:  # even, with a sharp smooth margin
        return height * np.clip((1 - share) * 5, 0, 1)
    core = np.clip((0.72 - share) * 3.0, 0, 1) + 0.15 * np.clip(1 - share, 0, 1)
    rays = np.zeros(shape, np.float32)
    thick = max(0.8, 0.045 * float(lesion.radii.max()) * zoom)
    for towards in lesion.spicules:
        along = dx * np.cos(towards) + dy * np.sin(towards)
        across = dx * np.sin(towards) - dy * np.cos(towards)
        rays = np.maximum(rays, np.exp(-((across / thick) ** 2)) * (along > 0))
    return height * np.maximum(core, 0.75 * rays * np.clip(1.25 - share, 0, 1))


def _speck_change(lesion: Lesion, shape: tuple[int, int], corner: tuple[int, int], zoom: float) -> np.ndarray:
    change = np.zeros(shape, np.float32)
    height = SPECK[lesion.kind.malignant]
    places = _working(lesion.specks[:, :2], zoom) - corner
    for (x, y), (length, breadth, angle) in zip(places, lesion.specks[:, 2:]):
        long, broad = max(length * zoom, 0.55), max(breadth * zoom, 0.55)
        top, left = max(0, int(y - long) - 1), max(0, int(x - long) - 1)
        part = change[top : int(y + long) + 3, left : int(x + long) + 3]
        dx = np.arange(left, left + part.shape[1], dtype=np.float32)[None] - x
        dy = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - y
        u = (dx * np.cos(angle) + dy * np.sin(angle)) / long
        v = (dx * np.sin(angle) - dy * np.cos(angle)) / broad
        np.maximum(part, height * np.clip(1.6 * (1.25 - np.hypot(u, v)), 0, 1), out=part)
    if lesion.kind.malignant:
        middle = _working(np.array([lesion.centre]), zoom)[0] - corner
        dx = np.arange(shape[1], dtype=np.float32)[None] - middle[0]
        dy = np.arange(shape[0], dtype=np.float32)[:, None] - middle[1]
        extent = max(1.0, float(np.ptp(lesion.outline[:, 0])) / 2 * zoom)
        change += HAZE * np.clip(1.2 - np.hypot(dx, dy) / extent, 0, 1)
    return change
