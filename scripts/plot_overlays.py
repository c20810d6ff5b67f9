"""Images with their maps, from the best to the worst score."""

from pathlib import Path

from sightline import tables
from sightline.figures import overlays, style, words
from sightline.prepared import open_store
from sightline.report import captions, cases, gallery, page
from sightline.running import jobs
from sightline.scores import references
from sightline.scores.saliency import Saliency, part_seen


def shown_maps(inputs, shown: list[dict], seen) -> list[cases.Shown]:
    """The maps that stand beside the images, in order; `seen` as of `part_seen`."""
    files = zip(shown, inputs.maps, inputs.values, inputs.predictions)
    return [
        cases.Shown(cases.title(row, shown), Saliency(*paths, row["labels"]), row["how"], seen)
        for row, *paths in files
    ]


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        inputs, params = snakemake.input, snakemake.params
        files = references.Files.among(inputs)
        gaze = next((name for name, one in params.references.items() if one["kind"] == "gaze"), None)
        beside = cases.Beside(
            tables.read("images", inputs.images),
            tables.read_all("boxes", inputs.boxes),
            open_store(inputs.prepared, inputs.pixels),
            params.side,
            params.scale,
            references.gaze(files, gaze, params.leave_out) if gaze else None,
            references.region(files, "lungs") if params.hull else None,
        )
        seen = part_seen(beside.images, params.cut_to, inputs.cuts)
        shown = shown_maps(inputs, params.shown, seen)
        scores = tables.read_all("scores", [*inputs.scores, *inputs.baselines])
        usable = scores[scores["center_bias"].isin(["", *params.leave_out])]
        by = cases.ranking(usable, params.shown, shown, list(params.references), beside.explained)
        boxes = [one for one in params.references.values() if one.get("source") == "box"]
        centred = {name: one for name, one in params.references.items() if one.get("center_bias")}
        reference = next(iter(references.opened(files, centred, [])), None)
        chosen = gallery.build(by, params.cases, beside, shown, reference, boxes)
        style.save(overlays.draw(chosen), snakemake.output.figures[0])
        how = f"{by.why} {cases.said(params.shown)} {cases.cut_said(params.cut_to)}"
        picture = page.Picture(
            Path(snakemake.output.figures[0]),
            overlays.caption(chosen, how.strip(), gallery.region_said(reference)),
            params.restricted,
            words.plain(beside.images["dataset"].iloc[0]) if len(beside.images) else "",
        )
        captions.write({"overlays": [picture]}, snakemake.output.captions)
