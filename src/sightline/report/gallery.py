"""The methods side by side: which images, which maps, and where on each image the reference lies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from sightline.figures import methods, style, trust, words
from sightline.figures.overlays import Case
from sightline.report import cases
from sightline.scores import scoring

HELD = 0.5  # of a reader's gaze lies within the line that is drawn


def rows(shown: Sequence[Mapping], lost: Mapping[str, str]) -> list[methods.Row]:
    """A row per method of `shown` (the study's), in the order of every figure; `lost` as of `trust.lost`."""
    readings = readings_of(shown)
    return [
        methods.Row(name, words.plain(readings[name]), lost.get(name, "")) for name in style.methods(readings)
    ]


def readings_of(shown: Sequence[Mapping]) -> dict[str, str]:
    """Method -> the reading under which its maps are shown."""
    return {row["method"]: row["reading"] for row in shown}


def build(
    ranked: cases.Ranking,
    count: int,
    beside: cases.Beside,
    shown: Sequence[cases.Shown],
    reference: scoring.Reference | None,
    outlined: Sequence[Mapping],
) -> list[Case]:
    """`count` cases from the best to the worst, each with a panel per title of `shown` and where `reference`
    lies: the mask of a region, or the smallest area that holds half of the readers' mean gaze."""
    chosen = cases.spread(ranked.values, count, ranked.true)
    found = cases.build(chosen, ranked.what, beside, shown, outlined)
    return [replace(case, region=where(reference, image)) for case, image in zip(found, chosen["image"])]


def where(reference: scoring.Reference | None, image: str) -> np.ndarray | None:
    """The mask of a region on `image`, or of half the mean gaze; None where the image has none."""
    if reference is None:
        return None
    if isinstance(reference, scoring.RegionReference):
        mask = reference.mask(image)
        return mask.astype(bool) if isinstance(mask, np.ndarray) else None
    read = [values for _, values in reference.readings(image) if isinstance(values, np.ndarray)]
    return half(np.mean([values / values.sum() for values in read], axis=0)) if read else None


def half(density: np.ndarray) -> np.ndarray:
    """The smallest set of pixels that holds `HELD` of a density's mass: bool, its shape."""
    order = np.argsort(-density, axis=None, kind="stable")
    held = np.cumsum(density.ravel()[order])
    inside = np.zeros(density.size, dtype=bool)
    inside[order[: int(np.searchsorted(held, HELD * held[-1])) + 1]] = True
    return inside.reshape(density.shape)


def region_said(reference: scoring.Reference | None) -> str:
    """What the line on the images is, in words."""
    if reference is None:
        return ""
    if isinstance(reference, scoring.RegionReference):
        return words.plain(reference.name)
    return "the smallest area that holds half of what the readers looked at"


def sizes(asked: trust.Asked, maps: pd.DataFrame) -> str:
    """n in words: images and seeds of what is asked in table `map_summary`."""
    here = trust.here(asked, maps)
    return f"{words.span(here['images'])} images, {words.seeds(here['seeds'])}"
