"""Score what needs no model: another reader, the lungs' hull, the center bias, noise."""

from sightline import tables
from sightline.running import jobs
from sightline.scores import baselines, references


def score(inputs, params):
    """Table 'scores' of the baselines on every evaluated image that could be decoded, as maps are."""
    images = tables.read("images", inputs.images)
    decoded = tables.read("prepared", inputs.prepared, columns=["image"])["image"]
    images = images[images["image"].isin(decoded)]
    files = references.Files.among(inputs)
    material = baselines.Material(
        images[(images["split"] == "test") & images["evaluated"]],
        params.study_seed,
        params.scale,
        gaze=references.gaze(files, "gaze", params.leave_out),
        lungs=references.region(files, "lungs").mask,
    )
    chosen = references.opened(files, params.references, params.leave_out)
    return baselines.score_baselines(material, params.baselines, chosen, params.metrics, jobs.progress)


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        tables.write("scores", score(snakemake.input, snakemake.params), snakemake.output[0])
