"""Probes of one cell's maps: rows of scores without a reference, of the predicted class's map."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd

from sightline.attribution import maps, readings
from sightline.attribution.batches import Batch, plan
from sightline.attribution.explained import Images
from sightline.attribution.probing import Probe, Probed
from sightline.attribution.targets import Choice, Targets, no_class
from sightline.explanation.explaining import Cell
from sightline.frames import Frame
from sightline.outcomes import Absent, MapsOf, score_rows
from sightline.randomness import generator
from sightline.scores.saliency import Saliency

READING = "predicted"  # the probes' reading: the signed map of the class with the highest output


def drawn(cell: Cell, count: int) -> list[Batch]:
    """Batches of at most `count` of the cell's images: the same ones for every cell of these images."""
    frames = {image: frame for batch in cell.plan for image, frame in zip(batch.images, batch.frames)}
    draws = generator(cell.setting.study_seed, "probed images")
    chosen = draws.permutation(sorted(frames))[:count]
    return plan({image: frames[image] for image in chosen}, cell.setting.batch)


def probe(
    cell: Cell, maps_of: MapsOf, saliency: Saliency, probes: Mapping[str, Mapping], batches: Iterable[Batch]
) -> pd.DataFrame:
    """Table `scores`: a row per image of `batches` and metric of `probes` (name -> {kind, options}).

    Rows have the reading `READING`, no reference and no reader. A map that is not there gives its status and
    reason; a metric that has no value is `undefined`.
    """
    subjects = cell.images.set_index("image")["subject"]
    chosen = [Probe(one["kind"], one["options"]) for one in probes.values()]
    rows = []
    for batch in batches:
        for image, metric, value, status, reason in _probe(cell, saliency, chosen, batch):
            rows.append((READING, image, subjects[image], "", "", metric, "", value, status, reason))
    return score_rows(maps_of, rows)


def _probe(
    cell: Cell, saliency: Saliency, probes: Sequence[Probe], batch: Batch
) -> Iterator[tuple[str, str, float | None, str, str | None]]:
    """(image, metric, value, status, reason) of one batch."""
    metrics = [metric for one in probes for metric in one.module.METRICS]
    reading = {READING: {"classes": READING, "clip": "none"}}
    answers = {
        image: saliency.get(image, reading, frame)[READING]
        for image, frame in zip(batch.images, batch.frames)
    }
    for image, answer in answers.items():
        if isinstance(answer, Absent):
            yield from ((image, metric, None, answer.status, answer.reason) for metric in metrics)
    there = [index for index, image in enumerate(batch.images) if not isinstance(answers[image], Absent)]
    if not there:
        return
    held = Batch(*(tuple(part[index] for index in there) for part in (batch.images, batch.frames)))
    values = np.stack([answers[image] for image in held.images])
    given = _given(cell, held, values)
    for one in probes:
        rows = _measured(one, given, held)
        if rows is None:  # alone, no image loses its number to its company
            alone = [Batch((image,), (frame,)) for image, frame in zip(held.images, held.frames)]
            parts = [(part, _given(cell, part, values[[at]])) for at, part in enumerate(alone)]
            rows = [row for part, each in parts for row in _measured(one, each, part)]
        yield from rows


def _given(cell: Cell, batch: Batch, values: np.ndarray) -> Probed:
    """What probes are given of `batch`, whose maps are `values` (B, [D,] H, W)."""
    model, seed = cell.model, cell.setting.study_seed
    images = Images(cell.load(batch).to(model.device), batch.images, seed)
    model.passes.input_shape = images.shape
    outputs = maps.outputs_of(model, images.pixels)
    targets = Choice("predicted", cell.setting.labels).of(batch.images, outputs)
    saliency = values[:, None].astype(np.float32)
    return Probed(
        model, images, targets, saliency, lambda altered: _again(cell.method, model, altered, targets)
    )


def _again(method: maps.Method, model: maps.Explained, images: Images, targets: Targets) -> np.ndarray:
    """The maps (B, 1, [D,] H, W) of other pixels on the input's grid, of the same targets."""
    module = method.module
    found = module.explain(model, images, targets if module.PER_TARGET else no_class(), **method.options)
    frame = Frame.of_image(images.shape[1:])
    read = [
        readings.read(
            [readings.Source(one.source, ("",), one.values[index], one.frame) for one in found],
            None,
            readings.Reading(),
            frame,
        )
        for index in range(len(images.names))
    ]
    return np.stack([one.values for one in read])[:, None].astype(np.float32)


def _measured(
    one: Probe, given: Probed, batch: Batch
) -> list[tuple[str, str, float | None, str, str | None]] | None:
    """(image, metric, value, status, reason) of one probe; None where it fails on several images."""
    try:
        found = one.module.probe(given, **one.options)
    except maps.MACHINE:
        raise
    except (maps.NotApplicable, *maps.FAILURES) as error:
        if len(batch.images) > 1:
            return None
        refused = isinstance(error, maps.NotApplicable)
        status = "not_applicable" if refused else "failed"
        reason = str(error) if refused else f"{type(error).__name__}: {error}"
        return [
            (image, metric, None, status, reason) for image in batch.images for metric in one.module.METRICS
        ]
    return [
        (image, metric, None, "undefined", f"{one.kind} has no value for this map")
        if np.isnan(value)
        else (image, metric, float(value), "ok", None)
        for metric, values in found.items()
        for image, value in zip(batch.images, np.asarray(values, dtype=float)[:, 0])
    ]
