"""Stages of the chest study on full-size tables, as its scripts do them, each in a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import yaml

from sightline import arrays, tables
from sightline.study.grid import Study

ROOT = Path(__file__).resolve().parents[1]
DATASET = "cxr"
SEVERAL = 109 / 2616  # share of the films that five readers saw


@dataclass(frozen=True)
class Spent:
    """What a stage took: rows (or images) that it went through, CPU seconds, the process's peak memory."""

    size: int
    seconds: float
    gigabytes: float


def spent(stage: Callable[..., int], folder: Path, **options: object) -> Spent:
    """Run `stage(folder, **options)` in a fresh process. Raises `ChildProcessError` where it fails."""
    os.environ["OMP_NUM_THREADS"] = "1"  # here: the process has loaded its libraries when it could set it
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(stage, folder, options, theirs))
    process.start()
    theirs.close()
    try:
        found = ours.recv()
    except EOFError:
        found = None
    process.join()
    if found is None:
        raise ChildProcessError(f"{stage.__name__} failed in {folder} (exit {process.exitcode})")
    return found


def _run(
    stage: Callable[..., int], folder: Path, options: dict, answer: multiprocessing.connection.Connection
) -> None:
    start = time.process_time()
    size = stage(folder, **options)
    seconds = time.process_time() - start
    answer.send(Spent(size, seconds, _peak() / 1e9))


def _peak() -> int:
    """The most bytes that this process held; what it mapped of files counts too (Linux)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def study(name: str = "cxr_gaze") -> Study:
    """A study of `config/`."""
    text = (ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")
    return Study(yaml.safe_load(text), ROOT / "workflow/schemas/config.schema.yaml")


def at(folder: Path, name: str) -> Path:
    """Where a stage's table lies."""
    return folder / "made" / f"{name}.parquet"


def write_tables(folder: Path, share: float) -> int:
    """The upstream tables; how many images."""
    from benchmarks import full_size

    return len(full_size.write(folder, share=share))


def read_dataset(folder: Path) -> int:
    """As scripts/read_dataset.py; how many images the release has."""
    from sightline.datasets import dataset

    chosen = study().datasets[DATASET]
    read = dataset.read(DATASET, folder, chosen["adapter"], chosen["adapter_options"], chosen["annotations"])
    for name in dataset.table_names():
        tables.write(name, getattr(read, name), at(folder, name))
    return int(read.cohort["images"].max())


def render_gaze(folder: Path) -> int:
    """As scripts/render_gaze.py; how many readings."""
    from sightline import gaze

    names = ("fixations", "images", "readings")
    scale = study().config["scores"]["scale"]
    rows, maps = gaze.render_all(*(tables.read(name, at(folder, name)) for name in names), scale)
    _store(folder, "gaze", maps, "float32", rows)
    return len(rows)


def render_regions(folder: Path) -> int:
    """As scripts/render_regions.py; how many images."""
    from sightline import regions
    from sightline.study import references

    images = tables.read("images", at(folder, "images"))
    images = images[images["evaluated"]]
    boxes, masks = (tables.read(name, at(folder, name)) for name in ("boxes", "masks"))
    kinds, scale = references.regions(study(), DATASET), study().config["scores"]["scale"]
    rows, values = regions.render(kinds, boxes, masks, images, folder, scale)
    with arrays.Writer(at(folder, "regions").with_suffix(".npy"), "uint8") as store:
        rows["offset"] = [None if value is None else store.append(value) for value in values]
    tables.write("regions", rows, at(folder, "regions"), at(folder, "regions").with_suffix(".npy"))
    return len(images)


def average_references(folder: Path) -> int:
    """As scripts/average_references.py of the gaze; how many images."""
    from sightline import center_bias

    images, gaze = (tables.read(name, at(folder, name)) for name in ("images", "gaze"))
    chosen = study()
    boxes = center_bias.image_boxes(
        tables.read("boxes", at(folder, "boxes")), images, chosen.datasets[DATASET]["box"]
    )
    looked_at = images[images["evaluated"] | images["image"].isin(gaze["image"])]
    values = arrays.open_flat(at(folder, "gaze").with_suffix(".npy"))
    scale = chosen.config["scores"]["scale"]
    rows, maps = center_bias.place_all(gaze, values, boxes, looked_at, chosen.leave_outs, scale)
    _store(folder, "center_bias", maps, "float32", rows)
    return len(looked_at)


def _store(folder: Path, name: str, maps, kind: str, rows) -> None:
    values = at(folder, name).with_suffix(".npy")
    with arrays.Writer(values, kind) as store:
        for one in maps:
            store.append(one)
    tables.write(name, rows, at(folder, name), values=values)


def plan_costs(folder: Path) -> int:
    """As scripts/plan_costs.py on one CPU core; how many images the dataset keeps."""
    import torch

    from sightline.explanation import forecasting
    from sightline.study import costs

    torch.set_num_threads(1)
    chosen = study()
    micro_batch, batch = (chosen.config["compute"][name] for name in ("micro_batch", "batch"))
    networks = {
        name: forecasting.Network(**model, micro_batch=micro_batch, device=torch.device("cpu"))
        for name, model in costs.models(chosen).items()
    }
    images, labels = (tables.read(name, at(folder, name)) for name in ("images", "labels"))
    datasets = {
        name: forecasting.Dataset(images, labels, fit) for name, fit in costs.datasets(chosen).items()
    }
    planned = forecasting.forecast(costs.alike(chosen), networks, datasets, batch)
    tables.write("planned_costs", planned, at(folder, "planned_costs"))
    return len(images)


def write_scores(folder: Path, films: int | None = None) -> int:
    """Scores of all cells as scoring would write them, with drawn values; how many rows.

    Of so many films; by default of those that `render_regions` found evaluated.
    """
    from benchmarks import full_size_scores

    if films is None:
        films = tables.read("regions", at(folder, "regions"), columns=["image"])["image"].nunique()
    explained = full_size_scores.images(films, max(1, round(SEVERAL * films)))
    chosen = study()
    _, rows = full_size_scores.write(folder / "scores", chosen, DATASET, explained)
    names = dict.fromkeys(chosen.config["statistics"]["strata"], 2)
    strata = full_size_scores.strata(names, DATASET, explained)
    tables.write("strata", strata, folder / "strata" / "strata.parquet")
    return rows


def summarise(folder: Path) -> int:
    """scripts/summarise.py itself, over the tables of `write_scores`; how many rows these have."""
    from importlib import util

    import pyarrow.parquet as pq

    described = util.spec_from_file_location("summarise", ROOT / "scripts/summarise.py")
    script = util.module_from_spec(described)
    described.loader.exec_module(script)
    every = sorted((folder / "scores").glob("*.parquet"))
    own = [path for path in every if path.stem != "baselines"]
    inputs = SimpleNamespace(
        scores=own,
        probes=[],
        baselines=[path for path in every if path not in own],
        strata=[folder / "strata" / "strata.parquet"],
    )
    names = ("summary", "comparisons", "contrasts")
    outputs = SimpleNamespace(**{name: at(folder, name) for name in names})
    chosen = study()
    script.summarise(inputs, outputs, chosen.config["statistics"], chosen.seed)
    return sum(pq.ParquetFile(path).metadata.num_rows for path in every)


# in the order in which each finds what it reads
STAGES = (
    read_dataset,
    render_gaze,
    render_regions,
    average_references,
    plan_costs,
    write_scores,
    summarise,
)
