"""Train one model with one seed, and ask it for the labels of its dataset's test films."""

import pandas as pd

from sightline import tables
from sightline.models import device, network, training, weights
from sightline.models.examples import collect
from sightline.models.prediction import predict
from sightline.models.recipe import Recipe
from sightline.prepared import open_store
from sightline.randomness import derived_seed
from sightline.running import jobs, seals


def train(inputs, outputs, params, axes: dict, chosen_device: str) -> None:
    """Train (or load the given weights), then write weights, curves, what was done, and test predictions."""
    where = device.named(chosen_device, jobs.tell)
    images = tables.read("images", inputs.images[0])
    labels = tables.read("labels", inputs.labels[0])
    store = open_store(inputs.prepared[0], inputs.pixels[0])
    recipe = Recipe.of(params.recipe)
    seed = derived_seed(params.study_seed, "train", axes["model"], axes["seed"])

    def of_split(split: str, geometry: str):
        return collect(
            store, recipe.side, geometry, images[images["split"] == split]["image"], labels, params.labels
        )

    net = network.build(params.architecture, len(params.labels), seed, **params.arguments)
    network.check(net, len(params.labels), recipe.side)
    identity = seals.identity(params, [inputs.images[0], inputs.labels[0], inputs.prepared[0]])
    if params.weights is None:
        initial = network.start(params.architecture, net, print, **params.arguments)
        done = training.fit(
            net,
            of_split("train", "train"),
            of_split("validate", "explain"),
            recipe,
            seed,
            checkpoint=f"{outputs.weights}.checkpoint",
            # pretrained weights may be had on one day and not on another
            identity=f"{identity}, {initial}",
            device=where,
            progress=jobs.say,
        )
        net.load_state_dict(done.best_state)
        curves = done.curves
    else:
        given = params.weights.format(**axes)
        weights.load(net, given)
        initial, done, curves = f"given {given}", None, pd.DataFrame(columns=["epoch", "quantity", "value"])
    weights.save(net.state_dict(), outputs.weights)
    tables.write("curves", curves.assign(**axes), outputs.curves)
    tables.write("trainings", training.account(net, initial, done).assign(**axes), outputs.trainings)
    predictions = predict(net, of_split("test", "explain"), params.batch, where)
    dataset = images["dataset"].iloc[0]
    tables.write(
        "predictions", predictions.assign(dataset=dataset, condition="clean", **axes), outputs.predictions
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        train(
            snakemake.input,
            snakemake.output,
            snakemake.params,
            {"model": snakemake.wildcards.model, "seed": int(snakemake.wildcards.seed)},
            snakemake.resources.device,
        )
