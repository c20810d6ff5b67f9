"""Six small networks with random weights, one of each kind that methods must serve or refuse."""

from collections.abc import Callable

import torch
from torch import nn

from sightline.attribution.maps import Explained, Images
from sightline.models import vae

LABELS = ("a", "b", "c", "d")


def randomised(network: nn.Module, seed: int) -> nn.Module:
    """Normalisation's statistics and affine weights drawn too, so that leaving one out would show."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in [*network.named_buffers(), *network.named_parameters()]:
            if name.endswith("running_mean"):
                value.copy_(0.2 * torch.randn(value.shape, generator=generator))
            elif name.endswith("running_var"):
                value.copy_(0.5 + torch.rand(value.shape, generator=generator))
            elif name.endswith("bias"):
                value.copy_(0.1 * torch.randn(value.shape, generator=generator))
    return network


def explained(build: Callable[[], nn.Module], shape: tuple[int, ...], seed: int = 0) -> tuple:
    """The network as methods see it, with four reference images, and a batch of two images of `shape`."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = randomised(build(), seed)
    generator = torch.Generator().manual_seed(seed + 1)
    references = torch.randn((4, *shape), generator=generator)
    dims = len(shape) - 1
    autoencoder = vae.build(shape[0], dims, width=4, depth=2, code=2)  # untrained
    model = Explained(
        network, LABELS, spatial_dims=dims, reference_images=references, micro_batch=8, auxiliary=autoencoder
    )
    model.passes.input_shape = shape
    return model, Images.of(torch.randn((2, *shape), generator=generator))


class Pooled(nn.Module):
    """A segmentation network with the mean of each class's map as its logit."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(x).flatten(2).mean(dim=2)


def resnet():
    """Re-used, in-place ReLUs and additions; stride 16, cells at 16i."""
    from torchvision.models.resnet import BasicBlock, ResNet

    def build():
        network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=len(LABELS))
        network.layer4[0].conv1.stride = network.layer4[0].downsample[0].stride = (1, 1)
        return network

    return explained(build, (3, 32, 32))


def densenet():
    """A functional, in-place ReLU after its features; stride 16."""
    from torchvision.models import DenseNet

    return explained(
        lambda: DenseNet(8, (2, 2, 2), num_init_features=16, num_classes=len(LABELS)), (3, 32, 32)
    )


def efficientnet():
    """SiLU, squeeze and excitation; stride 8."""
    import timm

    return explained(
        lambda: timm.create_model("efficientnet_b0", num_classes=len(LABELS), output_stride=8),
        (3, 32, 32),
    )


def vit():
    """A transformer with a class token: 4 x 4 patches of 8 pixels."""
    import timm

    return explained(
        lambda: timm.create_model(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, embed_dim=24, depth=3, num_heads=3,
            num_classes=len(LABELS),
        ),
        (3, 32, 32),
    )  # fmt: skip


def resnet3d():
    """A 3-D ResNet of MONAI's."""
    from monai.networks.nets import ResNet
    from monai.networks.nets.resnet import ResNetBlock

    return explained(
        lambda: ResNet(
            ResNetBlock, [1, 1, 1, 1], [4, 8, 8, 16], n_input_channels=1, conv1_t_size=3, conv1_t_stride=1,
            no_max_pool=True, num_classes=len(LABELS),
        ),
        (1, 16, 16, 16),
    )  # fmt: skip


def unet3d():
    """A 3-D U-Net of MONAI's with PReLU and transposed convolutions; a logit per class."""
    from monai.networks.nets import UNet

    return explained(lambda: Pooled(UNet(3, 1, len(LABELS), (4, 8, 16), (2, 2))), (1, 16, 16, 16))


ZOO = {function.__name__: function for function in (resnet, densenet, efficientnet, vit, resnet3d, unet3d)}
# options that keep the matrix of all methods on all networks cheap; what is not named has its defaults
QUICK: dict[str, dict[str, object]] = {
    "conductance": {"steps": 4},
    "extremal_perturbation": {"iterations": 2, "step": 4, "deviation": 6},
    "feature_ablation": {"count": 8},
    "feature_permutation": {"count": 8},
    "integrated_gradients": {"steps": 4},
    "internal_influence": {"steps": 4},
    "inverted_representation": {"steps": 3},
    "iterative_saliency": {"iterations": 2, "stop": None},
    "kernel_shap": {"features_as": "grid", "count": 8, "samples": 32},
    "lime": {"samples": 16},
    "occlusion": {"window": 8},
    "rise": {"masks": 16},
    "score_cam": {"channels": 4},
    "shapley_sampling": {"count": 8, "orders": 2},
    "smoothgrad": {"samples": 3},
}
