"""Both networks against the authors' own outputs, weights in and out, architectures by name."""

import json
import pickle

import numpy as np
import pytest
import torch

from sightline.errors import ConfigError, DatasetError, IntegrityError
from sightline.models import weights
from sightline.models.inputs import explain_input
from sightline.models.network import architecture, build

AUTHORS = {"sononet16": "sononet", "ag_sononet": "ag_sononet"}


@pytest.fixture(scope="module", params=AUTHORS)
def authors(request, golden):
    """(our name, network with the authors' weights, their name, their inputs and outputs, what they say of
    it).
    """
    theirs = AUTHORS[request.param]
    stored = np.load(golden / "models" / f"{theirs}_weights.npz")
    network = build(request.param, 14, seed=0).eval()
    network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files})
    about = json.loads((golden / "models/meta.json").read_text())[theirs]
    return request.param, network, theirs, np.load(golden / "models/io.npz"), about


def test_state_dict_is_the_authors(authors):
    _, network, _, _, about = authors
    shapes = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    assert list(shapes) == list(about["keys"])
    assert shapes == about["keys"]
    assert sum(parameter.numel() for parameter in network.parameters()) == about["params"]


@pytest.mark.parametrize("image", ["a", "c"])
def test_logits_are_the_authors(authors, image):
    _, network, theirs, io, _ = authors
    with torch.no_grad():
        logits = network(explain_input(io[f"val_padded_u8_{image}"][None]))[0].numpy()
    expected = io[f"{theirs}_{image}_logits"]
    assert np.abs(logits - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("image", ["a", "c"])
def test_input_is_the_authors(golden, image):
    io = np.load(golden / "models/io.npz")
    ours = explain_input(io[f"val_padded_u8_{image}"][None])[0].numpy()
    np.testing.assert_allclose(ours, io[f"val_tensor_{image}"], atol=1e-6)


def captured(network, names, images):
    outputs = {}
    hooks = [
        network.get_submodule(name).register_forward_hook(
            lambda _module, _inputs, output, name=name: outputs.__setitem__(name, output)
        )
        for name in names
    ]
    logits = network(images)
    for hook in hooks:
        hook.remove()
    return logits, outputs


def test_named_layers_rebuild_the_logits(authors):
    name, network, _, io, _ = authors
    layers = architecture(name).LAYERS["last"]
    images = torch.from_numpy(io["val_tensor_c"])[None]
    logits, maps = captured(network, layers, images)
    pooled = [maps[layer].mean(dim=(2, 3)) for layer in layers]
    if name == "ag_sononet":
        assert [tuple(maps[layer].shape) for layer in layers] == [
            (1, 64, 56, 56),
            (1, 128, 28, 28),
            (1, 128, 14, 14),
        ]
        pooled[:2] = [maps[layer].sum(dim=(2, 3)) for layer in layers[:2]]
    else:
        assert tuple(maps[layers[0]].shape) == (1, 32, 14, 14)
        assert maps[layers[0]].min() < 0  # no ReLU
    torch.testing.assert_close(network.classifier(torch.cat(pooled, dim=1)), logits)


def test_gradient_of_the_ungated_map_excludes_the_gates():
    network = build("ag_sononet", 5, seed=0).eval()
    logits, maps = captured(network, ("ungated",), torch.randn(1, 3, 224, 224))
    (gradient,) = torch.autograd.grad(logits[0, 3], maps["ungated"])
    # the classifier's weight over the number of positions, everywhere: the mean's gradient alone
    expected = network.classifier[0].weight[3, 192:] / (14 * 14)
    torch.testing.assert_close(gradient, expected[None, :, None, None].expand_as(gradient))


@pytest.mark.parametrize("image", ["a", "c"])
def test_attention_maps_are_the_authors(golden, image):
    stored = np.load(golden / "models/ag_sononet_weights.npz")
    network = build("ag_sononet", 14, seed=0).eval()
    network.load_state_dict({name: torch.from_numpy(stored[name]) for name in stored.files})
    io, names = np.load(golden / "models/io.npz"), architecture("ag_sononet").ATTENTION
    _, maps = captured(network, names.values(), torch.from_numpy(io[f"val_tensor_{image}"])[None])
    for name in ("am1", "am2"):
        np.testing.assert_allclose(
            maps[names[name]][0, 0].detach().numpy(), io[f"ag_sononet_{image}_{name}_raw"], atol=1e-5
        )


@pytest.mark.parametrize("name", AUTHORS)
def test_networks_can_be_traced_and_differentiated_per_layer(name):
    network = build(name, 3, seed=1, width=4).eval()
    images = torch.randn(2, 3, 48, 32)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(images), network(images))
    assert not any(getattr(module, "inplace", False) for module in network.modules())


@pytest.mark.parametrize("name", AUTHORS)
def test_initial_weights_follow_the_authors_rule_and_the_seed(name):
    before = torch.get_rng_state()
    network = build(name, 5, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d) and module.weight.numel() > 5000:
            expected = (2 / (module.in_channels * module.kernel_size[0] ** 2)) ** 0.5
            assert abs(module.weight.std().item() / expected - 1) < 0.1
        if isinstance(module, torch.nn.BatchNorm2d):
            assert abs(module.weight.mean().item() - 1) < 0.03
            assert 0 < module.weight.std().item() < 0.05
            assert not module.bias.any()
    if name == "ag_sononet":
        assert network.compatibility_score1.psi.bias.item() == 3.0
    same, other = build(name, 5, seed=3).state_dict(), build(name, 5, seed=4).state_dict()
    assert all(torch.equal(tensor, same[key]) for key, tensor in network.state_dict().items())
    assert not torch.equal(network.classifier[0].weight, other["classifier.0.weight"])


def test_the_papers_pooling_keeps_the_logits_scale():
    network = build("ag_sononet", 4, seed=0, width=4, gated_pooling="mean").eval()
    small = torch.randn(1, 3, 1, 1).expand(1, 3, 64, 64)
    large = small[:, :, :1, :1].expand(1, 3, 128, 128)
    summed = build("ag_sononet", 4, seed=0, width=4).eval()
    with torch.no_grad():
        change = (network(large) - network(small)).abs().max() / network(small).abs().max()
        growth = summed(large).abs().max() / summed(small).abs().max()
    assert change < 0.5 < 2 < growth


def test_unknown_architecture_is_named():
    with pytest.raises(ConfigError, match="resnet99"):
        build("resnet99", 2, seed=0)
    with pytest.raises(ConfigError, match="os.path"):
        architecture("os.path")


# ---- weights


@pytest.fixture
def network():
    return build("sononet16", 3, seed=0, width=2)


def same(first, second):
    return all(torch.equal(tensor, second[name]) for name, tensor in first.items())


def test_safetensors_round_trip_and_equal_bytes(network, tmp_path):
    weights.save(network.state_dict(), tmp_path / "a.safetensors")
    channels_last = build("sononet16", 3, seed=0, width=2).to(memory_format=torch.channels_last)
    weights.save(channels_last.state_dict(), tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    other = weights.load(build("sononet16", 3, seed=9, width=2), tmp_path / "a.safetensors")
    assert same(network.state_dict(), other.state_dict())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.safetensors", "b.safetensors"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"epoch": 3, "state_dict": state, "loss": 0.5},
        lambda state: {"model": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {name: t for name, t in state.items() if not name.endswith("num_batches_tracked")},
    ],
    ids=["plain", "data parallel", "in a dict", "both", "before torch 0.4.1"],
)
def test_checkpoints_load_by_key_names(network, tmp_path, wrap):
    torch.save(wrap(network.state_dict()), tmp_path / "theirs.pth")
    other = weights.load(build("sononet16", 3, seed=9, width=2), tmp_path / "theirs.pth")
    assert same(network.state_dict(), other.state_dict())


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_that_would_run_code_is_refused(network, tmp_path, zipped):
    path, trace = tmp_path / "evil.pth", tmp_path / "was_here"
    if zipped:
        torch.save({"state_dict": network.state_dict(), "more": Malicious(trace)}, path)
    else:
        path.write_bytes(pickle.dumps(Malicious(trace), protocol=2))
    with pytest.raises(DatasetError, match=r"evil\.pth: refused.*run code"):
        weights.load(network, path)
    assert not trace.exists()


@pytest.mark.parametrize(
    "change, expected",
    [
        (
            lambda s: {k: v for k, v in s.items() if k != "classifier.0.bias"},
            r"lacks 1 \(classifier\.0\.bias\)",
        ),
        (lambda s: s | {"head.weight": torch.zeros(2)}, r"has unknown 1 \(head\.weight\)"),
        (
            lambda s: s | {"classifier.0.weight": torch.zeros(14, 4)},
            r"classifier\.0\.weight \(14, 4\) instead of \(3, 4\)",
        ),
        (lambda s: s | {"classifier.0.bias": torch.full((3,), torch.nan)}, "not finite in classifier"),
        (lambda s: {"history": [1, 2]}, "holds no state dict.*history"),
    ],
    ids=["missing", "unexpected", "shape", "not finite", "no weights"],
)
def test_weights_that_do_not_fit_say_why(network, tmp_path, change, expected):
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    torch.save(change(network.state_dict()), tmp_path / "other.pth")
    with pytest.raises(DatasetError, match=expected):
        weights.load(network, tmp_path / "other.pth")
    assert same(before, network.state_dict())


def test_broken_and_missing_files_are_named(network, tmp_path):
    with pytest.raises(DatasetError, match="gone.safetensors: no such file"):
        weights.load(network, tmp_path / "gone.safetensors")
    weights.save(network.state_dict(), tmp_path / "cut.safetensors")
    torch.save(network.state_dict(), tmp_path / "cut.pth")
    for name in ("cut.safetensors", "cut.pth"):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(IntegrityError, match=f"{name}: not a whole"):
            weights.load(network, tmp_path / name)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_no_damage_to_a_checkpoint_escapes_untold(network, tmp_path, zipped):
    """Bytes changed at random: weights that fit, or one of our errors."""
    torch.save(network.state_dict(), tmp_path / "a.pth", _use_new_zipfile_serialization=zipped)
    whole, random, refused = (tmp_path / "a.pth").read_bytes(), np.random.default_rng(0), 0
    for _ in range(60):
        content = np.frombuffer(whole, np.uint8).copy()
        content[random.integers(0, 400, 3)] = random.integers(0, 256, 3)
        (tmp_path / "a.pth").write_bytes(content.tobytes())
        try:
            weights.load(network, tmp_path / "a.pth")
        except (DatasetError, IntegrityError) as error:
            assert str(tmp_path / "a.pth") in str(error)
            refused += 1
    assert refused > 20
