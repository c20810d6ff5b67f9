"""Draws a mammogram: a breast's fat and glandular tissue, the muscle, the skin, lesions, label and grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from scipy import fft

from sightline.phantom.breast import lesions
from sightline.phantom.breast.lesions import Kind, Lesion
from sightline.phantom.breast.outline import Breast, Pose, muscle, skin
from sightline.phantom.shortcut import mark

# longest side on which the smooth parts are drawn; larger films are magnified from it, then grained
WORK = 512
# share of the breast that glandular tissue takes, by BI-RADS composition: the middles of its quarters
GLANDULAR = {1: 0.10, 2: 0.30, 3: 0.55, 4: 0.80}
SLOPE = 3.0  # of mammograms' power spectrum over frequency (Burgess, Jacobson, Judy, Med Phys 28:419, 2001)
FAT, GLAND, MUSCLE = 0.25, 0.27, 0.56
DRAWN_OUT = 1.7  # how much longer structures are towards the nipple than across
WHITE = 0.97


@dataclass(frozen=True)
class Mammogram:
    """A film and what it shows: everything but its pixels. Lesions lie where they are on the film."""

    side: str  # LEFT or RIGHT
    height: int
    width: int
    breast: Breast
    pose: Pose
    found: tuple[Lesion, ...]
    marker: tuple[int, int, int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the film, pixels."""
        return self.height, self.width


@dataclass(frozen=True)
class Look:
    """How films are drawn: factors on what lesions and tissue add, and what is not tissue."""

    contrast: float = 1.0  # of lesions; 0 plants labels and places but changes no pixel
    texture: float = 1.0  # of glandular tissue and strands; 0 is plain fat
    view_label: bool = True
    haze: float = 0.0  # brightness of the empty film: a digitised film is never quite black


def working(height: int, width: int) -> tuple[float, tuple[int, int]]:
    """The working grid of a film: its pixels per film pixel (at most 1) and its shape."""
    zoom = min(1.0, WORK / max(height, width))
    return zoom, (max(1, round(height * zoom)), max(1, round(width * zoom)))


def _grid(shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """x (1, w) and y (h, 1) of a grid's pixel centres, in shares of the film."""
    y, x = ((np.arange(side, dtype=np.float32) + 0.5) / side for side in shape)
    return x[None], y[:, None]


def tissue(breast: Breast, pose: Pose, height: int, width: int, muscled: bool = True) -> np.ndarray:
    """Where a left breast lies on its film: bool (h, w) on the working grid; without the muscle at will."""
    _, shape = working(height, width)
    x, y = _grid(shape)
    inside = x < skin(breast, pose, y)
    return inside if muscled else inside & (muscle(breast, pose, x, y) > 0)


def arrange(
    mammogram: Mammogram,
    kinds: Sequence[Kind],
    size: float,
    rng: np.random.Generator,
    reserved: tuple[int, int, int, int] | None = None,
    at_wall: bool = False,
) -> Mammogram:
    """`mammogram` with lesions of these `kinds`, in order, each where no other is, inside the breast.

    `size` scales them; where no room is left, lesions shrink to what there is. `reserved` is a box (film
    pixels, both ends inside) that they leave free; `at_wall` lays the first one across the film's edge at the
    chest wall.
    """
    zoom, shape = working(*mammogram.size)
    free = tissue(mammogram.breast, mammogram.pose, *mammogram.size, muscled=False)
    if reserved:
        left, top, right, bottom = reserved
        if mammogram.side == "RIGHT":
            left, right = mammogram.width - 1 - right, mammogram.width - 1 - left
        free[int(top * zoom) : int(bottom * zoom) + 2, int(left * zoom) : int(right * zoom) + 2] = False
    found = []
    for number, kind in enumerate(kinds):
        own = rng.spawn(1)[0]  # apart, so that one lesion's shape moves no other
        where = free if free.any() else np.ones(shape, bool)
        wall = at_wall and number == 0
        lesion = lesions.place(kind, where, mammogram.width, zoom, size, own, wall)
        found.append(lesion if mammogram.side == "LEFT" else lesion.mirrored(mammogram.width))
        taken = np.zeros(shape, np.uint8)
        points = (lesion.outline + 0.5) * zoom - 0.5
        cv2.fillPoly(taken, [np.round(points).astype(np.int32)], 1)
        free &= cv2.dilate(taken, np.ones((5, 5), np.uint8)) == 0
    return replace(mammogram, found=tuple(found))


def _clouds(shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Two fields (h, w) of noise whose power falls with the frequency to the `SLOPE`: mean 0, sd 1."""
    frequency = np.hypot(fft.fftfreq(shape[0])[:, None], DRAWN_OUT * fft.fftfreq(shape[1])[None])
    frequency[0, 0] = np.inf  # no mean
    white = rng.standard_normal((2, *shape), dtype=np.float32)
    field = fft.ifft2((white[0] + 1j * white[1]) * frequency.astype(np.float32) ** (-SLOPE / 2))
    first, second = (part / part.std() for part in (field.real, field.imag))
    return first, second


def _glandular(
    breast: Breast, pose: Pose, inside: np.ndarray, depth: np.ndarray, cloud: np.ndarray
) -> np.ndarray:
    """How glandular each pixel is, 0 to 1: a cone behind the nipple, broken up by `cloud`."""
    x, y = _grid(inside.shape)
    high = breast.half_height * pose.scale
    middle = pose.middle + breast.lateral * high * 0.5
    prior = np.exp(
        -(((x - 0.52 * breast.depth) / (0.36 * breast.depth)) ** 2) - ((y - middle) / (0.62 * high)) ** 2
    )
    field = cloud + 2.2 * prior
    share = GLANDULAR[min(4, max(1, breast.density))]
    level = np.quantile(field[inside], 1 - share) if inside.any() else 0.0
    gland = 1 / (1 + np.exp(-2.6 * (field - level)))
    return gland * np.clip((depth - 0.02) / 0.07, 0, 1)  # fat lies under the skin


def healthy(
    breast: Breast, pose: Pose, shape: tuple[int, int], look: Look, rng: np.random.Generator
) -> np.ndarray:
    """The breast without lesions on the working grid: float32 (h, w), 0 (air) to about 0.7."""
    x, y = _grid(shape)
    cloud, other = _clouds(shape, rng)
    inside = x < skin(breast, pose, y)
    depth = lesions.room(inside, beyond=True) / shape[1]  # below the skin, in shares of the width
    beyond = muscle(breast, pose, x, y)
    gland = look.texture * _glandular(breast, pose, inside & (beyond > 0), depth, cloud)
    strands = np.exp(-((other / 0.10) ** 2)) + 0.7 * np.exp(-(((other - 0.8) / 0.08) ** 2))
    fine = cv2.GaussianBlur(strands.astype(np.float32), (0, 0), 0.7) * (0.5 + 0.5 * gland)
    film = FAT + GLAND * gland * (1 + 0.18 * other) + look.texture * (0.03 * cloud + 0.08 * fine)
    edge = np.clip(0.5 - beyond / 0.06, 0, 1)  # the muscle's border is soft
    film += edge * (MUSCLE - 0.12 * np.clip(1 + beyond, 0, 1) + 0.03 * look.texture * other - film)
    thick = 1 - 0.62 * np.exp(-depth / 0.045)  # the compressed breast thins out towards its skin
    film = film * thick + 0.10 * np.exp(-((depth - 0.004) ** 2) / 0.004**2)
    return np.where(inside, np.maximum(film, 0.03), 0).astype(np.float32)


def render(mammogram: Mammogram, look: Look, rng: np.random.Generator) -> np.ndarray:
    """The film: float32 (height, width), 0 to 1; equal generators differ only where a lesion or marker is."""
    grain, growth = rng.spawn(2)  # apart, so that planting something does not change the grain
    zoom, shape = working(*mammogram.size)
    film = healthy(mammogram.breast, mammogram.pose, shape, look, growth)
    for lesion in mammogram.found:
        as_left = lesion if mammogram.side == "LEFT" else lesion.mirrored(mammogram.width)
        lesions.plant(film, as_left, look.contrast, zoom)
    if film.shape != mammogram.size:
        film = cv2.resize(film, mammogram.size[::-1], interpolation=cv2.INTER_CUBIC)
    noise = grain.standard_normal(film.shape, dtype=np.float32)
    film = np.where(film > 0.02, film + 0.010 * noise, look.haze * (1 + 0.15 * noise))
    film = film if mammogram.side == "LEFT" else film[:, ::-1]
    film = np.clip(np.ascontiguousarray(film), 0, 1, dtype=np.float32)
    if look.view_label:
        _burn_in(film, mammogram)
    if mammogram.marker:
        mark(film, mammogram.marker, WHITE)
    return film


def _burn_in(film: np.ndarray, mammogram: Mammogram) -> None:
    """The view's label in the upper corner away from the chest wall, in place."""
    text = f"{mammogram.side[0]} {mammogram.pose.view}"
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, mammogram.height / 640
    pen, margin = max(1, round(scale)), round(0.03 * min(film.shape))
    (wide, high), below = cv2.getTextSize(text, font, scale, pen)
    plate = np.zeros((high + below + 2, wide + 2), np.uint8)
    cv2.putText(plate, text, (1, high), font, scale, 255, pen, cv2.LINE_AA)
    left = film.shape[1] - margin - plate.shape[1] if mammogram.side == "LEFT" else margin
    corner = film[margin : margin + plate.shape[0], max(0, left) : max(0, left) + plate.shape[1]]
    ink = plate[: corner.shape[0], : corner.shape[1]].astype(np.float32) * np.float32(WHITE / 255)
    np.maximum(corner, ink, out=corner)
