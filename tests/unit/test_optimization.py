"""Optimisers, schedules and clipping against hand computations, closed forms and timm."""

import math

import numpy as np
import pytest
import timm.optim
import torch

from sightline.models import optimization
from sightline.models.recipe import Recipe


def one_weight(values):
    weight = torch.nn.Parameter(torch.tensor(values, dtype=torch.float64))
    network = torch.nn.Module()
    network.weight = weight
    return network, weight


def stepped(optimizer, weight, gradients, rates=None):
    seen = []
    for index, gradient in enumerate(gradients):
        if rates is not None:
            optimizer.param_groups[0]["lr"] = rates[index]
        weight.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        seen.append(weight.detach().clone().numpy())
    return np.array(seen)


GRADIENTS = [[1.0, -2.0], [0.5, 0.0], [-3.0, 1.0], [0.25, 4.0]]


def test_sgdw_by_hand():
    """Algorithm 1 of Loshchilov and Hutter, line by line, with a learning rate that changes."""
    network, weight = one_weight([2.0, -1.0])
    chosen = {"name": "sgdw", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    rates = [0.1, 0.05, 0.02, 0.1]
    found = stepped(optimization.optimizer(network, chosen), weight, GRADIENTS, rates)
    at, speed = np.array([2.0, -1.0]), np.zeros(2)
    for row, gradient, rate in zip(found, GRADIENTS, rates):
        speed = 0.9 * speed + rate * np.array(gradient)
        at = at - speed - (rate / 0.1) * 0.01 * at
        np.testing.assert_allclose(row, at, rtol=1e-14)


def test_sgdw_is_timms_while_the_learning_rate_stays():
    network, ours = one_weight([2.0, -1.0])
    chosen = {"name": "sgdw", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    found = stepped(optimization.optimizer(network, chosen), ours, GRADIENTS)
    _, theirs = one_weight([2.0, -1.0])
    # timm multiplies the decay with the learning rate
    other = timm.optim.SGDW([theirs], lr=0.1, momentum=0.9, weight_decay=0.01 / 0.1)
    np.testing.assert_allclose(found, stepped(other, theirs, GRADIENTS), rtol=1e-13)


@pytest.mark.parametrize("name", ["sgd", "sgdw"])
def test_momentum_is_the_recipes(name):
    network, weight = one_weight([0.0])
    chosen = {"name": name, "lr": 1.0, "momentum": 0.5, "weight_decay": 0.0}
    found = stepped(optimization.optimizer(network, chosen), weight, [[1.0], [1.0], [0.0]])
    np.testing.assert_allclose(found.ravel(), [-1.0, -2.5, -3.25])


def test_weights_that_are_not_trained_are_left_alone():
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Linear(2, 1))
    network[0].requires_grad_(False)
    chosen = {"name": "sgdw", "lr": 0.1, "momentum": 0.9, "weight_decay": 0.5}
    made = optimization.optimizer(network, chosen)
    assert sum(weight.numel() for group in made.param_groups for weight in group["params"]) == 3


def closed_form(step, first, t_mul, m_mul, floor):
    """The formula of Keras' CosineDecayRestarts: the period from a logarithm, not by counting."""
    done = step / first
    if t_mul == 1:
        period = math.floor(done)
        done -= period
    else:
        period = math.floor(math.log(1 - done * (1 - t_mul)) / math.log(t_mul) + 1e-12)
        done = (done - (1 - t_mul**period) / (1 - t_mul)) / t_mul**period
    return (1 - floor) * 0.5 * m_mul**period * (1 + math.cos(math.pi * done)) + floor


@pytest.mark.parametrize(
    ("first", "t_mul", "m_mul", "floor"),
    [(5, 2, 1, 1e-6), (4, 1, 0.5, 0.0), (7, 1.5, 0.9, 0.1), (1, 3, 1, 0.0)],
)
def test_cosine_restarts_are_the_closed_form(first, t_mul, m_mul, floor):
    recipe = Recipe.of(
        {
            "optimizer": {"name": "sgdw", "lr": 0.3},
            "scheduler": {
                "name": "cosine_restarts", "first": first, "t_mul": t_mul, "m_mul": m_mul, "floor": floor
            },
        }
    )  # fmt: skip
    network, weight = one_weight([1.0])
    optimizer = optimization.optimizer(network, recipe.optimizer)
    scheduler = optimization.scheduler(optimizer, recipe.scheduler, steps=100)
    assert isinstance(scheduler, optimization.PER_STEP)
    rates = []
    for _ in range(60):
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.zeros(1, dtype=torch.float64)
        optimizer.step()
        scheduler.step()
    expected = [0.3 * closed_form(step, first, t_mul, m_mul, floor) for step in range(60)]
    np.testing.assert_allclose(rates, expected, rtol=1e-9, atol=1e-12)


def test_cosine_restarts_are_torchs_where_it_has_them():
    network, weight = one_weight([1.0])
    other = torch.optim.SGD([weight], lr=1.0)
    theirs = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(other, T_0=3, T_mult=2, eta_min=0.01)
    share = optimization.cosine_restarts({"first": 3, "t_mul": 2, "m_mul": 1, "floor": 0.01})
    for step in range(50):
        assert share(step) == pytest.approx(other.param_groups[0]["lr"], rel=1e-12)
        other.step()
        theirs.step()


def two_weights():
    network = torch.nn.Module()
    network.long = torch.nn.Parameter(torch.zeros(2))
    network.short = torch.nn.Parameter(torch.zeros(3))
    network.unused = torch.nn.Parameter(torch.zeros(1))
    network.long.grad, network.short.grad = torch.tensor([3.0, 4.0]), torch.tensor([0.0, 0.5, 0.0])
    return network


def test_clipping_by_weight_shortens_each_tensor_on_its_own():
    network = two_weights()
    optimization.clip(network, 1.0, "weight")
    torch.testing.assert_close(network.long.grad, torch.tensor([0.6, 0.8]))  # was 5 long
    assert network.short.grad.tolist() == [0.0, 0.5, 0.0]
    optimization.clip(network, 0.001, "weight")  # the thesis's
    assert network.long.grad.norm() == pytest.approx(0.001) == network.short.grad.norm()
    network.short.grad.zero_()
    optimization.clip(network, 0.001, "weight")
    assert not network.short.grad.any()


def test_clipping_all_keeps_their_proportions():
    network = two_weights()
    optimization.clip(network, 1.0, "all")
    whole = math.hypot(5.0, 0.5)
    torch.testing.assert_close(network.long.grad, torch.tensor([3.0, 4.0]) / whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        network.short.grad, torch.tensor([0.0, 0.5, 0.0]) / whole, atol=1e-5, rtol=1e-5
    )
