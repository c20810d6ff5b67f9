"""What jobs ask a cluster for: memory, time, cores and GPUs, from the size of the work and the attempt.

None of it changes a number or reruns a job. It is the same for all jobs of a rule, since the tasks of a SLURM
array share what they ask for: the largest dataset, model and cell count. The factors are upper bounds of what
`docs/scale.md` measures; a job that passes one is tried again with more.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from sightline.study import sharding

Study = Any  # a `sightline.study.grid.Study`

MEGABYTE = 1e6
SHARD = "_shard"  # the end of the name of a rule that does a share of another's work
LOADED = 1500e6  # bytes of a job that computes with tables: its libraries, and the two Snakemakes around it
LOADED_TORCH = 3000e6  # with PyTorch, too
WORKER = 700e6  # bytes of a process that decodes films
TABLE = 25  # bytes in memory for a byte of compressed table
ACTIVATIONS = 1000  # channels of the input's size that a training pass keeps per image, as in a VGG-16
VALUE = 4  # bytes of a float32
SHORTEST = 15.0  # minutes
MARGIN = 3.0  # between what is forecast and what is asked for
UNKNOWN_PASS = 1e-6  # seconds per pixel of a forward pass where none was measured
TRAINING = 4  # forward passes that take as long as a training step's, per image
FILM = 0.7  # seconds to decode one
RENDERED, SCORED = 0.2, 2.0  # seconds to draw an image's references, to score its map in every way
PER_MEGABYTE = 2.0  # seconds to work through a megabyte of compressed tables
RESAMPLED = 20.0  # the same, with intervals
PLANNED = (
    "dataset",
    "model",
    "method",
    "probe",
    "cells",
    "images",
    "forwards",
    "seconds",
    "memory_bytes",
    "storage_bytes",
)


@dataclass(frozen=True)
class Work:
    """How large a study's work is, as far as is known: of its largest dataset, model and cell.

    `images` counts a dataset's, `pixels` and `references` are bytes of its arrays, `side` the length of a
    picture in pixels. `step` is the pixels of a training batch, `seen` the images that a training passes,
    each `pass_seconds` forwards. `explained` counts a cell's images, which take `explaining` and `probing`
    seconds, `held` bytes of activations and `stored` bytes of maps. `inputs` are the bytes that the job
    reads, `cores` what it is given, `shards` the shares into which the work of a cell is cut.
    """

    images: int = 0
    pixels: int = 0
    references: int = 0
    side: int = 0
    step: int = 0
    seen: float = 0.0
    pass_seconds: float = 0.0
    explained: int = 0
    explaining: float = 0.0
    probing: float = 0.0
    held: float = 0.0
    stored: float = 0.0
    inputs: int = 0
    cores: int = 1
    shards: int = 1


# bytes of memory beside the program's, by rule; any other rule holds its inputs' tables
MEMORY: dict[str, Callable[[Work], float]] = {
    "make_phantom": lambda work: WORKER,
    "prepare": lambda work: work.cores * WORKER + work.images * work.side**2 + TABLE * work.inputs,
    "mask_images": lambda work: 2 * work.pixels + work.held,
    "train": lambda work: work.pixels + ACTIVATIONS * VALUE * work.step,
    "train_vae": lambda work: work.pixels + ACTIVATIONS * VALUE * work.step,
    "make_artifacts": lambda work: work.pixels + work.references + work.held,
    "attribute": lambda work: work.pixels + work.stored + work.held,
    "probe": lambda work: work.pixels + work.stored + work.held,
    "score": lambda work: work.references + 2 * work.stored,
    "score_baselines": lambda work: 2 * work.references,
    "plan_costs": lambda work: TABLE * work.inputs,
}
# seconds, by rule; any other works through its inputs' tables
SECONDS: dict[str, Callable[[Work], float]] = {
    "make_phantom": lambda work: 0.0,
    "prepare": lambda work: FILM * work.images / work.cores,
    "mask_images": lambda work: TRAINING * work.images * work.pass_seconds + work.explaining,
    "train": lambda work: TRAINING * work.seen * work.pass_seconds,
    "train_vae": lambda work: TRAINING * work.seen * work.pass_seconds,
    "make_artifacts": lambda work: work.images * work.pass_seconds + work.explaining,
    "attribute": lambda work: work.explaining,
    "probe": lambda work: work.probing,
    "score": lambda work: SCORED * work.explained,
    "score_baselines": lambda work: SCORED * work.explained,
    "render_gaze": lambda work: RENDERED * work.images,
    "render_regions": lambda work: RENDERED * work.images,
    "average_references": lambda work: RENDERED * work.images,
    "compare_maps": lambda work: SCORED * work.explained + PER_MEGABYTE * work.inputs / MEGABYTE,
    "summarise": lambda work: RESAMPLED * work.inputs / MEGABYTE,
    "summarise_agreements": lambda work: RESAMPLED * work.inputs / MEGABYTE,
    "summarise_classification": lambda work: RESAMPLED * work.inputs / MEGABYTE,
}
USE_TORCH = {"train", "train_vae", "mask_images", "make_artifacts", "attribute", "probe", "plan_costs"}
USE_TORCH |= {"plot_stability"}


def megabytes(rule: str, work: Work, attempt: int = 1) -> int:
    """Memory of a job of `rule`, in 1e6 bytes; each attempt asks for twice as much as the one before."""
    rule = rule.removesuffix(SHARD)
    program = LOADED_TORCH if rule in USE_TORCH else LOADED
    beside = MEMORY.get(rule, lambda work: TABLE * work.inputs)(work)
    return ceil(2 ** (attempt - 1) * (program + beside) / MEGABYTE)


def minutes(rule: str, work: Work, attempt: int = 1) -> int:
    """Wall-clock minutes of a job of `rule`; each attempt asks for twice as many as the one before."""
    rule, shares = rule.removesuffix(SHARD), work.shards if rule.endswith(SHARD) else 1
    seconds = SECONDS.get(rule, lambda work: PER_MEGABYTE * work.inputs / MEGABYTE)(work) / shares
    return ceil(2 ** (attempt - 1) * max(SHORTEST, MARGIN * seconds / 60))


def cores(threads: int, computing: int | None) -> int:
    """Cores of a job with a rule's `threads`: as many as its libraries' (`computing`; None: it sets none)."""
    return max(threads, computing or 1)


def gpus(device: object, here: int = 0) -> int:
    """One where `device` names one (`cuda`, `cuda:1`), and for `auto` where jobs share those that are `here`.

    On a cluster `auto` asks for none, and takes what it is granted.
    """
    return int(str(device).startswith("cuda") or (device == "auto" and here > 0))


# ---- how large the work is


def measured(study: Study, folder: Path, inputs: Iterable[str] = (), cores: int = 1) -> Work:
    """The work of `study`, whose results lie in `folder`, for a job that reads `inputs` with `cores`.

    What is not made yet counts nothing: Snakemake asks again when a job is ready, and all it reads is there.
    """
    recipes = [study.recipe_of(model) for model, _ in study.trained]
    side = max((recipe["side"] for recipe in recipes), default=0)
    datasets = [f"datasets/{name}/images.parquet" for name in study.datasets]
    images = max((_rows(folder / name) for name in datasets), default=0)
    references = [[*(folder / "references" / name).glob("*.npy")] for name in study.datasets]
    return Work(
        images=images,
        pixels=max((_bytes(folder / f"prepared/{name}/pixels.npy") for name in study.datasets), default=0),
        references=max((_bytes(*files) for files in references), default=0),
        side=side,
        step=max((recipe["batch"] * recipe["side"] ** 2 for recipe in recipes), default=0),
        seen=images * max((recipe["epochs"] for recipe in recipes), default=0),
        inputs=_bytes(*map(Path, inputs)),
        cores=cores,
        shards=min(sharding.count(study, stage) for stage in sharding.STAGES),
        **_planned(folder / "planned_costs.parquet", side),
    )


def _bytes(*files: Path) -> int:
    """Bytes of those of `files` that are there."""
    return sum(file.stat().st_size for file in files if file.is_file())


def _rows(table: Path) -> int:
    stamp = _stamp(table)
    return _rows_of(table, stamp) if stamp else 0


def _planned(table: Path, side: int) -> dict[str, float]:
    """What the forecast of costs says of its largest cell, a usual network where there is no forecast."""
    stamp = _stamp(table)
    found = dict(_planned_in(table, stamp)) if stamp else {}
    return found | {"pass_seconds": found.get("pass_seconds") or UNKNOWN_PASS * side**2}


def _stamp(table: Path) -> tuple[int, int] | None:
    """What changes with a file's content; None where there is no file."""
    if not table.is_file():
        return None
    told = table.stat()
    return told.st_mtime_ns, told.st_size


@cache
def _rows_of(table: Path, stamp: tuple[int, int]) -> int:
    try:
        return pq.read_metadata(table).num_rows
    except pa.ArrowInvalid:  # cut short, perhaps: the job that reads it says so
        return 0


@cache
def _planned_in(table: Path, stamp: tuple[int, int]) -> tuple[tuple[str, float], ...]:
    try:
        rows = pq.read_table(table, columns=list(PLANNED)).to_pylist()
    except pa.ArrowInvalid:
        return ()
    each = [row | {"seconds": row["seconds"] / row["cells"]} for row in rows]
    explaining = [row for row in each if not row["probe"]]
    probing: Counter[tuple] = Counter()
    for row in each:
        if row["probe"]:
            probing[row["dataset"], row["model"], row["method"]] += row["seconds"]
    return (
        (
            "pass_seconds",
            max((row["seconds"] / row["forwards"] for row in each if row["forwards"]), default=0.0),
        ),
        ("explained", max((row["images"] for row in explaining), default=0)),
        ("explaining", max((row["seconds"] for row in explaining), default=0.0)),
        ("probing", max(probing.values(), default=0.0)),
        ("held", max((row["memory_bytes"] for row in each), default=0.0)),
        ("stored", max((row["storage_bytes"] / row["cells"] for row in explaining), default=0.0)),
    )
