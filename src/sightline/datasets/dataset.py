"""What a dataset is after reading, and the walk from its adapter over its annotations to its selection."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd

from sightline import tables
from sightline.errors import ConfigError, DatasetError

# tables whose rows belong to an image
OF_IMAGES = ("labels", "strata", "boxes", "masks", "readings", "fixations")


@dataclass(frozen=True)
class Dataset:
    """A dataset's name and its tables, each with the columns of its schema."""

    name: str
    images: pd.DataFrame
    labels: pd.DataFrame
    strata: pd.DataFrame
    boxes: pd.DataFrame
    masks: pd.DataFrame
    readings: pd.DataFrame
    fixations: pd.DataFrame
    cohort: pd.DataFrame
    skipped: pd.DataFrame

    @staticmethod
    def nothing(name: str) -> Dataset:
        """A dataset of this name whose tables are empty."""
        return Dataset(name, **{table: tables.empty(table) for table in table_names()})

    def adding(self, **frames: pd.DataFrame) -> Dataset:
        """The dataset with rows added to the named tables; their `dataset` column is filled with its name."""
        grown = {}
        for table, rows in frames.items():
            if len(rows):
                rows = rows.assign(dataset=self.name)[list(tables.SCHEMAS[table].columns)]
                present = getattr(self, table)
                grown[table] = pd.concat([present, rows], ignore_index=True) if len(present) else rows
        return replace(self, **grown)

    def keeping(self, images: pd.DataFrame) -> Dataset:
        """The dataset with these images, and only those rows of the other tables that belong to them."""
        kept = pd.Index(images["image"], dtype=object)
        rows = {name: table for name in OF_IMAGES if len(table := getattr(self, name))}
        return replace(
            self,
            images=images.reset_index(drop=True),
            **{
                name: table[among(table["image"], kept)].reset_index(drop=True)
                for name, table in rows.items()
            },
        )


def among(column: pd.Series, values: pd.Index) -> np.ndarray:
    """Where the column (text or categories) holds one of `values`: bool, by position; fast on millions."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return (values.get_indexer(column.cat.categories.astype(object)) >= 0)[column.cat.codes]
    return values.get_indexer(column.to_numpy(dtype=object)) >= 0


def table_names() -> list[str]:
    """The names of a dataset's tables, in order."""
    return [field.name for field in fields(Dataset) if field.name != "name"]


def read(name: str, root: Path, adapter: str, adapter_options: dict, annotations: dict[str, dict]) -> Dataset:
    """Read the dataset `name` in the folder `root`: adapter, each annotation in order, then the selection.

    `adapter` and the keys of `annotations` name modules of this package. An adapter may have a third
    function, `select(dataset, **options) -> Dataset`, called last: it knows what the annotations evaluate.
    Raises `DatasetError` for bad upstream files, or where no image is left and none was refused (then the
    gate after preparation says why), and `ConfigError` for a module that does not exist.
    """
    root = Path(root)
    module = _module(adapter, "read")
    dataset = module.read(root, name, **adapter_options)
    for annotation, options in annotations.items():
        dataset = _module(annotation, "annotate").annotate(root, dataset, **options)
    dataset = module.select(dataset, **adapter_options) if hasattr(module, "select") else dataset
    if dataset.images.empty and not (dataset.skipped["stage"] == "read").any():
        left = "".join(f"\n  {row.images} {row.filter}" for row in dataset.cohort.itertuples())
        raise DatasetError(f"dataset '{name}' ({root}): no image is left; loosen a filter or add some{left}")
    return dataset


def sources(root: Path, adapter: str, adapter_options: dict, annotations: dict[str, dict]) -> list[Path]:
    """The upstream tables that `read` will read (existing or not), without repetition: a rule's inputs."""
    root = Path(root)
    found = _module(adapter, "read").sources(root, **adapter_options)
    for annotation, options in annotations.items():
        found = found + _module(annotation, "annotate").sources(root, **options)
    return list(dict.fromkeys(found))


def reading_sources(root: Path, annotations: dict[str, dict]) -> list[Path]:
    """The files of single readings that `read` reads beside `sources`, once those are there.

    An annotation may name them (`reading_sources(root, **options)`); whoever downloads a dataset needs them.
    """
    modules = {name: _module(name, "annotate") for name in annotations}
    return [
        path
        for name, options in annotations.items()
        if hasattr(modules[name], "reading_sources")
        for path in modules[name].reading_sources(Path(root), **options)
    ]


def _module(name: str, function: str) -> ModuleType:
    """The module of this package called `name`, which must have `function`."""
    try:
        module = importlib.import_module(f"sightline.datasets.{name}")
    except ModuleNotFoundError as error:
        if error.name != f"sightline.datasets.{name}":
            raise
        module = None
    if not hasattr(module, function):
        kind = "adapter" if function == "read" else "annotation"
        known = ", ".join(names(function))
        raise ConfigError(f"datasets: unknown {kind} '{name}'; expected one of {known}")
    return module


def cohort_flow(flow: str, steps: list[tuple[str, pd.DataFrame]]) -> pd.DataFrame:
    """Rows of `cohort` (without `dataset`): what each filter left, from (its name, the images left)."""
    return pd.DataFrame(
        [
            {
                "flow": flow,
                "step": step,
                "filter": name,
                "images": left["image"].nunique(),
                "subjects": left["subject"].nunique(),
            }
            for step, (name, left) in enumerate(steps)
        ]
    )


def names(function: str = "read") -> list[str]:
    """The adapters (`read`) or annotations (`annotate`) of this package, found without importing them."""
    folder = Path(__file__).parent
    return sorted(
        path.stem
        for path in folder.glob("*.py")
        if (text := path.read_text(encoding="utf-8")).find(f"\ndef {function}(") >= 0 and "\nOPTIONS" in text
    )
