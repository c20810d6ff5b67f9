"""Score the maps of one model, seed, dataset, condition and method against every reference."""

from functools import lru_cache

import numpy as np

from sightline import jobs, references, scoring, tables
from sightline.frames import scoring_frame
from sightline.prepared import Store
from sightline.saliency import Saliency


def seen(inputs, params):
    """image -> where its picture lay that the model took; None where pictures are whole."""
    if params.cut_at is None:
        return None
    store = Store(tables.read_all("prepared", inputs.prepared), np.empty(0))
    return lambda image: store.frame(image, params.cut_at, "explain")


def score(inputs, params, maps_of: scoring.MapsOf):
    """Table 'scores' of every explained image that has a reference."""
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels, seen(inputs, params))
    images = tables.read("images", inputs.images)
    images = images[images["image"].isin(maps.images) & images["evaluated"]]
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}

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
