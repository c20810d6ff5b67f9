"""A dataset as a layer sees it: features of every image in a plane, by PCA and t-SNE, outliers marked.

Features are a layer's channels, each its mean over the cells. Outliers are told in the first principal
components, never in the plane of t-SNE, which keeps no distances:
`mahalanobis`: squared robust distance (minimum covariance determinant, Rousseeuw & Van Driessen 1999) above
the quantile `level` of chi-squared with as many degrees of freedom as components;
`local_outlier_factor`: Breunig et al. 2000, above `factor`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.attribution.artifact import Artifact
from sightline.attribution.engines.gradients import layer_values
from sightline.attribution.explained import Explained, NotApplicable
from sightline.attribution.material import Material
from sightline.randomness import derived_seed

OPTIONS = {
    "layer": {
        "type": "string",
        "default": "last",
        "description": "The layer: `last` (the architecture's choice) or a module name.",
    },
    "projections": {
        "type": "array",
        "items": {"type": "string", "enum": ["pca", "tsne"]},
        "minItems": 1,
        "uniqueItems": True,
        "default": ["pca", "tsne"],
        "description": "What is drawn.",
    },
    "perplexity": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 30,
        "description": "t-SNE: about how many neighbours count; at most a third of the images.",
    },
    "outliers": {
        "type": "string",
        "enum": ["mahalanobis", "local_outlier_factor"],
        "default": "mahalanobis",
        "description": "The rule by which images are marked.",
    },
    "components": {
        "type": "integer",
        "minimum": 1,
        "default": 5,
        "description": "Principal components in which outliers are told; at most a fifth of the images.",
    },
    "level": {
        "type": "number",
        "exclusiveMinimum": 0,
        "exclusiveMaximum": 1,
        "default": 0.975,
        "description": "mahalanobis: the quantile of chi-squared.",
    },
    "neighbours": {
        "type": "integer",
        "minimum": 1,
        "default": 20,
        "description": "local_outlier_factor: neighbours.",
    },
    "factor": {
        "type": "number",
        "exclusiveMinimum": 0,
        "default": 1.5,
        "description": "local_outlier_factor: the factor above which an image is marked.",
    },
}
NEEDS = ("forward", "layer")
SCOPE = "dataset"
SOURCE = "van der Maaten & Hinton 2008, JMLR 9"

LEAST = 10  # images: fewer have no outliers to tell


def check(model: Explained, layer: str = "last", **_options: object) -> str | None:
    """A reason where the network has no such layer, else None."""
    return model.has_layers([layer])


def make(
    model: Explained, data: Material, layer: str = "last", projections: Sequence[str] = ("pca", "tsne"),
    perplexity: float = 30, outliers: str = "mahalanobis", components: int = 5, level: float = 0.975,
    neighbours: int = 20, factor: float = 1.5,
) -> list[Artifact]:  # fmt: skip
    """Per projection a scatter (N, 4): the two axes, the outlier score over its limit, 1 where it is above.

    Points are named by their image and grouped by their true labels. Raises `NotApplicable` for fewer than
    10 images, or features that do not differ.
    """
    if len(data.images) < LEAST:
        raise NotApplicable(f"{len(data.images)} images; a projection takes at least {LEAST}")
    known, seed = features(model, data, layer), derived_seed(data.seed, "projection", layer)
    (place,) = model.modules([layer])
    scores, shares = principal(known)
    kept = min(components, scores.shape[1], len(scores) // 5)
    if outliers == "mahalanobis":
        score, rule = robust_distance(scores[:, :kept], level, seed % 2**32)
    else:
        score, rule = outlier_factor(scores[:, :kept], neighbours, factor)
    planes = {
        "pca": lambda: _two(scores, shares),
        "tsne": lambda: _tsne(scores, perplexity, seed % 2**32),
    }
    made = []
    for name in projections:
        plane, axes, how = planes[name]()
        facts = {
            "points": data.images,
            "groups": [_labelled(data, model.labels, image) for image in data.images],
            "columns": [*axes, "outlier score over its limit", "outlier"],
            "says": [
                f"{len(scores)} images by the channels of {place}, each its mean over the cells.",
                *how,
                f"Outliers: {rule}, in the first {kept} components; {int((score > 1).sum())} images.",
            ],
        }
        made.append(Artifact(name, "scatter", np.column_stack([plane, score, score > 1]), facts))
    return made


def features(model: Explained, data: Material, layer: str) -> np.ndarray:
    """(N, K), float64: each image's channels of `layer`, their mean over the cells."""
    rows = []
    for _, pixels in data.pixels(model):
        found = model.modules([layer])
        (values,), _ = layer_values(model, pixels, found)
        (name,) = found
        rows.append(_pooled(model, name, values).double().cpu().numpy())
    return np.concatenate(rows)


def _pooled(model: Explained, name: str, values):
    """A layer that has no cells gives its features as they are."""
    return values if values.ndim == 2 else model.grid(name, values).flatten(2).mean(dim=2)


def principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores (N, P) on the principal components, and the share of the variance of each.

    Raises `NotApplicable` where there are not two components that vary.
    """
    from sklearn.decomposition import PCA

    alike = "the features of the images do not differ in two directions"
    if (values == values[0]).all():
        raise NotApplicable(alike)
    fitted = PCA(svd_solver="full").fit(values)
    variances = fitted.explained_variance_
    varied = variances > 1e-10 * variances[0]
    if varied.sum() < 2:
        raise NotApplicable(alike)
    return fitted.transform(values)[:, varied], fitted.explained_variance_ratio_[varied]


def robust_distance(scores: np.ndarray, level: float, seed: int) -> tuple[np.ndarray, str]:
    """Each row's squared robust Mahalanobis distance over its limit, and the rule in words."""
    from scipy.stats import chi2
    from sklearn.covariance import MinCovDet

    scores = scores / scores.std(axis=0)  # distances stay; scikit-learn takes small numbers for zeros
    fitted = MinCovDet(random_state=seed).fit(scores)
    limit = chi2.ppf(level, scores.shape[1])
    rule = f"squared robust Mahalanobis distance above the {100 * level:g} % quantile of chi-squared"
    return fitted.mahalanobis(scores) / limit, rule


def outlier_factor(scores: np.ndarray, neighbours: int, factor: float) -> tuple[np.ndarray, str]:
    """Each row's local outlier factor over its limit, and the rule in words."""
    from sklearn.neighbors import LocalOutlierFactor

    count = min(neighbours, len(scores) - 1)
    found = -LocalOutlierFactor(n_neighbors=count).fit(scores).negative_outlier_factor_
    return found / factor, f"local outlier factor of {count} neighbours above {factor:g}"


def _two(scores: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, list[str], list[str]]:
    """The plane of the first two components, its axes with their shares of the variance."""
    axes = [f"component {number} ({100 * share:.0f} %)" for number, share in enumerate(shares[:2], start=1)]
    return scores[:, :2], axes, []


def _tsne(scores: np.ndarray, perplexity: float, seed: int) -> tuple[np.ndarray, list[str], list[str]]:
    """The plane, its axes, and how it was made: other versions of scikit-learn give other planes."""
    import sklearn
    from sklearn.manifold import TSNE

    used = min(perplexity, (len(scores) - 1) / 3)
    plane = TSNE(perplexity=used, init="pca", random_state=seed).fit_transform(scores)
    how = f"t-SNE of perplexity {used:.3g} (scikit-learn {sklearn.__version__}): its distances mean nothing."
    return plane, ["t-SNE 1", "t-SNE 2"], [how]


def _labelled(data: Material, labels: Sequence[str], image: str) -> str:
    """An image's positive labels; several are `several`, none is "none"."""
    if data.truth is None:
        return "unknown"
    positive = [name for name, value in zip(labels, data.truth(image)) if value == 1]
    return positive[0] if len(positive) == 1 else "several" if positive else "none"
