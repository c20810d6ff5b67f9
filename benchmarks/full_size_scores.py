"""Tables of scores of a whole study at full size: the rows that scoring would give, with drawn values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pandas as pd

from sightline import tables
from sightline.outcomes import MapsOf
from sightline.randomness import generator
from sightline.schemas import OF_MAP
from sightline.scores import scoring
from sightline.study.grid import Study

SUBJECT_SD, IMAGE_SD, UNDEFINED = 0.1, 0.2, 0.01
SMALL = np.arange(12.0).reshape(3, 4)


def images(count: int, several: int = 0, per_subject: float = 1.0) -> pd.DataFrame:
    """`count` images: image, subject and `readers` (5 of the first `several`, 1 of the others)."""
    subjects = np.arange(count) // max(1.0, per_subject)
    return pd.DataFrame(
        {
            "image": [f"{at:08x}-00000000-00000000-00000000-00000000" for at in range(count)],
            "subject": [f"{10_000_000 + int(at)}" for at in subjects],
            "readers": np.where(np.arange(count) < several, 5, 1),
        }
    )


def template(study: Study, dataset: str, readers: int) -> pd.DataFrame:
    """The rows of one map and reading of an image with so many readers, but for map, image and value.

    They come from `scoring.score` itself, on maps of twelve pixels.
    """
    biases = dict.fromkeys(study.leave_outs, SMALL + 1.0)
    gaze = [(str(at), SMALL + at) for at in range(readers)]
    references = [
        scoring.GazeReference(name, lambda _: gaze, lambda _: biases, tuple(study.leave_outs))
        if chosen["kind"] == "gaze"
        else scoring.RegionReference(
            name,
            lambda _: (SMALL > 5).astype(np.uint8),
            *((lambda _: biases, tuple(study.leave_outs)) if chosen["center_bias"] else ()),
        )
        for name, chosen in study.references_of(dataset).items()
    ]
    one = pd.DataFrame({"image": ["i"], "subject": ["s"]})
    names = study.config["scores"]["metrics"]
    maps_of = MapsOf(dataset, "m", 0, "clean", "k")
    rows = scoring.score(maps_of, one, [""], lambda image, reading: SMALL, references, names)
    return rows[["reference", "reader", "metric", "center_bias"]]


def of_cell(
    maps_of: MapsOf, readings: list[str], explained: pd.DataFrame, rows: Mapping[int, pd.DataFrame]
) -> pd.DataFrame:
    """Table `scores` of one cell; `rows` maps how many readers an image has to its `template`."""
    random = generator(0, "full size scores", *astuple(maps_of))
    parts = []
    for readers, of_image in explained.groupby("readers"):
        pattern = rows[int(readers)]
        many = len(of_image) * len(pattern)
        for reading in readings:
            level = random.normal(0.3, SUBJECT_SD, len(of_image)).repeat(len(pattern))
            parts.append(
                pd.DataFrame(
                    {name: np.tile(pattern[name].to_numpy(), len(of_image)) for name in pattern}
                    | {name: of_image[name].to_numpy().repeat(len(pattern)) for name in ("image", "subject")}
                    | {"reading": reading, "value": level + random.normal(0, IMAGE_SD, many)}
                )
            )
    table = pd.concat(parts, ignore_index=True)
    lost = random.random(len(table)) < UNDEFINED
    return table.assign(
        **dict(zip(OF_MAP, astuple(maps_of))),
        value=table["value"].mask(lost),
        status=np.where(lost, "undefined", "ok"),
        reason=np.where(lost, "the map is constant", None),
    )


def write(
    folder: Path, study: Study, dataset: str, explained: pd.DataFrame, most_seeds: int | None = None
) -> tuple[list[Path], int]:
    """Write the tables of a dataset's cells (of so many seeds) and of its baselines: paths, and rows."""
    rows = {int(n): template(study, dataset, int(n)) for n in explained["readers"].unique()}
    paths, count = [], 0
    for cell in study.scored_cells:
        if cell.dataset == dataset and (most_seeds is None or cell.seed < most_seeds):
            maps_of = MapsOf(dataset, cell.model, cell.seed, cell.condition, cell.method)
            table = of_cell(maps_of, list(study.readings_of(cell.method)), explained, rows)
            paths.append(folder / f"{cell.model}.{cell.seed}.{cell.condition}.{cell.method}.parquet")
            tables.write("scores", table, paths[-1])
            count += len(table)
    names = [MapsOf(dataset, "", 0, "clean", name) for name in study.baselines]
    table = pd.concat([of_cell(name, [""], explained, rows) for name in names], ignore_index=True)
    paths.append(folder / "baselines.parquet")
    tables.write("scores", table, paths[-1])
    return paths, count + len(table)


def strata(names: Mapping[str, int], dataset: str, explained: pd.DataFrame) -> pd.DataFrame:
    """Table `strata`: so many levels of each name, drawn evenly."""
    random = generator(0, "full size strata", dataset)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "dataset": dataset,
                    "image": explained["image"],
                    "stratum": name,
                    "value": [f"level {level}" for level in random.integers(levels, size=len(explained))],
                    "model": None,
                    "seed": None,
                }
            )
            for name, levels in names.items()
        ],
        ignore_index=True,
    )
