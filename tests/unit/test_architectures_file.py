"""A network in a user's file: built, checked, found again after an edit, and named where it is wrong."""

import copy
from pathlib import Path

import pytest
import torch
import yaml

from sightline import modules
from sightline.errors import ConfigError
from sightline.models.network import architecture, build
from sightline.study.grid import Study

ROOT = Path(__file__).resolve().parents[2]
TINY = yaml.safe_load((ROOT / "tests/workflow/study.yaml").read_text())
NET = """
from dataclasses import dataclass
from torch import nn

OPTIONS = {"width": {"type": "integer", "minimum": 1, "default": 4, "description": "Channels."}}
LAYERS = {"last": ("0",)}


@dataclass
class Size:
    width: int


def build(outputs, width=4):
    width = Size(width).width
    pool = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(nn.Conv2d(3, width, 3), *pool, nn.Linear(width, outputs))
"""


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """A file of a user's in the folder where snakemake runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/net.py").write_text(NET)
    return tmp_path / "mine/net.py"


def model(path: str = "mine/net.py", **arguments: object) -> dict:
    """The model of a study that names the file."""
    config = copy.deepcopy(TINY)
    for section in ("models", "runs"):  # the tiny study's own file lies beside where it runs
        del config[section]["own"]
    config["method_folder"] = None
    del config["methods"]["detail"]
    config["models"]["small"]["architecture"] = {
        "name": "file",
        "arguments": {"path": path, "arguments": arguments},
    }
    return Study(config, ROOT / "workflow/schemas/config.schema.yaml").models["small"]


def test_a_study_puts_the_file_in_the_modules_place_with_its_options(own):
    assert (model()["architecture"], model()["arguments"]) == ("mine/net.py", {"width": 4})
    assert model(str(own), width=2)["architecture"] == str(own)


def test_the_file_is_built_for_the_seed_and_its_layers_are_the_models(own):
    found = architecture("mine/net.py")
    assert (found.LAYERS, found.ATTENTION) == ({"last": ("0",)}, {})
    first, again = (build("mine/net.py", 3, 7, width=2).state_dict() for _ in range(2))
    elsewhere = build(str(own), 3, 7, width=2).state_dict()
    by_name = build("file", 3, 7, path="mine/net.py", arguments={"width": 2}).state_dict()
    for other in (again, elsewhere, by_name):
        assert all(torch.equal(tensor, other[name]) for name, tensor in first.items())
    assert not torch.equal(first["0.weight"], build("mine/net.py", 3, 8, width=2).state_dict()["0.weight"])


def test_an_edit_is_another_module_and_an_undone_one_the_same(own):
    before = architecture("mine/net.py")
    own.write_text(NET.replace('("0",)', '("2",)'))  # in the same second, of the same length
    assert architecture("mine/net.py").LAYERS == {"last": ("2",)}
    own.write_text(NET)
    assert architecture("mine/net.py") is before
    assert list(own.parent.iterdir()) == [own]  # no cache beside it


def test_a_file_without_options_takes_what_it_is_given(own):
    own.write_text(NET.replace("OPTIONS =", "_OPTIONS ="))
    assert model(width=2)["arguments"] == {"width": 2}
    assert model()["arguments"] == {}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("mine/nets.py", ["mine/nets.py: no such file", "where snakemake runs"]),
        ("mine", ["architecture.arguments.path", "mine"]),
        ("mine/../../net.py", ["../net.py: outside the folder", "absolute path"]),
    ],
)
def test_a_path_that_leads_nowhere_is_named(own, path, said):
    with pytest.raises(ConfigError) as raised:
        model(path)
    assert all(words in str(raised.value) for words in said), str(raised.value)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def build", "def make", ["architecture.arguments.path", "does not define build"]),
        ("def build(", "def build((", ["net.py:14", "not valid Python"]),
        ('"default": 4', '"default": str(4)', ["net.py: states no literal OPTIONS"]),
    ],
)
def test_a_file_that_is_not_a_network_is_refused_before_anything_runs(own, old, new, said):
    own.write_text(NET.replace(old, new))
    with pytest.raises(ConfigError) as raised:
        model()
    assert all(words in str(raised.value) for words in said), str(raised.value)


def test_an_unknown_argument_is_refused_with_its_place(own):
    with pytest.raises(ConfigError, match=r"arguments\.arguments\.widht.*did you mean 'width'"):
        model(widht=3)


def test_what_is_wrong_only_when_it_runs_is_named_too(own):
    own.write_text("def build(outputs):\n    return outputs\n")
    with pytest.raises(ConfigError, match="build gives a int, not an nn.Module"):
        build("mine/net.py", 2, 0)
    own.write_text("def other():\n    pass\n")
    with pytest.raises(ConfigError, match="no function build"):
        build("mine/net.py", 2, 0)
    own.write_text("import nowhere_to_be_found\n")
    for _ in range(2):  # a module whose code failed is not kept
        with pytest.raises(ModuleNotFoundError, match="nowhere_to_be_found"):
            modules.load("sightline.models.architectures", "mine/net.py")
