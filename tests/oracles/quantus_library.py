"""Quantus' metrics of small invented maps: makes tests/fixtures/quantus_library.json (`make oracles`).

Quantus takes 2-D maps and one label per image, and flips channel values singly: one channel here, where a
pixel is its one value.
"""

from __future__ import annotations

import numpy as np
import torch
from tests.oracles import fixture
from torch import nn

SHAPE, COUNT, STEP = (6, 8), 3, 4  # pixels, images, pixels that are flipped at once
TOP, SAMPLES, RADIUS = (1, 5, 20), 4, 0.1
SHAPES = {"0": (3, 1, 3, 3), "4": (2, 3)}
EXPLAINS = (1.0, -0.5)  # a map is the first times the image plus the second times its square


def network(weights: dict[str, list]) -> nn.Module:
    """Image (B, 1, H, W) -> two logits."""
    made = nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    made.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    return made.eval()


def draws(index: int) -> torch.Generator:
    """What image `index` draws its noise from: uniform numbers, a whole image for each sample."""
    return torch.Generator().manual_seed(100 + index)


def saliency(pixels: np.ndarray) -> np.ndarray:
    """A map of each image that changes with it in no simple proportion."""
    linear, square = EXPLAINS
    return linear * pixels + square * pixels**2


def main() -> None:
    np.trapz = np.trapezoid  # quantus calls the name that NumPy 2.4 no longer has
    import quantus

    random = np.random.default_rng(0)
    weights = {f"{name}.weight": random.normal(size=shape).round(2) for name, shape in SHAPES.items()}
    weights |= {f"{name}.bias": random.normal(size=shape[0]).round(2) for name, shape in SHAPES.items()}
    weights["4.weight"] *= 5
    weights = {name: value.tolist() for name, value in weights.items()}
    images = random.normal(size=(COUNT, 1, *SHAPE)).round(2)
    maps = random.normal(size=(COUNT, 1, *SHAPE)).round(3)
    maps[2] = maps[2].round(0)  # many ties
    regions = random.random((COUNT, 1, *SHAPE)) < np.array([0.1, 0.3, 0.6]).reshape(-1, 1, 1, 1)
    labels = np.array([0, 1, 1])
    model = network(weights)

    def score(metric, saliency: np.ndarray, **more) -> np.ndarray:
        found = metric(
            model=model, x_batch=images.astype(np.float32), y_batch=labels, a_batch=saliency.copy(),
            s_batch=regions.astype(float), channel_first=True, batch_size=COUNT, **more,
        )  # fmt: skip
        return np.array(found, dtype=float)

    quiet = {"disable_warnings": True, "display_progressbar": False}
    as_given = quiet | {"abs": False, "normalise": False}
    magnitudes = quiet | {"abs": True, "normalise": False}
    positive = np.maximum(maps, 0.0)
    generators = [draws(index) for index in range(COUNT)]

    def noisy(arr: np.ndarray, **unused) -> np.ndarray:
        uniform = [torch.rand((1, *SHAPE), generator=one).numpy().ravel() for one in generators]
        return arr + np.float32(RADIUS) * (2 * np.stack(uniform) - 1)

    found = {
        "gini": score(quantus.Sparseness(**magnitudes), maps),
        "complexity": score(quantus.Complexity(**magnitudes), maps),
        "pointing_game": score(quantus.PointingGame(**as_given), maps),
        "relevance_mass_accuracy": score(quantus.RelevanceMassAccuracy(**as_given), positive),
        "relevance_rank_accuracy": score(quantus.RelevanceRankAccuracy(**as_given), maps),
        "top_k_intersection": [score(quantus.TopKIntersection(k=k, **as_given), maps) for k in TOP],
        "auc": score(quantus.AUC(**as_given), maps),
        "max_sensitivity": score(
            quantus.MaxSensitivity(nr_samples=SAMPLES, perturb_func=noisy, **as_given),
            saliency(images.astype(np.float32)),
            explain_func=lambda model, inputs, targets, **unused: saliency(np.asarray(inputs)),
        ),
        "pixel_flipping": score(
            quantus.PixelFlipping(
                features_in_step=STEP, perturb_baseline=0.0, return_auc_per_sample=False, **as_given
            ),
            maps,
            softmax=False,
        ),
    }
    given = {
        "weights": weights,
        "images": images[:, 0],
        "maps": maps[:, 0],
        "regions": regions[:, 0].astype(int),
        "labels": labels,
    }
    fixture.write("quantus_library", "quantus", given | found)


if __name__ == "__main__":
    main()
