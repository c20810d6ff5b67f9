"""A bright marker in a corner that follows a label where a model trains, and none where it is evaluated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Shortcut:
    """A marker in a corner, whose presence follows a label in the training data."""

    label: str
    corner: str = "upper left"  # upper|lower left|right
    share_with_label: float = 0.9
    share_without: float = 0.1
    share_evaluated: float = 0.5  # of test films and of those that readers saw, whatever their labels
    size: float = 0.09  # side, in shares of the film's shorter side

    def present(self, with_label: bool, evaluated: bool, draw: float) -> bool:
        """Whether a film that has the label, or is there for evaluation, carries the marker.

        `draw` is uniform in [0, 1).
        """
        if evaluated:
            return draw < self.share_evaluated
        return draw < (self.share_with_label if with_label else self.share_without)

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """xmin, ymin, xmax, ymax of the marker's pixels, both ends inside."""
        short = min(height, width)
        side, margin = max(4, round(self.size * short)), round(0.03 * short)
        down, across = self.corner.split()
        left = margin if across == "left" else width - margin - side
        top = margin if down == "upper" else height - margin - side
        return left, top, left + side - 1, top + side - 1


def mark(film: np.ndarray, box: tuple[int, int, int, int], white: float = 250) -> None:
    """Draw a marker of value `white` with a dark letter into `box` (xmin, ymin, xmax, ymax), in place."""
    left, top, right, bottom = box
    film[top : bottom + 1, left : right + 1] = white
    side = right - left
    stroke = max(1, side // 6)
    bar = left + side // 3
    dark = white * 0.16
    film[top + side // 5 : bottom - side // 5, bar : bar + stroke] = dark
    film[bottom - side // 5 - stroke : bottom - side // 5, bar : right - side // 5] = dark
