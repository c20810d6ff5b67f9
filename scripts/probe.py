"""Probe the maps of one model, seed, dataset, condition and method: does the output follow them?"""

from sightline import jobs, probing, tables
from sightline.explaining import Cell, Files, Setting
from sightline.models import device
from sightline.outcomes import MapsOf
from sightline.saliency import Saliency


def probe(inputs, params, maps_of: MapsOf, chosen_device: str):
    """Table 'scores' of the probes on at most so many images as the configuration says."""
    files, setting = Files.among(inputs), Setting.among(params)
    chosen = device.named(chosen_device, jobs.tell)
    cell = Cell(files, setting, maps_of.model, maps_of.seed, chosen)
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels)
    batches = probing.drawn(cell, params.probed)
    return probing.probe(cell, maps_of, maps, params.probes, jobs.progress(batches, len(batches), "batches"))


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = snakemake.wildcards
        maps_of = MapsOf(axes.dataset, axes.model, int(axes.seed), axes.condition, axes.method)
        found = probe(snakemake.input, snakemake.params, maps_of, snakemake.resources.device)
        tables.write("scores", found, snakemake.output[0])
