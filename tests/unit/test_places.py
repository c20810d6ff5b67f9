"""Where cells lie on whole networks: against the centroids of what a cell depends on, to a pixel."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution.layers import place, usual_resize
from sightline.attribution.maps import Explained
from tests.zoo import ZOO

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose3d)
# inputs wide enough that the border cuts no field; the layers beside the last
CASES = {
    "resnet": ((3, 80, 96), ["maxpool", "layer2"]),
    "densenet": ((3, 112, 128), ["features.pool0", "features.transition1"]),
    "efficientnet": ((3, 112, 128), ["blocks.1", "blocks.3"]),
    "resnet3d": ((1, 40, 48, 40), ["layer2"]),
    "unet3d": ((1, 40, 48, 40), ["network.model.0", "network.model.2"]),
}


def peaked(network: nn.Module) -> nn.Module:
    """The network with positive kernels whose centre weighs most: where a cell lies, whatever it has learned.

    No path is cut by a ReLU, no field by the border. What lets each cell depend on all of the input (squeeze
    and excitation, instance normalisation) is taken out; batch normalisation does nothing.
    """
    generator = torch.Generator().manual_seed(0)
    for name, module in list(network.named_modules()):
        if name.endswith(".se") or isinstance(module, nn.modules.instancenorm._InstanceNorm):
            owner, _, last = name.rpartition(".")
            setattr(network.get_submodule(owner), last, nn.Identity())
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.reset_running_stats()
            module.reset_parameters()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, CONVOLUTIONS):
                weight = 0.5 + torch.rand(module.weight.shape, generator=generator)
                weight *= torch.rand((*weight.shape[:2], *[1] * (weight.ndim - 2)), generator=generator)
                for axis in range(2, weight.ndim):
                    side = weight.shape[axis]
                    apart = (torch.arange(side) - (side - 1) / 2).reshape(-1, *[1] * (weight.ndim - 1 - axis))
                    weight *= torch.exp(-0.5 * (apart / 0.35) ** 2)
                module.weight.copy_(weight / weight[0].sum())
                if module.bias is not None:
                    module.bias.zero_()
    return network


def centroids(
    model: Explained, cells: list[tuple[str, tuple[int, ...]]], shape: tuple[int, ...], images: int
):
    """Of each (layer, cell) the centre (x, y[, z]) of |gradient| of its channels' sum, over noise images."""
    kept: dict[str, torch.Tensor] = {}
    modules = {layer: model.network.get_submodule(layer) for layer, _ in cells}
    handles = [
        module.register_forward_hook(lambda m, i, output, layer=layer: kept.update({layer: output.clone()}))
        for layer, module in modules.items()
    ]
    noise = torch.rand((images, *shape), generator=torch.Generator().manual_seed(1)).requires_grad_()
    model.network(noise)
    for handle in handles:
        handle.remove()
    grids = np.meshgrid(*(np.arange(side) for side in shape[1:]), indexing="ij")
    for layer, cell in cells:
        channels = model.grid(layer, kept[layer])[(slice(None), slice(None), *cell)]
        (gradient,) = torch.autograd.grad(channels.sum(), noise, retain_graph=True)
        weight = gradient.abs().sum(dim=(0, 1)).double().numpy()
        yield np.array([(grid * weight).sum() / weight.sum() for grid in reversed(grids)])


def centre(frame, cell: tuple[int, ...]) -> np.ndarray:
    """Input coordinates (x, y[, z]) of a cell's centre."""
    return np.array([(i - b) / a for i, a, b in zip(reversed(cell), frame.scale, frame.shift)])


@pytest.mark.parametrize("name", CASES)
def test_cells_of_every_network_lie_at_gradient_centroids(name):
    (model, _), (shape, layers) = ZOO[name](), CASES[name]
    model.passes.input_shape = shape
    layers = [*layers, *model.modules(["last"])]
    peaked(model.network)
    frames = place(model.network, layers, shape)
    cells = [
        (layer, tuple(int(side * part) for side in frames[layer].shape))
        for layer in layers
        for part in (0.4, 0.6)
    ]
    for (layer, cell), found in zip(cells, centroids(model, cells, shape, images=8)):
        assert np.abs(found - centre(frames[layer], cell)).max() < 1.0, (layer, cell, found)


def test_tokens_lie_at_the_centres_of_their_patches():
    model, images = ZOO["vit"]()
    model.passes.input_shape = images.shape
    frame = model.frame("blocks.2", images.shape, (4, 4))
    # attention mixes all patches in, but most of a token is its own
    cells = [(layer, cell) for layer in ("patch_embed.proj", "blocks.2") for cell in ((1, 1), (1, 2), (2, 2))]
    for (_, cell), found in zip(cells, centroids(model, cells, images.shape, images=2)):
        assert np.abs(found - centre(frame, cell)).max() < 1.0


def test_cells_of_a_resnet50_lie_at_multiples_of_32():
    """Not at 15.5 px further right and down, where the usual resize of every library puts them."""
    from torchvision.models import resnet50

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Explained(resnet50(), ("a",))
    frame = place(model.network, ["layer4"], (3, 512, 512))["layer4"]
    # as it is initialised, on an input wider than a cell's field
    (found,) = centroids(model, [("layer4", (8, 8))], (3, 512, 512), images=1)
    assert np.abs(found - 256).max() < 1.0
    assert (centre(frame, (8, 8)) == 256).all()
    shape = (3, 224, 224)
    frame, usual = place(model.network, ["layer4"], shape)["layer4"], usual_resize(shape[1:], (7, 7))
    peaked(model.network)
    cells = [("layer4", (index, index)) for index in (1, 2, 3, 4)]
    for (_, cell), found in zip(cells, centroids(model, cells, shape, images=4)):
        assert np.abs(found - 32 * cell[0]).max() < 1.0
        assert (centre(frame, cell) == 32 * cell[0]).all()
        assert (centre(usual, cell) == 32 * cell[0] + 15.5).all()
