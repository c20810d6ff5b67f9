"""Compare the maps of one dataset with each other, as one agreement of the configuration says."""

from sightline import tables
from sightline.agreement import agree, pairs
from sightline.attribution.condition import Condition
from sightline.frames import scoring_frame, shown
from sightline.outcomes import MapsOf
from sightline.prepared import open_places
from sightline.running import jobs
from sightline.scores.saliency import Saliency, part_seen, within


def showing(inputs, params, cells: list[MapsOf]):
    """(cell, image, frame) -> which pixels of the frame a cell's moved picture still shows; None for all."""
    moving = {name: Condition(**one) for name, one in params.moving.items()}
    sides = dict(zip(cells, params.sides))
    places = open_places(inputs.prepared[0]) if moving else None

    def shows(cell, image: str, frame):
        if cell.condition not in moving:
            return None
        return shown(moving[cell.condition].placed(places.frame(image, sides[cell], "explain")), frame)

    return shows


def compare(inputs, params, kind: str, cells: list[MapsOf]):
    """Table 'agreements' of the images that `cells` explained; files and params stand in their order."""
    files = dict(zip(cells, zip(inputs.maps, inputs.values, inputs.predictions)))
    labels, readings = dict(zip(cells, params.labels)), dict(zip(cells, params.readings))
    images = tables.read("images", inputs.images)
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    groups = pairs.groups(cells, params.agreement)

    def maps(cell, outputs_of) -> Saliency:
        return Saliency(*files[cell][:2], files[outputs_of][2], labels[outputs_of])

    seen = part_seen(images, params.cut_to, inputs.cuts)
    shows = showing(inputs, params, cells)

    def grid(image: str) -> agree.Grid:
        """Of an image that was cut, what was seen: beyond it two maps would agree that there is nothing."""
        whole = scoring_frame(shapes[image], params.scale)
        frame = within(whole, seen(image)) if seen else whole
        return agree.Grid(frame, lambda cell: shows(cell, image, frame))

    return agree.agree(
        kind,
        jobs.progress(groups, len(groups), "groups of maps"),
        maps,
        readings.__getitem__,
        images,
        grid,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        cells = [MapsOf(snakemake.wildcards.dataset, *axes) for axes in snakemake.params.cells]
        found = compare(snakemake.input, snakemake.params, snakemake.wildcards.agreement, cells)
        tables.write("agreements", found, snakemake.output[0])
