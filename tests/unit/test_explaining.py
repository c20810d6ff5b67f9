"""A cell of the grid opened from its files: images, targets, conditions, references."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file

from sightline import tables
from sightline.attribution import store
from sightline.errors import ConfigError
from sightline.explanation.explaining import Cell, Files, Setting
from sightline.models.architectures import sononet16
from sightline.models.inputs import explain_input
from tests.unit.test_preparation import prepared_in

LABELS = ("a", "b", "c")
SPLITS = {"t1": "test", "t2": "test", "t3": "test", "v1": "validate", "v2": "validate", "n1": "train"}
SETTING = Setting(
    study_seed=3, architecture="sononet16", arguments={"width": 2}, labels=LABELS, side=32,
    condition={"kind": "clean", "options": {}}, method="gradcam", options={}, targets={"kind": "all_classes"},
    chosen="test", placement="true", batch=2, micro_batch=4, reference_images=0, autoencoder=None,
)  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> Files:
    """Six films of noise with labels, prepared; a network with drawn weights."""
    from PIL import Image

    folder = tmp_path_factory.mktemp("cell")
    random = np.random.default_rng(0)
    rows = []
    for name, split in SPLITS.items():
        Image.fromarray(random.integers(0, 255, (40, 36), dtype=np.uint8)).save(folder / f"{name}.png")
        row = dict.fromkeys(tables.SCHEMAS["images"].columns) | {"dataset": "d", "image": name}
        row |= {"subject": name, "split": split, "upstream_split": split, "evaluated": name != "t3"}
        rows.append(row | {"path": f"{name}.png", "height": 40, "width": 36})
    images = pd.DataFrame(rows)
    values = {name: random.integers(0, 2, 3) for name in SPLITS}
    labels = pd.DataFrame(
        [
            ("d", name, label, float(values[name][at]), 1.0)
            for name in SPLITS
            for at, label in enumerate(LABELS)
        ],
        columns=["dataset", "image", "label", "value", "raw"],
    )
    assert prepared_in(folder, images, folder, [32])["skipped"].empty
    tables.write("images", images, folder / "images.parquet")
    tables.write("labels", labels, folder / "labels.parquet")
    torch.manual_seed(5)
    save_file(sononet16.build(3, width=2).state_dict(), folder / "weights.safetensors")
    names = ("weights.safetensors", "images.parquet", "labels.parquet", "prepared.parquet", "pixels.npy")
    return Files(*(Path(folder / name) for name in names))


def cell(files: Files, **changed) -> Cell:
    return Cell(files, replace(SETTING, **changed), "m", 0, torch.device("cpu"))


def network_outputs(files: Files, names) -> np.ndarray:
    opened = cell(files)
    stored = np.stack([opened.pixels.get(name, 32, "explain") for name in names])
    with torch.no_grad():
        return opened.model.network(explain_input(stored)).numpy()


def test_the_setting_says_which_images_are_explained(files):
    assert [name for batch in cell(files).plan for name in batch.images] == ["t1", "t2", "t3"]
    assert [name for batch in cell(files, chosen="evaluated").plan for name in batch.images] == ["t1", "t2"]


def test_at_most_so_many_are_drawn_once_for_the_dataset(files):
    def explained(count: int, **changed) -> set[str]:
        return {name for batch in cell(files, at_most=count, **changed).plan for name in batch.images}

    for seed in range(5):
        one, two = explained(1, study_seed=seed), explained(2, study_seed=seed)
        assert len(one) == 1 and len(two) == 2 and one < two < explained(9, study_seed=seed)
        assert two == explained(
            2, study_seed=seed, method="occlusion", condition={"kind": "log", "options": {}}
        )
    assert len({*map(tuple, (explained(1, study_seed=seed) for seed in range(9)))}) > 1
    assert explained(2, chosen="evaluated") == {"t1", "t2"}
    assert len(cell(files, at_most=1, reference_images=5).model.reference_images) == 2  # validation's, all


def test_references_are_validation_images(files):
    assert cell(files).model.reference_images is None
    model = cell(files, reference_images=5).model
    stored = np.stack([cell(files).pixels.get(name, 32, "explain") for name in ("v1", "v2")])
    assert torch.equal(model.reference_images, explain_input(stored))


def test_outputs_and_maps_are_those_of_the_trained_network(files, tmp_path):
    opened = cell(files)
    said = store.write(
        opened.explanations(opened.plan),
        {"dataset": "d", "model": "m", "seed": 0, "condition": "clean", "method": "gradcam"},
        LABELS,
        tmp_path / "maps.parquet",
        tmp_path / "values.npy",
    )
    wide = said.pivot(index="image", columns="label", values="logit")
    np.testing.assert_allclose(wide[list(LABELS)], network_outputs(files, ["t1", "t2", "t3"]), rtol=1e-5)
    assert (tables.read("maps", tmp_path / "maps.parquet")["status"] == "ok").all()


@pytest.mark.parametrize("kind", ["rotate180", "randomise"])
def test_under_a_condition_what_the_unaltered_model_predicts_is_explained_too(files, kind):
    options = {"randomise": {"layers": "all", "order": "top_down", "mode": "cascading", "stages": "layers"}}
    opened = cell(
        files,
        condition={"kind": kind, "options": options.get(kind, {})},
        targets={"kind": "predicted"},
        chosen="evaluated",
    )
    (found,) = opened.explanations(opened.plan)
    before = network_outputs(files, ["t1", "t2"]).argmax(axis=1)
    assert not np.allclose(found.outputs, network_outputs(files, ["t1", "t2"]))
    for image in range(2):
        names = {name for name in found.targets.of(image) if name is not None}
        assert names == {LABELS[before[image]], LABELS[found.outputs[image].argmax()]}


def test_neurons_are_explained_and_the_whole_networks_outputs_kept(files):
    targets = {"kind": "neuron", "layer": "features.8", "units": [1, [0, 1, 1]]}
    opened = cell(files, targets=targets, method="gradient", chosen="evaluated")
    (found,) = opened.explanations(opened.plan)
    assert found.status == "ok", found.reason
    assert found.targets.names == ("features.8 1", "features.8 0,1,1")
    np.testing.assert_allclose(found.outputs, network_outputs(files, ["t1", "t2"]), rtol=1e-5)
    pixels = opened.load(found.batch).requires_grad_()
    layer = opened.model.network.get_submodule("features")
    activation = pixels
    for part in list(layer)[:9]:
        activation = part(activation)
    unit = activation[:, 1].mean(dim=(1, 2)).sum()
    (gradient,) = torch.autograd.grad(unit, pixels)
    np.testing.assert_allclose(found.maps[0].values[:, 0], gradient.sum(dim=1), rtol=1e-3, atol=1e-7)


def test_similarity_is_to_the_reference_images(files):
    targets = {"kind": "similarity", "gallery": "each"}
    opened = cell(files, targets=targets, reference_images=2, chosen="evaluated")
    (found,) = opened.explanations(opened.plan)
    assert found.status == "ok", found.reason
    assert found.targets.names == ("reference 0", "reference 1")
    with pytest.raises(ConfigError, match="reference images"):
        list(cell(files, targets=targets).explanations(opened.plan))
