"""Make what describes a model or a dataset as a whole: one artefact of one model, seed and dataset."""

from sightline.attribution import artifact
from sightline.explanation import describing
from sightline.explanation.explaining import Cell, Files, Setting
from sightline.models import device
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        inputs, axes = snakemake.input, snakemake.wildcards
        setting = Setting.among(snakemake.params)
        chosen = device.named(snakemake.resources.device, jobs.tell)
        cell = Cell(Files.among(inputs), setting, axes.model, int(axes.seed), chosen)
        data = describing.material(
            cell,
            inputs.regions,
            inputs.region_values,
            snakemake.params.scale,
            lambda items, what: jobs.progress(items, None, what),
        )
        made = artifact.make(setting.method, cell.model, data, setting.options)
        identity = {"dataset": axes.dataset, "model": axes.model, "seed": int(axes.seed)}
        artifact.write(
            made, identity | {"artifact": axes.artifact}, snakemake.output.table, snakemake.output.values
        )
