"""Document + parameters -> Graph, in one pass.

Expressions are worked out, blocks and repetitions expanded, reads resolved and shapes inferred at the same time: that
is why `in_channels` may be used in an expression. After an error the shape of what follows is unknown; arguments
are still checked, and no error is reported that only follows from another. What the pass does not reach (an absent
node, a block that nothing calls) is checked by name afterwards, in `names_check.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import prod
from typing import Any, Final

from cnnspec.errors import Diagnostic, ShapeError
from cnnspec.graph import INPUT, Graph, Node, Origin
from cnnspec.hints import DEFINE_LAYER, channels_first, did_you_mean
from cnnspec.language.bind import bind_operator, check_names, name_arguments
from cnnspec.language.document import INLINE, Block, Body, Call, Document, Item
from cnnspec.language.item_parts import ItemParts
from cnnspec.language.names_check import check_names_everywhere
from cnnspec.language.results import LayerName, show
from cnnspec.language.tree import MAX_DEPTH
from cnnspec.language.values import Frame, Given, Log, Ref, Scope, TooMany, Values
from cnnspec.ops import JOINS, AbstractSpatialOp, Add, AnyOp, Concat, Mul, Shape, operators, show_shape

__all__ = ["MAX_NODES", "elaborate"]

MAX_NODES: Final = 20_000
MAX_NOTES: Final = 8  # of the blocks that led to an error
MAX_ELEMENTS: Final = 2**63 - 1  # of one tensor
AXIS_LIMIT: Final = 2**31 - 1
COPY_WORK: Final = 40  # of one copy of an item, in parts of an expression
CALL_WORK: Final = 100  # of one call of a block
SHAPE_ERRORS: Final = frozenset({"E201", "E202", "E203", "E204", "E205", "E207"})  # an operator refuses what it reads

_JOIN_OF: Final[dict[str, AnyOp]] = {"add": Add(), "mul": Mul(), "concat": Concat()}


class _Elaborator:
    def __init__(self, document: Document, max_nodes: int, path: str, faulty: bool, lenient: bool) -> None:
        self.document = document
        self.faulty = faulty
        self.lenient = lenient
        self.max_nodes = max_nodes
        self.path = path
        self.log = Log()
        self.values = Values(document, self.log, max_nodes)
        self.parts = ItemParts(self.values, self.log, max_nodes)
        self.nodes: list[Node] = []
        self.refused: list[Diagnostic] = []  # set aside: of layers that no output needs
        self.names: set[str] = set()
        self.out_shapes: dict[tuple[int, tuple[Shape, ...]], tuple[AnyOp, Shape]] = {}
        self.shared = Frame(Scope({}, frozenset()))  # the document's parameters and local values
        self.input_shape: Shape = ()

    # The document

    @property
    def faults(self) -> bool:
        """Whether anything is wrong so far: then what is missing at the end may only follow from it."""
        return self.faulty or bool(self.log.found)

    def run(self, settings: Mapping[str, Any], variant: str | None, input_shape: Shape | None) -> Graph | None:
        try:
            graph = self.top(settings, variant, input_shape)
            check_names_everywhere(self.document, self.log)
        except TooMany:
            return None
        return None if self.log.found else graph

    def top(self, settings: Mapping[str, Any], variant: str | None, input_shape: Shape | None) -> Graph | None:
        document, log = self.document, self.log
        frame = self.values.top_frame()
        variants = document.variants[variant] if variant is not None else ()
        given = {arg.name or "": Given(arg.expr, arg.expr.place) for arg in variants}
        given |= {name: Given(value, None) for name, value in settings.items()}
        self.values.bind_params(document.main, given, frame)
        source = Ref(INPUT, self.values.input_shape(frame) if input_shape is None else input_shape)
        self.input_shape = source.shape or ()
        shared = Frame(Scope(frame.scope, self.values.layers), unknown=frame.unknown)
        frame.bind_channels(source)
        self.values.bind_let(document.main, frame)
        for name, _ in document.main.let:
            if name in frame.scope:
                shared.bind(name, frame.scope[name])
            else:
                shared.lose(name)
        self.shared = shared
        frame.inputs = {INPUT: source}
        if document.main.body is None:
            return None
        last, siblings = self.body(document.main.body, "", source, frame)
        outputs = self.outputs("outputs", document.header.outputs, siblings, frame) or (last.name,)
        aux = self.outputs("aux_outputs", document.header.aux_outputs, siblings, frame)
        if self.lenient and self.names.issuperset(outputs):
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
        graph = Graph(name, source.shape, tuple(self.nodes), outputs, aux, mean, std, header.classes, self.path)
        return replace(graph.part(outputs), refused=tuple(self.refused)) if self.refused else graph

    def set_aside_shapes(self) -> None:
        """Take refused shapes out of what is wrong: the outputs have shapes, so that they need none of these layers."""
        found = self.log.found
        self.refused = [diagnostic for diagnostic in found if diagnostic.code in SHAPE_ERRORS]
        found[:] = [diagnostic for diagnostic in found if diagnostic.code not in SHAPE_ERRORS]

    def check_header(self, frame: Frame, shape: Shape | None, outputs: tuple[str, ...], numbers: int) -> None:
        document = self.document
        if shape and numbers not in (0, 1, shape[0]):
            message = f"`mean` and `std` have {numbers} numbers, but the input has {_channels(shape)}"
            meant = channels_first(shape)
            hint = f"channels come first: write `{list(meant)}`" if meant else None
            self.log.error(frame, "E206", message, document.places.get("input"), help=hint)
        classes = document.header.classes
        if classes and not self.faults and outputs:
            out = next((node.shape for node in self.nodes if node.name == outputs[0]), ())
            if out and out[0] != len(classes):
                vector = len(out) == 1
                holds = f"has {out[0]} values" if vector else f"is {show_shape(out)}: {_channels(out)}"
                hint = None if vector else "`Flatten` before the last dense layer makes the output a vector"
                message = f"`classes` names {len(classes)}, but the output {holds}"
                self.log.error(frame, "E206", message, document.places.get("classes"), help=hint)

    def outputs(self, key: str, names: tuple[str, ...], siblings: dict[str, Ref], frame: Frame) -> tuple[str, ...]:
        found = []
        for index, name in enumerate(names):
            if name in siblings:
                found.append(siblings[name].name)
            elif name in self.names:
                found.append(name)
            elif not self.faults:
                label = did_you_mean(name, [*siblings, *self.names])
                message = f"`{key}` names `{name:.60}`, which is no node"
                self.log.error(frame, "E109", message, self.document.places.get(f"{key}.{index}"), label)
        return tuple(found)

    # Blocks

    def call_block(self, block: Block, call: Call, name: str, reads: tuple[Ref, ...], frame: Frame) -> Ref:
        """Expand a block under the prefix `name`."""
        lost = Ref(name, None)
        if block.body is None:  # it could not be read; that has been reported
            return lost
        if block.name in frame.chain:
            chain = " -> ".join((*frame.chain[frame.chain.index(block.name) :], block.name))
            self.log.error(frame, "E116", f"the block {block.name} calls itself: {chain:.200}", call.place)
            return lost
        wanted = [key for key, _ in block.inputs] or [INPUT]
        if len(reads) != len(wanted):
            listed = f" ({', '.join(wanted)})" if block.inputs else ""
            message = f"{block.name} reads {len(wanted)} node{'s' if len(wanted) > 1 else ''}{listed}, not {len(reads)}"
            self.log.error(frame, "E109", message, call.place)
            return lost
        self.values.charge(CALL_WORK, frame, call.place)
        before = len(self.log.found)
        known = tuple(param.name for param in block.params)
        named = name_arguments(call, known, lambda d: self.log.report(d, frame))
        check_names(call, named, known, lambda d: self.log.report(d, frame))
        given, taken = self.values.arguments(named, frame)
        missing = [p.name for p in block.params if p.default is None and p.name not in named]
        if missing and len(self.log.found) == before:
            example = f"{call.target}({', '.join(p.name for p in block.params if p.default is None)})"
            self.log.error(frame, "E105", f"{call.target} needs `{missing[0]}`", call.place, help=f"write `{example}`")
        if len(self.log.found) > before:
            return lost
        note = f"in block {block.name} ({self.path}:{block.place.line}), expanded from {name}"
        inner = Frame(
            Scope(self.shared.scope, self.values.layers),
            stack=(note, *frame.stack)[:MAX_NOTES],
            chain=(*frame.chain, block.name),
            unknown=self.shared.unknown,
            depth=frame.depth,
        )
        inner.bind_channels(reads[0])
        self.values.bind_params(block, given, inner, taken)
        self.values.bind_let(block, inner)
        inner.inputs = {INPUT: reads[0], **dict(zip(wanted, reads, strict=True))}
        return self.body(block.body, name, reads[0], inner)[0]

    # Bodies

    def body(self, body: Body, prefix: str, source: Ref, frame: Frame) -> tuple[Ref, dict[str, Ref]]:
        """Elaborate the children of a body. Returns what the body gives, and its named children."""
        frame = frame.inner()
        if frame.depth > MAX_DEPTH:
            self.log.error(frame, "E118", f"blocks and bodies are nested deeper than {MAX_DEPTH} levels", body.place)
            raise TooMany
        current, results, index = source, [], 0
        for item in body.items:
            start = source if body.kind != "layers" else current
            copies, index = self.item(item, prefix, start, frame, index, body.kind)
            results += copies
            current = copies[-1] if copies else start
        if body.kind != "layers":
            origin = Origin(body.place, frame.stack)
            current = self.node(prefix or body.kind, _JOIN_OF[body.kind], tuple(results), origin, frame)
        return current, frame.siblings

    def item(self, item: Item, prefix: str, start: Ref, frame: Frame, index: int, kind: str) -> tuple[list[Ref], int]:
        """All copies of one item: what they give, and the next index of a list.

        An absent copy gives what it would have read; side by side with others it is the identity.
        """
        reads = self.parts.resolve(item, frame)
        first = reads[-1] if reads else start
        results: list[Ref] = []
        current, nested = first, 0
        count = self.parts.count(item, frame)
        for i in range(1 if count is None else count):
            inner = frame if item.repeat is None else frame.copy_number(i)
            self.values.charge(COPY_WORK, frame, item.place)
            key = self.parts.render_key(item, inner) if item.template else item.key
            present = self.parts.present(item, inner)
            if present is False:
                if kind != "layers":
                    results.append(first)
                if key is not None and item.template:
                    frame.siblings[key] = current
                continue
            if item.body is not None and item.body.kind == INLINE and len(reads or (first,)) == 1:
                inlined, index = self.inline(item.body, prefix, current, inner, index, kind)
                results += inlined
                current = inlined[-1] if kind == "layers" else first
                continue
            name = str(index) if key is None else key
            if key is None:
                index += 1
            elif item.repeat is not None and not item.template:
                name = f"{name}.{nested}"
                nested += 1
            taken = reads if reads is not None and not (results and kind == "layers") else (current,)
            full = f"{prefix}.{name}" if prefix else name
            twin = key in frame.siblings
            if twin:
                self.log.error(frame, "E108", f"two nodes of this body are called `{key}`", item.place)
            result = Ref(full, None) if twin else self.one(item, full, taken, inner)
            if count is None or present is None:
                result = Ref(full, None)
            results.append(result)
            current = result if kind == "layers" else first
            if key is not None and item.template:
                frame.siblings[key] = result
        results = results or [first]
        if item.key is not None and not item.template:
            frame.siblings[item.key] = results[-1]
        return results, index

    def inline(self, body: Body, prefix: str, start: Ref, frame: Frame, index: int, kind: str) -> tuple[list[Ref], int]:
        """Children that take the next places of the list around them, and the next index of that list."""
        results: list[Ref] = []
        for item in body.items:
            taken = results[-1] if results and kind == "layers" else start
            copies, index = self.item(item, prefix, taken, frame, index, kind)
            results += copies
        return results or [start], index

    def one(self, item: Item, name: str, reads: tuple[Ref, ...], frame: Frame) -> Ref:
        """One copy of an item that is present."""
        lost = Ref(name, None)
        if item.body is not None:
            if len(reads) != 1:
                hint = "join them with Add, Mul or Concat" if reads else None
                self.log.error(frame, "E109", f"a body reads one node, not {len(reads)}", item.place, help=hint)
                return lost
            return self.body(item.body, name, reads[0], frame)[0]
        if item.call is None:  # it could not be read; that has been reported
            return lost
        call = item.call
        target = call.target
        if target in frame.unknown:
            return lost
        if target in frame.scope:
            held = frame.scope[target]
            if not isinstance(held, LayerName):
                self.log.error(frame, "E103", f"`{target}` is {show(held)}, not a layer", call.place)
                return lost
            target = held.name
        if target in self.document.blocks:
            return self.call_block(self.document.blocks[target], call, name, reads, frame)
        if target not in operators():
            label = did_you_mean(target, [*operators(), *self.document.blocks])
            hint = None if label else DEFINE_LAYER
            self.log.error(frame, "E103", f"there is no layer `{target:.60}`", call.place, label, hint)
            return lost
        op = bind_operator(
            call,
            target,
            lambda expr: self.values.value(expr, frame),
            lambda word: word in frame.scope or word in frame.unknown,
            lambda d: self.log.report(d, frame),
            reads[0].shape if reads else None,
        )
        if op is None:
            return lost
        return self.node(name, op, reads, Origin(call.place, frame.stack), frame)

    def node(self, name: str, op: AnyOp, reads: tuple[Ref, ...], origin: Origin, frame: Frame) -> Ref:
        """Add a node to the graph."""
        lost = Ref(name, None)
        if not isinstance(op, JOINS) and len(reads) != 1:
            message = f"{op.op_name} reads one node, not {len(reads)}"
            hint = "join them with Add, Mul or Concat" if reads else None
            self.log.error(frame, "E109", message, origin.place, help=hint)
            return lost
        if not reads:
            message = f"{op.op_name} wants the names of the nodes that it joins"
            self.log.error(frame, "E109", message, origin.place, help=f"write `{op.op_name}(one, other)`")
            return lost
        if len(self.nodes) >= self.max_nodes:
            message = f"the network has more than {self.max_nodes:,} nodes"
            self.log.error(frame, "E113", message, origin.place, help="`--max-nodes` raises the limit")
            raise TooMany
        if name in self.names:
            self.log.error(frame, "E108", f"two nodes are called `{name}`", origin.place)
            return lost
        shapes = tuple(ref.shape for ref in reads if ref.shape is not None)
        if len(shapes) != len(reads):
            return lost
        try:
            shape = self.out_shape(op, shapes)
        except ShapeError as error:
            given = ", ".join(f"{show_shape(ref.shape or ())} from {ref.name}" for ref in reads[:8])
            hint, resizable = self.shape_hint(error.code, op, reads[0])
            named = error.message.startswith(op.op_name)
            message = error.message if named else f"{op.op_name}: {error.message}"
            notes = (f"{name} reads {given}",)
            found = Diagnostic(error.code, message, origin.place, notes=notes, help=hint, resizable=resizable)
            self.log.report(found, frame)
            return lost
        self.names.add(name)
        self.nodes.append(Node(name, op, tuple(ref.name for ref in reads), shapes, shape, origin))
        return Ref(name, shape)

    def shape_hint(self, code: str, op: AnyOp, read: Ref) -> tuple[str | None, bool]:
        """The way out for an operator that does not take the shape it reads, and whether it is another input size."""
        given = self.input_shape
        meant = channels_first(given) if given else None
        if code == "E202" and read.name == INPUT and isinstance(op, AbstractSpatialOp) and op.rank == len(given):
            meant = (1, *given)
        if meant:
            return f"channels come first: write `input: {list(meant)}`", False
        resizable = code == "E201"
        return f"`cnnspec sizes {self.path}` tells the input sizes that fit" if resizable else None, resizable

    def out_shape(self, op: AnyOp, shapes: tuple[Shape, ...]) -> Shape:
        """The shape of an operator's output, worked out once for equal layers: they share their operator."""
        key = (id(op), shapes)
        if (found := self.out_shapes.get(key)) is not None:
            return found[1]
        shape = op.out_shape(*shapes)
        if max(shape, default=0) > AXIS_LIMIT or prod(shape) > MAX_ELEMENTS:
            raise ShapeError("the output is too large: an axis has 2^31-1 places at most", "E207")
        self.out_shapes[key] = op, shape  # the operator is held, so that its identity stays its own
        return shape


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
) -> tuple[Graph | None, list[Diagnostic]]:
    """The graph that a document declares, and everything that is wrong with it (then the graph is None).

    `params` override the document's parameters and those of `variant`; `input_shape` overrides its input.
    `faulty` says that errors have been found before. `lenient` leaves out what refuses the input and is needed by no
    output; the graph says so in `refused`. Raises UsageError for a value of `params` that its parameter
    cannot hold.
    """
    elaborator = _Elaborator(document, max_nodes, path, faulty, lenient)
    graph = elaborator.run(params or {}, variant, input_shape)
    return graph, elaborator.log.found
