"""One cell of the grid, opened: the model under its condition, the images that it explains, the targets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from sightline import tables
from sightline.attribution import maps
from sightline.attribution.batches import Batch, plan
from sightline.attribution.condition import Condition
from sightline.attribution.engines.neurons import neuron
from sightline.attribution.explained import Explained, same_shape
from sightline.models import network, vae, weights
from sightline.models.inputs import MEAN, explain_input
from sightline.prepared import Store, open_store
from sightline.randomness import derived_seed, generator


@dataclass(frozen=True)
class Files:
    """Where the trained weights and the dataset's tables and pixels lie."""

    weights: Path
    images: Path
    labels: Path
    prepared: Path
    pixels: Path
    autoencoder: Path | None = None

    @classmethod
    def among(cls, inputs: Mapping[str, str]) -> Files:
        """Those of a rule's named `inputs` that a cell is made of; an empty one is None."""
        found = {field.name: inputs.get(field.name) for field in fields(cls)}
        return cls(**{name: Path(file) if file else None for name, file in found.items()})


@dataclass(frozen=True)
class Setting:
    """What the configuration says of a cell.

    `chosen` is which images of the test split are explained: `evaluated` or `test`, and `at_most` how many
    of these (None: all); `condition` holds kind and options, `targets` those of a `targets.Choice`; `labels`
    are the model's, in order; `autoencoder` the options of the one that the method compares with.
    """

    study_seed: int
    architecture: str
    arguments: Mapping[str, object]
    labels: tuple[str, ...]
    side: int
    condition: Mapping[str, object]
    method: str
    options: Mapping[str, object]
    targets: Mapping[str, object]
    chosen: str
    placement: str
    batch: int
    micro_batch: int
    reference_images: int
    autoencoder: Mapping[str, Any] | None = None
    at_most: int | None = None

    @classmethod
    def among(cls, params: Mapping[str, Any]) -> Setting:
        """Those of a rule's named `params` that a cell is made of."""
        found = {field.name: params[field.name] for field in fields(cls)}
        return cls(**found | {"labels": tuple(found["labels"])})


def asked(
    images: pd.DataFrame, split: str, chosen: str, at_most: int | None = None, study_seed: int = 0
) -> list[str]:
    """The images of `split` in table `images`; of the test split the `evaluated` ones or all (`test`).

    `at_most` so many of these, drawn once for the dataset: every model and method explains the same ones, and
    a larger number keeps those of a smaller one.
    """
    wanted = images["split"] == split
    if split == "test" and chosen == "evaluated":
        wanted &= images["evaluated"]
    found = sorted(images.loc[wanted, "image"])
    if at_most is None or len(found) <= at_most:
        return found
    draws = generator(study_seed, "explained images", images["dataset"].iloc[0])
    return sorted(draws.permutation(np.array(found, dtype=object))[:at_most])


class Cell:
    """A model and its seed explain a dataset under a condition by a method."""

    def __init__(self, files: Files, setting: Setting, model: str, seed: int, device: torch.device):
        self.files, self.setting, self._axes, self._device = files, setting, (model, seed), device
        self.images: pd.DataFrame = tables.read("images", files.images)
        self.condition = Condition(**setting.condition)
        self.method = maps.Method(setting.method, setting.options)

    @cached_property
    def pixels(self) -> Store:
        """The dataset's prepared pixels."""
        return open_store(self.files.prepared, self.files.pixels)

    @cached_property
    def labels(self) -> pd.DataFrame:
        """dataset, image, label, value (NaN where unknown) of the dataset."""
        return tables.read("labels", self.files.labels, columns=["dataset", "image", "label", "value"])

    @cached_property
    def plan(self) -> list[Batch]:
        """The batches of images that are explained; frames place the altered pixels in the image."""
        frames = {
            image: self.pixels.frame(image, self.setting.side, "explain")
            for image in self._held("test", self.setting.at_most)
        }
        return plan(
            {image: self.condition.placed(frame) for image, frame in frames.items()}, self.setting.batch
        )

    def load(self, batch: Batch) -> Tensor:
        """The batch's pixels under the condition, normalised (B, 3, H, W), on the device."""
        stored = self._stored(batch.images)
        coloured = stored.ndim == 4  # pictures: grey ones have three axes
        seed = self.setting.study_seed
        return explain_input(self.condition.pixels(stored, batch.images, seed, coloured), self._device)

    def _stored(self, images: Sequence[str]) -> np.ndarray:
        """The pixels (B, H, W) or (B, H, W, 3) as they are."""
        return np.stack([self.pixels.get(image, self.setting.side, "explain") for image in images])

    @cached_property
    def model(self) -> Explained:
        """The trained network under the condition, with what methods need to know of it."""
        setting = self.setting
        architecture = network.architecture(setting.architecture)
        seed = derived_seed(setting.study_seed, "condition", *self._axes)
        return Explained(
            self.condition.network(self._trained(), self._build, self._input_shape, seed),
            setting.labels,
            architecture.LAYERS,
            architecture.ATTENTION,
            device=self._device,
            placement=setting.placement,
            reference_images=self._reference_images(),
            micro_batch=setting.micro_batch,
            auxiliary=self._autoencoder(),
        )

    @cached_property
    def choice(self) -> maps.Choice:
        """What is explained of each image."""
        return maps.Choice(
            labels=self.setting.labels,
            truth=self.truth,
            embeddings=None if self.model.reference_images is None else self._embeddings,
            unaltered=None if self.condition.kind == "clean" else self._unaltered,
            **self.setting.targets,
        )

    def _build(self) -> torch.nn.Module:
        setting = self.setting
        architecture = network.architecture(setting.architecture)
        return architecture.build(len(setting.labels), **setting.arguments)

    def _trained(self) -> torch.nn.Module:
        """The network with its trained weights."""
        return weights.load(self._build(), self.files.weights)

    @cached_property
    def _before(self) -> torch.nn.Module:
        """The trained network as no condition altered it, to be asked what it predicts."""
        return self._trained().to(self._device).eval()

    def _unaltered(self, images: Sequence[str]) -> np.ndarray:
        """What the trained network says (B, n) of the images as they are."""
        with torch.no_grad():
            pixels = explain_input(self._stored(images), self._device)
            return self._before(pixels).float().cpu().numpy()

    def _embeddings(self) -> Tensor:
        """The network's outputs (G, D) of the reference images."""
        with torch.no_grad():
            return self.model.network(self.model.references).float().cpu()

    def truth(self, image: str) -> np.ndarray:
        """The true labels (n,) of `image` in the model's order, NaN where unknown."""
        return self._truths.loc[image].to_numpy(dtype=float)

    def explanations(self, batches: Iterable[Batch]) -> Iterator[maps.Explanation]:
        """`maps.run` of the cell's method over `batches`; outputs are the whole network's."""
        if self.setting.targets["kind"] != "neuron":
            return maps.run(self.method, self.model, batches, self.load, self.choice, self.setting.study_seed)
        return self._of_neurons(batches)

    def _of_neurons(self, batches: Iterable[Batch]) -> Iterator[maps.Explanation]:
        """Maps of the network cut off at its neurons."""
        targets = self.setting.targets
        self.model.passes.input_shape = self._input_shape
        cut, fixed = neuron(self.model, targets["layer"], targets["units"])
        choice = replace(self.choice, fixed=fixed)
        for found in maps.run(self.method, cut, batches, self.load, choice, self.setting.study_seed):
            pixels = self.load(found.batch).to(self._device)
            yield replace(found, outputs=maps.outputs_of(self.model, pixels))

    @property
    def _input_shape(self) -> tuple[int, ...]:
        """(C, H, W) of the first batch."""
        side = self.plan[0].frames[0].shape if self.plan else (self.setting.side, self.setting.side)
        return (len(MEAN), *side)

    @cached_property
    def _truths(self) -> pd.DataFrame:
        wide = self.labels.pivot(index="image", columns="label", values="value")
        return wide.reindex(columns=list(self.setting.labels))

    def _held(self, split: str, at_most: int | None = None) -> list[str]:
        """The images of `split` that the setting asks for, `at_most` so many, and that are prepared."""
        prepared = set(self.pixels.images(self.setting.side, "explain"))
        wanted = asked(self.images, split, self.setting.chosen, at_most, self.setting.study_seed)
        return sorted(prepared & set(wanted))

    def _autoencoder(self) -> torch.nn.Module | None:
        """The trained autoencoder that the method compares with, or None."""
        if self.setting.autoencoder is None:
            return None
        shape = {name: self.setting.autoencoder[name] for name in ("width", "depth", "code")}
        return weights.load(vae.build(len(MEAN), 2, **shape), self.files.autoencoder)

    def _reference_images(self) -> Tensor | None:
        """Validation images (R, 3, H, W) that some methods compare with, drawn once for the study."""
        held = self._held("validate")
        count = min(self.setting.reference_images, len(held))
        if not count:
            return None
        draws = generator(self.setting.study_seed, "reference images")
        chosen = sorted(draws.choice(held, count, replace=False))
        stored = [self.pixels.get(image, self.setting.side, "explain") for image in chosen]
        return same_shape([explain_input(one[None]) for one in stored])
