"""What is known of a network while its source is written: every copy of every item, and the shapes that it reads."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cnnspec.codegen.expressions import UnsayableError, value_of
from cnnspec.codegen.names import Names
from cnnspec.errors import Place
from cnnspec.graph import INPUT, Graph
from cnnspec.language.document import INLINE, Block, Document, Item
from cnnspec.language.expand import Use
from cnnspec.language.results import LayerName
from cnnspec.ops import AnyOp, Shape, show_shape
from cnnspec.ops.torch_call import TorchCall, torch_call

__all__ = ["Known", "Pool", "holds", "input_channels", "running"]

Pool = list[ast.expr]  # expressions that may be a size of a value: its channels, or its last axis

_RUNNING = "@"  # before the name of a variable of the source that holds the channels of the value at hand


def running(name: str, version: int) -> ast.Name:
    """A variable of the source, `channels`, as it is after it was set for the `version`th time."""
    return ast.Name(f"{_RUNNING}{name}:{version}", ast.Load())


def holds(tree: ast.expr, name: str) -> bool:
    """Whether an expression names `name`, or for `@` any variable of the source."""
    names = (node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    return any(found == name or (name == _RUNNING and found.startswith(_RUNNING)) for found in names)


@dataclass
class Known:
    """A document, the graph that it comes to, and the copies of its items that are there."""

    document: Document
    graph: Graph
    uses: Mapping[Place, list[Use]]  # by the place of the item
    names: Names
    by_block: Mapping[str, list[Use]] = field(default_factory=dict)  # copies of items inside of a block's body

    @classmethod
    def of(cls, document: Document, graph: Graph, uses: Iterable[Use]) -> Known:
        """What the copies of items say, in the order of running."""
        by_item: dict[Place, list[Use]] = {}
        by_block: dict[str, list[Use]] = {}
        for use in uses:
            by_item.setdefault(use.item.place, []).append(use)
            by_block.setdefault(use.frame.chain[-1] if use.frame.chain else "", []).append(use)
        return cls(document, graph, by_item, Names(document), by_block)

    def of_item(self, item: Item) -> list[Use]:
        """The copies of an item that are there; of one that only holds others, theirs."""
        if item.body is not None and item.body.kind == INLINE:
            return [use for child in item.body.items for use in self.of_item(child)]
        return self.uses.get(item.place, [])

    def shape(self, name: str) -> Shape:
        """The shape of a value."""
        return self.graph.shape_of(name)

    def ins(self, uses: Iterable[Use], axis: int = 0) -> list[int]:
        """How long this axis is of what each copy reads first."""
        return [self.shape(use.reads[0])[axis] for use in uses]

    def outs(self, uses: Iterable[Use], axis: int = 0) -> list[int]:
        """How long this axis is of what each copy gives."""
        return [self.shape(use.result.name)[axis] for use in uses]

    def op(self, use: Use) -> AnyOp:
        """The operator of a copy."""
        node = self.graph.by_name.get(use.name)
        if node is None:
            raise UnsayableError(f"{use.name} is no layer")
        return node.op

    def call(self, use: Use) -> TorchCall:
        """What a copy of an operator is in torch."""
        return torch_call(self.op(use), *self.graph.by_name[use.name].input_shapes)

    def target(self, use: Use) -> str:
        """The operator or block that a copy of a call is."""
        assert use.item.call is not None
        held = use.frame.scope.get(use.item.call.target)
        return held.name if isinstance(held, LayerName) else use.item.call.target

    def may_be_none(self, item: Item, block: Block) -> bool:
        """Whether an item's layer is a parameter that holds None somewhere."""
        if item.call is None or item.call.target in self.document.blocks:
            return False
        inside = self.by_block.get("" if block is self.document.main else block.name, [])
        return any(use.frame.scope.get(item.call.target, self) is None for use in inside)

    def is_right(self, tree: ast.expr, values: list[Any], uses: list[Use], alive: Mapping[str, int]) -> bool:
        """Whether an expression comes to these values, one for each copy."""
        own = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id.startswith(_RUNNING)}
        if any(alive.get(name[1:].partition(":")[0]) != int(name.partition(":")[2]) for name in own):
            return False
        for value, use in zip(values, uses, strict=True):
            scope = use.frame.scope
            others = {name: size for name, size in input_channels(use).items() if holds(tree, name)}
            if others:
                scope = type(scope)({**scope, **others}, scope.layers)
            if own:
                channels = self.shape(use.reads[0])[0]
                scope = type(scope)({**scope, **dict.fromkeys(own, channels)}, scope.layers)
            try:
                found = value_of(tree, scope)
            except UnsayableError:
                return False
            if type(found) is not type(value) or found != value:
                return False
        return True

    def shapes(self, uses: list[Use]) -> str:
        """The shapes that copies give, as a remark: all that differ, the first and the last where they are many."""
        shown = list(dict.fromkeys(show_shape(self.shape(use.result.name)) for use in uses))
        return ", ".join(shown) if len(shown) < 3 else f"{shown[0]}, …, {shown[-1]}"


def input_channels(use: Use) -> dict[str, int]:
    """The channels of the inputs of the block that a copy is in, but of the first, by what the source calls them."""
    return {
        f"{name}_channels": ref.shape[0]
        for name, ref in use.frame.inputs.items()
        if name != INPUT and ref.shape is not None and f"{name}_channels" not in use.frame.scope
    }
