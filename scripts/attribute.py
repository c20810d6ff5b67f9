"""Explain one dataset by one model, seed, condition and method."""

import numpy as np

from sightline import jobs, tables
from sightline.attribution import batches, maps, store
from sightline.attribution.condition import Condition
from sightline.attribution.explained import same_shape
from sightline.models import device, network, weights
from sightline.models.inputs import explain_input
from sightline.preparation import open_store
from sightline.randomness import derived_seed, generator


def explain(inputs, outputs, params, axes: dict, chosen_device: str) -> None:
    """Write the maps with their values, and what the model says of the explained images."""
    images = tables.read("images", inputs.images)
    pixels = open_store(inputs.prepared, inputs.pixels)
    wanted = images[(images["split"] == "test") & (images["evaluated"] | (params.chosen == "test"))]["image"]
    held = sorted(set(wanted) & set(pixels.images(params.side, "explain")))
    condition = Condition(**params.condition)
    frames = {image: condition.placed(pixels.frame(image, params.side, "explain")) for image in held}
    plan = batches.plan(frames, params.batch)
    references = reference_images(images, pixels, params)
    model = explained(inputs, params, axes, chosen_device, references, plan)

    def load(batch):
        stored = np.stack([pixels.get(image, params.side, "explain") for image in batch.images])
        return explain_input(condition.pixels(stored, batch.images, params.study_seed))

    labels = tables.read("labels", inputs.labels, columns=["dataset", "image", "label", "value"])
    method = maps.Method(params.method, params.options)
    choice = maps.Choice(labels=tuple(params.labels), truth=truth_of(labels, params.labels), **params.targets)
    batched = jobs.progress(plan, len(plan), "batches")
    explanations = maps.run(method, model, batched, load, choice, params.study_seed)
    said = store.write(explanations, axes, params.labels, outputs.maps, outputs.values)
    tables.write(
        "predictions", said.merge(labels, on=["dataset", "image", "label"], how="left"), outputs.predictions
    )


def truth_of(labels, names: list[str]):
    """An image's true labels (n,), in the model's order; NaN where unknown."""
    values = labels.pivot(index="image", columns="label", values="value").reindex(columns=names)
    return lambda image: values.loc[image].to_numpy(dtype=float)


def reference_images(images, pixels, params):
    """Validation images (R, C, H, W) that some methods compare with, drawn once for the study; or None."""
    kept = set(images.loc[images["split"] == "validate", "image"])
    held = sorted(kept & set(pixels.images(params.side, "explain")))
    count = min(params.reference_images, len(held))
    if not count:
        return None
    chosen = generator(params.study_seed, "reference images").choice(held, count, replace=False)
    found = [explain_input(pixels.get(image, params.side, "explain")[None]) for image in sorted(chosen)]
    return same_shape(found)


def explained(inputs, params, axes: dict, chosen_device: str, references, plan) -> maps.Explained:
    """The trained network under the job's condition, with what methods need to know of it."""
    architecture = network.architecture(params.architecture)

    def build():
        return architecture.build(len(params.labels), **params.arguments)

    seed = derived_seed(params.study_seed, "condition", axes["model"], axes["seed"])
    shape = (3, *plan[0].frames[0].shape) if plan else (3, params.side, params.side)
    trained = weights.load(build(), inputs.weights)
    net = Condition(**params.condition).network(trained, build, shape, seed)
    return maps.Explained(
        net,
        tuple(params.labels),
        architecture.LAYERS,
        architecture.ATTENTION,
        device=device.named(chosen_device),
        placement=params.placement,
        reference_images=references,
        micro_batch=params.micro_batch,
    )


if __name__ == "__main__":
    with jobs.recorded(snakemake.input, snakemake.output, snakemake.params, snakemake.log):
        axes = {name: snakemake.wildcards[name] for name in ("dataset", "model", "condition", "method")}
        explain(
            snakemake.input,
            snakemake.output,
            snakemake.params,
            axes | {"seed": int(snakemake.wildcards.seed)},
            snakemake.resources.device,
        )
