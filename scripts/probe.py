"""Probe the maps of one model, seed, dataset, condition and method: does the output follow them?"""

from sightline import collected, shards, tables
from sightline.explanation import probing
from sightline.explanation.explaining import Cell, Files, Setting
from sightline.models import device
from sightline.outcomes import MapsOf
from sightline.running import jobs
from sightline.scores.saliency import Saliency
from sightline.shards import WHOLE, Shard


def probe(inputs, params, maps_of: MapsOf, chosen_device: str, shard: Shard = WHOLE):
    """Table 'scores' of the probes on as many images as the configuration says, or on a `shard` of them."""
    files, setting = Files.among(inputs), Setting.among(params)
    chosen = device.named(chosen_device, jobs.tell)
    cell = Cell(files, setting, maps_of.model, maps_of.seed, chosen)
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels)
    batches = shard.of(probing.drawn(cell, params.probed))
    return probing.probe(cell, maps_of, maps, params.probes, jobs.progress(batches, len(batches), "batches"))


if __name__ == "__main__":
    parts = snakemake.input.get("shards", [])
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log, joined=parts):
        if parts:
            collected.join("scores", parts, snakemake.output[0])
        else:
            axes, given = snakemake.wildcards, (snakemake.input, snakemake.params)
            maps_of = MapsOf(axes.dataset, axes.model, int(axes.seed), axes.condition, axes.method)
            part = shards.named(axes.get("shard"))
            found = probe(*given, maps_of, snakemake.resources.device, part)
            tables.write("scores", found, snakemake.output[0])
