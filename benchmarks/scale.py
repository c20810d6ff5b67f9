"""The chest study on tables of MIMIC-CXR's, REFLACX's and CheXmask's full size, and what all of it costs.

Every stage runs on tables of an eighth, a quarter, a half and all of the releases' size, in a process of its
own: CPU seconds and peak memory, and the slope of log(seconds) over log(size), by which a step that is not
linear is seen. Then what one picture, one training pass and one map cost here, and what that makes of studies
of 1, 10 and 100 times the size (docs/scale.md has the formulas). Takes half an hour; needs 10 GB of disk.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from benchmarks import full_size_stages as stages
from benchmarks.full_size_stages import Spent
from benchmarks.measuring import Row, below, cpu_seconds

SHARES, QUICK = (0.125, 0.25, 0.5, 1.0), (0.0078125, 0.015625, 0.03125)
TIMES = (1, 10, 100)
GIGABYTES, SLOPE = 8.0, 1.2
FILM = (3056, 2544)
FILMS, REPEATS = 4, 3
HOUR = 3600.0


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


def stage_rows(found: dict[str, list[Spent]]) -> list[Row]:
    """Time, memory and slope of every stage."""
    rows = []
    for name, spent in found.items():
        if name == "write_scores":  # made up here, no stage of the study
            continue
        last = spent[-1]
        what = f"{name} of {last.size:,}: {last.seconds:.0f} CPU s, memory"
        rows.append(below(what, last.gigabytes, GIGABYTES, "GB"))
        exponent = slope([one.size for one in spent], [one.seconds for one in spent])
        what = f"{name}: slope of log(CPU s) over log(size), {len(spent)} sizes"
        rows.append(Row(what, f"{exponent:.2f}", f"below {SLOPE:g}", exponent < SLOPE))
    return rows


def planned(config: str, tables: Path | None = None) -> tuple[int, float]:
    """Jobs of a study of `config/` and CPU seconds until Snakemake has planned them, nothing being there."""
    import resource

    from benchmarks import demo, dry_run

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "project"
        folder.mkdir()
        for name in demo.COPIED:
            copy = shutil.copytree if (demo.ROOT / name).is_dir() else shutil.copy
            copy(demo.ROOT / name, folder / name)
        if tables is None:
            dry_run.empty_tables(folder, folder / f"config/{config}.yaml")
        else:
            (folder / "data").mkdir(exist_ok=True)
            (folder / "data" / stages.DATASET).symlink_to(tables.resolve())
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
    from sightline import preparation

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
    from sightline import scoring

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


def cost_rows(folder: Path, found: dict[str, list[Spent]], share: float) -> list[Row]:
    """Jobs, CPU hours, storage and memory of the study at 1, 10 and 100 times the size."""
    from sightline import tables

    chosen = stages.study()
    images = tables.read("images", stages.at(folder, "images"))
    films, trained = (len(one) / share for one in (images, images[images["split"] == "train"]))
    evaluated = images["evaluated"].sum() / share
    readings = sum(len(chosen.readings_of(cell.method)) for cell in chosen.scored_cells)
    epochs = {name: chosen.recipe_of(name)["epochs"] for name in chosen.models}
    plan = tables.read("planned_costs", stages.at(folder, "planned_costs"))
    picture, stored = of_picture(folder / "films")
    one_map, passes = of_map(), of_training()
    seeds = {name: sum(model == name for model, _ in chosen.trained) for name in chosen.models}
    whole = {name: spent[-1].seconds / share for name, spent in found.items()}
    references = ("render_gaze", "render_regions", "average_references")
    trainings = sum(seeds[name] * epochs[name] for name in seeds) * trained
    hours = {
        "read_dataset": (1, whole["read_dataset"]),
        "prepare": (1, films * picture),
        "train": (sum(seeds.values()), sum(seeds[n] * epochs[n] * trained * passes[n] for n in seeds)),
        "attribute": (len(chosen.cells), plan["seconds"].sum() / share),
        "references": (len(references), sum(whole[name] for name in references)),
        "score": (len(chosen.scored_cells), readings * evaluated * one_map),
        "summarise": (1, whole["summarise"]),
    }
    print(f"  a film: {picture:.3f} s, {stored:.0f} bytes; a map and reading: {1e3 * one_map:.1f} ms")
    print("  a training pass: " + ", ".join(f"{name} {1e3 * one:.1f} ms" for name, one in passes.items()))
    print(f"  {trainings:.3g} training passes of one image; {films:.0f} films, {trained:.0f} train")
    rows = [
        Row(f"cost of {name}, {jobs} job(s): CPU h at 1, 10, 100 times", _times(seconds / HOUR))
        for name, (jobs, seconds) in hours.items()
    ]
    passing = trainings / 1e3 / HOUR
    rows.append(Row("training on a GPU at 1,000 images/s (assumed, not measured): GPU h", _times(passing)))
    sizes = {
        "prepared pixels": films * stored,
        "maps": plan["storage_bytes"].sum() / share,
        "references": sum(path.stat().st_size for path in (folder / "made").glob("*.npy")) / share,
        "scores": sum(path.stat().st_size for path in (folder / "scores").glob("*")) / share,
    }
    rows += [Row(f"storage of {name}: GB at 1, 10, 100 times", _times(b / 1e9)) for name, b in sizes.items()]
    for name, spent in found.items():
        if name != "write_scores" and len(spent) > 1:
            rows.append(Row(f"memory of {name}: GB at 1, 10, 100 times", _times(*_grown(spent, share))))
    return rows


def _grown(spent: list[Spent], share: float) -> tuple[float, float]:
    """Gigabytes that grow with the size, at full size, and those that do not, by the two largest sizes."""
    less, more = spent[-2:]
    each = max(0.0, (more.gigabytes - less.gigabytes) / (more.size - less.size))
    growing = each * more.size
    return growing / share, more.gigabytes - growing


def _times(growing: float, fixed: float = 0.0) -> str:
    return " / ".join(_number(times * growing + fixed) for times in TIMES)


def _number(value: float) -> str:
    """Three digits that count, thousands apart."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def run(quick: bool) -> list[Row]:
    """Every stage's time, memory and slope, the planning of two studies, and what the whole study costs."""
    shares = QUICK if quick else SHARES
    print(f"shares of the full size: {', '.join(map(str, shares))}; CPU time of one thread, once")
    with tempfile.TemporaryDirectory(prefix="sightline-scale-") as place:
        folder = Path(place)
        found = measured(folder, shares)
        rows = stage_rows(found)
        for config, tables in (("cxr_gaze", folder / "largest"), ("mammography", None)):
            jobs, seconds = planned(config, tables)
            rows.append(Row(f"planning {jobs} jobs of config/{config}.yaml", f"{seconds:.0f} CPU s"))
        return rows + cost_rows(folder / "largest", found, shares[-1])
