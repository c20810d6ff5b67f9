"""What a trained network says of images: logits, in batches that no scheduler decides."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import nn

from sightline.models.examples import Examples
from sightline.models.inputs import explain_input


def logits(
    network: nn.Module, examples: Examples, batch: int, device: str | torch.device = "cpu"
) -> np.ndarray:
    """Logits (N, L), float32, in the order of `examples`; the network is left in the mode it came in."""
    mode = network.training
    network.to(device).eval()
    result = np.empty((len(examples), len(examples.labels)), dtype=np.float32)
    with torch.inference_mode():
        for indices in examples.batches(batch):
            images = np.stack(examples.pixels(indices))  # (B, H, W)
            result[indices] = network(explain_input(images, device)).float().cpu().numpy()
    network.train(mode)
    return result


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
