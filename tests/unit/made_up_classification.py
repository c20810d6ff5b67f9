"""Made-up predictions and what follows from them: films with many labels, mammograms, digits."""

from functools import cache

import numpy as np
import pandas as pd

from sightline.classification.summary import summarise
from sightline.intervals import Options
from sightline.randomness import generator
from tests.unit.made_up_study import LABELS

MODELS = ("efficientnet", "vit")


def predictions(
    dataset: str, model: str, labels: tuple[str, ...], exclusive: bool, effect: float, images: int
) -> pd.DataFrame:
    """Three seeds; two images per subject."""
    of_images, draw = generator(0, "truth", dataset), generator(0, "said", dataset, model)
    if exclusive:
        value = np.eye(len(labels))[of_images.choice(len(labels), images, p=_shares(len(labels)))]
    else:
        value = (of_images.random((images, len(labels))) < np.linspace(0.05, 0.5, len(labels))).astype(float)
        value[:, 2] = 0.0  # one that no image has
    shared = draw.normal(size=(1, images, len(labels)))
    logit = effect * (2 * value - 1) + 0.8 * shared + 0.5 * draw.normal(size=(3, *value.shape))
    seed, image, label = (each.ravel() for each in np.indices(logit.shape))
    return pd.DataFrame(
        {
            "dataset": dataset,
            "model": model,
            "condition": "clean",
            "seed": seed,
            "image": [f"{dataset}{at:04d}" for at in image],
            "label": np.array(labels, dtype=object)[label],
            "logit": logit.ravel(),
            "value": np.broadcast_to(value, logit.shape).ravel(),
        }
    )


def _shares(labels: int) -> np.ndarray:
    return np.array([0.6, 0.4]) if labels == 2 else np.full(labels, 1 / labels)


@cache
def tables(kind: str) -> dict[str, pd.DataFrame]:
    """The tables of classification of `mammograms`, `digits` or `films`."""
    sides = ("benign", "malignant")
    parts = {
        "mammograms": [
            predictions("cbis_ddsm", "efficientnet", sides, True, 0.35, 160),
            predictions("cbis_ddsm", "vit", sides, True, 0.15, 160),
            predictions("inbreast", "efficientnet", sides, True, 0.4, 60),
            predictions("inbreast", "vit", sides, True, 0.3, 60),
        ],
        "digits": [
            predictions("mnist", model, tuple(map(str, range(10))), True, effect, 300)
            for model, effect in zip(MODELS, (2.2, 1.2))
        ],
        "films": [
            predictions("cxr", model, LABELS, False, effect, 120)
            for model, effect in (("sononet", 0.8), ("ag_sononet", 0.6))
        ],
    }[kind]
    found = pd.concat(parts, ignore_index=True)
    images = sorted(set(found["image"]))
    subjects = pd.Series({image: f"s{image[:-4]}{int(image[-4:]) // 2}" for image in images})
    exclusive = () if kind == "films" else MODELS
    return summarise(found, subjects, exclusive, Options(resamples=300))
