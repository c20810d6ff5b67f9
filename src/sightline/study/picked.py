"""The modules that a job picks by the names in the configuration: their code is part of its fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sightline import options
from sightline.modules import full_name
from sightline.study import costs, downloads, stability, training
from sightline.study.grid import Study

Wildcards = Any  # a job's wildcards as attributes: dataset, model, seed, condition, method ...

DATASETS = "sightline.datasets"
ARCHITECTURES = "sightline.models.architectures"
METHODS = "sightline.attribution.methods"
CONDITIONS = "sightline.attribution.conditions"
PROBES = "sightline.attribution.probes"
ARTIFACTS = "sightline.attribution.artifacts"
METRICS = "sightline.metrics"


def modules(study: Study, rule: str, wildcards: Wildcards) -> list[str]:
    """The modules (dotted, or the path of a user's file) that a job of `rule` picks; [] where none."""
    pick = PICKS.get(rule.removesuffix("_shard"))  # a shard is a share of the same work
    return pick(study, wildcards) if pick else []


def kinds(method: dict) -> list[str]:
    """What a method is made of: its own kind, and those that its options name (SmoothGrad's base)."""
    inner = [option for option in method["options"].values() if isinstance(option, dict) and "kind" in option]
    return [method["kind"], *(option["kind"] for option in inner)]


def _phantom(study: Study, wildcards: Wildcards) -> list[str]:
    return [f"sightline.phantom.{study.datasets[wildcards.dataset]['adapter']}"]


def _adapters(study: Study, wildcards: Wildcards) -> list[str]:
    dataset = study.datasets[wildcards.dataset]
    return [f"{DATASETS}.{name}" for name in [dataset["adapter"], *dataset["annotations"]]]


def _server(study: Study, wildcards: Wildcards) -> list[str]:
    source = downloads.of(study, wildcards.dataset)["source"]
    return [*_adapters(study, wildcards), f"{downloads.SERVERS}.{source}"]


def _architecture(study: Study, wildcards: Wildcards) -> list[str]:
    return [full_name(ARCHITECTURES, study.models[wildcards.model]["architecture"])]


def _methods(found: list[str]) -> list[str]:
    return [full_name(METHODS, kind) for kind in found]


def _explained(study: Study, wildcards: Wildcards) -> list[str]:
    condition = study.conditions[wildcards.condition]["kind"]
    methods = _methods(kinds(study.methods[wildcards.method]))
    return [*_architecture(study, wildcards), *methods, f"{CONDITIONS}.{condition}"]


def _probed(study: Study, wildcards: Wildcards) -> list[str]:
    probes = [f"{PROBES}.{one['kind']}" for one in study.probes_of(wildcards).values()]
    return _explained(study, wildcards) + probes


def _described(study: Study, wildcards: Wildcards) -> list[str]:
    artifact = study.artifacts[wildcards.artifact]["kind"]
    return [*_architecture(study, wildcards), f"{ARTIFACTS}.{artifact}", f"{CONDITIONS}.clean"]


def _masked(study: Study, wildcards: Wildcards) -> list[str]:
    base = training.condition_of(study, wildcards.model)["model"]
    setting = training.masking_of(study, wildcards.model)["setting"]
    method = {"kind": setting["method"], "options": setting["options"]}
    found = [] if setting["method"] is None else kinds(method)
    return [full_name(ARCHITECTURES, study.models[base]["architecture"]), *_methods(found)]


def _planned(study: Study, _wildcards: Wildcards) -> list[str]:
    groups = costs.alike(study)
    networks = [full_name(ARCHITECTURES, one["architecture"]) for one in costs.models(study).values()]
    methods = _methods(sorted({kind for group in groups for kind in kinds(group)}))
    probes = sorted({one["kind"] for group in groups for one in group["probes"].values()})
    return [*networks, *methods, *(f"{PROBES}.{kind}" for kind in probes)]


def _moving(study: Study, wildcards: Wildcards) -> list[str]:
    moving = stability.moving(study, wildcards.dataset, wildcards.agreement)
    return [f"{CONDITIONS}.{one['kind']}" for one in moving.values()]


def _conditions(study: Study, _wildcards: Wildcards) -> list[str]:
    return [f"{CONDITIONS}.{one['kind']}" for one in study.conditions.values()]


def _metrics(_study: Study, _wildcards: Wildcards) -> list[str]:
    folder = options.SOURCE / METRICS.replace(".", "/")
    return sorted(f"{METRICS}.{path.stem}" for path in folder.glob("*.py"))


# rule -> its picks; the other rules run what their scripts import
PICKS: dict[str, Callable[[Study, Wildcards], list[str]]] = {
    "make_phantom": _phantom,
    "read_dataset": _adapters,
    "download": _server,
    "train": _architecture,
    "attribute": _explained,
    "probe": _probed,
    "make_artifacts": _described,
    "mask_images": _masked,
    "plan_costs": _planned,
    "compare_maps": _moving,
    "plot_stability": _conditions,
    "score": _metrics,
    "score_baselines": _metrics,
}
