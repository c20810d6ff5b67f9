"""Grad-CAM of all classes against the bare forward pass, and against a loop over classes with captum."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from sightline.attribution.maps import Explained, classes
from sightline.attribution.methods import gradcam
from sightline.models.network import architecture, build

NETWORKS, SIDES, CLASSES = ("sononet16", "ag_sononet"), (112, 224), 14
IMAGES, ROUNDS, LOOP_ROUNDS = 8, 9, 1


def captum_loop(model: Explained, images: torch.Tensor) -> list[torch.Tensor]:
    """What users of captum write: one call per layer and class, each with its own forward pass and backward
    pass."""
    from captum.attr import LayerGradCam

    methods = [LayerGradCam(model.network, module) for module in model.modules(["last"]).values()]
    return [
        torch.cat([method.attribute(images, target=target) for target in range(CLASSES)], dim=1).detach()
        for method in methods
    ]


def seconds(call: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    start = time.process_time()
    call()
    return time.process_time() - start


def compare(name: str, side: int) -> str:
    """One line: medians over interleaved rounds, their ratios, and the largest difference from captum's
    maps."""
    module, labels = architecture(name), tuple(f"class {index}" for index in range(CLASSES))
    model = Explained(build(name, CLASSES, seed=0), labels, module.LAYERS, module.ATTENTION)
    images = torch.randn((IMAGES, 3, side, side), generator=torch.Generator().manual_seed(0))

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model.network(images)

    def ours() -> list:
        return gradcam.explain(model, images, classes(labels))

    forward(), ours()  # warm; ours places the cells of this input shape once
    times: dict[str, list[float]] = {"forward": [], "ours": [], "captum": []}
    for index in range(ROUNDS):
        times["forward"].append(seconds(forward))
        times["ours"].append(seconds(ours))
        if index < LOOP_ROUNDS:
            times["captum"].append(seconds(lambda: captum_loop(model, images)))
    median = {key: statistics.median(values) / IMAGES for key, values in times.items()}
    ratio = statistics.median(ours / bare for ours, bare in zip(times["ours"], times["forward"]))
    apart = max(
        float((torch.from_numpy(found.values) - expected).abs().max() / expected.abs().max())
        for found, expected in zip(ours(), captum_loop(model, images))
    )
    return (
        f"{name:11} {side:4} px: forward {1000 * median['forward']:6.1f} ms/image, all {CLASSES} classes "
        f"{1000 * median['ours']:6.1f} ms ({ratio:.3f}x the forward; aim 1.1x), captum's loop "
        f"{1000 * median['captum']:7.1f} ms ({median['captum'] / median['ours']:.1f}x ours), "
        f"apart {apart:.1e} of the maximum"
    )


def main() -> None:
    """Print one line per network and side: CPU time of one thread, medians of interleaved rounds."""
    torch.set_num_threads(1)
    for name in NETWORKS:
        for side in SIDES:
            print(compare(name, side), flush=True)


if __name__ == "__main__":
    main()
