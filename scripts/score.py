"""Score the maps of one model, seed, dataset, condition and method against every reference."""

from collections.abc import Iterator
from functools import lru_cache

from sightline import shards, tables
from sightline.frames import scoring_frame
from sightline.running import jobs
from sightline.scores import references, score_files, scoring
from sightline.scores.saliency import Saliency, part_seen
from sightline.shards import WHOLE, Shard


def score(inputs, params, shard: Shard = WHOLE) -> Iterator[tuple]:
    """Rows of scores of every explained image that has a reference, or of a `shard` of these images."""
    images = tables.read("images", inputs.images)
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    seen = part_seen(images, params.cut_to, inputs.cuts)
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels, seen)
    images = shard.of(images[images["image"].isin(maps.images) & images["evaluated"]])

    @lru_cache(maxsize=1)
    def readings_of(image: str) -> dict[str, scoring.Answer]:
        return maps.get(image, params.readings, scoring_frame(shapes[image], params.scale))

    return scoring.rows_of(
        images,
        list(params.readings),
        lambda image, reading: readings_of(image)[reading],
        references.opened(references.Files.among(inputs), params.references, params.leave_out),
        params.metrics,
        jobs.progress,
    )


if __name__ == "__main__":
    parts = snakemake.input.get("shards", [])
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log, joined=parts):
        if parts:
            score_files.join(shards.parts(parts), snakemake.output[0])
        else:
            axes = snakemake.wildcards
            maps_of = scoring.MapsOf(axes.dataset, axes.model, int(axes.seed), axes.condition, axes.method)
            rows = score(snakemake.input, snakemake.params, shards.named(axes.get("shard")))
            score_files.write(maps_of, rows, snakemake.output[0], snakemake.output.get("unsettled"))
