"""Where the datasets of a study are downloaded from."""

from __future__ import annotations

from typing import Any

from sightline import options
from sightline.errors import ConfigError

Study = Any  # a `sightline.study.grid.Study`, which checks its names here

SERVERS = "sightline.download"
OURS = ("from", "accept_missing")  # the other keys are the server's options


def of(study: Study, dataset: str) -> dict[str, Any] | None:
    """How `dataset` is downloaded: source, options (completed), accept_missing; None where it is not.

    Raises `ConfigError` for an unknown server or option, and for a phantom, which is made here.
    """
    given = study.datasets[dataset]
    download, where = given["download"], f"datasets.{dataset}.download"
    if download is None:
        return None
    if given["phantom"] is not None:
        raise ConfigError(
            f"config: {where}: the dataset is a phantom, which is made here; drop one of the two"
        )
    source, servers = download["from"], options.available(SERVERS)
    if source not in servers:
        raise ConfigError(
            f"config: {where}.from: {options.unknown(source, servers, f'modules of {SERVERS}')}"
        )
    chosen = {key: value for key, value in download.items() if key not in OURS}
    return {
        "source": source,
        "options": options.with_defaults(f"{SERVERS}.{source}", chosen, where),
        "accept_missing": download["accept_missing"],
    }


def local_files(study: Study, dataset: str) -> list[str]:
    """The user's own files that a download reads: a manifest, tables; folders and addresses aside."""
    chosen = of(study, dataset)["options"]
    places = [chosen.get("manifest"), *(chosen.get("tables") or [])]
    return [place for place in places if place and "://" not in place and place.endswith((".tcia", ".csv"))]
