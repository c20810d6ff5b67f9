"""How a dataset's pictures are prepared: its options, and which of them need each other."""

from __future__ import annotations

from typing import Any

from sightline import options
from sightline.errors import ConfigError


def completed(given: dict[str, Any], where: str) -> dict[str, Any]:
    """The options `given` at `where` of the configuration with their defaults.

    Raises `ConfigError` for unknown ones, and where one needs a region that is not looked for.
    """
    found = options.with_defaults("sightline.preparing.preparation", given, where)
    for key, asks in (("crop", True), ("orient", "left")):
        if found[key] == asks and found["find"] is None:
            raise ConfigError(
                f"config: {where}.{key}: {str(asks).lower()} needs a region that is found in the picture; "
                f"add find: breast, or leave {key} out"
            )
    return found
