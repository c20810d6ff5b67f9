"""Whether every name that a configuration uses is one that it, or a folder of modules, defines."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sightline import options
from sightline.errors import ConfigError
from sightline.study import downloads as study_downloads
from sightline.study import references as study_references
from sightline.study import strata as study_strata
from sightline.study import training as study_training

Study = Any  # a `sightline.study.grid.Study`, which imports this module

# what a user's own method and network must define
METHOD = ("OPTIONS", "PER_TARGET", "GRID", "NEEDS", "IDENTITY", "FAMILY", "SOURCE")
METHOD += ("check", "cost", "explain")
NETWORK = ("build",)
CLASS_MIXES = ("thresholded", "weighted", "uniform", "predicted", "labelled", "none")


def known(name: str, allowed: Collection[str], where: str, what: str) -> None:
    """Raise `ConfigError` where `name`, used at `where`, is none of `allowed` (`what` they are)."""
    if name not in allowed:
        raise ConfigError(f"config: {where}: {options.unknown(name, sorted(allowed), what)}")


def own_methods(folder: str | None, ours: Collection[str]) -> dict[str, str]:
    """The methods of a user's `folder` (None: none): name -> path of its file.

    Raises `ConfigError` where there is no such folder, and for a name that is one of `ours` too.
    """
    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise ConfigError(f"config: method_folder: {folder}: no such folder; it starts at {Path.cwd()}")
    found = {path.stem: str(path) for path in sorted(Path(folder).glob("[!_]*.py"))}
    for name in sorted(set(found) & set(ours)):
        raise ConfigError(
            f"config: method_folder: {found[name]}: '{name}' is a method of Sightline's own; rename the file"
        )
    return found


def complete(path: str, needed: Collection[str], where: str) -> None:
    """Raise `ConfigError` where a user's file, used at `where`, does not define all that is `needed`."""
    missing = [name for name in needed if name not in options.defined(path)]
    if missing:
        raise ConfigError(
            f"config: {where}: {path} does not define {', '.join(missing)}; "
            "docs/extending.md says what it must"
        )


def metrics() -> list[str]:
    """The metrics that the modules of `sightline.metrics` state."""
    folder = Path(__file__).parents[1] / "metrics"
    stated = [
        options.read(f"sightline.metrics.{path.stem}").get("METRICS", {}) for path in folder.glob("*.py")
    ]
    return sorted(name for group in stated for name in group)


def check(study: Study) -> None:
    """Raise `ConfigError` for the first name in `study` that nothing defines, and for too many jobs."""
    for dataset in study.datasets:
        study_downloads.of(study, dataset)
    _check_runs(study)
    _check_training(study)
    _check_readings(study)
    study_training.check(study)
    _check_references(study)
    _check_statistics(study)
    study_strata.check(study)
    _check_agreements(study)
    limit = study.config["limits"]["max_jobs"]
    if study.jobs > limit:
        raise ConfigError(
            f"config: the study has about {study.jobs} jobs, limits.max_jobs allows {limit}; "
            "drop axes from its runs, cut them into fewer limits.shards, or raise the limit"
        )


def _check_runs(study: Study) -> None:
    for run, given in study.runs.items():
        for key in ("models", "datasets", "conditions", "methods", "probes"):
            for name in given[key]:
                known(name, getattr(study, key), f"runs.{run}.{key}", key)
        if given["targets"] is not None:
            known(given["targets"], study.targets, f"runs.{run}.targets", "targets")
    for name, target in study.targets.items():
        kinds = options.read("sightline.attribution.targets")["KINDS"]
        known(target["kind"], kinds, f"targets.{name}.kind", "kinds of target")


def _check_training(study: Study) -> None:
    conditions = study.config["training_conditions"]
    for name, condition in conditions.items():
        where = f"training_conditions.{name}"
        known(condition["model"], study.models, f"{where}.model", "models")
        for key in ("method", "reading"):
            if condition["order"] != "random":
                known(condition[key], getattr(study, f"{key}s"), f"{where}.{key}", f"{key}s")
        if study.models[condition["model"]]["training_condition"] is not None:
            raise ConfigError(
                f"config: {where}.model: '{condition['model']}' is itself trained on masked images"
            )
    for name, model in study.models.items():
        if (condition := model["training_condition"]) is None:
            continue
        known(condition, conditions, f"models.{name}.training_condition", "training_conditions")
        base = conditions[condition]["model"]
        for what, of in (
            ("train_on", study.models),
            ("side", {one: study.recipe_of(one) for one in (name, base)}),
        ):
            if of[name][what] != of[base][what]:
                raise ConfigError(
                    f"config: models.{name}: {what} is {of[name][what]}, but its images are masked by maps "
                    f"of '{base}', whose {what} is {of[base][what]}; they must be the same"
                )


def _check_readings(study: Study) -> None:
    for name, method in study.methods.items():
        for reading in method["readings"]:
            known(reading, study.readings, f"methods.{name}.readings", "readings")
    labels = {label for labels in study.config["label_sets"].values() for label in labels}
    for name, reading in study.readings.items():
        known(
            reading["classes"], {*CLASS_MIXES, *labels}, f"readings.{name}.classes", "class mixes and labels"
        )


def _check_references(study: Study) -> None:
    study_references.check(study)
    for name, reference in study.references.items():
        for dataset in reference["datasets"] or ():
            known(dataset, study.datasets, f"references.{name}.datasets", "datasets")
    for metric in study.config["scores"]["metrics"]:
        known(metric, metrics(), "scores.metrics", "metrics")


def _check_agreements(study: Study) -> None:
    for name, agreement in study.agreements.items():
        axis, fixed = agreement["between"], agreement["with"]
        values = {f"only.{key}": (key, given) for key, given in agreement["only"].items()}
        values |= {} if fixed is None else {"with": (axis, [fixed])}
        for key, (of, given) in values.items():
            for value in given:
                known(
                    value,
                    {getattr(cell, of) for cell in study.cells},
                    f"agreements.{name}.{key}",
                    f"{of}s that run",
                )
        if not any(study.compared_cells(dataset, name) for dataset in study.datasets):
            raise ConfigError(
                f"config: agreements.{name}: no run has two maps that differ in their {axis} alone"
            )


def _check_statistics(study: Study) -> None:
    methods = {*study.methods, *study.baselines, *(f"center_bias_{out}" for out in study.leave_outs)}
    for family, pairs in study.config["statistics"]["comparisons"].items():
        for side in (side for pair in pairs for side in pair):
            method = re.match(r"[^/@+]*", side)[0]
            known(method, methods, f"statistics.comparisons.{family}, '{side}'", "methods and baselines")
    primary = study.config["statistics"]["primary_center_bias"]
    if study_references.has_center_bias(study):
        known(primary, study.leave_outs, "statistics.primary_center_bias", "ways in center_bias.leave_out")
