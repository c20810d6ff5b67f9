"""What a model is trained on or asked: images of a prepared store with their labels, in one order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from sightline.errors import DatasetError


class Store(Protocol):
    """What is asked of a prepared store (`sightline.prepared`)."""

    def get(self, image: str, side: int, geometry: str) -> np.ndarray:
        """The pixels (H, W) or (H, W, 3), uint8, memory-mapped."""

    def images(self, side: int, geometry: str) -> list[str]:
        """The images that it holds."""


@dataclass(frozen=True)
class Examples:
    """N images, sorted by id, and their targets (N, L): 1, 0, or NaN where a label is unknown."""

    store: Store
    side: int
    geometry: str  # train | explain
    images: tuple[str, ...]
    labels: tuple[str, ...]
    targets: np.ndarray  # float32

    def __len__(self) -> int:
        return len(self.images)

    def pixels(self, indices: Iterable[int]) -> list[np.ndarray]:
        """The stored images (uint8, each (H, W) or (H, W, 3)) at `indices`, views of the memory map."""
        return [self.store.get(self.images[index], self.side, self.geometry) for index in indices]

    def batches(self, size: int) -> list[np.ndarray]:
        """Indices in batches of at most `size` images of one shape; shapes ascend, ids within a shape."""
        by_shape: dict[tuple[int, ...], list[int]] = {}
        for index in range(len(self)):
            by_shape.setdefault(self.pixels([index])[0].shape, []).append(index)
        return [
            np.array(indices[start : start + size])
            for _, indices in sorted(by_shape.items())
            for start in range(0, len(indices), size)
        ]


def collect(
    store: Store, side: int, geometry: str, images: Iterable[str], labels: pd.DataFrame, order: Sequence[str]
) -> Examples:
    """`images` that the store holds, with `labels` (columns image, label, value) in the given `order`.

    A label without row or value is unknown (NaN), so that a dataset can be explained by a model that was
    trained on another. Raises `DatasetError` for a value other than 0, 1 or null, or for a label given twice.
    """
    held = set(store.images(side, geometry))
    chosen = tuple(sorted(image for image in set(images) if image in held))
    rows = labels[labels["label"].isin(list(order)) & labels["image"].isin(list(chosen))]
    wrong = rows[~(rows["value"].isin([0, 1]) | rows["value"].isna())]
    if len(wrong):
        row = wrong.iloc[0]
        raise DatasetError(
            f"labels: image {row['image']}, label '{row['label']}': value {row['value']}; "
            "expected 0, 1 or null"
        )
    twice = rows[rows.duplicated(["image", "label"])]
    if len(twice):
        row = twice.iloc[0]
        raise DatasetError(
            f"labels: image {row['image']} has the label '{row['label']}' more than once; "
            "give the rows of one dataset"
        )
    targets = np.full((len(chosen), len(order)), np.nan, dtype=np.float32)
    row_of = {image: index for index, image in enumerate(chosen)}
    column_of = {label: index for index, label in enumerate(order)}
    targets[rows["image"].map(row_of).to_numpy(int), rows["label"].map(column_of).to_numpy(int)] = rows[
        "value"
    ]
    return Examples(store, side, geometry, chosen, tuple(order), targets)
