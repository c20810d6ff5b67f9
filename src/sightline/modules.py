"""Modules found by name in a folder of this project's, or, a user's own, by the path of their file.

Wherever a module's name goes (params, fingerprints, options) a path may stand instead: it ends in .py.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

from sightline.errors import ConfigError


def is_file(name: str) -> bool:
    """Whether `name` is the path of a Python file, not the name of a module."""
    return name.endswith(".py")


def full_name(package: str, name: str) -> str:
    """The dotted name of module `name` of `package`; the path of a file as it is."""
    return name if is_file(name) else f"{package}.{name}"


def load(package: str, name: str) -> ModuleType:
    """The module `package`.`name`, or the file at the path `name` (relative: to the working folder).

    Raises `ConfigError` where there is none.
    """
    if is_file(name):
        return _load_file(located(name))
    if not name.isidentifier() or importlib.util.find_spec(f"{package}.{name}") is None:
        folder = package.partition(".")[2].replace(".", "/")
        raise ConfigError(f"{name!r}: there is no file {folder}/{name}.py")
    return importlib.import_module(f"{package}.{name}")


def located(path: str | Path) -> Path:
    """The file at `path`, a relative one from the working folder and inside it.

    Raises `ConfigError` for a path that is no file, and for a relative one that leaves the folder.
    """
    path = Path(os.path.normpath(path))
    if ".." in path.parts:
        raise ConfigError(f"{path}: outside the folder where snakemake runs; give its absolute path")
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; a relative path starts where snakemake runs, {Path.cwd()}")
    return path


def _load_file(path: Path) -> ModuleType:
    source = path.read_bytes()
    name = f"{path.stem}_{hashlib.sha256(source).hexdigest()[:16]}"  # equal content is one module
    if name not in sys.modules:
        module = ModuleType(name)
        module.__file__ = str(path.resolve())
        sys.modules[name] = module  # where dataclasses and pickles look for their module
        try:
            # not through an import: that would trust a cached .pyc of an edit in the same second
            # the user's own file, which the configuration names
            exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)  # noqa: S102
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def importable_by_jobs(source: Path) -> None:
    """Let the processes that this one starts import what lies in `source`, without an installation."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(source), *filter(None, [os.environ.get("PYTHONPATH")])])
