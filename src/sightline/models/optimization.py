"""How weights follow gradients: optimisers, schedules of the learning rate, clipping."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import nn
from torch.optim import lr_scheduler

# that go on with every step, not with every epoch
PER_STEP = (lr_scheduler.OneCycleLR, lr_scheduler.LambdaLR)


class SGDW(torch.optim.Optimizer):
    """Stochastic gradient descent with momentum and decoupled weight decay.

    Source: Loshchilov and Hutter 2019, "Decoupled weight decay regularization", algorithm 1:
    m <- momentum m + lr g; w <- w - m - (lr / first lr) decay w. The learning rate inside the momentum, and
    a decay that is no multiple of it, tell it from timm's SGDW; the two agree while the learning rate is
    constant and timm's decay is ours over it.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float, momentum: float, weight_decay: float):
        settings = {"lr": lr, "first_lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__(parameters, settings)

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        """One step along the gradients that are there; a weight without one is left as it is."""
        for group in self.param_groups:
            decay = group["weight_decay"] * group["lr"] / group["first_lr"]
            for weight in group["params"]:
                if weight.grad is None:
                    continue
                held = self.state[weight]
                if "momentum" not in held:
                    held["momentum"] = torch.zeros_like(weight)
                held["momentum"].mul_(group["momentum"]).add_(weight.grad, alpha=group["lr"])
                weight.mul_(1 - decay).sub_(held["momentum"])


def optimizer(network: nn.Module, chosen: dict) -> torch.optim.Optimizer:
    """The recipe's `optimizer` for those weights of `network` that are trained."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD, "sgdw": SGDW}
    more = {"momentum": chosen["momentum"]} if chosen["name"] in ("sgd", "sgdw") else {}
    trained = [weight for weight in network.parameters() if weight.requires_grad]
    return kinds[chosen["name"]](trained, lr=chosen["lr"], weight_decay=chosen["weight_decay"], **more)


def scheduler(follows: torch.optim.Optimizer, schedule: dict, steps: int) -> lr_scheduler.LRScheduler | None:
    """The recipe's `scheduler` for a training of `steps` steps; None where the learning rate stays."""
    if schedule["name"] == "plateau":
        return lr_scheduler.ReduceLROnPlateau(
            follows, factor=schedule["factor"], patience=schedule["patience"]
        )
    if schedule["name"] == "onecycle":
        highest = follows.param_groups[0]["lr"]
        return lr_scheduler.OneCycleLR(
            follows, max_lr=highest, total_steps=steps, pct_start=schedule["warmup"]
        )
    if schedule["name"] == "cosine_restarts":
        return lr_scheduler.LambdaLR(follows, cosine_restarts(schedule))
    return None


def cosine_restarts(schedule: dict) -> Callable[[int], float]:
    """The share of the learning rate at each step, from 0: SGDR as Keras' `CosineDecayRestarts` has it.

    Half a cosine from the period's height to 0 over `first` steps, then again over `t_mul` times as many from
    `m_mul` times the height; all of it between `floor` and 1. Source: Loshchilov and Hutter 2017.
    """
    first, longer, lower, floor = (schedule[name] for name in ("first", "t_mul", "m_mul", "floor"))

    def share(step: int) -> float:
        if longer == 1:
            period, done = divmod(step, first)
            length = first
        else:
            period, done, length = 0, step, first
            while done >= length:
                period, done, length = period + 1, done - length, length * longer
        height = lower**period * 0.5 * (1 + math.cos(math.pi * done / length))
        return floor + (1 - floor) * height

    return share


def clip(network: nn.Module, longest: float, by: str) -> None:
    """Shorten gradients to the norm `longest`: of `all` weights together, or of each `weight` tensor."""
    if by == "all":
        nn.utils.clip_grad_norm_(network.parameters(), longest)
        return
    for weight in network.parameters():
        if weight.grad is not None:
            # no term in the denominator, unlike torch's clip_grad_norm_: Keras divides by the norm itself
            weight.grad.mul_((longest / weight.grad.norm().clamp(min=1e-30)).clamp(max=1.0))
