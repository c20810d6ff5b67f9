"""What describes a model or a dataset as a whole, and its table: artefacts are arrays to look at, no maps.

An artefact is a module of `attribution/artifacts` with literals, read without importing it,
    OPTIONS     its options (JSON schema properties), with the source's defaults
    NEEDS       what the network or the dataset must have, as words
    SCOPE       "model": only the shape of the dataset's images enters; "dataset": its images do
    SOURCE
and with functions
    check(model, **options)        a reason why it cannot be made for this model, or None
    make(model, data, **options)   a list of Artifact
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from sightline import arrays, modules, tables

if TYPE_CHECKING:  # its table needs no torch
    from sightline.attribution.explained import Explained
    from sightline.attribution.material import Material

PACKAGE = "sightline.attribution.artifacts"
KINDS = ("images", "table", "scatter")


@dataclass(frozen=True)
class Artifact:
    """One array to look at, called `item`, with the facts that its caption and its axes need.

    images   (N, C, [D,] h, w); facts: titles (N), look: image, map, or signed (about zero, channels add)
    table    (rows, columns), NaN where there is no value; facts: rows, columns, and how it is drawn: axis,
             marks (columns), spread (mark -> columns of its ends), notes (columns), line (value, words)
    scatter  (N, 4): two axes, a score, 1 for an outlier; facts: columns, points (N), groups (N)
    Every kind may have `says`: a list of sentences on how it was made. Facts are plain JSON.
    """

    item: str
    kind: str
    values: np.ndarray
    facts: Mapping[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse an unknown kind, and values that are not finite where the kind has no word for them."""
        if self.kind not in KINDS:
            raise ValueError(f"artefact {self.item}: kind {self.kind!r}; expected one of {', '.join(KINDS)}")
        if self.kind != "table" and not np.isfinite(self.values).all():
            raise ValueError(f"artefact {self.item}: values that are not finite")


def make(kind: str, model: Explained, data: Material, options: Mapping[str, object]) -> list[Artifact] | str:
    """The artefacts of module `kind`, or the reason why it is not applicable."""
    from sightline.attribution.explained import NotApplicable

    module = modules.load(PACKAGE, kind)
    try:
        model.passes.input_shape = data.shape
        return module.check(model, **options) or module.make(model, data, **options)
    except NotApplicable as reason:
        return str(reason)


def write(
    made: Sequence[Artifact] | str,
    identity: Mapping[str, object],
    table_path: str | Path,
    values_path: str | Path,
) -> None:
    """Write what `make` gives; `identity` holds dataset, model, seed and artifact (its name).

    Where it is a reason, the table has one row that is `not_applicable`.
    """
    rows: list[dict] = []
    with arrays.Writer(values_path, np.float32) as writer:
        if isinstance(made, str):
            empty = dict.fromkeys(("offset", "shape", "facts"))
            rows.append({"item": "", "kind": "", "status": "not_applicable", "reason": made} | empty)
        for one in [] if isinstance(made, str) else made:
            rows.append(
                {
                    "item": one.item,
                    "kind": one.kind,
                    "status": "ok",
                    "reason": None,
                    "offset": writer.append(one.values),
                    "shape": list(one.values.shape),
                    "facts": json.dumps(one.facts, sort_keys=True, ensure_ascii=False),
                }
            )
    frame = pd.DataFrame([{**identity, "index": index, **row} for index, row in enumerate(rows)])
    columns = list(tables.SCHEMAS["artifacts"].columns)
    tables.write("artifacts", frame.reindex(columns=columns), table_path, values=values_path)


def read(table_path: str | Path, values_path: str | Path) -> list[Artifact] | str:
    """What `write` was given. Raises `TableError` or `IntegrityError` where a file is missing or broken."""
    rows = tables.read("artifacts", table_path)
    if (rows["status"] != "ok").any():
        return rows["reason"].iloc[0]
    values = arrays.open_flat(values_path)
    return [
        Artifact(row.item, row.kind, arrays.view(values, row.offset, row.shape), json.loads(row.facts))
        for row in rows.itertuples()
    ]
