"""What a saliency map must beat: another reader, the lungs' hull, the center bias, uniform noise; scored
as maps are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from sightline import frames
from sightline.errors import ConfigError
from sightline.outcomes import Absent, Answer, MapsOf
from sightline.randomness import generator
from sightline.scores.scoring import (
    Asked,
    GazeReference,
    Reference,
    RegionReference,
    Target,
    rank,
    score,
    score_target,
    table,
    target,
)

BASELINES = ("interobserver", "hull", "center_bias", "uniform_noise")


@dataclass(frozen=True)
class Material:
    """What baselines are made from: `images` (table rows), the study's seed and scoring scale, gaze, lung
    masks.
    """

    images: pd.DataFrame
    seed: int
    scale: float
    gaze: GazeReference | None = None
    lungs: Callable[[str], Answer] | None = None  # image -> mask in the scoring frame


def score_baselines(
    material: Material,
    baselines: Sequence[str],
    references: Sequence[Reference],
    names: Sequence[str],
    progress: Callable[..., Iterable] = lambda items, *told: items,
) -> pd.DataFrame:
    """Table `scores` of the named `baselines`: model "", seed 0, condition clean, reading "", method the
    baseline.

    `center_bias` gives one method per leave-out: the first is `center_bias`, a further one
    `center_bias_<leave_out>`; against a region that has a center bias of its own it is that one, else the
    gaze's. `progress(items, total, what)` yields the items of the long loop and tells how far it is. Raises
    `ConfigError` for an unknown baseline.
    """
    unknown = [name for name in baselines if name not in BASELINES]
    if unknown:
        raise ConfigError(f"baselines: unknown {unknown[0]!r}; expected some of {', '.join(BASELINES)}")
    frames_of = [
        frame
        for name in progress(baselines, len(baselines), "baselines")
        for frame in globals()[f"_score_{name}"](material, references, names)
    ]
    return pd.concat(frames_of, ignore_index=True) if frames_of else table(_maps_of(material, ""), [])


def hull(mask: np.ndarray) -> np.ndarray:
    """Convex hull of a boolean `mask`, float32 0 or 1, its shape; the chest study's segmentation baseline."""
    from skimage.morphology import convex_hull_image

    return convex_hull_image(np.asarray(mask, dtype=bool)).astype(np.float32)


def uniform_noise(shape: tuple[int, ...], seed: int, dataset: str, image: str) -> np.ndarray:
    """Independent uniform values in [0, 1) of `shape`, float32: the same for one study seed, dataset and
    image.
    """
    return generator(seed, "uniform_noise", dataset, image).random(shape, dtype=np.float32)


def _maps_of(material: Material, method: str) -> MapsOf:
    dataset = material.images["dataset"].iloc[0] if len(material.images) else ""
    return MapsOf(dataset, "", 0, "clean", method)


def _score_each(
    material: Material,
    method: str,
    candidate: Callable[[str], Answer],
    references: Sequence[Reference],
    names: Sequence[str],
) -> pd.DataFrame:
    maps_of = _maps_of(material, method)
    return score(maps_of, material.images, [""], lambda image, _: candidate(image), references, names)


def _score_hull(material: Material, references: Sequence[Reference], names: Sequence[str]) -> Iterator:
    def candidate(image: str) -> Answer:
        if material.lungs is None:
            return Absent("not_applicable", "the dataset has no lung masks")
        mask = material.lungs(image)
        if not isinstance(mask, Absent) and not np.any(mask):
            return Absent("missing", "the lung mask is empty")
        return mask if isinstance(mask, Absent) else hull(mask)

    yield _score_each(material, "hull", candidate, references, names)


def _score_center_bias(material: Material, references: Sequence[Reference], names: Sequence[str]) -> Iterator:
    own = [each for each in references if isinstance(each, RegionReference) and each.leave_outs]
    others = [each for each in references if each not in own]
    if others or not own:
        yield from _score_center_bias_of(material.gaze, material, others, names)
    for each in own:
        for rows in _score_center_bias_of(each, material, [each], names):
            yield rows[rows["reference"] != ""]  # of the map alone: told once, of the gaze's


def _score_center_bias_of(
    source: Reference | None, material: Material, references: Sequence[Reference], names: Sequence[str]
) -> Iterator[pd.DataFrame]:
    """The center bias of `source` as a map, a table per leave-out."""
    leave_outs = source.leave_outs if source is not None else ()
    lost = Absent("not_applicable", "the dataset has no gaze with a center bias")
    for leave_out in leave_outs or ("none",):
        method = (
            "center_bias" if leave_out in leave_outs[:1] or not leave_outs else f"center_bias_{leave_out}"
        )

        def candidate(image: str, leave_out: str = leave_out) -> Answer:
            return source.center_bias(image).get(leave_out, lost) if leave_outs else lost

        yield _score_each(material, method, candidate, references, names)


def _score_uniform_noise(
    material: Material, references: Sequence[Reference], names: Sequence[str]
) -> Iterator:
    images = {row.image: row for row in material.images.itertuples()}

    def candidate(image: str) -> Answer:
        row = images[image]
        shape = frames.scoring_frame((int(row.height), int(row.width)), material.scale).shape
        return uniform_noise(shape, material.seed, row.dataset, image)

    yield _score_each(material, "uniform_noise", candidate, references, names)


def _score_interobserver(
    material: Material, references: Sequence[Reference], names: Sequence[str]
) -> Iterator:
    """Reader i's map against the mean of the others (gaze), or each reader's map against the mask
    (regions).
    """
    asked, rows = Asked(names), []
    for image in material.images.itertuples():
        entries = material.gaze.readings(image.image) if material.gaze is not None else []
        for reference in references:
            each = target(reference, image.image)
            key = ("", image.image, image.subject, each.name)
            rows += (key + row for row in _interobserver(each, entries, asked))
    yield table(_maps_of(material, "interobserver"), rows)


def _interobserver(each: Target, entries: list[tuple[str, Answer]], asked: Asked) -> Iterator[tuple]:
    there = {reader: values for reader, values in entries if not isinstance(values, Absent)}
    if not there or (each.kind == "gaze" and len(each.readers) < 2):
        why = f"{len(there)} reader(s) with gaze; one reader against the others needs two"
        if each.kind == "region":
            why = "no reader with gaze"
        yield from score_target(each, Absent("not_applicable", why), asked)
        return
    if each.kind == "gaze":
        # readers whose own gaze is absent keep that reason
        yield from score_target(
            replace(each, readers=(), references=None), rank(next(iter(there.values()))), asked
        )
        for at, reader in enumerate(each.readers):
            yield from score_target(each.of_reader(at), rank(there[reader]), asked)
        return
    for reader, values in there.items():
        yield from ((reader, *row[1:]) for row in score_target(each, rank(values), asked))
