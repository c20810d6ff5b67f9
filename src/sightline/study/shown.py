"""What of a study stands side by side: which maps, with what else the configuration says of them."""

from __future__ import annotations

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


def altered(study: Study) -> list[str]:
    """The datasets in which maps under another condition are compared with those of unaltered images."""
    kinds = {name for name, one in study.agreements.items() if one["between"] == "condition"}
    named = {name for name in kinds if study.agreements[name]["with"] in (None, CLEAN)}
    jobs = [dataset for dataset, name in study.agreement_jobs if name in named]
    return [dataset for dataset in study.datasets if dataset in jobs]
