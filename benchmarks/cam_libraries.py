"""Grad-CAM of all classes of a ResNet-50 against captum's and the grad-cam library's calls per class.

The grad-cam library does not install beside Sightline; `make .oracles/gradcam_library/.ready` (which `make
benchmarks` does first) puts it into a folder from which it is loaded here. Without it its row is left out.
"""

from __future__ import annotations

import importlib.util
import site
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks.measuring import Row, at_least, interleaved
from sightline.attribution import micro_batch
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import gradcam

ORACLE = Path(__file__).resolve().parents[1] / ".oracles" / "gradcam_library"
SIDE, CLASSES, LAYER = 224, 14, "layer4"
IMAGES, ROUNDS = 8, 9  # ours explains several images while a library explains one


def resnet50() -> nn.Module:
    """torchvision's, with random weights."""
    from torchvision.models import resnet50

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return resnet50(num_classes=CLASSES).eval()


def captum_loop(network: nn.Module, image: torch.Tensor) -> np.ndarray:
    """Maps (classes, y, x): a call per class, each with its own forward pass and its way back."""
    from captum.attr import LayerGradCam

    method = LayerGradCam(network, network.get_submodule(LAYER))
    found = [method.attribute(image, target=target)[0, 0].detach() for target in range(CLASSES)]
    return torch.stack(found).numpy()


def gradcam_library_loop(network: nn.Module, image: torch.Tensor) -> np.ndarray:
    """Maps (classes, *image), positive parts from 0 to 1, as the library gives them."""
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    with GradCAM(network, [network.get_submodule(LAYER)]) as method:
        found = [method(image, [ClassifierOutputTarget(target)])[0] for target in range(CLASSES)]
    return np.stack(found)


def find_gradcam_library() -> bool:
    """Whether the grad-cam library can be imported, if need be from its own environment."""
    for folder in ORACLE.glob("lib/*/site-packages"):
        site.addsitedir(str(folder))
    return importlib.util.find_spec("pytorch_grad_cam") is not None


def images_at_a_time(network: nn.Module) -> int:
    """As many as measuring finds best on this machine."""
    run = micro_batch.passes(network, (3, SIDE, SIDE), torch.device("cpu"))
    return micro_batch.recommended(micro_batch.timings(run, lambda: 0, most=IMAGES, clock=time.process_time))


def calls() -> tuple[dict[str, Callable[[], object]], dict[str, int], int]:
    """What is timed, how many images each call explains, and how many of ours go through in one pass.

    The libraries get a network as users have it, its parameters not frozen, and one image at a time, at
    which they are fastest.
    """
    labels = tuple(f"class {index}" for index in range(CLASSES))
    network, model = resnet50(), Explained(resnet50(), labels, {"last": (LAYER,)})
    images = torch.randn((IMAGES, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    size = images_at_a_time(model.network)

    def forward() -> None:
        with torch.no_grad():
            for part in images.split(size):
                model.network(part)

    def ours() -> np.ndarray:
        parts = [gradcam.explain(model, Images.of(part), classes(labels)) for part in images.split(size)]
        return parts[0][0].values[0]  # (classes, y, x) of the first image

    timed = {"forward": forward, "ours": ours, "captum": lambda: captum_loop(network, images[:1])}
    if find_gradcam_library():
        timed["grad-cam"] = lambda: gradcam_library_loop(network, images[:1])
    else:
        print("the grad-cam library is not there: `make .oracles/gradcam_library/.ready` installs it")
    return timed, {"forward": IMAGES, "ours": IMAGES, "captum": 1, "grad-cam": 1}, size


def run(quick: bool) -> list[Row]:
    """A row per library, and one for the bare forward pass: CPU time of one thread."""
    torch.set_num_threads(1)
    timed, images, size = calls()
    ours, theirs = timed["ours"](), timed["captum"]()
    interleaved(timed, 1)  # warm: imports, and where the cells of the layer lie
    rounds = 2 if quick else ROUNDS
    times = interleaved(timed, rounds)
    each = {who: np.array(found) / images[who] for who, found in times.items()}  # seconds an image
    print(f"CPU time of one thread, medians of {rounds} interleaved rounds; ours: {size} image(s) in a pass")
    for who, found in each.items():
        print(f"{who:>9}: {statistics.median(found):7.3f} s an image", flush=True)
    apart = np.abs(ours - theirs).max() / np.abs(theirs).max()
    what = f"ResNet-50, {SIDE} px, {CLASSES} classes"
    over = {who: statistics.median(found / each["ours"]) for who, found in each.items()}
    rows = [
        at_least(f"{what}: captum's loop over ours", over["captum"], 12),
        Row(
            f"{what}: largest difference to captum, of the maximum",
            f"{apart:.1e}",
            "below 1e-5",
            apart < 1e-5,
        ),
    ]
    if "grad-cam" in over:
        rows.append(at_least(f"{what}: the grad-cam library's loop over ours", over["grad-cam"], 35))
    above = 1 / over["forward"]
    return [*rows, Row(f"{what}: ours over the forward", f"{above:.3f}x", "at most 1.1x", above <= 1.1)]
