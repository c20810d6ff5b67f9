"""Training and inference speed of both networks on one CPU thread, and what augmentation costs of it."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.measuring import Row, interleaved, medians
from sightline.models.augmentation import training_input
from sightline.models.inputs import explain_input
from sightline.models.loss import masked_loss
from sightline.models.network import build
from sightline.models.recipe import Recipe

BATCH, SIDES, REPEATS = 32, (64, 112), 5


def images_per_second(name: str, side: int, repeats: int) -> dict[str, float]:
    """Training in float32 and bfloat16 (augmentation included), inference, and augmentation alone."""
    random = np.random.default_rng(0)
    images = [random.integers(0, 256, (side * 5 // 4, side)).astype(np.uint8) for _ in range(BATCH)]
    squares = np.stack([image[:side] for image in images])
    limits = Recipe.of({"side": side}).augmentation
    inputs = training_input(images, side, limits, random).contiguous(memory_format=torch.channels_last)
    targets = torch.randint(0, 2, (BATCH, 14)).float()
    network = build(name, 14, seed=0).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

    def step(mixed: bool) -> None:
        network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            output = network(inputs)
        loss, _ = masked_loss(output.float(), targets, torch.ones(14))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    def infer() -> None:
        with torch.inference_mode():
            network.eval()(explain_input(squares))

    calls = {
        "train": lambda: step(False),
        "bfloat16": lambda: step(True),
        "infer": infer,
        "augment": lambda: training_input(images, side, limits, random),
    }
    interleaved(calls, 1)  # warm
    times = medians(calls, repeats)
    return {
        "train": BATCH / (times["train"] + times["augment"]),
        "bfloat16": BATCH / (times["bfloat16"] + times["augment"]),
        "infer": BATCH / times["infer"],
        "augment": BATCH / times["augment"],
    }


def run(quick: bool) -> list[Row]:
    """A line per network and side; rows say how fast it trains, and what augmentation costs of it."""
    torch.set_num_threads(1)
    repeats, rows = 1 if quick else REPEATS, []
    print(f"random pixels, 4:5 images, batches of {BATCH}; CPU time of one thread, medians of {repeats}")
    print("images per second; training includes augmentation")
    print(
        f"{'network':12s} {'side':>4s} "
        + " ".join(f"{name:>9s}" for name in ("train", "bfloat16", "infer", "augment"))
    )
    for side in SIDES:
        for name in ("sononet16", "ag_sononet"):
            rates = images_per_second(name, side, repeats)
            print(f"{name:12s} {side:4d} " + " ".join(f"{rate:9.0f}" for rate in rates.values()), flush=True)
            share = rates["train"] / rates["augment"]
            rows.append(
                Row(
                    f"{name}, {side} px: training, images/s",
                    f"{rates['train']:.0f} ({share:.0%} augmentation)",
                )
            )
    return rows
