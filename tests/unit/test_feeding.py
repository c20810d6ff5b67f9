"""What a network is fed: the same as without a thread, in order, and nothing that waits for the device."""

import threading

import numpy as np
import pytest
import torch

from sightline.errors import DatasetError
from sightline.models import feeding, prediction, trainable, training
from sightline.models.augmentation import training_input
from sightline.models.feeding import ahead, sent, staged, steps
from sightline.models.inputs import DEVIATION, MEAN, normalise
from sightline.models.loss import known_count
from sightline.models.recipe import Recipe
from tests.unit.test_training import SMALL, Killed, assert_equal_fits, examples, exclusive, trained

CPU = torch.device("cpu")


def test_items_come_in_order_and_few_are_made_before_they_are_asked_for():
    made = []

    def items():
        for index in range(50):
            made.append(index)
            yield index

    taken = []
    for item in ahead(items(), depth=2):
        taken.append(item)
        assert len(made) <= len(taken) + 4  # two ready, one in hand, one that waits for room
    assert taken == list(range(50))


def test_an_error_is_raised_where_the_items_are_taken_after_those_before_it():
    def items():
        yield 1
        yield DatasetError("an item may be an error, too")
        raise DatasetError("image 7 is gone")

    found = ahead(items())
    assert next(found) == 1 and isinstance(next(found), DatasetError)
    with pytest.raises(DatasetError, match="image 7 is gone"):
        next(found)


@pytest.mark.parametrize("left", ["ended", "closed", "error"])
def test_no_thread_stays(left):
    before = threading.active_count()
    found = ahead(iter(range(9)))
    if left == "ended":
        assert list(found) == list(range(9))
    else:
        assert next(found) == 0
        if left == "closed":
            found.close()
        else:
            with pytest.raises(Killed):
                found.throw(Killed())
    assert threading.active_count() == before


@pytest.mark.parametrize("loss", ["binary", "categorical"])
def test_steps_are_what_a_loop_would_make(loss):
    train = (exclusive() if loss == "categorical" else examples())[0]
    recipe = Recipe.of(SMALL | {"loss": loss, "augmentation": {"rotation": 30}})
    order = [np.array([3, 1, 8]), np.array([5, 2])]
    found = list(steps(train, recipe, order, np.random.default_rng(4), CPU))
    drawn = np.random.default_rng(4)
    for step, indices in zip(found, order, strict=True):
        expected = training_input(train.pixels(indices), recipe.side, recipe.augmentation, drawn)
        targets = torch.from_numpy(train.targets[indices])
        assert torch.equal(step.images, expected)
        torch.testing.assert_close(step.targets, targets, equal_nan=True, rtol=0, atol=0)
        assert step.known == step.count == known_count(targets, loss) > 0


def test_a_training_is_the_same_without_the_thread(tmp_path, monkeypatch):
    options = {"epochs": 2, "augmentation": {"rotation": 20, "flip": 0.5}, "accumulate": 2, "batch": 4}
    threaded = trained(tmp_path / "a", **options)
    for module in (feeding, prediction):
        monkeypatch.setattr(module, "ahead", lambda items: (item for item in items))
    assert_equal_fits(threaded, trained(tmp_path / "b", **options))


def test_numbers_are_fetched_rarely_and_add_up_alike(tmp_path, monkeypatch):
    options = {"epochs": 2, "batch": 2, "loss": "categorical"}
    few = trained(tmp_path / "a", **options)  # 20 steps: once an epoch
    monkeypatch.setattr(training, "FETCHED", 1)
    assert_equal_fits(few, trained(tmp_path / "b", **options))


def test_nothing_waits_for_the_device():
    """Tensors of the device `meta` have no values: whoever asked one for a number would raise."""
    train, _ = examples()
    order = [np.arange(6), np.arange(6, 12)]
    recipe = Recipe.of(SMALL)
    found = list(steps(train, recipe, order, np.random.default_rng(0), torch.device("meta")))
    assert [(step.images.device.type, tuple(step.images.shape)) for step in found] == [
        ("meta", (6, 3, 16, 16))
    ] * 2
    assert all(step.targets.is_meta and step.count.is_meta and step.known > 0 for step in found)


def test_what_goes_to_a_gpu_travels_from_page_locked_memory(monkeypatch):
    pinned, moved = [], []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: pinned.append(tensor) or tensor)
    tensor = torch.zeros(3)
    assert staged(tensor, CPU) is tensor and pinned == []
    assert staged(tensor, torch.device("cuda", 0)) is tensor and len(pinned) == 1
    monkeypatch.setattr(torch.Tensor, "to", lambda _, *where, **how: moved.append((where, how)))
    sent(tensor, torch.device("cuda", 0))
    assert moved == [((torch.device("cuda", 0),), {"non_blocking": True})]


def test_the_input_is_each_value_less_the_mean_over_the_deviation():
    values = torch.arange(256, dtype=torch.uint8).reshape(1, 16, 16)
    numbers = [(values.float() / 255 - mean) / deviation for mean, deviation in zip(MEAN, DEVIATION)]
    assert torch.equal(normalise(values), torch.stack(numbers, dim=1))


def test_float16_resumes_with_its_scale(tmp_path, monkeypatch):
    """On a CPU, where it is of no use and refused otherwise: the gradients' scale is part of a checkpoint."""
    monkeypatch.setattr(trainable, "check", lambda *given: None)
    monkeypatch.setattr(
        torch.amp, "GradScaler", lambda *given, **more: GRAD_SCALER(*given, **more, growth_interval=3)
    )
    options = {"precision": "float16", "epochs": 3}

    def kill(line):
        if line.startswith("epoch 2 "):
            raise Killed

    whole = trained(tmp_path / "whole", **options)
    with pytest.raises(Killed):
        trained(tmp_path / "cut", kill, **options)
    scaler = torch.load(tmp_path / "cut", weights_only=True)["content"]["scaler"]
    assert scaler["scale"] != 65536.0  # it has moved from where it starts
    assert_equal_fits(whole, trained(tmp_path / "cut", **options))


GRAD_SCALER = torch.amp.GradScaler
