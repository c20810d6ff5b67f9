"""The references of a dataset as scoring asks for them, opened from their tables and flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from sightline import arrays, tables
from sightline.center_bias import GAZE
from sightline.outcomes import Absent, Answer
from sightline.scores import scoring


@dataclass(frozen=True)
class Files:
    """The tables of one dataset's references, each with the flat array that its rows point into."""

    gaze: Path
    gaze_values: Path
    center_bias: Path
    center_bias_values: Path
    regions: Path
    region_values: Path

    @staticmethod
    def among(inputs: Mapping[str, str]) -> Files:
        """Those of a rule's named `inputs` that are the references' files."""
        return Files(*(Path(inputs[field.name]) for field in fields(Files)))


def opened(files: Files, chosen: Mapping[str, Mapping], leave_outs: Sequence[str]) -> list[scoring.Reference]:
    """The references named in `chosen` (name -> {kind: gaze | region, center_bias}), in its order."""
    return [
        gaze(files, name, leave_outs)
        if reference["kind"] == "gaze"
        else region(files, name, leave_outs if reference.get("center_bias") else ())
        for name, reference in chosen.items()
    ]


def gaze(files: Files, name: str, leave_outs: Sequence[str]) -> scoring.GazeReference:
    """Every reader's gaze, with the center bias of each of `leave_outs`."""
    found = gaze_reference(name, tables.read("gaze", files.gaze), arrays.open_flat(files.gaze_values))
    return _centred(found, files, GAZE, leave_outs)


def region(files: Files, name: str, leave_outs: Sequence[str] = ()) -> scoring.RegionReference:
    """The region called `name`, `missing` on images that have none; with the center bias of `leave_outs`."""
    rows = tables.read("regions", files.regions)
    found = region_reference(name, rows[rows["kind"] == name], arrays.open_flat(files.region_values))
    return _centred(found, files, name, leave_outs) if leave_outs else found


def _centred(
    reference: scoring.Reference, files: Files, of: str, leave_outs: Sequence[str]
) -> scoring.Reference:
    """`reference` with the center biases that the table calls `of`."""
    biases = tables.read("center_bias", files.center_bias)
    biases = biases[biases["reference"] == of]
    return with_center_bias(reference, biases, arrays.open_flat(files.center_bias_values), leave_outs)


def gaze_reference(name: str, gaze: pd.DataFrame, values: np.ndarray) -> scoring.GazeReference:
    """A `GazeReference` over table `gaze` and its flat `values`, without center bias."""
    by_image: dict[str, list] = {}
    for row in gaze.sort_values(["image", "reader"]).itertuples():
        by_image.setdefault(row.image, []).append(row)
    return scoring.GazeReference(
        name, lambda image: [(row.reader, stored(row, values)) for row in by_image.get(image, [])]
    )


def with_center_bias(
    reference: scoring.Reference, center_bias: pd.DataFrame, values: np.ndarray, leave_outs: Sequence[str]
) -> scoring.Reference:
    """`reference` with the center bias of `leave_outs`: rows of table `center_bias` and its flat `values`."""
    by_image: dict[str, dict] = {}
    for row in center_bias[center_bias["leave_out"].isin(list(leave_outs))].itertuples():
        by_image.setdefault(row.image, {})[row.leave_out] = row
    return replace(
        reference,
        center_bias=lambda image: {key: stored(row, values) for key, row in by_image.get(image, {}).items()},
        leave_outs=tuple(leave_outs),
    )


def region_reference(name: str, regions: pd.DataFrame, values: np.ndarray) -> scoring.RegionReference:
    """A `RegionReference` over the rows of one kind of table `regions` and its flat `values`."""
    rows = {row.image: row for row in regions.itertuples()}
    lost = Absent("missing", f"the image has no region '{name}'")
    return scoring.RegionReference(name, lambda image: stored(rows[image], values) if image in rows else lost)


def stored(row: tuple, values: np.ndarray) -> Answer:
    """The array that a table's row points at, or why there is none: a reference not there is `missing`."""
    if row.status == "ok":
        return arrays.view(values, row.offset, row.shape)
    status = row.status if row.status in ("not_applicable", "failed") else "missing"
    return Absent(status, f"{row.status}: {row.reason}")
