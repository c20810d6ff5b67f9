"""Draws a chest film: densities of body, lungs, heart and bones, findings, grain; then equalised."""

from __future__ import annotations

import cv2
import numpy as np

from sightline.phantom.chest import findings
from sightline.phantom.chest.anatomy import Anatomy, Place
from sightline.phantom.chest.findings import Finding

# longest side on which the smooth parts are drawn; larger films are magnified from it, then grained
WORK = 512
SHIFT = 4  # binary digits of a pixel that OpenCV's drawing keeps


class Canvas:
    """The working grid of one film: draws shapes of the chest box's frame as smooth layers (0 to 1)."""

    def __init__(self, height: int, width: int, place: Place):
        """The grid for a film of `height` x `width` pixels whose chest lies at `place`."""
        self.size = height, width
        self.zoom = min(1.0, WORK / max(height, width))
        self.shape = max(1, round(height * self.zoom)), max(1, round(width * self.zoom))
        self.place = place
        self.unit = place.half_x * self.zoom  # half the chest's width, in working pixels
        middle, half = np.array([place.x, place.y]), np.array([place.half_x, place.half_y])
        grid = [(np.arange(side, dtype=np.float32) + 0.5) / self.zoom - 0.5 for side in self.shape]
        self.a = ((grid[1] - middle[0]) / half[0]).astype(np.float32)[None, :]  # (1, w)
        self.b = ((grid[0] - middle[1]) / half[1]).astype(np.float32)[:, None]  # (h, 1)

    def _fixed(self, points: np.ndarray) -> np.ndarray:
        film = (self.place.to_film(points) + 0.5) * self.zoom - 0.5
        return np.round(film * (1 << SHIFT)).astype(np.int32)

    def _layer(self, drawn: np.ndarray, blur: float) -> np.ndarray:
        sigma = blur * self.unit
        layer = drawn.astype(np.float32) * np.float32(1 / 255)
        if sigma > 3:  # so smooth that half the grid holds it
            half = cv2.resize(layer, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
            return cv2.resize(cv2.GaussianBlur(half, (0, 0), sigma / 2), layer.shape[::-1])
        return cv2.GaussianBlur(layer, (0, 0), sigma) if sigma > 0.2 else layer

    def areas(self, outlines: list[np.ndarray], blur: float) -> np.ndarray:
        """Filled outlines, their edges blurred by `blur` (in half chest widths)."""
        drawn = np.zeros(self.shape, np.uint8)
        for outline in outlines:
            cv2.fillPoly(drawn, [self._fixed(outline)], 255, cv2.LINE_AA, SHIFT)
        return self._layer(drawn, blur)

    def lines(self, groups: list[tuple[list[np.ndarray], float, int]], blur: float) -> np.ndarray:
        """Polylines, later ones on top: (lines, thickness in half chest widths, brightness of 255)."""
        drawn = np.zeros(self.shape, np.uint8)
        for lines, thickness, value in groups:
            pixels = max(1, round(thickness * self.unit))
            cv2.polylines(
                drawn, [self._fixed(line) for line in lines], False, value, pixels, cv2.LINE_AA, SHIFT
            )
        return self._layer(drawn, blur)


def _mirrored(points: list[tuple[float, float]]) -> np.ndarray:
    right = np.array(points)
    return np.concatenate([right, right[::-1] * (-1, 1)])


def _body(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    s = anatomy.shoulder
    torso = [
        (0.30, -2.2),
        (0.32, -1.30),
        (0.55, s - 0.18),
        (1.05, s - 0.02),
        (1.20, -0.35),
        (1.22, 0.3),
        (1.20, 2.2),
    ]
    arms = [(0.55, s - 0.16), (1.15, s - 0.06), (1.50, s + 0.22), (1.75, 0.10), (1.42, 0.15), (1.22, -0.25)]
    trunk = canvas.areas([_mirrored(torso)], 0.05)
    limbs = canvas.areas([np.array(arms), np.array(arms) * (-1, 1)], 0.06)
    return np.maximum(trunk, 0.8 * limbs)


def _ribs(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    t = np.linspace(0, 1, 14)
    back, front = [], []
    for number in range(9):
        b = anatomy.first_rib + anatomy.rib_step * number
        reach = np.interp(b + 0.15, [-1.0, -0.8, -0.4, 0.1, 0.6], [0.50, 0.66, 0.84, 0.95, 1.0])
        for side in (-1, 1):
            bend = b - 0.07 * np.sin(np.pi * t) + anatomy.rib_slope * t**2
            back.append(np.stack([side * (0.10 + (reach - 0.10) * t), bend], axis=1))
            fall = b + anatomy.rib_slope + 0.02 + 0.40 * t**0.8
            front.append(np.stack([side * reach * (1 - 0.62 * t), fall], axis=1))
    groups = [(front, 0.075, 70), (front, 0.045, 45), (back, 0.085, 170), (back, 0.050, 105)]
    return canvas.lines(groups, 0.008)


def _shoulder_girdle(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    t = np.linspace(0, 1, 12)
    collar = np.stack(
        [0.10 + 0.98 * t, -0.80 + (anatomy.clavicle - 0.1) * t + 0.05 * np.sin(2 * np.pi * t)], axis=1
    )
    blade = np.stack([1.02 + 0.10 * np.sin(3 * t), -0.92 + 0.75 * t], axis=1)
    both = [collar, collar * (-1, 1)]
    return canvas.lines(
        [([blade, blade * (-1, 1)], 0.10, 60), (both, 0.105, 190), (both, 0.06, 130)],
        0.010,
    )


def _vessels(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    near = [line[:3] for line in anatomy.vessels]
    return canvas.lines([(list(anatomy.vessels), 0.016, 95), (near, 0.045, 150)], 0.012)


def densities(canvas: Canvas, anatomy: Anatomy) -> np.ndarray:
    """The healthy chest on the canvas's grid: float32, about 0 (air outside) to 1 (abdomen, spine)."""
    a, b = canvas.a, canvas.b
    body = _body(canvas, anatomy)
    lungs = canvas.areas([anatomy.lung(-1), anatomy.lung(1)], 0.018)
    heart = canvas.areas([anatomy.heart.outline()], 0.03)
    knob = np.exp(-(((a - 0.19) / 0.10) ** 2)) * np.exp(-(((b + 0.36) / 0.12) ** 2))
    hila = np.exp(-(((np.abs(a) - 0.22) / 0.10) ** 2)) * np.exp(-(((b + 0.02) / 0.16) ** 2))
    middle = 1 / (1 + np.exp(45 * (np.abs(a - 0.03) - anatomy.mediastinum - 0.05 * np.tanh(2 * b))))
    middle = np.maximum(middle, heart)
    spine = np.exp(-((a / 0.13) ** 4)) * (1 + 0.35 * np.cos(2 * np.pi * b / 0.17))
    windpipe = np.exp(-((a / 0.065) ** 4)) / (1 + np.exp(14 * (b + 0.42)))
    belly = (1 - lungs) / (1 + np.exp(-8 * (b - 0.62))) * (1 - 0.25 * a**2)
    # the chest is deepest, and so the lungs darkest, away from their edges
    depth = 1 - 0.18 * np.clip(np.abs(a), 0, 1) ** 2 - 0.10 * b
    flank = 1 - 0.16 * np.clip(np.abs(a), 0, 1.4) ** 2
    film = 0.03 + body * (0.50 * flank + 0.24 * belly + 0.20 * middle + 0.07 * spine - 0.10 * windpipe)
    film += 0.10 * knob - 0.34 * lungs * depth
    film += (0.05 + 0.09 * lungs) * _ribs(canvas, anatomy) * body
    film += 0.10 * _shoulder_girdle(canvas, anatomy) * np.minimum(1, body)
    film += lungs * (0.17 * _vessels(canvas, anatomy) + 0.10 * hila)
    return film.astype(np.float32)


def _levels(film: np.ndarray) -> np.ndarray:
    return np.clip(film * 225 + 6, 0, 255).astype(np.uint8)


def tone_curve(film: np.ndarray) -> np.ndarray:
    """The 256 grey levels that equalise the histogram of `film` (densities), spread as exposure will."""
    counts = np.bincount(_levels(film).ravel(), minlength=256).astype(np.float32)
    spread = cv2.GaussianBlur(counts[None], (0, 0), 3.3, borderType=cv2.BORDER_REPLICATE)[0]
    below = np.cumsum(spread) - 0.5 * spread
    return np.round(255 * (below - below[0]) / (below[-1] - below[0])).astype(np.uint8)


def _finish(canvas: Canvas, film: np.ndarray, tones: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """To the size on disk, with uneven exposure and grain, in the grey levels `tones`."""
    exposure = 0.012 * rng.standard_normal((5, 4), dtype=np.float32)
    film = film + cv2.resize(exposure, film.shape[::-1], interpolation=cv2.INTER_CUBIC)
    if film.shape != canvas.size:
        film = cv2.resize(film, canvas.size[::-1], interpolation=cv2.INTER_CUBIC)
    film += 0.009 * rng.standard_normal(canvas.size, dtype=np.float32)
    return tones[_levels(film)]


def frontal(
    canvas: Canvas,
    anatomy: Anatomy,
    usual: Anatomy,
    planted: list[Finding],
    rng: np.random.Generator,
    contrast: float,
) -> np.ndarray:
    """A frontal film of the canvas's size, uint8. Equal generators: equal films, but where they must differ.

    Its histogram is equalised as upstream's films are, but by the levels of the `usual` chest, the one
    without findings: equalising the film itself would spread every finding's trace over all its pixels.
    """
    grain, textures = rng.spawn(2)  # apart, so that planting something does not change the grain
    film = densities(canvas, anatomy)
    tones = tone_curve(film if usual is anatomy else densities(canvas, usual))
    for finding in planted:
        findings.plant(film, finding, textures, contrast, canvas.zoom, canvas.place.x)
    return _finish(canvas, film, tones, grain)


def lateral(canvas: Canvas, rng: np.random.Generator) -> np.ndarray:
    """A lateral film, as plain as a distractor may be: trunk, spine behind, heart and diaphragm below."""
    a, b = canvas.a, canvas.b
    trunk = 1 / (1 + np.exp(14 * (np.abs(a + 0.05 * b) - 0.95 - 0.1 * b)))
    lung = np.exp(-(np.abs(a / 0.78) ** 3) - np.abs((b + 0.15) / 0.75) ** 4)
    spine = np.exp(-(((a - 0.55 - 0.12 * np.cos(1.6 * b)) / 0.13) ** 4)) * (
        1 + 0.15 * np.cos(2 * np.pi * b / 0.2)
    )
    heart = np.exp(-((((a + 0.25) / 0.36) ** 2 + ((b - 0.28) / 0.34) ** 2) ** 2))
    film = 0.03 + trunk * (0.62 - 0.30 * lung + 0.20 * spine) + 0.16 * heart * trunk
    film = film.astype(np.float32)
    return _finish(canvas, film, tone_curve(film), rng)
