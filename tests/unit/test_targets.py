"""What is explained beside classes: frozen regions of a segmentation, similarities, single neurons."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.batches import Batch
from sightline.attribution.engines.neurons import neuron
from sightline.attribution.maps import Choice, Explained, Method, run
from sightline.attribution.targets import frozen_regions, similarity
from sightline.errors import ConfigError
from sightline.frames import Frame
from tests.zoo import LABELS, ZOO


@pytest.fixture
def segmentation() -> tuple[Explained, torch.Tensor]:
    """A 3-D U-Net with a logit per class and voxel, and two volumes."""
    model, images = ZOO["unet3d"]()
    return Explained(model.network.network, LABELS, spatial_dims=3), images.pixels


def logits(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


# ---- frozen regions


def test_argmax_regions_share_the_image_among_the_classes():
    outputs = logits(2, 3, 4, 5)
    outputs[1, 2] = -10  # nowhere the highest
    targets = frozen_regions(outputs, ("a", "b", "c"))
    assert targets.own == (("a", "b", "c"), ("a", "b", None))
    expected = outputs.max(dim=1).values.sum(dim=(1, 2))  # each pixel's highest logit, once
    torch.testing.assert_close(targets.scalars(outputs).sum(dim=1), expected)
    assert targets.scalars(outputs)[1, 2] == 0


def test_thresholded_regions_may_overlap():
    outputs = torch.tensor([[[[1.0, -1.0], [3.0, 0.5]], [[2.0, 4.0], [-1.0, -2.0]]]])
    assert frozen_regions(outputs, ("a", "b"), "threshold").scalars(outputs).tolist() == [[4.5, 6.0]]
    above = frozen_regions(outputs, ("a", "b"), "threshold", threshold=0.75, pooling="mean")
    assert above.scalars(outputs).tolist() == [[2.0, 3.0]]
    assert frozen_regions(outputs, ("a", "b"), "threshold", 3.5).own == ((None, "b"),)


def test_regions_stay_where_they_were_and_belong_to_their_image():
    outputs, other = logits(3, 2, 4, 4), 5 * logits(5, 2, 4, 4)
    targets = frozen_regions(outputs, ("a", "b"))
    rows = torch.tensor([2, 2, 0, 1, 0])
    found = targets.scalars(other, rows)
    for row, image in enumerate(rows):
        inside = outputs[image, 0] > outputs[image, 1]
        torch.testing.assert_close(
            found[row], torch.stack([other[row, 0][inside].sum(), other[row, 1][~inside].sum()])
        )


@pytest.mark.parametrize("rule", ["argmax", "threshold"])
def test_a_frozen_region_has_gradients_and_is_complete(segmentation, rule):
    """Along a path between images; one taken anew at each point, as wrappers do, is not."""
    model, images = segmentation
    start, way = images.flip(0), images - images.flip(0)
    with torch.no_grad():
        before, after = model.network(start), model.network(images)
    frozen = frozen_regions(after, LABELS, rule)
    totals = {"frozen": torch.zeros(2, 4), "moving": torch.zeros(2, 4)}
    for step in (torch.arange(32) + 0.5) / 32:
        point = (start + step * way).requires_grad_()
        outputs = model.network(point)
        for name, targets in (("frozen", frozen), ("moving", frozen_regions(outputs, LABELS, rule))):
            for index, scalar in enumerate(targets.scalars(outputs).sum(dim=0)):
                (gradient,) = torch.autograd.grad(scalar, point, retain_graph=True)
                totals[name][:, index] += (gradient * way).flatten(1).sum(dim=1) / 32
                assert name == "moving" or gradient.abs().max() > 0
    difference = frozen.scalars(after) - frozen.scalars(before)
    assert (totals["frozen"] - difference).abs().max() < 0.005 * difference.abs().max()
    starts = frozen_regions(before, LABELS, rule).scalars(before)
    difference = frozen.scalars(after) - starts
    assert (totals["moving"] - difference).abs().max() > 0.02 * difference.abs().max()


def test_outputs_that_are_no_segmentation_are_refused():
    with pytest.raises(ConfigError, match=r"need outputs \(images, 3 classes"):
        frozen_regions(logits(2, 3), ("a", "b", "c"))
    with pytest.raises(ConfigError, match="3 classes"):
        frozen_regions(logits(2, 4, 5, 5), ("a", "b", "c"))
    with pytest.raises(ConfigError, match="'otsu'"):
        frozen_regions(logits(2, 3, 5, 5), ("a", "b", "c"), "otsu")
    with pytest.raises(ConfigError, match="'median'"):
        frozen_regions(logits(2, 3, 5, 5), ("a", "b", "c"), pooling="median")


def test_regions_are_explained_through_a_run(segmentation):
    model, images = segmentation
    frame = Frame.of_image((16, 16, 16))
    batch = Batch(("x", "y"), (frame, frame))
    choice = Choice("region", LABELS, rule="threshold", threshold=0.1)
    (found,) = run(Method("hirescam", {"layers": ["model.0"]}), model, [batch], lambda _: images, choice)
    assert found.status == "ok"
    assert found.maps[0].values.shape == (2, 4, 8, 8, 8)
    assert found.targets.own is not None


# ---- similarity


def test_similarity_is_the_cosine():
    outputs, gallery = logits(4, 6), logits(3, 6).flip(0) + 1
    targets = similarity(gallery, ["p", "q", "r"])
    expected = torch.cosine_similarity(outputs[:, None], gallery[None], dim=2)
    torch.testing.assert_close(targets.scalars(outputs), expected)
    assert targets.names == ("p", "q", "r")
    with pytest.raises(ConfigError, match="2 names for 3 rows"):
        similarity(gallery, ["p", "q"])


def test_a_gallery_is_its_mean_direction_or_each_image():
    gallery, outputs = logits(3, 6), logits(4, 6) + 1
    choice = Choice("similarity", LABELS, embeddings=lambda: gallery)
    unit = gallery / gallery.norm(dim=1, keepdim=True)
    expected = torch.cosine_similarity(outputs, unit.mean(dim=0, keepdim=True))
    mean = choice.of(("x",), None)
    assert mean.names == ("references",)
    torch.testing.assert_close(mean.scalars(outputs)[:, 0], expected)
    each = Choice("similarity", LABELS, gallery="each", embeddings=lambda: gallery).of(("x",), None)
    assert each.names == ("reference 0", "reference 1", "reference 2")
    with pytest.raises(ConfigError, match="need reference images"):
        Choice("similarity", LABELS).of(("x",), None)


# ---- neurons


def test_a_neuron_is_explained_as_captum_does():
    attr = pytest.importorskip("captum.attr")
    model, images = ZOO["resnet"]()
    model.passes.input_shape = images.shape
    cut, targets = neuron(model, "layer2", [3, (5, 1, 2)])
    assert targets.names == ("layer2 3", "layer2 5,1,2")
    pixels = images.pixels.clone().requires_grad_()
    found = targets.scalars(cut.network(pixels))
    (gradient,) = torch.autograd.grad(found[:, 1].sum(), pixels)
    expected = attr.NeuronGradient(model.network, model.network.layer2).attribute(
        images.pixels.clone().requires_grad_(), (5, 1, 2)
    )
    torch.testing.assert_close(gradient, expected)
    (maps,) = Method("gradcam").module.explain(cut, images, targets, layers=["last"])
    assert maps.values.shape[:2] == (2, 2)
    assert maps.source.startswith("layer2.0")


@pytest.mark.parametrize("name", list(ZOO))
def test_neurons_of_every_network(name):
    model, images = ZOO[name]()
    model.passes.input_shape = images.shape
    (layer,) = model.modules(["last"])
    cut, targets = neuron(model, layer, 1)
    kept = []
    handle = model.network.get_submodule(layer).register_forward_hook(
        lambda m, i, output: kept.append(output.clone())
    )
    with torch.no_grad():
        found = targets.scalars(cut.network(images.pixels))
        model.network(images.pixels)
    handle.remove()
    np.testing.assert_allclose(
        found[:, 0], model.grid(layer, kept[-1])[:, 1].flatten(1).mean(dim=1), rtol=1e-5, atol=1e-6
    )


def test_a_network_without_a_graph_runs_as_a_whole():
    class Branches(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.one(x)
            return self.two(x if x.sum() > 0 else -x).mean(dim=(2, 3))

    model = Explained(Branches(), ("a", "b"))
    model.passes.input_shape = (1, 6, 6)
    images = logits(2, 1, 6, 6)
    cut, targets = neuron(model, "one", [0])
    with torch.no_grad():
        expected = model.network.one(images)[:, :1].mean(dim=(2, 3))
        torch.testing.assert_close(targets.scalars(cut.network(images)), expected)
    with pytest.raises(ConfigError, match="no layer 'three'"):
        neuron(model, "three", 0)
