"""Insertion: the output while the map's highest pixels come first (Petsiuk et al. 2018, section 4.1)."""

from __future__ import annotations

from sightline.attribution.engines import fills
from sightline.attribution.probes.deletion import curve
from sightline.attribution.probing import Probed, area

OPTIONS = {
    "steps": {
        "type": "integer",
        "minimum": 1,
        "default": 20,
        "description": "Equal steps from none of the image to the whole of it (the source takes 224).",
    },
    "fill": {
        "enum": ["zero", "black", "mean", "blurred", "references"],
        "default": "blurred",
        "description": "What the image starts from (`attribution/engines/fills.py`; the source: blurred).",
    },
    "output": {
        "enum": ["sigmoid", "softmax", "logit"],
        "default": "sigmoid",
        "description": "What is followed: the target's probability (several labels: sigmoid) or logit.",
    },
}
METRICS = {
    "insertion": {
        "symbol": "insertion",
        "description": "Area under the output while the map's highest pixels are put back first.",
        "better": "high",
    },
}
EXPLAINS = False


def probe(probed: Probed, steps: int = 20, fill: str = "blurred", output: str = "sigmoid") -> dict:
    """{"insertion": area (B, T)}; a constant map inserts in a drawn order."""
    blank = fills.fill(fill, probed.model, probed.images.pixels)
    return {"insertion": area(curve(probed, blank, probed.images.pixels, steps, output))}


def passes(explain: float, targets: int, steps: int = 20, **options: object) -> float:
    """One forward for each step, and the blank image."""
    return targets * (steps + 1)
