"""A network's graph, rewritten so that every use of an activation has a module of its own, nothing in place.

Rules that replace an activation's derivative (guided backpropagation, DeepLIFT, relevance) are hung on
modules: with a ReLU that is used twice, called as a function, or in place, they are silently skipped or
mixed up. The rewritten network gives the same outputs to the bit and shares its weights with the given one.
"""

from __future__ import annotations

import copy
import inspect
import operator
from collections import Counter
from collections.abc import Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from sightline.attribution.engines.tracing import (
    UNTRACEABLE,
    VIEW_MODULES,
    VIEWS,
    Tracer,
    gives_shape,
    name_of,
    out_of_place,
    prune,
)  # fmt: skip
from sightline.errors import NotApplicable

# functions and tensor methods by name -> their module, and the names of the arguments after the input
POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
MODULES: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ()),
    "relu6": (nn.ReLU6, ()),
    "leaky_relu": (nn.LeakyReLU, ("negative_slope",)),
    "elu": (nn.ELU, ("alpha",)),
    "selu": (nn.SELU, ()),
    "celu": (nn.CELU, ("alpha",)),
    "gelu": (nn.GELU, ("approximate",)),
    "silu": (nn.SiLU, ()),
    "mish": (nn.Mish, ()),
    "softplus": (nn.Softplus, ("beta", "threshold")),
    "sigmoid": (nn.Sigmoid, ()),
    "logsigmoid": (nn.LogSigmoid, ()),
    "tanh": (nn.Tanh, ()),
    "hardtanh": (nn.Hardtanh, ("min_val", "max_val")),
    "hardswish": (nn.Hardswish, ()),
    "hardsigmoid": (nn.Hardsigmoid, ()),
    "max_pool1d": (nn.MaxPool1d, POOL),
    "max_pool2d": (nn.MaxPool2d, POOL),
    "max_pool3d": (nn.MaxPool3d, POOL),
}

# what is affine in its tensor input in evaluation mode
AFFINE_MODULES = (
    nn.modules.conv._ConvNd, nn.Linear, nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd, nn.Upsample, nn.PixelShuffle, nn.modules.padding._ConstantPadNd,
    nn.modules.padding._ReflectionPadNd, nn.modules.padding._ReplicationPadNd, *VIEW_MODULES
)  # fmt: skip
AFFINE = VIEWS | {
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "add", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "cat", "clone", "concat", "conv1d", "conv2d", "conv3d", "dropout1d", "dropout2d",
    "dropout3d", "expand_as", "interpolate", "linear", "mean", "neg", "pad", "repeat", "roll", "stack",
    "stochastic_depth", "sub", "sum", "upsample"
}  # fmt: skip
# affine where only one of the tensors depends on the image
BILINEAR = {
    "mul": "product", "multiply": "product", "matmul": "product", "bmm": "product", "einsum": "product",
    "truediv": "quotient", "div": "quotient"
}  # fmt: skip


class Output(nn.Identity):
    """Stands at the end of a module that was traced into: it has its name, its parts and its output."""


def unshared(network: nn.Module) -> fx.GraphModule:
    """The network as a graph in which every use of an activation is an `nn` module of its own, not in place.

    Outputs are equal to the bit; parameters and buffers are the given network's own tensors; the given
    network and its hooks stay untouched. Every module of the network that gives one tensor is there under
    its name, so that hooks reach it (a module used more than once: its last use; earlier uses have names
    ending in `_use1`, `_use2`, ...). Raises `NotApplicable` where the network cannot be traced (its code
    branches on values) or writes into a tensor that something else sees, and `ValueError` in training mode.
    """
    if network.training:
        raise ValueError("the graph is that of evaluation; call network.eval() first")
    tracer = Tracer()
    given = list(inspect.signature(network.forward).parameters.values())[1:]
    defaults = {one.name: one.default for one in given if one.default is not one.empty}
    try:
        graph = tracer.trace(network, concrete_args=defaults)
    except UNTRACEABLE as error:
        raise NotApplicable(
            f"the network's graph cannot be traced: {type(error).__name__}: {error}"
        ) from error
    prune(graph)
    modules = {name: network.get_submodule(name) for name in tracer.called}
    out_of_place(graph, modules)
    for node in graph.nodes:
        module = _module(node) or _normalisation(node, network)
        if module is not None:
            node.op, node.target = "call_module", _free(node.name, modules)
            modules[node.target] = module
            node.args, node.kwargs = node.args[:1], {}
    prune(graph)
    targets: dict[str, object] = {}
    uses = Counter(node.target for node in graph.nodes if node.op == "call_module")
    seen: Counter = Counter()
    for node in list(graph.nodes):
        if node.op == "get_attr":
            targets[node.target] = operator.attrgetter(node.target)(network)
        elif node.op == "call_module":
            name = node.target
            seen[name] += 1
            if seen[name] < uses[name]:
                node.target = f"{name}_use{seen[name]}"
            targets[node.target] = Output() if node in tracer.ends else _sharing(modules[name])
    graph.lint()
    return fx.GraphModule(targets, graph, type(network).__name__).eval()


def verify(traced: fx.GraphModule, network: nn.Module, images: Tensor) -> fx.GraphModule:
    """The traced graph, once shown to give the network's outputs to the bit on one of `images` (B, C, *S).

    Tracing cannot see code that asks whether a value is a tensor, or a branch on what only a real image
    shows. Raises `NotApplicable` where the outputs differ. A second call costs nothing.
    """
    if not traced.meta.get("verified"):
        with torch.no_grad():
            expected = network.forward(images[:1].clone())  # not a counted pass
            try:
                equal = _equal(traced.forward(images[:1].clone()), expected)
            except (torch.OutOfMemoryError, torch.AcceleratorError):
                raise
            except UNTRACEABLE as error:
                raise NotApplicable(f"the network's graph, as traced, does not run: {error}") from error
        if not equal:
            raise NotApplicable("the network's graph, as traced, gives other outputs than the network")
        traced.meta["verified"] = True
    return traced


def _equal(a: object, b: object) -> bool:
    if isinstance(b, Tensor):
        return isinstance(a, Tensor) and torch.equal(a, b)
    if isinstance(b, dict):
        a, b = list(a.values()), list(b.values())
    return len(a) == len(b) and all(_equal(one, other) for one, other in zip(a, b))


def activations(network: nn.Module) -> Counter[str]:
    """How often the network uses what is not affine in its image, by kind: relu, maxpool2d, product ...

    A kind is the module's class or the function's name in lower case. `product` and `quotient` are those of
    two tensors that both depend on the image (attention, squeeze and excitation), `opaque <class>` a module
    that could not be traced into. Empty for an affine network. Raises as `unshared`.
    """
    traced = network if isinstance(network, fx.GraphModule) else unshared(network)
    return Counter(kind for _, kind in _not_affine(traced))


def nodes(traced: fx.GraphModule, kind: str) -> list[fx.Node]:
    """The nodes of `traced` that `activations` counts as `kind`, in order."""
    return [node for node, one in _not_affine(traced) if one == kind]


def dependent(traced: fx.GraphModule) -> dict[fx.Node, int]:
    """The nodes whose values depend on the image, in order, with how many of their arguments do.

    One that is given twice counts twice: x * x is no more affine than x * y.
    """
    found: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            found[node] = 0
        elif node.op not in ("get_attr", "output") and not gives_shape(node):
            given: list[fx.Node] = []
            fx.node.map_arg((node.args, node.kwargs), given.append)
            count = sum(one in found for one in given)
            if count:
                found[node] = count
    return found


def _not_affine(traced: fx.GraphModule) -> Iterator[tuple[fx.Node, str]]:
    for node in (depends := dependent(traced)):
        kind = None if node.op == "placeholder" else _kind(node, traced, depends)
        if kind is not None:
            yield node, kind


def kind_of(module: nn.Module) -> str | None:
    """The kind of a module that is not affine in evaluation mode; None for one that is."""
    name = type(module).__name__
    if not type(module).__module__.startswith("torch.nn") and not isinstance(module, Output):
        return f"opaque {name}"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return None if module.running_mean is not None else "batch_statistics"
    return None if isinstance(module, AFFINE_MODULES) else name.lower()


def _kind(node: fx.Node, traced: fx.GraphModule, depends: dict[fx.Node, int]) -> str | None:
    if node.op == "call_module":
        return kind_of(traced.get_submodule(node.target))
    name = name_of(node)
    if name in BILINEAR:
        over = BILINEAR[name] == "quotient" and len(node.args) > 1 and node.args[1] in depends
        return BILINEAR[name] if depends[node] > 1 or over else None
    return None if name in AFFINE else name


def _module(node: fx.Node) -> nn.Module | None:
    """The module that does what a node's call of a function or method does; None where there is none."""
    name = name_of(node) if node.op in ("call_function", "call_method") else ""
    if name in ("clamp", "clamp_min"):
        values = {**dict(zip(("min", "max"), node.args[1:])), **node.kwargs}
        zero = values.get("min") == 0 and values.get("max") is None
        return nn.ReLU() if zero else None
    if name not in MODULES:
        return None
    made, names = MODULES[name]
    values = {**dict(zip(names, node.args[1:])), **node.kwargs}
    values = {key: value for key, value in values.items() if key in names}
    if any(isinstance(value, fx.Node) for value in values.values()):
        return None
    return made(**values)


def _normalisation(node: fx.Node, network: nn.Module) -> nn.Module | None:
    """The module of a batch normalisation that is called as a function with a module's tensors (timm)."""
    if node.op != "call_function" or node.target is not functional.batch_norm:
        return None
    names = ("x", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
    given = {**dict(zip(names, node.args)), **node.kwargs}
    owner = _owner(given.get("running_mean"), network)
    if owner is None or given.get("training"):
        return None
    base = next(one for one in type(owner).__mro__ if one.__module__.startswith("torch.nn"))
    module = base(owner.num_features, eps=given.get("eps", 1e-5), affine=owner.affine).eval()
    module._parameters, module._buffers = dict(owner._parameters), dict(owner._buffers)
    return module


def _owner(node: object, network: nn.Module) -> nn.Module | None:
    """The batch normalisation whose tensor a node reads."""
    if not isinstance(node, fx.Node) or node.op != "get_attr":
        return None
    module = network.get_submodule(node.target.rpartition(".")[0])
    return module if isinstance(module, nn.modules.batchnorm._BatchNorm) else None


def _free(name: str, taken: dict[str, nn.Module]) -> str:
    """A module name that no other has: the node's, with a number where needed."""
    tops = {key.split(".")[0] for key in taken}
    number, found = 1, name
    while found in tops:
        found, number = f"{name}_{number}", number + 1
    return found


def _sharing(module: nn.Module) -> nn.Module:
    """A copy with the same parameter and buffer tensors, never in place."""
    tensors: list[Tensor] = [*module.parameters(), *module.buffers()]
    made = copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
    for part in made.modules():
        if hasattr(part, "inplace"):
            part.inplace = False
    return made
