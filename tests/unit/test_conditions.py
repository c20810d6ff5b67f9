"""Conditions: weights drawn anew stage by stage, changes of the image, and maps back from warped images."""

import copy
import functools

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from sightline.attribution import store
from sightline.attribution.batches import Batch
from sightline.attribution.condition import Condition
from sightline.attribution.conditions.randomise import stages_of
from sightline.attribution.maps import Explanation, Maps, classes
from sightline.errors import ConfigError
from sightline.frames import Frame, resample, shown
from sightline.models.architectures import ag_sononet
from sightline.options import available, with_defaults
from tests.zoo import ZOO

CONDITIONS = "sightline.attribution.conditions"
SHAPE = (3, 32, 32)


def condition(kind: str, **chosen: object) -> Condition:
    """With its defaults, as a study completes it."""
    return Condition(kind, with_defaults(f"{CONDITIONS}.{kind}", chosen, "conditions.one"))


# ---- weights drawn anew


def build() -> nn.Module:
    return ag_sononet.build(3, width=2)


def same(a: dict, b: dict) -> set[str]:
    """The names under which two state dicts hold the same values, bit for bit."""
    return {name for name in a if torch.equal(a[name], b[name])}


def test_random_weights_are_the_architecture_drawn_anew():
    network = build().eval()
    before = copy.deepcopy(network.state_dict())
    state = torch.get_rng_state()
    drawn = condition("randomise").network(network, build, SHAPE, 7).state_dict()
    again = condition("randomise", order="bottom_up").network(network, build, SHAPE, 7).state_dict()
    other = condition("randomise").network(network, build, SHAPE, 8).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    assert same(drawn, again) == set(drawn)
    weights = {name for name, value in drawn.items() if value.ndim > 1}
    assert weights and not weights & same(drawn, before)
    assert not weights & same(drawn, other)
    assert same(network.state_dict(), before) == set(before)


@pytest.mark.parametrize("chosen", [{"layers": "all"}, {"layers": 2}, {"layers": 3, "stages": "blocks"}])
@pytest.mark.parametrize("training", [True, False])
def test_the_altered_network_is_in_the_mode_of_the_trained_one(chosen, training):
    network = build().train(training)
    altered = condition("randomise", **chosen).network(network, build, SHAPE, 0)
    assert altered is not network and altered.training == training == network.training
    assert all(module.training == training for module in [*network.modules(), *altered.modules()])


def test_clean_is_the_network_and_the_image():
    network, pixels = build(), np.zeros((1, 4, 4), dtype=np.uint8)
    assert condition("clean").network(network, build, SHAPE, 7) is network
    assert condition("clean").pixels(pixels, ["a"], 0) is pixels
    frame = Frame.resized((8, 8), (4, 4))
    assert condition("clean").placed(frame) is frame


def test_an_unknown_condition_is_named():
    with pytest.raises(ConfigError, match="blur"):
        Condition("blur").placed(Frame.of_image((4, 4)))


@functools.cache
def trained_and_drawn(name: str) -> tuple[nn.Module, nn.Module, tuple[int, ...]]:
    """A network of the zoo with every value another than those that its twin was built with."""
    model, images = ZOO[name]()
    trained = copy.deepcopy(model.network)
    with torch.no_grad():
        for value in trained.state_dict().values():
            value.add_(1)
    return trained, model.network, images.shape


# few stages tell the rule: from the input on, normalisation with the layer before it, classifier last
EXPECTED = {
    ("resnet", "layers"): (13, {"conv1": {"conv1", "bn1"}, "layer2.0.downsample.0": {"layer2.0.downsample.0",
        "layer2.0.downsample.1"}, "fc": {"fc"}}),
    ("resnet", "blocks"): (6, {"conv1": {"conv1", "bn1"}, "fc": {"fc"}}),
    ("densenet", "layers"): (16, {"features.conv0": {"features.conv0", "features.norm0",
        "features.denseblock1.denselayer1.norm1"}, "classifier": {"classifier"}}),
    ("densenet", "blocks"): (7, {"features.conv0": {"features.conv0", "features.norm0"},
        "features.transition1": {"features.transition1.norm", "features.transition1.conv"},
        "classifier": {"classifier"}}),
    ("efficientnet", "layers"): (82, {"conv_stem": {"conv_stem", "bn1"}, "classifier": {"classifier"}}),
    ("efficientnet", "blocks"): (19, {"conv_stem": {"conv_stem", "bn1"}, "conv_head": {"conv_head", "bn2"},
        "classifier": {"classifier"}}),
    ("vit", "layers"): (15, {"cls_token+pos_embed": {""}, "patch_embed.proj": {"patch_embed.proj",
        "blocks.0.norm1"}, "head": {"head"}}),
    ("vit", "blocks"): (6, {"cls_token+pos_embed": {""}, "patch_embed.proj": {"patch_embed.proj"},
        "head": {"head"}}),
    ("resnet3d", "layers"): (13, {"conv1": {"conv1", "bn1"}, "fc": {"fc"}}),
    ("resnet3d", "blocks"): (6, {"conv1": {"conv1", "bn1"}, "fc": {"fc"}}),
    ("unet3d", "layers"): (5, {"network.model.0.conv": {"network.model.0.conv", "network.model.0.adn.A"}}),
    ("unet3d", "blocks"): (5, {"network.model.0": {"network.model.0.conv", "network.model.0.adn.A"}}),
}  # fmt: skip


@pytest.mark.parametrize(("name", "stages"), EXPECTED)
def test_exactly_the_chosen_stages_are_drawn(name, stages):
    trained, drawn, shape = trained_and_drawn(name)
    found = stages_of(trained, shape, stages)
    count, some = EXPECTED[name, stages]
    names = list(found)
    assert len(names) == count
    for stage, modules in some.items():
        assert {key.rpartition(".")[0] for key in found[stage]} == modules
    assert list(some)[0] == names[0] and (len(some) == 1 or list(some)[-1] == names[-1])
    keys = [key for stage in names for key in found[stage]]
    assert sorted(keys) == sorted(trained.state_dict())  # each once

    for order, mode, layers, expected in [
        ("top_down", "cascading", 1, names[-1:]),
        ("top_down", "cascading", 3, names[-3:]),
        ("top_down", "independent", 3, names[-3:-2]),
        ("bottom_up", "cascading", 2, names[:2]),
        ("bottom_up", "independent", 2, names[1:2]),
        ("top_down", "cascading", count, names),
    ]:
        one = condition("randomise", layers=layers, order=order, mode=mode, stages=stages)
        altered = one.network(trained, lambda: drawn, shape, 0).state_dict()
        expected = {key for stage in expected for key in found[stage]}
        assert same(altered, drawn.state_dict()) == expected
        assert same(altered, trained.state_dict()) == set(altered) - expected


def test_a_cascade_through_all_stages_is_an_untrained_network_and_each_step_keeps_the_last():
    network, count = build(), len(stages_of(build(), SHAPE))
    whole = condition("randomise").network(network, build, SHAPE, 5).state_dict()
    before: set[str] = set()
    for layers in range(1, count + 1):
        step = condition("randomise", layers=layers).network(network, build, SHAPE, 5).state_dict()
        drawn = {name for name in same(step, whole) if step[name].ndim > 1}
        assert drawn > before
        before = drawn
    assert same(step, whole) == set(whole)


@pytest.mark.parametrize("layers", [7, 100])
def test_more_stages_than_there_are_is_refused_with_their_names(layers):
    trained, drawn, shape = trained_and_drawn("resnet")
    with pytest.raises(ConfigError, match=r"6 stages .*: fc, layer4.0, .*, conv1$"):
        condition("randomise", layers=layers, stages="blocks").network(trained, lambda: drawn, shape, 0)


class Odd(nn.Module):
    """Vectors before any weights, weights that the parent uses, a head that is never called, tied weights."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 2)  # registered first, called last
        self.norm = nn.BatchNorm2d(3)
        self.attention = nn.MultiheadAttention(4, 1, batch_first=True)  # never calls its out_proj
        self.stem = nn.Conv2d(3, 4, 3)
        self.auxiliary = nn.Linear(4, 2)
        self.again = nn.Linear(4, 2)
        self.again.weight = self.head.weight

    def forward(self, x):
        tokens = self.stem(self.norm(x)).flatten(2).mT
        tokens = self.attention(tokens, tokens, tokens, need_weights=True)[0]
        return self.again(self.head(tokens.mean(1)) @ self.head.weight)


def test_stages_follow_the_calls_and_leave_nothing_out():
    network = Odd().train()
    statistics = network.norm.running_mean.clone()
    found = stages_of(network, (3, 8, 8))
    assert list(found) == ["stem", "attention", "head", "again"]
    assert {key.rpartition(".")[0] for key in found["stem"]} == {"norm", "stem"}
    assert {key.rpartition(".")[0] for key in found["attention"]} == {"attention", "attention.out_proj"}
    # the last layer's weight is the head's; the auxiliary head is never called
    assert found["head"] == ["head.weight", "head.bias"]
    assert found["again"] == ["again.bias", "auxiliary.weight", "auxiliary.bias"]
    assert network.training and torch.equal(network.norm.running_mean, statistics)


# ---- changes of the image


def images(shape: tuple[int, ...], count: int = 2) -> np.ndarray:
    """Broad waves with a little noise, uint8 (count, *shape)."""
    random = np.random.default_rng(0)
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    waves = sum(np.cos(0.5 * n + 3 * axis / side) for n, (axis, side) in enumerate(zip(axes, shape)))
    waves = (waves - waves.min()) / np.ptp(waves)
    return np.rint(20 + 200 * waves + random.uniform(-5, 5, (count, *shape))).astype(np.uint8)


KINDS = ["log", "gaussian_noise", "speckle", "black_rectangle", "affine", "rotate180"]
RANDOM = ["gaussian_noise", "speckle", "black_rectangle"]


def test_every_condition_is_one_of_network_or_image():
    assert available(CONDITIONS) == sorted(["clean", "randomise", *KINDS])
    for kind in KINDS:
        module = condition(kind).module
        assert hasattr(module, "alter_pixels") and not hasattr(module, "alter_network")
    assert [kind for kind in KINDS if hasattr(condition(kind).module, "warp")] == ["affine", "rotate180"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(40, 50), (6, 40, 50)])
def test_an_image_is_altered_the_same_in_any_batch_and_left_as_it_was(kind, shape):
    stored = images(shape, 3)
    kept = stored.copy()
    names = ["a", "b", "c"]
    found = condition(kind, **({"deviation": 20} if kind == "gaussian_noise" else {})).pixels(
        stored, names, 4
    )
    assert found.shape == stored.shape and found.dtype == np.uint8
    assert (stored == kept).all()
    assert all((one != other).any() for one, other in zip(found, stored))
    one = condition(kind, **({"deviation": 20} if kind == "gaussian_noise" else {}))
    assert (one.pixels(stored[1:2], ["b"], 4)[0] == found[1]).all()
    # drawn for the image and the study's seed, where anything is drawn
    for name, seed in (("other", 4), ("b", 5)):
        assert (one.pixels(stored[1:2], [name], seed)[0] != found[1]).any() == (kind in RANDOM)


def test_what_is_not_bytes_is_refused():
    with pytest.raises(ValueError, match="float64"):
        condition("log").pixels(np.zeros((1, 4, 4)), ["a"], 0)


def test_the_logarithm_keeps_black_and_white_and_brightens_what_is_dark():
    values = np.arange(256, dtype=np.uint8).reshape(1, 16, 16)
    found = condition("log").pixels(values, ["a"], 0).ravel().astype(int)
    assert found[0] == 0 and found[255] == 255
    assert found[15] in (127, 128)  # log(16) is half of log(256)
    assert (np.diff(found) >= 0).all() and (found >= np.arange(256)).all()


def test_noise_has_the_moments_that_were_asked_for():
    flat = np.full((1, 300, 300), 128, dtype=np.uint8)
    found = condition("gaussian_noise", deviation=10).pixels(flat, ["a"], 0).astype(float)
    assert found.mean() == pytest.approx(128, abs=0.15)
    assert found.std() == pytest.approx(10, rel=0.01)
    one = condition("gaussian_noise").pixels(flat, ["a"], 0).astype(float)
    assert one.std() == pytest.approx(np.sqrt(1 + 1 / 12), rel=0.01)  # rounded to grey values
    # speckle is in proportion to the image, black stays black
    half = np.where(np.arange(300) < 150, 40, 120).astype(np.uint8) * np.ones((1, 300, 1), dtype=np.uint8)
    half[:, 0] = 0
    found = condition("speckle", deviation=0.1).pixels(half, ["a"], 0).astype(float)[0]
    assert (found[0] == 0).all()
    assert found[1:, :150].std() == pytest.approx(4, rel=0.02)
    assert found[1:, 150:].std() == pytest.approx(12, rel=0.02)


def test_noise_is_cut_off_at_black_and_white():
    flat = np.zeros((1, 100, 100), dtype=np.uint8)
    found = condition("gaussian_noise", deviation=25.5).pixels(flat, ["a"], 0)
    assert (found == 0).mean() == pytest.approx(0.5, abs=0.03) and found.max() < 200  # no wrapping round
    # with the source's N(0, 1), p (1 + n) is black where n < -1 and white where n > 255 / p - 1
    found = condition("speckle").pixels(np.full((1, 200, 200), 255, dtype=np.uint8), ["a"], 0)
    assert (found == 0).mean() == pytest.approx(0.159, abs=0.01)
    assert (found == 255).mean() == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize("shape", [(40, 50), (20, 40, 50)])
def test_the_black_rectangle_lies_inside_with_sides_in_their_bounds(shape):
    white = np.full((60, *shape), 255, dtype=np.uint8)
    found = condition("black_rectangle").pixels(white, [str(n) for n in range(60)], 0) == 0
    sides = []
    for one in found:
        places = np.nonzero(one)
        window = tuple(slice(at.min(), at.max() + 1) for at in places)
        assert one[window].all() and one[window].size == one.sum()  # one full box
        sides.append([np.ptp(at) + 1 for at in places])
    shares = np.array(sides) / shape
    assert (shares >= 0.1 - 0.5 / min(shape)).all() and (shares <= 0.5 + 0.5 / min(shape)).all()
    np.testing.assert_allclose(shares.mean(axis=0), 0.3, atol=0.06)
    for axis in range(1, found.ndim):  # anywhere
        assert found.any(axis=tuple(set(range(found.ndim)) - {axis})).all()
    whole = condition("black_rectangle", smallest=1, largest=1).pixels(white[:1], ["a"], 0)
    assert not whole.any()


def test_bounds_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match="smallest 0.6 is above largest 0.5"):
        condition("black_rectangle", smallest=0.6).pixels(images((8, 8)), ["a", "b"], 0)


def test_half_a_turn_turns_every_slice():
    deep = images((3, 6, 7))
    found = condition("rotate180").pixels(deep, ["a", "b"], 0)
    assert (found == np.rot90(deep, 2, (2, 3))).all()
    placed = condition("rotate180").placed(Frame.of_image((3, 6, 7)))
    assert (resample(found, placed, Frame.of_image((3, 6, 7))) == deep).all()


def test_the_warp_is_opencvs_and_black_outside():
    chosen = {"degrees": 20.0, "scale": 1.2, "shear": 0.0, "shift": [0.1, -0.2]}
    image = images((60, 80), 1)
    matrix = cv2.getRotationMatrix2D(((80 - 1) / 2, (60 - 1) / 2), 20.0, 1.2)
    matrix[:, 2] += [8, -12]
    expected = cv2.warpAffine(image[0], matrix, (80, 60), flags=cv2.INTER_LINEAR).astype(int)
    found = condition("affine", **chosen).pixels(image, ["a"], 0)[0].astype(int)
    apart = np.abs(found - expected)
    assert (apart > 3).mean() < 0.02  # OpenCV blends the outermost half pixel into black
    assert apart[30, 40] <= 1 and (found == 0).sum() > 100
    black = ~shown(Frame.of_image((60, 80)), condition("affine", **chosen).placed(Frame.of_image((60, 80))))
    assert (found[black] == 0).all() and (found[~black] > 0).all()


def test_shear_moves_rows_and_no_warp_is_no_change():
    none = {"degrees": 0, "scale": 1, "shear": 0, "shift": [0, 0]}
    assert (condition("affine", **none).pixels(images((21, 30)), ["a", "b"], 0) == images((21, 30))).all()
    ramp = np.broadcast_to(np.arange(0, 240, 8, dtype=np.uint8), (1, 21, 30))  # 8 grey values per column
    found = condition("affine", **none | {"shear": 0.5}).pixels(ramp, ["a"], 0)[0].astype(int)
    y, x = np.ogrid[:21, :30]
    before = x - 0.5 * (y - 10)  # the column that now stands at (y, x)
    inside = (before > 1) & (before < 28)
    assert (np.abs(found - 8 * before)[inside] <= 1).all()
    assert (found[(before < -0.5) | (before > 29.5)] == 0).all()


# ---- maps return through the warp


@pytest.mark.parametrize(
    ("kind", "chosen", "least"),
    [
        ("rotate180", {}, 1.0),
        ("affine", {}, 0.85),
        ("affine", {"degrees": -70.0, "scale": 0.7, "shear": -0.4, "shift": [0.2, -0.1]}, 0.6),
        ("affine", {"degrees": 100.0, "scale": 1.6}, 0.3),
    ],
)
@pytest.mark.parametrize("shape", [(80, 96), (6, 80, 96)])
def test_a_map_that_is_the_warped_image_returns_as_the_image(kind, chosen, least, shape, tmp_path):
    one, image = condition(kind, **chosen), Frame.of_image(shape)
    prepared = image.then(Frame.resized(shape, (*shape[:-2], 64, 72)))  # the pixels that the network sees
    axes = np.ogrid[tuple(slice(side) for side in shape)]
    truth = 128 + 25 * sum(np.cos(n + 4 * axis / side) for n, (axis, side) in enumerate(zip(axes, shape)))
    pixels = np.rint(resample(truth, image, prepared)).astype(np.uint8)[None]
    warped = one.pixels(pixels, ["a"], 0)

    batch = Batch(("a",), (one.placed(prepared),))
    maps = Maps("input", ("x",), warped[:, None].astype(np.float32), Frame.of_image(prepared.shape))
    identity = {"dataset": "d", "model": "m", "seed": 0, "condition": kind, "method": "itself"}
    paths = tmp_path / "maps.parquet", tmp_path / "values.npy"
    store.write([Explanation(batch, classes(("x",)), "ok", None, [maps], None)], identity, ("x",), *paths)
    source = store.MapStore(*paths).get("a")[0]
    assert source.frame == one.placed(prepared)
    assert (source.frame.matrix is None) == (kind == "rotate180")

    back = resample(source.values[0], source.frame, image)
    # but where the warped image shows nothing, or black lies within reach of the interpolation
    black = resample((warped[0] == 0).astype(float), source.frame, image) > 0
    seen = shown(source.frame, image) & ~black
    assert np.abs(back - truth)[seen].max() < 4.0  # grey values, of a range of 78 to 178
    assert np.abs(back - truth)[seen].mean() < 0.7
    assert seen.mean() >= least
    assert (shown(source.frame, image).all()) == (kind == "rotate180")
