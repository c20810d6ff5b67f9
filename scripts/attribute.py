"""Explain one dataset by one model, seed, condition and method."""

from sightline import jobs, tables
from sightline.attribution import store
from sightline.explaining import Cell, Files, Setting
from sightline.models import device


def explain(cell: Cell, axes: dict, outputs) -> None:
    """Write the maps with their values, and what the model says of the explained images."""
    explanations = cell.explanations(jobs.progress(cell.plan, len(cell.plan), "batches"))
    said = store.write(explanations, axes, cell.setting.labels, outputs.maps, outputs.values)
    predictions = said.merge(cell.labels, on=["dataset", "image", "label"], how="left")
    tables.write("predictions", predictions, outputs.predictions)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = {name: snakemake.wildcards[name] for name in ("dataset", "model", "condition", "method")}
        axes |= {"seed": int(snakemake.wildcards.seed)}
        cell = Cell(
            Files.among(snakemake.input),
            Setting.among(snakemake.params),
            axes["model"],
            axes["seed"],
            device.named(snakemake.resources.device),
        )
        explain(cell, axes, snakemake.output)
