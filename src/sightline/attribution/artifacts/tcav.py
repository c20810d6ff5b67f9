"""Whether a class depends on a concept: concept activation vectors (Kim et al. 2018).

A linear classifier tells a layer's activations on images that have the concept from those on random images;
its normal is the concept's direction. The score is the share of a class's images whose logit rises along it.
Each run takes random images of its own, and gives a random concept (random against random) its score too.
The classifier is a logistic regression solved to the end (the authors': stochastic gradient descent). The
test is the sign test over runs: how often the concept's score is above the random concept's (the authors':
t-test, which has no answer where all scores are 1). p is corrected as theirs, times the number of pairs
(Bonferroni).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines.gradients import at_layers
from sightline.attribution.explained import Explained, NotApplicable
from sightline.attribution.material import Material
from sightline.attribution.targets import Targets
from sightline.attribution.targets import classes as class_targets

OPTIONS = {
    "concepts": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "Concepts: regions (images that have one) or labels; empty: all regions.",
    },
    "classes": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "The labels whose logits are asked; empty: all.",
    },
    "layer": {
        "type": "string",
        "default": "last",
        "description": "The layer: `last` (the architecture's choice) or a module name.",
    },
    "pooled": {
        "type": "boolean",
        "default": False,
        "description": "Take each channel's mean over the cells instead of all cells (the source); needed "
        "where images differ in size.",
    },
    "examples": {
        "type": "integer",
        "minimum": 4,
        "default": 50,
        "description": "Images of a concept at most, as many random ones, and images of a class at most.",
    },
    "runs": {
        "type": "integer",
        "minimum": 1,
        "default": 20,
        "description": "Runs, each with random images of its own (the paper: up to 500).",
    },
    "penalty": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.01,
        "description": "Weight of the squared coefficients against the mean loss (the authors' alpha).",
    },
}
NEEDS = ("gradient", "layer", "concepts")
SCOPE = "dataset"
SOURCE = "Kim et al. 2018, arXiv:1711.11279"

LEAST = 4  # images of a concept, and of a class, for a number
HELD_OUT = 3  # one in so many images judges the classifier
COLUMNS = (
    "score", "lower quartile", "upper quartile", "random score", "p", "p, corrected", "accuracy", "images"
)  # fmt: skip


@dataclass(frozen=True)
class Direction:
    """A concept's unit vector in a layer's activations, and how well it tells images that it has not seen."""

    vector: np.ndarray
    accuracy: float


def check(model: Explained, layer: str = "last", **_options: object) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers([layer])


def make(
    model: Explained, data: Material, concepts: Sequence[str] = (), classes: Sequence[str] = (),
    layer: str = "last", pooled: bool = False, examples: int = 50, runs: int = 20, penalty: float = 0.01,
) -> list[Artifact]:  # fmt: skip
    """A table (concepts x classes, 8), with the columns of `COLUMNS`.

    Pairs without four images of either are left out and counted. Raises `NotApplicable` where none is left,
    or where images differ in size and `pooled` is not set.
    """
    names = list(concepts or data.regions)
    holders = {name: data.holding(name, model.labels) for name in names}
    usable = {name: found for name, found in holders.items() if len(found) >= LEAST}
    targets = class_targets(model.labels, list(classes) or None)
    values, slopes = measured(model, data, layer, pooled, targets)
    asked = {name: _inputs(data, model.labels, name, examples) for name in targets.names}
    asked = {name: found for name, found in asked.items() if len(found) >= LEAST}
    if not usable or not asked:
        raise NotApplicable(f"fewer than {LEAST} images have a concept ({', '.join(names)}), or a class")
    rows, table = [], []
    for concept, having in usable.items():
        scores = _runs(data, concept, having, values, slopes, asked, targets.names, (examples, runs, penalty))
        for name, (own, other, accuracy) in scores.items():
            rows.append(f"{concept}: {name}")
            quartiles = np.quantile(own, [0.25, 0.75])
            row = (own.mean(), *quartiles, other.mean(), sign_test(own, other), 0, accuracy, len(asked[name]))
            table.append(row)
    found = np.array(table, dtype=np.float64)
    p, corrected = COLUMNS.index("p"), COLUMNS.index("p, corrected")
    found[:, corrected] = np.minimum(1.0, found[:, p] * len(found))
    left = [name for name in names if name not in usable] + [one for one in targets.names if one not in asked]
    facts = {
        "rows": rows,
        "columns": list(COLUMNS),
        "axis": "TCAV score: share of images whose logit rises along the concept",
        "marks": ["score", "random score"],
        "spread": {"score": ["lower quartile", "upper quartile"]},
        "notes": ["p, corrected", "accuracy", "images"],
        "line": [0.5, "no dependence"],
        "says": [
            f"Mean and quartiles of {runs} runs; p: sign test against a random concept, times {len(found)}.",
            *([f"Left out, for fewer than {LEAST} images: {', '.join(left)}."] if left else []),
        ],
    }
    (place,) = model.modules([layer])
    return [Artifact(place, "table", found, facts)]


def measured(
    model: Explained, data: Material, layer: str, pooled: bool, targets: Targets
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """For each image its activations (F,) at the layer, and each target's gradient by them (T, F)."""
    values, slopes = {}, {}
    for batch, pixels in data.pixels(model):
        modules = model.modules([layer])
        seen = at_layers(model, pixels, targets, modules)
        gradients = torch.stack([one for (one,) in seen.gradients()], dim=1)  # (B, T, K, *grid)
        (found,) = (seen.at[0].detach(),)
        flat, steep = found.flatten(1), gradients.flatten(2)
        if pooled and found.ndim > 2:
            (name,) = modules
            grid = model.grid(name, found)
            flat = grid.flatten(2).mean(dim=2)
            each = [model.grid(name, one).flatten(2).mean(dim=2) for one in gradients.unbind(dim=1)]
            steep = torch.stack(each, dim=1)
        values |= dict(zip(batch.images, flat.double().cpu().numpy()))
        slopes |= dict(zip(batch.images, steep.double().cpu().numpy()))
    if len({len(one) for one in values.values()}) > 1:
        raise NotApplicable("images differ in size, so their activations do too: set pooled")
    return values, slopes


def _inputs(data: Material, labels: Sequence[str], name: str, most: int) -> list[str]:
    """The images of a class, or all where no truth is known."""
    return (data.images if data.truth is None else data.holding(name, labels))[:most]


def _runs(
    data: Material, concept: str, having: list[str], values: dict, slopes: dict, asked: dict,
    names: Sequence[str], amounts: tuple[int, int, float],
) -> dict[str, tuple[np.ndarray, np.ndarray, float]]:  # fmt: skip
    """For each class the concept's score in every run, the random concept's, and the mean accuracy."""
    examples, runs, penalty = amounts
    others = sorted(set(data.images) - set(having))
    size = min(examples, len(having), len(others) // 2)
    if size < LEAST:
        raise NotApplicable(f"{len(others)} images have not the concept '{concept}': too few random ones")
    found = {name: (np.empty(runs), np.empty(runs)) for name in asked}
    accuracies = []
    for run in data.progress(range(runs), f"runs of {concept}"):
        draws = data.generator("tcav", concept, run)
        positive = [having[i] for i in torch.randperm(len(having), generator=draws)[:size]]
        drawn = [others[i] for i in torch.randperm(len(others), generator=draws)[: 2 * size]]
        negative, random = drawn[:size], drawn[size:]
        against = np.stack([values[image] for image in negative])
        own = direction(np.stack([values[image] for image in positive]), against, penalty)
        chance = direction(np.stack([values[image] for image in random]), against, penalty)
        accuracies.append(own.accuracy)
        for name, images in asked.items():
            steep = np.stack([slopes[image][list(names).index(name)] for image in images])
            for kept, one in zip(found[name], (own, chance)):
                kept[run] = (steep @ one.vector > 0).mean()
    return {name: (*both, float(np.mean(accuracies))) for name, both in found.items()}


def direction(positive: np.ndarray, negative: np.ndarray, penalty: float) -> Direction:
    """The unit normal (F,) of the classifier that tells `positive` (n, F) from `negative`, towards positive.

    Every third row of both judges the accuracy and takes no part in the fit.
    """
    from sklearn.linear_model import LogisticRegression

    rows = np.concatenate([positive, negative])
    is_positive = np.repeat([True, False], [len(positive), len(negative)])
    held = np.concatenate([np.arange(len(one)) % HELD_OUT == HELD_OUT - 1 for one in (positive, negative)])
    # scikit-learn weighs the sum of losses by C against half the squared length
    fitted = LogisticRegression(C=1 / (penalty * (~held).sum()), max_iter=1000)
    fitted.fit(rows[~held], is_positive[~held])
    accuracy = float((fitted.predict(rows[held]) == is_positive[held]).mean())
    length = np.linalg.norm(fitted.coef_[0])
    return Direction(fitted.coef_[0] / max(length, np.finfo(float).tiny), accuracy)


def sign_test(own: np.ndarray, other: np.ndarray) -> float:
    """Two-sided p of the sign test that `own` is as often above as below `other`; ties are left out."""
    from scipy.stats import binomtest

    above, below = int((own > other).sum()), int((own < other).sum())
    return binomtest(above, above + below).pvalue if above + below else 1.0
