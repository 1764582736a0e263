"""Source from a graph alone: every module under its name, and `forward` layer by layer."""

from __future__ import annotations

from typing import Any, assert_never

from cnnspec.codegen.classes import Forward, Step
from cnnspec.codegen.layout import Brackets, Line, Node
from cnnspec.codegen.names import is_attribute
from cnnspec.codegen.spelling import forward_text, literal, trained_text
from cnnspec.codegen.torch_names import DERIVED, has_no_default, torch_names
from cnnspec.graph import INPUT, Graph
from cnnspec.graph import Node as Layer
from cnnspec.ops import AnyOp, show_shape
from cnnspec.ops.torch_call import TorchCall, torch_call

__all__ = ["flat_class"]


def flat_class(graph: Graph, name: str) -> tuple[list[Line], list[str]]:
    """The class of a graph, and the names that it needs in its file."""
    init = [Line(2, "super().__init__()")]
    forward = Forward((INPUT,))
    steps: dict[str, int | str] = {INPUT: INPUT}
    made: set[str] = set()
    needed = ["nn", "Tensor"]
    for node in graph:
        call = torch_call(node.op, *node.input_shapes)
        reads = [steps[read] for read in node.inputs]
        marks = [f"\0{index}\0" for index in range(len(reads))]
        match call.kind:
            case "module":
                init += [
                    *_containers(node.name, made),
                    _assigned(node.name, Brackets(call.name, _arguments(node, call))),
                ]
                needed += [call.name] if "." not in call.name else []
                text = f"{_place(node.name)}({', '.join(marks)})"
            case "factor" | "term":
                init += [*_containers(node.name, made), _parameter(node, call)]
                text = trained_text(call.kind, marks[0], _place(node.name, "get_parameter"))
            case "function" | "reads" | "fold":
                text = forward_text(call, marks)
            case _:
                assert_never(call.kind)
        steps[node.name] = len(forward.steps)
        forward.steps.append(Step(node.name, reads, text, show_shape(node.shape), joins=len(reads) > 1))
    names = graph.outputs + graph.aux_outputs
    if len(names) == 1:
        forward.result = steps[names[0]]
        lines = list(forward.lines())
    else:
        lines = list(forward.lines({output: steps[output] for output in names}, graph.aux_outputs))
    return [Line(0, f"class {name}(nn.Module):"), Line(1, "def __init__(self):"), *init, Line(0, ""), *lines], needed


def _containers(name: str, made: set[str]) -> list[Line]:
    """The modules that hold a layer, where they are not there yet."""
    lines: list[Line] = []
    parts = name.split(".")[:-1]
    for end in range(1, len(parts) + 1):
        path = ".".join(parts[:end])
        if path not in made:
            made.add(path)
            lines.append(_assigned(path, "nn.Module()"))
    return lines


def _parameter(node: Layer, call: TorchCall) -> Line:
    parent, _, leaf = node.name.rpartition(".")
    value = Brackets("nn.Parameter", (Brackets(call.name, _arguments(node, call)),))
    if is_attribute(leaf):
        return Line(2, f"{_place(parent)}.{leaf} = ", value)
    return Line(2, "", Brackets(f"{_place(parent)}.register_parameter", (f'"{leaf}"', value)))


def _arguments(node: Layer, call: TorchCall) -> tuple[Node, ...]:
    """What differs from torch's defaults, as short as a person would write it."""
    op = node.op
    given = op.arguments()
    own = op.fields().keys() - DERIVED if call.name.startswith("nn.") else frozenset()
    arguments: list[Node] = []
    left_out = False
    for name, value in zip(torch_names(op), call.arguments, strict=False):
        if name in own and name not in given:
            left_out = True
            continue
        text = _shorter(op, name, value)
        arguments.append(f"{name}={text}" if left_out else text)
    named = [
        f"{name}={_shorter(op, name, value)}"
        for name, value in call.named.items()
        if name in given or has_no_default(op)
    ]
    return (*arguments, *named)


def _shorter(op: AnyOp, name: str, value: Any) -> str:
    """A value as it is, or one number for as many equal ones where torch makes those of it."""
    short = op.arguments().get(name)
    is_same = isinstance(value, tuple) and isinstance(short, int) and set(value) == {short}
    return literal(short if is_same and name not in op.listed else value)


def _assigned(path: str, value: Node) -> Line:
    parent, _, leaf = path.rpartition(".")
    if is_attribute(leaf):
        return Line(2, f"{_place(parent)}.{leaf} = ", value)
    return Line(2, "", Brackets(f"{_place(parent)}.add_module", (f'"{leaf}"', value)))


def _place(path: str, getter: str = "get_submodule") -> str:
    """How a module is reached."""
    if not path:
        return "self"
    parts = path.split(".")
    if all(map(is_attribute, parts)):
        return f"self.{path}"
    return f'self.{getter}("{path}")'
