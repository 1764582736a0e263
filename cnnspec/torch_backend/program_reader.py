"""The nodes of an exported program as calls of a network: what each reads, where it ran, and what it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from cnnspec.errors import CnnspecError, ShapeError
from cnnspec.foreign.network import Call, Network, Stored
from cnnspec.foreign.primitives import Cut, Joined, Parameter, Primitive
from cnnspec.graph import INPUT
from cnnspec.ops import ArgumentError, Shape
from cnnspec.torch_backend.aten import read_call
from cnnspec.torch_backend.aten_shapes import LEFT_OUT
from cnnspec.torch_backend.program_values import (
    BATCH,
    FIRST,
    NOISE,
    PREVIOUS,
    Activation,
    Arguments,
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
from cnnspec.torch_backend.program_writes import changed_unseen

__all__ = ["ProgramReader"]

_MOST_ALIKE: Final = 2**16  # numbers of a tensor whose start is looked for: one for each channel is much fewer
_WRITTEN: Final = "it writes into memory of which another view is read later"
_KEYS: Final = frozenset({"weight", "bias", "running_mean", "running_var", "num_batches_tracked"})


class ProgramReader:
    """Reads one program."""

    def __init__(
        self, program: ExportedProgram, name: str, classes: Mapping[str, str], state: Mapping[str, Tensor]
    ) -> None:
        self.program = program
        self.name = name
        self.classes = classes
        self.state = state
        self.values: dict[fx.Node, Value] = {}
        self.calls: dict[str, Call] = {}
        self.made_by: dict[str, str] = {}  # of each call, the node
        self.left_out: dict[str, None] = {}  # noise of training that nothing is made of, by where it is made
        self.holders = {key.rpartition(".")[0] for key in program.state_dict}  # modules with tensors of their own
        self.notes: dict[str, None] = {}
        self.given: tuple[str, ...] = ()  # the nodes of the outputs, in their order
        self.input_shape: Shape = ()
        self.batch: object = BATCH  # a number, or torch's symbol for any

    def read(self) -> Network:
        """The network. Raises CnnspecError where it has no or several inputs."""
        self._read_inputs()
        outputs: tuple[str, ...] = ()
        changed = changed_unseen(self.program.graph)
        for node in self.program.graph.nodes:
            if node.op == "call_function":
                self.values[node] = self._value(node)
                if writes_in_place(node.target) and isinstance(node.args[0], fx.Node):
                    self.values[node.args[0]] = self.values[node]
                for other in changed.get(node, ()):
                    self.values[other] = self._changed(node, other)
            elif node.op == "output":
                outputs = self._outputs(node)
        tensors = {key: tuple(tensor.shape) for key, tensor in self.program.state_dict.items()}
        calls = tuple(self.calls.values())
        if self.left_out:
            self.notes[_left_out(list(self.left_out))] = None
        return Network(self.name, self.input_shape, calls, outputs, (), self.classes, tensors, notes=tuple(self.notes))

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
                trained = spec.kind == InputKind.PARAMETER
                here = self.state.get(str(spec.target))
                values, start = (None, _start(here)) if trained else (here, None)
                self.values[node] = Weight(Stored(str(spec.target)), shape, trained, values, start)
        if len(inputs) != 1:
            raise CnnspecError(f"{self.name} reads {len(inputs)} inputs, and a spec has one")
        self.batch, *axes = inputs[0].meta["val"].shape
        if not all(type(size) is int for size in axes):
            raise CnnspecError(f"{self.name} was exported for inputs of any size: export it for one")
        self.input_shape = tuple(axes)
        self.values[inputs[0]] = Activation(INPUT, self.input_shape)

    def _outputs(self, node: fx.Node) -> tuple[str, ...]:
        """The calls that give the outputs, each once. Raises CnnspecError where there are none."""
        found: dict[str, str] = {}
        for each in pytree.tree_leaves(node.args[0]):
            value = self.values.get(each) if isinstance(each, fx.Node) else None
            if not isinstance(value, Activation):
                if each is not None:
                    self.notes["an output that no input changes is left out"] = None
            elif value.name == INPUT:
                self.notes["an output that is the input itself is left out"] = None
            elif value.name in found:
                self.notes["an output that is given twice is given once"] = None
            else:
                found[value.name] = each.name
        if not found:
            raise CnnspecError(f"{self.name} gives nothing that a layer of it computes")
        self.given = tuple(found.values())
        return tuple(found)

    # Values ---------------------------------------------------------------------------------------------------------

    def _value(self, node: fx.Node) -> Value:
        arguments = {name: self._known(each) for name, each in bound(node).items()}
        values = list(arguments.values())
        if base_name(node.target) == "getitem":
            return self._item(node, *values)
        if all(map(is_constant, values)) and not _draws(node):
            try:
                return self._worked_out(node)
            except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
                return self._gap(node, arguments, f"a constant that cannot be worked out: {error!s:.80}")
        if base_name(node.target).removesuffix("_") in LEFT_OUT and arguments.get("p"):
            self.left_out[_module(node)[0] or word_of(node)] = None
        try:
            return self._given(node, read_call(node, arguments))
        except Missing as missing:
            return self._gap(node, arguments, str(missing))
        except ArgumentError as error:
            return self._gap(node, arguments, str(error))

    def _item(self, node: fx.Node, several: Value, number: Value) -> Value:
        """One result of a call that has several."""
        if isinstance(several, Activation):
            return self._item_of_gap(node, several, number)
        if not isinstance(several, (list, tuple)) or number >= len(several):
            return Computed(base_name(node.target), _shape(node) or (), {})
        found = several[number]
        if isinstance(found, Activation):
            self.made_by.setdefault(found.name, node.name)
        return found

    def _item_of_gap(self, node: fx.Node, several: Activation, number: Value) -> Activation:
        """The first result of what cannot be said, as a recurrent layer, is told by its shape."""
        shape = _shape(node)
        if number != 0 or not shape:
            return several
        self.calls[several.name] = replace(self.calls[several.name], shape=shape[1:])
        return Activation(several.name, shape[1:])

    def _given(self, node: fx.Node, found: Value) -> Value:
        """What a rule has found, with the calls that it makes added."""
        if isinstance(found, Noise):
            node.meta[NOISE] = True
        if isinstance(found, tuple):
            shapes = [tuple(each.shape) for each in node.meta["val"]]
            return tuple(
                self._made(node, each if isinstance(each, list) else [each], shape, several=True)
                if isinstance(each, (Made, list))
                else each
                for each, shape in zip(found, shapes, strict=False)
            )
        if isinstance(found, (Made, list)):
            shape = _shape(node)
            assert shape is not None
            return self._made(node, found if isinstance(found, list) else [found], shape)
        return found

    def _made(self, node: fx.Node, calls: list[Made], shape: tuple[int, ...], *, several: bool = False) -> Activation:
        """Calls in turn, each of which may read the one before."""
        if not shape or str(shape[0]) != str(self.batch):
            raise Missing("it mixes the samples of a batch")
        before: Activation | None = None
        first: Activation | None = None
        for number, made in enumerate(calls, 1):
            last = number == len(calls)
            given = {id(PREVIOUS): before, id(FIRST): first}
            reads = [given.get(id(each)) or each for each in made.reads]
            inputs = tuple(map(self._read_name, reads))
            name = self._name(node, made.weights)
            here = shape[1:] if last else _inner_shape(made, reads)
            word = f"aten.{base_name(node.target)}"
            self.calls[name] = Call(name, word, inputs, made.op, "", made.weights, here, inner=not last)
            if last and not several:
                self.made_by[name] = node.name
            before = Activation(name, here or ())
            first = first or before
        assert before is not None
        return before

    def _read_name(self, read: Activation | Weight) -> str:
        """The call that is read. A parameter becomes one where it is first read."""
        if isinstance(read, Activation):
            return read.name
        for call in self.calls.values():
            if call.op == Parameter(read.shape, read.start) and call.weights == {"": read.reference}:
                return call.name
        name, op = self._free(read.reference.key), Parameter(read.shape, read.start)
        self.calls[name] = Call(name, "parameter", (), op, "", {"": read.reference}, read.shape, inner=True)
        return name

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

    def _gap(self, node: fx.Node, arguments: Arguments, missing: str) -> Value:
        reads = [
            each
            for each in pytree.tree_leaves(list(arguments.values()), is_leaf=_is_value)
            if isinstance(each, Activation)
        ]
        shape = _shape(node)
        if not reads:
            return Computed(base_name(node.target), shape or (), arguments)
        name = self._name(node, {}, whole=True)
        inputs = tuple(each.name for each in reads)
        without_batch = None if shape is None else shape[1:]
        word = f"aten.{base_name(node.target)}"
        self.calls[name] = Call(name, word, inputs, None, missing, {}, without_batch)
        return Activation(name, without_batch or ())

    def _changed(self, node: fx.Node, other: fx.Node) -> Value:
        """A value whose memory another call has written over: a gap, if it is one of a layer."""
        value, written = self.values[other], self.values[node]
        reads = {each.name: each for each in (value, written) if isinstance(each, Activation)}
        if not reads:
            return value
        name, shape = self._name(node, {}), _shape(other)
        without_batch = shape[1:] if shape else None
        word = f"aten.{base_name(node.target)}"
        self.calls[name] = Call(name, word, tuple(reads), None, _WRITTEN, {}, without_batch)
        return Activation(name, without_batch or ())

    # Names ----------------------------------------------------------------------------------------------------------

    def _name(self, node: fx.Node, weights: Mapping[str, Any], *, whole: bool = False) -> str:
        """The path of the module that holds the weights; else a word in the scope where the call ran.

        A call without weights has the path of a module with some only if it is the `whole` of it.
        """
        keys = [each.key for each in weights.values() if isinstance(each, Stored)]
        if keys:
            scope, _, leaf = keys[0].rpartition(".")
            path = scope if leaf in _KEYS else keys[0]
            return self._free(path or word_of(node))
        path, kind = _module(node)
        word = word_of(node)
        if kind.startswith("torch.nn.modules.") and ".container." not in kind and path:
            return self._free(path if whole or path not in self.holders else f"{path}_{word}")
        return self._free(f"{path}.{word}" if path else word)

    def _free(self, name: str) -> str:
        found, number = name, 1
        while found in self.calls or found == INPUT:
            number += 1
            found = f"{name}_{number}"
        return found


def _inner_shape(made: Made, reads: list[Activation | Weight]) -> Shape | None:
    """What a call gives that torch does not have by itself."""
    shapes = [read.shape for read in reads]
    match made.op:
        case Cut(dim, start, end, step):
            size = len(range(start, end, step))
            return (*shapes[0][: dim - 1], size, *shapes[0][dim:])
        case Joined(dim):
            joined = sum(shape[dim - 1] for shape in shapes)
            return (*shapes[0][: dim - 1], joined, *shapes[0][dim:])
        case Primitive():
            return None
        case op:
            try:
                return op.out_shape(*shapes)
            except ShapeError:
                return None


def _start(tensor: Tensor | None) -> float | None:
    """What all numbers of a tensor are, if they are alike. As a decimal that 32 bits round to them."""
    if tensor is None or tensor.is_meta or not 0 < tensor.numel() <= _MOST_ALIKE:
        return None
    first = tensor.detach().flatten()[:1]
    alike = first.isfinite().all() and bool((tensor == first).all())
    return float(f"{first.item():.7g}") if alike else None


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


def _left_out(paths: list[str]) -> str:
    more = f" and {len(paths) - 1} more are" if len(paths) > 1 else " is"
    return f"the noise of `{paths[0]}`{more} left out: in training a spec drops single numbers or whole paths"


def word_of(node: fx.Node) -> str:
    """What a call may be called: `add`, `relu`."""
    word = base_name(node.target).strip("_")
    return re.sub(r"\d+d$", "", word)


def _draws(node: fx.Node) -> bool:
    """Whether a node makes noise: that of stochastic depth begins with memory that nobody has filled."""
    return base_name(node.target) in ("empty", "rand", "bernoulli", "bernoulli_", "new_empty", "rand_like")
