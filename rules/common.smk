"""What the rules say in their sentences: the study, and the paths and values of its datasets, models and cells."""

import os
import sys
from pathlib import Path

ROOT = Path(workflow.basedir).parent
SOURCE = ROOT / "src"
sys.path.insert(0, str(SOURCE))

from sightline import runs, shards
from sightline.running import seals
from sightline.study import artifacts as study_artifacts
from sightline.study import costs as study_costs
from sightline.study import downloads as study_downloads
from sightline.study import recorded as study_recorded
from sightline.study import references as study_references
from sightline.study import sharding
from sightline.study import shown as study_shown
from sightline.study import stability as study_stability
from sightline.study import strata as study_strata
from sightline.study import training as study_training
from sightline.datasets import dataset as upstream
from sightline.errors import SightlineError
from sightline.modules import importable_by_jobs
from sightline.study.grid import Study

importable_by_jobs(SOURCE)


try:
    study = Study(config, ROOT / "workflow/schemas/config.schema.yaml")
    if not workflow.is_main_process:
        runs.nested()
except SightlineError as error:
    raise WorkflowError(str(error)) from None


wildcard_constraints:
    shard=shards.NAME,
    dataset="|".join(study.datasets),
    model="|".join(study.models) or "none",
    seed=r"\d+",
    condition="|".join(study.conditions) or "none",
    method="|".join(study.methods) or "none",
    artifact="|".join(study.artifacts) or "none",
    agreement="|".join(study.agreements) or "none",


def folder_of(dataset):
    """Where a dataset's upstream files lie."""
    generated = study.datasets[dataset]["phantom"] is not None
    return f"results/{study.name}/phantom/{dataset}" if generated else f"data/{dataset}"


def upstream_tables(wildcards):
    """The upstream tables of a dataset; a phantom's are all made at once, and so are those of a download."""
    chosen = study.datasets[wildcards.dataset]
    if chosen["phantom"] is not None:
        return expand(rules.make_phantom.output.digests, dataset=wildcards.dataset)
    if chosen["download"] is not None:
        return expand(rules.download.output, dataset=wildcards.dataset)
    return [
        str(path)
        for path in upstream.sources(
            Path(folder_of(wildcards.dataset)),
            chosen["adapter"],
            chosen["adapter_options"],
            chosen["annotations"],
        )
    ]


def local_files(wildcards):
    """The user's own files that a download reads."""
    return study_downloads.local_files(study, wildcards.dataset)


def per_trained(pattern, pairs=None):
    """`pattern` for every model and seed that is trained, or for `pairs` of them."""
    pairs = study.trained if pairs is None else pairs
    return [str(pattern).format(model=model, seed=seed) for model, seed in pairs]


def per_cell(pattern, cells=None):
    """`pattern` for every cell of the grid, or for `cells`."""
    return [str(pattern).format(**vars(cell)) for cell in (study.cells if cells is None else cells)]


def gallery(pattern):
    """`pattern` for the shown cells of a job's dataset and model."""
    return lambda wildcards: per_cell(
        pattern, study_shown.gallery_cells(study, wildcards.dataset, wildcards.model)
    )


def matrix(pattern):
    """`pattern` for the cells of the matrix of a job's dataset and model."""
    return lambda wildcards: per_cell(
        pattern, study_stability.shown_cells(study, wildcards.dataset, wildcards.model)
    )


def overlaid(pattern):
    """`pattern` for the cells whose maps lie over the images of a job's dataset."""
    return lambda wildcards: per_cell(pattern, study_stability.overlaid_cells(study, wildcards.dataset))


def per_matrix(pattern):
    """`pattern` for every dataset and model whose maps of altered images are compared."""
    return [
        str(pattern).format(dataset=dataset, model=model)
        for dataset, model in study_stability.matrices(study)
    ]


def per_agreement(pattern):
    """`pattern` for every dataset and agreement that compares its maps."""
    return [str(pattern).format(dataset=dataset, agreement=name) for dataset, name in study.agreement_jobs]


def per_gallery(pattern):
    """`pattern` for every dataset and model whose methods stand side by side."""
    return [
        str(pattern).format(dataset=dataset, model=model) for dataset, model in study_shown.galleries(study)
    ]


def per_dataset(pattern, names=None):
    """`pattern` for every dataset, or for `names`."""
    return expand(str(pattern), dataset=study.datasets if names is None else names)


def base_of(model):
    """The model whose maps mask the images that train `model`."""
    return study_training.condition_of(study, model)["model"]


def of_training_set(wildcards, pattern):
    """`pattern` for the dataset that trains a model."""
    return str(pattern).format(dataset=study.models[wildcards.model]["train_on"])


def that_train(wildcards, part):
    """The `table` or `pixels` of the images that train a model: masked ones where it has a training condition."""
    if study_training.condition_of(study, wildcards.model) is None:
        return [of_training_set(wildcards, getattr(rules.prepare.output, part))]
    return per_trained(getattr(rules.mask_images.output, part), [(wildcards.model, wildcards.seed)])


def flat(path):
    """A large flat array as an input: its table, an input too, names its digest, so that a touch reruns nothing."""
    return ancient(path if callable(path) else str(path))


# what the configuration says of one cell of the grid: the params of the rules that explain
of_cell = {
    "study_seed": study.seed,
    "architecture": lambda wildcards: study.models[wildcards.model]["architecture"],
    "arguments": lambda wildcards: study_training.built_with(study, wildcards.model),
    "labels": lambda wildcards: study.labels_of(wildcards.model),
    "side": lambda wildcards: study.recipe_of(wildcards.model)["side"],
    "condition": lambda wildcards: study.conditions[wildcards.condition],
    "method": lambda wildcards: study.methods[wildcards.method]["kind"],
    "options": lambda wildcards: study.methods[wildcards.method]["options"],
    "targets": lambda wildcards: study.targets_of(wildcards),
    "chosen": lambda wildcards: study.choice(wildcards, "images"),
    "at_most": lambda wildcards: study.choice(wildcards, "at_most"),
    "placement": lambda wildcards: study.choice(wildcards, "placement"),
    "reference_images": lambda wildcards: study.reference_images_of(wildcards.method),
    "autoencoder": lambda wildcards: study_artifacts.autoencoder(study, wildcards.method),
    "batch": study.config["compute"]["batch"],
    "micro_batch": study.config["compute"]["micro_batch"],
    "threads": study.config["compute"]["threads"],
}


def autoencoder_of(wildcards):
    """The trained autoencoder that a cell's method compares with; nothing where it needs none."""
    needed = study_artifacts.autoencoder(study, wildcards.method) is not None
    return str(rules.train_vae.output.weights).format(**wildcards) if needed else []


def moving(wildcards):
    """The conditions under which an agreement's maps are of pictures whose pixels moved."""
    return study_stability.moving(study, wildcards.dataset, wildcards.agreement)


def pictures_of(wildcards):
    """The dataset whose pictures a job takes: its own, or the one that trains its model."""
    return getattr(wildcards, "dataset", None) or study.models[wildcards.model]["train_on"]


def cut_to(wildcards):
    """The kind of region to which a job's pictures are cut; None for whole images."""
    chosen = study.datasets[pictures_of(wildcards)]["preparation"]
    return chosen["find"] if chosen["crop"] else None


def cuts(wildcards):
    """The boxes to which a job's pictures are cut; nothing for whole images."""
    return per_dataset(rules.prepare.output.boxes, [pictures_of(wildcards)] if cut_to(wildcards) else [])


def per_artifact(pattern, drawn=True):
    """`pattern` for every artefact of a model and a dataset whose figure is drawn, or for the others."""
    return [str(pattern).format(**vars(cell)) for cell in study_shown.described(study, drawn)]


def forecast(rule_name):
    """The forecast of costs as an input that opens the way for a job of `rule_name`, and changes nothing.

    A job whose results stand reads it as it lies: Snakemake takes no reason of a job's own into account where
    one runs that it depends on, not even through an ancient file.
    """

    def planned(wildcards):
        path = str(rules.plan_costs.output)
        stands = Path(path).exists() and not stale_outputs(workflow.get_rule(rule_name), wildcards)
        return ancient(before_update(path)) if stands else path

    return planned


def shards_of(rule_name):
    """The shards into which a job of `rule_name` is cut: their outputs, shard by shard; none where it is whole.

    Their names tell its params and code, so that a shard of others is no shard of it.
    """

    def outputs(wildcards):
        count = sharding.count(study, rule_name)
        if count == 1:
            return []
        params = params_of(workflow.get_rule(rule_name), wildcards)
        share = workflow.get_rule(f"{rule_name}_shard")
        return [
            path
            for shard in shards.names(count, seals.identity(params, []))
            for path in outputs_of(share, dict(wildcards.items()) | {"shard": shard})
        ]

    return outputs


def inputs_of_shard(rule_name):
    """What a job of `rule_name` reads, as its shards read it.

    While a shard is not there its inputs are ancient: nothing is newer than what was not made, so that only a
    job that needs its shards has them made.
    """

    def read(given):
        def files(wildcards):
            found = given(wildcards) if callable(given) else str(given.apply_wildcards(wildcards))
            made = outputs_of(workflow.get_rule(f"{rule_name}_shard"), wildcards)
            if all(map(os.path.exists, made)) and not getattr(given, "is_ancient", False):
                return found
            return [ancient(file) for file in found] if isinstance(found, list) else ancient(found)

        return files

    whole = workflow.get_rule(rule_name).input._allitems()
    return {name: read(given) for name, given in whole if name != "shards"}
