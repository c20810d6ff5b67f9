"""Options are read without importing, completed with defaults, refused with key, choice and a guess."""

import ast
from pathlib import Path

import jsonschema
import pytest

from sightline import options
from sightline.errors import ConfigError

MODULE = '''"""A method.

More words.
"""
import nowhere  # importing this module would fail

OPTIONS = {
    "window": {"type": "integer", "minimum": 1, "default": 15, "description": "Side of the window, pixels."},
    "stride": {"type": "number", "description": "Step."},
    "fill": {"enum": ["mean", "zero"], "default": "mean", "description": "What | hides."},
    "optimizer": {
        "type": "object",
        "additionalProperties": False,
        "default": {},
        "description": "How.",
        "properties": {"rate": {"type": "number", "default": 0.1, "description": "Rate."}},
    },
}
LAYERS: dict[str, tuple] = {"last": ("a", "b")}
COMPUTED = len("abc")
nothing = {"a": 1}


def explain(window, stride, fill, optimizer):
    LOCAL = 3
'''


@pytest.fixture
def source(tmp_path) -> Path:
    folder = tmp_path / "sightline/methods"
    folder.mkdir(parents=True)
    (tmp_path / "sightline/__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "occlusion.py").write_text(MODULE)
    (folder / "gradcam.py").write_text("OPTIONS = {}\n")
    (folder / "shared.py").write_text("def f():\n    pass\n")
    return tmp_path


def complete(source, given, where="methods.mine"):
    return options.with_defaults("sightline.methods.occlusion", given, where, source)


def test_literals_are_read_and_nothing_else(source):
    found = options.read("sightline.methods.occlusion", source)
    assert set(found) == {"OPTIONS", "LAYERS"}
    assert found["LAYERS"] == {"last": ("a", "b")}
    found["LAYERS"].clear()  # a copy
    assert options.read("sightline.methods.occlusion", source)["LAYERS"]


def test_an_edited_module_is_read_anew(source):
    path = source / "sightline/methods/gradcam.py"
    assert options.read("sightline.methods.gradcam", source) == {"OPTIONS": {}}
    path.write_text("OPTIONS = {'a': {'default': 1}}\n")
    assert options.with_defaults("sightline.methods.gradcam", {}, "", source) == {"a": 1}


def test_modules_that_state_options_are_available(source):
    assert options.available("sightline.methods", source) == ["gradcam", "occlusion"]


def test_schema_refuses_others_and_requires_what_has_no_default(source):
    schema = options.schema("sightline.methods.occlusion", source)
    assert schema["required"] == ["stride"]
    assert schema["additionalProperties"] is False
    jsonschema.Draft202012Validator.check_schema(schema)


def test_defaults_are_filled_at_every_depth_and_the_given_is_untouched(source):
    given = {"stride": 2, "optimizer": {}}
    found = complete(source, given)
    assert found == {"window": 15, "stride": 2, "fill": "mean", "optimizer": {"rate": 0.1}}
    assert given == {"stride": 2, "optimizer": {}}
    found["optimizer"]["rate"] = 5
    assert complete(source, {"stride": 2}) == {
        "window": 15,
        "stride": 2,
        "fill": "mean",
        "optimizer": {"rate": 0.1},
    }


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stride": 1, "windw": 3}, ["methods.mine.windw", "did you mean 'window'", "optimizer"]),
        ({}, ["methods.mine", "lacks the key 'stride'", "Step."]),
        ({"stride": 1, "fill": "means"}, ["methods.mine.fill", "mean, zero", "did you mean 'mean'"]),
        ({"stride": "1e-4"}, ["methods.mine.stride", "expected number", "write 1.0e-4"]),
        ({"stride": "wide"}, ["methods.mine.stride: 'wide' (string) is of the wrong type; expected number"]),
        ({"stride": True}, ["methods.mine.stride", "boolean", "expected number"]),
        ({"stride": 1, "window": 0}, ["methods.mine.window", "minimum of 1"]),
        ({"stride": 1, "optimizer": {"rat": 1}}, ["methods.mine.optimizer.rat", "did you mean 'rate'"]),
        ([], ["methods.mine", "expected object"]),
        ({"stride": 1, "window": None}, ["methods.mine.window", "null"]),
    ],
)
def test_a_wrong_option_is_refused_with_place_choice_and_guess(source, given, said):
    with pytest.raises(ConfigError) as raised:
        complete(source, given)
    assert all(word in str(raised.value) for word in said), str(raised.value)


def test_every_problem_is_shown_up_to_a_limit(source):
    with pytest.raises(ConfigError) as raised:
        complete(source, {f"key{index}": 1 for index in range(9)})
    lines = str(raised.value).splitlines()
    assert len(lines) == options.MOST_SHOWN + 1
    assert lines[-1] == "... and 5 more"  # nine unknown, one missing


def test_an_unknown_module_is_refused_with_those_that_there_are(source):
    with pytest.raises(ConfigError, match=r"'gradcamm' .*gradcam, occlusion; did you mean 'gradcam'"):
        options.with_defaults("sightline.methods.gradcamm", {}, "methods.mine", source)
    with pytest.raises(ConfigError, match=r"shared\.py: states no literal OPTIONS"):
        options.schema("sightline.methods.shared", source)


def test_named_sections_and_lists_are_completed_and_located():
    schema = {
        "type": "object",
        "properties": {
            "pairs": {
                "type": "array",
                "items": {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}},
                "default": [{}],
            }
        },
        "additionalProperties": {"type": "object", "properties": {"b": {"type": "integer", "default": 2}}},
    }
    assert options.validated({"x": {}}, schema) == {"pairs": [{"a": 1}], "x": {"b": 2}}
    with pytest.raises(ConfigError, match=r"config: pairs\[1\]\.a: 'q'"):
        options.validated({"pairs": [{}, {"a": "q"}]}, schema)
    with pytest.raises(ConfigError, match=r"config: x\.b: "):
        options.validated({"x": {"b": []}}, schema)


def test_the_page_names_every_key_of_schema_and_modules(source):
    schema = {
        "title": "T",
        "description": "D.",
        "required": ["study"],
        "properties": {
            "study": {"type": "string", "description": "Name."},
            "models": {
                "type": "object",
                "additionalProperties": {"properties": {"on": {"type": "boolean", "default": True}}},
            },
        },
    }
    page = options.document(schema, "make docs", source)
    for row in (
        "| `study` | string | **required** | Name. |",
        "| `models.<name>.on` | boolean | `true` |",
        "## `sightline.methods.occlusion`",
        "| `window` | integer, at least 1 | `15` | Side of the window, pixels. |",
        "| `fill` | `mean`, `zero` | `mean` | What \\| hides. |",
        "| `optimizer.rate` | number | `0.1` | Rate. |",
    ):
        assert row in page
    assert "make docs" in page
    assert "More words" not in page


# ---- the project's own modules

STATING = [
    ".".join(path.relative_to(options.SOURCE).with_suffix("").parts)
    for path in sorted((options.SOURCE / "sightline").rglob("*.py"))
    if "OPTIONS" in options.read(".".join(path.relative_to(options.SOURCE).with_suffix("").parts))
]


@pytest.mark.parametrize("module", STATING)
def test_stated_options_are_described_schemas_with_defaults_of_their_kind(module):
    schema = options.schema(module)
    jsonschema.Draft202012Validator.check_schema(schema)
    for name, option in schema["properties"].items():
        assert {"type", "enum", "anyOf", "oneOf"} & set(option), f"{module}: {name} has no type"
        assert option.get("description"), f"{module}: {name} is not described"
        if "default" in option:
            options.validated(option["default"], option, f"{module}.{name}")


def named_in(path: Path) -> set[str]:
    """Every name, argument, attribute and text of a module's code, its OPTIONS aside."""
    found = set()
    for statement in ast.parse(path.read_bytes()).body:
        target = getattr(statement, "targets", [getattr(statement, "target", None)])[0]
        if getattr(target, "id", "") == "OPTIONS":
            continue
        for node in ast.walk(statement):
            found |= {getattr(node, field, None) for field in ("id", "arg", "attr")}
            found |= {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()
    return found


@pytest.mark.parametrize("module", STATING)
def test_stated_options_are_used_by_code(module):
    folder = (options.SOURCE / module.replace(".", "/")).parent
    used = set().union(*(named_in(path) for path in folder.rglob("*.py")))
    stated = options.schema(module)["properties"]
    # f"phase_{number}" uses phase_1
    assert [name for name in stated if not {name, name.rstrip("0123456789")} & used] == []
