"""Where the tests find numbers from the authors' code and real, openly licensed films."""

import os
import random
import sys
from operator import attrgetter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def _folder(variable: str, name: str) -> Path:
    folder = Path(os.environ.get(variable, ROOT.parent / "shared" / name))
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}; set {variable} to where the '{name}' data lies")
    return folder


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """What a test draws without a seed of its own is the same whichever tests its process ran before."""
    random.seed(0)
    for library, seed in (("numpy", "random.seed"), ("torch", "manual_seed")):
        if library in sys.modules:
            attrgetter(seed)(sys.modules[library])(0)


@pytest.fixture(scope="session")
def golden() -> Path:
    return _folder("SIGHTLINE_GOLDEN_DATA", "golden")


@pytest.fixture(scope="session")
def real() -> Path:
    return _folder("SIGHTLINE_REAL_DATA", "real")
