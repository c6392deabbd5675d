"""A network as TensorBoard draws it: one box a layer, one arrow a tensor.

Read off by symbolic tracing: `forward` runs once on placeholders, in milliseconds; no weight is read and nothing is
computed. (`SummaryWriter.add_graph` records a forward pass with torch.jit.trace: deprecated, and a second or more.)
"""

from collections import Counter

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.versions_pb2 import VersionDef
from torch import fx, nn
from torch.random import fork_rng


def graph_of(net: nn.Module) -> GraphDef:
    """Boxes nest as the modules do: `layer1/0/conv1`. Raises what tracing raises if `forward` looks at values."""
    with fork_rng(devices=[]):
        traced = _Layers().trace(net)
    modules = dict(net.named_modules())
    names: dict[fx.Node, str] = {}
    seen: Counter[str] = Counter()
    graph = GraphDef(versions=VersionDef(producer=22))
    for node in traced.nodes:
        name = _place(node)
        seen[name] += 1
        names[node] = name if seen[name] == 1 else f"{name}_{seen[name]}"  # called more than once
        box = NodeDef(name=names[node], op=node.op, input=[names[each] for each in node.all_input_nodes])
        if node.op == "call_module":
            layer = modules[str(node.target)]
            box.op = type(layer).__name__
            box.attr["layer"].CopyFrom(AttrValue(s=repr(layer).encode()))
            box.attr["parameters"].CopyFrom(AttrValue(i=sum(p.numel() for p in layer.parameters())))
        elif node.op in ("call_function", "call_method"):
            box.op = _word(node)
        graph.node.append(box)
    return graph


class _Layers(fx.Tracer):
    """Stops at modules without children, whatever package they come from."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return next(m.children(), None) is None


def _place(node: fx.Node) -> str:
    """The path of a layer; for an operation, its name within the innermost module that does it."""
    if node.op in ("call_module", "get_attr"):
        return str(node.target).replace(".", "/")
    if node.op in ("placeholder", "output"):
        return "input" if node.op == "placeholder" else "output"
    around = list(node.meta.get("nn_module_stack", ()))
    return "/".join([*(around[-1].split(".") if around and around[-1] else ()), _word(node)])


def _word(node: fx.Node) -> str:
    return node.target if isinstance(node.target, str) else getattr(node.target, "__name__", str(node.target))
