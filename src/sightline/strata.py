"""Strata that follow from results: whether a model was right about an image, and how large its region is."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd

from sightline import tables

OUTCOMES = {  # (said positive, is positive)
    (True, True): "true positive",
    (True, False): "false positive",
    (False, False): "true negative",
    (False, True): "false negative",
}
SIZES = ("small", "medium", "large")
KEYS = ["dataset", "model", "seed"]


def of_predictions(
    predictions: pd.DataFrame,
    labels: Mapping[str, Sequence[str]],
    positive: Collection[str] = (),
    names: Collection[str] = ("prediction", "outcome"),
) -> pd.DataFrame:
    """Rows of table `strata` with model and seed: `prediction` (correct, wrong) and `outcome`, as in `names`.

    `labels` names the models that count, with their labels, which exclude each other: the highest output is
    what a model says (of one label: whether its logit is above 0), the label of value 1 what is true. An
    outcome is true or false, positive (what is said is one of the `positive` labels) or negative; a model
    with none of them has none. An image whose truth is unknown, or not exactly one label, has no level.
    """
    found = predictions[predictions["model"].isin(list(labels))].drop_duplicates([*KEYS, "image", "label"])
    parts = []
    for (dataset, model, seed), rows in found.groupby(KEYS):
        judged = _judged(rows, list(labels[model]))
        levels = {"prediction": np.where(judged["said"] == judged["true"], "correct", "wrong")}
        if set(labels[model]) & set(positive):
            pairs = zip(judged["said"].isin(list(positive)), judged["true"].isin(list(positive)))
            levels["outcome"] = [OUTCOMES[bool(said), bool(true)] for said, true in pairs]
        parts += [
            pd.DataFrame({"dataset": dataset, "image": judged.index, "stratum": name, "value": level})
            .assign(model=model, seed=int(seed))
            for name, level in levels.items()
            if name in names
        ]  # fmt: skip
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("strata")


def _judged(rows: pd.DataFrame, labels: list[str]) -> pd.DataFrame:
    """said, true (labels; "" for not the only one) by image, of those whose output and truth are known."""
    wide = rows.pivot(index="image", columns="label", values=["logit", "value"])
    logits, values = (wide[name].reindex(columns=labels).astype(float) for name in ("logit", "value"))
    known = logits.notna().all(axis=1)
    if len(labels) == 1:
        known &= values[labels[0]].isin([0.0, 1.0])
        said, true = (np.where(side[labels[0]], labels[0], "") for side in (logits > 0, values == 1))
    else:
        known &= (values == 1).sum(axis=1) == 1
        said, true = (
            np.array(labels)[side.to_numpy().argmax(axis=1)] for side in (logits.fillna(0), values == 1)
        )
    return pd.DataFrame({"said": said, "true": true}, index=wide.index)[known]


def of_sizes(regions: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Rows of table `strata`: `<region>_size` of the images that hold the region, in thirds of each dataset.

    The third is of the region's share of the image's area; the cuts stand in the level's name. Images at a
    cut belong to the smaller third.
    """
    there = regions[(regions["status"] == "ok") & regions["kind"].isin(list(names))]
    parts = []
    for (dataset, name), rows in there.groupby(["dataset", "kind"]):
        share = rows["area_share"].to_numpy(dtype=float)
        cuts = np.quantile(share, (1 / 3, 2 / 3))
        low, high = (f"{100 * cut:.2g}" for cut in cuts)
        told = (f"up to {low} % of the image", f"up to {high} %", f"above {high} %")
        levels = np.array([f"{size} ({what})" for size, what in zip(SIZES, told)])
        value = levels[np.searchsorted(cuts, share, side="left")]
        part = {"dataset": dataset, "image": rows["image"], "stratum": f"{name}_size", "value": value}
        parts.append(pd.DataFrame(part).assign(model=None, seed=None))
    return pd.concat(parts, ignore_index=True) if parts else tables.empty("strata")
