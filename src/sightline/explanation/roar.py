"""ROAR: the images of a dataset without the pixels that a method finds most important, to train on anew.

Hooker et al. 2019 (arXiv:1806.10758): where the pixels mattered, a model that is trained and tested without
them does worse than one that lost as many at random. Pixels are replaced in the training set and in the test
set, by the training images' mean (their section 3).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from torch import Tensor

from sightline import arrays, tables
from sightline.attribution import maps, readings
from sightline.attribution.batches import Batch, plan
from sightline.errors import DatasetError
from sightline.explanation.explaining import Cell
from sightline.frames import Frame, shown
from sightline.models.inputs import explain_input
from sightline.prepared import GEOMETRY_OF_SPLIT, Store
from sightline.randomness import generator

ORDERS = ("highest", "lowest", "random")


@dataclass(frozen=True)
class Mask:
    """The `fraction` of an image's pixels that go: those of the `highest` or `lowest` values, or `random`."""

    fraction: float
    order: str
    grey: int | np.ndarray  # what stands in their place, (3,) for colours
    seed: int

    def of(self, image: str, inside: np.ndarray, saliency: np.ndarray | None) -> np.ndarray:
        """The pixels of `image` that go: bool, exactly the fraction (rounded) of those `inside` ([D,] H, W).

        `saliency` is not asked for random ones. Equal values go in an order drawn for the image.
        """
        drawn = generator(self.seed, "roar", image).permutation(np.flatnonzero(inside))
        if self.order != "random":
            values = saliency.ravel()[drawn] * (-1.0 if self.order == "highest" else 1.0)
            drawn = drawn[np.argsort(values, kind="stable")]
        gone = np.zeros(inside.shape, dtype=bool)
        gone.ravel()[drawn[: round(self.fraction * drawn.size)]] = True
        return gone


def mean_grey(store: Store, side: int) -> np.ndarray:
    """The mean of the images that train, as they are stored, rounded: uint8, () of grey, (3,) of colours."""
    total, pixels = np.int64(0), 0
    for image in store.images(side, "train"):
        values = store.get(image, side, "train")
        total = total + values.sum(axis=(0, 1), dtype=np.int64)
        pixels += values.shape[0] * values.shape[1]
    if not pixels:
        raise DatasetError("masking needs training images: the dataset has none that are prepared")
    return np.rint(total / pixels).astype(np.uint8)


class Masking:
    """The images of one dataset, as stored for training and testing, and their masks.

    `cell` is opened on the dataset with the model that explains; `reading` turns its maps into one per image;
    `seen` says what of an image its picture shows, where pictures were cut (`saliency.part_seen`).
    """

    def __init__(
        self,
        cell: Cell,
        mask: Mask,
        reading: Mapping[str, str] | None,
        seen: Callable[[str], Frame] | None = None,
    ):
        self.cell, self.mask = cell, mask
        self._reading = None if reading is None else readings.Reading(**reading)
        side = cell.setting.side
        rows = cell.images.set_index("image")
        self.geometry = {
            image: kind
            for kind in sorted(set(GEOMETRY_OF_SPLIT.values()))
            for image in cell.pixels.images(side, kind)
        }
        self._shown = {
            image: seen(image)
            if seen
            else Frame.of_image((int(rows.at[image, "height"]), int(rows.at[image, "width"])))
            for image in self.geometry
        }
        frames = {image: cell.pixels.frame(image, side, kind) for image, kind in self.geometry.items()}
        self.plan: list[Batch] = plan(frames, cell.setting.batch)

    def pixels(self, image: str) -> np.ndarray:
        """The stored pixels of `image`, uint8."""
        return self.cell.pixels.get(image, self.cell.setting.side, self.geometry[image])

    def masked(self, batches: Iterator[Batch]) -> Iterator[tuple[str, Frame, np.ndarray]]:
        """(image, frame, pixels without those that go) of each image of `batches`.

        Raises `DatasetError` for an image that has no map, with the reason.
        """
        for image, frame, saliency in self._saliencies(batches):
            inside = shown(self._shown[image], frame)  # not what pads the picture
            gone = self.mask.of(image, inside, saliency)
            pixels = self.pixels(image)
            gone = gone.reshape(gone.shape + (1,) * (pixels.ndim - gone.ndim))
            yield image, frame, np.where(gone, np.asarray(self.mask.grey, dtype=np.uint8), pixels)

    def _saliencies(self, batches: Iterator[Batch]) -> Iterator[tuple[str, Frame, np.ndarray | None]]:
        if self.mask.order == "random":
            for batch in batches:
                yield from ((image, frame, None) for image, frame in zip(batch.images, batch.frames))
            return
        cell = self.cell
        seed = cell.setting.study_seed
        for explained in maps.run(cell.method, cell.model, batches, self._load, cell.choice, seed):
            for index, (image, frame) in enumerate(zip(explained.batch.images, explained.batch.frames)):
                yield image, frame, self._read(explained, index, image, frame)

    def _load(self, batch: Batch) -> Tensor:
        return explain_input(np.stack([self.pixels(image) for image in batch.images]))

    def _read(self, explained: maps.Explanation, index: int, image: str, frame: Frame) -> np.ndarray:
        """The reading of an image's maps on its stored pixels."""
        own = explained.targets.of(index)
        kept = [number for number, name in enumerate(own) if name is not None]
        sources = [
            readings.Source(
                one.source,
                tuple(own[number] for number in kept),
                one.values[index, kept],
                frame.then(one.frame),
            )
            for one in explained.maps
        ]
        outputs = None
        if explained.outputs is not None:
            labels = self.cell.setting.labels
            outputs = readings.Outputs(labels, explained.outputs[index], self.cell.truth(image))
        found = readings.read(sources, outputs, self._reading, frame)
        if explained.status != "ok" or found.values is None or not np.isfinite(found.values).all():
            why = explained.reason or found.reason or "its map has values that are not finite"
            raise DatasetError(
                f"image '{image}' has no map by '{self.cell.setting.method}' to be masked by: {why}; choose "
                "another method or reading in training_conditions"
            )
        return found.values


def write(masking: Masking, batches: Iterator[Batch], table: Path, values: Path) -> None:
    """Write the masked images as a prepared store: table `prepared` and its pixels."""
    rows: list[dict[str, Any]] = []
    dataset = masking.cell.images["dataset"].iloc[0]
    with arrays.Writer(values, np.uint8) as store:
        for image, frame, pixels in masking.masked(batches):
            row = {"dataset": dataset, "side": masking.cell.setting.side, "geometry": masking.geometry[image]}
            place = {"shape": list(pixels.shape), "scale": list(frame.scale), "shift": list(frame.shift)}
            rows.append(row | place | {"image": image, "offset": store.append(pixels)})
    frame = pd.DataFrame(rows, columns=list(tables.SCHEMAS["prepared"].columns))
    tables.write("prepared", frame, table, values=values)
