"""A training of seconds on the phantom's own films: is there a marker in the corner?"""

import numpy as np

from sightline.models.examples import Examples
from sightline.models.recipe import Recipe
from sightline.models.training import Fit, fit
from sightline.phantom.chest import film as drawing
from sightline.phantom.chest.anatomy import draw_subject, pose
from sightline.phantom.shortcut import mark

LABELS = ("No Finding", "Marker")


class Memory:
    """A store of pixels in memory: images by id."""

    def __init__(self, held: dict[str, np.ndarray]):
        self.held = held

    def get(self, image: str, side: int, geometry: str) -> np.ndarray:
        return self.held[image]

    def images(self, side: int, geometry: str) -> list[str]:
        return sorted(self.held)


def films(count: int, geometry: str, side: int = 64) -> Examples:
    """Frontal films of `side` pixels (explain: some taller), a marker on every second one."""
    held, targets = {}, np.zeros((count, 2), dtype=np.float32)
    for index in range(count):
        random = np.random.default_rng([index, len(geometry)])
        height = side + (16 if geometry == "explain" and index % 4 > 1 else 0)
        anatomy = draw_subject(random)
        canvas = drawing.Canvas(height, side, pose(anatomy, random, height, side))
        film = drawing.frontal(canvas, anatomy, anatomy, [], random, contrast=1.0)
        if index % 2:
            mark(film, (3, 3, 20, 20))
        targets[index, index % 2] = 1
        held[f"i{index:02d}"] = film
    return Examples(Memory(held), side, geometry, tuple(held), LABELS, targets)


def trained(network, path, epochs: int = 4) -> Fit:
    """`network` after some epochs, its weights those of the best one."""
    recipe = Recipe.of(
        {
            "side": 64,
            "batch": 8,
            "epochs": epochs,
            "optimizer": {"name": "adamw", "lr": 2e-3},
            "augmentation": {"name": "none"},
        }
    )
    done = fit(network, films(24, "train"), films(12, "explain"), recipe, 0, path, "job", progress=str)
    network.load_state_dict(done.best_state)
    return done
