"""What altering the image does to the maps of one model: a matrix of methods and transformations."""

from pathlib import Path

from sightline import tables
from sightline.attribution.condition import Condition
from sightline.figures import stability, style, trust, words
from sightline.prepared import open_store
from sightline.report import captions, cases, gallery, page
from sightline.report import stability as altered
from sightline.running import jobs
from sightline.scores.saliency import Saliency, part_seen


def pictures(inputs, params):
    """The image and its maps, and how it was chosen; None where pixels must stay or nothing was compared."""
    image, why = altered.typical(tables.read_all("agreements", inputs.compared), params.shown)
    if not params.pixels_shown or not image:
        return None, ""
    files = zip(params.shown, inputs.maps, inputs.values, strict=True)
    said = {row["method"]: path for row, path in zip(params.shown, inputs.predictions) if is_clean(row)}
    seen = part_seen(tables.read("images", inputs.images), params.cut_to, inputs.cuts)
    shown = {  # read with what the model says of the unaltered image, as the maps are compared
        (row["condition"], row["method"]): cases.Shown(
            row["method"], Saliency(*paths, said[row["method"]], row["labels"]), row["how"], seen
        )
        for row, *paths in files
    }
    conditions = {
        name: Condition(**params.conditions[name]) for name in dict.fromkeys(key for key, _ in shown)
    }
    store = open_store(inputs.prepared, inputs.pixels)
    return altered.build(image, conditions, shown, store, params.side, params.study_seed), why


def is_clean(row) -> bool:
    """Whether a row of the shown maps is of unaltered images."""
    return row["condition"] == trust.CLEAN


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        inputs, params, axes = snakemake.input, snakemake.params, snakemake.wildcards
        readings = gallery.readings_of(params.shown)
        names = tuple(dict.fromkeys(row["condition"] for row in params.shown if not is_clean(row)))
        asked = trust.Asked(axes.dataset, axes.model, readings, altered=names)
        cells = trust.altered(asked, tables.read_all("agreement_summary", inputs.agreements))
        found, why = pictures(inputs, params)
        figure = stability.draw(cells, found, params.methods)
        style.save(figure, snakemake.output.figures[0])
        about = f"{words.plain(asked.model)} on {words.plain(asked.dataset)}"
        lost = trust.lost(asked, tables.read("map_summary", inputs.map_summary))
        told = stability.caption(cells, found, about=about, chosen=why, lost=lost)
        shown = bool(found) and params.restricted
        picture = page.Picture(Path(snakemake.output.figures[0]), told, shown, about)
        captions.write({"stability": [picture]}, snakemake.output.captions)
