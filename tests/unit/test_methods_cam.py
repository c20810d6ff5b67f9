"""The family of class activation maps: against the grad-cam library, captum, MONAI, and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.engines import cam
from sightline.attribution.maps import (
    Choice,
    Explained,
    Images,
    Method,
    NotApplicable,
    Targets,
    classes,
    no_class,
)
from sightline.attribution.methods import embedding_gradcam
from tests.oracles import gradcam_library
from tests.zoo import LABELS, ZOO

KINDS = ["cam", "gradcam", "gradcam_plus_plus", "hirescam", "layercam", "linear_approximation", "respond_cam"]
KINDS += ["xgradcam"]
COMPLETE = ["hirescam", "linear_approximation", "respond_cam", "xgradcam"]


def explain(kind: str, model: Explained, images: torch.Tensor, targets: Targets | None = None, **options):
    method = Method(kind)
    model.passes.input_shape = tuple(images.shape[1:])
    targets = targets or classes(model.labels)
    assert method.module.check(model, targets, **options) is None
    return method.module.explain(model, Images.of(images), targets, **options)


def pooled(hidden: bool = False, dims: int = 2) -> tuple[Explained, torch.Tensor]:
    """Convolutions, a mean over cells, and a linear layer (or two with a tanh between), with images."""
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[dims]
    mean = {2: nn.AdaptiveAvgPool2d, 3: nn.AdaptiveAvgPool3d}[dims]
    with torch.random.fork_rng():
        torch.manual_seed(3)
        head = [nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)] if hidden else [nn.Linear(5, 4)]
        network = nn.Sequential(
            convolution(3, 6, 3, stride=2, padding=1), nn.ReLU(inplace=True), convolution(6, 5, 3), nn.ReLU(),
            mean(1), nn.Flatten(), *head,
        )  # fmt: skip
        images = torch.randn(3, 3, *(14, 12, 10)[:dims])
    return Explained(network, LABELS, {"last": ("3",)}, spatial_dims=dims), images


@pytest.fixture(scope="module")
def zoo():
    return {name: build() for name, build in ZOO.items()}


# ---- oracles


@pytest.mark.parametrize("kind", gradcam_library.KINDS)
def test_maps_are_those_of_the_gradcam_library_before_its_relu(kind):
    with np.load(gradcam_library.FIXTURE) as fixture:
        weights = {name[8:]: fixture[name] for name in fixture.files if name.startswith("weights/")}
        images, expected = torch.from_numpy(fixture["images"]), fixture[kind]
    model = Explained(gradcam_library.network(weights), ("a", "b", "c"))
    (found,) = explain(kind, model, images, layers=[gradcam_library.LAYER])
    signed = kind not in ("gradcam_plus_plus", "layercam")  # positive weights of what a ReLU made
    assert (found.values.min() < 0 < found.values.max()) == signed
    np.testing.assert_allclose(found.values, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["resnet", "densenet", "efficientnet", "vit", "resnet3d", "unet3d"])
def test_gradient_times_activation_is_captums(zoo, name):
    attr = pytest.importorskip("captum.attr")
    model, images = zoo[name]
    for kind in ("hirescam", "linear_approximation"):
        (found,) = explain(kind, model, images.pixels)
        oracle = attr.LayerGradientXActivation(model.network, model.network.get_submodule(found.source))
        for target in (0, 3):
            expected = oracle.attribute(images.pixels.clone().requires_grad_(), target=target).detach()
            expected = model.grid(found.source, expected).sum(dim=1).numpy()
            np.testing.assert_allclose(found.values[:, target], expected, atol=1e-5 * np.abs(expected).max())


def test_cam_is_monais_and_gradcam_times_the_cells():
    visualize = pytest.importorskip("monai.visualize")
    model, images = pooled()
    (found,) = explain("cam", model, images)
    (gradcam,) = explain("gradcam", model, images)
    np.testing.assert_allclose(found.values, gradcam.values * 20, rtol=1e-4, atol=1e-6)
    oracle = visualize.CAM(model.network, "3", "6", upsampler=lambda x: x, postprocessing=lambda x: x)
    for target in range(4):
        with torch.no_grad():
            expected = oracle.compute_map(images, class_idx=torch.full((3,), target))[:, 0]
        expected = expected - model.network[6].bias[target]  # which it adds to every cell
        np.testing.assert_allclose(found.values[:, target], expected.numpy(), rtol=1e-4, atol=1e-5)


def test_weights_follow_their_papers():
    """Written out for one channel and image, cell by cell."""
    activation = torch.tensor([[[[1.0, 0.0], [2.0, 3.0]]]])
    gradient = torch.tensor([[[[0.5, -1.0], [0.0, 0.25]]]])
    plus = Method("gradcam_plus_plus").module.weights(activation, gradient)
    alpha = [g * g / (2 * g * g + 6.0 * g**3) for g in (0.5, 0.25)]
    assert plus.item() == pytest.approx(alpha[0] * 0.5 + alpha[1] * 0.25)
    layer = Method("layercam").module.weights(activation, gradient)
    assert layer.flatten().tolist() == [0.5, 0.0, 0.0, 0.25]
    assert cam.by_share_of_activation(activation, gradient).item() == pytest.approx((0.5 + 0.75) / 6)
    assert cam.by_share_of_activation(0 * activation, gradient).item() == 0.0
    assert Method("cam").module.weights(activation, gradient).item() == pytest.approx(-0.25)


def test_weights_without_a_meaning_are_refused():
    activation, gradient = torch.full((1, 1, 2, 2), -5.0), torch.full((1, 1, 2, 2), 0.2)
    with pytest.raises(NotApplicable, match="ends in a ReLU"):
        Method("gradcam_plus_plus").module.weights(activation, gradient)
    assert Method("gradcam_plus_plus").module.weights(activation, -gradient).item() == 0.0


# ---- identities


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("kind", COMPLETE)
def test_maps_sum_to_the_score_less_the_bias_where_the_head_is_linear(kind, dims):
    model, images = pooled(dims=dims)
    (found,) = explain(kind, model, images)
    total = found.values.reshape(3, 4, -1).sum(axis=2)
    np.testing.assert_allclose(total, found.outputs - model.network[6].bias.numpy(), rtol=1e-4, atol=1e-5)
    assert found.gap.shape == (3, 4)
    assert found.gap.max() < 1e-4


@pytest.mark.parametrize("kind", COMPLETE)
def test_the_gap_shows_a_head_that_is_not_linear(kind):
    model, images = pooled(hidden=True)
    (found,) = explain(kind, model, images)
    with torch.no_grad():
        expected = model.network(images) - model.network[6:](torch.zeros(1, 5))
    total = found.values.reshape(3, 4, -1).sum(axis=2)
    np.testing.assert_allclose(
        found.gap, np.abs(total - expected.numpy()) / expected.abs().numpy(), rtol=1e-2
    )
    assert found.gap.max() > 0.01


@pytest.mark.parametrize("name", ["resnet", "densenet", "efficientnet", "resnet3d"])
def test_the_mean_of_cam_is_the_score_less_the_bias(zoo, name):
    model, images = zoo[name]
    (found,) = explain("cam", model, images.pixels)
    assert found.source == {"densenet": "relu"}.get(name, next(iter(model.modules(["last"]))))
    head = [module for module in model.network.modules() if isinstance(module, nn.Linear)][-1]
    mean = found.values.reshape(2, 4, -1).mean(axis=2)
    np.testing.assert_allclose(mean, found.outputs - head.bias.numpy(), rtol=1e-3, atol=1e-5)
    assert found.gap.max() < 1e-4
    with torch.no_grad():
        np.testing.assert_allclose(found.outputs, model.network(images.pixels).numpy(), rtol=1e-5, atol=1e-6)


def test_no_gap_where_the_network_leads_past_the_layer(zoo):
    model, images = zoo["vit"]  # a block's normalisation stands beside the residual stream
    assert explain("hirescam", model, images.pixels)[0].gap is None
    assert cam.head(model, "blocks.2.norm1", images.shape).at_zero is None


# ---- guided Grad-CAM


@pytest.mark.parametrize("dims", [2, 3])
def test_guided_gradcam_is_captums_at_the_usual_place(dims):
    """Which stretches the layer over the input; at its true place the product is with another part."""
    attr = pytest.importorskip("captum.attr")
    model, images = pooled(hidden=True, dims=dims)
    model.network[1].inplace = False  # captum's hooks
    usual = replace(model, placement="usual_resize")
    (found,) = explain("guided_gradcam", usual, images)
    oracle = attr.GuidedGradCam(model.network, model.network[3])
    mode = {2: "bilinear", 3: "trilinear"}[dims]
    for target in range(4):
        expected = oracle.attribute(images.clone().requires_grad_(), target=target, interpolate_mode=mode)
        expected = expected.detach().sum(dim=1).numpy()
        np.testing.assert_allclose(found.values[:, target], expected, atol=1e-5 * np.abs(expected).max())
    (true,) = explain("guided_gradcam", model, images)
    assert true.frame == found.frame
    assert not np.allclose(true.values, found.values, rtol=0.1)
    assert found.gap.min() > 0.1


@pytest.mark.parametrize(
    ("name", "shape"), [("resnet", (32, 32)), ("densenet", (32, 32)), ("resnet3d", (16,) * 3)]
)
def test_guided_gradcam_lies_on_the_pixels(zoo, name, shape):
    model, images = zoo[name]
    (found,) = explain("guided_gradcam", model, images.pixels)
    assert found.values.shape == (2, 4, *shape)
    (guided,) = explain("guided_backprop", model, images.pixels)
    assert not found.values[guided.values == 0].any()


@pytest.mark.parametrize("name", ["efficientnet", "vit", "unet3d"])
def test_guided_gradcam_needs_relus(zoo, name):
    model, _ = zoo[name]
    assert "no ReLU" in Method("guided_gradcam").module.check(model, classes(LABELS))


# ---- embeddings


def test_triplets_are_the_mean_of_their_losses():
    """Against the loss of every triplet written out, its hinge open, by the gradient in the anchor."""
    generator = torch.Generator().manual_seed(0)
    embeddings = torch.nn.functional.normalize(torch.randn(5, 3, generator=generator), dim=1)
    groups = ["x", "y", "x", "y", "z"]
    directions, anchors = embedding_gradcam.triplet_directions(embeddings, groups)
    assert anchors.tolist() == [0, 1, 2, 3]  # z has no positive
    for anchor in anchors.tolist():
        a = embeddings[anchor].clone().requires_grad_()
        losses = [
            ((a - embeddings[n]) ** 2).sum() - ((a - embeddings[p]) ** 2).sum()
            for p in range(5) for n in range(5)
            if p != anchor and groups[p] == groups[anchor] and groups[n] != groups[anchor]
        ]  # fmt: skip
        (gradient,) = torch.autograd.grad(sum(losses) / len(losses), a)
        torch.testing.assert_close(directions[anchor], gradient)
    nearest, anchors = embedding_gradcam.triplet_directions(embeddings)
    assert len(anchors) == 5
    best = (embeddings @ embeddings.T - 2 * torch.eye(5)).argmax(dim=1)
    rest = (embeddings.sum(dim=0) - embeddings - embeddings[best]) / 3
    torch.testing.assert_close(nearest, 2 * (embeddings[best] - rest))


def embedding(count: int = 6) -> tuple[Explained, torch.Tensor]:
    model, images = pooled(hidden=True)
    references = torch.randn((count, *images.shape[1:]), generator=torch.Generator().manual_seed(1))
    return replace(model, reference_images=references, micro_batch=4), images


def test_a_reference_takes_its_own_weights():
    """The nearest of a reference is itself: its transferred map is the Grad-CAM of its own triplets."""
    model, _ = embedding()
    groups = ["x", "y"] * 3
    images = model.reference_images
    (found,) = explain("embedding_gradcam", model, images, no_class(), groups=groups)
    assert found.targets == ("",)
    with torch.no_grad():
        embeddings = torch.nn.functional.normalize(model.network(images), dim=1)
    directions, _ = embedding_gradcam.triplet_directions(embeddings, groups)
    for index in range(6):
        own = Targets(
            ("",),
            lambda o, rows=None, to=directions[index]: (
                torch.cosine_similarity(o, to[None])[:, None] * to.norm()
            ),
        )
        (expected,) = explain("gradcam", model, images[index : index + 1], own)
        np.testing.assert_allclose(found.values[index], expected.values[0], rtol=1e-3, atol=1e-6)


def test_weights_come_from_the_nearest_references_without_a_backward_pass():
    model, images = embedding()
    (one,) = explain("embedding_gradcam", model, images, no_class())
    before = (model.passes.forwards, model.passes.backwards)
    (all_,) = explain("embedding_gradcam", model, images, no_class(), neighbours=9)
    assert (model.passes.forwards - before[0], model.passes.backwards - before[1]) == (3, 0)
    assert not np.allclose(one.values, all_.values)
    (alone,) = explain("embedding_gradcam", model, images[2:], no_class())
    np.testing.assert_allclose(alone.values[0], one.values[2], rtol=1e-4, atol=1e-7)


def test_similarity_to_the_references_is_gradcam_of_it():
    model, images = embedding()
    (found,) = explain("embedding_gradcam", model, images, no_class(), by="similarity")
    with torch.no_grad():
        gallery = model.network(model.reference_images)
    choice = Choice("similarity", LABELS, embeddings=lambda: gallery)
    (expected,) = explain("gradcam", model, images, choice.of(("a", "b", "c"), None))
    np.testing.assert_allclose(found.values, expected.values, rtol=1e-4, atol=1e-7)
    assert found.values.any()


def test_references_that_make_no_triplets_are_refused(zoo):
    module = embedding_gradcam
    model, images = embedding(2)
    assert "at least 3 reference images; there are 2" in module.check(model, no_class())
    assert module.check(model, no_class(), by="similarity") is None
    assert "there are 0" in module.check(replace(model, reference_images=None), no_class(), by="similarity")
    model, images = embedding()
    assert "names 2 reference images" in module.check(model, no_class(), groups=["a", "b"])
    with pytest.raises(NotApplicable, match="make no triplets"):
        explain("embedding_gradcam", model, images, no_class(), groups=["x"] * 6)
    model, images = zoo["efficientnet"]  # with random weights its outputs are the same for all images
    with pytest.raises(NotApplicable, match="one embedding for all"):
        explain("embedding_gradcam", model, images.pixels, no_class())


@pytest.mark.parametrize("name", ["resnet", "densenet", "vit", "resnet3d", "unet3d"])
def test_embedding_gradcam_on_every_network(zoo, name):
    model, images = zoo[name]
    (found,) = explain("embedding_gradcam", model, images.pixels, no_class())
    assert found.values.shape == (2, 1, *found.frame.shape)
    assert np.isfinite(found.values).all()
    assert found.values.any()


# ---- what each gives on each network


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["resnet", "densenet", "efficientnet", "vit", "resnet3d", "unet3d"])
def test_every_method_on_every_network(zoo, name, kind):
    model, images = zoo[name]
    if kind == "cam" and name in ("vit", "unet3d"):
        with pytest.raises(NotApplicable, match="not a mean over its cells"):
            explain(kind, model, images.pixels)
        return
    (found,) = explain(kind, model, images.pixels)
    assert found.values.shape == (2, 4, *found.frame.shape)
    assert found.values.dtype == np.float32
    assert np.isfinite(found.values).all()
    assert found.values.any()
    assert (found.gap is not None) == (Method(kind).module.IDENTITY is not None and name != "vit")
    before = (model.passes.forwards, model.passes.backwards)
    (alone,) = explain(kind, model, images.pixels[1:], classes(LABELS, ["c"]))
    after = (model.passes.forwards, model.passes.backwards)
    np.testing.assert_allclose(
        alone.values[0, 0], found.values[1, 2], rtol=1e-3, atol=1e-5 * np.abs(found.values).max()
    )
    cost = Method(kind).module.cost(model, images.shape, 1)
    assert (cost.forwards, cost.backwards) == (after[0] - before[0], after[1] - before[1])
    assert cost.values == alone.values.size


def test_several_layers_at_once_equal_each_alone(zoo):
    model, images = zoo["resnet"]
    for kind in ("xgradcam", "layercam", "gradcam_plus_plus"):
        both = explain(kind, model, images.pixels, layers=["layer2", "layer4"])
        for found in both:
            (alone,) = explain(kind, model, images.pixels, layers=[found.source])
            np.testing.assert_allclose(found.values, alone.values, rtol=1e-4, atol=1e-7)


def test_layers_and_targets_that_do_not_suit_have_their_reasons(zoo):
    model, images = zoo["resnet"]
    assert "nowhere" in Method("cam").module.check(model, classes(LABELS), layers=["nowhere"])
    with pytest.raises(NotApplicable, match="not a mean over its cells"):
        explain("cam", model, images.pixels, layers=["layer2"])
    squared = Targets(("squared",), lambda outputs, rows=None: outputs[:, :1] ** 2)
    with pytest.raises(NotApplicable, match="not linear in the network's outputs"):
        explain("cam", model, images.pixels, squared)
    model, images = zoo["vit"]
    with pytest.raises(NotApplicable, match="class token alone"):
        explain("hirescam", model, images.pixels, layers=["norm"])
    fixed = Targets(("one",), lambda outputs, rows=None: torch.ones(len(outputs), 1))
    with pytest.raises(NotApplicable, match="no target depends"):
        explain("hirescam", model, images.pixels, fixed)
