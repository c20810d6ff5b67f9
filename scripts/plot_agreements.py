"""How much of the maps is left when network or image are altered."""

from pathlib import Path

from sightline import tables
from sightline.figures import agreement, style, words
from sightline.report import captions, page
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        found = tables.read_all("agreement_summary", snakemake.input.agreements)
        params, pictures = snakemake.params, []
        for dataset, path in zip(params.datasets, map(Path, snakemake.output.figures)):
            style.save(agreement.draw(found, dataset, params.conditions, params.methods), path)
            told = agreement.caption(found, dataset, params.conditions)
            pictures.append(page.Picture(path, told, title=words.plain(dataset)))
        captions.write({"agreement": pictures}, snakemake.output.captions)
