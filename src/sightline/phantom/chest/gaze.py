"""Simulated readers: fixations from one law of anatomy for every chest, mixed with dwell on findings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sightline.phantom.chest.anatomy import Place
from sightline.phantom.chest.findings import Finding
from sightline.randomness import generator

# where chests are looked at, whatever they show: a, b, sd of a, sd of b (chest box's frame), weight
ANATOMY = np.array(
    [
        (-0.50, -0.50, 0.17, 0.20, 0.11),  # upper lungs
        (0.50, -0.50, 0.17, 0.20, 0.11),
        (-0.52, 0.02, 0.18, 0.20, 0.10),  # middle
        (0.52, 0.00, 0.18, 0.20, 0.09),
        (-0.54, 0.45, 0.18, 0.18, 0.11),  # lower
        (0.60, 0.48, 0.16, 0.18, 0.09),
        (-0.24, -0.02, 0.09, 0.14, 0.08),  # hila
        (0.26, -0.04, 0.09, 0.14, 0.08),
        (0.18, 0.42, 0.20, 0.18, 0.11),  # heart
        (0.02, -0.42, 0.10, 0.22, 0.06),  # mediastinum
        (-0.80, 0.74, 0.08, 0.09, 0.03),  # costophrenic angles
        (0.80, 0.76, 0.08, 0.09, 0.03),
    ]
)
VIEWPORT = (661, 0, 3180, 2160)  # part of the 3840x2160 screen that shows the film
SCREEN_PIXELS_PER_DEGREE = 94.0
COLUMNS = (
    "timestamp_start_fixation",
    "timestamp_end_fixation",
    "x_position",
    "y_position",
    "pupil_area_normalized",
    "angular_resolution_x_pixels_per_degree",
    "angular_resolution_y_pixels_per_degree",
    "window_width",
    "window_level",
    "xmin_shown_from_image",
    "ymin_shown_from_image",
    "xmax_shown_from_image",
    "ymax_shown_from_image",
    "xmin_in_screen_coordinates",
    "ymin_in_screen_coordinates",
    "xmax_in_screen_coordinates",
    "ymax_in_screen_coordinates",
)


@dataclass(frozen=True)
class Reader:
    """One reader's habits: weights of the anatomy's parts, factors on number of fixations and dwell."""

    weights: np.ndarray
    fixations: float
    dwell: float
    spread: float  # of the anatomy's parts


def draw_readers(seed: int, count: int, differences: float) -> list[Reader]:
    """`count` readers; at `differences` 0 all are alike, at 1 their habits differ by about half."""
    readers = []
    for number in range(count):
        rng = generator(seed, "phantom", "reader", number)
        weights = ANATOMY[:, 4] * np.exp(differences * rng.normal(0, 0.5, len(ANATOMY)))
        factors = np.exp(differences * np.clip(rng.normal(0, 0.35, 3), -0.7, 0.7))
        readers.append(Reader(weights / weights.sum(), factors[0], factors[1], factors[2] ** 0.5))
    return readers


def _positions(
    rng: np.random.Generator, reader: Reader, place: Place, found: list[Finding], dwell: float, count: int
) -> np.ndarray:
    """Film positions (count, 2): on a finding with probability `dwell` x the reader's factor."""
    part = rng.choice(len(ANATOMY), size=count, p=reader.weights)
    drawn = ANATOMY[part, :2] + rng.normal(size=(count, 2)) * ANATOMY[part, 2:4] * reader.spread
    positions = place.to_film(drawn)
    on_finding = rng.random(count) < min(1.0, dwell * reader.dwell)
    which, within = rng.random(count), np.clip(rng.normal(0, 0.38, (count, 2)), -0.95, 0.95)
    if not found:
        return positions
    places = np.array([(f.x, f.y, f.half_x, f.half_y) for f in found])
    target = places[(which * len(found)).astype(int)]
    return np.where(on_finding[:, None], target[:, :2] + within * target[:, 2:], positions)


def _shown(
    rng: np.random.Generator, positions: np.ndarray, zoom: np.ndarray, height: int, width: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At each of n fixations: shown rectangle, rectangle on screen (n, 4), screen per image pixels (n,).

    A zoomed view keeps the place that is looked at inside it; the film's edges bound it.
    """
    viewport = np.array([VIEWPORT[2] - VIEWPORT[0], VIEWPORT[3] - VIEWPORT[1]], dtype=float)
    film = np.array([width, height], dtype=float)
    scale = zoom * min(viewport / film)  # (n,)
    size = np.minimum(film, viewport / scale[:, None])
    start = positions - size * np.clip(rng.normal(0.5, 0.1, (len(zoom), 2)), 0.2, 0.8)
    start = np.clip(start, 0, film - size)
    shown = np.round(np.concatenate([start, start + size], axis=1))
    on_screen = size * scale[:, None]
    corner = np.array(VIEWPORT[:2]) + (viewport - on_screen) / 2
    return shown, np.round(np.concatenate([corner, corner + on_screen], axis=1)), scale


def look(
    rng: np.random.Generator,
    reader: Reader,
    place: Place,
    found: list[Finding],
    size: tuple[int, int],
    settings: dict,
) -> np.ndarray:
    """One reading: (fixations, 17) in the order of `COLUMNS`. `size` is the film's (height, width).

    Whether a view is zoomed, a glance leaves the film or lasts long depends on nothing that the film shows,
    so that at `dwell` 0 gaze and findings are independent.
    """
    height, width = size
    expected = settings["fixations"] * reader.fixations
    count = int(np.clip(round(expected * np.exp(rng.normal(0, 0.22))), 2, 4 * settings["fixations"]))
    positions = _positions(rng, reader, place, found, settings["dwell"], count)

    runs = -(-count // 6)  # a view is kept for about six fixations
    zoomed = np.repeat(rng.random(runs) < settings["zoomed"], 6)[:count]
    zoom = np.where(zoomed, np.repeat(rng.uniform(1.5, 2.6, runs), 6)[:count], 1.0)
    away = rng.random(count) < settings["off_image"]
    beside = np.stack([-0.02 - 0.25 * rng.random(count), rng.uniform(0.05, 1.05, count)], axis=1)
    beside[rng.random(count) < 0.3, 0] += 1.3  # some on the other side
    positions = np.where(away[:, None], beside * (width, height), positions)
    zoom[away] = 1.0

    shown, on_screen, scale = _shown(rng, positions, zoom, height, width)
    durations = np.clip(rng.gamma(6.0, 0.38 / 6.0, count), 0.08, 1.6)
    gaps = rng.uniform(0.02, 0.07, count) + 0.2 * (rng.random(count) < 0.05)  # saccades; now and then a blink
    ends = np.cumsum(durations + gaps) - rng.uniform(0.0, 0.6)
    resolution = SCREEN_PIXELS_PER_DEGREE / scale[:, None] * rng.normal(1, 0.01, (count, 2)).clip(0.97, 1.03)
    windowed = np.arange(count) >= (rng.integers(count) if rng.random() < 0.3 else count)
    window = np.where(windowed[:, None], rng.uniform((0.6, 0.35), (0.95, 0.6)), (1.0, 0.5))
    columns = [ends - durations, ends, *np.round(positions).T, rng.normal(1, 0.08, count)]
    columns += [*np.maximum(1, np.round(resolution)).T, *window.T, *shown.T, *on_screen.T]
    return np.stack(columns, axis=1)
