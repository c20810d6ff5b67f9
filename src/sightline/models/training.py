"""Training: the loop that follows a recipe, bit-identical after a kill and a resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sightline.errors import ConfigError
from sightline.models import feeding, optimization, trainable
from sightline.models.checkpoint import State, read_checkpoint, write_checkpoint
from sightline.models.examples import Examples
from sightline.models.loss import class_weights, masked_loss, right
from sightline.models.recipe import Recipe
from sightline.models.validation import judge
from sightline.randomness import derived_seed, generator
from sightline.running import jobs

FETCHED = 32  # steps between two looks at the loss, each of which waits for the device


@dataclass(frozen=True)
class Fit:
    """A finished training: the weights of the best epoch (on the CPU), and the curves of all."""

    best_state: dict[str, Tensor]
    best_epoch: int
    curves: pd.DataFrame  # epoch (from 1), quantity (train_loss, val_loss, val_auc ...), value
    stopped: str  # epochs: all were run; patience: none was better for so long


def fit(
    network: nn.Module,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    seed: int,
    checkpoint: str | Path,
    identity: str,
    device: str = "cpu",
    progress: Callable[[str], object] = print,
) -> Fit:
    """Train `network` in place on `train` (geometry train); `validation` (explain) selects its best epoch.

    After every epoch the state goes to `checkpoint`; called again with the same arguments (`network` as it
    was at first) and `identity`, it goes on from there to the same bits, by the same number of threads. A
    checkpoint of another identity is not used. Masked: labels whose value is unknown. `progress` is told
    one line per epoch. Raises `DatasetError` for data that cannot train or select, `ConfigError` for a
    recipe that cannot run or diverges.
    """
    trainable.check(train, validation, recipe, device)
    with _own_settings(device):
        steps = -(-len(train) // (recipe.batch * recipe.accumulate))
        state = begin(network, recipe, steps, device)
        content = read_checkpoint(checkpoint, identity, progress)
        if content is not None:
            state.restore(content)
            progress(f"{checkpoint}: going on after epoch {state.epoch}")
        weights = class_weights(train.targets, recipe.class_weights, recipe.loss).to(device)
        began, first = time.monotonic(), state.epoch
        while state.epoch < recipe.epochs and not _waited_out(state, recipe):
            _epoch(state, train, validation, recipe, seed, weights)
            write_checkpoint(checkpoint, identity, state.content())
            seconds = (time.monotonic() - began) / (state.epoch - first)
            progress(f"{_said(state, recipe)}; {_left(state, recipe, seconds)}")
    curves = pd.DataFrame(state.curves, columns=["epoch", "quantity", "value"]).astype({"value": float})
    stopped = "epochs" if state.epoch == recipe.epochs else "patience"
    return Fit(state.best_state, state.best_epoch, curves, stopped)


@contextmanager
def _own_settings(device: str) -> Iterator[None]:
    """Torch's generators and cuDNN's settings as a training needs them, and the caller's again afterwards."""
    place = torch.device(device)
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    # on a CPU the algorithms are deterministic anyway, and the mode costs time
    exact = place.type == "cuda" or before[0]
    with (
        torch.random.fork_rng(devices=[place] if place.type == "cuda" else []),
        torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False),
    ):
        torch.use_deterministic_algorithms(exact, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def account(network: nn.Module, initial: str, done: Fit | None) -> pd.DataFrame:
    """One row of the table `trainings`, without model and seed; no `done`: finished weights were given."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in network.parameters()]
    row = {
        "epochs": 0 if done is None else int(done.curves["epoch"].max()),
        "best_epoch": None if done is None else done.best_epoch,
        "stopped": "given" if done is None else done.stopped,
        "parameters": sum(size for size, _ in sizes),
        "trained": 0 if done is None else sum(size for size, moves in sizes if moves),
        "initial": initial,
    }
    return pd.DataFrame([row]).astype({"best_epoch": "Int64"})


def begin(network: nn.Module, recipe: Recipe, steps: int, device: str | torch.device) -> State:
    """The state before the first of epochs of `steps` steps; `network` moves to `device`."""
    # channels last: the same function, 1.25 times as fast on CPUs
    network.to(device=device, memory_format=torch.channels_last)
    optimizer = optimization.optimizer(network, recipe.optimizer)
    scheduler = optimization.scheduler(optimizer, recipe.scheduler, recipe.epochs * steps)
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.precision == "float16")
    return State(network, optimizer, scheduler, scaler)


def _epoch(
    state: State, train: Examples, validation: Examples, recipe: Recipe, seed: int, weights: Tensor
) -> None:
    """One pass over `train`, one over `validation`; `state` becomes that after it."""
    epoch = state.epoch + 1
    learned = _pass(state, train, recipe, generator(seed, "augment", epoch), weights)
    quantities = learned | judge(state.network, validation, recipe, weights)
    losses = quantities["train_loss"], quantities["val_loss"]
    if not np.isfinite(losses).all():
        raise ConfigError(
            f"training diverged in epoch {epoch} (training loss {losses[0]}, validation loss {losses[1]}): "
            f"lower optimizer.lr (now {recipe.optimizer['lr']}), set optimizer.clip (for example 1), "
            f"or take precision float32 (now {recipe.precision})"
        )
    quantities["learning_rate"] = float(state.optimizer.param_groups[0]["lr"])
    state.curves += [[epoch, quantity, value] for quantity, value in quantities.items()]
    state.epoch = epoch
    value = quantities[recipe.select_by]
    sign = -1 if recipe.select_by == "val_loss" else 1
    if state.best_value is None or sign * value > sign * state.best_value + recipe.min_delta:
        state.best_value, state.best_epoch = value, epoch
        state.best_state = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in state.network.state_dict().items()
        }
    if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        state.scheduler.step(quantities["val_loss"])


def _pass(
    state: State, train: Examples, recipe: Recipe, drawn: np.random.Generator, weights: Tensor
) -> dict[str, float]:
    """One pass over shuffled batches, whose gradients the weights follow: its mean loss over what is known.

    And the share of right answers, where the loss is categorical; both as the network was at each step.
    """
    torch.manual_seed(derived_seed(int(drawn.integers(2**62)), "dropout"))  # for architectures that draw
    order = _steps(drawn.permutation(len(train)), recipe.batch * recipe.accumulate)
    with closing(feeding.steps(train, recipe, order, drawn, weights.device)) as steps:
        return learn(state, steps, recipe, weights)


def learn(state: State, steps: Iterable[feeding.Step], recipe: Recipe, weights: Tensor) -> dict[str, float]:
    """Follow the gradients of `steps`: the mean loss over what is known, and the share of right answers.

    The latter where the loss is categorical. Numbers are fetched from the device now and then alone, since to
    fetch one is to wait for it.
    """
    network, device = state.network.train(), weights.device
    total, known, correct = 0.0, 0, torch.zeros((), dtype=torch.int64, device=device)
    losses: list[tuple[Tensor, int]] = []
    for number, step in enumerate(steps, 1):
        state.optimizer.zero_grad()
        for part in parts(len(step.images), recipe.batch):
            with torch.autocast(
                device.type, getattr(torch, recipe.precision), enabled=recipe.precision != "float32"
            ):
                output = network(step.images[part].contiguous(memory_format=torch.channels_last)).float()
            loss, _ = masked_loss(output, step.targets[part], weights, recipe.loss, step.count)
            state.scaler.scale(loss).backward()
            losses.append((loss.detach(), step.known))
            if recipe.loss == "categorical":
                correct += right(output, step.targets[part])
        _step(state, recipe.optimizer)
        known += step.known
        if number % FETCHED == 0:
            total, losses = _added(total, losses), []
            if not np.isfinite(total):
                break
    mean = {"train_loss": _added(total, losses) / max(known, 1)}
    return mean | ({"train_accuracy": correct.item() / max(known, 1)} if recipe.loss == "categorical" else {})


def _added(total: float, losses: list[tuple[Tensor, int]]) -> float:
    """`total` and, in their order, mean losses times what they are means over."""
    values = torch.stack([loss for loss, _ in losses]).tolist() if losses else []
    for value, (_, count) in zip(values, losses):
        total += value * count
    return total


def _steps(order: np.ndarray, images: int) -> list[np.ndarray]:
    """`order` in steps of `images`; a last one of one image is left out: it has no variance."""
    steps = [order[start : start + images] for start in range(0, len(order), images)]
    return [step for step in steps if len(step) > 1 or len(order) == 1]


def parts(images: int, batch: int) -> list[slice]:
    """The batches of a step of `images`; a last one of one image joins the one before it."""
    starts = list(range(0, images, batch))
    if len(starts) > 1 and images - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], images])]


def _step(state: State, chosen: dict) -> None:
    """Follow the gradients that are there."""
    if chosen["clip"] is not None:
        state.scaler.unscale_(state.optimizer)
        optimization.clip(state.network, chosen["clip"], chosen["clip_by"])
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if isinstance(state.scheduler, optimization.PER_STEP):
        state.scheduler.step()


def _waited_out(state: State, recipe: Recipe) -> bool:
    return recipe.patience is not None and state.epoch - state.best_epoch >= recipe.patience


def _left(state: State, recipe: Recipe, seconds: float) -> str:
    """How long an epoch takes, and all that may still follow."""
    left = (recipe.epochs - state.epoch) * seconds
    return f"{seconds:.3g} s per epoch" + (f", at most {jobs.duration(left)} left" if left else "")


def _said(state: State, recipe: Recipe) -> str:
    last = {quantity: value for epoch, quantity, value in state.curves if epoch == state.epoch}
    numbers = ", ".join(
        f"{name} {'undefined' if v is None else format(v, '.4g')}" for name, v in last.items()
    )
    return f"epoch {state.epoch} of {recipe.epochs}: {numbers}; best so far: epoch {state.best_epoch}"
