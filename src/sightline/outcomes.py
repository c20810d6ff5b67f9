"""What a comparison may come to: an array or the reason why there is none, and rows of table 'scores'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from sightline.schemas import OF_MAP, SCHEMAS


@dataclass(frozen=True)
class Absent:
    """An array that is not there: `status` not_applicable | failed | missing, and why."""

    status: str
    reason: str


Answer = np.ndarray | Absent


@dataclass(frozen=True, order=True)
class MapsOf:
    """Where the maps that are scored come from: a cell of the grid."""

    dataset: str
    model: str
    seed: int
    condition: str
    method: str


def score_rows(maps_of: MapsOf, rows: Sequence[tuple]) -> pd.DataFrame:
    """Rows (reading, image, subject, reference, reader, metric, ...) of one cell's maps as table `scores`."""
    frame = pd.DataFrame(rows, columns=list(SCHEMAS["scores"].columns)[len(OF_MAP) :])
    for at, column in enumerate(OF_MAP):
        frame.insert(at, column, getattr(maps_of, column))
    return frame
