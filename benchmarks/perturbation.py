"""Methods that alter images: all classes against one class, captum's loop over classes, memory of a path."""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.measuring import Row, at_least, cpu_seconds, interleaved
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import integrated_gradients, occlusion, rise, score_cam

ROOT = Path(__file__).resolve().parents[1]
LABELS = tuple(f"class {index}" for index in range(14))
WINDOW, STRIDE = 32, 16
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


def occlusion_against_captum(model: Explained, given: Images) -> list[Row]:
    """Time of captum's call for each class over ours for all, and how far the maps are apart."""
    from captum.attr import Occlusion

    channels, side = given.shape[:2]
    oracle = Occlusion(model.network)

    def theirs() -> list[torch.Tensor]:
        return [
            oracle.attribute(
                given.pixels, (channels, WINDOW, WINDOW), (channels, STRIDE, STRIDE), target=target,
                perturbations_per_eval=MICRO_BATCH,
            )[:, 0]
            for target in range(len(LABELS))
        ]  # fmt: skip

    def ours():
        return occlusion.explain(model, given, classes(LABELS), window=WINDOW, stride=STRIDE)[0]

    seconds = cpu_seconds(ours)
    loop = cpu_seconds(theirs)
    # where a window covers what no other does, captum's mean over windows is that window's value
    corner = torch.from_numpy(ours().values[:, :, 0, 0])
    expected = torch.stack(theirs(), dim=1)[:, :, 0, 0]
    apart = float((corner - expected).abs().max() / expected.abs().max())
    return [
        at_least(
            f"occlusion, {side} px: captum's loop over {len(LABELS)} classes over ours", loop / seconds, 12
        ),
        Row("occlusion: largest difference to captum, of the largest value", f"{apart:.1e}", "", None),
    ]


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
    ratio = peaks["ours"] / peaks["pass"]
    what = f"integrated gradients, {side} px, {PATH_IMAGES} images x {STEPS} steps"
    return [
        Row(
            f"{what}: peak over that of one pass of {MICRO_BATCH} rows",
            f"{ratio:.2f}x",
            "at most 1.5x",
            ratio <= 1.5,
        ),
        at_least(f"{what}: captum's peak over ours", peaks["captum"] / peaks["ours"], 4),
    ]


def _peak(who: str, side: int) -> int:
    """Bytes that this process needs beyond what model, images and a single row's pass already took."""
    torch.set_num_threads(1)
    model, given = explained(), images(PATH_IMAGES, side)
    integrated_gradients.explain(model, images(1, side), classes(LABELS, LABELS[:1]), steps=1)
    if who == "captum":
        from captum.attr import IntegratedGradients

        method = IntegratedGradients(model.network)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if who == "pass":
        rows = images(MICRO_BATCH, side).pixels.requires_grad_()
        torch.autograd.grad(model.network(rows)[:, 0].sum(), rows)
    elif who == "ours":
        integrated_gradients.explain(model, given, classes(LABELS, LABELS[:1]), steps=STEPS)
    else:
        method.attribute(given.pixels, target=0, n_steps=STEPS)
    return 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)


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
    return [*rows, *occlusion_against_captum(model, given), *path_memory(side)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="peak memory of one way to integrate gradients, in bytes")
    parser.add_argument("who", choices=("pass", "ours", "captum"))
    parser.add_argument("side", type=int)
    chosen = parser.parse_args()
    print(_peak(chosen.who, chosen.side))
