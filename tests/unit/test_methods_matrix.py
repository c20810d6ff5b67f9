"""Every method on every network of the zoo: maps or a stated reason, as the committed table has it.

Where a cell changes on purpose, `make methods` writes the table and docs/methods.md anew: the change then
shows in its diff.
"""

import dataclasses

import numpy as np
import pytest

from sightline import options
from sightline.attribution.explained import Images
from sightline.attribution.maps import Method
from tests import matrix

COMMITTED = matrix.committed()
CELLS = [(method, network) for method in matrix.methods() for network in matrix.NETWORKS]
# stated passes are a bound where a method may stop early, or where a batch shares the references' passes
BOUNDS = {"deeplift_shap", "iterative_saliency", "layer_deeplift_shap"}


def test_the_table_holds_every_method_and_network_and_no_other():
    assert set(COMMITTED) == set(CELLS)
    assert set(matrix.FAMILIES) >= {
        options.read(f"{matrix.PACKAGE}.{name}")["FAMILY"] for name in matrix.methods()
    }


@pytest.mark.parametrize("network", matrix.NETWORKS)
@pytest.mark.parametrize("method", matrix.methods())
def test_a_cell_is_what_the_table_says(method, network):
    cell = matrix.cell(method, network)
    assert cell.row == COMMITTED[method, network]
    if cell.explanation.status != "ok":
        assert cell.explanation.status == "not_applicable"
        assert len(cell.explanation.reason) > 20
        return
    _, images = matrix.opened(network)
    targets = cell.explanation.targets
    for maps in cell.explanation.maps:
        assert maps.values.dtype == np.float32
        assert maps.values.shape == (2, targets.count, *maps.frame.shape)
        assert np.isfinite(maps.values).all()
        assert maps.gap is None or (maps.gap.shape == (2, targets.count) and np.isfinite(maps.gap).all())
        axes = tuple(range(1, 1 + len(maps.frame.shape)))
        if method == "internal_influence":  # a gradient alone: constant where a mean and linear layers follow
            continue
        assert all(np.ptp(one, axis=axes).max() > 0 for one in maps.values), "all maps are constant"
        assert not np.array_equal(maps.values[0], maps.values[1]), "the same maps for both images"
        if Method(method).module.PER_TARGET:
            assert not np.array_equal(maps.values[:, 0], maps.values[:, 1]), "the same map for two classes"
    made, stated = np.array(cell.made), np.array(cell.stated)
    if method in BOUNDS:
        assert (made <= stated).all() and (stated <= 4 * made).all()
    else:
        assert tuple(made) == tuple(stated)


OK = [cell for cell in CELLS if COMMITTED.get(cell, {}).get("status") == "ok"]


@pytest.mark.parametrize(("method", "network"), [cell for cell in OK if cell[1] in ("resnet", "vit")])
def test_an_image_is_explained_alike_alone_and_in_a_batch(method, network):
    _, images = matrix.opened(network)
    alone = Images(images.pixels[1:], images.names[1:], images.seed)
    together = matrix.explain(method, network).maps
    for maps, one in zip(together, matrix.explain(method, network, alone).maps):
        scale = np.abs(maps.values[1]).max()
        np.testing.assert_allclose(one.values[0], maps.values[1], atol=2e-3 * scale)


def test_passes_are_per_image():
    method = "gradcam"
    model, images = matrix.opened("resnet")
    module = Method(method).module
    cost = module.cost(model, images.shape, 7)
    assert dataclasses.astuple(cost)[:2] == (1, 7)
    assert cost.values == 7 * 4
