"""The strata that a study makes itself: of what models said, and of how large a region is."""

from __future__ import annotations

from typing import Any

from sightline.errors import ConfigError
from sightline.study import training as study_training

Study = Any  # a `sightline.study.grid.Study`

OF_MODEL = ("prediction", "outcome")  # levels that depend on model and seed
SIZE = "_size"  # ends the stratum of a region's size
CLEAN = "clean"


def of_model(study: Study) -> list[str]:
    """The strata in `statistics.strata` that depend on model and seed."""
    return [name for name in study.config["statistics"]["strata"] if name in OF_MODEL]


def sized(study: Study) -> list[str]:
    """The regions whose size is a stratum in `statistics.strata`."""
    named = study.config["statistics"]["strata"]
    regions = [name for name, one in study.references.items() if one["kind"] == "region"]
    return [name for name in regions if f"{name}{SIZE}" in named]


def made(study: Study) -> bool:
    """Whether the study makes any stratum itself."""
    return bool(of_model(study) or sized(study))


def judged(study: Study) -> dict[str, list[str]]:
    """The models with one label, or with labels that exclude each other: a prediction is right or wrong."""
    found = {model: study.labels_of(model) for model in study.models}
    return {
        model: labels
        for model, labels in found.items()
        if len(labels) == 1 or study_training.exclusive(study, model)
    }


def predicted_cells(study: Study) -> list[Any]:
    """The cells whose predictions the strata are made from: of unaltered images, one per choice of images."""
    if not of_model(study):
        return []
    models, found = judged(study), {}
    for cell in study.scored_cells:
        if cell.condition == CLEAN and cell.model in models:
            chosen = tuple(study.choice(cell, key) for key in ("images", "at_most"))
            found.setdefault((cell.dataset, cell.model, cell.seed, chosen), cell)
    return list(found.values())


def check(study: Study) -> None:
    """Raise `ConfigError` where a stratum or a positive label is named that no model can have."""
    statistics = study.config["statistics"]
    if not (of_model(study) or statistics["positive"]):
        return
    models = judged(study)
    if of_model(study) and not models:
        raise ConfigError(
            f"config: statistics.strata: '{of_model(study)[0]}' needs a model with one label, or with labels "
            "that exclude each other (recipe loss: categorical)"
        )
    known = {label for labels in models.values() for label in labels}
    wrong = [label for label in statistics["positive"] if label not in known]
    if wrong:
        raise ConfigError(
            f"config: statistics.positive: '{wrong[0]}' is no label of a model with one label or with labels "
            f"that exclude each other; there: {', '.join(sorted(known)) or 'none'}"
        )
    if "outcome" in statistics["strata"] and not statistics["positive"]:
        raise ConfigError("config: statistics.strata: 'outcome' needs statistics.positive, the label to find")
