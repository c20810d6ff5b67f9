"""The maps of the grad-cam library on a tiny network: makes tests/fixtures/gradcam_library.npz.

It does not install beside Sightline. In an environment of its own, from the repository's root:
    pip install -r tests/oracles/gradcam_library.txt
    python tests/oracles/gradcam_library.py
The maps are the library's before its ReLU, scaling and resize (`get_cam_image`).
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


def network(weights: dict[str, np.ndarray]) -> nn.Module:
    """Two convolutions with ReLUs, a head with a hidden layer: gradients differ from cell to cell."""
    made = nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(6, 6, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3),
    )  # fmt: skip
    made.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return made.eval()


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
    weights = {f"weights/{name}": value for name, value in weights.items()}
    np.savez_compressed(FIXTURE, images=images, **weights, **found)
    print({name: value.shape for name, value in found.items()}, FIXTURE.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
