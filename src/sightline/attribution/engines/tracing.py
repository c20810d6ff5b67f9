"""How a network's code is recorded as a graph, and how writing in place becomes making anew."""

from __future__ import annotations

import inspect
import operator
import sys
from collections.abc import Callable

import torch
from torch import fx, nn
from torch.nn import functional

from sightline.errors import NotApplicable

# what tracing raises where the code branches on values, unpacks tensors or asks for their type
UNTRACEABLE = (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError)

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

SHAPES = {"size", "dim", "numel", "ndimension", "_shape_as_tensor"}


class _Proxy(fx.Proxy):
    """As fx's, but `x += y` is recorded as what it is, not as `x = x + y`."""


def _record(function: Callable) -> Callable:
    def method(self: _Proxy, other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return method


for _function in INPLACE:
    setattr(_Proxy, f"__{_function.__name__}__", _record(_function))


class Tracer(fx.Tracer):
    """Traces into every module but torch's own; one that cannot be traced stays whole."""

    def __init__(self) -> None:
        layers = sys.modules.get("timm.layers")  # timm names its functions that branch on shapes
        super().__init__(autowrap_functions=tuple(layers.get_notrace_functions()) if layers else ())
        self.called: set[str] = set()
        self.ends: set[fx.Node] = set()  # nodes that only carry the name of a module that was traced into

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """A proxy that records writing in place."""
        return _Proxy(node, self)

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> object:
        """Trace into a module; where that fails, call it whole."""
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


def prune(graph: fx.Graph) -> None:
    """Without assertions about shapes, without what nothing uses, without arguments that have defaults."""
    for node in reversed(list(graph.nodes)):
        asserts = node.op == "call_function" and "assert" in getattr(node.target, "__name__", "")
        extra = node.op == "placeholder" and node.prev.op == "placeholder"
        unused = not node.users and node.op in ("call_function", "get_attr") and not _writes(node, None)
        if asserts or unused or (extra and not node.users):
            graph.erase_node(node)


# ---- what a node calls


def name_of(node: fx.Node) -> str:
    """The name of what a node calls, the same for function, method and operator, in place or not."""
    target = INPLACE.get(node.target, node.target)
    name = target if isinstance(target, str) else POOLS.get(target, getattr(target, "__name__", str(target)))
    return name.removesuffix("_") if not name.startswith("_") else name


def gives_shape(node: fx.Node) -> bool:
    """Whether a node is about a tensor's shape, not its values."""
    if node.op == "call_method":
        return node.target in SHAPES
    if node.op != "call_function":
        return False
    if node.target is getattr:
        return node.args[1] in ("shape", "ndim", "device", "dtype", "is_cuda")
    return False


# ---- in place


def out_of_place(graph: fx.Graph, modules: dict[str, nn.Module]) -> None:
    """Turn calls that write into their input into calls that do not; what sees it later sees the result.

    `modules` are those that the graph calls, by name. Raises `NotApplicable` where another tensor that shares
    the memory is used afterwards.
    """
    order = {node: index for index, node in enumerate(graph.nodes)}
    for node in list(graph.nodes):
        writes = _writes(node, modules)
        if writes:
            written = node.args[0]
            for alias in _aliases(written, modules):
                if any(order[user] > order[node] for user in alias.users):
                    raise NotApplicable(f"'{node}' writes into a tensor that '{alias}' sees too")
            for user in [user for user in written.users if order[user] > order[node]]:
                user.replace_input_with(written, node)
        if "out" in node.kwargs:
            raise NotApplicable(f"'{node}' writes into a tensor given as `out`")
        if node.op == "call_function":
            node.target = INPLACE.get(node.target, _anew(node.target))
        elif node.op == "call_method" and writes:
            node.target = name_of(node)
        if "inplace" in node.kwargs:
            node.kwargs = {key: value for key, value in node.kwargs.items() if key != "inplace"}


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
    return gives_shape(node)


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
