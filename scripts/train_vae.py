"""Train an autoencoder of a model's training films."""

import numpy as np

from sightline import tables
from sightline.models import device, vae, weights
from sightline.models.inputs import MEAN, explain_input
from sightline.prepared import open_store
from sightline.randomness import derived_seed
from sightline.running import jobs


def train(inputs, params, axes: dict, chosen_device: str) -> vae.Fit:
    """The autoencoder's weights and curve; what explained images look like: whole, in a black square."""
    images = tables.read("images", inputs.images[0])
    store = open_store(inputs.prepared[0], inputs.pixels[0])
    held = set(store.images(params.side, "train"))
    names = sorted(held & set(images.loc[images["split"] == "train", "image"]))
    longest = [max(store.frame(name, params.side, "train").shape) for name in names]
    options = params.options
    seed = derived_seed(params.study_seed, "autoencoder", axes["model"], axes["seed"])

    def load(indices):
        stored = [np.asarray(store.get(names[index], params.side, "train")) for index in indices]
        return explain_input(vae.squares(stored))

    network = vae.build(
        len(MEAN), 2, **{name: options[name] for name in ("width", "depth", "code")}, seed=seed
    )
    return vae.fit(
        network,
        load,
        vae.batches(longest, options["batch"]),
        seed,
        **{name: options[name] for name in ("epochs", "lr", "beta")},
        device=device.named(chosen_device, jobs.tell),
        progress=jobs.say,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = {"model": snakemake.wildcards.model, "seed": int(snakemake.wildcards.seed)}
        fit = train(snakemake.input, snakemake.params, axes, snakemake.resources.device)
        weights.save(fit.state, snakemake.output.weights)
        tables.write("curves", fit.curves.assign(**axes), snakemake.output.curves)
