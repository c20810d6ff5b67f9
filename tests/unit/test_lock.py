"""One lock, hashed, without an index's address, and every other list of versions agrees with it."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from sightline import provenance

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ORACLES = sorted((ROOT / "tests/oracles").glob("*.lock"))
ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def entries(lock: Path = LOCK) -> dict[str, str]:
    """Name -> the lock's lines of each distribution."""
    text = re.sub(r"^\s*#.*\n", "", lock.read_text(), flags=re.MULTILINE)
    blocks = re.split(r"^(?=\S)", text, flags=re.MULTILINE)
    return {normal(re.split(r"[=\[ ]", block)[0]): block for block in blocks if block.strip()}


def pinned() -> dict[str, str]:
    return {name: re.search(r"==([^\s;\\]+)", block).group(1) for name, block in entries().items()}


each_lock = pytest.mark.parametrize("lock", [LOCK, *ORACLES], ids=lambda path: path.name)


def test_there_are_locks():
    assert len(entries()) > 100
    assert len(ORACLES) == 3


@each_lock
def test_every_entry_is_pinned_and_hashed(lock):
    loose = [
        name
        for name, block in entries(lock).items()
        if not re.match(r"[\w.-]+(\[[\w,-]+\])?==", block)
        or not re.search(r"--hash=sha256:[0-9a-f]{64}", block)
    ]
    assert loose == []


@each_lock
def test_no_address_of_an_index_is_in_it(lock):
    assert (
        re.findall(r"(?m)^\s*(?:-i|--[a-z-]*(?:index|links)[a-z-]*)\b.*|https?://\S+", lock.read_text()) == []
    )


@pytest.mark.parametrize("lock", ORACLES, ids=lambda path: path.name)
def test_an_oracle_locks_what_it_lacks_and_brings_nothing_of_ours(lock):
    stated = [line for line in lock.with_suffix(".in").read_text().split("\n") if line and line[0] != "#"]
    assert set(map(name_of, stated)) == set(entries(lock))
    assert set(entries(lock)) & set(entries()) <= {"setuptools"}


@pytest.mark.parametrize("group", ["dependencies", "dev"])
def test_every_direct_dependency_is_locked(group):
    stated = PROJECT["dependencies"] if group == "dependencies" else PROJECT["optional-dependencies"][group]
    assert [name for name in map(name_of, stated) if name not in pinned()] == []


def name_of(requirement: str) -> str:
    return normal(re.match(r"[A-Za-z0-9._-]+", requirement).group())


def test_exact_requirements_are_those_locked():
    exact = dict(
        re.match(r"([\w.-]+)==(.+)", stated).groups() for stated in PROJECT["dependencies"] if "==" in stated
    )
    assert exact
    assert {normal(name): version for name, version in exact.items()}.items() <= pinned().items()


def test_fingerprints_read_the_versions_that_the_lock_holds():
    assert provenance.pinned(LOCK) == pinned()
    assert set(provenance.DISTRIBUTIONS.values()) <= set(pinned())


def stated_pins(content: list) -> list[tuple[str, str]]:
    """(name, version) of every pin of a conda environment, its pip part included."""
    pins = []
    for entry in content:
        if isinstance(entry, dict):
            pins += stated_pins(entry["pip"])
        elif found := re.fullmatch(
            r"(?:[\w-]+::)?([A-Za-z0-9._-]+)\s*={1,2}\s*([\w.!+]+?)(?:=\w+|\.\*)?", entry
        ):
            pins.append((normal(found[1]), found[2]))
    return pins


# what conda calls otherwise
CONDA_NAMES = {"opencv": "opencv-python-headless", "pytorch": "torch", "matplotlib-base": "matplotlib"}


@pytest.mark.parametrize("path", ENVIRONMENTS, ids=[path.name for path in ENVIRONMENTS])
def test_environments_agree_with_the_lock(path):
    pins = stated_pins(yaml.safe_load(path.read_text())["dependencies"])
    locked = pinned()
    differing = [
        f"{name} {version}, locked {locked.get(CONDA_NAMES.get(name, name))}"
        for name, version in pins
        if name not in ("python", "pip") and locked.get(CONDA_NAMES.get(name, name)) != version
    ]
    assert differing == []
