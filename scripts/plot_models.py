"""How training went, and how well the models classify."""

from pathlib import Path

from sightline import published, tables
from sightline.figures import (
    calibration,
    classification,
    classification_metrics,
    confusions,
    curves,
    discrimination,
    style,
)
from sightline.report import captions, page
from sightline.running import jobs


def draw(inputs, known) -> dict:
    """The figures by name, each with its caption; `known` are the published values."""
    learned = tables.read_all("curves", inputs.curves)
    trained = tables.read_all("trainings", inputs.trainings)
    kept = curves.kept(trained)
    found = tables.read("classification", inputs.classification)
    shares = tables.read("confusion_shares", inputs.confusion_shares)
    areas = tables.read("discrimination", inputs.discrimination)
    bins = tables.read("calibration", inputs.calibration)
    figures = {
        "classification": (classification, (found, known)),
        "metrics": (classification_metrics, (found, known)),
        "confusions": (confusions, (shares,)),
        "discrimination": (discrimination, (areas, found)),
        "calibration": (calibration, (bins, found)),
    }
    drawn = {name: (module.draw(*given), module.caption(*given)) for name, (module, given) in figures.items()}
    return {"curves": (curves.draw(learned, kept), curves.caption(learned, kept, trained))} | drawn


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        study = snakemake.params.published
        drawn = draw(snakemake.input, published.classification(study) if study else None)
        files = {Path(file).stem: Path(file) for file in snakemake.output.figures}
        pictures = {name: page.Picture(files[name], said) for name, (_, said) in drawn.items()}
        for name, (figure, _) in drawn.items():
            style.save(figure, files[name])
        first = pictures.pop("curves")
        learned = any(len(tables.read("curves", path)) for path in snakemake.input.curves)
        captions.write(
            {"curves": [first] if learned else [], "classification": list(pictures.values())},
            snakemake.output.captions,
        )
