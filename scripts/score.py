"""Score the maps of one model, seed, dataset, condition and method against every reference."""

from functools import lru_cache

from sightline import jobs, references, scoring, tables
from sightline.frames import scoring_frame
from sightline.saliency import Saliency, part_seen


def score(inputs, params, maps_of: scoring.MapsOf):
    """Table 'scores' of every explained image that has a reference."""
    images = tables.read("images", inputs.images)
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    seen = part_seen(images, params.cut_to, inputs.cuts)
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels, seen)
    images = images[images["image"].isin(maps.images) & images["evaluated"]]

    @lru_cache(maxsize=1)
    def readings_of(image: str) -> dict[str, scoring.Answer]:
        return maps.get(image, params.readings, scoring_frame(shapes[image], params.scale))

    return scoring.score(
        maps_of,
        images,
        list(params.readings),
        lambda image, reading: readings_of(image)[reading],
        references.opened(references.Files.among(inputs), params.references, params.leave_out),
        params.metrics,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = snakemake.wildcards
        maps_of = scoring.MapsOf(axes.dataset, axes.model, int(axes.seed), axes.condition, axes.method)
        scores = score(snakemake.input, snakemake.params, maps_of)
        tables.write("scores", scores, snakemake.output[0])
