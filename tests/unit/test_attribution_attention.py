"""Attention among tokens: read from networks of other makes, against a network whose answers are known."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sightline.attribution.engines import attention
from sightline.attribution.maps import Explained, Images, NotApplicable, classes, no_class
from sightline.attribution.methods import attention as named_attention
from sightline.attribution.methods import attention_heads, attention_rollout, chefer
from tests import zoo

LABELS = ("a", "b")
METHODS = (attention_heads, attention_rollout, chefer)


class Written(nn.Module):
    """Attention of two layers that is written down, not computed: its matrices are known.

    Four patches of 4 pixels and a class token; values are passed on as they are, each layer added to what
    came before, halves of both. The head reads the class token.
    """

    def __init__(self, logarithms: torch.Tensor, pooled: bool = False):
        super().__init__()
        self.patch = nn.Conv2d(1, 3, 4, stride=4)
        self.tokens = nn.Identity()
        self.first, self.second = nn.Softmax(dim=-1), nn.Softmax(dim=-1)
        self.head = nn.Linear(3, 2)
        self.logarithms, self.pooled = logarithms, pooled  # (2, heads, L, L)

    def forward(self, x):
        x = self.patch(x).flatten(2).transpose(1, 2)  # (B, 4, 3)
        x = self.tokens(torch.cat([torch.zeros_like(x[:, :1]), x], dim=1))
        for scores, softmax in zip(self.logarithms, (self.first, self.second)):
            weights = softmax(scores.expand(len(x), -1, -1, -1))  # (B, heads, L, L)
            x = 0.5 * x + 0.5 * (weights @ x[:, None]).mean(dim=1)
        return self.head(x[:, 1:].mean(dim=1) if self.pooled else x[:, 0])


def written(pooled: bool = False) -> tuple[Explained, Images, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    logarithms = torch.randn((2, 2, 5, 5), generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Explained(Written(logarithms, pooled), LABELS)
    images = Images.of(torch.randn((3, 1, 8, 8), generator=generator))
    model.passes.input_shape = images.shape
    return model, images, logarithms.softmax(dim=-1)


def test_heads_are_the_class_tokens_rows():
    model, images, weights = written()
    found = attention_heads.explain(model, images, no_class(), layers=["all"])
    assert [one.source for one in found] == ["first.head0", "first.head1", "second.head0", "second.head1"]
    for one, expected in zip(found, weights.flatten(0, 1)):
        np.testing.assert_allclose(one.values[1, 0].ravel(), expected[0, 1:], rtol=1e-6)
        assert one.gap.max() < 1e-6
        assert not one.signed
    assert found[0].frame.shape == (2, 2)
    # the centres of patches of 4 pixels
    assert found[0].frame.scale == (0.25, 0.25)
    assert found[0].frame.shift == (-0.375, -0.375)


def test_heads_are_what_patches_receive_where_no_class_token_is_read():
    model, images, weights = written(pooled=True)
    found = attention_heads.explain(model, images, no_class())
    expected = weights[1, 0, 1:].mean(dim=0)[1:]  # the head averages the four patches
    np.testing.assert_allclose(found[0].values[0, 0].ravel(), expected, rtol=1e-6)


@pytest.mark.parametrize("pooled", [False, True])
def test_rollout_is_what_the_network_does(pooled):
    # the network mixes halves of values and of their mean attention: its outputs are linear in the
    # patches with the rolled out attention as weights
    model, images, _ = written(pooled)
    (found,) = attention_rollout.explain(model, images, no_class())
    network = model.network
    with torch.no_grad():
        patches = network.patch(images.pixels).flatten(2).transpose(1, 2)
        weighted = (torch.from_numpy(found.values[:, 0]).flatten(1)[..., None] * patches).sum(dim=1)
        expected = network.head(weighted)
    np.testing.assert_allclose(found.outputs, expected, rtol=1e-4, atol=1e-6)
    assert found.gap.max() < 1e-6


def test_rollout_of_one_layer_by_hand():
    weights = torch.tensor([[[[1.0, 0.0], [0.5, 0.5]], [[0.0, 1.0], [0.5, 0.5]]]])  # (1, 2, 2, 2)
    half = torch.tensor([[[0.75, 0.25], [0.25, 0.75]]])
    torch.testing.assert_close(attention_rollout.rollout([weights]), half)
    torch.testing.assert_close(attention_rollout.rollout([weights, weights]), half @ half)
    most = attention_rollout.rollout([weights], residual=0.2, fusion="max")
    torch.testing.assert_close(most, torch.tensor([[[0.6, 0.4], [0.4, 0.6]]]))
    least = attention_rollout.rollout([weights], residual=0.0, fusion="min")  # a row of zeros stays one
    torch.testing.assert_close(least, torch.tensor([[[0.0, 0.0], [0.5, 0.5]]]))


def test_relevance_follows_the_recursion_with_gradients_by_hand():
    # with one layer the output is linear in its attention: the gradient by A_h[0, j] is head(x_j) / 4 heads
    model, images, weights = written()
    (found,) = chefer.explain(model, images, classes(LABELS))
    assert found.values.shape == (3, 2, 2, 2)
    network = model.network
    with torch.no_grad():
        x = network.tokens(
            functional.pad(network.patch(images.pixels).flatten(2).transpose(1, 2), (0, 0, 1, 0))
        )
        first = 0.5 * x + 0.5 * weights[0].mean(dim=0) @ x
        to_class = network.head.weight  # (T, 3)
        second_gradient = 0.25 * torch.einsum("tk,blk->tbl", to_class, first)  # row 0, each head
        through = torch.zeros(5)
        through[0] = 0.5
        through = through + 0.5 * weights[1].mean(dim=0)[0]  # d output / d first, by token
        first_gradient = 0.25 * torch.einsum("i,tk,blk->tbil", through, to_class, x)
        step = (weights[0] * first_gradient[:, :, None]).clamp_min(0).mean(dim=2)  # (T, B, L, L)
        total = torch.eye(5) + step
        row = (weights[1, :, 0] * second_gradient[:, :, None]).clamp_min(0).mean(dim=2)  # (T, B, L)
        expected = (total[:, :, 0] + torch.einsum("tbl,tblm->tbm", row, total))[..., 1:]
    np.testing.assert_allclose(found.values.reshape(3, 2, 4), expected.transpose(0, 1), rtol=1e-4, atol=1e-7)
    assert found.values.min() >= 0


class First(nn.Module):
    """MONAI's transformer gives its hidden states too."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x)[0]


class Volumes(nn.Module):
    """A transformer of PyTorch's own parts for volumes, pre-normalised, mean of patches."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv3d(1, 12, 8, stride=8)
        self.tokens = nn.Identity()
        layer = nn.TransformerEncoderLayer(12, 2, 16, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 2)

    def forward(self, x):
        x = self.tokens(self.patch(x).flatten(2).transpose(1, 2))
        return self.head(self.encoder(x).mean(dim=1))


def transformers():
    import timm
    from torchvision.models import VisionTransformer

    def of_timm(**options):
        return timm.create_model(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=2, num_heads=3,
            num_classes=2, **options,
        )  # fmt: skip

    def of_monai(dims, **options):
        pytest.importorskip("einops")
        from monai.networks.nets import ViT

        network = ViT(1, (16,) * dims, (8,) * dims, 12, 16, num_layers=2, num_heads=2, classification=True,
                      num_classes=2, spatial_dims=dims, post_activation="none", **options)  # fmt: skip
        return First(network)

    return {
        "timm": (of_timm, (3, 32, 32), "blocks.1.attn", 3),
        "timm, mean of patches": (
            lambda: of_timm(class_token=False, global_pool="avg"), (3, 32, 32), "blocks.1.attn", 3
        ),
        "timm, registers": (lambda: of_timm(reg_tokens=2), (3, 32, 32), "blocks.1.attn", 3),
        "torchvision": (
            lambda: VisionTransformer(32, 8, 2, 2, 24, 32, num_classes=2), (3, 32, 32),
            "encoder.layers.encoder_layer_1.self_attention", 2,
        ),
        "torch, 3-D, mean of patches": (Volumes, (1, 16, 24, 16), "encoder.layers.1.self_attn", 2),
        "monai": (lambda: of_monai(2), (1, 16, 16), "network.blocks.1.attn", 2),
        "monai, 3-D": (lambda: of_monai(3), (1, 16, 16, 16), "network.blocks.1.attn", 2),
    }  # fmt: skip


def transformer(name: str) -> tuple[Explained, Images, str, int]:
    build, shape, module, heads = transformers()[name]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = build()
        with torch.no_grad():
            for parameter in network.parameters():  # heads of zeros, tokens of zeros would hide a mistake
                parameter.add_(0.05 * torch.randn(parameter.shape))
        images = Images.of(torch.randn((2, *shape)))
    model = Explained(network, LABELS, spatial_dims=len(shape) - 1)
    model.passes.input_shape = images.shape
    return model, images, module, heads


@pytest.mark.parametrize("name", list(transformers()))
def test_transformers_of_every_make(name):
    model, images, module, heads = transformer(name)
    with torch.no_grad():
        plain = model.network(images.pixels)
    hooks = sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.network.modules())
    settings = [getattr(one, "fused_attn", None) for one in model.network.modules()]
    found = attention.attended(model, images.pixels)
    torch.testing.assert_close(found.outputs.detach(), plain, rtol=1e-4, atol=1e-5)
    assert [layer.name for layer in found.layers][-1] == module
    assert all(layer.weights.shape[1] == heads for layer in found.layers)
    for layer in found.layers:
        torch.testing.assert_close(layer.weights.sum(dim=-1), torch.ones(layer.weights.shape[:3]))
    read = found.read()
    assert read.sum() == (read.numel() if name.endswith("mean of patches") else 1)

    of_heads = attention_heads.explain(model, images, no_class())
    (rolled,) = attention_rollout.explain(model, images, no_class())
    (relevant,) = chefer.explain(model, images, classes(LABELS))
    assert [one.source for one in of_heads] == [f"{module}.head{head}" for head in range(heads)]
    grid = found.tokens.shape
    for one in (*of_heads, rolled, relevant):
        assert one.values.shape[2:] == grid == one.frame.shape
        assert np.isfinite(one.values).all()
        assert one.values.std() > 0
        np.testing.assert_allclose(one.outputs, plain, rtol=1e-4, atol=1e-5)
    assert not np.allclose(relevant.values[:, 0], relevant.values[:, 1])

    # nothing is left behind, and nothing was changed
    assert settings == [getattr(one, "fused_attn", None) for one in model.network.modules()]
    assert hooks == sum(
        len(one._forward_hooks) + len(one._forward_pre_hooks) for one in model.network.modules()
    )
    with torch.no_grad():
        assert torch.equal(model.network(images.pixels), plain)


def test_gradients_reach_every_layer_as_in_the_network():
    # against differences: the last layer's attention of a timm network is moved by hand
    model, images, module, _ = transformer("timm")
    model.network.double()
    pixels = images.pixels[:1].double()
    found = attention.attended(model, pixels)
    gradients = found.gradients(found.outputs[0, 1])
    weights = found.layers[-1].weights.detach()
    generator = torch.Generator().manual_seed(0)
    direction = torch.randn(weights.shape, generator=generator).double()
    block = model.network.blocks[1].attn
    block.fused_attn = False

    def moved(step: float) -> float:
        handle = block.attn_drop.register_forward_hook(lambda m, i, output: output + step * direction)
        with torch.no_grad():
            value = model.network(pixels)[0, 1].item()
        handle.remove()
        return value

    expected = (moved(1e-5) - moved(-1e-5)) / 2e-5
    assert (gradients[-1] * direction).sum().item() == pytest.approx(expected, rel=1e-6)
    assert all(gradient.abs().sum() > 0 for gradient in gradients)


def test_one_images_maps_do_not_depend_on_the_others():
    model, images, _, _ = transformer("timm")
    (together,) = chefer.explain(model, images, classes(LABELS))
    (alone,) = chefer.explain(model, Images.of(images.pixels[1:]), classes(LABELS))
    np.testing.assert_allclose(alone.values[0], together.values[1], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("network", [name for name in zoo.ZOO if name != "vit"])
def test_networks_without_tokens_are_refused_with_the_reason(network):
    model, images = zoo.ZOO[network]()
    model.passes.input_shape = images.shape
    for method in METHODS:
        assert "no tokens" in method.check(model, no_class())


def test_attention_within_windows_is_refused():
    import timm

    network = timm.create_model(
        "swin_tiny_patch4_window7_224", img_size=32, window_size=4, embed_dim=12, depths=(1, 1),
        num_heads=(1, 2), num_classes=2,
    )  # fmt: skip
    model = Explained(network, LABELS)
    images = Images.of(torch.zeros(1, 3, 32, 32))
    model.passes.input_shape = images.shape
    for method in METHODS:
        if method.check(model, no_class()) is None:
            with pytest.raises(NotApplicable, match="among all tokens"):
                method.explain(model, images, no_class())


def test_unknown_layer_is_refused_with_those_there_are():
    model, images, module, _ = transformer("timm")
    with pytest.raises(NotApplicable, match=module):
        attention_heads.explain(model, images, no_class(), layers=["head"])


@pytest.mark.parametrize("method", METHODS)
def test_costs_are_those_counted(method):
    model, images, _, _ = transformer("timm")
    targets = classes(LABELS) if method.PER_TARGET else no_class()
    assert method.check(model, targets) is None
    method.explain(model, images, targets)  # where tokens lie is found once
    expected = method.cost(model, images.shape, targets.count)
    before = (model.passes.forwards, model.passes.backwards)
    found = method.explain(model, images, targets)
    assert model.passes.forwards - before[0] == expected.forwards * 2
    assert model.passes.backwards - before[1] == expected.backwards * 2
    assert sum(one.values[0].size for one in found) == expected.values


# ---- any module's output as a map


def test_any_module_is_read_as_a_map():
    model, images = zoo.resnet()
    model.passes.input_shape = images.shape
    kept = []
    handle = model.network.layer3.register_forward_hook(lambda m, i, output: kept.append(output))
    model.network(images.pixels)
    handle.remove()
    (mean,) = named_attention.explain(model, images, no_class(), name="layer3", channels="mean")
    np.testing.assert_allclose(mean.values[:, 0], kept[0].mean(dim=1), rtol=1e-5)
    (norm,) = named_attention.explain(model, images, no_class(), name="layer3", channels="norm")
    np.testing.assert_allclose(norm.values[:, 0], kept[0].square().sum(dim=1).sqrt(), rtol=1e-5)
    assert not norm.signed
    with pytest.raises(NotApplicable, match="256 values per cell"):
        named_attention.explain(model, images, no_class(), name="layer3")
    assert "no module 'am9'" in named_attention.check(model, no_class(), name="am9")
    with pytest.raises(NotApplicable, match="not channels on a 2-D grid"):
        named_attention.explain(model, images, no_class(), name="fc")


def test_tokens_are_read_as_a_map():
    model, images, _, _ = transformer("torchvision")
    name = "encoder.layers.encoder_layer_0"
    (found,) = named_attention.explain(model, images, no_class(), name=name, channels="norm")
    assert found.values.shape == (2, 1, 4, 4)
    # of the tensors that multi-head attention gives, the first is the tokens', the second is not there
    name = f"{name}.self_attention"
    (found,) = named_attention.explain(model, images, no_class(), name=name, part=0, channels="mean")
    assert found.values.shape == (2, 1, 4, 4)
    with pytest.raises(NotApplicable):
        named_attention.explain(model, images, no_class(), name=name, part=2, channels="mean")
