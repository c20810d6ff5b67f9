"""Artefacts of a model or a dataset: planted units, concepts and outliers are found; optima are known."""

import numpy as np
import pytest
import torch
from torch import nn

from sightline import options, tables
from sightline.attribution import artifact
from sightline.attribution.artifacts import (
    deep_dream,
    feature_visualisation,
    filters,
    network_dissection,
    tcav,
)
from sightline.attribution.batches import Batch
from sightline.attribution.engines import ascent
from sightline.attribution.maps import Explained, NotApplicable
from sightline.attribution.material import Material
from sightline.frames import Frame
from tests import zoo

LABELS = ("a", "b")
SPAN = ((-2.0,) * 3, (2.0,) * 3)


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def shown(network: nn.Module, dims: int = 2, **options: object) -> Explained:
    return Explained(network, LABELS, {"last": ("0",)}, spatial_dims=dims, **options)


def asked(model: Explained, data: Material, kind: str, **options: object):
    return artifact.make(kind, model, data, options)


# ---- filters and feature maps


def test_filters_are_the_weights():
    model = shown(nn.Sequential(nn.Conv2d(3, 5, 3), nn.ConvTranspose2d(5, 7, 2), nn.Conv2d(7, 2, 1)))
    data = Material.of(drawn(1, 3, 8, 8))
    (first,) = asked(model, data, "filters", count=4)
    np.testing.assert_array_equal(first.values, model.network[0].weight[:4])
    assert first.facts["look"] == "signed"
    (second,) = asked(model, data, "filters", layers=["1"])
    np.testing.assert_array_equal(second.values, model.network[1].weight.transpose(0, 1))
    assert "2: no convolution" in asked(model, data, "filters", layers=["2"])  # a kernel of one cell
    assert asked(shown(nn.Flatten()), data, "filters") == "the network has no convolution"


def test_filters_of_grouped_transposed_convolutions():
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    weights = filters._weights(layer)
    assert weights.shape == (6, 2, 3, 3)
    image = torch.zeros(1, 4, 1, 1)
    image[0, 3] = 1.0  # the second group's second input: writes that kernel into filters 3, 4, 5
    with torch.no_grad():
        output = layer(image)[0] - layer(torch.zeros(1, 4, 1, 1))[0]
    torch.testing.assert_close(output[3:], weights[3:, 1], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("dims", "shape"), [(2, (5, 3, 8, 8)), (3, (5, 3, 6, 8, 8))])
def test_feature_maps_are_the_most_varied_channels(dims, shape):
    torch.manual_seed(0)
    convolution = (nn.Conv2d if dims == 2 else nn.Conv3d)(3, 4, 3)
    with torch.no_grad():
        convolution.weight[2] *= 100
        convolution.weight[1] *= 10
    model, pixels = shown(nn.Sequential(convolution, nn.Flatten()), dims), drawn(*shape)
    made = asked(model, Material.of(pixels), "feature_maps", examples=2, count=2)
    assert [one.item for one in made] == ["images", "0: 0", "1: 0"]
    np.testing.assert_array_equal(made[0].values, pixels[:2])
    assert made[2].facts["titles"] == ["2", "1"]
    with torch.no_grad():
        expected = convolution(pixels)[1, [2, 1]].numpy()  # in another batch
        np.testing.assert_allclose(made[2].values[:, 0], expected, rtol=1e-4, atol=1e-5 * abs(expected).max())


# ---- images made by ascent


def test_class_maximisation_finds_the_optimum_of_a_linear_model():
    # score w.x + b less decay x.x is highest at w / (2 decay)
    network = nn.Sequential(nn.Flatten(), nn.Linear(2 * 4 * 4, 2))
    model, decay = Explained(network, LABELS), 0.05
    data = Material.of(torch.zeros(1, 2, 4, 4))
    (made,) = asked(model, data, "class_maximisation", decay=decay, steps=400, step=0.2)
    expected = network[1].weight.detach().view(2, 2, 4, 4) / (2 * decay)
    np.testing.assert_allclose(made.values, expected, atol=0.01)


@pytest.mark.parametrize("name", list(zoo.ZOO))
def test_class_maximisation_raises_every_score(name):
    model, images = zoo.ZOO[name]()
    (made,) = asked(model, Material.of(images.pixels), "class_maximisation", steps=6)
    assert made.values.shape == (4, *images.shape)
    with torch.no_grad():
        before = model.network(torch.zeros_like(images.pixels[:1]))[0]
        after = model.network(torch.from_numpy(made.values)).diagonal()
    assert (after > before).all()
    assert made.facts["titles"][1] == f"b: {before[1]:.1f} to {after[1]:.1f}"


def test_class_maximisation_does_not_depend_on_the_micro_batch():
    model, images = zoo.resnet()
    data = Material.of(images.pixels)
    found = []
    for rows in (1, 3):
        one = Explained(model.network, model.labels, micro_batch=rows)
        found.append(asked(one, data, "class_maximisation", steps=2, classes=["d", "a", "b"])[0])
    np.testing.assert_allclose(found[0].values, found[1].values, atol=1e-5)
    assert found[0].facts == found[1].facts
    assert "no class z" in asked(model, data, "class_maximisation", classes=["z"])


@pytest.mark.parametrize("name", ["resnet", "vit", "resnet3d"])
def test_deep_dream_raises_the_layers_answer_and_keeps_the_images_range(name):
    model, images = zoo.ZOO[name]()
    octaves = 1 if name == "vit" else 2
    data = Material.of(images.pixels)
    (made,) = asked(model, data, "deep_dream", octaves=octaves, steps=3, jitter=2, step=0.1)
    before, after = torch.from_numpy(made.values)
    torch.testing.assert_close(before, images.pixels[0])
    (last,), (module,) = zip(*model.modules(["last"]).items())
    with torch.no_grad():
        a, b = (deep_dream.strength(model, last, module, one[None]) for one in (before, after))
    assert b > 1.01 * a  # what is normalised cannot rise far
    assert after.min() >= before.min()
    assert after.max() <= before.max()
    again = asked(model, data, "deep_dream", octaves=octaves, steps=3, jitter=2, step=0.1)
    np.testing.assert_array_equal(again[0].values, made.values)


def test_deep_dream_says_that_a_transformer_takes_its_own_size_only():
    model, images = zoo.vit()
    reason = asked(model, Material.of(images.pixels), "deep_dream", octaves=2, steps=1)
    assert "refuses images of 23 x 23" in reason


@pytest.mark.parametrize(("name", "robust"), [("resnet", True), ("resnet", False), ("resnet3d", True)])
def test_feature_visualisation_raises_the_channel(name, robust):
    model, images = zoo.ZOO[name]()
    span = tuple(one[: images.shape[0]] for one in SPAN)
    data = Material.of(images.pixels, span=span)
    # a ReLU that is off everywhere has no gradient to follow: only channels that are on
    units = [3, 0] if name == "resnet" else [2, 1]
    wanted = {"units": units, "steps": 15, "robust": robust}
    (made,) = asked(model, data, "feature_visualisation", **wanted)
    assert made.values.shape == (2, *images.shape)
    assert (made.values >= -2).all() and (made.values <= 2).all()
    assert np.ptp(made.values, axis=1).max() < 1e-6  # grey
    (last,), (module,) = zip(*model.modules(["last"]).items())
    (early,) = asked(model, data, "feature_visualisation", **wanted | {"steps": 1})
    for at, unit in enumerate(units):
        low, high = (
            feature_visualisation._mean(model, last, module, torch.from_numpy(one.values[at : at + 1]), unit)
            for one in (early, made)
        )
        assert high > low
        assert made.facts["titles"][at].endswith(f" to {high:.2g}")
    np.testing.assert_array_equal(
        asked(model, data, "feature_visualisation", **wanted)[0].values, made.values
    )
    assert "units 0 to" in asked(model, data, "feature_visualisation", units=[10**6], steps=1)
    assert "black and white" in asked(model, Material.of(images.pixels), "feature_visualisation")


def test_feature_visualisation_finds_the_wave_that_a_channel_answers_to():
    # a channel that is the image's correlation with a wave across 16 pixels
    network = nn.Sequential(nn.Conv2d(1, 1, 16), nn.Flatten())
    wave = torch.cos(2 * torch.pi * 2 * torch.arange(16) / 16).expand(16, 16)
    with torch.no_grad():
        network[0].weight[0, 0] = wave
    data = Material.of(torch.zeros(1, 1, 16, 16), span=((-1.0,), (1.0,)))
    (made,) = asked(shown(network), data, "feature_visualisation", units=[0], steps=150, robust=False)
    # black and white bars at best, which share 0.9 with the wave
    assert np.corrcoef(made.values.ravel(), wave.numpy().ravel())[0, 1] > 0.75


def test_transformations_keep_the_size_and_the_middle():
    image = torch.zeros(1, 1, 33, 33)
    image[..., 12:21, 12:21] = 1.0
    generator = torch.Generator().manual_seed(0)
    seen = torch.stack([feature_visualisation.transformed(image, generator) for _ in range(200)])
    assert seen.shape == (200, 1, 1, 33, 33)
    mean = seen.mean(dim=(0, 1, 2))
    mean = mean - mean.min()
    place = torch.arange(33.0)
    for axis in (0, 1):
        assert (mean.sum(dim=axis) @ place / mean.sum()).item() == pytest.approx(16, abs=1.0)
    assert mean.sum().item() == pytest.approx(81, rel=0.25)


def test_ascent_leaves_rows_without_gradient_where_they_are():
    start = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    mask = torch.tensor([1.0, 0.0])
    found = ascent.climb(start, lambda x: (x.sum(dim=1)) * mask, range(3), lambda step: 0.5)
    torch.testing.assert_close(found, torch.tensor([[2.5, 3.5], [3.0, 4.0]]))
    with pytest.raises(NotApplicable, match="does not depend"):
        ascent.climb(start, lambda x: torch.ones(2), range(1), lambda step: 0.5)


# ---- network dissection


class Units(nn.Module):
    """A first layer that keeps one channel as it is and blurs the other over 4 pixels, stride 2."""

    def __init__(self, dims: int):
        super().__init__()
        layer = (nn.Conv2d if dims == 2 else nn.Conv3d)(2, 2, 4, stride=2, padding=1, bias=False)
        with torch.no_grad():
            layer.weight.zero_()
            layer.weight[(0, 0, *[slice(1, 3)] * dims)] = 1.0
            layer.weight[(1, 1)] = -1.0
        self.layer = layer

    def forward(self, x):
        return self.layer(x).flatten(2).mean(dim=2)


def planted(dims: int, sizes=(16,)) -> tuple[Explained, Material, dict[str, np.ndarray]]:
    """Squares of two cells a side in channel 0, noise in channel 1; the mask is the square."""
    generator = torch.Generator().manual_seed(0)
    batches, pixels, masks = [], {}, {}
    for size in sizes:
        names = []
        for number in range(3):
            name = f"{size}.{number}"
            image = torch.zeros((2, *[size] * dims))
            at = 4 * number
            square = (slice(at, at + 4),) * dims
            image[(0, *square)] = 1.0
            image[1] = torch.randn(image.shape[1:], generator=generator)
            mask = torch.zeros((size,) * dims)
            mask[square] = 1.0
            pixels[name], masks[name] = image, mask.numpy()
            names.append(name)
        frame = Frame.of_image((size,) * dims)
        batches.append(Batch(tuple(names), (frame,) * len(names)))

    def region(image):
        mask = masks[image]
        return None if image.endswith("2") else (mask, Frame.of_image(mask.shape))

    data = Material(
        batches,
        lambda batch: torch.stack([pixels[name] for name in batch.images]),
        regions={"square": region},
    )
    model = Explained(Units(dims), LABELS, {"last": ("layer",)}, spatial_dims=dims)
    return model, data, masks


@pytest.mark.parametrize(("dims", "sizes"), [(2, (16,)), (2, (16, 24)), (3, (16,))])
def test_dissection_finds_the_planted_unit(dims, sizes):
    model, data, masks = planted(dims, sizes)
    # unit 0 is on in the 2 x 2 cells of its square: that share of all cells
    cells = sum(3 * (size // 2) ** dims for size in sizes)
    quantile = 3 * len(sizes) * 2**dims / cells + 1e-9
    (made,) = asked(model, data, "network_dissection", quantile=quantile, threshold=0.3)
    assert made.facts["columns"] == ["square", "T"]
    agreement, cut = made.values[:, 0], made.values[:, 1]
    assert cut[0] == 0.0  # all that is larger is the square
    # by hand: cells of 2 pixels, centred at 2i + 0.5, interpolated: above 0 up to two pixels beyond
    from scipy.ndimage import binary_dilation

    both = either = 0
    for name, mask in masks.items():
        if name.endswith("2"):
            continue  # has no region: not counted
        one = binary_dilation(mask, np.ones((3,) * dims))  # interpolation reaches one pixel more
        both, either = both + (one * mask).sum(), either + np.maximum(one, mask).sum()
    assert agreement[0] == pytest.approx(both / either)
    assert agreement[1] < 0.5 * agreement[0]
    assert "1 of 2 units" in " ".join(made.facts["says"])
    assert f"square: 1 units, {2 * len(sizes)} images" in " ".join(made.facts["says"])


def test_cuts_are_exact_quantiles_whatever_the_order():
    values = drawn(3, 1000)
    expected = np.sort(values.numpy(), axis=1)[:, ::-1][:, 25]
    for parts in (values.split(7, dim=1), values.sort(dim=1).values.split(100, dim=1), [values]):
        top = network_dissection.Top(25)
        for part in parts:
            top.add(part)
        np.testing.assert_array_equal(top.cut(), expected)
        assert ((values.numpy() > top.cut()[:, None]).sum(axis=1) == 25).all()


def test_overlaps_are_counted_in_the_masks_grid():
    activation = np.array([[[0.0, 1.0], [0.0, 0.0]]])
    mask = np.zeros((4, 4), dtype=np.uint8)
    mask[0:2, 2:4] = 1
    place, whole = Frame.resized((4, 4), (2, 2)), Frame.of_image((4, 4))
    found = network_dissection.overlaps(activation, place, np.array([0.5]), [(mask, whole), None])
    # interpolated: 1 in the corner pixel, 0.75 beside it, 0.75 x 0.75 across: the mask's four pixels
    assert found[:, 0].tolist() == [[4, 0], [4, 0]]


def test_dissection_without_regions_says_so():
    model, images = zoo.resnet()
    assert "no region" in asked(model, Material.of(images.pixels), "network_dissection")
    none = Material.of(images.pixels, regions={"lungs": lambda image: None})
    assert asked(model, none, "network_dissection") == "no image has a region lungs"


# ---- features in a plane


class Means(nn.Module):
    """Features are the channels' means."""

    def __init__(self, dims: int = 2):
        super().__init__()
        self.layer = nn.Identity()
        self.dims = dims

    def forward(self, x):
        return self.layer(x).flatten(2).mean(dim=2)[:, :2]


def clustered(count: int = 40) -> tuple[torch.Tensor, np.ndarray]:
    """Images whose channel means are drawn; the last three lie far away."""
    means = np.random.default_rng(0).normal(size=(count, 4)) * [3.0, 2.0, 1.0, 0.5]
    means[-3:] += [0.0, 0.0, 25.0, 0.0]
    noise = drawn(count, 4, 3, 3)
    noise = noise - noise.mean(dim=(2, 3), keepdim=True)
    return torch.from_numpy(means).float()[:, :, None, None] + noise, means


def test_pca_is_scikit_learns_and_planted_outliers_are_marked():
    from sklearn.decomposition import PCA

    pixels, means = clustered()
    model = Explained(Means(), LABELS, {"last": ("layer",)})
    truth = {str(i): np.array([i % 2, float(i == 1)]) for i in range(40)}
    data = Material.of(pixels, size=7, truth=truth.__getitem__)
    made = asked(model, data, "feature_projection", projections=["pca"], components=3)[0]
    expected = PCA(n_components=2, svd_solver="full").fit_transform(means)
    np.testing.assert_allclose(made.values[:, :2], expected, rtol=1e-3, atol=1e-4)
    assert made.values[-3:, 3].all()
    assert made.values[:-3, 3].sum() <= 6  # 2.5 % of 37 are expected above the limit
    np.testing.assert_array_equal(made.values[:, 3], made.values[:, 2] > 1)
    assert made.facts["groups"][:4] == ["none", "several", "none", "a"]
    assert made.facts["points"] == [str(i) for i in range(40)]
    other = asked(
        model, data, "feature_projection", projections=["pca"], outliers="local_outlier_factor", components=3
    )[0]
    assert other.values[-3:, 3].all()
    assert "local outlier factor" in " ".join(other.facts["says"])


def test_tsne_keeps_clusters_and_its_seed():
    pixels, _ = clustered()
    pixels[:20] += 30.0
    model = Explained(Means(), LABELS, {"last": ("layer",)})
    data = Material.of(pixels)
    first, again = (asked(model, data, "feature_projection", projections=["tsne"])[0] for _ in range(2))
    np.testing.assert_array_equal(first.values, again.values)
    plane = first.values[:, :2]
    apart = np.linalg.norm(plane[:, None] - plane[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    nearest = apart.argmin(axis=1)
    assert ((nearest < 20) == (np.arange(40) < 20)).all()
    assert "perplexity 13" in " ".join(first.facts["says"])  # a third of the others
    assert "9 images" in asked(model, Material.of(pixels[:9]), "feature_projection")
    same = Material.of(torch.ones(12, 4, 3, 3))
    assert "do not differ" in asked(model, same, "feature_projection")


# ---- concepts


class Linear(nn.Module):
    """Logits that are linear in the first layer's features: a rises along the concept, b falls."""

    def __init__(self, dims: int):
        super().__init__()
        self.layer = nn.Identity()
        self.dims = dims

    def forward(self, x):
        found = self.layer(x).flatten(2).mean(dim=2)  # (B, 3)
        return torch.stack([2 * found[:, 0], -found[:, 0]], dim=1)


@pytest.mark.parametrize(("dims", "pooled"), [(2, False), (2, True), (3, True)])
def test_tcav_finds_the_planted_concept(dims, pooled):
    pixels = drawn(48, 3, *[3] * dims)
    pixels[:16, 0] += 2.0
    data = Material.of(
        pixels,
        truth=lambda image: np.array([1.0, float(int(image) % 2)]),
        regions={"mark": lambda image: np.ones(1) if int(image) < 16 else None, "never": lambda image: None},
    )
    model = Explained(Linear(dims), LABELS, {"last": ("layer",)}, spatial_dims=dims)
    (made,) = asked(model, data, "tcav", pooled=pooled, examples=16, runs=24)
    assert made.facts["rows"] == ["mark: a", "mark: b"]
    score, low, high, random, p, corrected, accuracy, images = made.values.T
    # the logit is linear: all images of a class agree on each run's direction
    assert score.tolist() == low.tolist() == high.tolist() == [1.0, 0.0]
    assert (p < 0.05).all()
    np.testing.assert_allclose(corrected, 2 * p)
    assert (accuracy > 0.85).all()
    assert images.tolist() == [16, 16]
    assert 0.2 < random[0] < 0.8
    assert random[0] == pytest.approx(1 - random[1])
    assert "Left out, for fewer than 4 images: never" in " ".join(made.facts["says"])


def test_a_concepts_direction_is_the_planted_one_as_captum_finds_it():
    generator = np.random.default_rng(0)
    negative, positive = generator.normal(size=(2, 300, 5))
    positive[:, 1] += 2.0
    found = tcav.direction(positive, negative, penalty=0.01)
    assert np.linalg.norm(found.vector) == pytest.approx(1.0)
    assert found.vector[1] > 0.95  # Gaussians of equal spread: the difference of their means
    assert found.accuracy == pytest.approx(0.84, abs=0.05)  # of the best: Phi(1)

    from captum.concept._utils.classifier import DefaultClassifier

    torch.manual_seed(0)
    rows = torch.from_numpy(np.concatenate([positive, negative])).float()
    marks = torch.cat([torch.ones(300), torch.zeros(300)]).long()
    other = DefaultClassifier()
    other.train_and_eval([(rows, marks)])
    theirs = other.weights()[1].numpy()
    assert theirs @ found.vector / np.linalg.norm(theirs) > 0.95


def test_sign_test_is_the_binomial():
    from scipy.stats import binomtest

    own, other = np.array([0.9, 0.8, 0.7, 0.5, 0.2]), np.array([0.1, 0.2, 0.3, 0.5, 0.4])
    assert tcav.sign_test(own, other) == binomtest(3, 4).pvalue
    assert tcav.sign_test(other, other) == 1.0


def test_tcav_asks_for_pooling_where_images_differ_in_size():
    pixels = {str(i): drawn(3, 4 + i % 2, 4, seed=i) for i in range(16)}
    batches = [
        Batch(tuple(str(i) for i in range(start, 16, 2)), (Frame.of_image((4 + start, 4)),) * 8)
        for start in (0, 1)
    ]
    data = Material(
        batches, lambda batch: torch.stack([pixels[name] for name in batch.images]),
        regions={"mark": lambda image: np.ones(1) if int(image) < 4 else None},
    )  # fmt: skip
    model = Explained(Linear(2), LABELS, {"last": ("layer",)})
    assert "set pooled" in asked(model, data, "tcav")
    assert asked(model, data, "tcav", pooled=True, runs=2)[0].values.shape == (2, 8)
    assert "no region and no label" in asked(model, data, "tcav", pooled=True, concepts=["what"])


# ---- every artefact on every network, and its table

QUICK = {
    "class_maximisation": {"steps": 1},
    "deep_dream": {"steps": 1, "octaves": 1},
    "feature_visualisation": {"steps": 1, "count": 1},
    "feature_projection": {"projections": ["pca"]},
    "network_dissection": {"quantile": 0.1},
    "tcav": {"runs": 1, "examples": 4},
}


@pytest.mark.parametrize("network", list(zoo.ZOO))
def test_every_artefact_on_every_network(network, tmp_path):
    model, images = zoo.ZOO[network]()
    pixels = drawn(12, *images.shape)
    mask = np.zeros(images.shape[1:])
    mask[..., :8, :8] = 1
    frame = Frame.of_image(images.shape[1:])
    span = tuple(one[: images.shape[0]] for one in SPAN)
    data = Material.of(
        pixels, span=span, truth=lambda image: np.ones(4),
        regions={"corner": lambda image: (mask, frame) if int(image) < 4 else None},
    )  # fmt: skip
    for kind in options.available(artifact.PACKAGE):
        made = asked(model, data, kind, **QUICK.get(kind, {}))
        assert isinstance(made, list), f"{kind} on {network}: {made}"
        assert made
        identity = {"dataset": "d", "model": network, "seed": 0, "artifact": kind}
        files = (tmp_path / f"{kind}.parquet", tmp_path / f"{kind}.npy")
        artifact.write(made, identity, *files)
        for one, again in zip(made, artifact.read(*files), strict=True):
            np.testing.assert_array_equal(again.values, one.values.astype(np.float32))
            assert (again.item, again.kind, again.facts) == (one.item, one.kind, one.facts)


def test_a_reason_is_a_row(tmp_path):
    files = (tmp_path / "a.parquet", tmp_path / "a.npy")
    artifact.write("why not", {"dataset": "d", "model": "m", "seed": 0, "artifact": "x"}, *files)
    assert artifact.read(*files) == "why not"
    assert tables.read("artifacts", files[0])["status"].tolist() == ["not_applicable"]


def test_modules_state_what_they_are():
    for kind in options.available(artifact.PACKAGE):
        stated = options.read(f"{artifact.PACKAGE}.{kind}")
        assert stated["SCOPE"] in ("model", "dataset")
        assert stated["SOURCE"]
        assert isinstance(stated["NEEDS"], tuple)
        for name, option in stated["OPTIONS"].items():
            assert option["description"], (kind, name)
