"""Grad-CAM and attention maps: against captum, closed forms, the study's own code, and failures as rows."""

import json

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sightline.attribution import maps
from sightline.attribution.batches import Batch
from sightline.attribution.maps import Choice, Explained, Images, Method, Targets, classes, no_class
from sightline.attribution.methods import attention, gradcam
from sightline.attribution.readings import Outputs, Reading, Source, read
from sightline.errors import ConfigError
from sightline.frames import Frame
from sightline.models.architectures import ag_sononet, sononet16

LABELS = ("a", "b", "c", "d")


class Small(nn.Module):
    """A network with in-place and reused ReLU, and a head with a hidden layer, in 2 or 3 dimensions."""

    def __init__(self, dims: int = 2, hidden: bool = True):
        super().__init__()
        convolution = nn.Conv2d if dims == 2 else nn.Conv3d
        self.one = convolution(3, 6, 3, stride=2, padding=1)
        self.two = convolution(6, 8, 3, stride=2, padding=1)
        self.relu = nn.ReLU(inplace=True)
        self.head = (
            nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4)) if hidden else nn.Linear(8, 4)
        )

    def forward(self, x):
        x = self.relu(self.two(self.relu(self.one(x))))
        return self.head(x.flatten(2).mean(dim=2))


def small(dims: int = 2, hidden: bool = True, seed: int = 0) -> Explained:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = Small(dims, hidden)
    return Explained(network, LABELS, layers={"last": ("two",)}, spatial_dims=dims)


def pixels(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def random_weights(network: nn.Module, seed: int = 0) -> nn.Module:
    """Also normalisation's statistics drawn, so that a missing one would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, buffer in network.named_buffers():
            if name.endswith(("running_mean", "running_var")):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return network


@pytest.mark.parametrize(("dims", "shape"), [(2, (2, 3, 20, 28)), (3, (2, 3, 12, 16, 20))])
@pytest.mark.parametrize("layer", ["one", "two"])
def test_every_class_equals_captum(dims, shape, layer):
    attr = pytest.importorskip("captum.attr")
    model, images = small(dims), pixels(*shape)
    (found,) = gradcam.explain(model, Images.of(images), classes(LABELS), layers=[layer])
    assert found.values.shape[:2] == (2, 4)
    oracle = attr.LayerGradCam(model.network, model.network.get_submodule(layer))
    for target in range(4):
        expected = oracle.attribute(images.clone().requires_grad_(), target=target).detach().numpy()[:, 0]
        np.testing.assert_allclose(
            found.values[:, target], expected, atol=1e-6 * np.abs(expected).max() + 1e-9
        )
    assert not model.network.one._forward_hooks
    assert not model.network.two._forward_hooks


def test_equals_cam_where_the_head_is_mean_and_linear():
    model = small(hidden=False)
    images = pixels(3, 3, 24, 24)
    (found,) = gradcam.explain(
        model, Images.of(images), classes(LABELS), layers=["relu"]
    )  # its last call: what is averaged
    network = model.network
    with torch.no_grad():
        activation = network.two(network.one(images).relu()).relu()
        expected = torch.einsum("tk,bkyx->btyx", network.head.weight, activation) / activation[0, 0].numel()
    np.testing.assert_allclose(found.values, expected.numpy(), rtol=1e-4, atol=1e-7)
    # completeness: summed over the grid it is the logit less the bias
    total = found.values.sum(axis=(2, 3)) + network.head.bias.numpy()
    np.testing.assert_allclose(total, found.outputs, rtol=1e-5, atol=1e-6)


def test_maps_are_signed_and_linear_in_the_target():
    model, images = small(), pixels(2, 3, 24, 24)
    (found,) = gradcam.explain(model, Images.of(images), classes(LABELS))
    assert found.signed
    assert found.values.min() < 0 < found.values.max()
    mixed = Targets(("mix",), lambda outputs, rows=None: (3 * outputs[:, 1] - 2 * outputs[:, 3])[:, None])
    (combined,) = gradcam.explain(model, Images.of(images), mixed)
    expected = 3 * found.values[:, 1] - 2 * found.values[:, 3]
    np.testing.assert_allclose(combined.values[:, 0], expected, rtol=1e-4, atol=1e-7)


def test_images_and_classes_do_not_depend_on_their_company():
    model, images = small(), pixels(3, 3, 24, 24)
    (together,) = gradcam.explain(model, Images.of(images), classes(LABELS))
    (alone,) = gradcam.explain(model, Images.of(images[1:2]), classes(LABELS, ["c"]))
    assert alone.targets == ("c",)
    np.testing.assert_allclose(alone.values[0, 0], together.values[1, 2], rtol=1e-4, atol=1e-8)


def test_two_layers_at_once_equal_each_alone_where_one_feeds_the_other():
    model, images = small(), pixels(2, 3, 24, 24)
    both = gradcam.explain(model, Images.of(images), classes(LABELS), layers=["one", "two"])
    for found in both:
        (alone,) = gradcam.explain(model, Images.of(images), classes(LABELS), layers=[found.source])
        np.testing.assert_allclose(found.values, alone.values, rtol=1e-5, atol=1e-8)
    assert [found.source for found in both] == ["one", "two"]


def test_nothing_before_the_layer_is_recorded():
    model = small()
    seen = []
    handle = model.network.one.register_forward_hook(lambda m, i, output: seen.append(output.requires_grad))
    gradcam.explain(model, Images.of(pixels(1, 3, 16, 16)), classes(LABELS))
    handle.remove()
    assert seen
    assert not any(seen)


def test_frames_are_those_of_the_strides_or_of_the_usual_resize():
    images = pixels(1, 3, 24, 20)
    (found,) = gradcam.explain(small(), Images.of(images), classes(LABELS))
    assert found.frame == Frame((6, 5), (0.25, 0.25), (0.0, 0.0))
    usual = Explained(small().network, LABELS, {"last": ("two",)}, placement="usual_resize")
    (found,) = gradcam.explain(usual, Images.of(images), classes(LABELS))
    assert found.frame == Frame.resized((24, 20), (6, 5))


# ---- the study's own numbers


def golden_model(golden, module, name: str) -> Explained:
    network = module.build(14)
    with np.load(golden / "models" / f"{name}_weights.npz", allow_pickle=False) as weights:
        network.load_state_dict({key: torch.from_numpy(weights[key]) for key in weights.files})
    labels = json.loads((golden / "models" / "meta.json").read_text())["labels"]
    return Explained(network, tuple(labels), module.LAYERS, module.ATTENTION)


def authors_frame(image: tuple[int, int], model_input: tuple[int, int]) -> Frame:
    """The network's input in image coordinates, as the authors take it: a square of the longer side, centred.

    Their crop takes off (d - 1) // 2 rows first where d is odd.
    """
    side = max(image)
    first = tuple((side - length) // 2 for length in image)
    square = Frame.of_image(image).cropped(tuple(-start for start in first), (side, side))
    return square.then(Frame.resized((side, side), model_input))


@pytest.mark.parametrize("case", ["a", "c"])
@pytest.mark.parametrize(
    ("module", "name", "channels"), [(sononet16, "sononet", 32), (ag_sononet, "ag_sononet", 320)]
)
def test_class_mixes_are_the_authors(golden, module, name, channels, case):
    model = golden_model(golden, module, name)
    with np.load(golden / "models" / "io.npz", allow_pickle=False) as io:
        images = torch.from_numpy(io[f"val_tensor_{case}"])[None]
        shape = io[f"img_{case}"].shape
        found = gradcam.explain(model, Images.of(images), classes(model.labels))
        np.testing.assert_allclose(found[0].outputs[0], io[f"{name}_{case}_logits"], rtol=1e-4, atol=1e-5)
        outputs = Outputs(model.labels, found[0].outputs[0])
        frame = authors_frame(shape, tuple(images.shape[2:]))
        sources = [Source(one.source, one.targets, one.values[0], frame.then(one.frame)) for one in found]
        for mix, theirs in (("uniform",) * 2, ("weighted", "weighted_classes"), ("thresholded",) * 2):
            ours = read(sources, outputs, Reading(mix, "relu"), Frame.of_image(shape))
            expected = io[f"{name}_{case}_cam_{theirs}"]
            np.testing.assert_allclose(ours.values / channels, expected, atol=1e-5 * expected.max())


@pytest.mark.parametrize("case", ["a", "c"])
@pytest.mark.parametrize("name", ["am1", "am2"])
def test_attention_maps_are_the_authors(golden, name, case):
    model = golden_model(golden, ag_sononet, "ag_sononet")
    with np.load(golden / "models" / "io.npz", allow_pickle=False) as io:
        images = torch.from_numpy(io[f"val_tensor_{case}"])[None]
        (found,) = attention.explain(model, Images.of(images), no_class(), name=name)
        np.testing.assert_allclose(found.values[0, 0], io[f"ag_sononet_{case}_{name}_raw"], atol=1e-5)
        shape = io[f"img_{case}"].shape
        frame = authors_frame(shape, tuple(images.shape[2:])).then(found.frame)
        source = Source(found.source, found.targets, found.values[0], frame)
        ours = read([source], None, Reading(), Frame.of_image(shape))
        np.testing.assert_allclose(ours.values, io[f"ag_sononet_{case}_{name}"], atol=1e-5)
    assert found.targets == ("",)


@pytest.mark.parametrize(("shape", "grid"), [((300, 256), 16), ((257, 300), 28), ((64, 64), 64)])
def test_resized_and_cropped_frames_equal_opencv_and_crop(shape, grid):
    values = np.random.default_rng(0).normal(size=(grid, grid))
    side = max(shape)
    first = tuple((side - length) // 2 for length in shape)
    expected = cv2.resize(values, (side, side), interpolation=cv2.INTER_LINEAR)
    expected = expected[first[0] : first[0] + shape[0], first[1] : first[1] + shape[1]]
    frame = authors_frame(shape, (grid, grid))
    ours = read([Source("", ("",), values[None], frame)], None, Reading(), Frame.of_image(shape))
    np.testing.assert_allclose(ours.values, expected, atol=2e-6)


# ---- what cannot be right, and what fails


def run(model: Explained, method: Method, count: int = 2, load=None, choice=None):
    frame = Frame.of_image((16, 16))
    batches = [Batch((f"image{i}a", f"image{i}b"), (frame, frame)) for i in range(count)]
    return list(maps.run(method, model, batches, load or (lambda batch: pixels(2, 3, 16, 16)), choice))


def test_run_gives_maps_and_outputs_for_each_batch():
    model = small()
    found = run(model, Method("gradcam"), choice=Choice("classes", LABELS, ("d", "a")))
    assert [one.status for one in found] == ["ok", "ok"]
    assert found[0].targets.names == ("d", "a")
    assert found[0].maps[0].values.shape == (2, 2, 4, 4)
    with torch.no_grad():
        np.testing.assert_allclose(found[0].outputs, model.network(pixels(2, 3, 16, 16)).numpy(), rtol=1e-5)


def test_what_does_not_suit_is_not_applicable_with_its_reason():
    for method, word in (
        (Method("gradcam", {"layers": ["nowhere"]}), "nowhere"),
        (Method("gradcam", {"layers": ["head"]}), "2-D grid"),
        (Method("attention", {"name": "am1"}), "am1"),
    ):
        for one in run(small(), method):
            assert one.status == "not_applicable"
            assert word in one.reason
            assert one.maps == []
            assert one.outputs.shape == (2, 4)  # predictions are kept all the same


def test_a_target_that_does_not_depend_on_the_layer_is_not_applicable():
    class Apart(Small):
        def forward(self, x):
            self.one(x)
            return self.head(functional.relu(self.two(torch.zeros(len(x), 6, 8, 8))).flatten(2).mean(dim=2))

    model = Explained(Apart(), LABELS)
    for one in run(model, Method("gradcam", {"layers": ["one", "two"]}), count=1):
        assert one.status == "not_applicable"
        assert "does not depend" in one.reason


def test_an_image_that_fails_takes_no_map_from_its_company():
    class Fragile(Small):
        def forward(self, x):
            if (x.flatten(1).mean(dim=1) > 10).any():
                raise RuntimeError("too bright")
            return super().forward(x)

    model = Explained(Fragile(), LABELS, {"last": ("two",)})
    bright = pixels(2, 3, 16, 16)
    bright[1] += 100
    batches = {"image0a": bright + 100, "image1a": bright, "image2a": pixels(2, 3, 16, 16)}
    # that all of an earlier batch failed changes nothing for the later ones
    found = run(model, Method("gradcam"), count=3, load=lambda batch: batches[batch.images[0]])
    assert [(one.batch.images, one.status) for one in found] == [
        (("image0a", "image0b"), "failed"),
        (("image1a",), "ok"),
        (("image1b",), "failed"),
        (("image2a", "image2b"), "ok"),
    ]
    assert "too bright" in found[2].reason and found[2].outputs is None
    alone = gradcam.explain(model, Images.of(bright[:1]), classes(LABELS))[0]
    np.testing.assert_array_equal(found[1].maps[0].values, alone.values)


def test_one_failing_batch_leaves_the_others(caplog):
    class Fragile(Small):
        def forward(self, x):
            if x.mean() > 10:
                raise RuntimeError("too bright")
            return super().forward(x)

    model = Explained(Fragile(), LABELS, {"last": ("two",)})
    found = run(
        model, Method("gradcam"), 3, lambda b: pixels(2, 3, 16, 16) + 100 * (b.images[0] == "image1a")
    )
    assert [one.status for one in found] == ["ok", "failed", "ok"]
    assert found[1].reason == "RuntimeError: too bright"
    assert found[1].outputs is None
    assert "image1a" in caplog.text


def test_errors_that_are_not_the_methods_stop_the_job():
    def broken(batch):
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone"):
        run(small(), Method("gradcam"), load=broken)

    class Full(Small):
        def forward(self, x):
            raise torch.OutOfMemoryError("device full")

    with pytest.raises(torch.OutOfMemoryError):
        run(Explained(Full(), LABELS, {"last": ("two",)}), Method("gradcam"))


@pytest.mark.parametrize("kind", ["no_such_method", "../maps", ""])
def test_an_unknown_method_is_named(kind):
    with pytest.raises(ConfigError, match="there is no file"):
        run(small(), Method(kind))


def test_unknown_classes_and_placements_are_named():
    with pytest.raises(ConfigError, match="pneumonia"):
        classes(LABELS, ["a", "pneumonia"])
    with pytest.raises(ConfigError, match="centre"):
        Explained(Small(), LABELS, placement="centre")


def test_the_network_is_frozen_and_evaluated():
    model = Explained(random_weights(sononet16.build(14)), tuple("abcdefghijklmn"), sononet16.LAYERS)
    assert not model.network.training
    assert not any(parameter.requires_grad for parameter in model.network.parameters())
    images = pixels(2, 3, 64, 48)
    (found,) = gradcam.explain(model, Images.of(images), classes(model.labels))
    assert found.values.shape == (2, 14, 4, 3)
    assert (
        found.outputs == gradcam.explain(model, Images.of(images), classes(model.labels))[0].outputs
    ).all()
