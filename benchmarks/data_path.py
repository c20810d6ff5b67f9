"""Does training wait for its data? Its rate from the store beside that with its batches on the device."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.measuring import Row, load
from sightline import arrays
from sightline.models import device, feeding, training
from sightline.models.examples import Examples
from sightline.models.network import build
from sightline.models.recipe import Recipe
from sightline.prepared import Store

AIM = 0.9
LABELS = tuple(f"label {index}" for index in range(14))


class Bench:
    """A training of `network` on films of random pixels that lie in a store in `folder`."""

    def __init__(self, folder: Path, network: str, recipe: Recipe, images: int, place: torch.device):
        self.path, self.recipe, self.place, self.random = (
            folder / "pixels.npy",
            recipe,
            place,
            np.random.default_rng(0),
        )
        shape, rows = (recipe.side * 5 // 4, recipe.side), []
        with arrays.Writer(self.path, np.uint8) as writer:
            for index in range(images):
                offset = writer.append(self.random.integers(0, 256, shape, dtype=np.uint8))
                rows.append((f"i{index:05d}", recipe.side, "train", offset, shape, (1.0, 1.0), (0.0, 0.0)))
        columns = ["image", "side", "geometry", "offset", "shape", "scale", "shift"]
        self.table = pd.DataFrame(rows, columns=columns)
        self.targets = self.random.integers(0, 2, (images, len(LABELS))).astype(np.float32)
        self.weights = torch.ones(len(LABELS), device=place)
        self.state = training.begin(
            build(network, len(LABELS), seed=0), recipe, images // recipe.batch, place
        )

    def parts(self) -> tuple:
        """What `feeding.steps` takes for a pass from the store, opened anew."""
        store = Store(self.table, arrays.open_flat(self.path))
        names = tuple(self.table["image"])
        examples = Examples(store, self.recipe.side, "train", names, LABELS, self.targets)
        order = np.array_split(self.random.permutation(len(names)), len(names) // self.recipe.batch)
        return examples, self.recipe, order, self.random, self.place

    def steps(self) -> Iterable[feeding.Step]:
        """One pass from the store."""
        return feeding.steps(*self.parts())

    def host_rate(self) -> float:
        """Images per CPU second that the thread reads, draws and stages: as many as it could feed."""
        given, start = self.parts(), time.process_time()
        for _ in feeding.host_parts(*given):
            pass
        return len(self.table) / (time.process_time() - start)

    def rate(self, steps: Iterable[feeding.Step]) -> float:
        """Images per second, wall time, of a pass over `steps`."""
        synchronize(self.place)
        start = time.perf_counter()
        training.learn(self.state, steps, self.recipe, self.weights)
        synchronize(self.place)
        return len(self.table) / (time.perf_counter() - start)

    def forget(self) -> None:
        """Have the system drop the store's file from its memory, where it can: then a pass reads the disk."""
        if hasattr(os, "posix_fadvise"):
            with open(self.path, "rb") as file:
                os.fsync(file.fileno())
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def synchronize(place: torch.device) -> None:
    """Wait until all that was asked of the device is done."""
    if place.type == "cuda":
        torch.cuda.synchronize(place)


def name_of(place: torch.device) -> str:
    """The device as rows name it."""
    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    return f"{place.type}, {torch.get_num_threads()} thread(s)"


def compare(
    folder: Path, side: int, batch: int, batches: int, precision: str, rounds: int, place: torch.device
) -> list[Row]:
    """Rows of one side and precision; the three ways of feeding are timed in turn."""
    recipe = Recipe.of({"side": side, "batch": batch, "precision": precision})
    bench = Bench(folder, "sononet16", recipe, batch * batches, place)
    there = list(bench.steps())  # all batches of a pass, on the device
    bench.rate(there)  # warm
    rates: dict[str, list[float]] = {"there": [], "store": [], "disk": []}
    for _ in range(rounds):
        rates["there"].append(bench.rate(there))
        rates["store"].append(bench.rate(bench.steps()))
        bench.forget()
        rates["disk"].append(bench.rate(bench.steps()))
    what = f"{name_of(place)}, {side} px, {precision}: training from the store"
    print(f"{what}: batches of {batch}, {batches} a pass, medians of {rounds} rounds, load {load()}")
    rows = []
    for key, source in (("store", ""), ("disk", ", its file not in memory")):
        ratio = statistics.median(one / held for one, held in zip(rates[key], rates["there"]))
        told = f"{statistics.median(rates[key]):.0f} images/s, {ratio:.2f} of the rate with batches there"
        rows.append(Row(what + source, told, f"at least {AIM}", ratio >= AIM))
        print(f"  {source.strip(', ') or 'store'}: {told}", flush=True)
    return rows


def feeds(folder: Path, side: int, rounds: int, place: torch.device) -> Row:
    """What the thread alone does, whatever the device."""
    bench = Bench(folder, "sononet16", Recipe.of({"side": side}), 1024, place)
    fed = f"{statistics.median(bench.host_rate() for _ in range(rounds)):.0f} images per CPU s"
    print(f"the thread alone, {side} px: {fed}", flush=True)
    return Row(f"{side} px: what the thread could feed at most", fed)


def run(quick: bool) -> list[Row]:
    """Rows for the device at hand; on a processor with one thread, and one more that reads ahead."""
    torch.set_num_threads(1)
    place = device.named("auto")
    small = place.type == "cpu"
    rounds = 3 if quick else 5
    settings = [(64, "float32")] if small else [(224, "float32"), (224, "bfloat16"), (112, "bfloat16")]
    batch, batches = (32, 6 if quick else 12) if small else (64, 16 if quick else 48)
    rows: list[Row] = []
    for side, precision in settings:
        with tempfile.TemporaryDirectory() as folder:
            rows += compare(Path(folder), side, batch, batches, precision, rounds, place)
    with tempfile.TemporaryDirectory() as folder:
        return [*rows, feeds(Path(folder), 224, rounds, place)]
