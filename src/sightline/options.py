"""Options that modules state as literals: read from their source without importing it, checked, completed.

A module's `OPTIONS` is the `properties` of a JSON schema; each option has a `type` or `enum`, a `description`
and, unless it must be given, a `default`.
"""

from __future__ import annotations

import ast
import copy
import difflib
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sightline import modules
from sightline.errors import ConfigError

SOURCE = Path(__file__).resolve().parents[1]
MOST_SHOWN = 5  # problems of one configuration shown at once


def _tree(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), filename=str(path))
    except SyntaxError as error:
        raise ConfigError(f"config: {path}:{error.lineno}: not valid Python: {error.msg}") from error


@functools.cache
def _literals(path: Path, modified: int, size: int) -> dict[str, Any]:
    found = {}
    for node in _tree(path).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            if (
                isinstance(target, ast.Name)
                and target.id.isupper()
                and getattr(node, "value", None) is not None
            ):
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except (ValueError, TypeError):  # computed, not a literal
                    continue
    return found


def _path(module: str, source: Path) -> Path:
    if modules.is_file(module):
        return modules.located(module)
    path = source / (module.replace(".", "/") + ".py")
    if not path.is_file():
        package, _, name = module.rpartition(".")
        raise ConfigError(f"config: {unknown(name, available(package, source), f'modules of {package}')}")
    return path


def read(module: str, source: Path = SOURCE) -> dict[str, Any]:
    """The literal constants (NAMES_IN_CAPITALS) of `module`, e.g. "sightline.attribution.methods.gradcam".

    `source` is the folder that holds `sightline/`; a path that ends in .py is a user's file. Raises
    `ConfigError` where there is no such module, naming those that there are.
    """
    path = _path(module, source)
    stat = path.stat()
    return copy.deepcopy(_literals(path, stat.st_mtime_ns, stat.st_size))


def available(package: str, source: Path = SOURCE) -> list[str]:
    """The modules of `package` that state `OPTIONS`, sorted: its adapters, architectures or methods."""
    folder = source / package.replace(".", "/")
    names = sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")
    return [name for name in names if "OPTIONS" in read(f"{package}.{name}", source)]


def defined(module: str, source: Path = SOURCE) -> set[str]:
    """The functions, classes and constants that `module` defines at its top, read without importing it."""
    found: set[str] = set()
    for node in _tree(_path(module, source)).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", node)]
        found |= {getattr(target, "id", getattr(target, "name", "")) for target in targets}
    return found - {""}


def schema(module: str, source: Path = SOURCE) -> dict[str, Any]:
    """The JSON schema of `module`'s options: its `OPTIONS`, nothing else; required without default.

    Raises `ConfigError` where the module states no literal `OPTIONS`.
    """
    options = read(module, source).get("OPTIONS")
    if not isinstance(options, dict):
        raise ConfigError(f"config: {_path(module, source)}: states no literal OPTIONS = {{...}}")
    return {
        "type": "object",
        "properties": options,
        "additionalProperties": False,
        "required": [name for name, option in options.items() if "default" not in option],
    }


def with_defaults(module: str, given: dict[str, Any], where: str, source: Path = SOURCE) -> dict[str, Any]:
    """`given` checked against `module`'s options and completed with their defaults.

    `where` is the place of `given` in the configuration. Raises `ConfigError` as `validated` does.
    """
    return validated(given, schema(module, source), where)


def validated(given: Any, schema: dict[str, Any], where: str = "config") -> Any:
    """A copy of `given` that satisfies `schema`, with the schema's defaults filled in at every depth.

    `where` is the place of `given` in the configuration ("config": the whole). Raises `ConfigError` with, for
    each problem, the key's path, the allowed values, and the nearest known name.
    """
    import jsonschema

    validator = jsonschema.Draft202012Validator(schema)
    errors = sorted(
        validator.iter_errors(_plain(given)), key=lambda error: [str(step) for step in error.path]
    )
    if errors:
        lines = [line for error in errors for line in _explained(error, "" if where == "config" else where)]
        more = [f"... and {len(lines) - MOST_SHOWN} more"] if len(lines) > MOST_SHOWN else []
        raise ConfigError("\n".join([f"config: {line}" for line in lines[:MOST_SHOWN]] + more))
    return _completed(_plain(given), schema)


def _plain(value: Any) -> Any:
    """Mappings and lists of any kind as dict and list, copied."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _completed(value: Any, schema: Any) -> Any:
    if not isinstance(schema, dict):
        return value
    if isinstance(value, list) and "items" in schema:
        return [_completed(item, schema["items"]) for item in value]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        for key, option in known.items():
            if key not in value and "default" in option:
                value[key] = copy.deepcopy(option["default"])
        others = schema.get("additionalProperties")
        return {key: _completed(item, known.get(key, others)) for key, item in value.items()}
    return value


def unknown(name: str, allowed: list[str] | dict[str, Any], what: str) -> str:
    """A sentence for a name that is none of `allowed` (`what` they are), with the nearest of them."""
    nearest = difflib.get_close_matches(str(name), [str(item) for item in allowed], n=1)
    guess = f"; did you mean '{nearest[0]}'?" if nearest else ""
    return f"'{name}' is none of the {what}: {', '.join(map(str, allowed)) or 'there are none'}{guess}"


def _place(where: str, path: Any) -> str:
    text = where
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text or "the whole file"


def _explained(error: Any, where: str) -> Iterator[str]:
    """One line per problem: place, what was found, what is allowed."""
    if error.validator in ("anyOf", "oneOf") and error.context:
        nearest = max(error.context, key=lambda inner: len(inner.absolute_path))
        yield from _explained(nearest, where)
        return
    place, allowed = _place(where, error.absolute_path), error.validator_value
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})
        for key in error.instance:
            if key not in known:
                found = _place(where, [*error.absolute_path, key])
                yield f"{found}: {unknown(key, sorted(known), 'known keys')}"
    elif error.validator == "required":
        missing = [key for key in allowed if key not in error.instance]
        key = next(key for key in missing if f"'{key}'" in error.message)
        about = error.schema.get("properties", {}).get(key, {}).get("description")
        yield f"{place}: lacks the key '{key}'" + (f" ({about})" if about else "")
    elif error.validator == "enum":
        yield f"{place}: {unknown(error.instance, allowed, 'allowed values')}"
    elif error.validator == "type":
        kinds = " or ".join([allowed] if isinstance(allowed, str) else allowed)
        found = f"{error.instance!r} ({_kind(error.instance)})"
        yield f"{place}: {found} is of the wrong type; expected {kinds}{_number_hint(error.instance, kinds)}"
    else:
        yield f"{place}: {error.message}"


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return "null" if value is None else names.get(type(value), type(value).__name__)


def _number_hint(value: Any, kinds: str) -> str:
    try:
        number = (
            float(value) if isinstance(value, str) and ("number" in kinds or "integer" in kinds) else None
        )
    except ValueError:
        return ""
    return (
        ""
        if number is None
        else " (YAML takes 1e-4 and quoted numbers for text; write 1.0e-4, without quotes)"
    )


# ---- the documentation page


def _shown(value: Any) -> str:
    """`value` as YAML would have it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def _allowed(option: dict[str, Any]) -> str:
    if "enum" in option:
        return ", ".join(f"`{_shown(value)}`" for value in option["enum"])
    kinds = option.get("type", "any")
    text = kinds if isinstance(kinds, str) else " or ".join(kinds)
    if isinstance(option.get("items"), dict):
        text += f" of {_allowed(option['items'])}"
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "above",
        "maximum": "at most",
        "exclusiveMaximum": "below",
    }
    return ", ".join([text, *(f"{word} {option[key]}" for key, word in limits.items() if key in option)])


def _rows(properties: dict[str, Any], required: list[str], above: str = "") -> Iterator[str]:
    for name, option in properties.items():
        default = (
            "**required**"
            if name in required
            else f"`{_shown(option['default'])}`"
            if "default" in option
            else ""
        )
        about = " ".join(option.get("description", "").split()).replace("|", "\\|")
        yield f"| `{above}{name}` | {_allowed(option)} | {default} | {about} |"
        inner = option
        place = f"{above}{name}."
        if isinstance(option.get("additionalProperties"), dict):
            inner, place = option["additionalProperties"], f"{place}<name>."
        if "properties" in inner:
            yield from _rows(inner["properties"], inner.get("required", []), place)


def document(whole: dict[str, Any], command: str, source: Path = SOURCE) -> str:
    """The Markdown page of every key: those of schema `whole`, then the options of each module found by name.

    `command`, which makes the page anew, stands at its top.
    """
    head = ["| key | value | default | what it is |", "|---|---|---|---|"]
    lines = [f"# {whole.get('title', 'The configuration')}", "", f"Made from the schema by `{command}`."]
    lines += ["", whole.get("description", ""), "", *head]
    lines += _rows(whole["properties"], whole.get("required", []))
    for path in sorted((source / "sightline").rglob("*.py")):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        if "OPTIONS" not in read(module, source):
            continue
        stated = schema(module, source)
        about = (
            (ast.get_docstring(ast.parse(path.read_bytes())) or "").partition("\n\n")[0].replace("\n", " ")
        )
        lines += ["", f"## `{module}`", "", about, ""]
        rows = list(_rows(stated["properties"], stated["required"]))
        lines += [*head, *rows] if rows else ["No options."]
    return "\n".join(lines) + "\n"
