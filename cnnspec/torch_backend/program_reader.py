"""The nodes of an exported program as calls of a network: what each reads, where it ran, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from cnnspec.errors import CnnspecError
from cnnspec.foreign.network import Call, Network, Stored
from cnnspec.graph import INPUT
from cnnspec.ops import ArgumentError, Shape
from cnnspec.torch_backend.aten import read_call
from cnnspec.torch_backend.program_values import (
    BATCH,
    NOISE,
    Activation,
    Computed,
    Made,
    Missing,
    Noise,
    Value,
    Weight,
    base_name,
    bound,
    is_constant,
    writes_in_place,
)

__all__ = ["ProgramReader"]

_KEYS: Final = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})


class ProgramReader:
    """Reads one program."""

    def __init__(self, program: ExportedProgram, name: str, classes: Mapping[str, str]) -> None:
        self.program = program
        self.name = name
        self.classes = classes
        self.values: dict[fx.Node, Value] = {}
        self.calls: dict[str, Call] = {}
        self.made_by: dict[str, str] = {}  # of each call, the node
        self.input_shape: Shape = ()

    def read(self) -> Network:
        """The network. Raises CnnspecError where it has no or several inputs."""
        self._read_inputs()
        outputs: tuple[str, ...] = ()
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self.values[node] = self._value(node)
                if writes_in_place(node.target) and isinstance(node.args[0], fx.Node):
                    self.values[node.args[0]] = self.values[node]
            elif node.op == "output":
                outputs = self._outputs(node)
        tensors = {key: tuple(tensor.shape) for key, tensor in self.program.state_dict.items()}
        calls = tuple(self.calls.values())
        return Network(self.name, self.input_shape, calls, outputs, (), self.classes, tensors)

    def _read_inputs(self) -> None:
        specs = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        inputs = []
        for node in self.program.graph.nodes:
            if node.op != "placeholder":
                continue
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                inputs.append(node)
            elif spec.kind == InputKind.CONSTANT_TENSOR:
                self.values[node] = self.program.constants[str(spec.target)]
            elif isinstance(node.meta.get("val"), Tensor):
                shape = tuple(node.meta["val"].shape)
                self.values[node] = Weight(Stored(str(spec.target)), shape, spec.kind == InputKind.PARAMETER)
        if len(inputs) != 1:
            raise CnnspecError(f"{self.name} reads {len(inputs)} inputs, and a spec has one")
        self.input_shape = tuple(inputs[0].meta["val"].shape[1:])
        self.values[inputs[0]] = Activation(INPUT, self.input_shape)

    def _outputs(self, node: fx.Node) -> tuple[str, ...]:
        found = [self.values.get(each) for each in pytree.tree_leaves(node.args[0]) if isinstance(each, fx.Node)]
        return tuple(dict.fromkeys(each.name for each in found if isinstance(each, Activation)))

    # Values ---------------------------------------------------------------------------------------------------------

    def _value(self, node: fx.Node) -> Value:
        arguments = {name: self._known(each) for name, each in bound(node).items()}
        values = list(arguments.values())
        if base_name(node.target) == "getitem":
            return arguments["0"][arguments["1"]] if isinstance(arguments["0"], (list, tuple)) else None
        if all(map(is_constant, values)) and not _draws(node):
            return self._worked_out(node)
        try:
            found = read_call(node, arguments)
            if isinstance(found, Noise):
                node.meta[NOISE] = True
            return self._given(node, found) if isinstance(found, Made) else found
        except Missing as missing:
            return self._gap(node, values, str(missing))
        except ArgumentError as error:
            return self._gap(node, values, str(error))

    def _known(self, argument: Any) -> Value:
        if isinstance(argument, fx.Node):
            return self.values.get(argument)
        if isinstance(argument, (list, tuple)):
            return [self._known(each) for each in argument]
        return argument

    def _worked_out(self, node: fx.Node) -> Value:
        args, kwargs = pytree.tree_map(self._known, (node.args, dict(node.kwargs)), is_leaf=_is_node)
        if kwargs.get("device") is not None:
            kwargs["device"] = torch.device("cpu")
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _gap(self, node: fx.Node, values: list[Value], missing: str) -> Value:
        reads = [each for each in pytree.tree_leaves(values, is_leaf=_is_value) if isinstance(each, Activation)]
        shape = _shape(node)
        if not reads:
            return Computed(node, shape or ())
        name = self._name(node, {})
        inputs = tuple(each.name for each in reads)
        without_batch = None if shape is None else shape[1:]
        self._add(node, Call(name, f"aten.{base_name(node.target)}", inputs, None, missing, {}, without_batch))
        return Activation(name, without_batch or ())

    def _given(self, node: fx.Node, made: Made) -> Activation:
        shape = _shape(node)
        assert shape is not None
        if shape[:1] != (BATCH,):
            raise Missing("it mixes the samples of a batch")
        name = self._name(node, made.weights)
        inputs = tuple(read.name for read in made.reads)
        word = f"aten.{base_name(node.target)}"
        self._add(node, Call(name, word, inputs, made.op, "", made.weights, shape[1:]))
        return Activation(name, shape[1:])

    def _add(self, node: fx.Node, call: Call) -> None:
        self.calls[call.name] = call
        self.made_by[call.name] = node.name

    # Names ----------------------------------------------------------------------------------------------------------

    def _name(self, node: fx.Node, weights: Mapping[str, Any]) -> str:
        """The path of the module that holds the weights; else a word in the scope where the call ran."""
        keys = [each.key for each in weights.values() if isinstance(each, Stored)]
        if keys:
            scope, _, leaf = keys[0].rpartition(".")
            path = scope if leaf in _KEYS else keys[0]
            return self._free(path or word_of(node))
        path, kind = _module(node)
        word = word_of(node)
        if kind.startswith("torch.nn.modules.") and ".container." not in kind and path:
            return self._free(path)
        return self._free(f"{path}.{word}" if path else word)

    def _free(self, name: str) -> str:
        found, number = name, 1
        while found in self.calls or found == INPUT:
            number += 1
            found = f"{name}_{number}"
        return found


def _is_node(each: object) -> bool:
    return isinstance(each, fx.Node)


def _is_value(each: object) -> bool:
    return isinstance(each, (Activation, Weight, Computed))


def _shape(node: fx.Node) -> tuple[int, ...] | None:
    value = node.meta.get("val")
    return tuple(value.shape) if isinstance(value, Tensor) else None


def _module(node: fx.Node) -> tuple[str, str]:
    """Path and class of the innermost module that a node ran in."""
    stack: Mapping[str, tuple[str, str]] = node.meta.get("nn_module_stack") or {}
    path, kind = list(stack.values())[-1] if stack else ("", "")
    return path, str(kind)


def word_of(node: fx.Node) -> str:
    """What a call may be called: `add`, `relu`."""
    word = base_name(node.target).strip("_")
    return re.sub(r"\d+d$", "", word)


def _draws(node: fx.Node) -> bool:
    """Whether a node makes noise: that of stochastic depth begins with memory that nobody has filled."""
    return base_name(node.target) in ("empty", "rand", "bernoulli", "bernoulli_", "new_empty", "rand_like")
