"""Score the maps of one model, seed, dataset, condition and method against every reference."""

from sightline import jobs, references, scoring, tables
from sightline.saliency import Saliency


def score(inputs, params, maps_of: scoring.MapsOf):
    """Table 'scores' of every explained image that has a reference."""
    maps = Saliency(inputs.maps, inputs.values, inputs.predictions, params.labels)
    images = tables.read("images", inputs.images)
    images = images[images["image"].isin(maps.images) & images["evaluated"]]
    shapes = {row.image: (row.height, row.width) for row in images.itertuples()}
    files = references.Files(*(inputs[name] for name in references.Files.__dataclass_fields__))
    return scoring.score(
        maps_of,
        images,
        list(params.readings),
        lambda image, reading: maps.get(image, params.readings[reading], shapes[image], params.scale),
        references.opened(files, params.references, params.leave_out),
        params.metrics,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = snakemake.wildcards
        maps_of = scoring.MapsOf(axes.dataset, axes.model, int(axes.seed), axes.condition, axes.method)
        scores = score(snakemake.input, snakemake.params, maps_of)
        tables.write("scores", scores, snakemake.output[0])
