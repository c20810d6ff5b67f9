"""The artefacts that a configuration asks for: completed, and spread over datasets, models and seeds."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any

from sightline import options
from sightline.modules import full_name
from sightline.study import names as study_names

Study = Any  # a `sightline.study.grid.Study`, which imports this module

PACKAGE = "sightline.attribution.artifacts"
METHODS = "sightline.attribution.methods"
VAE = "sightline.models.vae"
PLACE = ("models", "seeds", "datasets", "images")  # what the configuration says of an artefact beside options


@dataclass(frozen=True, order=True)
class ArtifactCell:
    """An artefact of one trained model, made with one dataset."""

    artifact: str
    dataset: str
    model: str
    seed: int


def completed(study: Study) -> dict[str, dict]:
    """The artefacts by name: `kind`, `options`, and where they are made.

    Raises `ConfigError` for an unknown kind, option, model or dataset.
    """
    found = {}
    for name, given in study.config["artifacts"].items():
        where, kind = f"artifacts.{name}", given["kind"]
        study_names.known(kind, options.available(PACKAGE), f"{where}.kind", f"modules of {PACKAGE}")
        for model in given["models"]:
            study_names.known(model, study.models, f"{where}.models", "models")
        for dataset in given["datasets"] or ():
            study_names.known(dataset, study.datasets, f"{where}.datasets", "datasets")
        chosen = {key: value for key, value in given.items() if key not in ("kind", *PLACE)}
        place = {key: given[key] for key in PLACE}
        found[name] = place | {
            "kind": kind,
            "options": options.with_defaults(f"{PACKAGE}.{kind}", chosen, where),
        }
    return found


def cells(study: Study) -> list[ArtifactCell]:
    """Every artefact that is made, sorted; where no dataset is named, with the one that trained the model."""
    found = []
    for name, chosen in study.artifacts.items():
        for model, seed in product(chosen["models"], chosen["seeds"]):
            datasets = chosen["datasets"] or [study.models[model]["train_on"]]
            found += [ArtifactCell(name, dataset, model, seed) for dataset in datasets]
    return sorted(found)


def is_restricted(study: Study, cell: ArtifactCell) -> bool:
    """Whether its figure shows single images of a dataset that may not be passed on."""
    of_dataset = options.read(f"{PACKAGE}.{study.artifacts[cell.artifact]['kind']}")["SCOPE"] == "dataset"
    return of_dataset and not study.datasets[cell.dataset]["redistributable"]


def vae(study: Study) -> dict:
    """The options of the autoencoder, complete."""
    return options.with_defaults(VAE, study.config["vae"], "vae")


def autoencoder(study: Study, method: str) -> dict | None:
    """The options of the autoencoder that `method` compares with; None where it needs none."""
    stated = options.read(full_name(METHODS, study.methods[method]["kind"]))
    return vae(study) if "trained_aux" in stated.get("NEEDS", ()) else None
