"""A black rectangle of random size at a random place hides a part of the image (in a volume: a box).

One of the mammography study's six transformations, which gives no bounds for the size: ours are options.
"""

from __future__ import annotations

import numpy as np

from sightline.errors import ConfigError

OPTIONS = {
    "smallest": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1,
        "default": 0.1,
        "description": "The rectangle's shortest possible side, as a share of the image's.",
    },
    "largest": {
        "type": "number",
        "exclusiveMinimum": 0,
        "maximum": 1,
        "default": 0.5,
        "description": "Its longest possible side; sides are drawn evenly between the two, each for itself.",
    },
}


def alter_pixels(
    image: np.ndarray, generator: np.random.Generator, smallest: float, largest: float
) -> np.ndarray:
    """The image ([D,] H, W), uint8, with a part set to 0; the rectangle lies wholly inside.

    Raises `ConfigError` where `smallest` is above `largest`.
    """
    if smallest > largest:
        raise ConfigError(f"condition 'black_rectangle': smallest {smallest} is above largest {largest}")
    altered = image.copy()
    window = []
    for length in image.shape:
        side = max(1, round(length * generator.uniform(smallest, largest)))
        start = generator.integers(0, length - side, endpoint=True)
        window.append(slice(start, start + side))
    altered[tuple(window)] = 0
    return altered
