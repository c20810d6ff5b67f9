"""The chest study on tables of MIMIC-CXR's, REFLACX's and CheXmask's full size, and what all of it costs.

    PYTHONPATH=src python -m benchmarks.scale [--quick] [--page docs/scale.md]

Every stage runs on tables of an eighth, a quarter, a half and all of the releases' size, in a process of its
own: CPU seconds and peak memory, and the slope of log(seconds) over log(size), by which a step that is not
linear is seen. Then what one picture, one training pass and one map cost here, and what that makes of studies
of 1, 10 and 100 times the size (docs/scale.md has the formulas). Takes half an hour; needs 10 GB of disk.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks import full_size_stages as stages
from benchmarks import scale_page
from benchmarks.full_size_stages import Spent
from benchmarks.measuring import cpu_seconds, machine
from benchmarks.scale_page import Cost, Measured
from sightline import tables
from sightline.datasets import dataset
from sightline.preparing import preparation

SHARES, QUICK = (0.125, 0.25, 0.5, 1.0), (0.0078125, 0.015625, 0.03125)
# what a stage's size counts; `write_scores` draws scores and is no stage of the study
OF = {
    "read_dataset": "images",
    "render_gaze": "readings",
    "render_regions": "films",
    "average_references": "films",
    "plan_costs": "films kept",
    "summarise": "rows of scores",
}
REFERENCES = ("render_gaze", "render_regions", "average_references")
PLANNED = ("cxr_gaze", "mammography")
FILM = (3056, 2544)
FILMS, REPEATS = 4, 3
HOUR, GIGABYTE = 3600.0, 1e9
GPU = 1e3  # images that a GPU trains in a second: assumed


def slope(sizes: list[float], seconds: list[float]) -> float:
    """The exponent of seconds ~ size ** exponent, by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def measured(folder: Path, shares: tuple[float, ...]) -> dict[str, list[Spent]]:
    """Every stage at every share of the full size; the largest share's files stay in `folder`/largest."""
    found: dict[str, list[Spent]] = {}
    for share in shares:
        here = folder / ("largest" if share == shares[-1] else f"{share}")
        stages.write_tables(here, share)
        for stage in stages.STAGES:
            spent = stages.spent(stage, here)
            found.setdefault(stage.__name__, []).append(spent)
            told = f"{spent.seconds:8.1f} s {spent.gigabytes:6.2f} GB"
            print(f"  {share:<9g} {stage.__name__:<20}{spent.size:>9} {told}", flush=True)
        if share != shares[-1]:
            shutil.rmtree(here)
    return found


def stages_measured(found: dict[str, list[Spent]]) -> list[Measured]:
    """Time, memory and slope of every stage at the largest size."""
    rows = []
    for name, counted in OF.items():
        last, sizes = found[name][-1], [one.size for one in found[name]]
        exponent = slope(sizes, [one.seconds for one in found[name]])
        rows.append(Measured(name, f"{last.size:,} {counted}", last.seconds, last.gigabytes, exponent))
    return rows


def planned(config: str, data: Path | None = None) -> tuple[int, float]:
    """Jobs of a study of `config/` and CPU seconds until Snakemake has planned them, nothing being there."""
    import resource

    from benchmarks import demo, dry_run

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        folder.mkdir()
        for name in demo.COPIED:
            copy = shutil.copytree if (demo.ROOT / name).is_dir() else shutil.copy
            copy(demo.ROOT / name, folder / name)
        if data is None:
            dry_run.empty_tables(folder, folder / f"config/{config}.yaml")
        else:
            (folder / "data").mkdir(exist_ok=True)
            (folder / "data" / stages.DATASET).symlink_to(data.resolve())
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run(
            demo.snakemake("--cores", "2", "--dry-run", "--configfile", f"config/{config}.yaml"),
            cwd=folder,
            env=demo.environment(),
            capture_output=True,
            text=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"the dry run of {config} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return int(re.search(r"^total\s+(\d+)", done.stdout, re.M)[1]), seconds


# ---- what one of each costs


def of_picture(folder: Path) -> tuple[float, float]:
    """CPU seconds to prepare a film of the usual size, and the bytes that its store holds."""
    random, rows = np.random.default_rng(0), []
    folder.mkdir(parents=True)
    for at in range(FILMS):
        film = cv2.GaussianBlur(random.normal(128, 90, FILM), (0, 0), 2.5) * 3 - 256
        film = np.clip(film + random.normal(0, 4, FILM), 0, 255).astype(np.uint8)
        (folder / f"{at}.jpg").write_bytes(cv2.imencode(".jpg", film, [cv2.IMWRITE_JPEG_QUALITY, 95])[1])
        split = ("train", "test")[at % 2]
        rows.append({"image": f"{at}", "path": f"{at}.jpg", "split": split, "height": FILM[0]})
    images = pd.DataFrame(rows).assign(dataset=stages.DATASET, width=FILM[1])
    outputs = {output: folder / f"{name}.parquet" for name, output in preparation.OUTPUTS.items()}
    outputs["pixels"] = folder / "pixels.npy"
    side = next(iter(stages.study().recipes.values()))["side"]
    calls = [
        cpu_seconds(lambda: preparation.prepare(images, folder, [side], outputs)) for _ in range(REPEATS)
    ]
    return min(calls) / FILMS, outputs["pixels"].stat().st_size / FILMS


def of_map() -> float:
    """CPU seconds to score one reading of one map of a film of one reader, all metrics of the study."""
    from benchmarks.scores import blobs, cam, scaled
    from sightline.scores import scoring

    chosen, random = stages.study(), np.random.default_rng(0)
    scale, native = chosen.config["scores"]["scale"], FILM
    saliency, looked = (scaled(one, scale) for one in (cam(random), blobs(random, native, 60, 0.04)))
    bias = scaled(blobs(random, native, 300, 0.08), scale)
    biases, mask = dict.fromkeys(chosen.leave_outs, bias), (looked > np.median(looked)).astype(np.uint8)
    references = [
        scoring.GazeReference(name, lambda _: [("0", looked)], lambda _: biases, tuple(chosen.leave_outs))
        if one["kind"] == "gaze"
        else scoring.RegionReference(name, lambda _: mask)
        for name, one in chosen.references_of(stages.DATASET).items()
    ]
    images = pd.DataFrame({"image": [f"{at}" for at in range(5)], "subject": "s"})
    maps_of = scoring.MapsOf(stages.DATASET, "m", 0, "clean", "k")
    names = chosen.config["scores"]["metrics"]

    def score() -> None:
        scoring.score(maps_of, images, [""], lambda image, reading: saliency, references, names)

    score()
    return min(cpu_seconds(score) for _ in range(REPEATS)) / len(images)


def of_training() -> dict[str, float]:
    """CPU seconds of a training pass of one image of the study's side, by architecture."""
    import torch

    from benchmarks.training import images_per_second

    torch.set_num_threads(1)
    chosen = stages.study()
    names = {name: model["architecture"] for name, model in chosen.models.items()}
    sides = {name: chosen.recipe_of(name)["side"] for name in names}
    return {name: 1 / images_per_second(kind, sides[name], 1)["train"] for name, kind in names.items()}


# ---- what that makes of the study


def costs(folder: Path, found: dict[str, list[Spent]], share: float, jobs: int) -> list[Cost]:
    """What each stage costs at full size, in a study of so many `jobs`; `folder` has `share` of that size."""
    whole = {name: spent[-1].seconds / share / HOUR for name, spent in found.items()}
    memory = {name: grown(spent, share) for name, spent in found.items()}
    read, drawn = (stages.at(folder, name) for name in dataset.table_names()), (folder / "made").glob("*.npy")
    largest = max((memory[name] for name in REFERENCES), key=sum)
    averaged = sum(whole[name] for name in REFERENCES)
    rows = [
        Cost(
            "read_dataset", 1, whole["read_dataset"], None, memory["read_dataset"], _gigabytes(read) / share
        ),
        Cost(", ".join(REFERENCES), len(REFERENCES), averaged, None, largest, _gigabytes(drawn) / share),
        Cost("plan_costs", 1, whole["plan_costs"], memory=memory["plan_costs"]),
        *computed(folder, share),
        Cost("summarise", 1, whole["summarise"], memory=memory["summarise"]),
    ]
    rest = jobs - sum(cost.jobs for cost in rows)
    return [*rows, Cost("checks, baselines, classification, figures, page", rest)]


def computed(folder: Path, share: float) -> list[Cost]:
    """prepare, train, attribute and score: what one takes here, by how many there are at full size."""
    chosen = stages.study()
    images, plan = (tables.read(name, stages.at(folder, name)) for name in ("images", "planned_costs"))
    films, trained = (len(one) / share for one in (images, images[images["split"] == "train"]))
    evaluated = images["evaluated"].sum() / share
    readings = sum(len(chosen.readings_of(cell.method)) for cell in chosen.scored_cells)
    picture, stored = of_picture(folder / "films")
    one_map, passes = of_map(), of_training()
    seeds = {name: sum(model == name for model, _ in chosen.trained) for name in chosen.models}
    seen = {name: seeds[name] * chosen.recipe_of(name)["epochs"] * trained for name in chosen.models}
    print(f"  a film: {picture:.3f} s, {stored:.0f} bytes; a map and reading: {1e3 * one_map:.1f} ms")
    print("  a training pass: " + ", ".join(f"{name} {1e3 * one:.1f} ms" for name, one in passes.items()))
    print(f"  {sum(seen.values()):.3g} training passes of an image; {films:.0f} films, {trained:.0f} train")
    learning = sum(seen[name] * passes[name] for name in seen) / HOUR
    explaining, maps = (plan[name].sum() / share for name in ("seconds", "storage_bytes"))
    scored = _gigabytes((folder / "scores").glob("*")) / share
    return [
        Cost("prepare", 1, films * picture / HOUR, storage=films * stored / GIGABYTE),
        Cost("train", sum(seeds.values()), learning, sum(seen.values()) / GPU / HOUR),
        Cost("attribute", len(chosen.cells), explaining / HOUR, storage=maps / GIGABYTE),
        Cost("score", len(chosen.scored_cells), readings * evaluated * one_map / HOUR, storage=scored),
    ]


def _gigabytes(files: Iterable[Path]) -> float:
    return sum(file.stat().st_size for file in files) / GIGABYTE


def grown(spent: list[Spent], share: float) -> tuple[float, float]:
    """Gigabytes that grow with the size, at full size, and those that do not, by the two largest sizes."""
    less, more = spent[-2:]
    each = max(0.0, (more.gigabytes - less.gigabytes) / (more.size - less.size))
    growing = each * more.size
    return growing / share, more.gigabytes - growing


def measure(quick: bool) -> tuple[list[Measured], list[Cost]]:
    """Every stage's time, memory and slope, the planning of two studies, and what the whole study costs."""
    shares = QUICK if quick else SHARES
    print(f"shares of the full size: {', '.join(map(str, shares))}; CPU time of one thread, once")
    with tempfile.TemporaryDirectory(prefix="sightline-scale-") as place:
        folder = Path(place)
        found = measured(folder, shares)
        rows, jobs = stages_measured(found), {}
        for config in PLANNED:
            jobs[config], seconds = planned(config, folder / "largest" if config == "cxr_gaze" else None)
            rows.append(Measured(f"planning config/{config}.yaml", f"{jobs[config]:,} jobs", seconds))
        return rows, costs(folder / "largest", found, shares[-1], jobs["cxr_gaze"])


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="thirty-second parts of the full size")
    parser.add_argument("--page", type=Path, help="a page with the two marks between which the tables go")
    arguments = parser.parse_args()
    quick = f", shares of at most {QUICK[-1]:g}" if arguments.quick else ""
    text = scale_page.made(f"{machine()}{quick}", *measure(arguments.quick))
    print(f"\n{text}")
    if arguments.page:
        scale_page.write(arguments.page, text)


if __name__ == "__main__":
    main()
