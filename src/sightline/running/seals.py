"""Seals: a small file beside each output that ties its bytes to the code and params that made it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sightline import publishing, runs
from sightline.errors import DatasetError, IntegrityError

SKEW_SECONDS = 5.0  # that clocks of machines may differ


def _plain(value: Any) -> Any:
    """`value` as JSON's own types: tuples as lists, paths as text, NumPy scalars and arrays as numbers."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value.item() if hasattr(value, "item") else value  # np.float64 is a float too
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted((_plain(item) for item in value), key=canonical)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Iterable):
        return [_plain(item) for item in value]
    raise TypeError(f"a param of type {type(value).__name__} cannot be recorded: {value!r}")


def canonical(value: Any) -> str:
    """`value` (nested dicts, lists, tuples, sets, scalars, paths) as the one JSON text of its content."""
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=True, separators=(",", ":"))


def named(params: Any) -> dict[str, Any]:
    """Params by name, of a dict or Snakemake's named list. Raises `ValueError` for a param without a name."""
    by_name = dict(params.items())
    if len(by_name) != len(params):
        raise ValueError("a rule's params must have names: they are recorded by name")
    return by_name


def same_params(a: Any, b: Any) -> bool:
    """Whether two sets of params are one: order of keys, tuple or list, NumPy or Python do not matter."""
    return canonical(a) == canonical(b)


def seal_path(output: Path | str) -> Path:
    """Where the seal of `output` (file or folder) lies: beside it."""
    output = Path(output)
    return output.with_name(f".{output.name}.made.json")


def _content(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [("", path)]
    # hidden files are others' records: seals, costs, Snakemake's time stamp
    found = (item for item in path.rglob("*") if item.is_file() and not item.name.startswith("."))
    return sorted((item.relative_to(path).as_posix(), item) for item in found)


def _size(path: Path) -> int:
    return sum(item.stat().st_size for _, item in _content(path))


def _sha256(path: Path) -> str:
    """The digest of a file; of a folder, that of its files' names and digests."""
    if path.is_dir():
        lines = "\n".join(f"{name}\0{digest}" for name, digest in digests(path).items())
        return hashlib.sha256(lines.encode()).hexdigest()
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digests(folder: Path | str) -> dict[str, str]:
    """The SHA-256 of every file below `folder`, hidden ones aside, by relative path."""
    return {name: _sha256(item) for name, item in _content(Path(folder))}


def identity(params: Any, inputs: Iterable[Path | str]) -> str:
    """SHA-256 (hex) of a job's params, its code's fingerprint among them, and of its inputs' content.

    Names what a job left half done (a checkpoint), so that only the same job takes it up.
    """
    return hashlib.sha256(
        canonical([named(params), [_sha256(Path(path)) for path in inputs]]).encode()
    ).hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON with sorted keys, whole or not at all."""
    publishing.write_text(path, json.dumps(_plain(content), sort_keys=True, indent=1) + "\n")


def place(path: Path | str) -> str:
    """`path` as records name it: relative to the working folder, `.../name` where it lies outside of it.

    Records are the same wherever the project lies, and tell nothing of the machine.
    """
    relative = Path(os.path.relpath(path))
    return f".../{Path(os.path.abspath(path)).name}" if ".." in relative.parts else relative.as_posix()


def sources(inputs: Iterable[Path | str], joined: Iterable[Path | str] = ()) -> dict[str, str | None]:
    """What a job reads: the place of each of `inputs` -> its SHA-256, by its seal where it has one.

    None for what is missing and for a folder without a seal. `joined` are those of the inputs that are
    temporary parts of what one job would have made, after what they were made from: that stands in their
    place. Raises `IntegrityError` where such a part was made from other content.
    """
    parts, found = {Path(path) for path in joined}, {}
    for path in map(Path, inputs):
        sealed = record(path)
        if path in parts:
            read = ((sealed or {}).get("made_by") or {}).get("inputs", {})
            for name in sorted({*read} & {*found}):
                if read[name] != found[name]:
                    raise IntegrityError(
                        f"{path}: was made from another {name}; delete {path.parent} and run again"
                    )
            found |= read
        elif sealed is not None:
            found[place(path)] = sealed["sha256"]
        else:
            found[place(path)] = _sha256(path) if path.is_file() else None
    return dict(sorted(found.items()))


def touched(inputs: Iterable[Path | str]) -> dict[Path, int]:
    """When each of `inputs` that has no seal, a user's own file, was last touched in any way (ns)."""
    return {
        path: path.stat().st_ctime_ns
        for path in map(Path, inputs)
        if path.is_file() and not seal_path(path).exists()
    }


def check_untouched(before: dict[Path, int], read: dict[str, str | None]) -> None:
    """Raise `DatasetError` where a file of `before` (`touched`) no longer holds what was `read` (`sources`).

    To be called when the job ends: what is made from a file that changed meanwhile is newer than the change,
    so that nobody would ask after it again.
    """
    for path, time_before in before.items():
        if path.is_file() and path.stat().st_ctime_ns == time_before:
            continue
        if not path.is_file() or _sha256(path) != read.get(place(path)):
            raise DatasetError(f"{path}: was changed or removed while this job read it; run again")


def changed_sources(output: Path | str) -> list[str]:
    """What `output` was made from and that holds something else by now, though it is dated before it.

    Looked at are files from outside the results. Snakemake asks after content where a file is newer than what
    was made from it; one that came from an archive, or by a clock that was set back, is not.
    """
    sealed = record(output)
    if sealed is None:
        return []
    made = seal_path(output).stat().st_mtime
    found = []
    for name, digest in (sealed["made_by"].get("inputs") or {}).items():
        path = Path(name)
        if digest is None or name.startswith(("results/", "...")) or not path.is_file():
            continue
        times = path.stat()
        # ctime: when the file was last touched in any way, which nobody can set
        if times.st_mtime <= made <= times.st_ctime and _sha256(path) != digest:
            found.append(name)
    return found


def seal(outputs: Iterable[Path | str], made_by: dict[str, Any]) -> None:
    """Write a seal beside each output (file or folder): its bytes, SHA-256 and `made_by`.

    `made_by` is {"params": ..., "inputs": what `sources` says, "job": the rule and what it was run for}.

    Equal content and params give equal seals. Raises `IntegrityError` where an output is missing.
    """
    for output in map(Path, outputs):
        if not output.exists():
            raise IntegrityError(f"{output}: the job ended without writing this output")
        content = {"bytes": _size(output), "sha256": _sha256(output), "made_by": made_by}
        write_json(seal_path(output), content)


PARTS = {"bytes": int, "sha256": str, "made_by": dict}  # of a seal


def record(path: Path | str) -> dict[str, Any] | None:
    """The seal of `path`: its `bytes`, `sha256` and `made_by`; None where it has none.

    Raises `IntegrityError` for a seal that is not whole.
    """
    path = Path(path)
    try:
        content = json.loads(seal_path(path).read_text(encoding="utf-8"))
        return {key: kind(content[key]) for key, kind in PARTS.items()}
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{seal_path(path)}: not a whole seal; delete it and {path}, and run again"
        ) from error


def made_by(path: Path | str) -> dict[str, Any] | None:
    """What the seal of `path` says of its making (see `seal`), or None where it has no seal."""
    content = record(path)
    return content and content["made_by"]


def difference(path: Path | str, content: bool = True) -> str | None:
    """How `path` differs from its seal, in words; None where it does not, or has none.

    Without `content` only its presence and size are looked at. Raises as `record` does.
    """
    path, sealed = Path(path), record(path)
    if sealed is None:
        return None
    if not path.exists():
        return "missing, although its seal says that it was made"
    if (size := _size(path)) != sealed["bytes"]:
        return f"holds {size} bytes, {sealed['bytes']} were written"
    if content and (digest := _sha256(path)) != sealed["sha256"]:
        return (
            f"its content changed since it was written (SHA-256 {digest[:12]}..., "
            f"{sealed['sha256'][:12]}... expected)"
        )
    return None


def verify(paths: Iterable[Path | str]) -> None:
    """Raise `IntegrityError` for the first of `paths` that differs from its seal: missing, size, content.

    Files without a seal (a user's own inputs) pass.
    """
    for path in map(Path, paths):
        if (reason := difference(path)) is not None:
            remedy = f"delete {path} and run again" if path.exists() else "run again"
            raise IntegrityError(f"{path}: {reason}; {remedy}")


def date(paths: Iterable[Path | str]) -> None:
    """Date those of `paths` that lie in the future now: a clock was set back, or another's is ahead.

    Snakemake throws away what is older than what it was made from, when the job has ended. Content is what
    counts in the study's own files, which have seals; for a user's, dated so, raises `DatasetError`.
    """
    now = time.time()
    for path in map(Path, paths):
        if not path.exists() or (dated := path.stat().st_mtime) <= now:
            continue
        if seal_path(path).exists():
            with runs.owned():
                os.utime(path, (now, now))
        elif dated > now + SKEW_SECONDS:
            raise DatasetError(
                f"{path}: is dated in the future ({time.ctime(dated)}), and Snakemake would throw away what "
                "is made from it; set this machine's clock right, or the file's date (touch), and run again"
            )


def differing(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The names of the params in which two sets of them differ, sorted."""
    return sorted(
        key for key in {*old, *new} if key not in old or key not in new or not same_params(old[key], new[key])
    )


def why_stale(path: Path | str, params: dict[str, Any]) -> str | None:
    """Why `path` is not what a job with `params` (its code's fingerprint among them) makes; None where it is.

    In words. Compares records only; `verify` compares the content.
    """
    if not Path(path).exists():
        return "missing"
    try:
        found = made_by(path)
    except IntegrityError:
        return "has a seal that is not whole"
    if found is None:
        return "has no record of how it was made"
    names = differing(found.get("params", {}), _plain(params))
    return f"was made with other {', '.join(names)}" if names else None


def stands(output: Path | str, params: dict[str, Any]) -> bool:
    """Whether `output` is what a job with `params` makes of the inputs that lie there now, as all seals tell.

    Compares records, and the output's size.
    """
    if why_stale(output, params) is not None or difference(output, content=False) is not None:
        return False
    for name, digest in (made_by(output).get("inputs") or {}).items():
        if (now := record(name)) is not None and now["sha256"] != digest:
            return False
    return True


def sealed_at(output: Path | str) -> int | None:
    """When the seal of `output` was written (ns); None where it has none."""
    try:
        return seal_path(output).stat().st_mtime_ns
    except FileNotFoundError:
        return None


def check_standing(planned: dict[str, int | None]) -> None:
    """Raise `IntegrityError` where an output was sealed at another time than `planned` (see `sealed_at`)."""
    for output, sealed_then in planned.items():
        if sealed_at(output) != sealed_then:
            raise IntegrityError(
                f"{output}: a job of an earlier run began to make it while this run was planned; nothing was "
                "run; start again"
            )


def sealed(folder: Path | str) -> list[Path]:
    """Every output below `folder` that has a seal (there or not), sorted."""
    ending = ".made.json"
    files = sorted(Path(folder).rglob(f".*{ending}"))
    return [file.with_name(file.name[1 : -len(ending)]) for file in files]


def found(folder: Path | str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every output below `folder` that has a seal, with what the seal says of its making; sorted."""
    for output in sealed(folder):
        yield output, made_by(output) or {}
