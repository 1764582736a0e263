"""Chains of nodes that are one operator: what older opsets had no word for is one node here.

A chain is known by what it computes. It is taken only where nobody else reads what is inside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Any, Final

from onnx import NodeProto, TensorProto, helper, numpy_helper

__all__ = ["with_patterns"]

_CLOSE: Final = 1e-4  # of numbers that were rounded


def with_patterns(graph: Any) -> list[Any]:
    """The nodes in running order, with one node for each such chain."""
    return _Chains(graph).nodes()


class _Chains:
    """The nodes of a graph by what they give and read."""

    def __init__(self, graph: Any) -> None:
        self.order = list(graph.node)
        self.given_by = {name: node for node in self.order for name in node.output}
        self.readers: dict[str, list[Any]] = {}
        for node in self.order:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.outputs = {output.name for output in graph.output}
        self.tensors = {tensor.name: tensor for tensor in graph.initializer if len(tensor.dims) <= 1}

    def nodes(self) -> list[Any]:
        """The nodes, with chains made one."""
        new: dict[str, Any] = {}  # by the output of a chain, which stands where its last node stood
        gone: set[str] = set()
        for node in self.order:
            find = _STARTS.get(node.op_type)
            found = find(self, node) if find else None
            if found is not None and not any(name in gone for each in found[1] for name in each.output):
                made, chain = found
                new[made.output[0]] = made
                gone.update(name for each in chain for name in each.output)
        if not new:
            return self.order
        return [
            new.get(node.output[0] if node.output else "", node)
            for node in self.order
            if not node.output or node.output[0] in new or node.output[0] not in gone
        ]

    def number(self, name: str) -> float | None:
        """The number that a tensor is, if it is one."""
        tensor: Any = self.tensors.get(name)
        if tensor is None and (node := self.given_by.get(name)) is not None and node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value_float":
                    return float(attribute.f)
                tensor = attribute.t if attribute.name == "value" else None
        if tensor is None or tensor.data_type not in (TensorProto.FLOAT, TensorProto.INT64):
            return None
        try:
            array = numpy_helper.to_array(tensor)
        except Exception:  # the reader tells of it
            return None
        return float(array.reshape(-1)[0]) if array.size == 1 else None

    def next(self, node: Any, kind: str) -> Any | None:
        """The one node that reads what `node` gives, if it is of this kind."""
        (output,) = node.output[:1] or ("",)
        readers = self.readers.get(output, [])
        if len(node.output) != 1 or len(readers) != 1 or output in self.outputs or readers[0].op_type != kind:
            return None
        return readers[0]

    def other(self, node: Any, name: str) -> str | None:
        """What a node of two arguments reads beside `name`."""
        rest = [each for each in node.input if each != name]
        return rest[0] if len(node.input) == 2 and len(rest) == 1 else None

    def with_number(self, node: Any, name: str, number: float) -> bool:
        """Whether a node joins `name` with this number."""
        other = self.other(node, name)
        value = self.number(other) if other else None
        return value is not None and abs(value - number) <= _CLOSE * abs(number)

    # Chains ---------------------------------------------------------------------------------------------------------

    def gelu(self, erf: Any) -> tuple[Any, list[Any]] | None:
        """`x * (erf(x / sqrt(2)) + 1) / 2`, in the orders in which it is written."""
        if len(erf.input) != 1 or len(erf.output) != 1:
            return None
        scaled = self.given_by.get(erf.input[0])
        if scaled is None or len(scaled.input) != 2 or self.next(scaled, "Erf") is None:
            return None
        read = scaled.input[0] if self.number(scaled.input[1]) is not None else scaled.input[1]
        wanted = {"Div": sqrt(2), "Mul": sqrt(0.5)}.get(scaled.op_type)
        if wanted is None or not self.with_number(scaled, read, wanted):
            return None
        plus = self.next(erf, "Add")
        if plus is None or not self.with_number(plus, erf.output[0], 1.0):
            return None
        first = self.next(plus, "Mul")
        if first is None:
            return None
        chain = [scaled, erf, plus, first]
        beside = self.other(first, plus.output[0])
        if beside is None:
            return None
        halved = self.given_by.get(beside)
        if halved is not None and halved.op_type == "Mul" and self.with_number(halved, read, 0.5):
            return (_gelu(first, read), [*chain, halved]) if self.next(halved, "Mul") is first else None
        last = self.next(first, "Mul")
        if last is None:
            return None
        if beside == read and self.with_number(last, first.output[0], 0.5):
            return _gelu(last, read), [*chain, last]
        if self.number(beside) == 0.5 and self.other(last, first.output[0]) == read:
            return _gelu(last, read), [*chain, last]
        return None

    def layer_norm(self, mean: Any) -> tuple[Any, list[Any]] | None:
        """`(x - mean) / sqrt(mean((x - mean)^2) + eps)` over the last axis, and a factor and a shift for it."""
        if self.axes(mean) != (-1,) or len(mean.output) != 1:
            return None
        read, less = mean.input[0], self.next(mean, "Sub")
        if less is None or list(less.input) != [read, mean.output[0]]:
            return None
        readers = {node.op_type: node for node in self.readers.get(less.output[0], [])}
        square, over = readers.get("Pow"), readers.get("Div")
        if square is None or over is None or len(readers) != 2 or not self.with_number(square, less.output[0], 2.0):
            return None
        variance = self.next(square, "ReduceMean")
        plus = self.next(variance, "Add") if variance is not None else None
        root = self.next(plus, "Sqrt") if plus is not None else None
        if variance is None or plus is None or root is None or self.axes(variance) != (-1,):
            return None
        eps = self.number(self.other(plus, variance.output[0]) or "")
        if eps is None or list(over.input) != [less.output[0], root.output[0]]:
            return None
        scaled = self.next(over, "Mul")
        shifted = self.next(scaled, "Add") if scaled is not None else None
        if scaled is None or shifted is None:
            return None
        weight, bias = self.other(scaled, over.output[0]), self.other(shifted, scaled.output[0])
        if not self._is_vector(weight) or not self._is_vector(bias):
            return None
        made = helper.make_node(
            "LayerNormalization", [read, weight, bias], [shifted.output[0]], name=mean.name, axis=-1, epsilon=eps
        )
        made.metadata_props.extend(mean.metadata_props)
        return made, [mean, less, square, variance, plus, root, over, scaled, shifted]

    def axes(self, node: Any) -> tuple[int, ...] | None:
        """The axes of a reduction that keeps them."""
        named = {each.name: each for each in node.attribute}
        if "keepdims" in named and named["keepdims"].i != 1:
            return None
        if "axes" in named:
            return tuple(named["axes"].ints)
        number = self.number(node.input[1]) if len(node.input) == 2 else None
        return None if number is None else (int(number),)

    def _is_vector(self, name: str | None) -> bool:
        tensor = self.tensors.get(name or "")
        return tensor is not None and len(tensor.dims) == 1

    def group_norm(self, norm: Any) -> tuple[Any, list[Any]] | None:
        """Groups of channels as the channels of an instance norm without weights, and a factor and a shift for each."""
        before = self.given_by.get(norm.input[0]) if len(norm.input) == 3 else None
        after = self.next(norm, "Reshape")
        if before is None or before.op_type != "Reshape" or after is None:
            return None
        scaled = self.next(after, "Mul")
        shifted = self.next(scaled, "Add") if scaled is not None else None
        neutral = [self._filled(name) for name in norm.input[1:]]
        if shifted is None or scaled is None or None in neutral or self.next(before, norm.op_type) is None:
            return None
        (ones, groups), (zeros, _) = [each for each in neutral if each is not None]
        weight, bias = self.other(scaled, after.output[0]), self.other(shifted, scaled.output[0])
        if (ones, zeros) != (1.0, 0.0) or not weight or not bias:
            return None
        eps = next((each.f for each in norm.attribute if each.name == "epsilon"), 1e-5)
        made = helper.make_node(
            "GroupNormalization",
            [before.input[0], weight, bias],
            [shifted.output[0]],
            name=norm.name,
            num_groups=groups,
            epsilon=eps,
        )
        made.metadata_props.extend(norm.metadata_props)
        return made, [before, norm, after, scaled, shifted]

    def _filled(self, name: str) -> tuple[float, int] | None:
        """The number that a short tensor is full of, and how often."""
        tensor: Any = self.tensors.get(name)
        node = self.given_by.get(name)
        if tensor is None and node is not None and node.op_type == "Constant":
            tensor = next((each.t for each in node.attribute if each.name == "value"), None)
        if tensor is None or len(tensor.dims) != 1 or tensor.data_type != TensorProto.FLOAT:
            return None
        try:
            array = numpy_helper.to_array(tensor)
        except Exception:  # the reader tells of it
            return None
        return (float(array[0]), array.size) if array.size and (array == array[0]).all() else None


def _gelu(last: Any, read: str) -> Any:
    made = NodeProto()
    made.CopyFrom(last)
    made.op_type = "Gelu"
    del made.input[:], made.attribute[:]
    made.input.append(read)
    return made


_STARTS: Final[Mapping[str, Any]] = {
    "Erf": _Chains.gelu,
    "ReduceMean": _Chains.layer_norm,
    "InstanceNormalization": _Chains.group_norm,
}
