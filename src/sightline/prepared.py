"""The store of prepared pixels, opened: who trains, explains or draws reads images here and nowhere else."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd

from sightline import arrays, tables
from sightline.errors import TableError
from sightline.frames import Frame

GEOMETRY_OF_SPLIT = {"train": "train", "validate": "explain", "test": "explain"}


class Store:
    """The prepared pixels of one dataset, by image, side and geometry."""

    def __init__(self, prepared: pd.DataFrame, flat: np.ndarray):
        self._flat = flat
        self._rows = {
            (row.image, row.side, row.geometry): (
                row.offset,
                tuple(row.shape),
                tuple(row.scale),
                tuple(row.shift),
            )
            for row in prepared.sort_values(["image", "side", "geometry"]).itertuples()
        }

    def get(self, image: str, side: int, geometry: str) -> np.ndarray:
        """The pixels, uint8 (H, W) or of colours (H, W, 3), a view of the store.

        Raises `TableError` where there are none.
        """
        offset, shape, _, _ = self._row(image, side, geometry)
        return arrays.view(self._flat, offset, shape)

    def frame(self, image: str, side: int, geometry: str) -> Frame:
        """Where these pixels lie in the image; of shape (H, W)."""
        _, shape, scale, shift = self._row(image, side, geometry)
        return Frame(tuple(map(int, shape[:2])), tuple(map(float, scale)), tuple(map(float, shift)))

    def images(self, side: int, geometry: str) -> list[str]:
        """The images prepared so, sorted."""
        return [image for image, at, kind in self._rows if (at, kind) == (side, geometry)]

    def _row(self, image: str, side: int, geometry: str) -> tuple:
        try:
            return self._rows[image, side, geometry]
        except KeyError:
            raise TableError(
                f"table 'prepared': image '{image}' was not prepared at side {side} for '{geometry}'; see "
                f"table 'skipped' for the reason, or prepare that side"
            ) from None


def open_store(table_path: str | os.PathLike, npy_path: str | os.PathLike) -> Store:
    """The store whose table and pixels lie there; the pixels stay on disk until read."""
    return Store(tables.read("prepared", table_path), arrays.open_flat(npy_path))


def open_places(table_path: str | os.PathLike) -> Store:
    """The store without its pixels, for where they lie."""
    return Store(tables.read("prepared", table_path), np.empty(0, dtype=np.uint8))
