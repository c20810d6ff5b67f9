"""Mask a dataset's images by the maps of a trained model, to train another one on what is left (ROAR)."""

from sightline.explanation import roar
from sightline.explanation.explaining import Cell, Files, Setting
from sightline.models import device
from sightline.running import jobs
from sightline.scores.saliency import part_seen


def mask(inputs, outputs, params, seed: int, chosen_device: str) -> None:
    """Write the masked images as a prepared store."""
    how = params.how
    setting = Setting.among(how["setting"])
    where = device.named(chosen_device, jobs.tell)
    cell = Cell(Files.among(inputs), setting, how["base"], seed, where)
    grey = roar.mean_grey(cell.pixels, setting.side)
    chosen = roar.Mask(how["fraction"], how["order"], grey, setting.study_seed)
    seen = part_seen(cell.images, params.cut_to, inputs.cuts)
    masking = roar.Masking(cell, chosen, how["reading"], seen)
    batches = jobs.progress(masking.plan, len(masking.plan), "batches")
    roar.write(masking, batches, outputs.table, outputs.pixels)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        seed = int(snakemake.wildcards.seed)
        mask(snakemake.input, snakemake.output, snakemake.params, seed, snakemake.resources.device)
