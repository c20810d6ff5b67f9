"""What of a study shows how steady maps are where the image is altered, and where that is shown."""

from __future__ import annotations

from sightline import options
from sightline.study.grid import CONDITIONS, Cell, Study
from sightline.study.shown import CLEAN


def altering(study: Study) -> list[str]:
    """The conditions under which the image, not the network, is altered."""
    return [
        name
        for name, one in study.conditions.items()
        if "alter_pixels" in options.defined(f"{CONDITIONS}.{one['kind']}")
    ]


def moving(study: Study, dataset: str, agreement: str) -> dict[str, dict]:
    """The conditions, by name, that move the image's pixels, of the maps that `agreement` compares."""
    names = {cell.condition for cell in study.compared_cells(dataset, agreement)}
    return {
        name: one
        for name, one in study.conditions.items()
        if name in names and "warp" in options.defined(f"{CONDITIONS}.{one['kind']}")
    }


def agreements(study: Study, dataset: str) -> list[str]:
    """The agreements that compare maps of altered images of `dataset` with those of unaltered ones."""
    return [
        name
        for of, name in study.agreement_jobs
        if of == dataset
        and study.agreements[name]["between"] == "condition"
        and study.agreements[name]["with"] in (None, CLEAN)
    ]


def shown(study: Study, dataset: str, model: str) -> list[dict]:
    """The maps of the matrix of `model` on `dataset`, as `Study.shown`: clean ones and those they compare to.

    Of methods that explain unaltered and altered images, in a model's first seed.
    """
    names = [CLEAN, *altering(study)]
    compared = {cell for name in agreements(study, dataset) for cell in study.compared_cells(dataset, name)}
    rows = [
        row
        for row in study.shown(dataset)
        if row["model"] == model and row["condition"] in names and _cell(row) in compared
    ]
    clean, altered = (
        {row["method"] for row in rows if (row["condition"] == CLEAN) == unaltered}
        for unaltered in (True, False)
    )
    return [row for row in rows if row["method"] in clean & altered]


def shown_cells(study: Study, dataset: str, model: str) -> list[Cell]:
    """The cells of `shown`, in its order."""
    return [_cell(row) for row in shown(study, dataset, model)]


def matrices(study: Study) -> list[tuple[str, str]]:
    """The (dataset, model) that have a matrix: some method's maps of altered images are compared."""
    return [
        (dataset, model)
        for dataset in study.datasets
        if agreements(study, dataset)
        for model in study.models
        if shown(study, dataset, model)
    ]


def overlaid(study: Study, dataset: str) -> list[dict]:
    """The rows of `Study.shown` that stand beside the images: all but those that a matrix shows."""
    altered = altering(study)
    rows = {(row["model"], row["condition"], row["method"]) for model in study.models
            for row in shown(study, dataset, model) if row["condition"] in altered}  # fmt: skip
    keys = ("model", "condition", "method")
    return [row for row in study.shown(dataset) if tuple(row[key] for key in keys) not in rows]


def overlaid_cells(study: Study, dataset: str) -> list[Cell]:
    """The cells of `overlaid`, in its order."""
    return [_cell(row) for row in overlaid(study, dataset)]


def _cell(row: dict) -> Cell:
    return Cell(**{axis: row[axis] for axis in Cell.__dataclass_fields__})
