"""Into how many shards the work of each stage is cut."""

from __future__ import annotations

from typing import Any

STAGES = ("prepare", "attribute", "probe", "score")
Study = Any  # a `sightline.study.grid.Study`


def count(study: Study, stage: str) -> int:
    """The shards of each job of `stage`, one of `STAGES`; 1: it is not cut."""
    given = study.config["limits"]["shards"]
    return given[stage] if isinstance(given, dict) else given


def of_rule(study: Study, rule: str) -> int:
    """The shards that the jobs of `rule` join; 1: it is none of `STAGES`, or not cut."""
    return count(study, rule) if rule in STAGES else 1


def jobs(study: Study) -> int:
    """The jobs that the shards of a study are, beside those that join them."""
    whole = {
        "prepare": study.datasets,
        "attribute": study.cells,
        "probe": study.probed_cells,
        "score": study.scored_cells,
    }
    counts = {stage: count(study, stage) for stage in STAGES}
    return sum(len(whole[stage]) * shards for stage, shards in counts.items() if shards > 1)


def limits_that_tell(study: Study) -> dict[str, Any]:
    """The configuration's `limits` without what changes no result: the number of shards."""
    return {key: value for key, value in study.config["limits"].items() if key != "shards"}
