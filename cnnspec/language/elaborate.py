"""Document + parameters -> Graph, in one pass.

Expressions are worked out, blocks and repetitions expanded, reads resolved and shapes inferred at the same time: that
is why `in_channels` may be used in an expression (`expand.py`). What the pass does not reach (an absent node, a block
that nothing calls) is checked by name afterwards, in `names_check.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple

from cnnspec.errors import Diagnostic
from cnnspec.graph import INPUT, MAX_NODES, Graph, Node
from cnnspec.hints import channels_first, did_you_mean
from cnnspec.language.document import Document
from cnnspec.language.expand import Expander, Use
from cnnspec.language.names_check import check_names_everywhere
from cnnspec.language.values import WORK_PER_NODE, Frame, Given, Log, Ref, Scope, TooMany, Values
from cnnspec.ops import Shape, show_shape
from cnnspec.ops.linear import Linear
from cnnspec.places import LayerBefore
from cnnspec.tasks import misfit

__all__ = ["TOGETHER", "Outcome", "elaborate"]

TOGETHER: Final = 5  # times the nodes of one network are worked out for a spec and all its variants
SHAPE_ERRORS: Final = frozenset({"E201", "E202", "E203", "E204", "E205", "E207"})  # an operator refuses what it reads


class Outcome(NamedTuple):
    """What a document comes to: its graph, or all that is wrong with it and what is known in spite of that.

    `nodes` are those of the graph or, where there is none, the nodes that no error touches, each as it will be when
    what is wrong is put right: an error takes the node that it is in and all that depend on it. A line that cannot be
    read counts as one layer, and of a key that stands twice the first. `uses` are the copies of items that were
    worked out, in running order, those inside a body before the body itself.
    """

    graph: Graph | None
    nodes: tuple[Node, ...]
    diagnostics: tuple[Diagnostic, ...]
    work: int = 0  # that it was to come to this, counted in nodes
    uses: tuple[Use, ...] = ()


class _Elaborator:
    def __init__(self, document: Document, max_nodes: int, path: str, faulty: bool, lenient: bool) -> None:
        self.document = document
        self.faulty = faulty
        self.lenient = lenient
        self.path = path
        self.log = Log()
        self.values = Values(document, self.log, max_nodes)
        self.expander = Expander(document, self.values, self.log, max_nodes, path)
        self.refused: list[Diagnostic] = []  # set aside: of layers that no output needs

    @property
    def faults(self) -> bool:
        """Whether anything is wrong so far: then what is missing at the end may only follow from it."""
        return self.faulty or bool(self.log.found)

    def run(self, settings: Mapping[str, Any], variant: str | None, input_shape: Shape | None) -> Graph | None:
        graph = None
        with suppress(TooMany):
            graph = self.top(settings, variant, input_shape)
        if not self.log.full:  # a network of too many nodes may have other errors too
            with suppress(TooMany):
                check_names_everywhere(self.document, self.log)
        return None if self.log.found else graph

    def top(self, settings: Mapping[str, Any], variant: str | None, input_shape: Shape | None) -> Graph | None:
        document, log = self.document, self.log
        frame = self.values.top_frame()
        variants = document.variants[variant] if variant is not None else ()
        given = {arg.name or "": Given(arg.expr, arg.expr.place) for arg in variants}
        given |= {name: Given(value, None) for name, value in settings.items()}
        self.values.bind_params(document.main, given, frame)
        source = Ref(INPUT, self.values.input_shape(frame) if input_shape is None else input_shape)
        self.expander.input_shape = source.shape or ()
        shared = Frame(Scope(frame.scope, self.values.layers), unknown=frame.unknown)
        frame.bind_channels(source)
        self.values.bind_let(document.main, frame)
        for name, _ in document.main.let:
            if name in frame.scope:
                shared.bind(name, frame.scope[name])
            else:
                shared.lose(name)
        self.expander.shared = shared
        frame.inputs = {INPUT: source, **{name: Ref(name, None) for name, _ in document.main.inputs}}
        if document.main.body is None:
            return None
        last, siblings = self.expander.body(document.main.body, "", source, frame)
        outputs = self.outputs("outputs", document.header.outputs, siblings, frame) or (last.name,)
        aux = self.outputs("aux_outputs", document.header.aux_outputs, siblings, frame)
        if self.lenient and all(name in self.expander.names for name in outputs):
            self.set_aside_shapes()
        if not self.faults and last.name == INPUT:
            place = document.main.body.place
            log.error(frame, "E107", "the network has no layer: its output is its input", place)
        mean, std = self.values.normalisation(frame)
        self.check_header(frame, source.shape, outputs, len(mean))
        if log.found or source.shape is None:
            return None
        header = document.header
        mean, std = (n * source.shape[0] if len(n) == 1 else n for n in (mean, std))
        name = header.name if variant is None else variant
        graph = Graph(
            name, source.shape, tuple(self.expander.nodes), outputs, aux, mean, std, header.classes, header.task,
            self.path, intake=document.intake,
        )  # fmt: skip
        return replace(graph.part(outputs), refused=tuple(self.refused)) if self.refused else graph

    def set_aside_shapes(self) -> None:
        """Take refused shapes out of what is wrong: the outputs have shapes, so that they need none of these layers."""
        errors = self.log.found
        self.refused = [diagnostic for diagnostic in errors if diagnostic.code in SHAPE_ERRORS]
        errors[:] = [diagnostic for diagnostic in errors if diagnostic.code not in SHAPE_ERRORS]

    def check_header(self, frame: Frame, shape: Shape | None, outputs: tuple[str, ...], numbers: int) -> None:
        document = self.document
        if shape and (unfit := document.intake.misfit(shape)):
            self.log.error(frame, "E107", unfit, document.places.get("input"))
        if shape and numbers not in (0, 1, shape[0]):
            message = f"`mean` and `std` have {numbers} numbers, but the input has {_channels(shape)}"
            meant = channels_first(shape)
            hint = f"channels come first: write `{list(meant)}`" if meant else None
            fix = self.expander.ways_out.written(meant) if meant else None
            self.log.report(Diagnostic("E206", message, document.places.get("input"), help=hint, fix=fix), frame)
        if not self.faults and outputs and shape:
            out = next((node.shape for node in self.expander.nodes if node.name == outputs[0]), ())
            self.check_output(frame, shape, out)

    def check_output(self, frame: Frame, shape: Shape, out: Shape) -> None:
        classes, task = self.document.header.classes, self.document.header.task
        key, unfit = "task", misfit(task, shape, out) if task is not None and out else None
        if unfit is None and classes and out and out[0] != len(classes):
            holds = f"has {out[0]} values" if len(out) == 1 else f"is {show_shape(out)}: {_channels(out)}"
            key, unfit = "classes", f"`classes` names {len(classes)}, but the output {holds}"
        if unfit is not None:
            wants_vector = len(out) > 1 and (key == "classes" or task is None or task.name != "segmentation")
            hint = "`Flatten` before the last dense layer makes the output a vector" if wants_vector else None
            fix = self.flattened() if wants_vector else None
            self.log.report(Diagnostic("E206", unfit, self.document.places.get(key), help=hint, fix=fix), frame)

    def flattened(self) -> LayerBefore | None:
        """A `Flatten` before the first dense layer that reads a map, if there is one."""
        for node in self.expander.nodes:
            if isinstance(node.op, Linear) and len(node.input_shapes[0]) > 1:
                return LayerBefore("Flatten", "flatten", item=node.origin.place)
        return None

    def outputs(self, key: str, names: tuple[str, ...], siblings: dict[str, Ref], frame: Frame) -> tuple[str, ...]:
        nodes = []
        for index, name in enumerate(names):
            if name in siblings:
                nodes.append(siblings[name].name)
            elif name in self.expander.names:
                nodes.append(name)
            elif not self.faults:
                label = did_you_mean(name, [*siblings, *self.expander.names])
                message = f"`{key}` names `{name:.60}`, which is no node"
                self.log.error(frame, "E109", message, self.document.places.get(f"{key}.{index}"), label)
        return tuple(nodes)


def _channels(shape: Shape) -> str:
    return f"{shape[0]} channel{'s' * (shape[0] != 1)}"


def elaborate(
    document: Document,
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
    path: str = "spec",
    faulty: bool = False,
    lenient: bool = False,
) -> Outcome:
    """The graph that a document declares, or everything that is wrong with it and the nodes that are known.

    `params` override the document's parameters and those of `variant`; `input_shape` overrides its input.
    `faulty` says that errors have been found before. `lenient` leaves out what refuses the input and is needed by no
    output; the graph says so in `refused`. Raises UsageError for a value of `params` that its parameter
    cannot hold.
    """
    elaborator = _Elaborator(document, max_nodes, path, faulty, lenient)
    graph = elaborator.run(params or {}, variant, input_shape)
    nodes = elaborator.expander.settled() if graph is None or faulty else graph.nodes
    work = len(elaborator.expander.nodes) + elaborator.values.work // WORK_PER_NODE
    return Outcome(graph, nodes, tuple(elaborator.log.found), work, tuple(elaborator.expander.uses))
