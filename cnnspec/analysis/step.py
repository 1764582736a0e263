"""A run of the network without running it: which tensors live when, in inference or in a whole training step.

Tensors are followed by the memory that they lie in. The forward pass is the built module's: nodes in the graph's order,
every value let go after the last node that reads it. The backward pass is torch autograd's: the call made last runs
first, what it kept is freed when it has run, and a second gradient of a tensor is added to the first one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple, TypeAlias

from cnnspec.analysis.calls import loss_program, program
from cnnspec.analysis.flow import FLOAT, INT64, Back, Call, Flow, Form, Program
from cnnspec.analysis.strides import contiguous, pointwise_strides
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.ops import AnyOp, Shape
from cnnspec.ops.merge import ELEMENTWISE

__all__ = ["OPTIMIZER_STATE", "Peak", "Programs", "Step", "inference_peak", "training_step"]

OPTIMIZER_STATE = {"sgd": 0, "sgd-momentum": 1, "adam": 2, "adamw": 2}  # numbers per parameter


class Peak(NamedTuple):
    """The most bytes of tensors alive, weights and buffers left out, and when that was."""

    bytes: int
    phase: str  # forward, loss, backward, optimizer
    layer: str | None  # the node that runs then


@dataclass(frozen=True, slots=True)
class Step:
    """What a simulated step found. Bytes."""

    peak: Peak
    kept: int  # by autograd for the backward pass of the network, when that begins


class _Memory:
    """A stretch of memory, freed when nothing refers to it any more."""

    __slots__ = ("count", "size")

    def __init__(self, size: int, count: int = 1) -> None:
        self.size, self.count = size, count


class _Tensor:
    """A tensor: its memory, and on the way back its gradient, as memory, strides and whether nothing else sees it."""

    __slots__ = ("base", "form", "gradient", "key", "memory")

    def __init__(self, form: Form, key: int, memory: _Memory, base: _Tensor | None = None) -> None:
        self.form, self.key, self.memory = form, key, memory
        self.base = base  # the tensor that it is a view of
        self.gradient: tuple[_Memory, Shape, bool] | None = None


# One statement of the module's `forward`: its value, the operator, what it reads, the node, and the node's shape.
_Line: TypeAlias = tuple[str, AnyOp, tuple[str, ...], str, Shape]


def _lines(nodes: Iterable[Node], needed: set[str]) -> list[_Line]:
    """The statements of the nodes that are needed: joins of many reads are made two at a time."""
    lines: list[_Line] = []
    for node in nodes:
        name, op, reads = node.name, node.op, node.inputs
        if name not in needed:
            continue
        if len(reads) > 2 and isinstance(op, ELEMENTWISE):
            value = reads[0]
            for turn, read in enumerate(reads[1:], 1):
                made = name if turn == len(reads) - 1 else f"{name}/{turn}"
                lines.append((made, op, (value, read), name, node.shape))
                value = made
        else:
            lines.append((name, op, reads, name, node.shape))
    return lines


class Programs:
    """The programs of a graph's layers, by what they read. Inference without autocast shares those of training."""

    def __init__(self, *, half: bool = False) -> None:
        self.half = half
        self.made: dict[tuple[int, ...], tuple[Program, list[int]]] = {}  # equal layers share their operator
        self.forms: dict[Form, int] = {}

    def key(self, form: Form) -> int:
        """A number for this form."""
        return self.forms.setdefault(form, len(self.forms))

    def program(self, line: _Line, reads: list[_Tensor], key: tuple[int, ...]) -> tuple[Program, list[int]]:
        """The program of a line, and the numbers of the forms of its calls; kept under `key`."""
        _, op, _, _, shape = line
        made = program(op, [read.form for read in reads], shape, half=self.half)
        keyed = self.made[key] = made, [self.key(call.form) for call in made.calls]
        return keyed


class _Execution:
    """The state of one pass through the network."""

    def __init__(self, graph: Graph, batch: int, outputs: tuple[str, ...], width: int, programs: Programs) -> None:
        self.lines = _lines(graph.nodes, graph.ancestors(outputs))
        self.outputs, self.programs = outputs, programs
        shape = (batch, *graph.input_shape)
        form = Form.of(shape, contiguous(shape), width, False)
        self.alive = self.peak = form.size
        self.place = ("forward", INPUT)
        self.tensors = {INPUT: _Tensor(form, programs.key(form), _Memory(form.size, 2))}  # the caller holds the input
        self.tape: list[tuple[Call, list[_Tensor], int, str]] = []
        self.lasting: list[_Memory] = []  # autocast's copies of weights

    def forward(self, *, training: bool) -> None:
        """Run the network; its outputs stay."""
        last: dict[str, int] = {}
        for index, (_, _, names, _, _) in enumerate(self.lines):
            for name in names:
                last[name] = index
        for name in self.outputs:
            last[name] = len(self.lines)
        tensors, programs, call = self.tensors, self.programs.made, self._call if training else self._evaluate
        for index, (name, op, names, node, _) in enumerate(self.lines):
            reads = [tensors[read] for read in names]
            key = (id(op), *[read.key for read in reads])
            keyed = programs.get(key) or self.programs.program(self.lines[index], reads, key)
            tensors[name] = call(keyed, reads, "forward", node)
            for read in names:
                if last[read] == index:
                    last[read] = -1
                    self._release(tensors.pop(read).memory)

    def _evaluate(self, keyed: tuple[Program, list[int]], slots: list[_Tensor], phase: str, node: str) -> _Tensor:
        """Run a program in evaluation mode, where autograd keeps nothing."""
        (calls, result, idle), keys = keyed
        if idle:
            calls, result = (), 0
        count = len(slots)
        for call, key in zip(calls, keys, strict=False):
            if call.shares is None:
                memory = _Memory(call.size)
                self.alive += call.size
            else:
                memory = slots[call.shares].memory
                memory.count += 1
            if self.alive + call.brief > self.peak:
                self.peak, self.place = self.alive + call.brief, (phase, node)
            slots.append(_Tensor(call.form, key, memory))
            for slot in call.drops:
                self._release(slots[slot].memory)
        if result < count:
            slots[result].memory.count += 1
        return slots[result]

    def _call(self, keyed: tuple[Program, list[int]], slots: list[_Tensor], phase: str, node: str) -> _Tensor:
        """Run a program in training mode."""
        (calls, result, _), keys = keyed
        count = len(slots)
        for call, key in zip(calls, keys, strict=True):
            if call.shares is None:
                memory = _Memory(call.size)
                self.alive += call.size
            else:
                memory = slots[call.shares].memory
                memory.count += 1
            self.alive += call.own
            if self.alive + call.scratch > self.peak:
                self.peak, self.place = self.alive + call.scratch, (phase, node)
            tensor = _Tensor(call.form, key, memory)
            slots.append(tensor)
            if call.view and call.shares is not None:
                tensor.base = slots[call.shares].base or slots[call.shares]
            if call.backward is not None:
                for slot in call.keeps:
                    slots[slot].memory.count += 1
                if call.changes and call.shares is not None and (base := slots[call.shares].base):
                    self._change(call, base, tensor, node)
                else:
                    self.tape.append((call, slots, len(slots) - 1, node))
                if call.changes and call.shares is not None:
                    self._rename(slots[call.shares], tensor)
            if call.lasting:
                self.lasting.append(memory)
            for slot in call.drops:
                self._release(slots[slot].memory)
        if result < count:
            slots[result].memory.count += 1
        return slots[result]

    def _change(self, call: Call, base: _Tensor, tensor: _Tensor, node: str) -> None:
        """Write down a change of a view in place: one of the tensor it is a view of, of which it is a view again.

        In the backward pass both gradients have the base's size (`CopySlices`, `AsStridedBackward`); the part that the
        view is of is copied, and its gradient made beside it.
        """
        changed = _Tensor(base.form, base.key, base.memory)
        tensor.base = changed
        whole, flow = base.form.size, (Flow(0, base.form.size, base.form.strides),)
        beside = whole + 2 * call.form.size
        slices = replace(call, keeps=(1,) * len(call.keeps), backward=lambda _: Back(flow, 0, beside))
        strided = replace(call, keeps=(), own=0, backward=lambda _: Back(flow, 0, whole))
        slices.backs, strided.backs = {}, {}
        self.tape += [(slices, [base, changed], 1, node), (strided, [changed, tensor], 1, node)]
        self._rename(base, changed)

    def _rename(self, before: _Tensor, after: _Tensor) -> None:
        """What was this tensor is, for whoever reads it from now on, the one that it was changed into."""
        for name, tensor in self.tensors.items():
            if tensor is before:
                self.tensors[name] = after

    def _release(self, memory: _Memory) -> None:
        memory.count -= 1
        if not memory.count:
            self.alive -= memory.size

    def kept(self) -> int:
        """Bytes of distinct memory that the calls so far keep."""
        memories = {
            id(slots[slot].memory): slots[slot].memory for call, slots, _, _ in self.tape for slot in call.keeps
        }
        return sum(memory.size for memory in memories.values()) + sum(call.own for call, *_ in self.tape)

    def losses(self, batch: int) -> int:
        """A loss for each output, and the end of autocast; outputs are let go, labels and losses stay.

        Returns the bytes of the gradients of the losses, which live as long as the backward pass.
        """
        ends = []
        for name in self.outputs:
            output = self.tensors[name]
            self.alive += INT64 * batch * prod(output.form.shape[2:])  # labels, there from the start
            self.peak += INT64 * batch * prod(output.form.shape[2:])
        for name in self.outputs:
            made = loss_program(self.tensors[name].form, half=self.programs.half)
            keys = [self.programs.key(call.form) for call in made.calls]
            ends.append(self._call((made, keys), [self.tensors[name]], "loss", name))
        for name in self.outputs:
            self._release(self.tensors[name].memory)
        for memory in self.lasting:
            self._release(memory)
        followed = [end for end in ends if end.form.grad]
        for end in followed:
            end.gradient = (_Memory(FLOAT, 2), (), False)  # it is 1, and held by the caller of backward
        self.alive += FLOAT * len(followed)
        return FLOAT * len(followed)

    def backward(self) -> None:
        """Run the calls back, the last first. Gradients of parameters stay."""
        for call, slots, own, node in reversed(self.tape):
            tensor = slots[own]
            if tensor.gradient is None:
                continue
            incoming, strides, alone = tensor.gradient
            tensor.gradient = None
            back = call.backs.get(strides) or call.back(strides)
            if self.alive + back.rise > self.peak:
                self.peak, self.place = self.alive + back.rise, ("backward", node)
            self.alive += back.held - call.own
            made = []
            for _, size, _, view in back.flows:
                if size:
                    self.alive += size
                    made.append((_Memory(size), not view))
                else:
                    incoming.count += 1
                    made.append((incoming, alone and not view))
            self._release(incoming)
            for slot in call.keeps:
                self._release(slots[slot].memory)
            for flow, (memory, single) in zip(back.flows, made, strict=True):
                to = slots[flow.slot]
                if to.gradient is None:
                    to.gradient = (memory, flow.strides, single)
                else:
                    self._add(to, memory, flow.strides, node)
            if self.alive + back.settles > self.peak:
                self.peak, self.place = self.alive + back.settles, ("backward", node)

    def _add(self, tensor: _Tensor, memory: _Memory, strides: Shape, node: str) -> None:
        """A second gradient: added in place where the first is no view and nothing else refers to its memory."""
        assert tensor.gradient is not None
        first, first_strides, alone = tensor.gradient
        if not (alone and first.count == 1):
            form = tensor.form
            self.alive += form.size
            if self.alive > self.peak:
                self.peak, self.place = self.alive, ("backward", node)
            if strides != first_strides:
                strides = pointwise_strides(form.shape, (form.shape, first_strides), (form.shape, strides))
            tensor.gradient = (_Memory(form.size), strides, True)
            self._release(first)
        self._release(memory)


def training_step(graph: Graph, batch: int, *, optimizer: str, programs: Programs) -> Step:
    """A step in which optimizer state is there and gradients are not yet; auxiliary heads run.

    The peak holds the input, the labels, activations and gradients; parameters, buffers and optimizer state are not in.
    """
    run = _Execution(graph, batch, graph.outputs + graph.aux_outputs, FLOAT, programs)
    run.forward(training=True)
    kept = run.kept()
    begun = run.losses(batch)
    run.backward()
    run.alive -= begun
    if OPTIMIZER_STATE[optimizer] == 2 and run.alive + (more := _adam_scratch(graph, run.outputs)) > run.peak:
        return Step(Peak(run.alive + more, "optimizer", None), kept)
    return Step(Peak(run.peak, *run.place), kept)


def inference_peak(graph: Graph, batch: int, width: int, *, programs: Programs) -> Peak:
    """The peak of a run in evaluation mode without autograd, all numbers `width` bytes wide."""
    run = _Execution(graph, batch, graph.outputs, width, programs)
    run.forward(training=False)
    return Peak(run.peak, *run.place)


def _adam_scratch(graph: Graph, outputs: tuple[str, ...]) -> int:
    """Adam makes two tensors like each parameter in turn, while that of the one before is still referred to."""
    needed = graph.ancestors(outputs)
    trained = Graph(graph.name, graph.input_shape, tuple(node for node in graph if node.name in needed), outputs)
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    before = most = 0
    for name, shape in trained.state_shapes().items():
        if name.rpartition(".")[2] not in buffers:
            size = FLOAT * prod(shape)
            most, before = max(most, before + 2 * size), size
    return most
