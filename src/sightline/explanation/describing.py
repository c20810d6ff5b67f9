"""What artefacts of a trained model and a dataset are made from, opened from their tables."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from sightline import arrays, tables
from sightline.attribution.material import Material, Region
from sightline.explanation.explaining import Cell
from sightline.frames import scoring_frame
from sightline.models.inputs import explain_input


def material(
    cell: Cell,
    regions: str | Path,
    region_values: str | Path,
    scale: float,
    progress: Callable[[Iterable, str], Iterable],
) -> Material:
    """The images of a cell with their labels and regions, these in the scoring frame of side `scale`."""
    known = set(cell.labels["image"])
    table = tables.read("regions", regions)
    flat = arrays.open_flat(region_values)
    shapes = {row.image: (row.height, row.width) for row in cell.images.itertuples()}

    def truth(image: str) -> np.ndarray:
        return cell.truth(image) if image in known else np.full(len(cell.setting.labels), np.nan)

    grey = explain_input(np.array([[[0, 255]]], dtype=np.uint8))[0, :, 0]  # (3, 2)
    return Material(
        batches=cell.plan,
        load=cell.load,
        truth=truth,
        regions={
            kind: partial(_region, _rows_of(rows), flat, shapes, scale)
            for kind, rows in table.groupby("kind")
        },
        span=tuple(grey.T.tolist()),
        seed=cell.setting.study_seed,
        progress=progress,
    )


def _rows_of(rows: pd.DataFrame) -> dict[str, tuple]:
    return {row.image: row for row in rows.itertuples() if row.status == "ok"}


def _region(rows: dict, flat: np.ndarray, shapes: dict, scale: float, image: str) -> Region | None:
    row = rows.get(image)
    if row is None:
        return None
    return arrays.view(flat, int(row.offset), row.shape), scoring_frame(shapes[image], scale)
