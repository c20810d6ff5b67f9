"""What a study trains on altered images, and what must be trained before."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sightline import options
from sightline.errors import ConfigError
from sightline.modules import full_name

Study = Any  # a `sightline.study.grid.Study`

# what is explained so that a reading finds what it mixes; the other mixes take all classes
TARGETS = {"predicted": "predicted", "labelled": "labelled"}
MIXES = ("thresholded", "weighted", "uniform", "none")
OF_SIGMOIDS = ("thresholded", "weighted")  # class mixes that take each output for a label's own logit


def condition_of(study: Study, model: str) -> dict | None:
    """How the images that train `model` are altered, or None."""
    name = study.config["models"][model]["training_condition"]
    return None if name is None else study.config["training_conditions"][name]


def built_with(study: Study, model: str) -> dict[str, Any]:
    """The arguments with which a trained `model` is built again: without those of its start alone."""
    chosen = study.models[model]
    stated = options.read(full_name("sightline.models.architectures", chosen["architecture"]))
    left_out = stated.get("OF_START", ())
    return {name: value for name, value in chosen["arguments"].items() if name not in left_out}


def crossings(study: Study) -> list[list[str]]:
    """Pairs of a dataset that trains a model and another that it explains, where names tell who is in both.

    Both are upstream files that one adapter reads: one source names its subjects alike.
    """
    pairs = {(study.models[cell.model]["train_on"], cell.dataset) for cell in study.cells}
    return [
        list(pair)
        for pair in sorted(pairs)
        if pair[0] != pair[1]
        and len({study.datasets[name]["adapter"] for name in pair}) == 1
        and all(study.datasets[name]["phantom"] is None for name in pair)
    ]


def exclusive(study: Study, model: str) -> bool:
    """Whether the labels of `model` exclude each other: its outputs are a softmax's, not sigmoids'."""
    return study.recipe_of(model)["loss"] == "categorical"


def check(study: Study) -> None:
    """Raise `ConfigError` where the outputs of labels that exclude each other would be read as sigmoids'.

    Such outputs mean something by their differences alone: a constant added to all of them changes nothing.
    """
    masking = [(one["model"], one["reading"]) for one in study.config["training_conditions"].values()]
    for cell in study.cells:
        if exclusive(study, cell.model):
            masking += [(cell.model, reading) for reading in study.readings_of(cell.method)]
            for name, probe in study.probes_of(cell).items():
                if probe["options"].get("output") == "sigmoid":
                    raise ConfigError(
                        f"config: probes.{name}.output: sigmoid is no probability of '{cell.model}', whose "
                        "labels exclude each other (recipe loss: categorical); set output: softmax (or logit)"
                    )
    for model, reading in masking:
        mix = study.readings.get(reading, {}).get("classes")
        if mix in OF_SIGMOIDS and exclusive(study, model):
            raise ConfigError(
                f"config: readings.{reading}.classes: '{mix}' takes each output for a logit of its own, but "
                f"the labels of '{model}' exclude each other (recipe loss: categorical); take predicted, "
                "labelled, uniform or a label"
            )


def with_masked(study: Study, asked: Iterable[tuple[str, int]]) -> list[tuple[str, int]]:
    """The (model, seed) pairs that are trained where `asked` are needed.

    A model trained on masked images has the seeds of the model whose maps mask them, which comes before.
    """
    found = set(asked)
    for model in study.models:
        condition = condition_of(study, model)
        if condition is not None:
            seeds = {seed for name, seed in found if name in (model, condition["model"])}
            found |= {(name, seed) for name in (model, condition["model"]) for seed in seeds}
    return sorted(found)


def masking_of(study: Study, model: str) -> dict:
    """The params of `mask_images` for `model`: how, and what explains the images (a `explaining.Setting`)."""
    condition = condition_of(study, model)
    base = condition["model"]
    how = {name: condition[name] for name in ("fraction", "order")} | {"base": base}
    random = condition["order"] == "random"
    reading = {"classes": "uniform"} if random else study.readings[condition["reading"]]
    method = None if random else study.methods[condition["method"]]
    kind = TARGETS.get(reading["classes"], "all_classes" if reading["classes"] in MIXES else "classes")
    setting = {
        "study_seed": study.seed,
        "architecture": study.models[base]["architecture"],
        "arguments": built_with(study, base),
        "labels": study.labels_of(base),
        "side": study.recipe_of(base)["side"],
        "condition": {"kind": "clean", "options": {}},
        "method": None if random else method["kind"],
        "options": {} if random else method["options"],
        "targets": {"kind": kind, "classes": [reading["classes"]] if kind == "classes" else []},
        "chosen": "test",
        "at_most": None,
        "placement": "true",
        "reference_images": 0 if random else study.reference_images_of(condition["method"]),
        "batch": study.config["compute"]["batch"],
        "micro_batch": study.config["compute"]["micro_batch"],
        "autoencoder": None,
    }
    return how | {"reading": None if random else reading, "setting": setting}
