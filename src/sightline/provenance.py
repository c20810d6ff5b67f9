"""Fingerprints of the code behind a job: what a script and all that it imports mean.

Nothing is imported to be fingerprinted, so that parsing a workflow stays fast.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sightline import publishing
from sightline.errors import SightlineError
from sightline.modules import is_file, located

PROJECT = "sightline"
KEPT = ".code.json"  # in a study's folder: fingerprint -> parts
# import names whose distribution is called otherwise
DISTRIBUTIONS = {
    "PIL": "pillow",
    "attr": "attrs",
    "cv2": "opencv-python-headless",
    "dateutil": "python-dateutil",
    "gdcm": "python-gdcm",
    "mpl_toolkits": "matplotlib",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
PIN = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE)
# fields without meaning, or that not every Python version has
MEANINGLESS = {"ctx", "kind", "type_comment", "type_ignores"}
IMPORTING = {ast.Import, ast.ImportFrom, ast.Call}


# ---- the meaning of one file


@dataclass(frozen=True)
class Source:
    """What a file means (digest), its imports (module, name or "", line), and whether it holds no code."""

    digest: str
    imports: tuple[tuple[str, str, int], ...]
    empty: bool


_sources: dict[tuple[str, int, int], Source] = {}
_fields: dict[type, tuple[str, ...]] = {}


def _is_text(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _joined(values: list[ast.AST]) -> list[ast.AST]:
    """An f-string's parts, neighbouring texts merged, empty ones dropped: Python versions cut differently."""
    merged: list[ast.AST] = []
    for value in values:
        if isinstance(value, ast.Constant) and merged and isinstance(merged[-1], ast.Constant):
            merged[-1] = ast.Constant(merged[-1].value + value.value)
        else:
            merged.append(value)
    return [value for value in merged if not (isinstance(value, ast.Constant) and value.value == "")]


def _write(node: ast.AST, out: list[str], importing: list[ast.AST]) -> None:
    """Append what `node` means: types and fields by name, without places, docstrings, absent fields.

    Statements and calls that may import are added to `importing`.
    """
    kind = node.__class__
    out.append(kind.__name__)
    if kind is ast.Constant:
        out.append(f"{type(node.value).__name__} {ascii(node.value)}")
        return
    if kind is ast.Name:
        out.append(node.id)
        return
    if kind in IMPORTING:
        importing.append(node)
    fields = _fields.get(kind)
    if fields is None:
        fields = _fields[kind] = tuple(sorted(f for f in kind._fields if f not in MEANINGLESS))
    out.append("(")
    for field in fields:
        value = getattr(node, field, None)
        if value is None or value == []:
            continue
        out.append(field)
        if value.__class__ is not list:
            if isinstance(value, ast.AST):
                _write(value, out, importing)
            else:
                out.append(ascii(value))
            continue
        if kind is ast.JoinedStr:
            value = _joined(value)
        for item in value:
            if item is None:
                out.append("-")
            elif item.__class__ is str:
                out.append(item)
            elif not _is_text(item):
                _write(item, out, importing)
        out.append(";")
    out.append(")")


def _imports(importing: list[ast.AST], path: Path) -> Iterator[tuple[str, str, int]]:
    for node in importing:
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SightlineError(
                    f"{path}:{node.lineno}: a relative import; write 'from {PROJECT}. ... import'"
                )
            yield from ((node.module, alias.name, node.lineno) for alias in node.names)
        elif node.args and isinstance(node.args[0], ast.Constant):
            called, named = getattr(node.func, "attr", getattr(node.func, "id", "")), node.args[0].value
            if called in ("import_module", "files") and isinstance(named, str):  # importlib, its resources
                yield named, "", node.lineno


def _source(path: Path) -> Source:
    """What `path` means; read again only where its time or size differ from an earlier call's."""
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _sources:
        try:
            tree = ast.parse(path.read_bytes())
        except SyntaxError as error:
            raise SightlineError(f"{path}:{error.lineno}: not valid Python: {error.msg}") from error
        out: list[str] = []
        importing: list[ast.AST] = []
        _write(tree, out, importing)
        digest = hashlib.sha256("\n".join(out).encode()).hexdigest()
        _sources[key] = Source(
            digest, tuple(_imports(importing, path)), not any(not _is_text(n) for n in tree.body)
        )
    return _sources[key]


# ---- what a script reaches


def _located(root: Path, module: str) -> Path | None:
    """The file of project module `module` (a package's is its `__init__.py`), or None where there is none."""
    path = root / "src" / module.replace(".", "/")
    for candidate in (path / "__init__.py", path.with_suffix(".py")):
        if candidate.is_file():
            return candidate
    return None


@dataclass
class Closure:
    """Modules reached, with their files; those named, not only passed through; foreign ones, with a place.

    `files` are a user's own, by their path.
    """

    reached: dict[str, Path]
    named: set[str]
    foreign: dict[str, str]
    files: dict[str, Path]


def _closure(script: Path, root: Path, modules: Iterable[str]) -> Closure:
    modules = list(modules)
    files = {name: located(name) for name in modules if is_file(name)}
    closure = Closure({}, set(), {}, files)
    waiting = [
        (module, "", f"{script}: the extra modules of its rule") for module in modules if module not in files
    ]
    for path in files.values():
        waiting += [(module, name, f"{path}:{line}") for module, name, line in _source(path).imports]
    waiting += [(module, name, f"{script}:{line}") for module, name, line in _source(script).imports]
    while waiting:
        module, name, place = waiting.pop()
        top = module.partition(".")[0]
        if top != PROJECT:
            if top not in sys.stdlib_module_names:
                closure.foreign.setdefault(top, place)
            continue
        if name and _located(root, f"{module}.{name}"):
            module = f"{module}.{name}"
        closure.named.add(module)
        links = module.split(".")
        for link in (".".join(links[: end + 1]) for end in range(len(links))):
            path = _located(root, link)
            if path is None:
                raise SightlineError(f"{place}: imports {link}, of which there is no file in {root / 'src'}")
            if link not in closure.reached:
                closure.reached[link] = path
                waiting += [(*found[:2], f"{path}:{found[2]}") for found in _source(path).imports]
    return closure


def _is_data(path: Path) -> bool:
    return path.is_file() and not path.name.startswith(".") and not path.name.endswith(("~", ".py", ".pyc"))


def _data_files(closure: Closure) -> Iterator[Path]:
    """Files that are not Python and belong to a module reached.

    Files and plain folders lie in packages. One that shares its name with a module beside it (`published.csv`
    or `published/` with `published.py`) belongs to that module, any other to all modules of the package.
    """
    own: dict[Path, set[str]] = {}
    for module, path in closure.reached.items():
        if (
            module in closure.named or not _source(path).empty
        ):  # an empty __init__.py on the way reads nothing
            own.setdefault(path.parent, set()).add(path.stem)
    for folder, stems in own.items():
        for entry in folder.iterdir():
            owner = entry.name.partition(".")[0]
            if owner not in stems and (folder / f"{owner}.py").exists():
                continue
            if entry.is_dir() and entry.name != "__pycache__" and not (entry / "__init__.py").exists():
                yield from filter(_is_data, entry.rglob("*"))
            elif _is_data(entry):
                yield entry


_digests: dict[tuple[str, int, int], str] = {}
_pins: dict[tuple[str, int, int], dict[str, str]] = {}


def _digest(path: Path) -> str:
    stat = path.stat()
    key = (str(path), stat.st_mtime_ns, stat.st_size)
    if key not in _digests:
        with open(path, "rb") as file:
            _digests[key] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[key]


def pinned(lock: Path) -> dict[str, str]:
    """Distribution (normalised name) -> version, as `lock` pins them."""
    if not lock.is_file():
        raise SightlineError(
            f"{lock}: missing; the versions of the packages that a script imports are read from it"
        )
    stat = lock.stat()
    key = (str(lock), stat.st_mtime_ns, stat.st_size)
    if key not in _pins:
        found = PIN.findall(lock.read_text(encoding="utf-8"))
        _pins[key] = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}
    return _pins[key]


def parts(script: Path | str, root: Path | str, modules: Iterable[str] = ()) -> dict[str, str]:
    """What `fingerprint` is made of: "script", modules, files, "distribution==" -> digest or version; sorted.

    Tells which part of a job's code changed. Raises as `fingerprint` does.
    """
    script, root = Path(script), Path(root)
    closure = _closure(script, root, modules)
    found = {"script": _source(script).digest}
    found.update({module: _source(path).digest for module, path in closure.reached.items()})
    found.update({name: _source(path).digest for name, path in closure.files.items()})
    found.update({path.relative_to(root).as_posix(): _digest(path) for path in _data_files(closure)})
    lock = root / "requirements.lock"
    for module, place in closure.foreign.items():
        distribution = DISTRIBUTIONS.get(module, re.sub(r"[-_.]+", "-", module).lower())
        version = pinned(lock).get(distribution)
        if version is None:
            raise SightlineError(
                f"{place}: imports '{module}', which is neither Python's own, nor this project's, nor pinned "
                f"in {lock} as '{distribution}'; add it to pyproject.toml and lock anew, or drop the import"
            )
        found[f"{distribution}=="] = version
    return dict(sorted(found.items()))


def fingerprint(script: Path | str, root: Path | str, modules: Iterable[str] = ()) -> str:
    """SHA-256 (hex) of what `script` and all that it reaches mean; the same on Python 3.11 to 3.13.

    Counted: the script; each project module (`root`/src/sightline) that it imports, directly or not, also
    inside functions, as syntax without comments, docstrings and layout; packages' files that are not Python
    (`_data_files`); the versions in `root`/requirements.lock of the third-party packages that these name, and
    no others. `modules` adds what the script finds by name at run time: project modules, and files of a
    user's own by their path (ending in .py; what lies beside them does not count). Raises `SightlineError`,
    naming file and line, for an import that cannot be placed and for a syntax error.
    """
    text = "\n".join(f"{name} {value}" for name, value in parts(script, root, modules).items())
    return hashlib.sha256(text.encode()).hexdigest()


# ---- what fingerprints stood for


def keep(study: Path, used: Mapping[str, Callable[[], dict[str, str]]]) -> None:
    """Note in the folder `study` what the fingerprints that a run uses stand for: fingerprint -> `parts`."""
    known = kept(study)
    new = {fingerprint: found() for fingerprint, found in used.items() if fingerprint not in known}
    if new:
        publishing.write_text(study / KEPT, json.dumps(known | new, sort_keys=True, indent=1) + "\n")


def kept(study: Path) -> dict[str, dict[str, str]]:
    """Fingerprint -> `parts`, as far as the runs in the folder `study` noted them."""
    try:
        return json.loads((study / KEPT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
