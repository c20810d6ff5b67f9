"""Explain one dataset by one model, seed, condition and method."""

from collections.abc import Callable
from dataclasses import replace

from sightline import jobs, tables
from sightline.attribution import store
from sightline.explaining import Cell, Files, Setting
from sightline.limited import Ended, Limits
from sightline.models import device


def explain(cell: Cell, axes: dict, outputs) -> None:
    """Write the maps with their values, and what the model says of the explained images."""
    explanations = cell.explanations(jobs.progress(cell.plan, len(cell.plan), "batches"))
    said = store.write(explanations, axes, cell.setting.labels, outputs.maps, outputs.values)
    predictions = said.merge(cell.labels, on=["dataset", "image", "label"], how="left")
    tables.write("predictions", predictions, outputs.predictions)


def explain_within(limits: Limits, recorded: bool, opened: Callable[[], Cell], axes: dict, outputs) -> None:
    """`explain` the cell that `opened()` gives, in a child process where there are limits.

    Where it is ended, and that is to be `recorded`, each map is a failed one with the reason.
    """
    try:
        jobs.within(limits, lambda: explain(opened(), axes, outputs), outputs)
    except Ended as reason:
        if not recorded:
            key = f"methods.{axes['method']}.limits"
            raise Ended(
                f"explaining by '{axes['method']}': {reason}; raise {key} of the configuration, make the "
                "method's options cheaper, or set on_excess: record there, to go on with failed maps; a "
                "rerun tries again"
            ) from reason
        cell = opened()
        cell.method = replace(cell.method, ended=str(reason))
        explain(cell, axes, outputs)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = {name: snakemake.wildcards[name] for name in ("dataset", "model", "condition", "method")}
        axes |= {"seed": int(snakemake.wildcards.seed)}
        given = snakemake.resources
        limits = Limits(given.limit_seconds or None, given.limit_megabytes / 1000 or None)

        chosen = device.named(given.device, jobs.tell)  # before a child is forked and its time is counted

        def opened() -> Cell:
            files, setting = Files.among(snakemake.input), Setting.among(snakemake.params)
            return Cell(files, setting, axes["model"], axes["seed"], chosen)

        recorded = snakemake.params.recorded_limits is not None
        explain_within(limits, recorded, opened, axes, snakemake.output)
