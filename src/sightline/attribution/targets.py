"""What is explained: named scalars of a network's outputs, the same for all images or each image's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sightline.errors import ConfigError

OPTIONS = {
    "classes": {
        "type": "array",
        "items": {"type": "string"},
        "default": [],
        "description": "For `classes`: the labels that are explained.",
    },
}
KINDS = ("all_classes", "classes", "predicted", "labelled", "predicted_and_labelled")
CHOSEN_BY_OUTPUTS = ("predicted", "predicted_and_labelled")
NAMES = Sequence[Sequence[str | None]]


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


@dataclass(frozen=True)
class Choice:
    """Which targets of which image: one of `KINDS`, with its options.

    `truth` gives an image's true labels (n,), 1 where positive; only `labelled` kinds ask it.
    """

    kind: str
    labels: tuple[str, ...]
    classes: tuple[str, ...] = ()
    truth: Callable[[str], np.ndarray] | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown kind with a `ConfigError`."""
        if self.kind not in KINDS:
            raise ConfigError(f"targets: {self.kind!r}; expected one of {', '.join(KINDS)}")

    @property
    def asks_outputs(self) -> bool:
        """Whether the network's outputs must be known before."""
        return self.kind in CHOSEN_BY_OUTPUTS

    def of(self, names: Sequence[str], outputs: np.ndarray | None) -> Targets:
        """The targets of the images `names`, whose outputs are (B, n) (None where not asked for)."""
        if self.kind == "all_classes":
            return classes(self.labels)
        if self.kind == "classes":
            return classes(self.labels, self.classes)
        chosen: list[list[int]] = [[] for _ in names]
        if self.asks_outputs:
            chosen = [[int(row.argmax())] for row in outputs]
        if self.kind != "predicted":
            for one, name in zip(chosen, names):
                one += [int(i) for i in np.flatnonzero(self.truth(name) == 1) if i not in one]
        return own_classes(self.labels, chosen)
