"""What of a study's grid costs the same, so that it is forecast once."""

from __future__ import annotations

from typing import Any

from sightline.study import training as study_training

Study = Any  # a `sightline.study.grid.Study`


def datasets(study: Study) -> dict[str, str]:
    """The datasets that some model explains, and how their pictures are fitted to what it takes."""
    names = sorted({cell.dataset for cell in study.cells})
    return {name: study.datasets[name]["preparation"]["fit"] for name in names}


def models(study: Study) -> dict[str, dict]:
    """The models that explain something, as they are built, with their labels and side."""
    return {
        name: {"architecture": study.models[name]["architecture"]}
        | {"arguments": study_training.built_with(study, name)}
        | {"labels": study.labels_of(name), "side": study.recipe_of(name)["side"]}
        for name in sorted({cell.model for cell in study.cells})
    }


def alike(study: Study) -> list[dict]:
    """Groups of cells that cost the same (seeds and conditions), each with how many `cells` it has.

    A group holds dataset, model and method, its `kind` and `options`, what the run says of its cells, `what`
    is explained, and by name the `probes` of its maps, with how many cells these have and the most images.
    """
    groups: dict[str, dict] = {}
    for cell in study.cells:
        group = {name: getattr(cell, name) for name in ("dataset", "model", "method")}
        group |= {name: study.methods[cell.method][name] for name in ("kind", "options")}
        group |= {
            "study_seed": study.seed,
            "chosen": study.choice(cell, "images"),
            "at_most": study.choice(cell, "at_most"),
            "placement": study.choice(cell, "placement"),
            "targets": study.target_name_of(cell),
            "what": study.targets_of(cell),
            "reference_images": study.reference_images_of(cell.method),
        }
        group = groups.setdefault(repr(group), group | {"cells": 0, "probes": {}})
        group["cells"] += 1
        for name, probe in study.probes_of(cell).items():
            counted = group["probes"].setdefault(name, probe | {"cells": 0, "probed": 0})
            counted["cells"] += 1
            counted["probed"] = max(counted["probed"], study.choice(cell, "probed"))
    return list(groups.values())
