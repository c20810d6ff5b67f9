"""Training: learns, resumes to the bit after a kill, masks what is unknown, refuses what cannot run."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from sightline import tables
from sightline.classification.auc import auc
from sightline.errors import ConfigError, DatasetError
from sightline.models import trainable, training
from sightline.models.checkpoint import write_checkpoint
from sightline.models.examples import Examples, collect
from sightline.models.loss import class_weights, masked_loss
from sightline.models.network import build
from sightline.models.prediction import logits, predict
from sightline.models.recipe import OPTIONS, Recipe
from sightline.models.training import fit

ROOT = Path(__file__).resolve().parents[2]
LABELS = ("left", "right", "both")
SMALL = {
    "side": 16,
    "batch": 8,
    "epochs": 4,
    "optimizer": {"name": "adamw", "lr": 5e-3},
    "augmentation": {"rotation": 5, "flip": 0.0},
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Memory:
    """A store in memory: images by id for each geometry."""

    def __init__(self, train, explain):
        self.held = {"train": train, "explain": explain}

    def get(self, image, side, geometry):
        return self.held[geometry][image]

    def images(self, side, geometry):
        return sorted(self.held[geometry])


def pictures(count, seed, square):
    """Noise with a bright spot left or right; label 'both' is unknown for every third image."""
    random = np.random.default_rng(seed)
    targets = (random.random((count, 2)) < 0.5).astype(np.float32)
    both = targets.min(axis=1, keepdims=True)
    targets = np.concatenate([targets, both], axis=1)
    targets[::3, 2] = np.nan
    images = {}
    for index in range(count):
        height = 16 + 16 * (index % 2)
        pixels = random.integers(60, 100, (height, height if square else 16)).astype(np.uint8)
        for side, at in ((0, 0.25), (1, 0.75)):
            if targets[index, side]:
                column = int(at * pixels.shape[1])
                pixels[height // 2 - 3 : height // 2 + 3, column - 2 : column + 3] = 230
        images[f"i{index:03d}"] = pixels
    return images, targets


def examples(train=40, validation=16):
    seen, targets = pictures(train, 0, square=False)
    held_out, others = pictures(validation, 1, square=True)
    store = Memory(seen, held_out)
    return (
        Examples(store, 16, "train", tuple(sorted(seen)), LABELS, targets),
        Examples(store, 16, "explain", tuple(sorted(held_out)), LABELS, others),
    )


def exclusive(*counts):
    """The same with labels that exclude each other; films with no spot have none, and are unknown."""
    parts = examples(*counts)
    for part in parts:
        spots = part.targets[:, :2].copy()
        part.targets[:, 2] = spots.min(axis=1)
        part.targets[:, :2] = spots - spots.min(axis=1, keepdims=True)
    return parts


def trained(path, progress=lambda line: None, identity="job", seed=0, data=None, **options):
    network = build("sononet16", len(LABELS), seed, width=2)
    train, validation = data or (exclusive() if options.get("loss") == "categorical" else examples())
    return fit(
        network, train, validation, Recipe.of(SMALL | options), seed, path, identity, progress=progress
    )


def assert_equal_fits(first, second):
    pd.testing.assert_frame_equal(first.curves, second.curves, check_exact=True)
    assert first.best_epoch == second.best_epoch
    assert first.best_state.keys() == second.best_state.keys()
    for name, tensor in first.best_state.items():
        assert torch.equal(tensor, second.best_state[name]), name


class Killed(Exception):
    pass


SCHEDULES = {
    "plateau": {"scheduler": {"patience": 0, "factor": 0.3}},
    "onecycle": {"scheduler": {"name": "onecycle"}, "select_by": "val_auc"},
    "adam, bfloat16": {"optimizer": {"lr": 1e-3, "clip": 0.5}, "precision": "bfloat16"},
    "sgd, float16": {"optimizer": {"name": "sgd", "lr": 0.05}, "precision": "float16"},  # its factor falls
    "sgd, balanced": {"optimizer": {"name": "sgd", "lr": 0.05}, "class_weights": "balanced"},
    "sgdw, restarts": {
        "optimizer": {"name": "sgdw", "lr": 0.05, "weight_decay": 1e-3, "clip": 0.01, "clip_by": "weight"},
        "scheduler": {"name": "cosine_restarts", "first": 7},  # neither an epoch nor a multiple of it
        "accumulate": 2,
        "batch": 4,
        "augmentation": {"rotation": 20, "flip": 0.5},
    },
    "categorical": {
        "loss": "categorical",
        "optimizer": {"name": "sgdw", "lr": 0.05},
        "scheduler": {"name": "cosine_restarts", "first": 3, "t_mul": 1, "m_mul": 0.9},
        "select_by": "val_accuracy",
        "min_delta": 0.01,
        "class_weights": "balanced",
        "accumulate": 3,
        "batch": 3,
    },
}


@pytest.mark.parametrize("killed_after", [1, 3])
@pytest.mark.parametrize("options", SCHEDULES.values(), ids=SCHEDULES)
def test_resume_after_a_kill_is_bit_identical(tmp_path, killed_after, options, monkeypatch):
    monkeypatch.setattr(trainable, "check", lambda *given: None)  # which refuses float16 on a CPU
    whole = trained(tmp_path / "whole", **options)

    def kill(line):
        if line.startswith(f"epoch {killed_after} "):
            raise Killed

    with pytest.raises(Killed):
        trained(tmp_path / "cut", kill, **options)
    torch.manual_seed(99)  # what happened elsewhere does not matter
    said = []
    assert_equal_fits(whole, trained(tmp_path / "cut", said.append, **options))
    assert f"going on after epoch {killed_after}" in said[0]
    assert len(said) == 1 + 4 - killed_after


IN_ANOTHER_PROCESS = """
import sys
import torch
torch.set_num_threads(1)
from tests.unit.test_training import trained
trained(sys.argv[1], lambda line: print(line, flush=True), epochs=12)
"""


def test_resume_after_sigkill_is_bit_identical(tmp_path):
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS, str(tmp_path / "cut")]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch 5 "):
            time.sleep(0.02)  # in the middle of an epoch, not at its end
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    said = []
    again = trained(tmp_path / "cut", said.append, epochs=12)
    assert 5 <= int(said[0].rpartition(" ")[2]) < 12  # it went on from an epoch in between
    assert_equal_fits(trained(tmp_path / "whole", epochs=12), again)


def test_a_finished_training_is_not_repeated(tmp_path):
    first, said = trained(tmp_path / "c"), []
    assert_equal_fits(first, trained(tmp_path / "c", said.append))
    assert len(said) == 1


def test_a_checkpoint_of_another_job_is_refused(tmp_path):
    clean = trained(tmp_path / "clean", epochs=2)
    trained(tmp_path / "c", identity="other", seed=5, epochs=2)
    said = []
    assert_equal_fits(clean, trained(tmp_path / "c", said.append, epochs=2))
    assert "checkpoint of another job (identity other, this job is job" in said[0]
    assert "starts anew" in said[0]


@pytest.mark.parametrize("broken", ["cut", "other content", "a bit of a weight flipped"])
def test_a_broken_checkpoint_starts_anew(tmp_path, broken):
    clean = trained(tmp_path / "c", epochs=2)
    content = (tmp_path / "c").read_bytes()
    if broken == "cut":
        (tmp_path / "c").write_bytes(content[: len(content) // 2])
    elif broken.startswith("a bit"):
        weight = next(iter(clean.best_state.values())).numpy().tobytes()
        assert weight in content
        place = content.index(weight) + 1
        (tmp_path / "c").write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    else:
        torch.save([1, 2], tmp_path / "c")
    said = []
    assert_equal_fits(clean, trained(tmp_path / "c", said.append, epochs=2))
    assert "not a checkpoint of ours" in said[0]


def test_a_checkpoint_is_replaced_whole(tmp_path, monkeypatch):
    write_checkpoint(tmp_path / "c", "job", {"epoch": 1})
    before = (tmp_path / "c").read_bytes()

    def cut(content, file):
        file.write(b"half")
        raise Killed

    monkeypatch.setattr(torch, "save", cut)
    with pytest.raises(Killed):
        write_checkpoint(tmp_path / "c", "job", {"epoch": 2})
    assert (tmp_path / "c").read_bytes() == before


def test_learns_and_says_how(tmp_path):
    data, said = examples(train=160, validation=48), []
    done = trained(tmp_path / "c", said.append, data=data, epochs=14, scheduler={"name": "onecycle"})
    curves = done.curves.pivot(index="epoch", columns="quantity", values="value")
    assert curves.index.tolist() == list(range(1, 15))
    assert curves["val_auc"].iloc[-1] > 0.9 > curves["val_auc"].iloc[0]
    assert curves["train_loss"].iloc[-1] < 0.6 * curves["train_loss"].iloc[0]
    assert done.best_epoch == curves["val_loss"].idxmin()
    assert curves["learning_rate"].max() == pytest.approx(5e-3, rel=0.05)
    assert curves["learning_rate"].iloc[-1] < 1e-6
    assert f"epoch 14 of 14: train_loss {curves['train_loss'].iloc[-1]:.4g}" in said[-1]
    # the weights that are kept are those of the best epoch
    network = build("sononet16", len(LABELS), 7, width=2)
    network.load_state_dict(done.best_state)
    outputs = logits(network, data[1], batch=64)
    loss, _ = masked_loss(torch.from_numpy(outputs), torch.from_numpy(data[1].targets), torch.ones(3))
    assert loss.item() == pytest.approx(curves["val_loss"].min(), rel=1e-5)
    aucs = [auc(value, logit) for value, logit in zip(data[1].targets.T, outputs.T)]
    assert np.mean(aucs) == pytest.approx(curves["val_auc"].loc[done.best_epoch], abs=1e-9)


def test_seeds_differ_and_torchs_generator_is_left_alone(tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    first, second = trained(tmp_path / "a", epochs=1), trained(tmp_path / "b", epochs=1, seed=1)
    assert not torch.equal(first.best_state["classifier.0.weight"], second.best_state["classifier.0.weight"])
    assert torch.equal(torch.get_rng_state(), before)


def test_early_stopping_waits_its_patience(tmp_path):
    options = {"epochs": 60, "patience": 3, "optimizer": {"name": "adamw", "lr": 0.03}}
    done = trained(tmp_path / "c", **options)
    losses = done.curves[done.curves["quantity"] == "val_loss"]["value"].to_numpy()
    assert len(losses) == done.best_epoch + 3 < 60
    assert done.best_epoch == losses.argmin() + 1
    assert_equal_fits(done, trained(tmp_path / "c", **options))


def test_plateau_lowers_the_learning_rate_when_the_loss_stays(tmp_path, monkeypatch):
    values = iter([1.0, 0.9, 0.95, 0.95, 0.95, 0.8, 0.85, 0.85, 0.85])
    monkeypatch.setattr(training, "judge", lambda *given: {"val_loss": next(values), "val_auc": 0.5})
    scheduler = {"name": "plateau", "factor": 0.1, "patience": 1}
    done = trained(tmp_path / "c", epochs=9, scheduler=scheduler)
    rates = done.curves[done.curves["quantity"] == "learning_rate"]["value"].to_numpy()
    np.testing.assert_allclose(rates, 5e-3 * np.array([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.01]))
    assert done.best_epoch == 6


def test_selection_by_auc(tmp_path, monkeypatch):
    values = iter([(0.5, 0.6), (0.4, 0.9), (0.3, 0.7), (0.6, 0.9)])
    monkeypatch.setattr(training, "judge", lambda *given: dict(zip(("val_loss", "val_auc"), next(values))))
    assert trained(tmp_path / "c", select_by="val_auc").best_epoch == 2  # the first of equals


def test_an_epoch_is_better_by_more_than_min_delta(tmp_path, monkeypatch):
    """Keras' EarlyStopping: steps below min_delta neither move the kept epoch nor end the waiting."""
    values = iter([0.5, 0.5005, 0.50099, 0.502, 0.5025, 0.5028, 0.5029])
    monkeypatch.setattr(
        training, "judge", lambda *given: {"val_loss": 1.0, "val_auc": None, "val_accuracy": next(values)}
    )
    chosen = {"select_by": "val_accuracy", "min_delta": 1e-3, "patience": 3, "epochs": 20}
    done = trained(tmp_path / "c", **chosen)
    assert (done.best_epoch, done.curves["epoch"].max(), done.stopped) == (4, 7, "patience")


def without_batch_normalisation():
    torch.manual_seed(0)
    pooled = [torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten()]
    layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.GELU(), *pooled, torch.nn.Linear(4 * 16, len(LABELS))]
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize("loss", ["binary", "categorical"])
def test_accumulated_batches_are_one_large_batch(tmp_path, loss):
    """40 images of which some labels are unknown, in steps of 9: 4 x 9 and 4, in parts of 9, 3 and 2."""
    chosen = SMALL | {
        "loss": loss,
        "augmentation": {"rotation": 30},
        "optimizer": {"name": "sgdw", "lr": 0.1},
    }
    train, validation = exclusive() if loss == "categorical" else examples()
    fits = []
    for batch, accumulate in ((9, 1), (3, 3), (2, 5)):
        images = 9 if accumulate < 5 else 10
        options = chosen | {"batch": batch, "accumulate": accumulate, "class_weights": "balanced"}
        network = without_batch_normalisation()
        path = tmp_path / f"{batch}"
        fits.append(fit(network, train, validation, Recipe.of(options), 0, path, "job", progress=str))
        assert batch * accumulate == images
    one, three, other = fits
    for name, tensor in one.best_state.items():
        torch.testing.assert_close(three.best_state[name], tensor, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(three.curves["value"], one.curves["value"], rtol=1e-4, atol=1e-6)
    difference = max((other.best_state[n] - tensor).abs().max() for n, tensor in one.best_state.items())
    assert difference > 1e-4  # another batch is another training


def test_accumulation_sees_the_statistics_of_each_batch_alone(tmp_path):
    large, parts = (trained(tmp_path / f"{b}", batch=b, accumulate=8 // b, epochs=1) for b in (8, 4))
    name = next(name for name in large.best_state if name.endswith("running_mean"))
    assert not torch.allclose(large.best_state[name], parts.best_state[name], rtol=1e-3)


def test_a_step_leaves_no_batch_of_one():
    assert [(part.start, part.stop) for part in training.parts(9, 4)] == [(0, 4), (4, 9)]
    assert [(part.start, part.stop) for part in training.parts(10, 4)] == [(0, 4), (4, 8), (8, 10)]
    assert [(part.start, part.stop) for part in training.parts(1, 4)] == [(0, 1)]
    assert [(part.start, part.stop) for part in training.parts(4, 4)] == [(0, 4)]


def test_exclusive_labels_train_and_tell_their_accuracy(tmp_path):
    train, validation = exclusive(160, 48)
    alone = validation.targets.sum(axis=1) == 1
    assert 0.5 < alone.mean() < 0.9  # the others have none, and do not count
    options = {"loss": "categorical", "select_by": "val_accuracy", "epochs": 14}
    said = []
    done = trained(
        tmp_path / "c", said.append, data=(train, validation), scheduler={"name": "onecycle"}, **options
    )
    curves = done.curves.pivot(index="epoch", columns="quantity", values="value")
    assert set(curves) == {
        "train_loss", "train_accuracy", "val_loss", "val_auc", "val_accuracy", "learning_rate"
    }  # fmt: skip
    assert curves["val_accuracy"].max() > 0.6 > 0.45 > curves["val_accuracy"].iloc[0]
    assert curves["train_accuracy"].iloc[-1] > curves["train_accuracy"].iloc[0]
    assert done.best_epoch == curves["val_accuracy"].idxmax()  # the first of equals
    network = build("sononet16", len(LABELS), 7, width=2)
    network.load_state_dict(done.best_state)
    outputs = logits(network, validation, batch=64)
    right = outputs.argmax(axis=1) == validation.targets.argmax(axis=1)
    assert right[alone].mean() == pytest.approx(curves["val_accuracy"].loc[done.best_epoch], abs=0.03)
    assert done.stopped == "epochs"


def test_the_account_of_a_training_is_a_row_of_its_table(tmp_path):
    network = build("sononet16", len(LABELS), 0, width=2)
    network.features.requires_grad_(False)
    train, validation = examples()
    recipe = Recipe.of(SMALL | {"epochs": 3})
    done = fit(network, train, validation, recipe, 0, tmp_path / "c", "job", progress=str)
    axes = {"model": "m", "seed": 1}
    tables.write("trainings", training.account(network, "random", done).assign(**axes), tmp_path / "a")
    (row,) = tables.read("trainings", tmp_path / "a").to_dict("records")
    size = sum(weight.numel() for weight in network.parameters())
    assert row == axes | {
        "epochs": 3, "best_epoch": done.best_epoch, "stopped": "epochs",
        "parameters": size, "trained": (4 + 1) * 3, "initial": "random",
    }  # fmt: skip
    tables.write("trainings", training.account(network, "given a.pth", None).assign(**axes), tmp_path / "b")
    (row,) = tables.read("trainings", tmp_path / "b").to_dict("records")
    assert (row["epochs"], row["stopped"], row["trained"], row["initial"]) == (0, "given", 0, "given a.pth")
    assert pd.isna(row["best_epoch"])


def test_unknown_labels_do_not_train(tmp_path):
    """What stands where a label is unknown has no gradient: the head of a label known of few images moves
    by those alone.
    """
    output = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([[1, 0, torch.nan]] * 5 + [[0, 1, 1]], dtype=torch.float64)
    loss, count = masked_loss(output, targets, torch.ones(3))
    loss.backward()
    assert count == 13
    assert (output.grad[:5, 2] == 0).all()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        output[~targets.isnan()], targets[~targets.isnan()]
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
    nothing, count = masked_loss(output, torch.full_like(targets, torch.nan), torch.ones(3))
    assert (nothing.item(), count) == (0.0, 0)


def test_balanced_weights_make_both_values_weigh_the_same():
    targets = np.array(
        [[1, 0, 1, 0, np.nan], [0, 0, 1, 0, np.nan], [0, 0, 1, 1, np.nan], [0, 0, 1, np.nan, 1.0]]
    )
    weights = class_weights(targets, "balanced").numpy()
    np.testing.assert_allclose(weights, [3, 1, 1, 2, 1])
    assert (class_weights(targets, "none") == 1).all()


def test_divergence_is_an_error_with_advice(tmp_path):
    with pytest.raises(ConfigError, match=r"diverged in epoch 1.*lower optimizer\.lr \(now 1e\+30\)"):
        trained(tmp_path / "c", optimizer={"name": "sgd", "lr": 1e30})


def broken_examples(**changes):
    train, validation = examples()
    for name, change in changes.items():
        part = train if name == "train" else validation
        part.targets[:] = change(part.targets)
    return train, validation


@pytest.mark.parametrize(
    "data, options, error, message",
    [
        (lambda: (examples()[0], examples(validation=0)[1]), {}, DatasetError, "no validation image"),
        (
            lambda: broken_examples(train=lambda t: np.where([0, 1, 0], np.nan, t)),
            {},
            DatasetError,
            "no training image has a known value of right",
        ),
        (
            lambda: broken_examples(validation=lambda t: t * np.nan),
            {},
            DatasetError,
            "no validation image has a known label",
        ),
        (
            lambda: broken_examples(validation=lambda t: t * 0),
            {"select_by": "val_auc"},
            DatasetError,
            "take val_loss",
        ),
        (
            # an image without any true label is unknown: its zeros make no AUC
            lambda: broken_examples(
                train=lambda t: np.eye(3)[np.arange(len(t)) % 3],
                validation=lambda t: np.eye(3)[np.zeros(len(t), int)] * (np.arange(len(t)) % 2)[:, None],
            ),
            {"select_by": "val_auc", "loss": "categorical"},
            DatasetError,
            "take val_loss",
        ),
        (
            examples,
            {"loss": "categorical"},
            DatasetError,
            "no training image has both as its one label",
        ),
        (
            lambda: broken_examples(
                train=lambda t: np.eye(3)[np.arange(len(t)) % 3], validation=lambda t: np.ones_like(t)
            ),
            {"loss": "categorical"},
            DatasetError,
            "no validation image has exactly one label",
        ),
        (examples, {"precision": "float16"}, ConfigError, "float16 needs a GPU"),
        (examples, {"batch": 1}, ConfigError, "recipe.batch: 1; batch normalisation needs at least 2"),
        (lambda: examples(train=1), {}, DatasetError, "one training image, i000: batch norm"),
    ],
    ids=[
        "no validation",
        "untrainable label",
        "unknown validation",
        "no AUC",
        "no AUC among known images",
        "class without images",
        "several classes",
        "float16",
        "batch of one",
        "one image",
    ],
)
def test_what_cannot_train_is_said_before(tmp_path, data, options, error, message):
    with pytest.raises(error, match=message):
        trained(tmp_path / "c", data=data(), **options)
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_label_with_one_value_alone_trains_and_has_no_auc(tmp_path, value):
    data = broken_examples(
        train=lambda t: np.where([1, 1, 0], value, t), validation=lambda t: np.full_like(t, value)
    )
    found = trained(tmp_path / "c", data=data, epochs=1, class_weights="balanced")
    values = found.curves.set_index("quantity")["value"]
    assert np.isnan(values["val_auc"]) and values.drop("val_auc").notna().all()


def test_the_smallest_trainings_step_and_judge(tmp_path):
    """Two films, then three in batches of two: the last film is left out, the step before it is not."""
    for count in (2, 3):
        before = build("sononet16", len(LABELS), 0, width=2).state_dict()["classifier.0.weight"]
        data = examples(count, 1)
        for part in data:
            part.targets[:] = np.nan_to_num(part.targets)
        found = trained(tmp_path / str(count), data=data, batch=2, epochs=1)
        assert not torch.equal(found.best_state["classifier.0.weight"], before)


def test_recipe_defaults_are_the_authors():
    recipe = Recipe.of({})
    assert (recipe.side, recipe.batch, recipe.epochs, recipe.select_by) == (224, 64, 75, "val_loss")
    optimizer = recipe.optimizer
    assert (optimizer["name"], optimizer["lr"], optimizer["weight_decay"]) == ("adam", 1e-4, 1e-5)
    assert (optimizer["clip"], recipe.loss, recipe.accumulate, recipe.min_delta) == (None, "binary", 1, 0)
    scheduler = recipe.scheduler
    assert (scheduler["name"], scheduler["factor"], scheduler["patience"]) == ("plateau", 0.5, 3)
    assert (recipe.augmentation.rotation, recipe.augmentation.scale) == (15, (0.95, 1.05))
    assert (recipe.precision, recipe.class_weights, recipe.patience) == ("float32", "none", None)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epoch": 3}, "recipe: unknown key.* epoch"),
        ({"optimizer": {"learning_rate": 1}}, "recipe.optimizer: unknown key.* learning_rate"),
        ({"optimizer": {"name": "lion"}}, "recipe.optimizer.name: 'lion' is none of adam, adamw, sgd, sgdw"),
        ({"augmentation": {"name": "cutmix"}}, "recipe.augmentation.name"),
    ],
)
def test_recipe_refuses_what_it_does_not_know(options, message):
    with pytest.raises(ConfigError, match=message):
        Recipe.of(options)


def test_every_option_is_described():
    def walk(options):
        for option in options.values():
            assert {"type", "default", "description"} <= option.keys()
            walk(option.get("properties", {}))

    walk(OPTIONS)


# ---- examples and predictions


def labels_frame(rows):
    return pd.DataFrame(rows, columns=["image", "label", "value"])


def test_collect_orders_and_leaves_the_unknown_open():
    store = Memory({name: np.zeros((4, 4), np.uint8) for name in "cab"}, {})
    frame = labels_frame(
        [("a", "Y", 1), ("a", "X", 0), ("b", "X", None), ("c", "Y", 0), ("z", "X", 1), ("c", "W", 5)]
    )
    found = collect(store, 4, "train", ["c", "a", "b", "z"], frame, ["X", "Y"])
    assert found.images == ("a", "b", "c")  # z was refused when the store was made
    np.testing.assert_array_equal(found.targets, [[0, 1], [np.nan, np.nan], [np.nan, 0]])


@pytest.mark.parametrize(
    "rows, message",
    [
        ([("a", "X", 2)], "image a, label 'X': value 2.*expected 0, 1 or null"),
        ([("a", "X", 1), ("a", "X", 1)], "image a has the label 'X' more than once"),
    ],
)
def test_collect_refuses_wrong_labels(rows, message):
    store = Memory({"a": np.zeros((4, 4), np.uint8)}, {})
    with pytest.raises(DatasetError, match=message):
        collect(store, 4, "train", ["a"], labels_frame(rows), ["X"])


def test_batches_have_one_shape_and_every_image_once():
    _, validation = examples(validation=21)
    batches = validation.batches(4)
    assert sorted(np.concatenate(batches)) == list(range(21))
    for batch in batches:
        assert len({image.shape for image in validation.pixels(batch)}) == 1
        assert len(batch) <= 4
        assert (np.diff(batch) > 0).all()


def test_predictions_equal_one_image_at_a_time():
    _, validation = examples(validation=9)
    network = build("ag_sononet", 3, 0, width=2)
    network.train()
    table = predict(network, validation, batch=4)
    assert network.training
    single = np.concatenate(
        [
            logits(network, Examples(validation.store, 16, "explain", (image,), LABELS, np.zeros((1, 3))), 1)
            for image in validation.images
        ]
    )
    np.testing.assert_allclose(table["logit"].to_numpy().reshape(9, 3), single, rtol=1e-4, atol=1e-5)
    assert table["image"].tolist() == [image for image in validation.images for _ in LABELS]
    np.testing.assert_array_equal(table["value"].to_numpy().reshape(9, 3), validation.targets)
