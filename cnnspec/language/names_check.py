"""Names, checked everywhere in a document without working anything out.

Elaboration checks what it reaches. This reaches the rest: absent nodes, blocks that nothing calls, variants that were
not chosen. Where elaboration has found something at a place, nothing more is said about it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import lru_cache

from cnnspec.errors import Diagnostic, Place
from cnnspec.graph import INPUT
from cnnspec.hints import did_you_mean, no_layer
from cnnspec.language.bind import argument_names, check_names, name_arguments
from cnnspec.language.document import Block, Body, Call, Document, Expr, Item
from cnnspec.language.functions import FUNCTIONS
from cnnspec.language.values import Frame, Log, Scope, layer_names, read_hint
from cnnspec.ops import operators

__all__ = ["check_names_everywhere"]

Names = dict[str, None]  # in the order of the text: of names that are equally near, a hint has always the same


class _Checker:
    def __init__(self, document: Document, log: Log) -> None:
        self.document = document
        self.log = log
        self.frame = Frame(Scope({}, {}))
        self.nodes: Names = {}  # of the body that is being checked, so far
        self.places = {diagnostic.place for diagnostic in log.found}
        self.layers = layer_names(document)
        main = document.main
        self.shared = _held(main)

    def report(self, diagnostic: Diagnostic) -> None:
        if diagnostic.place not in self.places:
            self.places.add(diagnostic.place)
            self.log.report(diagnostic, self.frame)

    def error(self, code: str, message: str, place: Place, label: str | None = None, help: str | None = None) -> None:
        self.report(Diagnostic(code, message, place, label, help=help))

    def document_names(self) -> None:
        document = self.document
        known = dict.fromkeys(param.name for param in document.main.params)
        for variant, settings in document.variants.items():
            for setting in settings:
                if setting.name not in known:
                    label = did_you_mean(setting.name or "", known)
                    message = f"the variant {variant:.60} sets `{setting.name:.60}`, which is no parameter"
                    self.error("E115", message, setting.place, label)
                self.expr(setting.expr, known)
        for block in document.blocks.values():
            if block.name in operators():
                message = f"a block may not be called `{block.name}`: that is an operator"
                self.error("E108", message, block.place)
        self.block(document.main)
        for block in document.blocks.values():
            self.frame = Frame(Scope({}, {}), stack=(f"in block {block.name:.60}",))
            self.block(block)

    def block(self, block: Block) -> None:
        for param in block.params:
            if param.name in self.layers:
                self.error("E108", f"a parameter may not be called `{param.name}`: that is a layer", param.place)
        held = self.shared | _held(block)
        names = held | dict.fromkeys(("in_channels", "in_features"))
        for expr in (param.default for param in block.params):
            if expr is not None:
                self.expr(expr, names)
        for _, expr in block.let:
            self.expr(expr, names)
        if block.body is not None:
            self.body(block.body, names, held, dict.fromkeys((INPUT, *(name for name, _ in block.inputs))))

    def body(self, body: Body, names: Names, held: Names, inputs: Names) -> None:
        earlier = dict(inputs)
        templates = False
        for item in body.items:
            self.nodes = earlier
            seen = names if item.repeat is None else names | {"i": None}
            if item.key in inputs and item.key != INPUT:
                self.error("E108", f"`{item.key}` is an input of the block already", item.place)
            for name, place in item.reads or ():
                if name not in earlier and not templates:
                    label = did_you_mean(name, earlier)
                    self.error("E109", f"there is no earlier node `{name:.60}` in this body", place, label)
            if item.repeat is not None:
                self.expr(item.repeat, names)
            for expr in _expressions(item):
                self.expr(expr, seen)
            if item.call is not None and item.call.target not in held:
                self.call(item.call, seen)
            if item.body is not None:
                self.body(item.body, seen, held, inputs)
            if item.template:
                templates = True
            elif item.key is not None:
                earlier[item.key] = None

    def call(self, call: Call, names: Names) -> None:
        if call.target in self.document.blocks:
            block = self.document.blocks[call.target]
            if block.body is None:
                return
            positional = known = tuple(param.name for param in block.params)
            words: tuple[str, ...] = ()
        elif call.target in operators():
            op = operators()[call.target][0]
            positional, known, words = op.positional, argument_names(call.target), op.words
        else:
            message, label, hint = no_layer(call.target, self.layers)
            self.error("E103", message, call.place, label, hint)
            for arg in call.args:
                if not isinstance(arg.expr.value, ast.Name):  # which may be a word
                    self.expr(arg.expr, names)
            return
        named = name_arguments(call, positional, self.report)
        check_names(call, named, known, self.report)
        for name, arg in named.items():
            if name in known and name not in words:
                self.expr(arg.expr, names)

    def expr(self, expr: Expr, names: Names) -> None:
        if isinstance(expr.value, list):
            for item in expr.value:
                self.expr(item, names)
        elif isinstance(expr.value, ast.expr) and not isinstance(expr.value, ast.Constant):
            for node in _names_in(expr.value):
                if not self.known(node.id, names):
                    label = did_you_mean(node.id, [*names, *self.layers, *FUNCTIONS, "True", "False", "None"])
                    place = expr.place.shifted(node.col_offset - expr.start, len(node.id))
                    hint = None if label else read_hint(node.id, self.nodes.keys())
                    self.error("E110", f"`{node.id:.60}` is not defined here", place, label, hint)

    def known(self, name: str, names: Names) -> bool:
        return name in names or name in self.layers


@lru_cache(maxsize=4096)  # a text that is read again while it is typed has the same trees, but for one line
def _names_in(tree: ast.expr) -> tuple[ast.Name, ...]:
    """Where an expression names a value; functions that it calls are none."""
    nodes = tuple(ast.walk(tree))
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    return tuple(node for node in nodes if isinstance(node, ast.Name) and id(node) not in called)


def _held(block: Block) -> Names:
    """The names that a block gives values: its parameters, and what it lets stand for something."""
    return dict.fromkeys((*(param.name for param in block.params), *(name for name, _ in block.let)))


def _expressions(item: Item) -> Iterator[Expr]:
    """The expressions of an item besides its arguments and its repetition."""
    if item.when is not None:
        yield item.when
    for part in item.template:
        if isinstance(part, Expr):
            yield part


def check_names_everywhere(document: Document, log: Log) -> None:
    """Report every name of the document that means nothing, where elaboration has reported nothing."""
    _Checker(document, log).document_names()
