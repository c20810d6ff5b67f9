"""Where a layer's cells lie: against gradient centroids and closed forms."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sightline.attribution.layers import place, usual_resize
from sightline.frames import Frame
from sightline.models.architectures import ag_sononet, sononet16


def centres(frame: Frame) -> list[np.ndarray]:
    """Input coordinates of the cells' centres per axis (x, y[, z])."""
    return [(np.arange(side) - b) / a for side, a, b in zip(reversed(frame.shape), frame.scale, frame.shift)]


def centroid(
    network: nn.Module, layer: str, shape: tuple[int, ...], cell: tuple[int, ...], images=1
) -> np.ndarray:
    """Centre (x, y[, z]) of the input pixels on which a cell of the layer depends, weighted by |gradient|.

    Over several images where maximum pooling picks pixels at random.
    """
    kept = []
    handle = network.get_submodule(layer).register_forward_hook(lambda m, i, output: kept.append(output))
    generator = torch.Generator().manual_seed(0)
    images = torch.rand((images, *shape), generator=generator).requires_grad_()
    network(images)
    handle.remove()
    kept[-1][(slice(None), slice(None), *cell)].sum().backward()
    weight = images.grad.abs().sum(dim=(0, 1)).double().numpy()
    grids = np.meshgrid(*(np.arange(side) for side in weight.shape), indexing="ij")
    return np.array([(grid * weight).sum() / weight.sum() for grid in reversed(grids)])


def positive(network: nn.Module, seed: int = 0) -> nn.Module:
    """The network with positive random weights and identity normalisation: no path is cut, so centroids
    are centres.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                fan = parameter[0].numel()
                parameter.copy_((0.5 + torch.rand(parameter.shape, generator=generator)) / fan)
    return network.eval()


class Residual(nn.Module):
    """A stage of a ResNet: two 3x3 convolutions, the first with a stride, and a 1x1 skip."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.skip = nn.Conv2d(inputs, outputs, 1, stride=2)

    def forward(self, x):
        return functional.relu_(self.second(functional.relu_(self.first(x))).add_(self.skip(x)))


def resnet_like() -> nn.Module:
    """ResNet-18's geometry up to stride 32, few channels."""
    stem = [nn.Conv2d(3, 8, 7, stride=2, padding=3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    return nn.Sequential(*stem, Residual(8, 8), Residual(8, 8), Residual(8, 8))


# fmt: off
CASES = [
    ("resnet", resnet_like, "5", (3, 512, 448)),
    ("unpadded", lambda: nn.Sequential(nn.Conv2d(3, 4, 5, 3), nn.Conv2d(4, 4, 4, dilation=2)), "1",
     (3, 90, 80)),
    ("asymmetric", lambda: nn.Sequential(nn.ZeroPad2d((7, 0, 2, 1)), nn.Conv2d(3, 4, 3, 2)), "1",
     (3, 60, 50)),
    ("transposed", lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 4, 1), nn.ConvTranspose2d(4, 4, 5, 2, 1)), "1",
     (3, 96, 88)),
    ("average", lambda: nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AvgPool2d(5, 2, 2)), "1", (3, 70, 64)),
    ("volume",
     lambda: nn.Sequential(nn.Conv3d(1, 4, 3, (1, 2, 2), 1), nn.MaxPool3d(2), nn.Conv3d(4, 2, (1, 3, 5))),
     "2", (1, 16, 40, 48)),
]
# fmt: on


@pytest.mark.parametrize(("build", "layer", "shape"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_cells_lie_at_gradient_centroids(build, layer, shape):
    network = positive(build())
    frame = place(network, [layer], shape)[layer]
    for part in (0.4, 0.6):
        cell = tuple(int(side * part) for side in frame.shape)  # away from the borders, which cut the field
        expected = np.array([axis[index] for axis, index in zip(centres(frame), reversed(cell))])
        assert np.abs(centroid(network, layer, shape, cell) - expected).max() < 1.0


@pytest.mark.parametrize(
    ("module", "layers"), [(sononet16, sononet16.LAYERS["last"]), (ag_sononet, ag_sononet.LAYERS["last"])]
)
def test_cells_of_the_chest_networks_lie_at_gradient_centroids(module, layers):
    network = positive(module.build(14, width=4))
    shape = (3, 224, 208)
    for layer, frame in place(network, layers, shape).items():
        cell = tuple(side // 2 for side in frame.shape)
        expected = np.array([axis[index] for axis, index in zip(centres(frame), reversed(cell))])
        assert np.abs(centroid(network, layer, shape, cell, images=16) - expected).max() < 1.0


@pytest.mark.parametrize("shape", [(3, 224, 208), (3, 112, 112)])
@pytest.mark.parametrize("module", [sononet16, ag_sononet])
def test_pooling_networks_place_cells_where_the_usual_resize_does(module, shape):
    names = [*module.LAYERS["last"], *module.ATTENTION.values()]
    for frame in place(module.build(14), names, shape).values():
        usual = usual_resize(shape[1:], frame.shape)
        np.testing.assert_allclose(frame.scale, usual.scale, rtol=1e-12)
        np.testing.assert_allclose(frame.shift, usual.shift, atol=1e-12)


def test_pooling_that_drops_a_border_is_no_resize():
    frame = place(nn.Sequential(nn.MaxPool2d(16)), ["0"], (3, 120, 112))["0"]
    assert frame.shape == (7, 7)
    np.testing.assert_allclose(centres(frame)[1], 7.5 + 16 * np.arange(7))  # the usual resize: 120/7 apart
    assert usual_resize((120, 112), (7, 7)).scale[1] == pytest.approx(7 / 120)


def test_cells_of_a_resnet_lie_at_multiples_of_32_and_the_usual_resize_moves_them_by_half_a_cell():
    frame = place(resnet_like(), ["5"], (3, 224, 224))["5"]
    np.testing.assert_allclose(centres(frame)[0], 32 * np.arange(7))
    np.testing.assert_allclose(centres(usual_resize((224, 224), (7, 7)))[0], 32 * np.arange(7) + 15.5)


def test_real_networks_are_followed():
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18")
    assert place(network, ["layer4"], (3, 224, 224))["layer4"] == Frame((7, 7), (1 / 32,) * 2, (0.0, 0.0))


def test_channels_are_followed_to_the_end_and_back():
    """ConvNeXt normalises (B, H, W, C): patches of 4, then of 2 three times."""
    models = pytest.importorskip("torchvision.models")
    blocks = [models.convnext.CNBlockConfig(8, 16, 1), models.convnext.CNBlockConfig(16, None, 1)]
    frame = place(models.ConvNeXt(blocks), ["features"], (3, 64, 48))["features"]
    assert frame == Frame((8, 6), (1 / 8, 1 / 8), (-3.5 / 8, -3.5 / 8))


def test_upsampling_and_its_corners():
    shape = (1, 9, 13)
    plain = place(nn.Sequential(nn.Upsample((27, 39), mode="bilinear")), ["0"], shape)["0"]
    assert plain == Frame.resized((9, 13), (27, 39))
    corners = nn.Sequential(nn.Upsample((17, 25), mode="bilinear", align_corners=True))
    np.testing.assert_allclose(centres(place(corners, ["0"], shape)["0"])[0], np.arange(25) / 2)


def test_a_crop_moves_cells():
    class Crop(nn.Module):
        def __init__(self):
            super().__init__()
            self.kept = nn.Identity()

        def forward(self, x):
            return self.kept(x[:, :, 3:-2, ::2] + 1)

    frame = place(Crop(), ["kept"], (1, 20, 21))["kept"]
    assert frame == Frame((15, 11), (0.5, 1.0), (0.0, -3.0))


class Moves(nn.Module):
    """Cells that have no place: `how` says why."""

    def __init__(self, how: str):
        super().__init__()
        self.how, self.kept = how, nn.Identity()

    def forward(self, x):
        moved = {
            "rolled": lambda: torch.roll(x, 2, dims=3),
            "flipped": lambda: x.flip(2),
            "swapped": lambda: x.transpose(2, 3),
            "tokens": lambda: x.flatten(2).transpose(1, 2),
            "disagreeing": lambda: functional.max_pool2d(x, 1, 4) + functional.max_pool2d(x, 4),
        }[self.how]()
        return self.kept(moved)


@pytest.mark.parametrize("how", ["rolled", "flipped", "swapped", "tokens", "disagreeing"])
def test_no_place_is_given_where_none_follows(how):
    assert place(Moves(how), ["kept"], (3, 16, 16)) == {"kept": None}


def test_hooks_are_removed_and_weights_left():
    network = resnet_like()
    before = [parameter.clone() for parameter in network.parameters()]
    place(network, ["5"], (3, 64, 64))
    assert not network[5]._forward_hooks
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters()))
