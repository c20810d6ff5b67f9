"""Stored maps as scoring asks for them: one reading of one image's map, in the scoring frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from sightline import tables
from sightline.attribution import readings
from sightline.attribution.store import MapStore
from sightline.frames import Frame
from sightline.scoring import Absent, Answer


class Saliency:
    """The maps of one model, seed, dataset, condition and method; `images` are those that were explained."""

    def __init__(self, maps: Path, values: Path, predictions: Path, labels: Sequence[str]):
        """Open the three files that explaining wrote; `labels` are the model's, in its order."""
        self._maps, self._labels = MapStore(maps, values), tuple(labels)
        self.images = self._maps.images
        said = tables.read("predictions", predictions, columns=["image", "label", "logit", "value"])
        self._said = dict(iter(said.groupby("image")))

    def get(self, image: str, chosen: Mapping[str, Mapping[str, str]], frame: Frame) -> dict[str, Answer]:
        """The map of `image` in `frame` under each `chosen` reading (name -> {classes, clip}), or why not."""
        problem = self._maps.problem(image)
        if problem:
            return dict.fromkeys(chosen, Absent(*problem))
        asked = [readings.Reading(**reading) for reading in chosen.values()]
        found = readings.read_all(self._maps.get(image), self._outputs(image), asked, frame)
        return {
            name: Absent(one.status, one.reason) if one.values is None else one.values
            for name, one in zip(chosen, found)
        }

    def logit(self, image: str, label: str) -> float:
        """The model's output for `label` on `image`."""
        outputs = self._outputs(image)
        return float("nan") if outputs is None else float(outputs.logits[self._labels.index(label)])

    def truth(self, image: str, label: str) -> float:
        """What is true of `label` on `image`: 1, 0, or NaN where unknown."""
        outputs = self._outputs(image)
        return float("nan") if outputs is None else float(outputs.values[self._labels.index(label)])

    def _outputs(self, image: str) -> readings.Outputs | None:
        if image not in self._said:
            return None
        rows: pd.DataFrame = self._said[image].set_index("label").loc[list(self._labels)]
        return readings.Outputs(self._labels, rows["logit"].to_numpy(), rows["value"].to_numpy(dtype=float))
