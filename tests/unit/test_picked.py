"""What a job picks by a name of the configuration is part of its code."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from sightline import options
from sightline.study import picked
from sightline.study.grid import Study

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
STUDIES = sorted(path.stem for path in (ROOT / "config").glob("*.yaml"))


def study_of(name: str) -> Study:
    return Study(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text()), SCHEMA)


@pytest.fixture(scope="module")
def demo() -> Study:
    return study_of("config")


def wildcards(**values: object) -> SimpleNamespace:
    return SimpleNamespace(**values)


def test_a_cell_picks_its_architecture_method_condition_and_probes(demo):
    cell = demo.probed_cells[0]
    explained = picked.modules(demo, "attribute", cell)
    assert explained == [
        f"sightline.models.architectures.{demo.models[cell.model]['architecture']}",
        f"sightline.attribution.methods.{demo.methods[cell.method]['kind']}",
        f"sightline.attribution.conditions.{demo.conditions[cell.condition]['kind']}",
    ]
    probed = picked.modules(demo, "probe", cell)
    assert probed[:3] == explained
    assert set(probed[3:]) == {
        f"sightline.attribution.probes.{one['kind']}" for one in demo.probes_of(cell).values()
    }
    assert picked.modules(demo, "train", cell) == explained[:1]


def test_a_shard_picks_what_the_whole_does(demo):
    cell = demo.cells[0]
    assert picked.modules(demo, "attribute_shard", cell) == picked.modules(demo, "attribute", cell) != []


def test_a_method_of_methods_names_its_base():
    inner = {"kind": "integrated_gradients", "options": {}}
    method = {"kind": "smoothgrad", "options": {"base": inner, "samples": 4}}
    assert picked.kinds(method) == ["smoothgrad", "integrated_gradients"]


def test_a_dataset_picks_its_adapter_and_annotations(demo):
    assert picked.modules(demo, "read_dataset", wildcards(dataset="cxr")) == [
        "sightline.datasets.mimic_cxr",
        *(f"sightline.datasets.{name}" for name in demo.datasets["cxr"]["annotations"]),
    ]
    assert picked.modules(demo, "make_phantom", wildcards(dataset="cxr")) == ["sightline.phantom.mimic_cxr"]


def test_a_users_file_is_picked_by_its_path(demo):
    cell = demo.cells[0]
    users = SimpleNamespace(models={cell.model: {"architecture": "mine/network.py"}})
    assert picked.modules(users, "train", cell) == ["mine/network.py"]


def test_what_is_picked_is_there_in_every_study_that_comes_along():
    found = set()
    for study in map(study_of, STUDIES):
        for cell in study.cells:
            found.update(picked.modules(study, "probe", cell))
        for rule in ("plan_costs", "plot_stability", "score"):
            found.update(picked.modules(study, rule, wildcards()))
    missing = [name for name in found if not (options.SOURCE / f"{name.replace('.', '/')}.py").exists()]
    assert missing == [] and len(found) > 30


def test_rules_that_pick_are_rules_of_the_workflow():
    rules = {
        name
        for path in (ROOT / "rules").glob("*.smk")
        for name in re.findall(r"^rule (\w+):", path.read_text(), flags=re.MULTILINE)
    }
    assert set(picked.PICKS) <= rules
    assert picked.modules(study_of("config"), "report", wildcards()) == []
