"""What a download is asked for, and what it found: between the rule and the modules that know a server."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sightline.datasets import dataset


@dataclass(frozen=True)
class Asked:
    """A dataset as the configuration has it, and the folder in which it is to lie."""

    name: str
    folder: Path
    adapter: str
    adapter_options: dict[str, Any]
    annotations: dict[str, dict[str, Any]]

    def sources(self) -> list[Path]:
        """The upstream tables that the adapter and the annotations read, there or not."""
        return dataset.sources(self.folder, self.adapter, self.adapter_options, self.annotations)

    def readings(self) -> list[Path]:
        """The files of single readings, known once the tables are there."""
        return dataset.reading_sources(self.folder, self.annotations)

    def read(self) -> dataset.Dataset:
        """The dataset, read from its tables as the study will read it."""
        return dataset.read(self.name, self.folder, self.adapter, self.adapter_options, self.annotations)


@dataclass(frozen=True)
class Found:
    """The wanted files that are there (names below the folder), what failed and why, how much was wanted."""

    files: list[str]
    failed: dict[str, str]
    wanted: int
