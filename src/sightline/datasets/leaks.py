"""Subjects from whom a model learned in one dataset, and whom it explains in another of the same source."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pandas as pd


def shared(images: pd.DataFrame, pairs: Iterable[tuple[str, str]]) -> list[dict[str, object]]:
    """Where a dataset that is explained holds subjects that trained; an entry per pair that has any.

    `images` is table `images` of all datasets; `pairs` are (the dataset that trains a model, the one that it
    explains), which name their subjects alike. `subjects` counts those of the second's test and evaluated
    images that have training or validation images in the first, `of` all of the second's.
    """
    found = []
    for trained_on, dataset in pairs:
        learned, explained = (images[images["dataset"] == name] for name in (trained_on, dataset))
        learned = set(learned["subject"][learned["split"] != "test"])
        explained = set(explained["subject"][(explained["split"] == "test") | explained["evaluated"]])
        if learned & explained:
            counts = {"subjects": len(learned & explained), "of": len(explained)}
            found.append({"trained_on": trained_on, "dataset": dataset} | counts)
    return found


def said(leak: Mapping[str, object]) -> str:
    """An entry of `shared` in a sentence."""
    trained_on, dataset = leak["trained_on"], leak["dataset"]
    return (
        f"{leak['subjects']:,} of the {leak['of']:,} subjects of {dataset} that are tested are, by their "
        f"names, subjects of {trained_on}'s training or validation images: models trained on {trained_on} "
        f"have seen them, and what they score on {dataset} is not of new subjects alone."
    )


def told(checked: Mapping[str, Mapping]) -> list[str]:
    """The sentences on what `check_inputs` found: dataset -> counts, with the entries in `learned_from`."""
    return [said(leak) for dataset in checked.values() for leak in dataset.get("learned_from", [])]
