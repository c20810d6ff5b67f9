"""How many images every filter kept."""

from pathlib import Path

from sightline import tables
from sightline.figures import cohort, style
from sightline.report import captions, page
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        counts = tables.read_all("cohort", snakemake.input.cohort)
        style.save(cohort.draw(counts), snakemake.output.figures[0])
        picture = page.Picture(Path(snakemake.output.figures[0]), cohort.caption(counts))
        captions.write({"cohort": [picture]}, snakemake.output.captions)
