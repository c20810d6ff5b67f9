"""A training recipe and its options; the defaults are those of the chest x-ray gaze study's code."""

from __future__ import annotations

import copy
from dataclasses import dataclass

from sightline.errors import ConfigError
from sightline.models.augmentation import Augmentation

OPTIONS = {
    "side": {
        "type": "integer",
        "minimum": 16,
        "default": 224,
        "description": "Side of training images, pixels; explained images have this scale, whole.",
    },
    "batch": {
        "type": "integer",
        "minimum": 2,
        "default": 64,
        "description": "Images per step; a last batch of one is left out: it has no variance.",
    },
    "epochs": {
        "type": "integer",
        "minimum": 1,
        "default": 75,
        "description": "Passes over the training images.",
    },
    "optimizer": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "How weights follow gradients.",
        "properties": {
            "name": {
                "type": "string",
                "enum": ["adam", "adamw", "sgd"],
                "default": "adam",
                "description": "adam: decay in the gradient; adamw: apart from it; sgd: momentum 0.9.",
            },
            "lr": {
                "type": "number",
                "exclusiveMinimum": 0,
                "default": 1.0e-4,
                "description": "Learning rate; the highest one of a scheduler that varies it.",
            },
            "weight_decay": {
                "type": "number",
                "minimum": 0,
                "default": 1.0e-5,
                "description": "Weight decay.",
            },
            "clip": {
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "default": None,
                "description": "Longest gradient that is followed (norm over all weights), or null.",
            },
        },
    },
    "scheduler": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "How the learning rate varies.",
        "properties": {
            "name": {
                "type": "string",
                "enum": ["none", "plateau", "onecycle"],
                "default": "plateau",
                "description": "plateau: times `factor` after more than `patience` epochs without a lower "
                "validation loss; onecycle: up to `lr` in the share `warmup` of the steps, then down to 0.",
            },
            "factor": {
                "type": "number",
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.5,
                "description": "plateau: what the learning rate is multiplied with.",
            },
            "patience": {
                "type": "integer",
                "minimum": 0,
                "default": 3,
                "description": "plateau: epochs to wait.",
            },
            "warmup": {
                "type": "number",
                "exclusiveMinimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.3,
                "description": "onecycle: share of the steps in which the learning rate rises.",
            },
        },
    },
    "select_by": {
        "type": "string",
        "enum": ["val_loss", "val_auc"],
        "default": "val_loss",
        "description": "Which epoch's weights are kept: of the lowest validation loss (the authors' code) "
        "or of the highest mean AUC (their paper).",
    },
    "patience": {
        "type": ["integer", "null"],
        "minimum": 1,
        "default": None,
        "description": "Stop after so many epochs without a better one by `select_by`; null: run all epochs.",
    },
    "precision": {
        "type": "string",
        "enum": ["float32", "bfloat16", "float16"],
        "default": "float32",
        "description": "Of the training steps; the 16-bit ones are mixed precision, float16 needs a GPU.",
    },
    "class_weights": {
        "type": "string",
        "enum": ["none", "balanced"],
        "default": "none",
        "description": "balanced: a label's positives weigh as much as its negatives together.",
    },
    "augmentation": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "How training images are altered.",
        "properties": {
            "name": {
                "type": "string",
                "enum": ["affine", "none"],
                "default": "affine",
                "description": "affine: turn, move, scale and flip at random; none: the central square.",
            },
            "rotation": {
                "type": "number",
                "minimum": 0,
                "maximum": 180,
                "default": 15,
                "description": "Largest rotation, degrees either way.",
            },
            "translation": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0.05,
                "description": "Largest move, as a share of the image's width and height.",
            },
            "scale": {
                "type": "array",
                "items": {"type": "number", "exclusiveMinimum": 0},
                "minItems": 2,
                "maxItems": 2,
                "default": [0.95, 1.05],
                "description": "Smallest and largest magnification.",
            },
            "fill": {
                "type": "integer",
                "minimum": 0,
                "maximum": 255,
                "default": 128,
                "description": "Grey value of what lies outside the image.",
            },
            "flip": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0.5,
                "description": "Probability of a left-right flip.",
            },
        },
    },
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; the fields are the keys of `OPTIONS`, complete."""

    side: int
    batch: int
    epochs: int
    optimizer: dict
    scheduler: dict
    select_by: str
    patience: int | None
    precision: str
    class_weights: str
    augmentation: Augmentation

    @staticmethod
    def of(options: dict) -> Recipe:
        """The recipe of `options`, completed. Raises `ConfigError` for an unknown key or name."""
        chosen = _complete(options, OPTIONS, "recipe")
        limits = chosen["augmentation"]
        chosen["augmentation"] = Augmentation(**limits | {"scale": tuple(limits["scale"])})
        return Recipe(**chosen)


def _complete(given: dict, described: dict, where: str) -> dict:
    unknown = sorted(set(given) - set(described))
    if unknown:
        raise ConfigError(f"{where}: unknown key(s) {', '.join(unknown)}; known are {', '.join(described)}")
    result = {}
    for name, about in described.items():
        value = copy.deepcopy(given.get(name, about["default"]))
        if "properties" in about:
            value = _complete(value, about["properties"], f"{where}.{name}")
        if value not in about.get("enum", [value]):
            raise ConfigError(f"{where}.{name}: {value!r} is none of {', '.join(about['enum'])}")
        result[name] = value
    return result
