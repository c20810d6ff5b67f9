"""Stored maps as scoring asks for them: one reading of one image's map, in the scoring frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sightline import tables
from sightline.attribution import readings
from sightline.attribution.store import MapStore
from sightline.frames import scoring_frame
from sightline.scoring import Absent, Answer


class Saliency:
    """The maps of one model, seed, dataset, condition and method; `images` are those that were explained."""

    def __init__(self, maps: Path, values: Path, predictions: Path, labels: Sequence[str]):
        """Open the three files that explaining wrote; `labels` are the model's, in its order."""
        self._maps, self._labels = MapStore(maps, values), tuple(labels)
        self.images = self._maps.images
        said = tables.read("predictions", predictions, columns=["image", "label", "logit", "value"])
        self._said = dict(iter(said.groupby("image")))

    def get(self, image: str, reading: Mapping[str, str], shape: tuple[int, int], scale: float) -> Answer:
        """The map of `image` (native `shape`) under `reading` in `scoring_frame(shape, scale)`, or why there is none."""
        problem = self._maps.problem(image)
        if problem:
            return Absent(*problem)
        found = readings.read(
            self._maps.get(image), self._outputs(image), readings.Reading(**reading), scoring_frame(shape, scale)
        )
        return Absent(found.status, found.reason) if found.values is None else found.values

    def _outputs(self, image: str) -> readings.Outputs | None:
        if image not in self._said:
            return None
        rows: pd.DataFrame = self._said[image].set_index("label").loc[list(self._labels)]
        return readings.Outputs(self._labels, rows["logit"].to_numpy(), rows["value"].to_numpy(dtype=float))
