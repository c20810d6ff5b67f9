"""What of a study stands side by side: which maps, with what else the configuration says of them."""

from __future__ import annotations

from typing import Any

from sightline import options
from sightline.study import artifacts as study_artifacts
from sightline.study import sharding
from sightline.study import strata as study_strata
from sightline.study.grid import Cell, Study

CLEAN = "clean"


def galleries(study: Study) -> list[tuple[str, str]]:
    """The (dataset, model) whose methods stand side by side: those with maps of unaltered images."""
    clean = {(cell.dataset, cell.model) for cell in study.cells if cell.condition == CLEAN}
    return [
        (dataset, model) for dataset in study.datasets for model in study.models if (dataset, model) in clean
    ]


def gallery(study: Study, dataset: str, model: str) -> list[dict]:
    """The maps that stand side by side, as `Study.shown`: a method's first reading, a model's first seed."""
    return [row for row in study.shown(dataset) if (row["model"], row["condition"]) == (model, CLEAN)]


def gallery_cells(study: Study, dataset: str, model: str) -> list[Cell]:
    """The cells of `gallery`, in its order."""
    axes = Cell.__dataclass_fields__
    return [Cell(**{axis: row[axis] for axis in axes}) for row in gallery(study, dataset, model)]


def score_figures(study: Study) -> list[str]:
    """The names of the figures of scores: kind.dataset.reference, strata.stratum.dataset.reference.

    A region that another is taken out of (`minus`) has strata of predictions alone: where models look.
    """
    places = [
        (f"{dataset}.{name}", reference)
        for dataset in study.scored_datasets
        for name, reference in sorted(study.references_of(dataset).items(), key=lambda item: item[1]["kind"])
    ]
    names = [f"intervals.{place}" for place, _ in places]
    for stratum in study.config["statistics"]["strata"]:
        of_model = stratum in study_strata.OF_MODEL
        names += [f"strata.{stratum}.{place}" for place, one in places if of_model or one["minus"] is None]
    names += [f"distributions.{place}" for place, _ in places]
    if len(study.leave_outs) > 1:
        names += [
            f"center_bias.{place}" for place, one in places if one["kind"] == "gaze" or one["center_bias"]
        ]
    return names


def pixels_shown(study: Study, dataset: str) -> bool:
    """Whether figures may hold images of `dataset`: it may be passed on, or the study says so."""
    free = study.datasets[dataset]["redistributable"]
    return free or study.config["report"]["publish_images"] != "none"


def pictured(study: Study) -> list[str]:
    """The datasets whose images stand with their maps in a figure: explained or scored, and to be shown."""
    return [name for name in study.pictured_datasets if pixels_shown(study, name)]


def described(study: Study, drawn: bool) -> list[study_artifacts.ArtifactCell]:
    """The artefacts whose figure is `drawn`, or is not: it would show single images that must not be."""
    restricted = study.config["report"]["publish_images"] == "none"
    return [
        cell
        for cell in study_artifacts.cells(study)
        if drawn != (restricted and study_artifacts.is_restricted(study, cell))
    ]


def left_out(study: Study) -> int:
    """How many figures are not drawn, for they would show images that must not be."""
    hidden = len(study.pictured_datasets) - len(pictured(study))
    return hidden + len(described(study, drawn=False))


def published_config(study: Study, local: bool = True) -> dict[str, Any]:
    """The configuration as the page shows it: of a dataset that may not be passed on, no option that names
    single images or patients (`identifies` in its module's OPTIONS), unless the page must stay on this disk.
    """
    kept = local and study.config["report"]["publish_images"] == "local"
    datasets = {
        name: one if kept or one["redistributable"] else _nameless(one)
        for name, one in study.config["datasets"].items()
    }
    return study.config | {"datasets": datasets, "limits": sharding.limits_that_tell(study)}


def _nameless(dataset: dict[str, Any]) -> dict[str, Any]:
    """A dataset's part of the configuration without the options that name images or patients."""
    shown = dict(dataset) | {"adapter": _without(dataset["adapter"], "datasets", dataset["adapter"]["name"])}
    shown["annotations"] = {
        name: _without(given, "datasets", name) for name, given in dataset["annotations"].items()
    }
    if dataset["download"] is not None:
        shown["download"] = _without(dataset["download"], "download", dataset["download"]["from"])
    return shown


def _without(given: dict[str, Any], room: str, module: str) -> dict[str, Any]:
    stated = options.read(f"sightline.{room}.{module}").get("OPTIONS", {})
    naming = {name for name, one in stated.items() if one.get("identifies")}
    return {key: "(left out)" if key in naming and value else value for key, value in given.items()}


def altered(study: Study) -> list[str]:
    """The datasets in which maps under another condition are compared with those of unaltered images."""
    kinds = {name for name, one in study.agreements.items() if one["between"] == "condition"}
    named = {name for name in kinds if study.agreements[name]["with"] in (None, CLEAN)}
    jobs = [dataset for dataset, name in study.agreement_jobs if name in named]
    return [dataset for dataset in study.datasets if dataset in jobs]
