"""The grad-cam library's maps and ROAD of a tiny network: makes tests/fixtures/gradcam_library.npz.

Run by `make oracles`. The maps are the library's before its ReLU, scaling and resize (`get_cam_image`).
Score-CAM masks the image with enlarged channels, and the library enlarges from corner to corner: it is run on
a layer as large as the image, where nothing is enlarged. ROAD is run without its noise.
"""

from pathlib import Path

import numpy as np
import torch
from torch import nn

FIXTURE = Path(__file__).parents[1] / "fixtures" / "gradcam_library.npz"
LAYER = "3"
KINDS = {
    "gradcam": "GradCAM",
    "gradcam_plus_plus": "GradCAMPlusPlus",
    "hirescam": "HiResCAM",
    "layercam": "LayerCAM",
    "xgradcam": "XGradCAM",
}
FULL_SIZE = {"0": (4, 2, 3, 3), "4": (3, 4)}  # the network of Score-CAM
REMOVED = (0.2, 0.4, 0.6, 0.8)  # shares of the pixels that ROAD removes


def network(weights: dict[str, np.ndarray]) -> nn.Module:
    """Two convolutions with ReLUs, a head with a hidden layer: gradients differ from cell to cell."""
    made = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(6, 6, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    made.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return made.eval()


def full_size_network(weights: dict[str, np.ndarray]) -> nn.Module:
    """A convolution with a ReLU that keeps the image's size, and a head."""
    made = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    made.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return made.eval()


def score_cam(generator: np.random.Generator, images: np.ndarray) -> dict[str, np.ndarray]:
    """The network's weights, and a map (images, classes, y, x) of each image and class."""
    from pytorch_grad_cam import ScoreCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    weights = {f"{name}.weight": generator.normal(size=shape) for name, shape in FULL_SIZE.items()}
    weights |= {f"{name}.bias": generator.normal(size=shape[0]) for name, shape in FULL_SIZE.items()}
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    model, tensor, maps = full_size_network(weights), torch.from_numpy(images), []
    for label in range(3):
        targets = [ClassifierOutputTarget(label)] * len(images)
        with ScoreCAM(model, [model[1]]) as method:
            method(tensor, targets)
            # the first pass is the image's own; those of masked images follow
            activations = method.activations_and_grads.activations[0].cpu().numpy()
            maps.append(method.get_cam_image(tensor, model[1], targets, activations, None, False))
    found = {f"full_size_weights/{name}": value for name, value in weights.items()}
    return found | {"score_cam": np.stack(maps, axis=1).astype(np.float32)}


def road(generator: np.random.Generator, images: np.ndarray, model: nn.Module) -> dict[str, np.ndarray]:
    """Invented maps, what becomes of images where a drawn third of the pixels is gone, and the scores."""
    from pytorch_grad_cam.metrics import road as library
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    gone = generator.random(images.shape[2:]) < 1 / 3
    kept = torch.from_numpy(~gone).float()
    imputer = library.NoisyLinearImputer(noise=0.0)
    imputed = torch.stack([imputer(torch.from_numpy(image), kept) for image in images])
    maps = generator.random((len(images), *images.shape[2:])).astype(np.float32)
    targets = [ClassifierOutputTarget(label) for label in range(len(images))]

    def mean(kind: type) -> np.ndarray:
        def without_noise(percentile: float) -> object:
            metric = kind(percentile)
            metric.perturbation.imputer.noise = 0.0
            return metric

        percentiles = [100 * share for share in REMOVED]
        scored = library.AveragerAcrossThresholds(without_noise, percentiles)
        return scored(torch.from_numpy(images), maps, targets, model)

    most, least = mean(library.ROADMostRelevantFirst), mean(library.ROADLeastRelevantFirst)
    return {
        "road/gone": gone,
        "road/imputed": imputed.numpy(),
        "road/maps": maps,
        "road/most_first": most,
        "road/combined": (least - most) / 2,
    }


def main() -> None:
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    generator = np.random.default_rng(0)
    shapes = {"0": (4, 2, 3, 3), "2": (6, 4, 3, 3), "4": (6, 6, 2, 2), "8": (3, 6)}
    weights = {f"{name}.weight": generator.normal(size=shape) / 2 for name, shape in shapes.items()}
    weights |= {f"{name}.bias": generator.normal(size=shape[0]) / 2 for name, shape in shapes.items()}
    weights["8.weight"] *= 100  # large gradients, beside which the library's small constants vanish
    weights = {name: value.astype(np.float32) for name, value in weights.items()}
    images = generator.normal(size=(2, 2, 14, 18)).astype(np.float32)
    model = network(weights)
    layer = model.get_submodule(LAYER)
    found = {}
    for name, kind in KINDS.items():
        maps = []
        for label in range(3):
            targets = [ClassifierOutputTarget(label)] * len(images)
            with getattr(pytorch_grad_cam, kind)(model, [layer]) as method:
                tensor = torch.from_numpy(images)
                method(tensor, targets)
                (activations,), (gradients,) = (
                    [one.cpu().numpy() for one in kept]
                    for kept in (
                        method.activations_and_grads.activations,
                        method.activations_and_grads.gradients,
                    )
                )
                maps.append(method.get_cam_image(tensor, layer, targets, activations, gradients, False))
        found[name] = np.stack(maps, axis=1).astype(np.float32)  # (images, classes, y, x)
    part = np.ascontiguousarray(images[..., :8, :10])
    found |= {"part": part} | score_cam(generator, part) | road(generator, part, model)
    weights = {f"weights/{name}": value for name, value in weights.items()}
    np.savez_compressed(FIXTURE, images=images, **weights, **found)
    print({name: value.shape for name, value in found.items()}, FIXTURE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
