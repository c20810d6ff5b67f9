"""Explain one dataset by one model, seed, condition and method."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

from sightline import collected, shards, tables
from sightline.attribution import store
from sightline.attribution.maps import Explanation
from sightline.explanation.explaining import Cell, Files, Setting
from sightline.models import device
from sightline.running import jobs
from sightline.running.limited import Ended, Limits
from sightline.shards import WHOLE, Shard


def explain(cell: Cell, axes: dict, outputs, shard: Shard = WHOLE) -> None:
    """Write the maps of a cell, or of a `shard` of it, with values, and what the model says of the images."""
    batches = shard.of(cell.plan)
    without = []  # images of which there is no map

    def counted(explanations: Iterable[Explanation]) -> Iterator[Explanation]:
        for explanation in explanations:
            without.extend(explanation.batch.images if explanation.status != "ok" else [])
            yield explanation

    watched = jobs.progress(batches, len(batches), "batches", lambda: len(without))
    said = store.write(
        counted(cell.explanations(watched)), axes, cell.setting.labels, outputs.maps, outputs.values
    )
    predictions = said.merge(cell.labels, on=["dataset", "image", "label"], how="left")
    tables.write("predictions", predictions, outputs.predictions)


def join(parts: dict, outputs) -> None:
    """Join what `explain` wrote for all shards of a cell (`shards.parts`): the bytes of one job."""
    store.concatenate(list(zip(parts["maps.parquet"], parts["values.npy"])), outputs.maps, outputs.values)
    collected.join("predictions", parts["predictions.parquet"], outputs.predictions)


def explain_within(
    limits: Limits, recorded: bool, opened: Callable[[], Cell], axes: dict, outputs, shard: Shard = WHOLE
) -> None:
    """`explain` the cell that `opened()` gives, in a child process where there are limits.

    Where it is ended, and that is to be `recorded`, each map is a failed one with the reason.
    """
    try:
        jobs.within(limits, lambda: explain(opened(), axes, outputs, shard), outputs)
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
        explain(cell, axes, outputs, shard)


def explain_as_asked(inputs, params, resources, wildcards, outputs) -> None:
    """`explain` the cell of a job, or the shard that its wildcards name, within the job's limits."""
    axes = {name: wildcards[name] for name in ("dataset", "model", "condition", "method")}
    axes |= {"seed": int(wildcards.seed)}
    limits = Limits(resources.limit_seconds or None, resources.limit_megabytes / 1000 or None)
    chosen = device.named(resources.device, jobs.tell)  # before a child is forked and its time is counted

    def opened() -> Cell:
        return Cell(Files.among(inputs), Setting.among(params), axes["model"], axes["seed"], chosen)

    recorded = params.recorded_limits is not None
    explain_within(limits, recorded, opened, axes, outputs, shards.named(wildcards.get("shard")))


if __name__ == "__main__":
    parts = snakemake.input.get("shards", [])
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log, joined=parts):
        if parts:
            join(shards.parts(parts), snakemake.output)
        else:
            given = (snakemake.input, snakemake.params, snakemake.resources, snakemake.wildcards)
            explain_as_asked(*given, snakemake.output)
