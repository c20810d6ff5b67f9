"""The mammography study's methods on frozen trunks with its heads run, or say why they are not right."""

import pytest
import torch

from sightline.attribution.batches import Batch
from sightline.attribution.maps import Choice, Method, run
from sightline.frames import Frame
from sightline.models.network import build
from tests.zoo import LABELS, QUICK, explained

ARCHITECTURES = {
    "efficientnet": {"model": "test_efficientnet", "arguments": {"output_stride": 8}, "pool": "max"},
    "vit": {
        "model": "vit_tiny_patch16_224",
        "arguments": {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 3},
    },
}
ITS_METHODS = (
    "gradient", "gradient_x_input", "integrated_gradients", "smoothgrad", "gradcam", "gradcam_plus_plus",
    "score_cam", "occlusion",
)  # fmt: skip
WHY_NOT = {
    ("lrp", "efficientnet"): "the network also has adaptivemaxpool2d, gelu",
    ("lrp", "vit"): "the network also has gelu, layer_norm",
    ("cam", "efficientnet"): "not a mean over its cells and linear operations alone",
    ("deeplift", "efficientnet"): "no rule for the network's adaptivemaxpool2d",
}


@pytest.fixture(scope="module")
def opened():
    def one(chosen):
        head = {"head": "mlp", "hidden": 8, "trunk": "frozen"}
        return explained(lambda: build("timm", len(LABELS), 0, **chosen, **head), (3, 32, 32))

    return {name: one(chosen) for name, chosen in ARCHITECTURES.items()}


def explain(opened, method, name):
    model, images = opened[name]
    batch = Batch(images.names, (Frame.of_image((32, 32)),) * 2)
    choice = Choice("all_classes", LABELS)
    (found,) = run(Method(method, QUICK.get(method, {})), model, [batch], lambda _: images.pixels, choice)
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("method", ITS_METHODS)
def test_the_studys_methods_give_maps(opened, method, name):
    found = explain(opened, method, name)
    assert found.status == "ok", found.reason
    (one,) = found.maps
    assert torch.isfinite(torch.as_tensor(one.values)).all() and one.values.any(axis=(2, 3)).all()


@pytest.mark.parametrize(("method", "name"), WHY_NOT)
def test_what_has_no_rule_is_not_applicable(opened, method, name):
    found = explain(opened, method, name)
    assert found.status == "not_applicable" and WHY_NOT[method, name] in found.reason


def test_attention_is_still_found(opened):
    for method in ("attention_rollout", "chefer"):
        assert explain(opened, method, "vit").status == "ok"


def test_gradcam_takes_the_gradient_of_the_maximum_alone(opened):
    """A channel's weight is the head's gradient of its pooled maximum over the number of cells."""
    model, images = opened["efficientnet"]
    (one,) = explain(opened, "gradcam", "efficientnet").maps
    with torch.no_grad():
        features = model.network.forward_features(images.pixels)  # (2, K, 4, 4)
    pooled = features.amax(dim=(2, 3)).requires_grad_()
    for label in range(len(LABELS)):
        score = model.network.classifier(pooled)[:, label].sum()
        (weights,) = torch.autograd.grad(score, pooled)
        expected = (weights[:, :, None, None] * features).sum(dim=1) / features[0, 0].numel()
        torch.testing.assert_close(torch.as_tensor(one.values)[:, label], expected, rtol=1e-4, atol=1e-6)
