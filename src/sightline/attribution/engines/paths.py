"""Sums of gradients over points between a baseline and an image, a micro-batch of points at a time.

However many points a path has, no more than `micro_batch` rows are in memory with their graph.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from sightline.attribution.engines.gradients import at_input, at_layers
from sightline.attribution.explained import Explained, Images, NotApplicable
from sightline.attribution.targets import Targets

RULES = ("gauss_legendre", "left", "right", "middle", "trapezoid")
ROUNDING = 1e-5  # what is left of a sum that cancels, as a share of its terms
# the points of rows, given the images (R,) and the points (R,) that they stand for: (R, C, [D,] H, W) each,
# where the gradient is taken and what it is multiplied with
Points = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def quadrature(rule: str, steps: int) -> tuple[Tensor, Tensor]:
    """Positions on [0, 1] and weights that sum to 1, (steps,) each, float64.

    The Riemann rules with `steps` equal parts (`right` is that of Sundararajan et al. 2017, equation 3);
    `trapezoid` has both ends among its points (captum's weights for it sum to 1 - 1/steps: here to 1).
    """
    if rule not in RULES:
        raise ValueError(f"rule {rule!r}; expected one of {', '.join(RULES)}")
    if rule == "gauss_legendre":
        nodes, weights = np.polynomial.legendre.leggauss(steps)
        return torch.from_numpy(0.5 + 0.5 * nodes), torch.from_numpy(0.5 * weights)
    if rule == "trapezoid":
        if steps < 2:
            raise ValueError("the trapezoid rule needs at least 2 steps, for both ends are points")
        weights = torch.full((steps,), 1 / (steps - 1), dtype=torch.float64)
        weights[[0, -1]] /= 2
        return torch.linspace(0, 1, steps, dtype=torch.float64), weights
    start = {"left": 0.0, "middle": 0.5, "right": 1.0}[rule]
    positions = (torch.arange(steps, dtype=torch.float64) + start) / steps
    return positions, torch.full((steps,), 1 / steps, dtype=torch.float64)


def chunks(images: int, points: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Rows for `points` points of each of `images` images, at most `size` at a time: (images, points)."""
    for rows in torch.arange(images * points).split(size):
        yield rows // points, rows % points


def add(total: Tensor, images: Tensor, values: Tensor) -> None:
    """Add rows `values` (R, ...) to the `total` (B, ...) of the images (R,) that they belong to."""
    for image in images.unique().tolist():  # in order: no race between additions, so always the same bits
        total[image] += values[images == image].sum(dim=0)


def column(values: Tensor, like: Tensor) -> Tensor:
    """`values` (R,) to be multiplied with rows of images (R, C, ...), in their precision and place."""
    return values.to(like).view(-1, *[1] * (like.ndim - 1))


def along_input(model: Explained, pixels: Tensor, targets: Targets, count: int, points: Points) -> Tensor:
    """For each image and target the sum over `count` points and channels of gradient x factor: (B, T, *S).

    `points(images, numbers)` gives the points and the factors of a chunk of rows.
    """
    total = pixels.new_zeros((len(pixels), targets.count, *pixels.shape[2:]))
    for images, numbers in chunks(len(pixels), count, model.micro_batch):
        place, factor = points(images, numbers)
        recorded = at_input(model, place, targets, images)
        for target, (gradient,) in enumerate(recorded.gradients()):
            add(total[:, target], images, (gradient * factor).sum(dim=1))
    return total


def along_layers(
    model: Explained,
    pixels: Tensor,
    targets: Targets,
    modules: dict[str, nn.Module],
    count: int,
    points: Callable[[Tensor, Tensor], tuple[Tensor, Sequence[Tensor]]],
) -> list[Tensor]:
    """For each layer the sum over `count` points and channels of gradient x factor: (B, T, *grid).

    `points(images, numbers)` gives the points of a chunk of rows, and for each layer what its gradient is
    multiplied with: the layer's shape, or a number for each row. Raises `NotApplicable` where no target
    depends on the cells of a layer of tokens (but by the class token), and where the sum over channels is
    nothing but rounding.
    """
    totals: list[Tensor] = []
    largest = [0.0] * len(modules)  # of the sums of magnitudes
    for images, numbers in chunks(len(pixels), count, model.micro_batch):
        place, factors = points(images, numbers)
        recorded = at_layers(model, place, targets, modules, images)
        for target, gradients in enumerate(recorded.gradients()):
            products = [
                model.grid(name, gradient * _spread(factor, gradient))
                for name, gradient, factor in zip(modules, gradients, factors)
            ]
            if not totals:
                shape = (len(pixels), targets.count)
                totals = [one.new_zeros((*shape, *one.shape[2:])) for one in products]
            for at, one in enumerate(products):
                add(totals[at][:, target], images, one.sum(dim=1))
                largest[at] = max(largest[at], float(one.abs().sum(dim=1).max()))
    for at, (name, total) in enumerate(zip(modules, totals)):
        refuse_if_by_class_token(name, total, recorded.at[at], model)
        if 0 < total.abs().max() <= ROUNDING * largest[at]:
            raise NotApplicable(
                f"the sum over channels at layer '{name}' is nothing but rounding: what follows takes their "
                "mean away (layer normalisation)"
            )
    return totals


def _spread(factor: Tensor, gradient: Tensor) -> Tensor:
    return column(factor, gradient) if factor.ndim == 1 else factor


def refuse_if_by_class_token(name: str, total: Tensor, layer: Tensor, model: Explained) -> None:
    """Raise `NotApplicable` where the maps `total` of a layer of tokens are all zero."""
    if layer.ndim != model.spatial_dims + 2 and not total.any():
        raise NotApplicable(f"the targets depend on the layer '{name}' by its class token alone")


# ---- random points


def noise(images: Images, rows: Tensor, numbers: Tensor, share: float, purpose: str) -> Tensor:
    """Gaussian noise (R, C, [D,] H, W) for draw `numbers` (R,) of the images `rows` (R,) of the batch.

    Its standard deviation is `share` of each image's range of values, as Smilkov et al. 2017 count it.
    """
    drawn = torch.stack(
        [
            torch.randn(images.shape, generator=images.generator(row, f"{purpose} noise {number}"))
            for row, number in zip(rows.tolist(), numbers.tolist())
        ]
    ).to(images.pixels)
    flat = images.pixels[rows].flatten(1)
    return drawn * column(share * (flat.amax(dim=1) - flat.amin(dim=1)), drawn)


@dataclass(frozen=True)
class Lines:
    """Random lines from reference images to each image, and a random place on each (`draw_lines`).

    `chosen` (B, S) are the references' numbers, `shares` (B, S) of the way from them to the image.
    """

    images: Images
    references: Tensor
    chosen: Tensor
    shares: Tensor
    noise: float
    purpose: str

    def at(self, rows: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Start, end and place of line `numbers` (R,) of the images `rows` (R,): (R, C, [D,] H, W) each."""
        start, end = self.references[self.chosen[rows, numbers]], self.images.pixels[rows]
        if self.noise:
            end = end + noise(self.images, rows, numbers, self.noise, self.purpose)
        return start, end, start + column(self.shares[rows, numbers], start) * (end - start)


def draw_lines(model: Explained, images: Images, count: int, noise: float, purpose: str) -> Lines:
    """`count` lines for each image; `noise` is added to their ends, as a share of the image's range."""
    references = model.references.to(images.pixels)
    chosen, shares = [], []
    for row in range(len(images.pixels)):
        generator = images.generator(row, purpose)
        chosen.append(torch.randint(len(references), (count,), generator=generator))
        shares.append(torch.rand(count, generator=generator))
    return Lines(images, references, torch.stack(chosen), torch.stack(shares), noise, purpose)
