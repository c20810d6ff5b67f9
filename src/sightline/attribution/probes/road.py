"""ROAD: remove and debias (Rong et al. 2022): pixels go without leaving the mask's shape behind.

A removed pixel becomes the weighted mean of its neighbours, all removed pixels at once (a sparse linear
system; direct neighbours count 1/6, diagonal ones 1/12), plus a little noise. In 3-D, for which the source
gives no weights, the six direct neighbours count 1/6 each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import torch
from scipy import sparse
from scipy.sparse.linalg import spsolve
from torch import Tensor

from sightline.attribution.probing import Probed, ranked

OPTIONS = {
    "removed": {
        "type": "array",
        "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "minItems": 1,
        "default": [0.2, 0.4, 0.6, 0.8],
        "description": "Shares of the pixels that are removed.",
    },
    "noise": {
        "type": "number",
        "minimum": 0,
        "default": 0.01,
        "description": "Standard deviation of the noise on removed pixels, in units of the normalised input.",
    },
    "output": {
        "enum": ["sigmoid", "softmax", "logit"],
        "default": "sigmoid",
        "description": "What is followed: the target's probability (several labels: sigmoid) or logit.",
    },
}
METRICS = {
    "road_most_first": {
        "symbol": "ROAD, most relevant first",
        "description": "Mean output with the map's highest pixels imputed, less the whole image's.",
        "better": "low",
    },
    "road": {
        "symbol": "ROAD",
        "description": "Half of: mean output without the lowest pixels less that without the highest ones.",
        "better": "high",
    },
}
EXPLAINS = False


def probe(
    probed: Probed,
    removed: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
    noise: float = 0.01,
    output: str = "sigmoid",
) -> dict:
    """{"road_most_first", "road"}: (B, T), the latter as pytorch-grad-cam's ROADCombined."""

    def altered(image: int, target: int) -> Iterator[Tensor]:
        pixels = probed.images.pixels[image]
        order = ranked(probed.saliency[image, target], probed.images.generator(image, "ties"))
        draws = probed.images.generator(image, "ROAD")
        yield pixels
        for way in (order, order[::-1]):
            for share in removed:
                gone = np.zeros(order.size, dtype=bool)
                gone[way[: round(share * order.size)]] = True
                filled = imputed(pixels.cpu().numpy(), gone.reshape(probed.grid))
                found = torch.from_numpy(filled).to(pixels)
                where = torch.from_numpy(gone.reshape(probed.grid)).to(pixels.device)
                yield found + noise * torch.randn(found.shape, generator=draws).to(found) * where

    outputs = probed.outputs(altered, output)  # (B, T, 1 + 2 removed)
    whole, most, least = np.split(outputs, [1, 1 + len(removed)], axis=-1)
    most, least = most.mean(axis=-1), least.mean(axis=-1)
    return {"road_most_first": most - whole[..., 0], "road": (least - most) / 2}


def passes(
    explain: float, targets: int, removed: Sequence[float] = (0.2, 0.4, 0.6, 0.8), **options: object
) -> float:
    """Two forwards for each share, and the whole image."""
    return targets * (1 + 2 * len(removed))


def imputed(pixels: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """`pixels` (C, [D,] H, W) where those in `gone` ([D,] H, W) are the weighted means of their neighbours.

    At the borders the weights of the neighbours that exist are scaled to sum to 1. With nothing left, pixels
    are the mean of what there was.
    """
    flat = pixels.reshape(len(pixels), -1).astype(np.float64)
    if gone.all():
        return (
            np.broadcast_to(flat.mean(axis=1)[:, None], flat.shape).reshape(pixels.shape).astype(pixels.dtype)
        )
    number = np.full(gone.shape, -1)
    number[gone] = np.arange(gone.sum())
    rows, columns, weights = [], [], []
    known = np.zeros((len(pixels), int(gone.sum())))
    total = np.zeros(int(gone.sum()))
    values = pixels.astype(np.float64)
    for step, weight in _neighbours(gone.ndim):
        here, there = _overlap(gone.shape, step)
        pair = gone[here]
        at, beside = number[here][pair], number[there][pair]
        total[at] += weight
        inside = beside >= 0
        rows.append(at[inside])
        columns.append(beside[inside])
        weights.append(np.full(inside.sum(), weight))
        known[:, at[~inside]] += weight * values[(slice(None), *there)][:, pair][:, ~inside]
    size = len(total)
    system = (
        sparse.diags(total).tocsc()
        - sparse.coo_matrix(
            (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))), shape=(size, size)
        ).tocsc()
    )
    found = flat.copy()
    found[:, gone.ravel()] = np.atleast_2d(spsolve(system, known.T).T)
    return found.reshape(pixels.shape).astype(pixels.dtype)


def _neighbours(dims: int) -> Iterator[tuple[tuple[int, ...], float]]:
    for step in product((-1, 0, 1), repeat=dims):
        away = sum(map(abs, step))
        if away == 1:
            yield step, 1 / 6
        elif away == 2 and dims == 2:
            yield step, 1 / 12


def _overlap(shape: tuple[int, ...], step: tuple[int, ...]) -> tuple[tuple, tuple]:
    """Slices of the cells that have a neighbour `step` away, and of those neighbours."""
    here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape))
    there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape))
    return here, there
