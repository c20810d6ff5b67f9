"""Training, prediction and attribution on the device at hand, and scoring; how far a GPU is from the CPU."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from benchmarks.data_path import name_of, synchronize
from benchmarks.measuring import Row, load
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import deeplift, gradcam, integrated_gradients, rise
from sightline.metrics.similarity import auc, ncc, sauc
from sightline.models import device, feeding, training
from sightline.models.network import architecture, build
from sightline.models.recipe import Recipe

NETWORK, CLASSES, SEED = "sononet16", 14, 0
LABELS = tuple(f"class {index}" for index in range(CLASSES))
# how far a GPU's float32 may be from the processor's, as shares of the largest value (docs/design.md)
LOGITS_APART, MAPS_APART = 1e-4, 1e-3


def rate(call: Callable[[], object], images: int, seconds: float, place: torch.device) -> float:
    """Images per second of `call`, which takes so many, in as many calls as fill `seconds`.

    Wall time, but CPU time on a processor, which others may use.
    """
    clock = time.process_time if place.type == "cpu" else time.perf_counter
    call()  # warm
    synchronize(place)
    start, calls = clock(), 0
    while calls == 0 or clock() - start < seconds:
        call()
        calls += 1
        synchronize(place)
    return images * calls / (clock() - start)


def trains(place: torch.device, side: int, batch: int, precision: str, seconds: float) -> float:
    """Training steps of a batch that lies on the device, images per second."""
    recipe = Recipe.of({"side": side, "batch": batch, "precision": precision})
    state = training.begin(build(NETWORK, CLASSES, SEED), recipe, 100, place)
    images = torch.randn((batch, 3, side, side), generator=torch.Generator().manual_seed(0)).to(place)
    targets = torch.zeros((batch, CLASSES), device=place)
    step = feeding.Step(images, targets, torch.tensor(targets.numel(), device=place), targets.numel())
    weights = torch.ones(CLASSES, device=place)
    return rate(lambda: training.learn(state, [step] * 4, recipe, weights), 4 * batch, seconds, place)


def explained(place: torch.device) -> Explained:
    """The network as methods see it, with the same weights on every device."""
    module = architecture(NETWORK)
    return Explained(
        build(NETWORK, CLASSES, SEED), LABELS, module.LAYERS, module.ATTENTION, device=place, micro_batch=64
    )


def pictures(count: int, side: int, place: torch.device) -> Images:
    """Images of noise, the same on every device."""
    return Images.of(
        torch.randn((count, 3, side, side), generator=torch.Generator().manual_seed(1)).to(place)
    )


# method, its options, images at once on a GPU
METHODS = {
    "gradcam": (gradcam, {}, 64),
    "deeplift": (deeplift, {}, 16),
    "integrated_gradients": (integrated_gradients, {"steps": 32}, 8),
    "rise": (rise, {"masks": 256}, 8),
}


def with_defaults(module, options: dict) -> dict:
    """A method's options, complete."""
    return {name: about["default"] for name, about in module.OPTIONS.items() if "default" in about} | options


def explains(name: str, place: torch.device, count: int, side: int, seconds: float) -> float:
    """Images per second of a method's maps of all classes, `count` images at once."""
    module, options, _ = METHODS[name]
    model, images = explained(place), pictures(count, side, place)
    model.passes.input_shape = images.shape
    chosen = with_defaults(module, options)
    return rate(lambda: module.explain(model, images, classes(LABELS), **chosen), count, seconds, place)


def attributes(place: torch.device, side: int, seconds: float, few: bool) -> list[Row]:
    """A row per method."""
    rows = []
    for name, (_, options, count) in METHODS.items():
        found = explains(name, place, 2 if few else count, side, seconds)
        told = ", ".join([name, *(f"{value} {key}" for key, value in options.items())])
        rows.append(Row(f"{told}, {CLASSES} classes, {side} px", f"{found:.3g} images/s"))
    return rows


def apart(place: torch.device, side: int) -> list[Row]:
    """How far logits and maps of float32 lie from the processor's, as shares of the largest."""
    found: dict[str, list[np.ndarray]] = {}
    for there in (torch.device("cpu"), place):
        model, images = explained(there), pictures(4, side, there)
        model.passes.input_shape = images.shape
        with torch.no_grad():
            found.setdefault("logits", []).append(model.network(images.pixels).cpu().numpy())
        for name in ("gradcam", "integrated_gradients"):
            module, options, _ = METHODS[name]
            maps = module.explain(model, images, classes(LABELS), **with_defaults(module, options))
            found.setdefault(name, []).append(maps[0].values)
    rows = []
    for name, (ours, theirs) in found.items():
        share, aim = (
            float(np.abs(ours - theirs).max() / np.abs(ours).max()),
            LOGITS_APART if name == "logits" else MAPS_APART,
        )
        rows.append(
            Row(
                f"{name}, {side} px: largest difference to the processor, of the largest value",
                f"{share:.1e}",
                f"below {aim:g}",
                share < aim,
            )
        )
    return rows


def scores(seconds: float) -> Row:
    """Maps that a core scores in a second at 1/8 of 2,500 x 2,000 pixels, by NCC, AUC and sAUC."""
    random = np.random.default_rng(0)
    reference, saliency, center = (random.random((312, 250)) for _ in range(3))

    def call() -> None:
        ncc(reference, saliency), auc(reference, saliency), sauc(reference, saliency, center)

    return Row(
        "scoring on a core: NCC, AUC, sAUC of a map of 312 x 250",
        f"{rate(call, 1, seconds, torch.device('cpu')):.3g} maps/s",
    )


def run(quick: bool) -> list[Row]:
    """Rows for the device at hand: a GPU where this process may use one, else a thread of the processor."""
    torch.set_num_threads(1)
    place = device.named("auto")
    small, seconds = place.type == "cpu", 0.5 if quick else 3.0
    side, batch = (64, 32) if small else (224, 64)
    print(
        f"{NETWORK}, random weights and pixels, {side} px, on {name_of(place)}; "
        f"{seconds:g} s each, load {load()}"
    )
    precisions = ("float32", "bfloat16") + (() if small else ("float16",))
    rows = [
        Row(
            f"training, batches of {batch} that are there, {side} px, {precision}",
            f"{trains(place, side, batch, precision, seconds):.0f} images/s",
        )
        for precision in precisions
    ]
    model, images = explained(place), pictures(batch, side, place)

    def predict() -> None:
        with torch.inference_mode():
            model.network(images.pixels)

    rows.append(Row(f"prediction, {side} px", f"{rate(predict, batch, seconds, place):.0f} images/s"))
    rows += attributes(place, side, seconds, small)
    rows += [] if small else apart(place, side)
    rows = [Row(f"{name_of(place)}: {row.what}", row.measured, row.aim, row.ok) for row in rows] + [
        scores(seconds)
    ]
    for row in rows:
        print(f"  {row.what}: {row.measured}", flush=True)
    return rows
