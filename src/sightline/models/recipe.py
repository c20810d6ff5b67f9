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
        "description": "Images per pass; a last batch of one is left out: it has no variance.",
    },
    "accumulate": {
        "type": "integer",
        "minimum": 1,
        "default": 1,
        "description": "Batches per step: their gradients are summed, so that a small GPU takes the steps of "
        "`accumulate` x `batch` images. Batch normalisation sees each batch alone.",
    },
    "epochs": {
        "type": "integer",
        "minimum": 1,
        "default": 75,
        "description": "Passes over the training images.",
    },
    "loss": {
        "type": "string",
        "enum": ["binary", "categorical"],
        "default": "binary",
        "description": "binary: each label on its own (sigmoid); categorical: exactly one label is true "
        "(softmax), images with none or several are unknown.",
    },
    "optimizer": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "How weights follow gradients.",
        "properties": {
            "name": {
                "type": "string",
                "enum": ["adam", "adamw", "sgd", "sgdw"],
                "default": "adam",
                "description": "adam, sgd: decay in the gradient; adamw, sgdw: apart from it. In sgdw it is "
                "the share that a weight loses per step (Loshchilov and Hutter 2019), in adamw that over lr.",
            },
            "momentum": {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 1,
                "default": 0.9,
                "description": "sgd, sgdw: momentum; onecycle has its own, 0.85 to 0.95.",
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
                "description": "Longest gradient that is followed (its norm), or null.",
            },
            "clip_by": {
                "type": "string",
                "enum": ["all", "weight"],
                "default": "all",
                "description": "What `clip` measures: the gradient of all weights together, or each weight "
                "tensor's on its own (Keras' `clipnorm`).",
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
                "enum": ["none", "plateau", "onecycle", "cosine_restarts"],
                "default": "plateau",
                "description": "plateau: times `factor` after more than `patience` epochs without a lower "
                "validation loss; onecycle: up to `lr` in the share `warmup` of the steps, then down to 0; "
                "cosine_restarts: down from `lr` along half a cosine, then again from the top (SGDR).",
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
            "first": {
                "type": "integer",
                "minimum": 1,
                "default": 1000,
                "description": "cosine_restarts: steps of the first period.",
            },
            "t_mul": {
                "type": "number",
                "minimum": 1,
                "default": 2,
                "description": "cosine_restarts: length of a period over that of the one before.",
            },
            "m_mul": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": 1,
                "default": 1,
                "description": "cosine_restarts: height of a period over that of the one before.",
            },
            "floor": {
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 1.0e-6,
                "description": "cosine_restarts: lowest learning rate, as a share of `lr`.",
            },
        },
    },
    "select_by": {
        "type": "string",
        "enum": ["val_loss", "val_auc", "val_accuracy"],
        "default": "val_loss",
        "description": "Which epoch's weights are kept: of the lowest validation loss (the authors' code), "
        "of the highest mean AUC (their paper) or of the highest accuracy: the share of images whose highest "
        "output is theirs (categorical), or of right answers at 0.5, a mean over labels (binary).",
    },
    "min_delta": {
        "type": "number",
        "minimum": 0,
        "default": 0,
        "description": "An epoch is better only if it is so by more than this, in units of `select_by`.",
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
        "description": "balanced: a label's positives weigh as much as its negatives together; where the "
        "loss is categorical, every class's images together weigh the same.",
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
            "anisotropic": {
                "type": "boolean",
                "default": False,
                "description": "Whether width and height are magnified on their own, as Keras' `zoom_range`.",
            },
            "shear": {
                "type": "number",
                "minimum": 0,
                "exclusiveMaximum": 90,
                "default": 0,
                "description": "Largest angle by which upright lines lean, degrees either way, as Keras'.",
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
    accumulate: int
    epochs: int
    loss: str
    optimizer: dict
    scheduler: dict
    select_by: str
    min_delta: float
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
