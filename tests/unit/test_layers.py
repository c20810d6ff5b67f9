"""The rules of the house, held by tests: imports run one way, heavy ones stay apart, all is described."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/sightline"
GROUND = {"outcomes", "errors", "randomness", "schemas", "tables", "arrays", "frames", "modules"}
GROUND |= {"publishing", "runs", "collected", "shards"}
# room -> the rooms that it may import besides itself and the ground
ROOMS: dict[str, set[str]] = {
    "running": set(),
    "provenance": set(),
    "watching": {"provenance", "running"},
    "trace": {"watching"},
    "status": {"running", "watching"},
    "options": set(),
    "addresses": set(),
    "phantom": set(),
    "dicom": set(),
    "datasets": {"dicom"},
    "download": {"addresses", "datasets", "dicom", "running"},
    "prepared": set(),
    "preparing": {"datasets", "dicom", "prepared"},
    "attribution": set(),
    "gaze": set(),
    "center_bias": set(),
    "regions": {"datasets"},
    "metrics": set(),
    "scores": {"attribution", "center_bias", "metrics"},
    "cells": set(),
    "intervals": {"cells"},
    "statistics": {"cells", "intervals"},
    "agreement": {"intervals", "metrics", "scores", "statistics"},
    "study": {"addresses", "agreement", "options"},
    "strata": set(),
    "comparisons": {"cells", "intervals", "statistics"},
    "contrasts": {"cells", "intervals", "statistics"},
    "classification": {"cells", "intervals"},
    "models": {"classification", "running"},
    "explanation": {"attribution", "models", "prepared", "preparing", "running", "scores"},
    "published": set(),
    "figures": set(),
    "report": {"figures", "prepared", "regions", "running", "scores"},
}
HEAVY = ("torch", "torchvision", "timm", "captum", "zennit", "statsmodels", "monai")
USES_TORCH = {"models", "attribution", "explanation"}
MODULES = sorted(SOURCE.rglob("*.py"))
NAMES = [path.relative_to(ROOT).as_posix() for path in MODULES]


def room_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[str, int]]:
    """Every module or name imported, dotted, with its line."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_imports_run_downwards(path):
    room = room_of(path)
    if room == "__init__":
        return
    assert room in GROUND | set(ROOMS), (
        f"a new room '{room}': say in ROOMS what it may import, and in docs/design.md"
    )
    allowed = GROUND | {room} | ROOMS.get(room, set())
    upwards = [
        f"{path}:{line}: {name}"
        for name, line in imports(path)
        if name.startswith("sightline.") and name.split(".")[1] not in (GROUND if room in GROUND else allowed)
    ]
    assert upwards == []


def test_the_table_of_rooms_has_one_direction():
    above: dict[str, int] = {}
    while len(above) < len(ROOMS):
        placed = {
            room: len(above) for room, below in ROOMS.items() if room not in above and below <= set(above)
        }
        assert placed, f"rooms that import each other: {sorted(set(ROOMS) - set(above))}"
        above |= placed


def test_init_files_are_empty():
    packages = [SOURCE, *(path for path in SOURCE.rglob("*") if path.is_dir() and any(path.glob("*.py")))]
    assert [str(package) for package in packages if (package / "__init__.py").read_text() != ""] == []


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_the_library_knows_no_workflow(path):
    named = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_bytes()))
        if getattr(node, "id", "") == "snakemake"
    ]
    assert named == []
    assert [name for name, _ in imports(path) if name.split(".")[0] == "snakemake"] == []


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_docstrings_are_never_data(path):
    # a fingerprint leaves them out: a result must not depend on them
    found = {
        getattr(node, "attr", getattr(node, "id", "")) for node in ast.walk(ast.parse(path.read_bytes()))
    }
    assert not found & {"__doc__", "getdoc"}


def test_heavy_packages_are_not_imported_by_rooms_that_do_not_use_them():
    light = [
        ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
        for path in MODULES
        if path.stem != "__init__" and room_of(path) not in USES_TORCH
    ]
    code = "import importlib, sys\nfor name in sys.argv[2:]:\n    importlib.import_module(name)\n    "
    code += "found = [heavy for heavy in sys.argv[1].split() if heavy in sys.modules]\n    "
    code += "assert not found, f'{name} imports {found}'"
    environment = os.environ | {"PYTHONPATH": str(SOURCE.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code, " ".join(HEAVY), *light], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_modules_functions_and_classes_are_described(path):
    tree = ast.parse(path.read_bytes())
    if not tree.body:
        return
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds)]
    public += [
        node
        for top in public
        if isinstance(top, ast.ClassDef)
        for node in top.body
        if isinstance(node, kinds)
    ]
    silent = [node.name for node in public if not node.name.startswith("_") and not ast.get_docstring(node)]
    assert ast.get_docstring(tree), f"{path}: the module has no docstring"
    assert silent == []


def body_lines(function: ast.FunctionDef) -> int:
    """Lines of a function's statements, its docstring aside."""
    statements = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return statements[-1].end_lineno - statements[0].lineno + 1 if statements else 0


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_files_and_functions_have_a_size_that_one_can_read(path):
    if path.name != "schemas.py":  # the one list of every schema
        assert len(path.read_text().splitlines()) <= 340
    functions = [node for node in ast.walk(ast.parse(path.read_bytes())) if isinstance(node, ast.FunctionDef)]
    assert [f"{f.name}: {body_lines(f)} lines" for f in functions if body_lines(f) > 50] == []


# in pieces, so that this file does not hold what it forbids
HOSTS = [
    "py" + "pi.org",
    "python" + "hosted",
    "npm" + "js",
    "anaconda" + ".org",
    "debian" + ".org",
    "ubuntu" + ".com",
]
MACHINE = re.compile(
    r"(?<![\w.}>)])/(?:" + "|".join(["wo" + "rk", "ro" + "ot", "ho" + "me", "Us" + "ers", "t" + "mp"]) + r")/"
)
FOLDERS = ("src", "scripts", "rules", "workflow", "envs", "config", "docs", "tests", "benchmarks")
FOLDERS += ("examples", ".ci")
TEXT = {".py", ".smk", ".yaml", ".yml", ".md", ".toml", ".lock", ".cff", ".csv", ".css", ".json", ".txt", ""}


def texts() -> Iterator[Path]:
    candidates = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        candidates += (ROOT / folder).rglob("*")
    for path in candidates:
        if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts:
            yield path


def test_no_file_names_a_package_host_or_a_place_of_one_machine():
    found = []
    for path in texts():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
            if any(host in line for host in HOSTS) or MACHINE.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}")
    assert found == []
    assert sum(1 for _ in texts()) > 50
