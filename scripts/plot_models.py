"""How training went, and what the models can tell."""

from pathlib import Path

from sightline import jobs, published, tables
from sightline.figures import classification, curves, style
from sightline.report import captions, page

if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        files = [Path(file) for file in snakemake.output.figures]
        learned = tables.read_all("curves", snakemake.input.curves)
        trained = tables.read_all("trainings", snakemake.input.trainings)
        kept = curves.kept(trained)
        style.save(curves.draw(learned, kept), files[0])
        said = curves.caption(learned, kept, trained)
        aucs = tables.read("classification", snakemake.input.classification)
        study = snakemake.params.published
        known = published.classification(study) if study else None
        style.save(classification.draw(aucs, known), files[1])
        pictures = {
            "curves": [page.Picture(files[0], said)] if len(learned) else [],
            "classification": [page.Picture(files[1], classification.caption(aucs, known))],
        }
        captions.write(pictures, snakemake.output.captions)
