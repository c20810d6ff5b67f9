"""The methods of one model side by side: their maps of the same images, and what these can be trusted for."""

from dataclasses import replace
from pathlib import Path

from sightline import regions, tables
from sightline.figures import methods, style, trust, words
from sightline.prepared import open_store
from sightline.report import captions, cases, gallery, page
from sightline.running import jobs
from sightline.scores import references
from sightline.scores.saliency import Saliency, part_seen


def asked_of(inputs, params, wildcards) -> trust.Asked:
    """Which maps the columns are about."""
    return trust.Asked(
        wildcards.dataset,
        wildcards.model,
        gallery.readings_of(params.shown),
        next(iter(params.references), ""),
        trust.untrained(params.conditions),
        params.center_bias,
        regions.mean_areas(tables.read("regions", inputs.regions)),
    )


def pictures(inputs, params):
    """The cases, how they were chosen, and what the line on them is; none where pixels must stay."""
    if not params.pixels_shown:
        return [], "", ""
    files = references.Files.among(inputs)
    beside = cases.Beside(
        tables.read("images", inputs.images),
        tables.read_all("boxes", inputs.boxes),
        open_store(inputs.prepared, inputs.pixels),
        params.side,
        params.scale,
    )
    files_of = zip(params.shown, inputs.maps, inputs.values, inputs.predictions)
    seen = part_seen(beside.images, params.cut_to, inputs.cuts)
    shown = [
        cases.Shown(row["method"], Saliency(*paths, row["labels"]), row["how"], seen)
        for row, *paths in files_of
    ]
    scores = tables.read_all("scores", inputs.scores)
    usable = scores[scores["center_bias"].isin(["", params.center_bias])]
    named = [replace(one, title=words.method(one.title)) for one in shown]
    by = cases.ranking(usable, params.shown, named, list(params.references), beside.explained)
    first = dict(list(params.references.items())[:1])
    reference = next(iter(references.opened(files, first, [])), None)
    boxes = [one for one in params.references.values() if one.get("source") == "box"]
    found = gallery.build(by, params.cases, beside, shown, reference, boxes)
    return found, f"{by.why} {cases.cut_said(params.cut_to)}".strip(), gallery.region_said(reference)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        inputs, params = snakemake.input, snakemake.params
        asked = asked_of(inputs, params, snakemake.wildcards)
        summary, maps = tables.read("summary", inputs.summary), tables.read("map_summary", inputs.map_summary)
        agreements = tables.read_all("agreement_summary", inputs.agreements)
        columns = trust.columns(asked, summary, agreements, maps)
        rows = gallery.rows(params.shown, trust.lost(asked, maps))
        found, why, line = pictures(inputs, params)
        style.save(methods.draw(rows, columns, found, params.methods), snakemake.output.figures[0])
        about = f"{words.plain(asked.model)} on {words.plain(asked.dataset)}"
        caption = methods.caption(
            rows, columns, found, about=about, sizes=gallery.sizes(asked, maps), chosen=why, region=line
        )
        picture = page.Picture(
            Path(snakemake.output.figures[0]), caption, bool(found) and params.restricted, about
        )
        captions.write({"trust": [picture]}, snakemake.output.captions)
