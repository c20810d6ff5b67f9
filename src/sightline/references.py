"""The references of a dataset as scoring asks for them, opened from their tables and flat arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from sightline import arrays, scoring, tables


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
    """The references named in `chosen` (name -> {kind: gaze | region}), in its order."""
    return [
        gaze(files, name, leave_outs) if reference["kind"] == "gaze" else region(files, name)
        for name, reference in chosen.items()
    ]


def gaze(files: Files, name: str, leave_outs: Sequence[str]) -> scoring.GazeReference:
    """Every reader's gaze, with the center bias of each of `leave_outs`."""
    found = scoring.gaze_reference(name, tables.read("gaze", files.gaze), arrays.open_flat(files.gaze_values))
    biases = tables.read("center_bias", files.center_bias)
    return scoring.with_center_bias(found, biases, arrays.open_flat(files.center_bias_values), leave_outs)


def region(files: Files, name: str) -> scoring.RegionReference:
    """The region called `name`: `missing` on images that have none."""
    rows = tables.read("regions", files.regions)
    return scoring.region_reference(name, rows[rows["kind"] == name], arrays.open_flat(files.region_values))
