"""Grad-CAM of all classes against the bare forward pass, and against a loop over classes with captum."""

from __future__ import annotations

import statistics

import torch

from benchmarks.measuring import Row, cpu_seconds, interleaved
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import gradcam
from sightline.models.network import architecture, build

NETWORKS, SIDES, CLASSES = ("sononet16", "ag_sononet"), (112, 224), 14
IMAGES, ROUNDS = 8, 25


def captum_loop(model: Explained, images: torch.Tensor) -> list[torch.Tensor]:
    """What users of captum write: a call per layer and class, each with its own forward and backward pass."""
    from captum.attr import LayerGradCam

    methods = [LayerGradCam(model.network, module) for module in model.modules(["last"]).values()]
    return [
        torch.cat([method.attribute(images, target=target) for target in range(CLASSES)], dim=1).detach()
        for method in methods
    ]


def compare(name: str, side: int, rounds: int) -> Row:
    """The ratio of one network and side, the median over interleaved rounds; captum's loop runs once."""
    module, labels = architecture(name), tuple(f"class {index}" for index in range(CLASSES))
    model = Explained(build(name, CLASSES, seed=0), labels, module.LAYERS, module.ATTENTION)
    images = torch.randn((IMAGES, 3, side, side), generator=torch.Generator().manual_seed(0))

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return model.network(images)

    def ours() -> list:
        return gradcam.explain(model, Images.of(images), classes(labels))

    forward(), ours()  # warm; ours places the cells of this input shape once
    times = interleaved({"forward": forward, "ours": ours}, rounds)
    captum = cpu_seconds(lambda: captum_loop(model, images))
    ratio = statistics.median(ours / bare for ours, bare in zip(times["ours"], times["forward"]))
    median = {key: statistics.median(values) for key, values in times.items()}
    apart = max(
        float((torch.from_numpy(found.values) - expected).abs().max() / expected.abs().max())
        for found, expected in zip(ours(), captum_loop(model, images))
    )
    print(
        f"{name:11} {side:4} px: forward {1000 * median['forward'] / IMAGES:6.1f} ms/image, all {CLASSES} "
        f"classes {1000 * median['ours'] / IMAGES:6.1f} ms, captum's loop "
        f"over classes {captum / median['ours']:.1f}x as long, its maps {apart:.1e} of the maximum apart",
        flush=True,
    )
    return Row(
        f"{name}, {side} px: all {CLASSES} classes over the forward",
        f"{ratio:.3f}x",
        "at most 1.1x",
        ratio <= 1.1,
    )


def run(quick: bool) -> list[Row]:
    """A row per network and side: CPU time of one thread."""
    torch.set_num_threads(1)
    rounds = 3 if quick else ROUNDS
    print(f"batches of {IMAGES}, CPU time of one thread, medians of {rounds} interleaved rounds")
    return [compare(name, side, rounds) for name in NETWORKS for side in SIDES]
