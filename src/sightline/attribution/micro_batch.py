"""How many rows a pass should take at once on the device at hand, by measuring: for `compute.micro_batch`.

    python -m sightline.attribution.micro_batch --architecture timm --options '{"model": "resnet18"}'

prints rows per second and memory for 1, 2, 4 ... rows, and the smallest number that is nearly as fast as any.
The last digits of a study's numbers depend on this number, so it is a constant of the study that a person
writes into the configuration, and no job measures it.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sightline import modules

NEAR = 0.95  # of the best rate counts as fast
PATIENCE = 2  # sizes in a row that are no faster end the search
SECONDS = 0.5  # that a size is measured, at least


@dataclass(frozen=True)
class Timing:
    """`rows` in a pass, rows per second, and the peak memory in bytes while it ran."""

    rows: int
    rate: float
    peak: int


def measured(
    network: nn.Module,
    shape: tuple[int, ...],
    device: torch.device,
    gradients: bool = False,
    most: int = 256,
) -> int:
    """The micro-batch for images of `shape` (C, [D,] H, W) on `device`: `recommended` of `timings`."""
    return recommended(timings(passes(network, shape, device, gradients), memory(device), most))


def timings(
    run: Callable[[int], None],
    peak: Callable[[], int],
    most: int = 256,
    seconds: float = SECONDS,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Times of `run(rows)` for 1, 2, 4 ... `most` rows, until more are no faster or do not fit the memory.

    Each size runs once before it is timed, then for at least `seconds` of `clock`. Raises what `run` raises
    where not even one row fits.
    """
    found: list[Timing] = []
    rows = 1
    while rows <= most and not _slowing(found):
        try:
            run(rows)
            start, calls = clock(), 0
            while calls == 0 or clock() - start < seconds:
                run(rows)
                calls += 1
            elapsed = clock() - start
        except torch.OutOfMemoryError:
            if not found:
                raise
            break
        found.append(Timing(rows, rows * calls / elapsed, peak()))
        rows *= 2
    return found


def recommended(found: Sequence[Timing]) -> int:
    """The smallest number of rows within 5 % of the best rate: more would cost memory and gain nothing."""
    best = max(one.rate for one in found)
    return min(one.rows for one in found if one.rate >= NEAR * best)


def _slowing(found: Sequence[Timing]) -> bool:
    """Whether the last sizes were no faster, by more than 5 %, than the best before them."""
    if len(found) <= PATIENCE:
        return False
    before = max(one.rate for one in found[:-PATIENCE])
    return all(one.rate * NEAR <= before for one in found[-PATIENCE:])


def passes(
    network: nn.Module, shape: tuple[int, ...], device: torch.device, gradients: bool = False
) -> Callable[[int], None]:
    """A function of a number of rows that takes as many images of noise through the network, to the end.

    With `gradients` also back to the images, as methods do that follow a path of images.
    """
    network = network.to(device).eval().requires_grad_(False)

    def run(rows: int) -> None:
        images = torch.randn((rows, *shape), device=device, requires_grad=gradients)
        with torch.set_grad_enabled(gradients):
            outputs = network(images)
            if gradients:
                torch.autograd.grad(outputs.sum(), images)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def memory(device: torch.device) -> Callable[[], int]:
    """A function that gives the peak so far: of the device's own memory, or of this process's."""
    if device.type == "cuda":
        return lambda: torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def table(found: Sequence[Timing]) -> str:
    """The timings as a Markdown table."""
    lines = ["| rows | rows per second | peak memory (MB) |", "|-----:|----------------:|-----------------:|"]
    lines += [f"| {one.rows:4} | {one.rate:15.1f} | {one.peak / 1e6:16.0f} |" for one in found]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command; see the module."""
    parser = argparse.ArgumentParser(
        prog="micro_batch", description="rows per second and memory for 1, 2, 4 ... rows in a pass"
    )
    parser.add_argument("--architecture", required=True, help="as in a study's models, or a file's path")
    parser.add_argument("--options", type=json.loads, default={}, help="the architecture's, as JSON")
    parser.add_argument("--outputs", type=int, default=14, help="classes")
    parser.add_argument("--shape", type=int, nargs="+", default=[3, 224, 224], help="C [D] H W of an image")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the processor, as `compute.threads`")
    parser.add_argument("--most", type=int, default=256, help="rows that are tried at most")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="that each size is measured")
    parser.add_argument("--gradients", action="store_true", help="time the way back to the image too")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    module = modules.load("sightline.models.architectures", given.architecture)
    defaults = {name: option["default"] for name, option in module.OPTIONS.items() if "default" in option}
    network = module.build(given.outputs, **(defaults | given.options))
    device = torch.device(given.device)
    run = passes(network, tuple(given.shape), device, given.gradients)
    found = timings(run, memory(device), given.most, given.seconds)
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"processor, {given.threads} thread(s)"
    )
    print(f"{given.architecture} on {name}, images {tuple(given.shape)}\n\n{table(found)}\n")
    print(f"compute:\n  micro_batch: {recommended(found)}")


if __name__ == "__main__":
    main()
