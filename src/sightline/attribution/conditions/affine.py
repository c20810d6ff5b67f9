"""The image turned, scaled, sheared and shifted; in a volume every slice alike.

One of the mammography study's six transformations, which gives no numbers: the defaults are ours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from sightline.frames import Frame, resample, shown

OPTIONS = {
    "degrees": {
        "type": "number",
        "default": 15.0,
        "description": "Rotation about the image's centre, counterclockwise as it is seen.",
    },
    "scale": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.9,
        "description": "Magnification about the centre.",
    },
    "shear": {
        "type": "number",
        "default": 0.1,
        "description": "Pixels by which a row moves to the right per row further down, before the rotation.",
    },
    "shift": {
        "type": "array",
        "items": {"type": "number"},
        "minItems": 2,
        "maxItems": 2,
        "default": [0.05, 0.05],
        "description": "Then moved to the right and down, as shares of the image's width and height.",
    },
}


def warp(shape: tuple[int, ...], degrees: float, scale: float, shear: float, shift: Sequence[float]) -> Frame:
    """Where the pixels of the altered image ([D,] H, W) lie in the unaltered one."""
    turn = math.radians(degrees)
    cosine, sine = math.cos(turn), math.sin(turn)
    matrix = np.eye(len(shape))  # (x, y[, z]); y points down
    matrix[:2, :2] = scale * np.array([[cosine, sine], [-sine, cosine]]) @ [[1.0, shear], [0.0, 1.0]]
    sides = np.array(shape[:-3:-1])  # width, height
    offset = np.zeros(len(shape))
    centre = (sides - 1) / 2
    offset[:2] = centre + np.array(shift) * sides - matrix[:2, :2] @ centre
    return Frame.linear(shape, matrix, offset)


def alter_pixels(image: np.ndarray, _generator: np.random.Generator, **options: object) -> np.ndarray:
    """The image ([D,] H, W), uint8, warped; black where it shows nothing of the unaltered one."""
    before, after = Frame.of_image(image.shape), warp(image.shape, **options)
    pixels = np.rint(resample(image, before, after)).astype(np.uint8)
    return np.where(shown(before, after), pixels, np.uint8(0))
