"""Stored maps as scoring asks for them: one reading of one image's map, in the scoring frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from sightline import tables
from sightline.attribution import readings
from sightline.attribution.store import MapStore
from sightline.frames import Frame, shown, touched
from sightline.outcomes import Absent, Answer


class Saliency:
    """The maps of one model, seed, dataset, condition and method; `images` are those that were explained."""

    def __init__(
        self,
        maps: Path,
        values: Path,
        predictions: Path,
        labels: Sequence[str],
        seen: Callable[[str], Frame] | None = None,
    ):
        """Open the three files that explaining wrote; `labels` are the model's, in its order.

        `seen` says what of an image the model saw, where pictures were cut out of the images (`part_seen`).
        """
        self._maps, self._labels, self._seen = MapStore(maps, values), tuple(labels), seen
        self.images = self._maps.images
        said = tables.read("predictions", predictions, columns=["image", "label", "logit", "value"])
        wide = said.pivot(index="image", columns="label", values=["logit", "value"])
        parts = (
            wide[name].reindex(columns=self._labels).to_numpy(dtype=float) for name in ("logit", "value")
        )
        self._said = {
            image: readings.Outputs(self._labels, *row)
            for image, *row in zip(wide.index, *parts, strict=True)
        }

    def get(self, image: str, chosen: Mapping[str, Mapping[str, str]], frame: Frame) -> dict[str, Answer]:
        """The map of `image` in `frame` under each `chosen` reading (name -> {classes, clip}), or why not.

        What the model did not see has the value 0, whatever the map's edge: no output depends on it.
        """
        problem = self._maps.problem(image)
        if problem:
            return dict.fromkeys(chosen, Absent(*problem))
        asked = [readings.Reading(**reading) for reading in chosen.values()]
        found = readings.read_all(self._maps.get(image), self._outputs(image), asked, frame)
        answers = {
            name: Absent(one.status, one.reason) if one.values is None else one.values
            for name, one in zip(chosen, found)
        }
        if self._seen is None:
            return answers
        inside = shown(self._seen(image), frame)
        return {
            name: one if isinstance(one, Absent) else one * inside.astype(one.dtype)
            for name, one in answers.items()
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
        return self._said.get(image)


def part_seen(images: pd.DataFrame, kind: str | None, boxes: Sequence[Path]) -> Callable[[str], Frame] | None:
    """`cut_out` of tables `images` and `boxes` (files); None where pictures are whole: no `kind`."""
    if kind is None:
        return None
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    return cut_out(tables.read_all("boxes", boxes), kind, shapes)


def cut_out(boxes: pd.DataFrame, kind: str, shapes: Mapping[str, tuple[int, int]]) -> Callable[[str], Frame]:
    """image -> the part of it that pictures were cut to: `boxes` of `kind`, `shapes` (H, W) of the images.

    What pads such a picture to a square is no part of it. An image without a box was left whole.
    """
    found = boxes[boxes["kind"] == kind]
    corners = found[["xmin", "ymin", "xmax", "ymax"]].itertuples(index=False, name=None)
    box_of = dict(zip(found["image"], corners))

    def seen(image: str) -> Frame:
        whole = Frame.of_image(shapes[image])
        if image not in box_of:
            return whole
        left, top, right, bottom = touched(box_of[image])
        return whole.cropped((top, left), (bottom - top, right - left))

    return seen


def within(frame: Frame, seen: Frame) -> Frame:
    """The part of `frame` whose pixels have their centre in `seen`, a rectangle; `frame` where none has."""
    inside = shown(seen, frame)
    if not inside.any():
        return frame
    rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
    return frame.cropped((rows[0], columns[0]), (len(rows), len(columns)))
