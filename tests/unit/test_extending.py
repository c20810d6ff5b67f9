"""The worked example of docs/extending.md, from its study to its maps; what a method folder may hold."""

import copy
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from scipy.ndimage import uniform_filter
from torch import nn

from sightline import options, provenance
from sightline.attribution import batches, maps
from sightline.errors import ConfigError, SightlineError
from sightline.frames import Frame
from sightline.models.inputs import explain_input
from sightline.models.network import architecture, build, check
from sightline.study.grid import Study
from tests.unit.small_trainings import films, trained

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "workflow/schemas/config.schema.yaml"
EXAMPLE = ROOT / "examples/own_method"
CONFIG = yaml.safe_load((EXAMPLE / "study.yaml").read_text())
METHOD = (EXAMPLE / "methods/gradient_detail.py").read_text()
KIND = "examples/own_method/methods/gradient_detail.py"


@pytest.fixture(autouse=True)
def project(monkeypatch):
    monkeypatch.chdir(ROOT)


def study(**changes: object) -> Study:
    """The example's study, with other values of top keys."""
    return Study(copy.deepcopy(CONFIG) | changes, SCHEMA)


def explained(network: nn.Module, images: torch.Tensor, **chosen: object) -> maps.Explanation:
    """What the example's method makes of images (B, C, H, W)."""
    names = [f"i{index}" for index in range(len(images))]
    plan = batches.plan({name: Frame.of_image(tuple(images.shape[2:])) for name in names}, len(names))
    model = maps.Explained(network, ("a", "b"), spatial_dims=images.ndim - 2)
    (found,) = maps.run(maps.Method(KIND, chosen), model, plan, lambda batch: images)
    return found


# ---- the worked example


def test_the_example_trains_and_explains_as_its_study_says(tmp_path):
    chosen = study()
    model, method = chosen.models["small"], chosen.methods["detail"]
    assert method == {"kind": KIND, "readings": ["weighted"], "options": {"radius": 4}}
    network = build(model["architecture"], 2, 0, **model["arguments"])
    check(network, 2, 64)
    done = trained(network, tmp_path / "checkpoint", epochs=5)
    losses = done.curves[done.curves["quantity"] == "train_loss"]["value"].to_numpy()
    assert losses[-1] < 0.9 * losses[0]

    held_out = films(12, "explain")
    plan = batches.plan(
        {name: Frame.of_image(held_out.store.get(name, 64, "").shape) for name in held_out.images}, 4
    )
    layers = architecture(model["architecture"]).LAYERS
    explainable = maps.Explained(network, ("No Finding", "Marker"), layers)

    def load(batch):
        return explain_input(np.stack([held_out.store.get(name, 64, "explain") for name in batch.images]))

    found = list(maps.run(maps.Method(method["kind"], method["options"]), explainable, plan, load))
    assert sorted(name for one in found for name in one.batch.images) == list(held_out.images)
    assert {one.status for one in found} == {"ok"}
    for one in found:
        (detail,) = one.maps
        assert detail.values.shape == (len(one.batch.images), 2, *one.batch.frames[0].shape)
        assert np.isfinite(detail.values).all() and detail.values.any()


def test_the_examples_network_has_the_layers_that_it_names():
    module = architecture("examples/own_method/models/small.py")
    network = module.build(2, width=3).eval()
    seen = {}
    network.get_submodule(module.LAYERS["last"][0]).register_forward_hook(
        lambda _module, _inputs, output: seen.update(last=output)
    )
    images = torch.randn(2, 3, 24, 20)
    said = network(images)
    assert seen["last"].shape == (2, 12, 6, 5)
    torch.testing.assert_close(network.classifier(seen["last"].mean(dim=(2, 3))), said)


@pytest.mark.parametrize("shape", [(20, 16), (9, 12, 10)])
def test_the_examples_method_is_its_formula_on_a_linear_network(shape):
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * int(np.prod(shape)), 2))
    images = torch.randn(3, 2, *shape, generator=torch.Generator().manual_seed(0))
    found = explained(network, images, radius=2)
    (one,) = found.maps
    # the local mean by SciPy: of what lies inside, so the mean of the padded image over that of a mask
    inside = uniform_filter(np.ones(shape), 5, mode="constant")
    mean = np.stack(
        [[uniform_filter(c, 5, mode="constant") / inside for c in image] for image in images.numpy()]
    )
    weight = network[1].weight.detach().numpy().reshape(2, 2, *shape)
    expected = (weight[None] * (images.numpy() - mean)[:, None]).sum(axis=2)
    np.testing.assert_allclose(one.values, expected, atol=1e-6)
    with torch.no_grad():
        difference = (network(images) - network(torch.from_numpy(mean).float())).numpy()
    np.testing.assert_allclose(one.values.reshape(3, 2, -1).sum(axis=2), difference, atol=1e-5)
    assert one.frame == Frame.of_image(shape) and one.signed


def test_the_examples_method_says_its_cost_and_where_it_does_not_suit():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 12 * 10, 2))
    model = maps.Explained(network, ("a", "b"))
    method = maps.Method(KIND)
    images = maps.Images.of(torch.randn(1, 3, 12, 10))
    targets = maps.classes(("a", "b"))
    (one,) = method.module.explain(model, images, targets)
    said = method.module.cost(model, images.shape, targets.count)
    assert (model.passes.forwards, model.passes.backwards) == (said.forwards, said.backwards) == (1, 2)
    assert one.values.size == said.values
    refused = explained(network, images.pixels, radius=5)
    assert refused.status == "not_applicable" and "11 pixels does not fit" in refused.reason
    assert explained(network, images.pixels, radius=4).status == "ok"


def test_the_page_shows_the_examples_files_as_they_are():
    page = (ROOT / "docs/extending.md").read_text()
    shown = re.findall(r"```python\n(.*?)```", page, re.S)
    sources = [path.read_text() for path in sorted(EXAMPLE.rglob("*.py"))]
    assert len(shown) >= 2
    for block in shown:
        assert any(block.strip() in source for source in sources), block
    settings = re.findall(r"```yaml\n(.*?)```", page, re.S)
    assert settings
    for block in settings:
        for key, value in yaml.safe_load(block).items():
            held = CONFIG[key]
            assert value == held or all(held[name] == one for name, one in value.items()), key


def test_what_the_page_tries_without_a_study_runs(capsys):
    (block,) = re.findall(r"```py\n(.*?)```", (ROOT / "docs/extending.md").read_text(), re.S)
    exec(compile(block, "docs/extending.md", "exec"), {})
    printed, _, said = block.splitlines()[-1].partition("  # ")
    assert printed.startswith("print(") and said.startswith(capsys.readouterr().out.strip())


# ---- the folder of methods


@pytest.fixture
def folder(tmp_path) -> Path:
    """A user's folder with one method."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/detail.py").write_text(METHOD)
    return tmp_path / "mine"


def with_method(folder: Path | None, kind: str = "detail", **chosen: object) -> Study:
    detail = {"kind": kind, "readings": ["weighted"]} | chosen
    methods = {"detail": detail, "gradcam": CONFIG["methods"]["gradcam"]}
    return study(method_folder=None if folder is None else str(folder), methods=methods)


def test_a_method_of_the_folder_has_the_options_that_its_file_states(folder):
    found = with_method(folder).methods["detail"]
    assert (found["kind"], found["options"]) == (str(folder / "detail.py"), {"radius": 3})
    assert with_method(folder, radius=7).methods["detail"]["options"] == {"radius": 7}
    with pytest.raises(ConfigError, match=r"methods\.detail\.radus.*did you mean 'radius'"):
        with_method(folder, radus=7)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gradcam.py", METHOD, ["gradcam.py: 'gradcam' is a method of Sightline's own", "rename"]),
        ("detail.py", METHOD.replace("GRID =", "_GRID ="), ["methods.detail", "does not define GRID"]),
        ("detail.py", METHOD.replace("def cost", "def price"), ["does not define cost", "extending.md"]),
        ("detail.py", METHOD + "def broken(:\n", ["detail.py:", "not valid Python"]),
        ("detail.py", METHOD.replace('"minimum": 1', '"minimum": int(1)'), ["no literal OPTIONS"]),
    ],
)
def test_a_folder_that_cannot_serve_is_refused_before_anything_runs(folder, name, text, said):
    (folder / name).write_text(text)
    with pytest.raises(ConfigError) as raised:
        with_method(folder)
    assert all(words in str(raised.value) for words in said), str(raised.value)


def test_an_unknown_kind_is_told_ours_and_the_folders(folder):
    with pytest.raises(ConfigError, match="detail.*gradcam.*did you mean 'detail'"):
        with_method(folder, kind="details")
    with pytest.raises(ConfigError, match="'detail' is none of"):
        with_method(None)
    with pytest.raises(ConfigError, match="no such folder"):
        with_method(folder / "elsewhere")


# ---- what an edit of a user's file reruns


def test_a_users_file_belongs_to_the_fingerprint_of_its_jobs_alone(folder):
    def of(script: str, *modules: str) -> str:
        return provenance.fingerprint(ROOT / f"scripts/{script}.py", ROOT, modules)

    path = folder / "detail.py"
    before, without = of("attribute", str(path)), of("attribute")
    assert before != without
    path.write_text(METHOD.replace('"""Gradient x detail:', '"""Other words:') + "# a remark\n")
    assert of("attribute", str(path)) == before
    path.write_text(METHOD.replace("- local_mean", "+ local_mean"))
    assert of("attribute", str(path)) != before
    assert of("attribute") == without
    path.write_text(METHOD)
    assert of("attribute", str(path)) == before
    with pytest.raises(SightlineError, match="nowhere.py: no such file"):
        of("attribute", "nowhere.py")


def test_what_a_users_file_imports_counts_and_must_be_pinned(folder):
    path = folder / "detail.py"
    parts = provenance.parts(ROOT / "scripts/score.py", ROOT, [str(path)])
    assert {str(path), "sightline.attribution.maps", "torch=="} <= set(parts)
    (folder / "beside.csv").write_text("a,b")
    assert provenance.parts(ROOT / "scripts/score.py", ROOT, [str(path)]) == parts
    path.write_text("import nowhere_to_be_found\n")
    with pytest.raises(SightlineError, match=r"detail\.py:1: imports 'nowhere_to_be_found'"):
        provenance.parts(ROOT / "scripts/score.py", ROOT, [str(path)])


def test_names_defined_at_the_top_of_a_file_are_read_without_importing_it(tmp_path):
    path = tmp_path / "a.py"
    path.write_text("import nowhere\nA = 1\nB: int = 2\ndef c():\n    D = 3\nclass E:\n    f = 4\nA.g = 5\n")
    assert options.defined(str(path)) == {"A", "B", "c", "E"}
