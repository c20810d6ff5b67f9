"""A breast's proportions, and where its skin and the pectoral muscle lie on a view of it.

Drawn as a left breast: the chest wall is the film's left edge; whoever draws a right one mirrors the film.
x runs over the film's width and y over its height, both from 0 to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIDES = ("LEFT", "RIGHT")
VIEWS = ("CC", "MLO")


@dataclass(frozen=True)
class Breast:
    """What makes one breast look different from another's; lengths in shares of the film."""

    density: int  # BI-RADS composition, 1 (fat) to 4 (extremely dense)
    depth: float  # chest wall to nipple, of the width
    half_height: float  # of the height, on CC
    fullness: float  # exponent of the outline: 2 an ellipse, more is squarer
    lateral: float  # how far glandular tissue lies to one side, of the half height
    muscle: tuple[float, float]  # where the muscle's edge meets the film's top and left edge, on MLO


@dataclass(frozen=True)
class Pose:
    """How one view shows a breast: where its nipple's height lies, and how large it came out."""

    view: str  # CC or MLO
    middle: float  # height of the nipple, of the film's
    scale: float


def draw_breast(rng: np.random.Generator, density: int) -> Breast:
    """One breast of BI-RADS composition `density` (1 to 4)."""
    return Breast(
        density=density,
        depth=float(np.clip(rng.normal(0.66, 0.07), 0.5, 0.82)),
        half_height=float(np.clip(rng.normal(0.40, 0.03), 0.32, 0.46)),
        fullness=rng.uniform(1.9, 2.5),
        lateral=rng.uniform(-0.25, 0.25),
        muscle=(rng.uniform(0.34, 0.50), rng.uniform(0.42, 0.60)),
    )


def pose(rng: np.random.Generator, view: str) -> Pose:
    """How a film of `view` shows a breast: each film differs."""
    middle = rng.normal(0.5, 0.02) if view == "CC" else rng.normal(0.62, 0.02)
    return Pose(view, float(middle), float(np.clip(rng.normal(1, 0.03), 0.92, 1.08)))


def skin(breast: Breast, at: Pose, y: np.ndarray) -> np.ndarray:
    """The outline's x at heights `y` (any shape), in shares of the width; 0 where there is no breast."""
    depth = breast.depth * at.scale
    down = (y - at.middle) / (breast.half_height * at.scale * (1.0 if at.view == "CC" else 0.84))
    if at.view == "CC":
        profile = np.abs(down) ** breast.fullness
    else:  # above the nipple the breast runs into the armpit, beyond the film's top
        up = (at.middle - y) / (0.82 * at.scale)
        profile = np.where(down > 0, np.abs(down) ** breast.fullness, np.abs(up) ** 1.45)
    edge = depth * np.sqrt(np.clip(1 - profile, 0, None))
    nipple = 0.025 * np.exp(-(((y - at.middle) / 0.020) ** 2))
    return np.where(edge > 0, edge + nipple, 0.0)


def muscle(breast: Breast, at: Pose, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How far (x, y) lies beyond the pectoral muscle's edge: below 0 inside it; 1 everywhere on CC."""
    if at.view == "CC":
        return np.ones(np.broadcast_shapes(x.shape, y.shape))
    across, down = breast.muscle
    # slightly convex, as the muscle hangs
    return x / across + y / down - 1 - 0.35 * (x / across) * np.clip(1 - y / down, 0, 1)
