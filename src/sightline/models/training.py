"""Training: the loop that follows a recipe, bit-identical after a kill and a resume."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from sightline.classification.auc import auc
from sightline.errors import ConfigError, DatasetError
from sightline.models.augmentation import training_input
from sightline.models.checkpoint import State, read_checkpoint, write_checkpoint
from sightline.models.examples import Examples
from sightline.models.loss import class_weights, masked_loss
from sightline.models.prediction import logits
from sightline.models.recipe import Recipe
from sightline.randomness import derived_seed, generator


@dataclass(frozen=True)
class Fit:
    """A finished training: the weights of the best epoch (on the CPU), and the curves of all."""

    best_state: dict[str, Tensor]
    best_epoch: int
    curves: pd.DataFrame  # epoch (from 1), quantity (train_loss, val_loss, val_auc, learning_rate), value


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
    _check(train, validation, recipe, device)
    with _own_settings(device):
        state = _start(network, recipe, -(-len(train) // recipe.batch), device)
        content = read_checkpoint(checkpoint, identity, progress)
        if content is not None:
            state.restore(content)
            progress(f"{checkpoint}: going on after epoch {state.epoch}")
        weights = class_weights(train.targets, recipe.class_weights).to(device)
        while state.epoch < recipe.epochs and not _waited_out(state, recipe):
            _epoch(state, train, validation, recipe, seed, weights)
            write_checkpoint(checkpoint, identity, state.content())
            progress(_said(state, recipe))
    curves = pd.DataFrame(state.curves, columns=["epoch", "quantity", "value"]).astype({"value": float})
    return Fit(state.best_state, state.best_epoch, curves)


def _check(train: Examples, validation: Examples, recipe: Recipe, device: str) -> None:
    if recipe.precision == "float16" and torch.device(device).type == "cpu":
        raise ConfigError("recipe.precision: float16 needs a GPU; choose bfloat16 or float32")
    if recipe.batch < 2:
        raise ConfigError(f"recipe.batch: {recipe.batch}; batch normalisation needs at least 2 images a step")
    for name, examples in (("training", train), ("validation", validation)):
        if len(examples) == 0:
            raise DatasetError(f"no {name} image: check the splits of the images table and the skipped table")
    if len(train) == 1:
        raise DatasetError(f"one training image, {train.images[0]}: batch normalisation needs at least two")
    unknown = [
        label for label, known in zip(train.labels, (~np.isnan(train.targets)).any(axis=0)) if not known
    ]
    if unknown:
        raise DatasetError(
            f"no training image has a known value of {', '.join(unknown)}: take it out of the label set"
        )
    if np.isnan(validation.targets).all():
        raise DatasetError("no validation image has a known label: no epoch can be selected")
    both = (validation.targets == 1).any(axis=0) & (validation.targets == 0).any(axis=0)
    if recipe.select_by == "val_auc" and not both.any():
        raise DatasetError(
            "select_by val_auc: no label has both a positive and a negative in validation; take val_loss"
        )


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


def _start(network: nn.Module, recipe: Recipe, steps: int, device: str) -> State:
    # channels last: the same function, 1.25 times as fast on CPUs
    network.to(device=device, memory_format=torch.channels_last)
    chosen, schedule = recipe.optimizer, recipe.scheduler
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[chosen["name"]]
    more = {"momentum": 0.9} if chosen["name"] == "sgd" else {}
    optimizer = kind(network.parameters(), lr=chosen["lr"], weight_decay=chosen["weight_decay"], **more)
    scheduler = None
    if schedule["name"] == "plateau":
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
            optimizer, factor=schedule["factor"], patience=schedule["patience"]
        )
    elif schedule["name"] == "onecycle":
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=chosen["lr"], total_steps=recipe.epochs * steps, pct_start=schedule["warmup"]
        )
    scaler = torch.amp.GradScaler(torch.device(device).type, enabled=recipe.precision == "float16")
    return State(network, optimizer, scheduler, scaler)


def _epoch(
    state: State, train: Examples, validation: Examples, recipe: Recipe, seed: int, weights: Tensor
) -> None:
    """One pass over `train`, one over `validation`; `state` becomes that after it."""
    epoch = state.epoch + 1
    train_loss = _pass(state, train, recipe, generator(seed, "augment", epoch), weights)
    val_loss, val_auc = _judge(state.network, validation, recipe.batch, weights)
    if not np.isfinite(train_loss + val_loss):
        raise ConfigError(
            f"training diverged in epoch {epoch} (training loss {train_loss}, validation loss {val_loss}): "
            f"lower optimizer.lr (now {recipe.optimizer['lr']}), set optimizer.clip (for example 1), "
            f"or take precision float32 (now {recipe.precision})"
        )
    rate = float(state.optimizer.param_groups[0]["lr"])
    quantities = {"train_loss": train_loss, "val_loss": val_loss, "val_auc": val_auc, "learning_rate": rate}
    state.curves += [[epoch, quantity, value] for quantity, value in quantities.items()]
    state.epoch = epoch
    value = quantities[recipe.select_by]
    sign = -1 if recipe.select_by == "val_loss" else 1
    if state.best_value is None or sign * value > sign * state.best_value:
        state.best_value, state.best_epoch = value, epoch
        state.best_state = {
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in state.network.state_dict().items()
        }
    if isinstance(state.scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        state.scheduler.step(val_loss)


def _judge(
    network: nn.Module, validation: Examples, batch: int, weights: Tensor
) -> tuple[float, float | None]:
    """Validation loss, and the mean AUC of the labels that have one (None where none has)."""
    said = logits(network, validation, batch, weights.device)
    loss, _ = masked_loss(
        torch.from_numpy(said).double(), torch.from_numpy(validation.targets), weights.cpu()
    )
    aucs = [auc(value, logit) for value, logit in zip(validation.targets.T, said.T)]
    defined = [value for value in aucs if not np.isnan(value)]
    return float(loss), float(np.mean(defined)) if defined else None


def _pass(
    state: State, train: Examples, recipe: Recipe, drawn: np.random.Generator, weights: Tensor
) -> float:
    """The mean loss over known labels of one pass in shuffled batches; the weights follow its gradients."""
    network, device = state.network.train(), weights.device
    torch.manual_seed(derived_seed(int(drawn.integers(2**62)), "dropout"))  # for architectures that draw
    order = drawn.permutation(len(train))
    total, known = 0.0, 0.0
    for start in range(0, len(order), recipe.batch):
        indices = order[start : start + recipe.batch]
        if len(indices) == 1 and len(order) > 1:
            continue  # batch normalisation has no variance of one image
        images = training_input(train.pixels(indices), recipe.side, recipe.augmentation, drawn, device)
        targets = torch.from_numpy(train.targets[indices]).to(device)
        with torch.autocast(
            device.type, getattr(torch, recipe.precision), enabled=recipe.precision != "float32"
        ):
            output = network(images.contiguous(memory_format=torch.channels_last))
        loss, count = masked_loss(output.float(), targets, weights)
        _step(state, loss, recipe.optimizer["clip"])
        total, known = total + loss.item() * count.item(), known + count.item()
        if not np.isfinite(total):
            break
    return total / max(known, 1.0)


def _step(state: State, loss: Tensor, clip: float | None) -> None:
    state.optimizer.zero_grad()
    state.scaler.scale(loss).backward()
    if clip is not None:
        state.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(state.network.parameters(), clip)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    if isinstance(state.scheduler, torch.optim.lr_scheduler.OneCycleLR):
        state.scheduler.step()


def _waited_out(state: State, recipe: Recipe) -> bool:
    return recipe.patience is not None and state.epoch - state.best_epoch >= recipe.patience


def _said(state: State, recipe: Recipe) -> str:
    last = {quantity: value for epoch, quantity, value in state.curves if epoch == state.epoch}
    numbers = ", ".join(
        f"{name} {'undefined' if v is None else format(v, '.4g')}" for name, v in last.items()
    )
    return f"epoch {state.epoch} of {recipe.epochs}: {numbers}; best so far: epoch {state.best_epoch}"
