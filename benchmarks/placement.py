"""Where a layer's cells lie, where the usual resize puts them, and where trained networks look: scores at
both.

Small ResNets learn to find planted bright and dark spots, on sides that their stride of 32 divides (padding
then meets the left and upper border alone) and on sides of one pixel more (padding is even). Their Grad-CAM
maps are placed where the strides and paddings say and where the usual resize says, and scored against what
was planted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.measuring import Row
from sightline.attribution.layers import place, usual_resize
from sightline.attribution.maps import Explained, Images, classes
from sightline.attribution.methods import gradcam
from sightline.frames import Frame, resample
from sightline.metrics import localisation, similarity

SIDE = 224
# (trained on, seen on): networks average over cells, so that they may learn on smaller images
SETTINGS = ((128, 128), (128, 224), (129, 129), (129, 224))
STEPS, BATCH, SEEDS, IMAGES = 150, 32, (1, 2), 200
LABELS = ("bright", "dark")
ACROSS = (14, 28)  # pixels: the smallest and the largest spot
METRICS = {
    "iou_quantile": "IoU at equal area",
    "iou_otsu": "IoU at Otsu's threshold",
    "pointing_game": "pointing game",
    "sauc": "sAUC",
}
NETWORKS = {
    "resnet50": "layer4",
    "densenet121": "features",
    "efficientnet_b0": "features",
    "convnext_tiny": "features",
    "vgg16": "features",
}


@dataclass(frozen=True)
class Planted:
    """Images (B, 3, side, side), labels (B, 2), and where each finding lies, bool (B, 2, side, side)."""

    pixels: Tensor
    labels: Tensor
    regions: Tensor


def planted(count: int, side: int, seed: int) -> Planted:
    """Images of noise with a bright and a dark spot, each in half of them, anywhere, wholly inside."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn((count, 1, side // 4, side // 4), generator=generator)
    noise = functional.interpolate(coarse, (side, side), mode="bilinear")
    noise = noise + 0.5 * torch.randn((count, 1, side, side), generator=generator)
    labels = (torch.rand((count, 2), generator=generator) < 0.5).float()
    radius = torch.empty((count, 2)).uniform_(ACROSS[0] / 2, ACROSS[1] / 2, generator=generator)
    centres = radius + torch.rand((2, count, 2), generator=generator) * (side - 1 - 2 * radius)
    row, column = (torch.arange(side) - centre[..., None] for centre in centres)  # (B, 2, side)
    inside = row[..., :, None] ** 2 + column[..., None, :] ** 2 <= radius[..., None, None] ** 2
    regions = inside & (labels[..., None, None] > 0)
    pixels = noise + 2.0 * regions[:, :1] - 2.0 * regions[:, 1:]
    return Planted(pixels.expand(-1, 3, -1, -1).contiguous(), labels, regions)


def trained(side: int, seed: int) -> nn.Module:
    """A ResNet-18 of a quarter of its width, after batches of fresh images of `side`."""
    from timm.models.resnet import BasicBlock, ResNet

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ResNet(
            BasicBlock, [2, 2, 2, 2], num_classes=len(LABELS), channels=(16, 32, 64, 128), stem_width=32
        )
    optimiser = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=STEPS)
    for step in range(STEPS):
        data = planted(BATCH, side, 1000 * seed + step + 1)
        optimiser.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(network(data.pixels), data.labels)
        loss.backward()
        optimiser.step()
        schedule.step()
    print(f"trained on {side} px, seed {seed}: loss {loss.item():.3f}", flush=True)
    return network


def scores(found: np.ndarray, frame: Frame, regions: np.ndarray) -> dict[str, np.ndarray]:
    """Each metric (n,) of maps (n, *grid) lying at `frame` against regions (n, side, side)."""
    maps = np.maximum(resample(found, frame, Frame.of_image(regions.shape[1:])), 0)
    bias = regions.mean(axis=0)  # where findings lie over the images
    one: dict[str, list[float]] = {name: [] for name in METRICS}
    for saliency, region in zip(maps, regions):
        for name, values in one.items():
            if name == "sauc":
                values.append(similarity.sauc(region.astype(float), saliency, bias))
            else:
                values.append(getattr(localisation, name)(saliency, region))
    return {name: np.array(values) for name, values in one.items()}


def interval(values: np.ndarray) -> tuple[float, float, float]:
    """Mean over images and its 95 % bootstrap interval; images without a value are left out."""
    values = values[~np.isnan(values)]
    draws = np.random.default_rng(0).integers(len(values), size=(2000, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(values.mean()), float(low), float(high)


def offsets() -> list[Row]:
    """How far the usual resize puts the cells of well-known networks from where they lie, at 224 px."""
    from torchvision import models

    rows = []
    for name, layer in NETWORKS.items():
        frame = place(getattr(models, name)().eval(), [layer], (3, SIDE, SIDE))[layer]
        usual = usual_resize((SIDE, SIDE), frame.shape)
        (first, second, *_, last) = ((np.arange(frame.shape[1]) - frame.shift[0]) / frame.scale[0]).tolist()
        shifted = [(i - usual.shift[0]) / usual.scale[0] for i in (0, frame.shape[1] - 1)]
        apart = shifted[0] - first, shifted[1] - last
        measured = f"{apart[0]:+.1f} px" + (
            "" if abs(apart[0] - apart[1]) < 0.05 else f" to {apart[1]:+.1f} px"
        )
        rows.append(
            Row(
                f"{name}: usual place less true one (cells at {first:g}, {second:g}, ..., {last:g})", measured
            )
        )
    return rows


def explained(network: nn.Module, side: int, count: int) -> tuple[Explained, np.ndarray, np.ndarray]:
    """The network with its maps (n, *grid) of findings that are there, and the findings (n, side, side)."""
    model = Explained(network, LABELS, {"last": ("layer4",)})
    data = planted(count, side, seed=0)
    maps, said = [], []
    for part in data.pixels.split(20):
        (found,) = gradcam.explain(model, Images.of(part), classes(LABELS))
        maps.append(found.values)
        said.append(found.outputs)
    there = data.labels.numpy() > 0
    right = ((np.concatenate(said) > 0) == there).mean()
    print(f"{count} images of {side} px: {100 * right:.0f} % of their labels recognised", flush=True)
    return model, np.concatenate(maps)[there], data.regions.numpy()[there]


def looked_at(maps: np.ndarray, frame: Frame, regions: np.ndarray) -> np.ndarray:
    """How far right or below of its map's highest cell each finding lies, pixels; border cells left out."""
    cells = np.stack(np.unravel_index(maps.reshape(len(maps), -1).argmax(axis=1), frame.shape), axis=1)
    centres = (cells - frame.shift[0]) / frame.scale[0]  # (n, 2): y, x; the axes are alike
    findings = np.array([[axis.mean() for axis in np.nonzero(region)] for region in regions])
    inner = (cells > 0) & (cells < frame.shape[0] - 1)
    return (findings - centres)[inner]


def compared(learned: int, side: int, networks: list[nn.Module], count: int) -> list[Row]:
    """Rows of one setting: where cells look, and each metric at both places."""
    looks: list[np.ndarray] = []
    found: dict[str, list[dict[str, np.ndarray]]] = {"true": [], "usual_resize": []}
    for network in networks:
        model, maps, regions = explained(network, side, count)
        frames = {
            placement: replace(model, placement=placement).frame("layer4", (3, side, side), maps.shape[1:])
            for placement in found
        }
        looks.append(looked_at(maps, frames["true"], regions))
        for placement, frame in frames.items():
            found[placement].append(scores(maps, frame, regions))
    named = f"trained on {learned} px, seen on {side} px"
    mean, low, high = interval(np.concatenate(looks))
    rows = [Row(f"{named}: findings less their highest cell", f"{mean:+.1f} px ({low:+.1f} to {high:+.1f})")]
    for metric, symbol in METRICS.items():
        true, usual = (np.concatenate([one[metric] for one in found[place]]) for place in found)
        mean, low, high = interval(usual - true)
        places = f"{np.nanmean(true):.3f} true, {np.nanmean(usual):.3f} usual"
        rows.append(Row(f"{named}: {symbol}", f"{places}: {mean:+.3f} ({low:+.3f} to {high:+.3f})"))
    return rows


def run(quick: bool) -> list[Row]:
    """Rows: how far the usual resize moves cells of known networks; trained ones' scores at both places."""
    torch.set_num_threads(1)
    rows = offsets()
    seeds = SEEDS[:1] if quick else SEEDS
    networks = {side: [trained(side, seed) for seed in seeds] for side in sorted({s for s, _ in SETTINGS})}
    for learned, side in SETTINGS:
        rows += compared(learned, side, networks[learned], IMAGES // 4 if quick else IMAGES)
    return rows
