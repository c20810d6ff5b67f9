"""Training and inference speed of both networks on one CPU thread, and what augmentation costs of it.

    python benchmarks/training.py

Each line is measured in this run; random pixels, 4:5 images, batches of 32.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sightline.models.augmentation import training_input
from sightline.models.inputs import explain_input
from sightline.models.loss import masked_loss
from sightline.models.network import build
from sightline.models.recipe import Recipe

BATCH = 32


def seconds(work, least: float = 2.0) -> float:
    """Seconds of one call of `work`, the median of as many as fit into `least` seconds."""
    work()
    times = []
    while sum(times) < least or len(times) < 3:
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def main() -> None:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    header = "train images/s", "in bfloat16", "infer images/s", "augment images/s", "augment's share"
    print(f"{'network':12s} {'side':>4s} " + " ".join(f"{name:>17s}" for name in header))
    for side in (64, 112):
        images = [random.integers(0, 256, (side * 5 // 4, side)).astype(np.uint8) for _ in range(BATCH)]
        limits = Recipe.of({"side": side}).augmentation
        augmenting = seconds(lambda: training_input(images, side, limits, random))  # noqa: B023
        inputs = training_input(images, side, limits, random).contiguous(memory_format=torch.channels_last)
        squares = np.stack([image[:side] for image in images])
        targets = torch.randint(0, 2, (BATCH, 14)).float()
        for name in ("sononet16", "ag_sononet"):
            network = build(name, 14, seed=0).to(memory_format=torch.channels_last)
            optimizer = torch.optim.Adam(network.parameters(), lr=1e-4)

            def step(mixed: bool = False) -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    output = network(inputs)  # noqa: B023
                loss, _ = masked_loss(output.float(), targets, torch.ones(14))  # noqa: B023
                optimizer.zero_grad()  # noqa: B023
                loss.backward()
                optimizer.step()  # noqa: B023

            training, mixed = seconds(step), seconds(lambda: step(True))  # noqa: B023
            network.eval()
            with torch.inference_mode():
                inferring = seconds(lambda: network(explain_input(squares)))  # noqa: B023
            rates = [
                BATCH / time for time in (training + augmenting, mixed + augmenting, inferring, augmenting)
            ]
            share = augmenting / (training + augmenting)
            print(f"{name:12s} {side:4d} " + " ".join(f"{rate:17.0f}" for rate in rates) + f" {share:17.1%}")


if __name__ == "__main__":
    main()
