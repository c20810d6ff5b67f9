"""What a study says of its references: which regions there are, what they are made of, which are averaged."""

from __future__ import annotations

from typing import Any

from sightline.errors import ConfigError

Study = Any  # a `sightline.study.grid.Study`

PLAIN = ("of", "source", "label", "reader")
LUNGS = {"of": "lungs", "source": "mask", "label": None, "reader": None}
GAZE = "gaze"  # what the center bias of gaze is called beside those of regions
OF_REGIONS = {"center_bias": False, "alike": [], "minus": None, "outside": False}


def regions(study: Study, dataset: str) -> dict[str, dict]:
    """The regions of `dataset` that maps are compared with or that baselines need, by name."""
    found = {}
    for name, reference in study.references_of(dataset).items():
        if reference["kind"] == "region":
            derived = {key: reference[key] for key in ("minus", "outside") if reference[key]}
            found[name] = {key: reference.get(key) for key in PLAIN} | derived
    if "hull" in study.baselines:
        found.setdefault("lungs", dict(LUNGS))
    return found


def centred(study: Study, dataset: str) -> dict[str, list[str]]:
    """The regions of `dataset` that have a center bias: name -> the strata in which averaged images agree."""
    return {
        name: reference["alike"]
        for name, reference in study.references_of(dataset).items()
        if reference["center_bias"]
    }


def has_center_bias(study: Study) -> bool:
    """Whether maps are compared with gaze, or with a region that has a center bias."""
    return any(one["kind"] == "gaze" or one["center_bias"] for one in study.references.values())


def check(study: Study) -> None:
    """Raise `ConfigError` for the first reference that cannot be made."""
    for name, reference in study.references.items():
        where = f"config: references.{name}"
        missing = [key for key in ("of", "source") if key not in reference]
        if reference["kind"] == "region" and missing:
            raise ConfigError(f"{where}: a region needs the key(s) {', '.join(missing)}")
        given = [key for key, default in OF_REGIONS.items() if reference[key] != default]
        if reference["kind"] == "gaze" and given:
            raise ConfigError(f"{where}: only a region may have the key(s) {', '.join(given)}")
        if reference["center_bias"] and name == GAZE:
            raise ConfigError(f"{where}: a region with a center bias may not be called '{GAZE}'")
        if reference["alike"] and not reference["center_bias"]:
            raise ConfigError(f"{where}: 'alike' says which center bias an image has; set center_bias: true")
        _check_minus(study, where, reference)


def _check_minus(study: Study, where: str, reference: dict) -> None:
    if reference["minus"] is None:
        return
    other = study.references.get(reference["minus"], {"kind": "none"})
    if other["kind"] != "region" or other["minus"] is not None:
        names = [name for name, one in study.references.items() if one["kind"] == "region"]
        plain = ", ".join(name for name in names if study.references[name]["minus"] is None) or "none"
        raise ConfigError(
            f"{where}.minus: '{reference['minus']}' is no region without 'minus' in references; "
            f"there: {plain}"
        )
    asked = reference["datasets"] or list(study.datasets)
    lacking = [name for name in asked if other["datasets"] is not None and name not in other["datasets"]]
    if lacking:
        raise ConfigError(f"{where}.minus: '{reference['minus']}' is not held by the dataset {lacking[0]}")
