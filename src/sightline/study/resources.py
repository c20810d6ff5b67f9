"""What jobs ask a cluster for: memory, time, cores and GPUs, from the size of the work and the attempt.

None of it changes a number or reruns a job. It is the same for all jobs of a rule, since the tasks of a SLURM
array share what they ask for: the largest dataset, model and cell count. The factors are upper bounds of what
was measured, most of it at full size (docs/scale.md, docs/performance.md; a test holds them against it). A
job that passes one is tried again with more. Pixels, maps and references count for nothing: they are mapped,
and a job holds 16 MB of each (`arrays.view`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from math import ceil, inf
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sightline.study import sharding

Study = Any  # a `sightline.study.grid.Study`

MEGABYTE = 1e6
SHARD = "_shard"  # the end of the name of a rule that does a share of another's work
# ---- bytes of memory
LOADED = 1500e6  # a job of the demo holds at most 0.4 GB beside the two Snakemakes around it, 0.2 GB each
LOADED_TORCH = 3000e6  # with PyTorch, too: 1.0 GB
WORKER = 700e6  # a process that decodes films: 0.31 GB, mammograms
TABLE = 60  # for a byte of compressed table: 54 in summarise, the most of those in docs/scale.md
TEXT = 30  # bytes of text that count as one of a compressed table: it is read in pieces, and compresses so
ACTIVATIONS = 1000  # channels of the input's size that training keeps: SonoNet 290, DenseNet-121 660
VALUE = 4  # bytes of a float32
# ---- seconds
SHORTEST = 15.0  # minutes
MARGIN = 3.0  # between what is forecast and what is asked for: nodes differ, and disks are shared
UNKNOWN_PASS = 1e-6  # per pixel of a forward pass where none was measured: SonoNet on one core
TRAINING = 3  # forward passes that take as long as a training step's, per image: 2.7 in SonoNet
FILM = 0.5  # to decode one: a mammogram in lossless JPEG 0.45, a chest film 0.05
SCALE = 0.125  # of the maps with which drawing and scoring were timed
RENDERED = 0.1  # to draw an image's references: regions 0.03
SCORED = 0.05  # to score a reading of an image's map in every way: 0.01
COMPARED = 2.0  # to compare an image's maps
PER_MEGABYTE = 2.0  # to work through a megabyte of compressed tables: read_dataset 0.4
RESAMPLED = 6.0  # the same, with intervals: summarise 2.8
JOINED = 0.05  # to copy a megabyte of arrays
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
)


@dataclass(frozen=True)
class Work:
    """How large a study's work is, as far as is known: of its largest dataset, model and cell.

    `images` counts a dataset's, `evaluated` those of them that have references, `step` the pixels of a
    training batch, `seen` the images that a training passes, each `pass_seconds` forwards. `explained`
    counts a cell's images, which take `explaining` and `probing` seconds, and `held` bytes of activations.
    `readings` are those of one map, or the baselines, scored on `area` times the pixels of a map at `SCALE`.
    The job reads `inputs` bytes of tables as if compressed, and `arrays`; it is given `cores`. `shards` are
    the shares into which the work of its rule is cut; where it `joins` them, it does nothing else.
    """

    images: int = 0
    evaluated: int = 0
    step: int = 0
    seen: float = 0.0
    pass_seconds: float = 0.0
    explained: int = 0
    explaining: float = 0.0
    probing: float = 0.0
    held: float = 0.0
    readings: int = 1
    area: float = 1.0
    inputs: float = 0.0
    arrays: int = 0
    cores: int = 1
    shards: int = 1
    joins: bool = False


def _training(work: Work) -> float:
    return ACTIVATIONS * VALUE * work.step


def _drawing(work: Work) -> float:
    return RENDERED * work.area * work.evaluated


# bytes of memory beside the program's and the tables', by rule; any other rule holds its inputs' tables alone
MEMORY: dict[str, Callable[[Work], float]] = {
    "make_phantom": lambda work: WORKER,
    "prepare": lambda work: work.cores * WORKER,
    "mask_images": lambda work: work.held,
    "train": _training,
    "train_vae": _training,
    "make_artifacts": lambda work: work.held,
    "attribute": lambda work: work.held,
    "probe": lambda work: work.held,
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
    "score": lambda work: SCORED * work.area * work.readings * work.explained,
    "score_baselines": lambda work: SCORED * work.area * work.readings * work.evaluated,
    "render_gaze": _drawing,
    "render_regions": _drawing,
    "average_references": _drawing,
    "compare_maps": lambda work: COMPARED * work.explained + PER_MEGABYTE * work.inputs / MEGABYTE,
    "summarise": lambda work: RESAMPLED * work.inputs / MEGABYTE,
    "summarise_agreements": lambda work: RESAMPLED * work.inputs / MEGABYTE,
    "summarise_classification": lambda work: RESAMPLED * work.inputs / MEGABYTE,
}
USE_TORCH = {"train", "train_vae", "mask_images", "make_artifacts", "attribute", "probe", "plan_costs"}
USE_TORCH |= {"plot_stability"}


def megabytes(rule: str, work: Work, attempt: int = 1, most: float = inf) -> int:
    """Memory of a job of `rule`, in 1e6 bytes: at each attempt twice that of the one before, or `most`."""
    rule = rule.removesuffix(SHARD)
    held = TABLE * work.inputs
    if work.joins:
        held += LOADED
    else:
        held += LOADED_TORCH if rule in USE_TORCH else LOADED
        held += MEMORY.get(rule, lambda work: 0.0)(work)
    return int(min(ceil(2 ** (attempt - 1) * held / MEGABYTE), most))


def minutes(rule: str, work: Work, attempt: int = 1, most: float = inf) -> int:
    """Wall-clock minutes of a job of `rule`: at each attempt twice those of the one before, or `most`."""
    rule, shares = rule.removesuffix(SHARD), work.shards if rule.endswith(SHARD) else 1
    if work.joins:
        seconds = (PER_MEGABYTE * work.inputs + JOINED * work.arrays) / MEGABYTE
    else:
        seconds = SECONDS.get(rule, lambda work: PER_MEGABYTE * work.inputs / MEGABYTE)(work) / shares
    return int(min(ceil(2 ** (attempt - 1) * max(SHORTEST, MARGIN * seconds / 60)), most))


def together(attempt: int, ready: Iterable[int]) -> int:
    """The attempt for which a job asks that an array may take with those that are `ready`: the highest.

    All tasks of an array get what its first one asks for, whichever that is.
    """
    return max([attempt, *ready])


def cores(threads: int, computing: int | None) -> int:
    """Cores of a job with a rule's `threads`: as many as its libraries' (`computing`; None: it sets none)."""
    return max(threads, computing or 1)


def gpus(device: object, here: int = 0) -> int:
    """One where `device` names one (`cuda`, `cuda:1`), and for `auto` where jobs share those that are `here`.

    On a cluster `auto` asks for none, and takes what it is granted.
    """
    return int(str(device).startswith("cuda") or (device == "auto" and here > 0))


# ---- how large the work is


def measured(study: Study, rule: str, folder: Path, inputs: Iterable[str] = (), cores: int = 1) -> Work:
    """The work of `study`, whose results lie in `folder`, for a job of `rule` that reads `inputs`.

    What is not made yet counts nothing: Snakemake asks again when a job is ready, and all it reads is there.
    """
    recipes = [study.recipe_of(model) for model, _ in study.trained]
    sizes = [_rows(folder / f"datasets/{name}/images.parquet") for name in study.datasets]
    images, evaluated = (max(counts, default=0) for counts in zip(*sizes))
    readings = [len(study.readings_of(method)) for method in study.methods]
    files = [*map(Path, inputs)]
    arrays = [file for file in files if file.suffix == ".npy"]
    return Work(
        images=images,
        evaluated=evaluated,
        step=max((recipe["batch"] * recipe["side"] ** 2 for recipe in recipes), default=0),
        seen=images * max((recipe["epochs"] for recipe in recipes), default=0),
        readings=max([1, len(study.baselines), *readings]),
        area=max(1.0, (study.config["scores"]["scale"] / SCALE) ** 2),
        inputs=sum(_packed(file) for file in files if file not in arrays),
        arrays=sum(map(_bytes, arrays)),
        cores=cores,
        shards=sharding.of_rule(study, rule.removesuffix(SHARD)),
        joins=sharding.of_rule(study, rule) > 1,
        **_planned(folder / "planned_costs.parquet", max((one["side"] for one in recipes), default=0)),
    )


def _bytes(file: Path) -> int:
    return file.stat().st_size if file.is_file() else 0


def _packed(table: Path) -> float:
    """Bytes of a table, those of a text as if compressed."""
    return _bytes(table) / (TEXT if table.suffix in (".csv", ".tsv", ".json", ".txt") else 1)


def _rows(table: Path) -> tuple[int, int]:
    """How many images a table has, and how many of them are evaluated."""
    stamp = _stamp(table)
    return _rows_of(table, stamp) if stamp else (0, 0)


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
def _rows_of(table: Path, stamp: tuple[int, int]) -> tuple[int, int]:
    try:
        evaluated = pq.read_table(table, columns=["evaluated"])["evaluated"]
    except pa.ArrowInvalid:  # cut short, perhaps: the job that reads it says so
        return 0, 0
    return len(evaluated), pc.sum(evaluated).as_py() or 0


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
    )
