"""Document + parameters -> Graph, in one pass.

Expressions are worked out, blocks and repetitions expanded, reads resolved and shapes inferred at the same time: that
is why `in_channels` may be used in an expression. After an error the shape of what follows is unknown; arguments
are still checked, and no error is reported that only follows from another.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cnnspec.errors import Diagnostic, Place, ShapeError
from cnnspec.graph import INPUT, Graph, Node, Origin
from cnnspec.ops import JOINS, Add, AnyOp, Concat, Mul, Shape, operators, show_shape
from cnnspec.spec.bind import UnknownValue, argument_names, bind_operator, check_names, name_arguments
from cnnspec.spec.document import Block, Body, Call, Document, Expr, Item
from cnnspec.spec.expression import ExpressionError, LayerName, UnknownNameError, evaluate
from cnnspec.spec.hints import did_you_mean

__all__ = ["MAX_NODES", "elaborate"]

MAX_NODES: Final = 20_000
MAX_ERRORS: Final = 50
MAX_EXPANSIONS: Final = 8  # blocks within blocks; recursion is refused before

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
    "size": (int, tuple),
    "list": (list, tuple),
    "layer": (LayerName, type(None)),
}
_JOIN_OF: Final[dict[str, AnyOp]] = {"add": Add(), "mul": Mul(), "concat": Concat()}


@dataclass(frozen=True, slots=True)
class _Ref:
    """A value in the graph: which node gives it, and its shape (None after an error)."""

    name: str
    shape: Shape | None


@dataclass(slots=True)
class _Frame:
    """Where elaboration is: the block's names, its inputs, and the calls that led here."""

    scope: dict[str, Any]
    inputs: dict[str, _Ref]
    block: str | None = None
    stack: tuple[str, ...] = ()  # notes for diagnostics, innermost first
    chain: tuple[str, ...] = ()  # names of the open blocks
    unknown: frozenset[str] = field(default_factory=frozenset)  # names whose value an error has taken


class _TooMany(Exception):
    """A limit was passed; the diagnostic has been reported."""


class _Elaborator:
    def __init__(self, document: Document, max_nodes: int, path: str | None) -> None:
        self.document = document
        self.max_nodes = max_nodes
        self.path = path or "spec"
        self.nodes: list[Node] = []
        self.names: set[str] = set()
        self.found: list[Diagnostic] = []
        self.seen: set[tuple[str, str, Place | None]] = set()
        self.main_scope: dict[str, Any] = {}

    # Errors

    def report(self, diagnostic: Diagnostic, frame: _Frame) -> None:
        key = (diagnostic.code, diagnostic.message, diagnostic.place)
        if key in self.seen:  # the same line, expanded again
            return
        self.seen.add(key)
        self.found.append(replace(diagnostic, notes=(*diagnostic.notes, *frame.stack)))
        if len(self.found) >= MAX_ERRORS:
            raise _TooMany

    def error(
        self,
        frame: _Frame,
        code: str,
        message: str,
        place: Place | None,
        label: str | None = None,
        help: str | None = None,
    ) -> None:
        self.report(Diagnostic(code, message, place, label, help=help), frame)

    # Values

    def value(self, expr: Expr, frame: _Frame, extra: Mapping[str, Any] | None = None) -> Any:
        """The value of an expression. Reports a fault and raises UnknownValue."""
        scope = {**frame.scope, **extra} if extra else frame.scope
        return self.evaluate(expr, scope, frame)

    def evaluate(self, expr: Expr, scope: Mapping[str, Any], frame: _Frame) -> Any:
        if isinstance(expr.value, list):
            return [self.evaluate(item, scope, frame) for item in expr.value]
        if expr.value is None and expr.word is not None:
            self.error(frame, "E106", f"a quoted word `{expr.word:.40}` is no value here", expr.place)
            raise UnknownValue
        if not isinstance(expr.value, ast.expr):
            return expr.value
        try:
            return evaluate(expr.value, scope)
        except UnknownNameError as error:
            if error.name in frame.unknown:
                raise UnknownValue from None
            if error.name in operators() or error.name in self.document.blocks:
                if isinstance(expr.value, ast.Name):
                    return LayerName(error.name)
                message = f"the layer `{error.name}` has no place in arithmetic"
                self.error(frame, "E110", message, self.inside(expr, error.offset, error.length))
                raise UnknownValue from None
            label = did_you_mean(error.name, [*scope, *self.document.blocks])
            self.error(frame, "E110", error.message, self.inside(expr, error.offset, error.length), label)
            raise UnknownValue from None
        except ExpressionError as error:
            place = self.inside(expr, error.offset, error.length)
            self.error(frame, "E110", error.message, place, help=error.help)
            raise UnknownValue from None

    @staticmethod
    def inside(expr: Expr, offset: int, length: int) -> Place:
        """The place of a part: offsets count from the text that the tree was parsed from."""
        start = getattr(expr.value, "col_offset", 0)
        return expr.place.shifted(offset - start, length)

    # The document

    def run(self, overrides: Mapping[str, Any], variant: str | None, input_shape: Shape | None) -> Graph | None:
        frame = _Frame({}, {})
        try:
            return self.top(frame, overrides, variant, input_shape)
        except _TooMany:
            return None

    def top(
        self, frame: _Frame, overrides: Mapping[str, Any], variant: str | None, input_shape: Shape | None
    ) -> Graph | None:
        document = self.document
        self.check_blocks(frame)
        settings: dict[str, Any] = {}
        if variant is not None:
            for name, expr in document.variants[variant].items():
                if name not in {param.name for param in document.main.params}:
                    label = did_you_mean(name, [param.name for param in document.main.params])
                    self.error(
                        frame, "E115", f"the variant {variant} sets `{name}`, which is no parameter", expr.place, label
                    )
                else:
                    settings[name] = expr
        self.bind_params(document.main, settings | dict(overrides), frame)
        source = _Ref(INPUT, self.input_shape(frame) if input_shape is None else input_shape)
        self.bind_channels(frame, source)
        self.bind_let(document.main, frame)
        frame.inputs = {INPUT: source}
        self.main_scope = frame.scope
        if document.main.body is None:
            return None
        siblings: dict[str, _Ref] = {}
        last = self.body(document.main.body, "", source, frame, {}, siblings)
        outputs = self.outputs("outputs", document.header.outputs, siblings, frame) or (last.name,)
        aux = self.outputs("aux_outputs", document.header.aux_outputs, siblings, frame)
        if not self.found and (not self.nodes or last.name == INPUT):
            self.error(frame, "E107", "the network has no layer: its output is its input", document.main.body.place)
        shape = source.shape
        self.check_header(frame, shape, outputs)
        if self.found or shape is None:
            return None
        header = document.header
        channels = shape[0]
        mean, std = (values * channels if len(values) == 1 else values for values in (document.mean, document.std))
        name = header.name if variant is None else variant
        return Graph(name, shape, tuple(self.nodes), outputs, aux, mean, std, header.classes, self.path)

    def check_blocks(self, frame: _Frame) -> None:
        for block in self.document.blocks.values():
            if block.name in operators():
                self.error(frame, "E108", f"a block may not be called `{block.name}`: that is an operator", block.place)
        for owner in (self.document.main, *self.document.blocks.values()):
            for param in owner.params:
                if param.name in operators() or param.name in self.document.blocks:
                    message = f"a parameter may not be called `{param.name}`: that is a layer"
                    self.error(frame, "E108", message, param.place)

    def input_shape(self, frame: _Frame) -> Shape | None:
        expr = self.document.input_shape
        if expr is None:
            return None
        try:
            value = self.value(expr, frame)
        except UnknownValue:
            return None
        shape = tuple(value) if isinstance(value, (list, tuple)) else (value,)
        if not 1 <= len(shape) <= 4 or any(type(size) is not int or not 1 <= size < 2**31 for size in shape):
            message = "the input shape is one to four whole numbers: features, or channels and up to three axes"
            self.error(frame, "E107", message, expr.place, help="for example `input: [3, 224, 224]`")
            return None
        return shape

    def check_header(self, frame: _Frame, shape: Shape | None, outputs: tuple[str, ...]) -> None:
        document = self.document
        if shape and document.mean and len(document.mean) not in (1, shape[0]):
            message = f"`mean` and `std` have {len(document.mean)} numbers, but the input has {shape[0]} channels"
            self.error(frame, "E206", message, document.places.get("input"))
        classes = document.header.classes
        if classes and not self.found and outputs:
            out = next((node.shape for node in self.nodes if node.name == outputs[0]), ())
            if len(out) == 1 and out[0] != len(classes):
                message = f"`classes` names {len(classes)}, but the output has {out[0]} values"
                self.error(frame, "E206", message, document.places.get("classes"))

    def outputs(self, key: str, names: tuple[str, ...], siblings: dict[str, _Ref], frame: _Frame) -> tuple[str, ...]:
        found = []
        for name in names:
            if name in siblings:
                found.append(siblings[name].name)
            elif name in self.names:
                found.append(name)
            elif not self.found:
                label = did_you_mean(name, [*siblings, *self.names])
                self.error(
                    frame, "E109", f"`{key}` names `{name:.60}`, which is no node", self.document.places.get(key), label
                )
        return tuple(found)

    # Blocks

    def bind_params(self, block: Block, given: Mapping[str, Any], frame: _Frame) -> None:
        """Put the parameters of a block in scope: given values (Expr or plain), then defaults."""
        for param in block.params:
            place = param.place
            try:
                if param.name in given:
                    value = given[param.name]
                    if isinstance(value, Expr):
                        place = value.place
                        value = self.value(value, frame)
                elif param.default is not None:
                    value = self.value(param.default, frame)
                else:
                    owner = "the spec" if block is self.document.main else block.name
                    hint = f"`--set {param.name}=...`" if block is self.document.main else None
                    self.error(frame, "E105", f"{owner} needs `{param.name}`", place, help=hint)
                    raise UnknownValue
                self.check_type(param.name, param.type, value, place, frame)
            except UnknownValue:
                frame.scope.pop(param.name, None)
                frame.unknown |= {param.name}
                continue
            frame.scope[param.name] = value

    def check_type(self, name: str, kind: str | None, value: Any, place: Place, frame: _Frame) -> None:
        if kind is None:
            return
        good = isinstance(value, _TYPES[kind]) and (kind == "bool" or not isinstance(value, bool))
        if kind == "size" and isinstance(value, tuple):
            good = all(type(size) is int for size in value)
        if not good:
            shown = value.name if isinstance(value, LayerName) else f"{value!r:.60}"
            self.error(frame, "E115", f"`{name}` is of type {kind}, not {shown}", place)
            raise UnknownValue

    def bind_channels(self, frame: _Frame, source: _Ref) -> None:
        frame.scope.pop("in_channels", None)
        frame.scope.pop("in_features", None)
        if source.shape is None:
            frame.unknown |= {"in_channels", "in_features"}
        else:
            frame.unknown -= {"in_channels", "in_features"}
            frame.scope["in_channels"] = source.shape[0]
            frame.scope["in_features"] = source.shape[-1]

    def bind_let(self, block: Block, frame: _Frame) -> None:
        for name, expr in block.let:
            try:
                frame.scope[name] = self.value(expr, frame)
            except UnknownValue:
                frame.scope.pop(name, None)
                frame.unknown |= {name}

    def call_block(
        self, block: Block, call: Call, name: str, reads: tuple[_Ref, ...], frame: _Frame, extra: Mapping[str, Any]
    ) -> _Ref:
        """Expand a block under the prefix `name`."""
        lost = _Ref(name, None)
        if block.name in frame.chain:
            chain = " -> ".join((*frame.chain, block.name))
            self.error(frame, "E116", f"the block {block.name} calls itself: {chain}", call.place)
            return lost
        wanted = [key for key, _ in block.inputs] or [INPUT]
        if len(reads) != len(wanted):
            listed = f" ({', '.join(wanted)})" if block.inputs else ""
            message = f"{block.name} reads {len(wanted)} node{'s' if len(wanted) > 1 else ''}{listed}, not {len(reads)}"
            self.error(frame, "E109", message, call.place)
            return lost
        before = len(self.found)
        known = tuple(param.name for param in block.params)
        named = name_arguments(call, known, lambda d: self.report(d, frame))
        check_names(call, named, known, lambda d: self.report(d, frame))
        given: dict[str, Any] = {}
        unknown: frozenset[str] = frozenset()
        for key, arg in named.items():
            try:
                given[key] = self.value(arg.expr, frame, extra)
            except UnknownValue:
                unknown |= {key}
        if len(self.found) > before:
            return lost
        main = self.document.main
        shared = {p.name for p in main.params} | {key for key, _ in main.let}
        note = f"in block {block.name} ({self.path}:{block.place.line}), expanded from {name}"
        scope = {key: value for key, value in self.main_scope.items() if key in shared}
        inner = _Frame(scope, {}, block.name, (note, *frame.stack)[:MAX_EXPANSIONS], (*frame.chain, block.name))
        inner.unknown = frozenset(key for key in shared if key not in scope)
        self.bind_channels(inner, reads[0])
        missing = [p.name for p in block.params if p.default is None and p.name not in given and p.name not in unknown]
        if missing:
            self.error(frame, "E105", f"{block.name} needs `{missing[0]}`", call.place)
            return lost
        inner_params = replace(block, params=tuple(p for p in block.params if p.name not in unknown))
        self.bind_params(inner_params, given, inner)
        for key in unknown:
            inner.scope.pop(key, None)
        inner.unknown |= unknown
        self.bind_let(block, inner)
        inner.inputs = {INPUT: reads[0], **dict(zip(wanted, reads, strict=True))}
        if block.body is None:
            return lost
        return self.body(block.body, name, reads[0], inner, {}, {})

    # Bodies

    def body(
        self, body: Body, prefix: str, source: _Ref, frame: _Frame, extra: Mapping[str, Any], siblings: dict[str, _Ref]
    ) -> _Ref:
        """Elaborate the children of a body; `siblings` collects the named ones. Returns what the body gives."""
        current, results, index = source, [], 0
        for item in body.items:
            start = source if body.kind != "layers" else current
            copies, index = self.item(item, prefix, start, frame, extra, siblings, index, body.kind)
            results += copies
            current = copies[-1] if copies else start
        if body.kind == "layers":
            return current
        name = prefix or body.kind
        origin = Origin(body.place, frame.stack)
        return self.node(name, _JOIN_OF[body.kind], tuple(results), origin, frame)

    def item(
        self,
        item: Item,
        prefix: str,
        start: _Ref,
        frame: _Frame,
        extra: Mapping[str, Any],
        siblings: dict[str, _Ref],
        index: int,
        kind: str,
    ) -> tuple[list[_Ref], int]:
        """All copies of one item: what they give, and the next index of a list."""
        reads = self.resolve(item, siblings, frame)
        first = start if reads is None else (reads[-1] if reads else start)
        count = self.count(item, frame, extra)
        results: list[_Ref] = []
        current, nested = first, 0
        for i in range(count):
            inner = {**extra, "i": i} if item.repeat is not None else extra
            present = self.present(item, frame, inner)
            if not present:
                if i == 0:
                    self.check_absent(item, frame)
                if kind != "layers":
                    results.append(start)
                continue
            if item.template:
                key = self.render_key(item, frame, inner)
                name = f"{prefix}.{key}" if prefix else key
            else:
                key = item.key if item.key is not None else str(index)
                name = f"{prefix}.{key}" if prefix else key
                if item.key is None:
                    index += 1
                elif item.repeat is not None:
                    name = f"{name}.{nested}"
                    nested += 1
            taken = reads if reads is not None and (not results or kind != "layers") else (current,)
            result = self.one(item, name, taken, frame, inner)
            results.append(result)
            current = result if kind == "layers" else first
            if item.template:
                self.define(key, result, siblings, item, frame)
        if not results and kind == "layers":
            current = first
        outcome = results[-1] if results else first
        if item.key is not None and not item.template:
            self.define(item.key, outcome, siblings, item, frame)
        if kind == "layers" and not results:
            return [first], index
        return results, index

    def define(self, key: str, ref: _Ref, siblings: dict[str, _Ref], item: Item, frame: _Frame) -> None:
        if key in siblings:
            self.error(frame, "E108", f"two nodes of this body are called `{key}`", item.place)
        siblings[key] = ref

    def one(self, item: Item, name: str, reads: tuple[_Ref, ...], frame: _Frame, extra: Mapping[str, Any]) -> _Ref:
        """One copy of an item that is present."""
        if item.body is not None:
            if len(reads) != 1:
                self.error(frame, "E109", f"a body reads one node, not {len(reads)}", item.place)
                return _Ref(name, None)
            return self.body(item.body, name, reads[0], frame, extra, {})
        if item.call is None:  # it could not be read; that has been reported
            return _Ref(name, None)
        call = item.call
        target = call.target
        held = frame.scope.get(target)
        if target in frame.unknown:
            return _Ref(name, None)
        if target in frame.scope:
            if held is None:  # a parameter that holds no layer: the node is absent
                return reads[-1]
            if not isinstance(held, LayerName):
                self.error(frame, "E103", f"`{target}` is {held!r:.40}, not a layer", call.place)
                return _Ref(name, None)
            target = held.name
        if target in self.document.blocks:
            return self.call_block(self.document.blocks[target], call, name, reads, frame, extra)
        if target not in operators():
            label = did_you_mean(target, [*operators(), *self.document.blocks])
            self.error(frame, "E103", f"there is no layer `{target}`", call.place, label)
            return _Ref(name, None)
        op = bind_operator(call, target, lambda expr: self.value(expr, frame, extra), lambda d: self.report(d, frame))
        if op is None:
            return _Ref(name, None)
        return self.node(name, op, reads, Origin(call.place, frame.stack), frame)

    def node(self, name: str, op: AnyOp, reads: tuple[_Ref, ...], origin: Origin, frame: _Frame) -> _Ref:
        """Add a node to the graph."""
        if not isinstance(op, JOINS) and len(reads) != 1:
            message = f"{op.op_name} reads one node, not {len(reads)}"
            self.error(frame, "E109", message, origin.place, help="join them with Add, Mul or Concat")
            return _Ref(name, None)
        if not reads:
            self.error(frame, "E109", f"{op.op_name} wants the names of the nodes that it joins", origin.place)
            return _Ref(name, None)
        if len(self.nodes) >= self.max_nodes:
            message = f"the network has more than {self.max_nodes:,} nodes"
            self.error(frame, "E113", message, origin.place, help="`--max-nodes` raises the limit")
            raise _TooMany
        if name in self.names:
            self.error(frame, "E108", f"two nodes are called `{name}`", origin.place)
            return _Ref(name, None)
        shapes = tuple(ref.shape for ref in reads if ref.shape is not None)
        if len(shapes) != len(reads):
            return _Ref(name, None)
        try:
            shape = op.out_shape(*shapes)
        except ShapeError as error:
            given = ", ".join(f"{show_shape(ref.shape or ())} from {ref.name}" for ref in reads)
            diagnostic = Diagnostic(
                error.code, f"{op.op_name}: {error.message}", origin.place, notes=(f"{name} reads {given}",)
            )
            self.report(diagnostic, frame)
            return _Ref(name, None)
        self.names.add(name)
        self.nodes.append(Node(name, op, tuple(ref.name for ref in reads), shapes, shape, origin))
        return _Ref(name, shape)

    # The parts of an item

    def resolve(self, item: Item, siblings: dict[str, _Ref], frame: _Frame) -> tuple[_Ref, ...] | None:
        if item.reads is None:
            return None
        found = []
        for name, place in item.reads:
            if name in siblings:
                found.append(siblings[name])
            elif name in frame.inputs:
                found.append(frame.inputs[name])
            else:
                known = [*siblings, *frame.inputs]
                label = did_you_mean(name, known)
                hint = None if label else f"there are: {', '.join(known[-12:])}"
                message = f"there is no earlier node `{name:.60}` in this body"
                self.error(frame, "E109", message, place, label, hint)
                found.append(_Ref(name, None))
        return tuple(found)

    def count(self, item: Item, frame: _Frame, extra: Mapping[str, Any]) -> int:
        if item.repeat is None:
            return 1
        try:
            value = self.value(item.repeat, frame, extra)
        except UnknownValue:
            return 1
        if type(value) is not int:
            self.error(frame, "E112", f"a repetition wants a whole number, not {value!r:.60}", item.repeat.place)
            return 1
        if value < 0:
            self.error(frame, "E112", f"a repetition of {value} is negative", item.repeat.place)
            return 1
        if value > self.max_nodes:
            message = f"{value:,} copies are more than the {self.max_nodes:,} nodes that a network may have"
            self.error(frame, "E113", message, item.repeat.place, help="`--max-nodes` raises the limit")
            raise _TooMany
        return value

    def present(self, item: Item, frame: _Frame, extra: Mapping[str, Any]) -> bool:
        if item.when is None:
            return True
        try:
            value = self.value(item.when, frame, extra)
        except UnknownValue:
            return True
        if not isinstance(value, bool):
            self.error(frame, "E111", f"a condition is True or False, not {value!r:.60}", item.when.place)
            return True
        return value

    def check_absent(self, item: Item, frame: _Frame) -> None:
        """The arguments of an absent node are checked by name."""
        if item.call is None or item.call.target in frame.scope:
            return
        target, call = item.call.target, item.call
        if target in self.document.blocks:
            params = tuple(param.name for param in self.document.blocks[target].params)
            named = name_arguments(call, params, lambda d: self.report(d, frame))
            check_names(call, named, params, lambda d: self.report(d, frame))
        elif target in operators():
            named = name_arguments(call, operators()[target][0].positional, lambda d: self.report(d, frame))
            check_names(call, named, argument_names(target), lambda d: self.report(d, frame))
        else:
            label = did_you_mean(target, [*operators(), *self.document.blocks])
            self.error(frame, "E103", f"there is no layer `{target}`", call.place, label)

    def render_key(self, item: Item, frame: _Frame, extra: Mapping[str, Any]) -> str:
        parts = []
        for part in item.template:
            if isinstance(part, str):
                parts.append(part)
                continue
            try:
                value = self.value(part, frame, extra)
            except UnknownValue:
                value = 0
            if type(value) is not int or value < 0:
                self.error(frame, "E108", f"a name is made of whole numbers, not {value!r:.40}", part.place)
                value = 0
            parts.append(str(value))
        return "".join(parts)


def elaborate(
    document: Document,
    *,
    variant: str | None = None,
    params: Mapping[str, Any] | None = None,
    input_shape: Shape | None = None,
    max_nodes: int = MAX_NODES,
    path: str | None = None,
) -> tuple[Graph | None, list[Diagnostic]]:
    """The graph that a document declares, and everything that is wrong with it (then the graph is None).

    `params` override the document's parameters and those of `variant`; `input_shape` overrides its input.
    """
    elaborator = _Elaborator(document, max_nodes, path)
    graph = elaborator.run(params or {}, variant, input_shape)
    return graph, elaborator.found
