"""What a page says of its making: versions, and the study's choices in a few words."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from itertools import product
from typing import Any

from sightline.figures.rows import Areas
from sightline.figures.trust import CLEAN, Asked, altering, untrained

PACKAGES = (
    "snakemake",
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "opencv-python-headless",
    "matplotlib",
)


@dataclass(frozen=True)
class Plan:
    """What the configuration says and no table does: its order, and which datasets may be passed on.

    `places` are (dataset, reference), `maps` (model, method, reading); the first map is the primary one.
    `parts` are the regions that are to be found (with a center bias, or taken out of others), each with the
    regions that are the image without it.
    """

    places: Sequence[tuple[str, str]] = ()
    maps: Sequence[tuple[str, str, str]] = ()
    redistributable: Mapping[str, bool] = field(default_factory=dict)
    parts: Mapping[str, Sequence[str]] = field(default_factory=dict)


def plan(study: Mapping[str, Any]) -> Plan:
    """The plan of the configuration `study`; a method's first reading stands before all second readings."""
    methods = {name: method["readings"] for name, method in study["methods"].items()}
    most = max(map(len, methods.values()), default=0)
    read = [
        (name, readings[index])
        for index in range(most)
        for name, readings in methods.items()
        if index < len(readings)
    ]
    return Plan(
        [
            (dataset, name)
            for dataset in study["datasets"]
            for name, reference in study.get("references", {}).items()
            if reference.get("datasets") is None or dataset in reference["datasets"]
        ],
        [(model, *reading) for model in study["models"] for reading in read],
        {name: bool(one.get("redistributable")) for name, one in study["datasets"].items()},
        _parts(study.get("references", {})),
    )


def _parts(references: Mapping[str, Mapping]) -> dict[str, list[str]]:
    """The regions to be found -> the regions that they are taken out of."""
    taken = {name: one["minus"] for name, one in references.items() if one.get("minus")}
    found = [name for name, one in references.items() if one.get("center_bias") or name in taken.values()]
    return {name: [part for part, minus in taken.items() if minus == name] for name in found}


def asked(study: Mapping[str, Any], areas: Areas) -> list[Asked]:
    """Which maps the sentences on trust are about: per dataset and model the clean ones, first readings."""
    conditions = {
        name: {"kind": one["kind"], "options": {"layers": "all"} | one}
        for name, one in study.get("conditions", {}).items()
    }
    used: dict[tuple[str, str], set[str]] = {}
    for run in study.get("runs", {}).values():
        clean = CLEAN in run.get("conditions", [CLEAN])
        for place in product(run["datasets"], run["models"]) if clean else ():
            used.setdefault(place, set()).update(run["methods"])
    references = plan(study).places
    bias = study.get("statistics", {}).get("primary_center_bias", "image")
    return [
        Asked(
            dataset,
            model,
            {name: one["readings"][0] for name, one in study["methods"].items() if name in found},
            next((reference for place, reference in references if place == dataset), ""),
            untrained(conditions),
            bias,
            areas,
            altering(conditions),
        )
        for dataset, model in product(study["datasets"], study["models"])
        if (found := used.get((dataset, model)))
    ]


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that numbers depend on."""
    return {"Python": platform.python_version()} | {name: metadata.version(name) for name in PACKAGES}


def of_study(study: Mapping[str, Any]) -> dict[str, str]:
    """Datasets with credits, models with recipe and seeds, methods and intervals, as configured."""
    seeds: dict[str, set[int]] = {}
    for run in study["runs"].values():
        for model in run["models"]:
            seeds.setdefault(model, set()).update(run["seeds"])
    said = {"Study seed": str(study["seed"])}
    for name, dataset in study["datasets"].items():
        kind = "phantom, synthetic" if dataset["phantom"] is not None else "upstream files"
        added = ", ".join(dataset["annotations"])
        said[f"Dataset {name}"] = f"{dataset['adapter']['name']} ({kind})" + (
            f", with {added}" if added else ""
        )
        if dataset["credit"]:
            said[f"Credit for {name}"] = dataset["credit"]
    for name, model in study["models"].items():
        used = ", ".join(map(str, sorted(seeds.get(name, ())))) or "none"
        said[f"Model {name}"] = (
            f"{model['architecture']['name']}, trained on {model['train_on']} by recipe '{model['recipe']}', "
            f"seeds {used}"
        )
    for name, method in study["methods"].items():
        said[f"Method {name}"] = f"{method['kind']}, read as {', '.join(method['readings'])}"
    statistics = study["statistics"]
    said["Scoring"] = f"at {study['scores']['scale']} of the image's side"
    said["Intervals"] = (
        f"{statistics['interval']}, {statistics['resamples']} resamples, level {statistics['level']}"
    )
    return said
