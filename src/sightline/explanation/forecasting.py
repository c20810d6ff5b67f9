"""What explaining will cost a study, before anything is trained: hours, memory and storage of every method.

Networks have random weights, which take as long as trained ones. How many images there are, their shapes and
labels follow from the datasets' tables.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import pandas as pd
import torch

from sightline import tables
from sightline.attribution import planning
from sightline.attribution.explained import Explained
from sightline.attribution.maps import Method
from sightline.attribution.planning import Planned, Speed
from sightline.attribution.probing import Probe
from sightline.attribution.targets import Choice
from sightline.errors import ConfigError
from sightline.explanation.explaining import asked
from sightline.models import network
from sightline.preparing.grids import explained_shape

CHANNELS = 3
GB = 1e9
ALIKE = (
    "dataset",
    "model",
    "method",
    "chosen",
    "at_most",
    "targets",
    "placement",
)  # what cells that cost the same share
SHOWN_REASONS = 20


@dataclass(frozen=True)
class Dataset:
    """A dataset's tables `images` and `labels`."""

    images: pd.DataFrame
    labels: pd.DataFrame
    fit: str = "crop"  # of its pictures, as `sightline.preparing.preparation` has it

    def shapes(self, group: Mapping[str, Any], side: int) -> dict[str, tuple[int, ...]]:
        """(3, S, S) of each image that a group explains; what decoding refuses or cuts is not known yet."""
        explained = asked(self.images, "test", group["chosen"], group["at_most"], group["study_seed"])
        sizes = self.images.set_index("image").loc[explained, ["height", "width"]]
        return {
            row.Index: (CHANNELS, *explained_shape((row.height, row.width), side, self.fit))
            for row in sizes.itertuples()
        }

    def choice(self, targets: Mapping[str, Any], labels: Sequence[str]) -> Choice:
        """What is explained of each image, of a model with these `labels`."""
        wide = self.labels.pivot(index="image", columns="label", values="value").reindex(columns=list(labels))
        return Choice(labels=tuple(labels), truth=lambda image: wide.loc[image].to_numpy(float), **targets)


@dataclass(frozen=True)
class Network:
    """A model of the study as it will be explained: with weights drawn for seed 0 on `device`."""

    architecture: str
    arguments: Mapping[str, object]
    labels: tuple[str, ...]
    side: int
    micro_batch: int
    device: torch.device

    def explained(self, placement: str, references: int, shape: tuple[int, ...]) -> Explained:
        """What methods see, with so many reference images of `shape`, noise. Raises as `network.check`."""
        module = network.architecture(self.architecture)
        net = network.build(self.architecture, len(self.labels), 0, **self.arguments)
        network.check(net, len(self.labels), shape[-1])
        return Explained(
            net,
            self.labels,
            module.LAYERS,
            module.ATTENTION,
            device=self.device,
            placement=placement,
            reference_images=torch.randn((references, *shape)) if references else None,
            micro_batch=self.micro_batch,
            auxiliary=torch.nn.Identity(),  # for the autoencoder that is not trained yet
        )


def forecast(
    groups: Sequence[Mapping[str, Any]],
    networks: Mapping[str, Network],
    datasets: Mapping[str, Dataset],
    batch: int,
) -> pd.DataFrame:
    """Table `planned_costs`: a row per group of cells that cost the same, and one per probe of them.

    Groups are those of `study.costs.alike`.
    """
    rows = []
    for where in sorted({(group["dataset"], group["model"]) for group in groups}):
        here = [group for group in groups if (group["dataset"], group["model"]) == where]
        rows += _of_model(here, networks[where[1]], datasets[where[0]], batch)
    return pd.DataFrame(rows, columns=list(tables.SCHEMAS["planned_costs"].columns))


def _of_model(groups: Sequence[Mapping], of: Network, dataset: Dataset, batch: int) -> list[dict]:
    """Rows of one model that explains one dataset."""
    most_references = len(asked(dataset.images, "validate", "test"))
    usual = Counter(shape for group in groups for shape in dataset.shapes(group, of.side).values())
    shape = usual.most_common(1)[0][0] if usual else (CHANNELS, of.side, of.side)

    @cache
    def model(placement: str, references: int) -> Explained:
        return of.explained(placement, references, shape)

    @cache
    def speed(layers: tuple[str, ...]) -> Speed:
        return planning.measured(model("true", 0), shape, layers)

    rows = []
    for group in groups:
        references = min(group["reference_images"], most_references)
        seen = model(group["placement"], references)
        shapes = dataset.shapes(group, of.side)
        choice = dataset.choice(group["what"], of.labels)
        method = Method(group["kind"], group["options"])
        per_image = planning.most_targets(choice, references)
        parts = planning.parts(shapes, per_image, batch)
        found = planning.of_method(method, seen, parts, batch, speed, choice.asks_outputs)
        rows.append(_row(group, "", found, of))
        if found.status == "ok":
            each = planning.parts(shapes, lambda _image: 1, batch)
            for name, probe in group["probes"].items():
                one = Probe(probe["kind"], probe["options"])
                planned = planning.of_probe(one, method, seen, each, batch, speed)
                share = min(1.0, probe["probed"] / max(len(shapes), 1))
                rows.append(_row(group | {"cells": probe["cells"]}, name, _scaled(planned, share), of))
    return rows


def _scaled(planned: Planned, share: float) -> Planned:
    """The costs of a share of the images."""
    each = {name: share * getattr(planned, name) for name in ("forwards", "backwards", "seconds")}
    return replace(planned, images=round(share * planned.images), **each)


def _row(group: Mapping, probe: str, planned: Planned, of: Network) -> dict:
    """A row of the table; seconds and storage are those of all cells of the group."""
    row = {name: group[name] for name in ALIKE} | {"probe": probe, "cells": group["cells"]}
    row |= asdict(planned) | {"device": of.device.type}
    return row | {
        "seconds": group["cells"] * planned.seconds, "storage_bytes": group["cells"] * planned.storage_bytes
    }  # fmt: skip


# ---- what is told of it


def check(planned: pd.DataFrame, max_hours: float | None, max_storage_gb: float | None) -> None:
    """Raise `ConfigError` where the study would take more hours, or storage, than a limit (None: none)."""
    for column, unit, limit, key, what in (
        ("seconds", 3600.0, max_hours, "max_hours", "h of explaining"),
        ("storage_bytes", GB, max_storage_gb, "max_storage_gb", "GB of maps"),
    ):
        total = planned[column].sum() / unit
        if limit is not None and total > limit:
            worst = planned.sort_values(column, ascending=False).iloc[0]
            raise ConfigError(
                f"config: limits.{key}: the study would take about {total:.3g} {what} on "
                f"{worst['device']}, {limit:g} are allowed. Most of it, {worst[column] / unit:.3g}, is "
                f"{_name(worst)} in {worst['cells']} cell(s) of {worst['images']} images. Make its options "
                "cheaper, take it (or seeds, conditions, images) out of the runs, or raise the limit"
            )


def as_text(planned: pd.DataFrame) -> str:
    """The table for a terminal, the longest first, with totals and what cannot be made."""
    made = planned[planned["status"] == "ok"].sort_values("seconds", ascending=False, kind="stable")
    lines = [("", "cells", "images", "passes", "time", "memory", "maps")]
    for _, row in made.iterrows():
        per_image = (row["forwards"] + row["backwards"]) / max(row["images"], 1)
        memory, storage = row["memory_bytes"] / GB, row["storage_bytes"] / GB
        lines.append(
            (_name(row), str(row["cells"]), str(row["images"]), f"{per_image:.4g}", _time(row["seconds"]),
             f"{memory:.2g} GB", f"{storage:.2g} GB" if storage else "-")
        )  # fmt: skip
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    told = [
        line[0].ljust(widths[0]) + "".join(f"  {cell:>{width}}" for cell, width in zip(line[1:], widths[1:]))
        for line in lines
    ]
    device = " and ".join(sorted(set(made["device"]))) or "no device"
    total, stored = _time(made["seconds"].sum()), made["storage_bytes"].sum() / GB
    told += [
        f"Explaining will take about {total} on {device}, one job after the other, training aside, and "
        f"{stored:.2g} GB on disk.",
        "Passes are rows through the network per image; memory is what they hold, beside the program.",
    ]
    left = planned[planned["status"] != "ok"]
    told += [
        f"{row['status']}: {_name(row)}: {row['reason']}" for _, row in left.head(SHOWN_REASONS).iterrows()
    ]
    told += [f"... and {len(left) - SHOWN_REASONS} more"] if len(left) > SHOWN_REASONS else []
    return "\n".join(told)


def _name(row: pd.Series) -> str:
    probe = f", probe '{row['probe']}'" if row["probe"] else ""
    return f"'{row['method']}'{probe} of {row['model']} on {row['dataset']}"


def _time(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.2g} s"
