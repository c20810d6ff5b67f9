"""A network's graph, rewritten so that every use of an activation has a module of its own, nothing in place.

Rules that replace an activation's derivative (guided backpropagation, DeepLIFT, relevance) are hung on
modules: with a ReLU that is used twice, called as a function, or in place, they are silently skipped or
mixed up. The rewritten network gives the same outputs to the bit and shares its weights with the given one.
"""

from __future__ import annotations

import copy
import inspect
import operator
import sys
from collections import Counter
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from sightline.attribution.explained import NotApplicable

# what tracing raises where the code branches on values, unpacks tensors or asks for their type
UNTRACEABLE = (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError)

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
POOLS = {getattr(functional, f"max_pool{d}d"): f"max_pool{d}d" for d in (1, 2, 3)}
INPLACE = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
}
# operations whose result may be, or look into, their input's memory
VIEWS = {
    "chunk", "contiguous", "detach", "diagonal", "dropout", "expand", "flatten", "float", "getitem",
    "movedim", "narrow", "permute", "reshape", "select", "split", "squeeze", "swapaxes", "t", "to",
    "transpose", "unbind", "unflatten", "unfold", "unsqueeze", "view"
}  # fmt: skip
VIEW_MODULES = (nn.Identity, nn.Flatten, nn.Unflatten, nn.modules.dropout._DropoutNd)

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
SHAPES = {"size", "dim", "numel", "ndimension", "_shape_as_tensor"}


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
    tracer = _Tracer()
    given = list(inspect.signature(network.forward).parameters.values())[1:]
    defaults = {one.name: one.default for one in given if one.default is not one.empty}
    try:
        graph = tracer.trace(network, concrete_args=defaults)
    except UNTRACEABLE as error:
        raise NotApplicable(
            f"the network's graph cannot be traced: {type(error).__name__}: {error}"
        ) from error
    _prune(graph)
    modules = {name: network.get_submodule(name) for name in tracer.called}
    made = _out_of_place(graph, modules)
    made |= _normalisations(graph, network)
    for node, module in made.items():
        node.op, node.target = "call_module", _free(node.name, modules)
        modules[node.target] = module
        node.args, node.kwargs = node.args[:1], {}
    _prune(graph)
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
            expected = network.forward(images[:1])  # not a counted pass
            try:
                equal = _equal(traced.forward(images[:1]), expected)
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
    """The nodes whose values depend on the image, in order, with how many of their inputs do."""
    found: dict[fx.Node, int] = {}
    for node in traced.graph.nodes:
        if node.op == "placeholder":
            found[node] = 0
        elif node.op not in ("get_attr", "output") and not _gives_shape(node):
            count = sum(one in found for one in node.all_input_nodes)
            if count:
                found[node] = count
    return found


def _not_affine(traced: fx.GraphModule) -> Iterator[tuple[fx.Node, str]]:
    depends = dependent(traced)
    for node in depends:
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


def name_of(node: fx.Node) -> str:
    """The name of what a node calls, the same for function, method and operator, in place or not."""
    target = INPLACE.get(node.target, node.target)
    name = target if isinstance(target, str) else POOLS.get(target, getattr(target, "__name__", str(target)))
    return name.removesuffix("_") if not name.startswith("_") else name


def _gives_shape(node: fx.Node) -> bool:
    """Whether a node is about a tensor's shape, not its values."""
    if node.op == "call_method":
        return node.target in SHAPES
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim", "device", "dtype", "is_cuda")
    return False


# ---- tracing


class _Proxy(fx.Proxy):
    """As fx's, but `x += y` is recorded as what it is, not as `x = x + y`."""


def _record(function: Callable) -> Callable:
    def method(self: _Proxy, other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _function in INPLACE:
    setattr(_Proxy, f"__{_function.__name__}__", _record(_function))


class _Tracer(fx.Tracer):
    """Traces into every module but torch's own; one that cannot be traced stays whole."""

    def __init__(self) -> None:
        layers = sys.modules.get("timm.layers")  # timm names its functions that branch on shapes
        super().__init__(autowrap_functions=tuple(layers.get_notrace_functions()) if layers else ())
        self.called: set[str] = set()
        self.ends: set[fx.Node] = set()  # nodes that only carry the name of a module that was traced into

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        name = self.path_of_module(m)
        before, stack = list(self.graph.nodes), self.module_stack.copy()
        self.called.add(name)
        try:
            result = super().call_module(m, forward, args, kwargs)
        except UNTRACEABLE:
            for node in reversed(list(self.graph.nodes)[len(before) :]):
                self.ends.discard(node)
                self.graph.erase_node(node)
            self.module_stack = stack
            return self.create_proxy("call_module", name, args, kwargs)
        if not self.is_leaf_module(m, name) and isinstance(result, fx.Proxy):
            result = self.create_proxy("call_module", name, (result,), {})
            self.ends.add(result.node)
        return result


def _prune(graph: fx.Graph) -> None:
    """Without assertions about shapes, without what nothing uses, without arguments that have defaults."""
    for node in reversed(list(graph.nodes)):
        asserts = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
        extra = node.op == "placeholder" and node.prev.op == "placeholder"
        unused = not node.users and node.op in ("call_function", "get_attr") and not _writes(node, None)
        if asserts or unused or (extra and not node.users):
            graph.erase_node(node)


# ---- in place


def _out_of_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> dict[fx.Node, nn.Module]:
    """Turn writing in place into making anew; returns the modules that calls of functions become."""
    order = {node: index for index, node in enumerate(graph.nodes)}
    made: dict[fx.Node, nn.Module] = {}
    for node in list(graph.nodes):
        if _writes(node, modules):
            written = node.args[0]
            for alias in _aliases(written, modules):
                if any(order[user] > order[node] for user in alias.users):
                    raise NotApplicable(f"'{node}' writes into a tensor that '{alias}' sees too")
            later = [user for user in written.users if order[user] > order[node]]
            for user in later:  # they see what was written
                user.replace_input_with(written, node)
        if node.op in ("call_function", "call_method"):
            if "out" in node.kwargs:
                raise NotApplicable(f"'{node}' writes into a tensor given as `out`")
            name = name_of(node)
            if node.op == "call_function":
                node.target = INPLACE.get(node.target, _anew(node.target))
            else:
                node.target = name if _writes(node, modules) else node.target
            if "inplace" in node.kwargs:
                node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}
            module = _module(node, name)
            if module is not None:
                made[node] = module
    return made


def _writes(node: fx.Node, modules: dict[str, nn.Module] | None) -> bool:
    """Whether the original wrote into the node's first argument."""
    if not node.args or not isinstance(node.args[0], fx.Node) or _is_number(node.args[0]):
        return False
    if node.op == "call_module":
        module = (modules or {}).get(node.target)
        return bool(getattr(module, "inplace", False)) and not isinstance(module, VIEW_MODULES)
    if node.op == "call_function":
        name = getattr(node.target, "__name__", "")
        named = node.target in INPLACE or (name.endswith("_") and not name.startswith("_"))
        return named or (bool(_inplace_argument(node)) and "dropout" not in name)
    return node.op == "call_method" and node.target.endswith("_") and not node.target.startswith("_")


def _inplace_argument(node: fx.Node) -> bool:
    if "inplace" in node.kwargs:
        return bool(node.kwargs["inplace"])
    try:
        names = list(inspect.signature(node.target).parameters)
    except (TypeError, ValueError):  # a builtin: these have no such argument
        return False
    return "inplace" in names and bool(dict(zip(names, node.args)).get("inplace", False))


def _anew(function: Callable) -> Callable:
    """The function that does not write in place, for one whose name ends with an underscore."""
    name = getattr(function, "__name__", "")
    if not name.endswith("_") or name.startswith("_"):
        return function
    return getattr(torch, name[:-1], None) or getattr(functional, name[:-1])


def _is_number(node: fx.Node) -> bool:
    """Whether a node is a size, not a tensor."""
    while (
        node.op == "call_function" and node.target is operator.getitem and isinstance(node.args[0], fx.Node)
    ):
        node = node.args[0]
    return _gives_shape(node)


def _aliases(node: fx.Node, modules: dict[str, nn.Module]) -> set[fx.Node]:
    """The other nodes that may share the node's memory."""

    def views(one: fx.Node) -> bool:
        if one.op == "call_module":
            module = modules[one.target]
            return isinstance(module, VIEW_MODULES) or bool(list(module.children()))
        return one.op in ("call_function", "call_method") and name_of(one) in VIEWS

    found, todo = {node}, [node]
    while todo:
        one = todo.pop()
        near = [user for user in one.users if views(user)] + (one.all_input_nodes if views(one) else [])
        todo += [other for other in near if other not in found]
        found.update(near)
    return found - {node}


def _module(node: fx.Node, name: str) -> nn.Module | None:
    """The module that does what a node's call does; None where there is none."""
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


def _normalisations(graph: fx.Graph, network: nn.Module) -> dict[fx.Node, nn.Module]:
    """The modules of batch normalisations that are called as functions with a module's tensors."""
    made: dict[fx.Node, nn.Module] = {}
    for node in graph.nodes:
        if node.op != "call_function" or node.target is not functional.batch_norm:
            continue
        names = ("x", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
        given = {**dict(zip(names, node.args)), **node.kwargs}
        owner = _owner(given.get("running_mean"), network)
        if owner is None or given.get("training"):
            continue
        base = next(one for one in type(owner).__mro__ if one.__module__.startswith("torch.nn"))
        module = base(owner.num_features, eps=given.get("eps", 1e-5), affine=owner.affine).eval()
        module._parameters, module._buffers = dict(owner._parameters), dict(owner._buffers)
        made[node] = module
    return made


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
