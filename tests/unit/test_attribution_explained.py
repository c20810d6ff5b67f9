"""What methods are given: draws that no batching changes, tokens, last grids, references, counted passes."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.explained import Explained, Images, same_shape
from sightline.attribution.maps import Choice, NotApplicable
from sightline.attribution.targets import own_classes
from sightline.errors import ConfigError
from tests.zoo import LABELS, ZOO


def test_an_images_draws_are_its_own_whatever_the_batch():
    together = Images(torch.zeros(3, 1, 4, 4), ("a", "b", "c"), seed=5)
    alone = Images(torch.zeros(1, 1, 4, 4), ("b",), seed=5)
    draw = torch.rand(4, generator=together.generator(1, "noise"))
    assert torch.equal(draw, torch.rand(4, generator=alone.generator(0, "noise")))
    others = [
        together.generator(0, "noise"),
        together.generator(1, "masks"),
        Images(alone.pixels, ("b",), seed=6).generator(0, "noise"),
        together.shared_generator("noise"),
    ]
    assert not any(torch.equal(draw, torch.rand(4, generator=other)) for other in others)
    shared = torch.rand(4, generator=together.shared_generator("noise"))
    assert torch.equal(shared, torch.rand(4, generator=alone.shared_generator("noise")))


@pytest.mark.parametrize(
    ("name", "layer", "grid"),
    [
        ("resnet", "layer4", (2, 2)),
        ("densenet", "features", (2, 2)),
        ("efficientnet", "bn2", (4, 4)),
        ("vit", "blocks.2.norm1", (4, 4)),  # what the last attention reads: later only the class token counts
        ("resnet3d", "layer4", (2, 2, 2)),
        ("unet3d", "network.model.1", (8, 8, 8)),  # what the final convolution reads
    ],
)
def test_the_last_grid_of_a_network_of_unknown_make(name, layer, grid):
    model, images = ZOO[name]()
    (found,) = model.modules(["last"])
    assert found == layer
    assert model.cells(["last"]) == np.prod(grid)
    assert model.frame(layer, images.shape, grid).shape == grid


def test_a_last_grid_whose_cells_have_no_place_is_refused_and_no_earlier_one_taken():
    import timm

    # its shortcuts average pairs of pixels: branches half a cell apart
    model = Explained(timm.create_model("resnet10t", num_classes=4), LABELS)
    model.passes.input_shape = (3, 64, 64)
    assert list(model.modules(["last"])) == ["layer4"]
    with pytest.raises(NotApplicable, match="place of layer 'layer4'.*usual_resize"):
        model.frame("layer4", (3, 64, 64), (2, 2))


@pytest.mark.parametrize("placement", ["true", "usual_resize"])
def test_layers_with_channels_last_are_refused_and_merged_tokens_have_no_last_layer(placement):
    import timm

    network = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12, depths=(1, 1),
        num_heads=(1, 2), num_classes=2,
    )  # fmt: skip
    model = Explained(network, LABELS, placement=placement)
    model.passes.input_shape = (3, 32, 32)
    for name, shape in (("norm", (2, 4, 4, 24)), ("layers.0.blocks.0", (2, 8, 8, 12))):
        with pytest.raises(NotApplicable, match=f"'{name}' gives .* cells before channels"):
            model.grid(name, torch.zeros(shape))
    with pytest.raises(NotApplicable, match="name one"):  # the patches' tokens are those of the first stage
        model.modules(["last"])


def test_a_grid_that_a_network_shrinks_unevenly_keeps_its_channels():
    network = nn.Sequential(nn.Conv2d(1, 8, 3, stride=(1, 2), padding=1), nn.Flatten(), nn.Linear(256, 4))
    model = Explained(network, LABELS)
    model.passes.input_shape = (1, 8, 8)
    assert model.grid("0", torch.zeros(2, 8, 8, 4)).shape == (2, 8, 8, 4)


def test_tokens_lie_on_the_grid_of_their_patches():
    model, images = ZOO["vit"]()
    tokens = model.tokens()
    assert (tokens.prefix, tokens.shape, tokens.width) == (1, (4, 4), 24)
    assert tokens.frame.scale == (1 / 8, 1 / 8)
    output = torch.arange(17.0)[None, :, None].expand(2, 17, 24)
    laid = model.grid("any", output)
    assert laid.shape == (2, 24, 4, 4)
    assert torch.equal(laid[0, 0].flatten(), torch.arange(1.0, 17.0))  # the class token is left out
    for wrong in (output[:, :9], output[0], None):
        with pytest.raises(NotApplicable, match="2-D grid"):
            model.grid("any", wrong)
    assert ZOO["resnet"]()[0].tokens() is None


def test_a_network_without_a_grid_has_no_last_layer():
    model = Explained(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), LABELS)
    model.passes.input_shape = (3, 4, 4)
    with pytest.raises(NotApplicable, match="no layer before the final one"):
        model.modules(["last"])
    assert "nowhere" in model.has_layers(["last", "nowhere"])
    assert model.has_layers(["last", "1"]) is None


def test_passes_are_counted_in_rows():
    model = Explained(nn.Sequential(nn.Flatten(), nn.Linear(48, 4)), LABELS)
    images = torch.ones(5, 3, 4, 4, requires_grad=True)
    outputs = model.network(images)
    outputs.sum().backward()
    with torch.no_grad():
        model.network(images[:2])
    assert (model.passes.forwards, model.passes.backwards) == (7, 5)
    assert model.input_shape == (3, 4, 4)


def test_references_take_the_shape_of_the_images():
    references = torch.arange(16.0).reshape(1, 1, 4, 4)
    model = Explained(nn.Flatten(), LABELS, reference_images=references)
    model.passes.input_shape = (1, 4, 4)
    assert torch.equal(model.references, references)
    model.passes.input_shape = (1, 2, 2)
    assert torch.allclose(model.references[0, 0], torch.tensor([[2.5, 4.5], [10.5, 12.5]]))
    assert same_shape([references, torch.ones(2, 1, 8, 8)]).shape == (3, 1, 4, 4)
    assert Explained(nn.Flatten(), LABELS).references is None


# ---- targets


OUTPUTS = np.array([[0.0, 3.0, 1.0, 2.0], [5.0, 1.0, 1.0, 1.0], [0.0, 1.0, 9.0, 2.0]], dtype=np.float32)
TRUTH = {"x": [0, 1, 0, 1], "y": [0, 0, 0, 0], "z": [1, np.nan, 0, 0]}


def truth(image):
    return np.array(TRUTH[image], dtype=float)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("predicted", [("b",), ("a",), ("c",)]),
        ("labelled", [("b", "d"), (None, None), ("a", None)]),
        ("predicted_and_labelled", [("b", "d"), ("a", None), ("c", "a")]),
    ],
)
def test_each_image_has_its_own_classes(kind, names):
    choice = Choice(kind, LABELS, truth=truth)
    targets = choice.of(("x", "y", "z"), OUTPUTS if choice.asks_outputs else None)
    assert [targets.of(image) for image in range(3)] == names
    values = targets.scalars(torch.from_numpy(OUTPUTS))
    again = targets.scalars(torch.from_numpy(OUTPUTS)[[2, 2, 0]], torch.tensor([2, 2, 0]))
    for image, own in enumerate(names):
        for slot, name in enumerate(own):
            if name is not None:
                assert values[image, slot] == OUTPUTS[image, LABELS.index(name)]
    assert torch.equal(again, values[[2, 2, 0]])


def test_what_the_unaltered_model_predicts_is_explained_too():
    before = OUTPUTS[:, ::-1]  # predicts c, d, b
    asked = []

    def unaltered(images):
        asked.append(tuple(images))
        return before

    targets = Choice("predicted", LABELS, unaltered=unaltered).of(("x", "y", "z"), OUTPUTS)
    assert [targets.of(image) for image in range(3)] == [("b", "c"), ("a", "d"), ("c", "b")]
    assert asked == [("x", "y", "z")]
    same = Choice("predicted", LABELS, unaltered=lambda _: OUTPUTS).of(("x", "y", "z"), OUTPUTS)
    assert [same.of(image) for image in range(3)] == [("b",), ("a",), ("c",)]


def test_all_classes_and_a_list_are_the_same_for_every_image():
    assert Choice("all_classes", LABELS).of(("x",), None).names == LABELS
    chosen = Choice("classes", LABELS, ("d", "a")).of(("x",), None)
    assert chosen.of(0) == ("d", "a")
    assert chosen.scalars(torch.from_numpy(OUTPUTS))[0].tolist() == [2.0, 0.0]
    with pytest.raises(ConfigError, match="unknown class"):
        Choice("classes", LABELS, ("e",)).of(("x",), None)
    with pytest.raises(ConfigError, match="expected one of all_classes"):
        Choice("everything", LABELS)


def test_images_without_a_class_keep_one_unnamed_slot():
    assert own_classes(LABELS, [[], []]).own == ((None,), (None,))
