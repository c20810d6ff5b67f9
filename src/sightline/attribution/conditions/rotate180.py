"""The image turned upside down, by 180 degrees; in a volume every slice alike.

One of the mammography study's six transformations.
"""

from __future__ import annotations

import numpy as np

from sightline.frames import Frame

OPTIONS: dict[str, dict] = {}


def warp(shape: tuple[int, ...]) -> Frame:
    """Where the pixels of the altered image ([D,] H, W) lie in the unaltered one."""
    kept = len(shape) - 2
    height, width = shape[-2:]
    return Frame(tuple(shape), (-1.0, -1.0, *[1.0] * kept), (width - 1.0, height - 1.0, *[0.0] * kept))


def alter_pixels(image: np.ndarray, _generator: np.random.Generator) -> np.ndarray:
    """The image ([D,] H, W), turned."""
    return image[..., ::-1, ::-1].copy()
