"""What is explained: named scalars of a network's outputs, the same for all images or each image's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from sightline.errors import ConfigError

OPTIONS = {
    "classes": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "For `classes`: the labels that are explained.",
    },
    "rule": {
        "enum": ["argmax", "threshold"],
        "default": "argmax",
        "description": "For `region`: a class lies where its logit is the highest, or above `threshold`.",
    },
    "threshold": {
        "type": "number",
        "default": 0.0,
        "description": "For `region` by `threshold`: the logit above which a class is there (0: p > 0.5).",
    },
    "pooling": {
        "enum": ["sum", "mean"],
        "default": "sum",
        "description": "For `region`: what is explained is the sum or mean of the class's logits there.",
    },
    "gallery": {
        "enum": ["mean", "each"],
        "default": "mean",
        "description": "For `similarity`: to the mean direction of the reference images, or to each of them.",
    },
    "layer": {
        "type": "string",
        "default": "",
        "description": "For `neuron`: the module whose output holds the units.",
    },
    "units": {
        "type": "array",
        "items": {"type": ["integer", "array"]},
        "default": [],
        "description": "For `neuron`: channels (their mean over cells), or single cells as [channel, y, x].",
    },
}
KINDS = (
    "all_classes", "classes", "predicted", "labelled", "predicted_and_labelled", "region", "similarity",
    "neuron",
)  # fmt: skip
CHOSEN_BY_OUTPUTS = ("predicted", "predicted_and_labelled", "region")


@dataclass(frozen=True)
class Targets:
    """Named scalars of a network's outputs: `scalars(outputs, rows)` gives (R, T), differentiable.

    `outputs` has R rows; `rows` (R,) says which image of the batch each belongs to (None: row i is image i).
    Rows are independent. `own` names each image's targets where images differ: (B, T), None where an image
    has fewer than T (its slot is computed and not kept).
    """

    names: tuple[str, ...]
    scalars: Callable[..., Tensor]
    own: tuple[tuple[str | None, ...], ...] | None = None

    @property
    def count(self) -> int:
        """T."""
        return len(self.names)

    def of(self, image: int) -> tuple[str | None, ...]:
        """The names of the targets of image `image` of the batch."""
        return self.names if self.own is None else self.own[image]


def classes(labels: Sequence[str], chosen: Sequence[str] | None = None) -> Targets:
    """The logits of the `chosen` classes (None: all), of outputs (B, len(labels)).

    Raises `ConfigError` for a class that the model has not.
    """
    labels = tuple(labels)
    chosen = labels if chosen is None else tuple(chosen)
    unknown = [name for name in chosen if name not in labels]
    if unknown:
        raise ConfigError(
            f"targets: unknown class(es) {', '.join(unknown)}; the model has {', '.join(labels)}"
        )
    index = [labels.index(name) for name in chosen]
    return Targets(chosen, lambda outputs, rows=None: outputs[:, index])


def no_class() -> Targets:
    """The one target of maps that serve no class, named "" (an attention map)."""
    return Targets(("",), lambda outputs, rows=None: outputs.flatten(1).sum(dim=1, keepdim=True))


def own_classes(labels: Sequence[str], chosen: Sequence[Sequence[int]]) -> Targets:
    """Each image's own classes, given as indices into `labels`: `chosen[i]` of image i of the batch.

    Slots are named by their number; an image without any class has none that is kept.
    """
    count = max([1, *(len(one) for one in chosen)])
    index = torch.tensor([[*one, *[0] * (count - len(one))] for one in chosen])
    own = tuple((*(labels[i] for i in one), *[None] * (count - len(one))) for one in chosen)

    def scalars(outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        wanted = index.to(outputs.device)
        return outputs.gather(1, wanted if rows is None else wanted[rows.to(outputs.device)])

    return Targets(tuple(str(slot) for slot in range(count)), scalars, own)


def frozen_regions(
    outputs: Tensor, labels: Sequence[str], rule: str = "argmax", threshold: float = 0.0, pooling: str = "sum"
) -> Targets:
    """For each class the sum (or mean) of its logits where the unaltered images' prediction has it.

    `outputs` (B, classes, [D,] H, W) are the logits of the unaltered images; a class's region is where its
    logit is the highest (`argmax`: classes exclude each other) or above `threshold` (several may hold).
    Regions stay as they are whatever is done to the images: derivatives are those of the logits, and what
    should be complete is (Vinogradova et al. 2020 freeze a set of pixels so). An image has no target of a
    class that its prediction has nowhere. Raises `ConfigError` where the outputs are not those of such a
    network.
    """
    if outputs.ndim < 4 or outputs.shape[1] != len(labels):
        raise ConfigError(
            f"targets of kind 'region' need outputs (images, {len(labels)} classes, [depth,] height, width); "
            f"the network gives {tuple(outputs.shape)}"
        )
    outputs = outputs.detach()
    if rule == "argmax":
        classes_of = outputs.argmax(dim=1, keepdim=True)
        regions = torch.cat([classes_of == index for index in range(len(labels))], dim=1)
    elif rule == "threshold":
        regions = outputs > threshold
    else:
        raise ConfigError(f"targets: rule {rule!r}; expected 'argmax' or 'threshold'")
    pixels = regions.flatten(2).sum(dim=2)  # (B, T)
    share = {"sum": torch.ones_like(pixels), "mean": pixels.clamp(min=1)}
    if pooling not in share:
        raise ConfigError(f"targets: pooling {pooling!r}; expected 'sum' or 'mean'")

    def scalars(outputs: Tensor, rows: Tensor | None = None) -> Tensor:
        inside, over = (
            (one if rows is None else one[rows.to(one.device)]).to(outputs.device)
            for one in (regions, share[pooling])
        )
        return torch.where(inside, outputs, 0.0).flatten(2).sum(dim=2) / over

    own = tuple(tuple(name if any_ else None for name, any_ in zip(labels, row)) for row in pixels.tolist())
    return Targets(tuple(labels), scalars, own)


def similarity(gallery: Tensor, names: Sequence[str]) -> Targets:
    """The cosine of the angle between an image's outputs (B, D) and each row of `gallery` (G, D), named.

    Raises `ConfigError` where names and rows differ in number.
    """
    if len(names) != len(gallery):
        raise ConfigError(f"targets: {len(names)} names for {len(gallery)} rows of a gallery")
    directions = normalize(gallery.detach().flatten(1), dim=1)
    return Targets(
        tuple(names),
        lambda outputs, rows=None: normalize(outputs.flatten(1), dim=1) @ directions.to(outputs).T,
    )


def _gallery(embeddings: Tensor, form: str) -> Targets:
    """Similarity to the mean direction of `embeddings` (G, D), or (`each`) to every one."""
    if form == "each":
        return similarity(embeddings, [f"reference {index}" for index in range(len(embeddings))])
    return similarity(normalize(embeddings.flatten(1), dim=1).mean(dim=0, keepdim=True), ["references"])


@dataclass(frozen=True)
class Choice:
    """Which targets of which image: one of `KINDS`, with its options.

    `fixed` holds the targets of a network cut off at its neurons (`neurons.neuron`). `truth` gives an
    image's true labels (n,), 1 where positive; only `labelled` kinds ask it. `embeddings` gives the network's
    outputs (G, D) of the reference images; only `similarity` asks it. `unaltered` gives the trained model's
    outputs (B, n) of the images as they are, where a condition alters one or the other: what it predicts is
    then explained too, so that maps of one class can be compared across conditions.
    """

    kind: str
    labels: tuple[str, ...]
    classes: tuple[str, ...] = ()
    truth: Callable[[str], np.ndarray] | None = None
    rule: str = "argmax"
    threshold: float = 0.0
    pooling: str = "sum"
    gallery: str = "mean"
    layer: str = ""
    units: Sequence[int | Sequence[int]] = ()
    fixed: Targets | None = None
    embeddings: Callable[[], Tensor] | None = None
    unaltered: Callable[[Sequence[str]], np.ndarray] | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind with a `ConfigError`."""
        if self.kind not in KINDS:
            raise ConfigError(f"targets: {self.kind!r}; expected one of {', '.join(KINDS)}")

    @property
    def asks_outputs(self) -> bool:
        """Whether the network's outputs must be known before."""
        return self.kind in CHOSEN_BY_OUTPUTS

    def of(self, names: Sequence[str], outputs: np.ndarray | None) -> Targets:
        """The targets of the images `names`, whose outputs are (B, n) (None where not asked for).

        Raises `ConfigError` where the outputs, or the lack of reference images, do not suit the kind.
        """
        if self.kind == "all_classes":
            return classes(self.labels)
        if self.kind == "classes":
            return classes(self.labels, self.classes)
        if self.kind == "region":
            given = torch.from_numpy(outputs)
            return frozen_regions(given, self.labels, self.rule, self.threshold, self.pooling)
        if self.kind == "neuron":
            if self.fixed is None:
                raise ConfigError("targets of kind 'neuron' are those of a network cut off at its layer")
            return self.fixed
        if self.kind == "similarity":
            if self.embeddings is None:
                raise ConfigError("targets of kind 'similarity' need reference images; the study has none")
            return _gallery(self.embeddings(), self.gallery)
        chosen: list[list[int]] = [[] for _ in names]
        if self.asks_outputs:
            seen = [outputs] if self.unaltered is None else [outputs, self.unaltered(names)]
            chosen = [list(dict.fromkeys(int(row.argmax()) for row in rows)) for rows in zip(*seen)]
        if self.kind != "predicted":
            for one, name in zip(chosen, names):
                one += [int(i) for i in np.flatnonzero(self.truth(name) == 1) if i not in one]
        return own_classes(self.labels, chosen)
