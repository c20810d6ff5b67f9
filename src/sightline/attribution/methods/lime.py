"""LIME: a weighted linear model of the output over which superpixels are present (Ribeiro et al. 2016).

As the authors' image code has it: the first version is the image itself, then each superpixel is present with
probability 1/2; versions weigh sqrt(exp(-d^2 / width^2)), d being the cosine distance to the image; a ridge
with an intercept that is not penalised. captum's default, a lasso of alpha 0.01, gave maps of all zeros where
logits differ little: the gap, the share of the weighted variance that the linear model leaves, says so (1).
"""

from __future__ import annotations

import numpy as np
import torch

from sightline.attribution.engines import fills
from sightline.attribution.engines.masking import of_coalitions, unaltered
from sightline.attribution.engines.superpixels import cost_in_values, features, own_means, stored
from sightline.attribution.maps import Cost, Explained, Images, Maps, Targets

OPTIONS = {
    "features_as": {
        "enum": ["superpixels", "grid"],
        "default": "superpixels",
        "description": "Each image's superpixels (SLIC; the authors' code takes quickshift), or equal cells.",
    },
    "count": {
        "type": "integer",
        "minimum": 2,
        "default": 64,
        "description": "About how many features an image has.",
    },
    "compactness": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.1,
        "description": "Of superpixels: nearness against likeness; larger is rounder.",
    },
    "samples": {
        "type": "integer",
        "minimum": 2,
        "default": 1000,
        "description": "Versions of the image, itself among them.",
    },
    "width": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 0.25,
        "description": "Of the kernel that weighs versions by their cosine distance to the image.",
    },
    "regression": {
        "enum": ["ridge", "lasso"],
        "default": "ridge",
        "description": "The penalty of the linear model.",
    },
    "alpha": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.0,
        "description": "Its weight, as scikit-learn has it: of a ridge against the sum of weighted squares, "
        "of a lasso against half their mean, in the output's own units (captum: 0.01).",
    },
    "fill": {
        "enum": ["own_mean", "zero", "black", "mean", "blurred", "references"],
        "default": "own_mean",
        "description": "What stands where a feature is absent; `own_mean` is the feature's mean colour.",
    },
}
PER_TARGET = True
GRID = "input"
NEEDS = ("forward",)
IDENTITY = "local_fit"
FAMILY = "perturbation"
SOURCE = "Ribeiro et al. 2016, arXiv:1602.04938"


def check(model: Explained, targets: Targets, fill: str = "own_mean", **_options: object) -> str | None:
    """A reason where the fill is not to be had, else None: any network will do."""
    return None if fill == "own_mean" else fills.lacks(fill, model)


def cost(
    model: Explained,
    shape: tuple[int, ...],
    targets: int,
    features_as: str = "superpixels",
    count: int = 64,
    samples: int = 1000,
    **_options: object,
) -> Cost:
    """A forward for each version."""
    values = targets * cost_in_values(shape, features_as, count)
    return Cost(samples, 0, min(model.micro_batch, samples), values)


def explain(
    model: Explained,
    images: Images,
    targets: Targets,
    features_as: str = "superpixels",
    count: int = 64,
    compactness: float = 0.1,
    samples: int = 1000,
    width: float = 0.25,
    regression: str = "ridge",
    alpha: float = 1.0,
    fill: str = "own_mean",
) -> list[Maps]:
    """One Maps of coefficients: (B, T, [D,] H, W) of superpixels, (B, T, *cells) of a grid."""
    full, outputs = unaltered(model, images, targets)
    covers = None if fill == "own_mean" else fills.fill(fill, model, images.pixels)
    found = [features(pixels, features_as, count, compactness) for pixels in images.pixels]
    values, left = [], []
    for image, one in enumerate(found):
        pixels = images.pixels[image]
        cover = own_means(pixels, one) if covers is None else covers[image]
        generator = images.generator(image, "lime")
        present = torch.rand((samples - 1, one.count), generator=generator) < 0.5
        versions = of_coalitions(model, targets, image, pixels, cover, one.labels, present)
        coefficients, unexplained = fitted(
            torch.cat([torch.ones((1, one.count), dtype=torch.bool), present]).numpy(),
            torch.cat([full[image, None], versions]).numpy(),
            width, regression, alpha,
        )  # fmt: skip
        values.append(torch.from_numpy(coefficients))
        left.append(unexplained)
    maps, frame = stored(found, values)
    return [Maps("input", targets.names, maps, frame, gap=np.stack(left), outputs=outputs)]


def fitted(
    present: np.ndarray, scalars: np.ndarray, width: float, regression: str, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Coefficients (n, T) of the scalars (N, T) on which features are `present` (N, n), one design for all.

    And the share (T,) of the weighted variance that is left, 0 where there is none.
    """
    weights = np.exp(-0.5 * (_distances(present) / width) ** 2)
    design = present - np.average(present, axis=0, weights=weights)
    wanted = scalars - np.average(scalars, axis=0, weights=weights)
    if regression == "ridge":
        weighted = design * weights[:, None]
        coefficients = np.linalg.solve(
            weighted.T @ design + alpha * np.eye(design.shape[1]), weighted.T @ wanted
        )
    else:
        from sklearn.linear_model import Lasso  # takes a second to import

        lasso = Lasso(alpha=alpha, fit_intercept=False)
        fits = [lasso.fit(design, one, sample_weight=weights).coef_.copy() for one in wanted.T]
        coefficients = np.stack(fits, axis=1)
    total = weights @ wanted**2
    left = weights @ (wanted - design @ coefficients) ** 2
    return coefficients, np.divide(left, total, out=np.zeros_like(left), where=total > 0).astype(np.float32)


def _distances(present: np.ndarray) -> np.ndarray:
    """Cosine distance of each row of `present` (N, n) to that with all features; 1 of that with none."""
    return 1.0 - np.sqrt(present.mean(axis=1))
