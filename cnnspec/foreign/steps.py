"""The calls of a source while they become nodes: a list that can be read from both ends and changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from cnnspec.foreign.network import Call, Network, Reference
from cnnspec.foreign.primitives import Primitive
from cnnspec.graph import INPUT
from cnnspec.ops import AnyOp, Shape

__all__ = ["Readers", "Rule", "Step", "Steps", "replace_op"]


@dataclass(slots=True)
class Step:
    """A call that may be changed. `gives` is the call of the source whose value it gives, empty for none."""

    name: str
    source_op: str
    inputs: tuple[str, ...]
    op: AnyOp | Primitive | None
    gap: str
    weights: Mapping[str, Reference]
    shape: Shape | None
    gives: str

    @classmethod
    def of(cls, call: Call) -> Step:
        """The step of a call."""
        gives = "" if call.inner else call.name
        return cls(call.name, call.source_op, call.inputs, call.op, call.gap, call.weights, call.shape, gives)


def replace_op(step: Step, op: AnyOp, *inputs: str) -> bool:
    """Give a step another operator, and other reads where there are any. Always true, as a rule that has done it."""
    step.op = op
    step.inputs = inputs or step.inputs
    return True


@dataclass
class Steps:
    """Steps by name in running order, and what reads each."""

    by_name: dict[str, Step]
    outputs: tuple[str, ...]
    input_shape: Shape
    same: dict[str, str] = field(default_factory=dict)  # steps that are left out, and what has their value

    @classmethod
    def of(cls, network: Network) -> Steps:
        """The steps of a network."""
        steps = {call.name: Step.of(call) for call in network.calls}
        return cls(steps, (*network.outputs, *network.aux_outputs), network.input_shape)

    def __iter__(self) -> Iterator[Step]:
        return iter(list(self.by_name.values()))

    def __getitem__(self, name: str) -> Step:
        return self.by_name[name]

    def shape(self, name: str) -> Shape | None:
        """What a step gives, or the input."""
        return self.input_shape if name == INPUT else self.by_name[name].shape

    def resolved(self, name: str) -> str:
        """The step that has the value of `name`."""
        while name in self.same:
            name = self.same[name]
        return name

    def readers(self) -> dict[str, list[Step]]:
        """What reads each step. An output of the network is read by nobody more."""
        readers: dict[str, list[Step]] = {}
        for step in self.by_name.values():
            for name in dict.fromkeys(step.inputs):
                readers.setdefault(name, []).append(step)
        return readers

    def only_reader(self, name: str, readers: Mapping[str, list[Step]]) -> Step | None:
        """The one step that reads `name`, which is no output."""
        here = readers.get(name, [])
        is_output = name in map(self.resolved, self.outputs)
        return here[0] if len(here) == 1 and not is_output else None

    def leave_out(self, step: Step) -> None:
        """Take out a step that gives back what it reads: whoever reads it reads that."""
        (read,) = step.inputs
        del self.by_name[step.name]
        self.same[step.name] = read
        for other in self.by_name.values():
            if step.name in other.inputs:
                other.inputs = tuple(read if name == step.name else name for name in other.inputs)

    def put_after(self, step: Step, new: Step) -> None:
        """A new step that reads `step`, and that all read in its place."""
        for other in self.by_name.values():
            other.inputs = tuple(new.name if name == step.name else name for name in other.inputs)
        self.outputs = tuple(new.name if self.resolved(name) == step.name else name for name in self.outputs)
        new.inputs = (step.name,)
        steps = {}
        for name, each in self.by_name.items():
            steps[name] = each
            if name == step.name:
                steps[new.name] = new
        self.by_name = steps

    def take_name(self, step: Step, parameter: Step) -> None:
        """Give a step the name and the tensor of the parameter that it alone uses."""
        step.weights = parameter.weights
        del self.by_name[parameter.name]
        self.rename(step, parameter.name)

    def rename(self, step: Step, new: str) -> None:
        """Give a step another name, which no step has."""
        old, step.name = step.name, new
        self.by_name = {new if name == old else name: each for name, each in self.by_name.items()}
        self.same[old] = new
        for other in self.by_name.values():
            other.inputs = tuple(new if name == old else name for name in other.inputs)

    def free(self, name: str) -> str:
        """The name, or with a number the first that is not used."""
        found, number = name, 1
        while found in self.by_name or found in self.same:
            number += 1
            found = f"{name}_{number}"
        return found

    def prune(self) -> None:
        """Leave out what no output needs."""
        needed = {self.resolved(name) for name in self.outputs}
        for step in reversed(self.by_name.values()):
            if step.name in needed:
                needed.update(step.inputs)
        self.by_name = {name: step for name, step in self.by_name.items() if name in needed}


Readers: TypeAlias = Mapping[str, list[Step]]
Rule: TypeAlias = Callable[[Step, Steps, Readers], bool]
