"""Draw one artefact of one model, seed and dataset."""

from pathlib import Path

from sightline.attribution import artifact
from sightline.figures import artifacts, style, words
from sightline.report import captions, page
from sightline.running import jobs

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes, params = snakemake.wildcards, snakemake.params
        made = artifact.read(snakemake.input.table, snakemake.input.values)
        style.save(artifacts.draw(made), snakemake.output.figures[0])
        of = f"{words.plain(axes.model)} (seed {axes.seed}) on {words.plain(axes.dataset)}"
        drawn = not isinstance(made, str) and any(one.kind != "table" for one in made)
        picture = page.Picture(
            Path(snakemake.output.figures[0]),
            artifacts.caption(params.kind, made, of[0].upper() + of[1:]),
            params.restricted and drawn,
            f"{words.plain(axes.artifact)}, {words.plain(axes.model)}",
        )
        captions.write({"artifacts": [picture]}, snakemake.output.captions)
