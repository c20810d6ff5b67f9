"""One mammogram of a phantom laid out from its writer's settings, and drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.phantom.breast.film import Look, Mammogram, arrange, render
from sightline.phantom.breast.lesions import Kind
from sightline.phantom.breast.outline import draw_breast, pose
from sightline.phantom.shortcut import Shortcut
from sightline.randomness import generator

LABELS = ("benign", "malignant")


def lay_out(
    film: tuple[str, str, str],
    kinds: Sequence[Kind],
    density: int,
    evaluated: bool,
    seed: int,
    settings: dict,
    at_wall: bool = False,
) -> Mammogram:
    """The film of (patient, side, view) with lesions of these `kinds`; what differs follows from `seed`.

    `density`: of the breast, 1 to 4; `evaluated`: whether the film tests, so that a marker follows no label
    there; `settings`: height, width, size_variation, lesion_size and marker of a writer;
    `at_wall`: whether the first lesion lies across the film's edge.
    """
    patient, side, view = film
    rng = generator(seed, "phantom", "film", *film)
    vary = 1 + settings["size_variation"] * rng.uniform(-1, 1, 2)
    height, width = (round(settings[name] * by) for name, by in zip(("height", "width"), vary))
    breast = draw_breast(generator(seed, "phantom", "breast", patient, side), density)
    corner = marker = None
    if settings["marker"] is not None:
        shortcut = Shortcut(**settings["marker"])
        label = LABELS[any(kind.malignant for kind in kinds)]
        draw = generator(seed, "phantom", "marker", *film).random()
        corner = shortcut.box(height, width)  # kept free, marker or not
        if shortcut.present(label == shortcut.label, evaluated, draw):
            marker = corner
    plain = Mammogram(side, height, width, breast, pose(rng, view), (), marker)
    rng = generator(seed, "phantom", "place", *film)
    return arrange(plain, kinds, settings["lesion_size"], rng, corner, at_wall)


def draw(
    mammogram: Mammogram, film: tuple[str, str, str], seed: int, settings: dict, haze: float
) -> np.ndarray:
    """The pixels of a film that `lay_out` laid out: float32 (height, width), 0 to 1."""
    look = Look(settings["contrast"], settings["texture"], settings["view_label"], haze)
    return render(mammogram, look, generator(seed, "phantom", "pixels", *film))


def stored(film: np.ndarray) -> np.ndarray:
    """A film (float, 0 to 1) in 12 bits: uint16, 0 to 4095."""
    return np.round(film * 4095).astype(np.uint16)
