"""Where the tests find numbers from the authors' code and real, openly licensed films."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set {variable} to where the '{name}' data lies")
    return folder


@pytest.fixture(scope="session")
def golden() -> Path:
    return _folder("SIGHTLINE_GOLDEN_DATA", "golden")


@pytest.fixture(scope="session")
def real() -> Path:
    return _folder("SIGHTLINE_REAL_DATA", "real")
