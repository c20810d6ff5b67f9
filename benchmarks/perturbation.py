"""Methods that alter images: all classes against one class, captum's loop over classes, memory of a path.

And how many rows a pass should take on this machine, which is what the methods' `micro_batch` is for.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measuring import Row, at_least, interleaved
from sightline.attribution import micro_batch
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import integrated_gradients, occlusion, rise, score_cam

ROOT = Path(__file__).resolve().parents[1]
LABELS = tuple(f"class {index}" for index in range(14))
WINDOW = STRIDE = 32  # no two windows share a pixel: captum's mean over windows is then each window's value
MASKS, CHANNELS = 64, 64
PATH_IMAGES, STEPS, MICRO_BATCH = 8, 32, 16


def explained() -> Explained:
    """torchvision's ResNet-18 with 14 outputs."""
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Explained(resnet18(num_classes=len(LABELS)), LABELS, micro_batch=MICRO_BATCH)


def images(count: int, side: int) -> Images:
    return Images.of(torch.randn((count, 3, side, side), generator=torch.Generator().manual_seed(0)))


def all_over_one(name: str, explain: Callable, rounds: int) -> Row:
    """The median ratio of all classes' time to one class's, of interleaved rounds."""
    calls = {"all": lambda: explain(classes(LABELS)), "one": lambda: explain(classes(LABELS, LABELS[:1]))}
    calls["one"]()
    times = interleaved(calls, rounds)
    ratio = statistics.median(every / single for every, single in zip(times["all"], times["one"]))
    print(f"{name}: {len(LABELS)} classes {statistics.median(times['all']):.2f} s", flush=True)
    what = f"{name}: {len(LABELS)} classes over one class"
    return Row(what, f"{ratio:.2f}x", "at most 1.15x", ratio <= 1.15)


def occlusion_against_captum(model: Explained, given: Images, rounds: int) -> list[Row]:
    """Time of captum's call for each class over ours for all, and how far the maps are apart."""
    from captum.attr import Occlusion

    channels, side = given.shape[:2]
    oracle, maps = Occlusion(model.network), {}

    def theirs() -> None:
        one_class = [
            oracle.attribute(
                given.pixels, (channels, WINDOW, WINDOW), (channels, STRIDE, STRIDE), target=target,
                perturbations_per_eval=MICRO_BATCH,
            )[:, 0, ::STRIDE, ::STRIDE]
            for target in range(len(LABELS))
        ]  # fmt: skip
        maps["captum"] = torch.stack(one_class, dim=1)

    def ours() -> None:
        (found,) = occlusion.explain(model, given, classes(LABELS), window=WINDOW, stride=STRIDE)
        maps["ours"] = torch.from_numpy(found.values)

    times = interleaved({"ours": ours, "captum": theirs}, rounds)
    ratio = statistics.median(loop / once for loop, once in zip(times["captum"], times["ours"]))
    apart = float((maps["ours"] - maps["captum"]).abs().max() / maps["captum"].abs().max())
    return [
        at_least(f"occlusion, {side} px: captum's loop over {len(LABELS)} classes over ours", ratio, 12),
        Row("occlusion: largest difference to captum, of the largest value", f"{apart:.1e}"),
    ]


def rows_per_pass(model: Explained, side: int) -> Row:
    """The micro-batch that measuring chooses, and how fast it is beside others."""
    run = micro_batch.passes(model.network, (3, side, side), torch.device("cpu"))
    found = micro_batch.timings(run, lambda: 0, most=32, clock=time.process_time)
    for one in found:
        print(f"{one.rows:3} rows in a pass: {one.rate:6.1f} rows/s", flush=True)
    rates = {one.rows: one.rate for one in found}
    chosen = micro_batch.recommended(found)
    measured = f"{chosen} rows ({rates[chosen] / min(rates.values()):.2f}x the slowest)"
    return Row(f"micro-batch that measuring chooses, ResNet-18, {side} px, 1 to {max(rates)} rows", measured)


def path_memory(side: int) -> list[Row]:
    """Peak memory above the start's of integrated gradients and of captum's, each in its own process."""
    peaks = {}
    for who in ("pass", "ours", "captum"):
        command = [sys.executable, "-m", "benchmarks.perturbation", who, str(side)]
        environment = os.environ | {"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        peaks[who] = int(done.stdout)
        print(
            f"integrated gradients, {side} px, {who}: {peaks[who] / 1e6:.0f} MB above the start", flush=True
        )
    what = f"integrated gradients, {side} px, {PATH_IMAGES} images x {STEPS} steps"
    bound, times = peaks["ours"] / peaks["pass"], peaks["captum"] / peaks["ours"]
    ours, theirs = (f"{peaks[who] / 1e9:.2f} GB" for who in ("ours", "captum"))
    return [
        Row(
            f"{what}: peak ({ours}) over that of one pass of {MICRO_BATCH} rows",
            f"{bound:.2f}x",
            "at most 1.5x",
            bound <= 1.5,
        ),
        at_least(f"{what}: captum's peak ({theirs}) over ours", times, 4),
    ]


def _peak(who: str, side: int) -> int:
    """Bytes that this process needs beyond what it holds with the model, the images and the libraries."""
    torch.set_num_threads(1)
    model, given = explained(), images(PATH_IMAGES, side)
    integrated_gradients.explain(model, images(1, side), classes(LABELS, LABELS[:1]), steps=1)
    if who == "captum":
        from captum.attr import IntegratedGradients

        method = IntegratedGradients(model.network)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _resident("VmRSS")
    if who == "pass":
        rows = images(MICRO_BATCH, side).pixels.requires_grad_()
        torch.autograd.grad(model.network(rows)[:, 0].sum(), rows)
    elif who == "ours":
        integrated_gradients.explain(model, given, classes(LABELS, LABELS[:1]), steps=STEPS)
    else:
        method.attribute(given.pixels, target=0, n_steps=STEPS)
    return _resident("VmHWM") - before


def _resident(which: str) -> int:
    """Bytes of this process in memory: now (VmRSS) or at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{which}:"))


def run(quick: bool) -> list[Row]:
    """CPU time of one thread, peak resident memory."""
    torch.set_num_threads(1)
    rounds, side = (3, 112) if quick else (5, 224)
    model, given = explained(), images(1, side)
    print(f"ResNet-18, {side} px, CPU time of one thread, medians of {rounds} interleaved rounds")
    window = {"window": WINDOW, "stride": STRIDE}
    shared = {
        "occlusion": lambda targets: occlusion.explain(model, given, targets, **window),
        f"RISE, {MASKS} masks": lambda targets: rise.explain(model, given, targets, masks=MASKS),
        f"Score-CAM, {CHANNELS} channels": lambda targets: score_cam.explain(
            model, given, targets, channels=CHANNELS
        ),
    }
    rows = [all_over_one(f"{name}, {side} px", explain, rounds) for name, explain in shared.items()]
    rows += occlusion_against_captum(model, given, 1 if quick else 2)
    return [*rows, rows_per_pass(model, side), *path_memory(side)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="peak memory of one way to integrate gradients, in bytes")
    parser.add_argument("who", choices=("pass", "ours", "captum"))
    parser.add_argument("side", type=int)
    chosen = parser.parse_args()
    print(_peak(chosen.who, chosen.side))
