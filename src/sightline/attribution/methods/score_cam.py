"""Score-CAM: a layer's activations, each channel weighted by what it leaves of the output (Wang et al. 2020).

Each channel, enlarged to the image and scaled to 0 to 1, masks the image; its weight is the increase of
confidence f(x * H_k) - f(fill), the fill being their baseline. The map is the weighted sum of channels,
signed: their ReLU is a reading. Their algorithm 1 takes a softmax of the increases over channels as weights
(`weights: softmax`), under which the baseline drops out. Channels are enlarged from where the layer's cells
truly lie. Outputs are on the targets' own scale, logits for classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sightline.attribution.engines import fills
from sightline.attribution.engines.cam import leaves
from sightline.attribution.engines.masking import chunks, scalars
from sightline.attribution.maps import Cost, Explained, Images, Maps, NotApplicable, Targets
from sightline.frames import Frame, axis_weights

OPTIONS = {
    "layers": {
        "type": "array",
        "items": {"type": "string"},
        "minItems": 1,
        "default": ["last"],
        "description": "Layers, one map each: `last` (the architecture's choice) or module names.",
    },
    "weights": {
        "enum": ["increase", "softmax"],
        "default": "increase",
        "description": "A channel's weight: the increase of confidence, or its softmax over channels.",
    },
    "channels": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "Only as many channels of each image, those that vary most over cells (as Faster "
        "Score-CAM, github.com/tabayashi0117/Score-CAM); null: all.",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "zero",
        "description": "The baseline, which stands where a mask is 0.",
    },
}
PER_TARGET = True
GRID = "layer"
NEEDS = ("forward", "layer")
IDENTITY = None
FAMILY = "cam"
SOURCE = "Wang et al. 2020, arXiv:1910.01279"


def check(
    model: Explained,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    weights: str = "increase",
    channels: int | None = None,
    fill: str = "zero",
) -> str | None:
    """A reason where the network has no such layer or the fill is not to be had, else None."""
    return model.has_layers(layers) or fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    layers: Sequence[str] = ("last",),
    weights: str = "increase",
    channels: int | None = None,
    fill: str = "zero",
) -> Cost:
    """A forward for each channel of each layer, one of the image itself and one of the baseline."""
    zeros = torch.zeros((1, *shape), device=model.device)
    grids = [one.shape[1:] for one in _activations(model, zeros, layers)[1].values()]
    masks = sum(grid[0] if channels is None else min(channels, grid[0]) for grid in grids)
    cells = sum(grid[1:].numel() for grid in grids)
    return Cost(2 + masks, 0, min(model.micro_batch, masks), targets * cells)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    layers: Sequence[str] = ("last",),
    weights: str = "increase",
    channels: int | None = None,
    fill: str = "zero",
) -> list[Maps]:
    """One Maps (B, T, *grid) per layer."""
    outputs, found = _activations(model, images.pixels, layers)
    covers = fills.fill(fill, model, images.pixels)
    baselines = [scalars(model, targets, image, cover[None]) for image, cover in enumerate(covers)]
    maps = []
    for name, activations in found.items():
        frame = model.frame(name, images.shape, tuple(activations.shape[2:]))
        enlarge = _enlargement(frame, images.shape[1:], model.device)
        values = []
        for image, (pixels, cover) in enumerate(zip(images.pixels, covers)):
            chosen = _chosen(activations[image], channels)  # (K, *grid)
            left = []
            for part in chunks(len(chosen), model.micro_batch):
                mask = normalised(enlarged(chosen[part], enlarge))[:, None]  # (R, 1, *S)
                left.append(scalars(model, targets, image, cover + mask * (pixels - cover)))
            increase = torch.cat(left) - baselines[image]  # (K, T)
            alpha = increase.softmax(dim=0) if weights == "softmax" else increase
            values.append((alpha.T @ chosen.flatten(1)).unflatten(1, frame.shape))
        together = torch.stack(values).float().cpu().numpy()
        maps.append(Maps(name, targets.names, together, frame, outputs=outputs.float().cpu().numpy()))
    return maps


def _activations(model: Explained, pixels: Tensor, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
    """The network's outputs for images (B, C, [D,] H, W), and the layers' channels (B, K, *grid)."""
    modules = model.modules(layers)
    with torch.no_grad(), leaves(modules) as found:
        outputs = model.network(pixels)
    return outputs, {name: model.grid(name, found.get(name)).detach() for name in modules}


def _chosen(activations: Tensor, count: int | None) -> Tensor:
    """The `count` channels of (K, *grid) that vary most, in their order; all where None."""
    if count is None or count >= len(activations):
        return activations
    order = activations.flatten(1).var(dim=1, correction=0).argsort(descending=True, stable=True)
    return activations[order[:count].sort().values]


def normalised(masks: Tensor) -> Tensor:
    """Each mask (R, [D,] H, W) scaled to 0 to 1; 0 where it is constant."""
    low, high = masks.flatten(1).amin(dim=1), masks.flatten(1).amax(dim=1)
    extent = torch.where(high > low, high - low, torch.ones_like(high))
    each = (-1, *[1] * (masks.ndim - 1))
    return (masks - low.view(each)) / extent.view(each)


def enlarged(channels: Tensor, weights: Sequence[Tensor]) -> Tensor:
    """Channels (R, *grid) in the image's pixels (R, [D,] H, W), by `weights` (side, cells) of each axis."""
    for axis, weight in enumerate(weights):
        channels = (channels.movedim(axis + 1, -1) @ weight.T).movedim(-1, axis + 1)
    return channels


def _enlargement(frame: Frame, shape: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """Per axis the weights that bring a layer's grid into the image's pixels, as scores place maps."""
    if frame.matrix is not None:
        raise NotApplicable("the layer's cells lie at an angle to the image's pixels")
    weights = []
    for cells, side, scale, shift in zip(frame.shape, shape, reversed(frame.scale), reversed(frame.shift)):
        step = 1.0 / scale  # image index = (cell - shift) / scale
        weights.append(torch.from_numpy(axis_weights(cells, side, step, -shift * step)).float().to(device))
    return weights
