"""Bodies and calls, expanded into nodes.

After an error the shape of what follows is unknown; arguments are still checked, and no error is reported that only
follows from another. A node is unsure where an error leaves open whether it is there, or how it is called.
"""

from __future__ import annotations

import ast
from contextlib import suppress
from dataclasses import dataclass, replace
from math import prod
from typing import Final, NamedTuple

from cnnspec.errors import Diagnostic, ShapeError
from cnnspec.graph import INPUT, Node, Origin
from cnnspec.hints import no_layer
from cnnspec.language.bind import bind_operator, check_names, name_arguments
from cnnspec.language.document import INLINE, Block, Body, Call, Document, Item
from cnnspec.language.item_parts import ItemParts
from cnnspec.language.results import LayerName, show
from cnnspec.language.tree import MAX_DEPTH
from cnnspec.language.values import Frame, Log, Ref, Scope, TooMany, UnknownValue, Values
from cnnspec.language.ways_out import WaysOut
from cnnspec.ops import JOINS, Add, AnyOp, Concat, Mul, Shape, operators, show_shape

__all__ = ["JOIN_OF", "Expander", "Use"]

MAX_NOTES: Final = 8  # of the blocks that led to an error
MAX_ELEMENTS: Final = 2**63 - 1  # of one tensor
AXIS_LIMIT: Final = 2**31 - 1
COPY_WORK: Final = 40  # of one copy of an item, in parts of an expression
CALL_WORK: Final = 100  # of one call of a block
_JOIN_THEM: Final = "join them with Add, Mul or Concat"

JOIN_OF: Final[dict[str, AnyOp]] = {"add": Add(), "mul": Mul(), "concat": Concat()}


class Use(NamedTuple):
    """One copy of an item that is there: an item of a block that is called twice has two."""

    item: Item
    name: str  # of the node, or of what its nodes have before their own names
    reads: tuple[str, ...]
    result: Ref  # the node that it comes to; without a shape after an error
    frame: Frame  # what names stand for in it


@dataclass(slots=True)
class _Numbers:
    """The numbers that the unnamed children of a list take."""

    next: int = 0
    sure: bool = True  # whether it is known how many have been taken

    def take(self) -> str:
        number = self.next
        self.next += 1
        return str(number)


class Expander:
    """Collects the nodes of bodies. `shared` has the document's own names, `input_shape` is the network's."""

    def __init__(self, document: Document, values: Values, log: Log, max_nodes: int, path: str) -> None:
        self.blocks = document.blocks
        self.ways_out = WaysOut(document, path)
        self.values = values
        self.log = log
        self.max_nodes = max_nodes
        self.path = path
        self.parts = ItemParts(values, log, max_nodes)
        self.nodes: list[Node] = []
        self.uses: list[Use] = []
        self.names: dict[str, None] = {}
        self.unsure: set[str] = set()
        self.out_shapes: dict[tuple[int, tuple[Shape, ...]], tuple[AnyOp, Shape]] = {}
        self.shared = Frame(Scope({}, {}))
        self.input_shape: Shape = ()

    def settled(self) -> tuple[Node, ...]:
        """The nodes that no error touches: neither they nor what they read are unsure."""
        known = {INPUT}
        nodes = []
        for node in self.nodes:
            if node.name not in self.unsure and known.issuperset(node.inputs):
                known.add(node.name)
                nodes.append(node)
        return tuple(nodes)

    # Blocks

    def call_block(self, block: Block, call: Call, name: str, reads: tuple[Ref, ...], frame: Frame) -> Ref:
        """Expand a block under the prefix `name`.

        After a faulty call too, for what is wrong in its body: the parameters that the fault leaves open are unknown.
        """
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
            reads = (lost,) * len(wanted)
        self.values.charge(CALL_WORK, frame, call.place)
        misnamed = False

        def report(diagnostic: Diagnostic) -> None:
            nonlocal misnamed
            misnamed = True  # in every copy, though the error is kept once
            self.log.report(diagnostic, frame)

        known = tuple(param.name for param in block.params)
        named = name_arguments(call, known, report)
        check_names(call, named, known, report)
        given, taken = self.values.arguments(named, frame)
        missing = [p.name for p in block.params if p.default is None and p.name not in named]
        if missing and not misnamed:
            example = f"{call.target}({', '.join(p.name for p in block.params if p.default is None)})"
            self.log.error(frame, "E105", f"{call.target} needs `{missing[0]}`", call.place, help=f"write `{example}`")
        unknown = taken.union([name for name in known if name not in named] if misnamed else missing)
        faulty = misnamed or bool(unknown) or reads[0] is lost
        note = f"in block {block.name} ({self.path}:{block.place.line}), expanded from {name}"
        inner = Frame(
            Scope(self.shared.scope, self.values.layers),
            stack=(note, *frame.stack)[:MAX_NOTES],
            chain=(*frame.chain, block.name),
            unknown=self.shared.unknown,
            depth=frame.depth,
            unsure=frame.unsure or faulty,
        )
        inner.bind_channels(reads[0])
        self.values.bind_params(block, given, inner, unknown)
        self.values.bind_let(block, inner)
        inner.inputs = {INPUT: reads[0], **dict(zip(wanted, reads, strict=True))}
        result = self.body(block.body, name, reads[0], inner)[0]
        return lost if faulty else result

    # Bodies

    def body(self, body: Body, prefix: str, source: Ref, frame: Frame) -> tuple[Ref, dict[str, Ref]]:
        """Elaborate the children of a body. Returns what the body gives, and its named children."""
        frame = frame.inner()
        if frame.depth > MAX_DEPTH:
            self.log.error(frame, "E118", f"blocks and bodies are nested deeper than {MAX_DEPTH} levels", body.place)
            raise TooMany
        if not body.items:  # that has been reported
            return Ref(prefix, None), frame.siblings
        current, results, numbers = source, [], _Numbers()
        for item in body.items:
            start = source if body.kind != "layers" else current
            copies = self.item(item, prefix, start, frame, numbers, body.kind)
            results += copies
            current = copies[-1] if copies else start
        if body.kind != "layers":
            origin = Origin(body.place, frame.stack)
            current = self.node(prefix or body.kind, JOIN_OF[body.kind], tuple(results), origin, frame)
        return current, frame.siblings

    def item(self, item: Item, prefix: str, start: Ref, frame: Frame, numbers: _Numbers, kind: str) -> list[Ref]:
        """All copies of one item: what they give.

        An absent copy gives what it would have read; side by side with others it is the identity.
        """
        reads = self.parts.resolve(item, frame)
        first = reads[-1] if reads else start
        results: list[Ref] = []
        current, nested = first, 0
        count = self.parts.count(item, frame)
        sure = item.sound and count is not None and (item.key is not None or numbers.sure)
        for i in range(1 if count is None else count):
            inner = frame if item.repeat is None else frame.copy_number(i)
            self.values.charge(COPY_WORK, frame, item.place)
            key = self.parts.render_key(item, inner) if item.template else item.key
            present = self.parts.present(item, inner)
            sure = sure and present is not None and not (item.template and key is None)
            if not sure:
                inner = replace(inner, unsure=True)
            if present is False:
                if kind != "layers":
                    results.append(first)
                if key is not None and item.template:
                    frame.siblings[key] = current
                continue
            if item.body is not None and item.body.kind == INLINE and len(reads or (first,)) == 1:
                inlined = self.inline(item.body, prefix, current, inner, numbers, kind)
                results += inlined
                current = inlined[-1] if kind == "layers" else first
                continue
            name = numbers.take() if key is None else key
            if key is not None and item.repeat is not None and not item.template:
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
            self.uses.append(Use(item, full, tuple([ref.name for ref in taken]), result, inner))
            results.append(result)
            current = result if kind == "layers" else first
            if key is not None and item.template:
                frame.siblings[key] = result
        results = results or [first]
        numbers.sure = numbers.sure and (sure or item.key is not None)
        if item.key is not None and not item.template:
            frame.siblings[item.key] = results[-1]
        return results

    def inline(self, body: Body, prefix: str, start: Ref, frame: Frame, numbers: _Numbers, kind: str) -> list[Ref]:
        """Children that take the next places of the list around them."""
        results: list[Ref] = []
        for item in body.items:
            taken = results[-1] if results and kind == "layers" else start
            results += self.item(item, prefix, taken, frame, numbers, kind)
        return results or [start]

    def one(self, item: Item, name: str, reads: tuple[Ref, ...], frame: Frame) -> Ref:
        """One copy of an item that is present."""
        lost = Ref(name, None)
        if item.body is not None:
            if len(reads) != 1:
                hint = _JOIN_THEM if reads else None
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
        if target in self.blocks:
            return self.call_block(self.blocks[target], call, name, reads, frame)
        if target not in operators():
            if not self.log.knows("E103", call.place):  # what may be meant takes long to find
                message, label, hint = no_layer(target, [*operators(), *self.blocks])
                self.log.error(frame, "E103", message, call.place, label, hint)
            for arg in call.args:
                if arg.expr.value is not None and not isinstance(arg.expr.value, ast.Name):  # which may be a word
                    with suppress(UnknownValue):
                        self.values.value(arg.expr, frame)
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
        return self.node(name, op, reads, Origin(call.place, frame.stack), frame, item)

    def node(
        self,
        name: str,
        op: AnyOp,
        reads: tuple[Ref, ...],
        origin: Origin,
        frame: Frame,
        item: Item | None = None,
    ) -> Ref:
        """Add a node to the graph. `item` is what it was written as, unless a body joins its branches."""
        lost = Ref(name, None)
        fewest, most = op.arity
        if not isinstance(op, JOINS) and len(reads) != 1:
            message = f"{op.op_name} reads one node, not {len(reads)}"
            hint = _JOIN_THEM if reads else None
            self.log.error(frame, "E109", message, origin.place, help=hint)
            return lost
        if not reads:
            message = f"{op.op_name} wants the names of the nodes that it joins"
            self.log.error(frame, "E109", message, origin.place, help=f"write `{op.op_name}(one, other)`")
            return lost
        if len(reads) < fewest or (most is not None and len(reads) > most):
            message = f"{op.op_name} reads {fewest} nodes, not {len(reads)}"
            self.log.error(frame, "E109", message, origin.place, help=f"write `{op.op_name}(one, other)`")
            return lost
        if len(self.nodes) >= self.max_nodes:
            message = f"the network has more than {self.max_nodes:,} nodes"
            self.log.error(frame, "E113", message, origin.place, help="`--max-nodes` raises the limit")
            raise TooMany
        if name in self.names:
            self.log.error(frame, "E108", f"two nodes are called `{name}`", origin.place)
            return lost
        shapes = tuple([ref.shape for ref in reads if ref.shape is not None])
        if len(shapes) != len(reads):
            return lost
        try:
            shape = self.out_shape(op, shapes)
        except ShapeError as error:
            if self.log.knows(error.code, origin.place):
                return lost
            given = ", ".join(f"{show_shape(ref.shape or ())} from {ref.name}" for ref in reads[:8])
            way = self.ways_out.of(error, op, reads, self.nodes, self.input_shape, item)
            message, notes = error.of(op.op_name), (f"{name} reads {given}",)
            refusal = Diagnostic(
                error.code,
                message,
                origin.place,
                notes=notes,
                help=way.help,
                resizable=way.resizable,
                fix=way.fix,
            )
            self.log.report(refusal, frame)
            return lost
        self.names[name] = None
        if frame.unsure:
            self.unsure.add(name)
        self.nodes.append(Node(name, op, tuple([ref.name for ref in reads]), shapes, shape, origin))
        return Ref(name, shape)

    def out_shape(self, op: AnyOp, shapes: tuple[Shape, ...]) -> Shape:
        """The shape of an operator's output, worked out once for equal layers: they share their operator."""
        key = (id(op), shapes)
        if (known := self.out_shapes.get(key)) is not None:
            return known[1]
        shape = op.out_shape(*shapes)
        if max(shape, default=0) > AXIS_LIMIT or prod(shape) > MAX_ELEMENTS:
            raise ShapeError("the output is too large: an axis has 2^31-1 places at most", "E207")
        self.out_shapes[key] = op, shape  # the operator is held, so that its identity stays its own
        return shape
