"""Compare the maps of one dataset with each other, as one agreement of the configuration says."""

from sightline import jobs, tables
from sightline.agreement import agree, pairs
from sightline.frames import Frame, scoring_frame
from sightline.outcomes import MapsOf
from sightline.saliency import Saliency, cut_out, within


def compare(inputs, params, kind: str, cells: list[MapsOf]):
    """Table 'agreements' of the images that `cells` explained; files and params stand in their order."""
    files = dict(zip(cells, zip(inputs.maps, inputs.values, inputs.predictions)))
    labels, readings = dict(zip(cells, params.labels)), dict(zip(cells, params.readings))
    images = tables.read("images", inputs.images)
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    groups = pairs.groups(cells, params.agreement)

    def maps(cell, outputs_of) -> Saliency:
        return Saliency(*files[cell][:2], files[outputs_of][2], labels[outputs_of])

    seen = params.cut_to and cut_out(tables.read_all("boxes", inputs.cuts), params.cut_to, shapes)

    def frame(image: str) -> Frame:
        """Of an image that was cut, what was seen: beyond it two maps would agree that there is nothing."""
        whole = scoring_frame(shapes[image], params.scale)
        return within(whole, seen(image)) if seen else whole

    return agree.agree(
        kind,
        jobs.progress(groups, len(groups), "groups of maps"),
        maps,
        readings.__getitem__,
        images,
        frame,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        cells = [MapsOf(snakemake.wildcards.dataset, *axes) for axes in snakemake.params.cells]
        found = compare(snakemake.input, snakemake.params, snakemake.wildcards.agreement, cells)
        tables.write("agreements", found, snakemake.output[0])
