"""The image on which the matrix of stability shows each method's maps, and these maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from sightline.figures.stability import Pictures
from sightline.figures.trust import CLEAN
from sightline.frames import Frame
from sightline.prepared import Store
from sightline.report.cases import Shown


class Altering(Protocol):
    """What alters images: `sightline.attribution.condition.Condition`."""

    def pixels(self, stored: np.ndarray, images: Sequence[str], seed: int, coloured: bool) -> np.ndarray:
        """The altered pixels, like `stored` (B, H, W) or (B, H, W, 3), from the study's seed."""

    def placed(self, frame: Frame) -> Frame:
        """Where these lie, given where the stored ones do."""


def typical(agreements: pd.DataFrame, rows: Sequence[Mapping]) -> tuple[str, str]:
    """The image whose maps change as those of most images do, and a sentence on how it was found.

    `agreements` is table `agreements`, `rows` the shown maps ({model, seed, method, condition, reading}). The
    images are put in order by the mean rank correlation of all their shown maps with those of the unaltered
    image, and the middle one is taken (of two the first); of the images that lack no more of these numbers
    than most do, for a constant map shows nothing. "" where nothing was compared.
    """
    keys = ["model", "seed", "method"]
    usable = agreements[
        (agreements["metric"] == "spearman")
        & (agreements["status"] == "ok")
        & (agreements["axis"] == "condition")
    ]
    sides = [usable["condition_a"], usable["condition_b"]]
    with_clean = (sides[0] == CLEAN) | (sides[1] == CLEAN)
    other = sides[0].where(sides[1] == CLEAN, sides[1])
    found = usable.assign(condition=other, **{key: usable[f"{key}_a"] for key in keys})[with_clean]
    shown = pd.DataFrame(rows)[[*keys, "condition", "reading"]]
    values = found.merge(shown, on=list(shown)).groupby("image")["value"].agg(["mean", "size"])
    most = values[values["size"] >= values["size"].median()]
    ordered = most.rename_axis("image").reset_index().sort_values(["mean", "image"], ignore_index=True)
    if ordered.empty:
        return "", ""
    at = (len(ordered) - 1) // 2
    left = f" that lack no more maps than most ({len(values):,} in all)" if len(most) < len(values) else ""
    why = (
        f"The image is the middle one of {len(ordered):,}{left} in the order of their maps' mean agreement "
        f"({ordered['mean'][at]:.2f})."
    )
    return ordered["image"][at], why


def build(
    image: str,
    conditions: Mapping[str, Altering],
    shown: Mapping[tuple[str, str], Shown],
    pixels: Store,
    side: int,
    study_seed: int,
) -> Pictures:
    """`image` under each of `conditions`, as models of `side` see it, and the maps on it, not moved back.

    `shown` gives (condition, method) -> where its map comes from; a map that is not there is its status.
    """
    stored, frame = pixels.get(image, side, "explain"), pixels.frame(image, side, "explain")
    coloured = stored.ndim == 3
    images = {
        name: condition.pixels(stored[None], [image], study_seed, coloured)[0]
        for name, condition in conditions.items()
    }
    maps = {}
    for (name, method), one in shown.items():
        found = one.on(image, conditions[name].placed(frame))
        maps[name, method] = found if isinstance(found, np.ndarray) else found.status.replace("_", " ")
    return Pictures(images, maps, frozenset(method for (_, method), one in shown.items() if one.signed))
