"""No method keeps anything of a batch: a study explains thousands, one after the other."""

import gc

import pytest
import torch
from torch import Tensor, nn

from sightline.attribution.maps import Explained, Images, Method, classes, no_class
from tests import matrix, zoo

QUICK = zoo.QUICK | {
    "gradient_shap": {"samples": 2},
    "inverted_representation": {"steps": 1},
    "lime": {"samples": 8, "features_as": "grid", "count": 4},
    "occlusion": {"window": 6, "stride": 6},
}


class Residual(nn.Module):
    """A residual network of ReLUs and max-pooling, for which every rule is."""

    def __init__(self):
        super().__init__()
        self.one = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))
        self.two = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.one(x)
        x = self.pool(torch.relu_(x + self.two(x)))
        return self.head(x.mean(dim=(2, 3)))


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, references = Residual(), torch.randn((3, 2, 12, 12))
    model = Explained(network, ("a", "b"), reference_images=references, micro_batch=4)
    model.passes.input_shape = (2, 12, 12)
    return model


def alive() -> int:
    return sum(issubclass(type(one), Tensor) for one in gc.get_objects())


def hooks(network: nn.Module) -> int:
    return sum(len(one._forward_hooks) + len(one._forward_pre_hooks) for one in network.modules())


@pytest.mark.parametrize("kind", matrix.methods())
def test_nothing_is_left_behind(kind, model):
    method = Method(kind, QUICK.get(kind, {}))
    images = Images.of(torch.rand((2, 2, 12, 12), generator=torch.Generator().manual_seed(1)))
    targets = classes(model.labels) if method.module.PER_TARGET else no_class()
    reason = method.module.check(model, targets, **method.options)
    if reason:
        pytest.skip(reason)
    method.module.explain(model, images, targets, **method.options)  # what is kept for all batches
    gc.collect()
    gc.disable()  # on an accelerator memory must be free at once, not when the collector comes by
    try:
        before = alive(), hooks(model.network)
        for _ in range(2):
            method.module.explain(model, images, targets, **method.options)
        assert (alive(), hooks(model.network)) == before
    finally:
        gc.enable()
