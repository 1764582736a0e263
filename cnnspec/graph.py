"""The flat, checked network: the program's one intermediate form.

A graph is a list of nodes in an order in which they can be run. Every node has a unique dotted name, its operator
with concrete arguments, the names of what it reads, and its output shape. Nothing here is torch.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Final, Literal, NamedTuple, TypeAlias, TypeVar

from cnnspec.errors import Diagnostic, Place, SpecError
from cnnspec.intake import STRETCH, Intake
from cnnspec.ops import AnyOp, Shape, show_shape
from cnnspec.tasks import Task, TaskOptions, followed_task

__all__ = ["INPUT", "MAX_NODES", "PURPOSES", "Graph", "Node", "Origin", "Purpose", "is_below", "unwrapped"]

T = TypeVar("T")

MAX_NODES: Final = 20_000  # of the network of a spec, unless more are allowed
INPUT = "input"  # the name under which nodes read the network's input

Purpose: TypeAlias = Literal["inference", "train"]  # what a network is for: figures differ where it has auxiliary heads
PURPOSES: Final[tuple[Purpose, ...]] = ("inference", "train")

_WRAPPERS: Final = ("module.", "_orig_mod.")  # DistributedDataParallel's and torch.compile's


def unwrapped(weights: Mapping[str, T], own: Container[str]) -> dict[str, T]:
    """Weights by a network's `own` names: without the prefixes that wrappers have put before all of them."""
    found = dict(weights)
    while not any(name in own for name in found):
        prefix = next((prefix for prefix in _WRAPPERS if all(name.startswith(prefix) for name in found)), None)
        if prefix is None or not found:
            return dict(weights)  # of another network
        found = {name.removeprefix(prefix): value for name, value in found.items()}
    return found


def is_below(name: str, prefixes: Container[str]) -> bool:
    """Whether a dotted name is one of these, or below one: `--freeze` and the like name layers so."""
    while name and name not in prefixes:
        name = name.rpartition(".")[0]
    return bool(name)


class Origin(NamedTuple):
    """Where a node was written, and the calls of blocks that led to it, outermost first."""

    place: Place | None = None
    stack: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Node:
    """One layer of the network. Shapes are without the batch axis."""

    name: str
    op: AnyOp
    inputs: tuple[str, ...]
    input_shapes: tuple[Shape, ...]
    shape: Shape
    origin: Origin = field(default_factory=Origin, compare=False)

    @property
    def tensors(self) -> dict[str, Shape]:
        """Its parameters and buffers by their name in torch's module, which is empty for a tensor without one."""
        return self.op.parameter_shapes(*self.input_shapes) | self.op.buffer_shapes(*self.input_shapes)

    def tensor_name(self, key: str) -> str:
        """The name of one of its tensors in a `state_dict`: `conv.weight`, or `scale` for a tensor without a name."""
        return f"{self.name}.{key}" if key else self.name

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one sample."""
        return self.op.macs(*self.input_shapes)

    @property
    def params(self) -> int:
        """How many parameters it has."""
        return sum(map(prod, self.op.parameter_shapes(*self.input_shapes).values()))

    def frozen_params(self, frozen: Collection[str]) -> int:
        """How many of them are not trained where `frozen` is: layers, blocks or single tensors, by name."""
        shapes = self.op.parameter_shapes(*self.input_shapes) if frozen else {}
        return sum(prod(shape) for key, shape in shapes.items() if is_below(self.tensor_name(key), frozen))


@dataclass(frozen=True)
class Graph:
    """A network: its input, its nodes in running order, and which of them are outputs."""

    name: str
    input_shape: Shape
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]
    aux_outputs: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    task_options: TaskOptions | None = None  # as the spec says them
    path: str | None = None
    intake: Intake = STRETCH
    # Why layers that no output needs do not take this input. Then all but what the outputs need is left out.
    refused: tuple[Diagnostic, ...] = field(default=(), compare=False)

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __repr__(self) -> str:
        return f"<Graph of {self.in_words}>"

    @property
    def in_words(self) -> str:
        """The network in a few words: `lenet5: 1x28x28 to 10, 12 layers`."""
        given = ", ".join(show_shape(self.shape_of(name)) for name in self.outputs)
        return f"{self.name}: {show_shape(self.input_shape)} to {given}, {len(self):,} layer{'s' * (len(self) != 1)}"

    @cached_property
    def by_name(self) -> dict[str, Node]:
        """The nodes by name."""
        return {node.name: node for node in self.nodes}

    def shape_of(self, name: str) -> Shape:
        """The shape of a node's output, or of the input."""
        return self.input_shape if name == INPUT else self.by_name[name].shape

    @property
    def macs(self) -> int:
        """Multiply-accumulates of all nodes for one sample."""
        return sum(node.macs for node in self.nodes)

    @property
    def output_shape(self) -> Shape:
        """The shape of the first output."""
        return self.shape_of(self.outputs[0])

    @property
    def task(self) -> Task | None:
        """What the network is for, as its spec says or as follows from its output; None where it has to be said."""
        return followed_task(self.task_options, self.output_shape, self.classes)

    def ancestors(self, names: Iterable[str]) -> set[str]:
        """The nodes that these depend on, themselves included. Raises KeyError for a name that is no node."""
        needed = {name for name in names if name == INPUT or self.by_name[name]}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        needed.discard(INPUT)
        return needed

    def part(self, outputs: Iterable[str]) -> Graph:
        """The network that these outputs need, as it is exported. Raises KeyError for a name that is no node."""
        wanted = tuple(outputs)
        needed = self.ancestors(wanted)
        nodes = tuple(node for node in self.nodes if node.name in needed)
        return replace(self, nodes=nodes, outputs=wanted, aux_outputs=(), refused=())

    def network(self, purpose: Purpose) -> Graph:
        """The network that is meant: inference has what the outputs need, training all that is declared.

        The one difference between figures of inference and of training. Raises SpecError where layers that only
        training has refuse the input.
        """
        if purpose == "inference":
            return self.part(self.outputs)
        if self.refused:
            raise SpecError(list(self.refused), path=self.path or "spec")
        return self

    def state_shapes(self) -> dict[str, Shape]:
        """Every parameter and buffer by its `state_dict` name, in torch's order.

        A module's own tensors (a `Scale` is one of its parent's) come before those of its children, and the children
        in the order of their first node.
        """
        root: _Tensors = ({}, {})
        for node in self.nodes:
            tensors = node.tensors
            if not tensors:
                continue
            *parents, leaf = node.name.split(".")
            own, children = root
            for parent in parents:
                own, children = children.setdefault(parent, ({}, {}))
            if "" not in tensors:
                own, _ = children.setdefault(leaf, ({}, {}))
            own.update((node.tensor_name(key), shape) for key, shape in tensors.items())
        return dict(_in_order(root))


_Tensors: TypeAlias = tuple[dict[str, Shape], dict[str, "_Tensors"]]  # a module's own, and those of its children


def _in_order(tensors: _Tensors) -> Iterator[tuple[str, Shape]]:
    own, children = tensors
    yield from own.items()
    for child in children.values():
        yield from _in_order(child)
