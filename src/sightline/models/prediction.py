"""What a trained network says of images: logits, in batches that no scheduler decides."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sightline.models.examples import Examples
from sightline.models.feeding import ahead, sent, staged
from sightline.models.inputs import normalise


def logits(
    network: nn.Module, examples: Examples, batch: int, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Logits (N, L), float32, in the order of `examples`; the network is left in the mode it came in."""
    mode, place = network.training, torch.device(device)
    network.to(place).eval()
    result = np.empty((len(examples), len(examples.labels)), dtype=np.float32)
    said = []  # on the device until all is said: to fetch a number is to wait for it
    with torch.inference_mode(), closing(ahead(_batches(examples, batch, place))) as batches:
        for indices, images in batches:
            said.append((indices, network(normalise(sent(images, place))).float()))
    for indices, rows in said:
        result[indices] = rows.cpu().numpy()
    network.train(mode)
    return result


def _batches(examples: Examples, batch: int, place: torch.device) -> Iterator[tuple[np.ndarray, Tensor]]:
    """Indices and stored images (B, H, W) or (B, H, W, 3), staged for `place`."""
    for indices in examples.batches(batch):
        yield indices, staged(torch.from_numpy(np.stack(examples.pixels(indices))), place)


def predict(
    network: nn.Module, examples: Examples, batch: int, device: str | torch.device = "cpu"
) -> pd.DataFrame:
    """Rows image, label, logit, value (NaN where the label is unknown): one per image and label."""
    said = logits(network, examples, batch, device)
    return pd.DataFrame(
        {
            "image": np.repeat(np.array(examples.images, dtype=object), len(examples.labels)),
            "label": np.tile(np.array(examples.labels, dtype=object), len(examples)),
            "logit": said.astype(np.float64).ravel(),
            "value": examples.targets.astype(np.float64).ravel(),
        }
    )
