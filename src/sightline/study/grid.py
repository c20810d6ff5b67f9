"""A study's configuration: checked, completed, and spread into the grid of what is explained.

The one module that knows the configuration's shape; `common.smk` and `every_rule.smk` alone import it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from sightline import addresses, options
from sightline.agreement import pairs
from sightline.errors import ConfigError
from sightline.modules import full_name
from sightline.study import artifacts as study_artifacts
from sightline.study import names as study_names
from sightline.study import preparing, sharding
from sightline.study import training as study_training

ADAPTERS = "sightline.datasets"
ARCHITECTURES = "sightline.models.architectures"
CONDITIONS = "sightline.attribution.conditions"
METHODS = "sightline.attribution.methods"
PHANTOMS = "sightline.phantom"
PROBES = "sightline.attribution.probes"
TARGETS = "sightline.attribution.targets"
# what a run says of its cells beside their axes
PER_RUN = ("images", "at_most", "placement", "targets", "probes", "probed")
SIDE = 224  # at which films are kept that no model sees: for the figures


@dataclass(frozen=True, order=True)
class Cell:
    """One cell of the grid: a trained model explains a dataset under a condition by a method."""

    dataset: str
    model: str
    seed: int
    condition: str
    method: str


class Study:
    """The configuration with every default filled in, and what follows from it.

    Raises `ConfigError` with the key's path and the allowed values for an unknown key, a wrong type, an
    unknown adapter, architecture, method or metric, or a name that no section defines.
    """

    def __init__(self, config: dict[str, Any], schema: Path):
        addresses.refuse_secrets(config)  # first of all: errors quote what they refuse
        self.config = options.validated(config, yaml.safe_load(schema.read_text()), "config")
        self.name: str = self.config["study"]
        self.seed: int = self.config["seed"]
        self.datasets: dict[str, dict] = {
            name: self._dataset(name, given) for name, given in self.config["datasets"].items()
        }
        self.recipes = {
            name: options.with_defaults("sightline.models.recipe", given, f"recipes.{name}")
            for name, given in self.config["recipes"].items()
        }
        self.models = {name: self._model(name, given) for name, given in self.config["models"].items()}
        self.methods = {name: self._method(name, given) for name, given in self.config["methods"].items()}
        self.conditions = {
            name: self._of_kind(CONDITIONS, given, f"conditions.{name}")
            for name, given in self.config["conditions"].items()
        }
        self.targets = {
            name: options.with_defaults(TARGETS, without(given, "kind"), f"targets.{name}")
            | {"kind": given["kind"]}
            for name, given in self.config["targets"].items()
        }
        self.probes = {
            name: self._of_kind(PROBES, given, f"probes.{name}")
            for name, given in self.config["probes"].items()
        }
        for section in ("readings", "runs", "references", "baselines", "agreements"):
            setattr(self, section, self.config[section])
        self.artifacts = study_artifacts.completed(self)
        study_names.check(self)

    # ---- completed sections
    def _dataset(self, name: str, given: dict) -> dict:
        where = f"datasets.{name}"
        adapter = self._completed(
            ADAPTERS, given["adapter"]["name"], without(given["adapter"], "name"), f"{where}.adapter"
        )
        annotations = {
            module: self._completed(ADAPTERS, module, chosen, f"{where}.annotations.{module}")
            for module, chosen in given["annotations"].items()
        }
        phantom = given["phantom"]
        if phantom is not None:
            phantom = self._completed(PHANTOMS, given["adapter"]["name"], phantom, f"{where}.phantom")
        return given | {
            "adapter": given["adapter"]["name"],
            "adapter_options": adapter,
            "annotations": annotations,
            "phantom": phantom,
            "preparation": preparing.completed(given["preparation"], f"{where}.preparation"),
        }

    def _model(self, name: str, given: dict) -> dict:
        where = f"models.{name}"
        architecture = given["architecture"]
        place = f"{where}.architecture.arguments"
        name, arguments = architecture["name"], architecture["arguments"]
        arguments = self._completed(ARCHITECTURES, name, arguments, place)
        if name == "file":  # from here on the user's file is the architecture
            name, arguments = arguments["path"], arguments["arguments"]
            study_names.complete(name, study_names.NETWORK, f"{place}.path")
            if "OPTIONS" in options.defined(name):
                arguments = options.with_defaults(name, arguments, f"{place}.arguments")
        for key, section in (("train_on", "datasets"), ("labels", "label_sets"), ("recipe", "recipes")):
            study_names.known(given[key], self.config[section], f"{where}.{key}", section)
        return given | {"architecture": name, "arguments": arguments}

    def _method(self, name: str, given: dict) -> dict:
        where, kind, ours = f"methods.{name}", given["kind"], options.available(METHODS)
        own = study_names.own_methods(self.config["method_folder"], ours)
        study_names.known(kind, [*ours, *own], where, f"modules of {METHODS} or of method_folder")
        if kind in own:  # from here on the user's file is the method
            kind = own[kind]
            study_names.complete(kind, study_names.METHOD, f"{where}.kind")
        chosen = without(given, "kind", "readings", "limits")
        completed = options.with_defaults(full_name(METHODS, kind), chosen, where)
        return {"kind": kind, "readings": given["readings"], "options": completed}

    def _of_kind(self, package: str, given: dict, where: str) -> dict:
        kind, chosen = given["kind"], without(given, "kind")
        return {"kind": kind, "options": self._completed(package, kind, chosen, where)}

    def _completed(self, package: str, module: str, given: dict, where: str) -> dict:
        study_names.known(module, options.available(package), where, f"modules of {package}")
        return options.with_defaults(f"{package}.{module}", given, where)

    # ---- what follows
    @property
    def leave_outs(self) -> list[str]:
        """The ways in which the center bias leaves readings out."""
        return self.config["center_bias"]["leave_out"]

    @property
    def jobs(self) -> int:
        """About how many jobs the study has: per dataset, model and seed, cell, and at its end."""
        cells = 2 * (len(self.cells) + len(study_artifacts.cells(self))) + len(self.probed_cells)
        ends = len(self.agreement_jobs) + 8
        return 8 * len(self.datasets) + len(self.trained) + cells + ends + sharding.jobs(self)

    @cached_property
    def _choices(self) -> dict[Cell, dict[str, Any]]:
        """What the runs say of each cell beside its axes; two runs that differ on one cell are refused."""
        found: dict[Cell, dict[str, Any]] = {}
        for name, run in self.runs.items():
            choice = {key: run[key] for key in PER_RUN}
            for axes in product(
                run["datasets"], run["models"], run["seeds"], run["conditions"], run["methods"]
            ):
                if found.setdefault(Cell(*axes), choice) != choice:
                    raise ConfigError(
                        f"config: runs.{name}: {Cell(*axes)} is explained otherwise by another run: {choice}"
                    )
        return found

    def choice(self, cell: Cell, key: str) -> Any:
        """One of `PER_RUN` for a cell (anything with its axes as attributes), as its run says."""
        return self._choices[Cell(cell.dataset, cell.model, int(cell.seed), cell.condition, cell.method)][key]

    def targets_of(self, cell: Cell) -> dict:
        """What is explained in a cell, with its options."""
        return self.targets[self.target_name_of(cell)]

    def target_name_of(self, cell: Cell) -> str:
        """The name of what is explained in a cell: as its run says, else by the method's grid."""
        usual = "predicted_and_labelled" if self._stated(cell.method, "GRID") == "input" else "all_classes"
        return self.choice(cell, "targets") or usual

    def probes_of(self, cell: Cell) -> dict[str, dict]:
        """The probes of a cell's maps, by name, with their options."""
        return {name: self.probes[name] for name in self.choice(cell, "probes")}

    @cached_property
    def probed_cells(self) -> list[Cell]:
        """The cells whose maps are probed."""
        return [cell for cell in self.cells if self.choice(cell, "probes")]

    def limits_of(self, method: str) -> dict:
        """What a job that explains by `method` may take: seconds, memory_gb (None: no limit), on_excess."""
        return self.config["methods"][method]["limits"]

    def recorded_limits_of(self, method: str) -> dict | None:
        """The limits of `method` where passing one is a result (failed maps), else None."""
        limits = self.limits_of(method)
        return limits if limits["on_excess"] == "record" else None

    def reference_images_of(self, method: str) -> int:
        """How many reference images `method` compares with; 0 where it needs none."""
        needed = "references" in self._stated(method, "NEEDS", ())
        return self.config["compute"]["reference_images"] if needed else 0

    def _stated(self, method: str, literal: str, default: Any = None) -> Any:
        """A literal of the module of `method`."""
        return options.read(full_name(METHODS, self.methods[method]["kind"])).get(literal, default)

    @cached_property
    def cells(self) -> list[Cell]:
        """The grid: every cell of every run once, sorted."""
        return sorted(self._choices)

    @cached_property
    def scored_cells(self) -> list[Cell]:
        """The cells whose dataset holds a reference."""
        return self.scored(self.cells)

    @cached_property
    def agreement_jobs(self) -> list[tuple[str, str]]:
        """The (dataset, agreement) in which there are maps to compare."""
        return [
            (dataset, name)
            for dataset in self.datasets
            for name in self.agreements
            if self.compared_cells(dataset, name)
        ]

    def compared_cells(self, dataset: str, name: str) -> list[Cell]:
        """The cells of `dataset` whose maps the agreement `name` compares."""
        return pairs.compared([cell for cell in self.cells if cell.dataset == dataset], self.agreements[name])

    @cached_property
    def trained(self) -> list[tuple[str, int]]:
        """The (model, seed) pairs that some run or artefact needs."""
        using = [*self.cells, *study_artifacts.cells(self)]
        return study_training.with_masked(self, {(cell.model, cell.seed) for cell in using})

    def seeds_of(self, model: str) -> list[int]:
        """The seeds with which `model` is trained."""
        return [seed for name, seed in self.trained if name == model]

    def sides_of(self, dataset: str) -> list[int]:
        """The training sizes at which `dataset` is kept: of the models that train on it or explain it."""
        users = {name for name, _ in self.trained if self.models[name]["train_on"] == dataset}
        using = [*self.cells, *study_artifacts.cells(self)]
        users |= {cell.model for cell in using if cell.dataset == dataset}
        return sorted({self.recipe_of(name)["side"] for name in users}) or [SIDE]

    def recipe_of(self, model: str) -> dict:
        """The completed training recipe of `model`."""
        return self.recipes[self.models[model]["recipe"]]

    def labels_of(self, model: str) -> list[str]:
        """The labels of `model`'s outputs, in order."""
        return self.config["label_sets"][self.models[model]["labels"]]

    def references_of(self, dataset: str) -> dict[str, dict]:
        """The references that `dataset` holds."""
        return {
            name: without(reference, "datasets")
            for name, reference in self.references.items()
            if reference["datasets"] is None or dataset in reference["datasets"]
        }

    @property
    def scored_datasets(self) -> list[str]:
        """The datasets that hold a reference."""
        return [name for name in self.datasets if self.references_of(name)]

    def readings_of(self, method: str) -> dict[str, dict]:
        """What is done to the maps of `method` before scoring, by name."""
        return {name: self.readings[name] for name in self.methods[method]["readings"]}

    # ---- what is shown
    @property
    def pictured_datasets(self) -> list[str]:
        """The datasets whose images the page shows: explained, or scored."""
        explained = {cell.dataset for cell in self.cells}
        return [name for name in self.datasets if name in explained or name in self.scored_datasets]

    def shown(self, dataset: str) -> list[dict]:
        """The maps beside the images of `dataset`: each model's first seed, each method's first reading."""
        rows = []
        for cell in self.cells:
            if cell.dataset == dataset and cell.seed == self.seeds_of(cell.model)[0]:
                name, reading = next(iter(self.readings_of(cell.method).items()))
                said = {"labels": self.labels_of(cell.model)}
                said["exclusive"] = study_training.exclusive(self, cell.model)
                rows.append(vars(cell) | {"reading": name, "how": reading} | said)
        order = ["clean", *self.conditions]
        return sorted(rows, key=lambda row: (order.index(row["condition"]), row["method"] != "gradcam"))

    def scored(self, cells: list[Cell]) -> list[Cell]:
        """Those of `cells` whose dataset holds a reference."""
        return [cell for cell in cells if self.references_of(cell.dataset)]


def without(mapping: dict, *keys: str) -> dict:
    """`mapping` less `keys`."""
    return {key: value for key, value in mapping.items() if key not in keys}


if __name__ == "__main__":  # the documentation page of the configuration
    print(options.document(yaml.safe_load(Path(sys.argv[1]).read_text()), command="make docs"), end="")
