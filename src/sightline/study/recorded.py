"""What the record of a finished study says of its configuration: all of it, but nobody's name."""

from __future__ import annotations

from typing import Any

from sightline import options
from sightline.study import shown

Study = Any  # a `sightline.study.grid.Study`


def config(study: Study) -> dict[str, Any]:
    """The completed configuration; of datasets that may not be passed on, no option that names anybody."""
    return shown.published_config(study, local=False)


def seeds(study: Study) -> dict[str, Any]:
    """Where draws begin: the study's seed, and the seeds of each trained model."""
    return {"study": study.seed, "models": {name: study.seeds_of(name) for name in study.models}}


def identifying(study: Study) -> list[str]:
    """The options, of any module that the study's restricted datasets use, whose values may name somebody."""
    names = set()
    for dataset in study.config["datasets"].values():
        modules = [
            f"sightline.datasets.{one}" for one in (dataset["adapter"]["name"], *dataset["annotations"])
        ]
        if dataset["download"] is not None:
            modules.append(f"sightline.download.{dataset['download']['from']}")
        for module in modules if not dataset["redistributable"] else []:
            stated = options.read(module).get("OPTIONS", {})
            names |= {name for name, one in stated.items() if one.get("identifies")}
    return sorted(names)
