"""What explaining will cost, before it is paid: a network's speed, measured, times the passes of a method."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor, nn

from sightline.attribution import batches
from sightline.attribution.engines.cam import leaves
from sightline.attribution.explained import Cost, Explained, NotApplicable
from sightline.attribution.maps import FAILURES, MACHINE, Method
from sightline.attribution.probing import Probe
from sightline.attribution.targets import Choice, Targets, classes, no_class
from sightline.frames import Frame

REPEATS = 3  # of each measurement; the shortest counts
FEW = 4  # rows
VALUE_BYTES = 4  # maps are kept as float32


# ---- how fast a network is


@dataclass(frozen=True)
class Speed:
    """Seconds and bytes that one row (an image of `shape`, (C, [D,] H, W)) takes on the network's device.

    `backward` leads from the outputs to where gradients are asked for. `graph_bytes` are those that a pass
    keeps for it, `pass_bytes` those that a pass without it holds at once: input and output of its largest
    module. Weights aside.
    """

    shape: tuple[int, ...]
    forward: float
    backward: float
    graph_bytes: float
    pass_bytes: float

    def times(self, shape: tuple[int, ...]) -> float:
        """How much more an image of `shape` takes: in proportion to its pixels."""
        return prod(shape) / prod(self.shape)


def measured(model: Explained, shape: tuple[int, ...], layers: Sequence[str] = ()) -> Speed:
    """The speed of `model` on noise of `shape`: the shortest of a few passes each.

    A micro-batch at once on a GPU; a few rows on a CPU, where more of them are no faster. `layers` are those
    at whose outputs the gradients end; none: at the image.
    """
    generator = torch.Generator().manual_seed(0)
    rows = min(model.micro_batch, FEW) if model.device.type == "cpu" else model.micro_batch
    pixels = torch.randn((rows, *shape), generator=generator).to(model.device)
    model.passes.input_shape = shape
    modules = model.modules(layers)
    with torch.no_grad():
        forward = min(_seconds(model, lambda: model.network(pixels))[0] for _ in range(REPEATS))
        most = _largest_module(model.network, pixels)
    backward, graph = zip(*(_backward(model, pixels, modules) for _ in range(REPEATS)))
    return Speed(tuple(shape), forward / rows, min(backward) / rows, graph[0] / rows, most / rows)


def _seconds(model: Explained, work: Callable[[], object]) -> tuple[float, object]:
    """Wall seconds of `work()` on the model's device, and its result."""
    cuda = model.device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(model.device)
    start = time.perf_counter()
    result = work()
    if cuda:
        torch.cuda.synchronize(model.device)
    return time.perf_counter() - start, result


def _backward(model: Explained, pixels: Tensor, modules: dict[str, nn.Module]) -> tuple[float, int]:
    """Seconds from the outputs back to `modules` (none: the image), and the bytes kept for it."""
    own = [*model.network.parameters(), *model.network.buffers()]
    weights = {one.untyped_storage().data_ptr() for one in own}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    image = pixels.clone().requires_grad_(not modules)
    with torch.enable_grad(), leaves(modules) as found:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            outputs = model.network(image)
        starts = list(found.values()) if modules else [image]
        if not outputs.requires_grad:
            raise NotApplicable("the outputs have no gradient there")
        seconds, _ = _seconds(model, lambda: torch.autograd.grad(outputs.sum(), starts, allow_unused=True))
    return seconds, sum(kept.values())


def _largest_module(network: nn.Module, pixels: Tensor) -> int:
    """The most bytes that input and output of one of the network's modules have together."""
    most = 0

    def look(_module: nn.Module, inputs: tuple, output: object) -> None:
        nonlocal most
        held = [one for one in (*inputs, output) if isinstance(one, Tensor)]
        most = max(most, sum(one.numel() * one.element_size() for one in held))

    innermost = [module for module in network.modules() if not list(module.children())]
    handles = [module.register_forward_hook(look) for module in innermost]
    try:
        network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return most


# ---- what is to be explained


@dataclass(frozen=True)
class Part:
    """`images` of one shape (C, [D,] H, W), a pass of which serves `targets` targets; `kept` maps in all."""

    shape: tuple[int, ...]
    targets: int
    images: int
    kept: int


def most_targets(choice: Choice, references: int) -> Callable[[str], int]:
    """How many targets an image has at most, before outputs are known; there are `references` images."""
    labels = len(choice.labels)

    def of(image: str) -> int:
        positives = int((choice.truth(image) == 1).sum())
        return positives if choice.kind == "labelled" else min(1 + positives, labels)

    same = {
        "predicted": 1,
        "classes": len(choice.classes),
        "neuron": len(choice.units),
        "similarity": references if choice.gallery == "each" else 1,
    }
    if choice.kind in ("labelled", "predicted_and_labelled"):
        return of
    return lambda _image: same.get(choice.kind, labels)


def parts(shapes: Mapping[str, tuple[int, ...]], most: Callable[[str], int], size: int) -> list[Part]:
    """Images (id -> (C, [D,] H, W)) in the batches of at most `size` in which they are explained, like ones
    together. `most(image)` is how many targets an image has at most."""
    images, kept = Counter(), Counter()
    frames = {image: Frame.of_image(shape[1:]) for image, shape in shapes.items()}
    for batch in batches.plan(frames, size):
        counts = [most(image) for image in batch.images]
        like = (shapes[batch.images[0]], max(1, *counts))
        images[like] += len(counts)
        kept[like] += sum(counts)
    return [Part(*like, images[like], kept[like]) for like in images]


# ---- what a method takes


@dataclass(frozen=True)
class Planned:
    """What some images cost: rows forwards and backwards in all, seconds, the most memory that passes hold at
    once (the program and the weights aside) and storage; nothing where `status` is not ok, for a reason."""

    images: int
    forwards: float = 0.0
    backwards: float = 0.0
    seconds: float = 0.0
    memory_bytes: float = 0.0
    storage_bytes: float = 0.0
    status: str = "ok"
    reason: str | None = None


def ends_of(method: Method) -> tuple[str, ...]:
    """The layers at which the gradients of `method` end; none: at the image.

    Methods whose values lie on the cells of layers that they name go no further back.
    """
    on_layers = method.module.GRID == "layer"
    return tuple(method.options.get("layers", ())) if on_layers else ()


def of_method(
    method: Method,
    model: Explained,
    parts: Sequence[Part],
    batch: int,
    speed: Callable[[tuple[str, ...]], Speed],
    asks_outputs: bool = False,
) -> Planned:
    """What `method` takes for `parts`, in batches of at most `batch` images.

    `speed(layers)` gives the network's, gradients ending at `layers`. `asks_outputs` says that a forward goes
    before, to choose the targets by. A method that is not applicable, or whose cost cannot be told, costs
    nothing and says why.
    """

    def costs(part: Part) -> tuple[Cost, int]:
        per_target = method.module.PER_TARGET
        targets = _some(model, part.targets) if per_target else no_class()
        reason = method.module.check(model, targets, **method.options)
        if reason:
            raise NotApplicable(reason)
        cost = method.module.cost(model, part.shape, targets.count, **method.options)
        ahead = int(asks_outputs and per_target)
        kept = cost.values * (part.kept / targets.count if per_target else part.images)
        return Cost(cost.forwards + ahead, cost.backwards, cost.rows, cost.values), kept

    return _planned(model, parts, batch, lambda: speed(ends_of(method)), costs)


def _some(model: Explained, count: int) -> Targets:
    """As many targets as there will be; which ones does not change what they cost."""
    return classes(model.labels, [model.labels[index % len(model.labels)] for index in range(count)])


def of_probe(
    probe: Probe,
    method: Method,
    model: Explained,
    parts: Sequence[Part],
    batch: int,
    speed: Callable[[tuple[str, ...]], Speed],
) -> Planned:
    """What `probe` takes for one map of `method` of each image of `parts`; it keeps no map."""

    def costs(part: Part) -> tuple[Cost, int]:
        explain = method.module.cost(model, part.shape, 1, **method.options)
        once, again = (probe.module.passes(passes, 1, **probe.options) for passes in (0, 1))
        forwards = once + (again - once) * explain.forwards
        rows = max(explain.rows, model.micro_batch)
        return Cost(forwards, (again - once) * explain.backwards, rows, 0), 0

    return _planned(model, parts, batch, lambda: speed(ends_of(method)), costs)


def _planned(
    model: Explained,
    parts: Sequence[Part],
    batch: int,
    speed: Callable[[], Speed],
    costs: Callable[[Part], tuple[Cost, float]],
) -> Planned:
    images = sum(part.images for part in parts)
    forwards = backwards = seconds = memory = stored = 0.0
    try:
        for part in parts:
            model.passes.input_shape = part.shape
            cost, values = costs(part)
            one = speed()
            size = one.times(part.shape)
            forwards += part.images * cost.forwards
            backwards += part.images * cost.backwards
            each = cost.forwards * one.forward + cost.backwards * one.backward
            seconds += part.images * size * each
            # what holds fewer rows of an image than a micro-batch takes a batch's images together
            rows = cost.rows if cost.rows >= model.micro_batch else cost.rows * min(batch, part.images)
            memory = max(memory, rows * size * max(one.pass_bytes, one.graph_bytes if cost.backwards else 0))
            stored += VALUE_BYTES * values
    except NotApplicable as reason:
        return Planned(images, status="not_applicable", reason=str(reason))
    except MACHINE:
        raise
    except FAILURES as error:
        return Planned(images, status="failed", reason=f"{type(error).__name__}: {error}")
    return Planned(images, forwards, backwards, seconds, memory, stored)
