"""The graph pass: equal outputs, an activation module per use, nothing in place, weights shared."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from sightline.attribution.engines import graph
from sightline.attribution.maps import NotApplicable
from sightline.models.network import build


def drawn(network: nn.Module, seed: int = 0) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def image(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


class Reused(nn.Module):
    """One ReLU module twice, three functional forms, all in place; a skip that sees what was written."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.relu(self.first(x))
        y = self.second(x)
        functional.relu(y, inplace=True)  # y itself is written
        y += x  # and again
        y = self.relu(y - 0.5) + torch.relu(x - 0.2) + x.clamp(min=0).sub_(0.1)
        return y.relu_().mean(dim=(2, 3))


def test_every_use_has_its_own_relu_and_outputs_are_equal_to_the_bit():
    network, x = drawn(Reused()), image(2, 3, 8, 8)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    traced = graph.unshared(network)
    assert torch.equal(traced(x), network(x))
    calls = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    relus = [name for name in calls if isinstance(traced.get_submodule(name), nn.ReLU)]
    assert len(relus) == len(set(relus)) == 6 == graph.activations(traced)["relu"]
    assert {"relu", "relu_use1"} <= set(relus)  # the name is the last use's
    assert not any(traced.get_submodule(name).inplace for name in relus)
    assert network.relu.inplace and all(
        torch.equal(before[key], value) for key, value in network.state_dict().items()
    )
    with torch.no_grad():
        network.second.weight.mul_(2)  # weights are shared, not copied
    assert traced.second.weight is network.second.weight and torch.equal(traced(x), network(x))
    assert not any(torch.equal(x, y) for x, y in [(network(x), torch.zeros(2, 4))])


def test_hooks_stay_apart_and_reach_containers_by_name():
    network = drawn(
        nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(144, 2))
    )
    traced, x = graph.unshared(network), image(1, 3, 8, 8)
    seen = []
    traced.get_submodule("0").register_forward_hook(lambda _m, _i, output: seen.append(output))
    network(x)
    assert not seen
    traced(x)
    assert torch.equal(seen[0], network[0](x))
    traced.get_submodule("0").register_forward_hook(lambda _m, _i, output: output * 0)
    assert torch.equal(traced(x), network[2].bias[None])


class Viewed(nn.Module):
    def forward(self, x):
        y = x * 2
        y[:, 0].relu_()
        return y


class Branching(nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Asking(nn.Module):
    """Takes another way when traced: a proxy is no tensor."""

    def forward(self, x):
        return x + 1 if isinstance(x, torch.Tensor) else x


def test_what_cannot_be_traced_is_said():
    with pytest.raises(NotApplicable, match="writes into a tensor"):
        graph.unshared(Viewed().eval())
    with pytest.raises(NotApplicable, match="cannot be traced.*control flow"):
        graph.unshared(Branching().eval())
    with pytest.raises(ValueError, match="evaluation"):
        graph.unshared(Reused())
    asking, x = Asking().eval(), image(2, 3)
    with pytest.raises(NotApplicable, match="other outputs"):
        graph.verify(graph.unshared(asking), asking, x)


def test_a_part_that_cannot_be_traced_stays_whole():
    network = nn.Sequential(nn.Linear(3, 3), Branching(), nn.ReLU()).eval()
    traced, x = graph.unshared(network), image(4, 3)
    assert graph.activations(traced) == {"opaque Branching": 1, "relu": 1}
    assert graph.verify(traced, network, x) is traced and torch.equal(traced(x[:1]), network(x[:1]))


class Squared(nn.Module):
    def forward(self, x):
        return torch.add(x, x) * x.mean() + x * x


class Attention(nn.Module):
    def forward(self, x):
        weights = torch.softmax(x @ x.transpose(1, 2) / 2, dim=-1)
        return (weights @ x) * torch.sigmoid(x) / x.abs().sum(dim=1, keepdim=True) + 1 / (x + 2) / 2


def test_kinds_of_what_is_not_affine():
    affine = nn.Sequential(
        nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2), nn.AvgPool3d(2), nn.Flatten(), nn.Dropout(inplace=True)
    )
    assert not graph.activations(affine.eval())
    assert graph.activations(nn.Sequential(nn.InstanceNorm2d(3), nn.PReLU(), nn.MaxPool2d(2)).eval()) == {
        "instancenorm2d": 1, "prelu": 1, "maxpool2d": 1
    }  # fmt: skip
    assert graph.activations(nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()) == {
        "batch_statistics": 1
    }
    assert graph.activations(Attention().eval()) == {
        "product": 3, "softmax": 1, "sigmoid": 1, "abs": 1, "quotient": 2
    }  # fmt: skip
    assert graph.activations(Squared().eval()) == {"product": 2}  # a square too is one


def test_architectures_of_our_own():
    for name, relus, others in (("ag_sononet", 15, 4), ("sononet16", 14, 0)):
        network, x = build(name, 4, seed=0, width=2).eval(), image(2, 3, 32, 32)
        traced = graph.verify(graph.unshared(network), network, x)
        assert torch.equal(traced(x), network(x))
        kinds = graph.activations(traced)
        assert kinds["relu"] == relus and kinds["maxpool2d"] == 4 and kinds.total() == relus + 4 + others
        assert {module for module, _ in network.named_modules()} <= {
            module for module, _ in traced.named_modules()
        }


def torchvision_densenet():
    from torchvision.models import DenseNet

    return (
        DenseNet(4, (2, 2), num_init_features=8, num_classes=3),
        (2, 3, 32, 32),
        {"relu": 11, "maxpool2d": 1},
    )


def timm_densenet():
    import timm

    network = timm.create_model("densenet121", block_config=(1, 1), growth_rate=4, num_classes=3)
    return network, (2, 3, 32, 32), {"relu": 7, "maxpool2d": 1}


def monai_resnet():
    from monai.networks.nets import ResNet
    from monai.networks.nets.resnet import ResNetBlock

    network = ResNet(ResNetBlock, [1, 1, 1, 1], [4, 4, 8, 8], n_input_channels=1, num_classes=3)
    return network, (2, 1, 16, 16, 16), {"relu": 9, "maxpool3d": 1}


def monai_unet():
    from monai.networks.nets import UNet

    return UNet(3, 1, 3, (4, 8, 16), (2, 2)), (2, 1, 16, 16, 16), {"instancenorm3d": 4, "prelu": 4}


def timm_vit():
    import timm

    network = timm.create_model(
        "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=1, num_heads=3
    )
    return network, (2, 3, 32, 32), {"layer_norm": 3, "scaled_dot_product_attention": 1, "gelu": 1}


def timm_efficientnet():
    import timm

    network = timm.create_model("mobilenetv3_small_050", num_classes=3)
    return network, (2, 3, 32, 32), {"hardswish": 19, "relu": 14, "hardsigmoid": 9, "product": 9}


@pytest.mark.parametrize(
    "make", [torchvision_densenet, timm_densenet, monai_resnet, monai_unet, timm_vit, timm_efficientnet]
)
def test_networks_of_the_libraries(make):
    network, shape, kinds = make()
    network.eval()
    x = image(*shape)
    traced = graph.unshared(network)
    assert torch.equal(traced(x), network(x))
    assert graph.activations(traced) == kinds
    own = {id(tensor) for tensor in (*network.parameters(), *network.buffers())}
    assert all(id(parameter) in own for parameter in traced.parameters())
