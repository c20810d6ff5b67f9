"""What stands where an image is taken away: baselines of paths, fills of masked pixels.

All in the normalised units of the network's input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sightline.attribution.explained import Explained, NotApplicable

KINDS = ("zero", "black", "mean", "blurred", "references")
# Gaussian blur's standard deviation over the longest side: 10 pixels of 224 (Fong and Vedaldi 2017)
BLUR = 10 / 224
TRUNCATE = 4.0  # the Gaussian's reach, in standard deviations


def lacks(kind: str, model: Explained) -> str | None:
    """A reason why `fill` cannot give this kind for this model, or None. Raises `ValueError` as `fill`."""
    if kind not in KINDS:
        raise ValueError(f"fill {kind!r}; expected one of {', '.join(KINDS)}")
    if kind == "references" and model.reference_images is None:
        return "the fill 'references' needs a set of reference images; the study names none"
    return None


def fill(kind: str, model: Explained, pixels: Tensor) -> Tensor:
    """What replaces the images `pixels` (B, C, [D,] H, W): the same shape, each image's by itself.

    zero        0 in normalised units (of an ImageNet normalisation: the mean colour)
    black       the image's own darkest value in each channel
    mean        the image's own mean in each channel
    blurred     the image, blurred by a Gaussian (`BLUR`)
    references  the mean of the study's reference images, in the shape of the model's last input
    Raises `NotApplicable` where there are no reference images, `ValueError` for another kind.
    """
    reason = lacks(kind, model)
    if reason:
        raise NotApplicable(reason)
    axes = tuple(range(2, pixels.ndim))
    if kind == "zero":
        return torch.zeros_like(pixels)
    if kind == "black":
        return pixels.amin(dim=axes, keepdim=True).expand_as(pixels).clone()
    if kind == "mean":
        return pixels.mean(dim=axes, keepdim=True).expand_as(pixels).clone()
    if kind == "blurred":
        return blurred(pixels, BLUR * max(pixels.shape[2:]))
    return model.references.to(pixels).mean(dim=0, keepdim=True).expand_as(pixels).clone()


def blurred(images: Tensor, deviation: float) -> Tensor:
    """Images (B, C, [D,] H, W) blurred by a Gaussian of `deviation` pixels, the same along all axes.

    Edge pixels continue outside; the kernel is cut at four deviations.
    """
    radius = int(TRUNCATE * deviation + 0.5)
    steps = torch.arange(-radius, radius + 1, device=images.device, dtype=torch.float64)
    weights = torch.exp(-0.5 * (steps / deviation) ** 2)
    weights = (weights / weights.sum()).to(images.dtype)
    for axis in range(2, images.ndim):
        lines = images.movedim(axis, -1)  # (..., side)
        shape = lines.shape
        padded = functional.pad(lines.reshape(-1, 1, shape[-1]), (radius, radius), mode="replicate")
        images = functional.conv1d(padded, weights.view(1, 1, -1)).reshape(shape).movedim(-1, axis)
    return images.contiguous()


def inpainted(images: Tensor, hidden: Tensor) -> Tensor:
    """Images (B, C, [D,] H, W) whose `hidden` pixels (B, 1, [D,] H, W) are painted from their surroundings.

    From a hole's border inwards, ring by ring: each pixel becomes the mean of its known neighbours, among the
    3 x 3 (x 3) around it. Raises `ValueError` where all of an image is hidden.
    """
    if hidden.flatten(1).all(dim=1).any():
        raise ValueError("an image of which every pixel is hidden has nothing to be painted from")
    mean = functional.avg_pool2d if images.ndim == 4 else functional.avg_pool3d
    known = ~hidden
    images = torch.where(known, images, 0.0)
    while not known.all():
        weight = mean(known.to(images.dtype), 3, stride=1, padding=1)
        ring = ~known & (weight > 0)
        around = mean(images, 3, stride=1, padding=1) / weight.clamp(min=1e-6)
        images = torch.where(ring, around, images)
        known = known | ring
    return images
