"""A tree to blocks, innermost first: scopes of one class become calls of one block, or of as few as can be."""

from __future__ import annotations

import re
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final

from cnnspec.outline.kinds import Kinds
from cnnspec.outline.names import block_name
from cnnspec.outline.places import Path
from cnnspec.outline.repeats import folded
from cnnspec.outline.sketch import Block, Body, Item, body_of, can_stand_in_place, leaf_item
from cnnspec.outline.templates import Instance, Template, laid_over, template
from cnnspec.outline.tree import Child, Leaf, Scope

__all__ = ["Strategy", "fold"]

CONTAINERS: Final = frozenset({"Sequential", "ModuleList", "ModuleDict"})


@dataclass(frozen=True, slots=True)
class Strategy:
    """How scopes are taken for instances of one block."""

    by_class: bool = True  # by the names of classes, where they are known
    containers: bool = False  # containers of equal children are blocks as well
    small: bool = False  # so is what is shorter in place


def fold(tree: Scope, strategy: Strategy) -> tuple[Body, list[Block]]:
    """The body of the network, and the blocks that it calls."""
    return _Folder(tree, strategy).run()


@dataclass
class _Folder:
    tree: Scope
    strategy: Strategy
    kinds: Kinds = field(default_factory=Kinds)
    calls: dict[Path, Item] = field(default_factory=dict)  # of scopes that are blocks

    def run(self) -> tuple[Body, list[Block]]:
        for group in _groups(self.tree, self.strategy):
            self.make_block(group)
        main = Instance(self.body(self.tree), self.tree.input_shapes, self.tree.shape)
        main.body.kind = "layers"
        return self.root(main), list(self.kinds.blocks.values())

    def root(self, main: Instance) -> Body:
        slots = laid_over([main])
        assert slots is not None
        return template("", slots, [main], self.kinds).block.body

    def body(self, scope: Scope) -> Body:
        """The body of a scope, with calls of the blocks that there are."""
        items = [self.item(child) for child in scope.children]
        body = body_of(scope, items) if scope.path else Body("layers", items, True)
        return folded(body, self.kinds)

    def item(self, child: Child) -> Item:
        if isinstance(child, Leaf):
            return leaf_item(child)
        call = self.calls.get(child.path)
        if call is not None:
            return Item(child.key, child.reads, call.target, dict(call.args), source=child)
        body = self.body(child)
        if can_stand_in_place(body, len(child.reads)):
            return Item(child.key, child.reads, body=body, source=child)
        self.make_block([child])
        return self.item(child)

    def make_block(self, group: list[Scope]) -> None:
        """One block for these scopes, or as few as can be."""
        instances = [Instance(self.body(scope), scope.input_shapes, scope.shape) for scope in group]
        if self.stay_in_place(group, instances):
            return
        for numbers in _clusters(instances):
            members = [instances[number] for number in numbers]
            slots = laid_over(members)
            assert slots is not None
            first = group[numbers[0]]
            name = block_name(first.kind if self.strategy.by_class else None, first.path, self.kinds.blocks)
            made = template(name, slots, members, self.kinds)
            self.note(made, [group[number] for number in numbers])

    def note(self, made: Template, scopes: list[Scope]) -> None:
        self.kinds.blocks[made.block.name] = made.block
        self.kinds.params[made.block.name] = made.kinds
        for scope, args in zip(scopes, made.arguments, strict=True):
            self.calls[scope.path] = Item(scope.key, (), made.block.name, args)

    def stay_in_place(self, group: list[Scope], instances: list[Instance]) -> bool:
        """Whether scopes are shorter where they are."""
        if not all(can_stand_in_place(each.body, len(each.input_shapes)) for each in instances):
            return False
        least = min(len(each.body.items) for each in instances)
        return len(group) == 1 or (least == 1 and not self.strategy.small)


def _clusters(instances: list[Instance]) -> list[list[int]]:
    """Which instances one block can stand for, the most first."""
    if laid_over(instances) is not None:
        return [list(range(len(instances)))]
    alike: dict[Hashable, list[int]] = {}
    for number, instance in enumerate(instances):
        alike.setdefault(_outline(instance.body), []).append(number)
    clusters: list[list[int]] = []
    for numbers in sorted(alike.values(), key=lambda each: -len(each)):
        for cluster in clusters:
            if laid_over([instances[number] for number in cluster + numbers]) is not None:
                cluster += numbers
                break
        else:
            clusters.append(numbers)
    return [sorted(cluster) for cluster in clusters]


def _outline(body: Body) -> Hashable:
    return (
        body.kind,
        body.named,
        tuple(
            (item.key, item.target, item.reads, item.count is None, item.body and _outline(item.body))
            for item in body.items
        ),
    )


# Which scopes belong together ---------------------------------------------------------------------------------------


def _groups(tree: Scope, strategy: Strategy) -> list[list[Scope]]:
    """Scopes of one block, inner blocks first."""
    members: dict[Hashable, list[Scope]] = {}
    levels: dict[Hashable, int] = {}
    heights: dict[Path, int] = {}
    for scope in tree.scopes():
        inner = [heights[child.path] for child in scope.children if isinstance(child, Scope)]
        heights[scope.path] = 1 + max(inner, default=0)
        kind = _kind(scope, strategy) if scope.path else None
        if kind is not None:
            members.setdefault(kind, []).append(scope)
    for kind in _split_nested(members):
        levels[kind] = max(heights[scope.path] for scope in members[kind])
    order = _inner_first(members)
    return [members[kind] for kind in order]


def _split_nested(members: dict[Hashable, list[Scope]]) -> list[Hashable]:
    """Blocks may not call themselves: a class with instances inside of its own is one block for each depth."""
    for kind in list(members):
        paths = {scope.path for scope in members[kind]}
        depths: dict[int, list[Scope]] = {}
        for scope in members[kind]:
            inside = sum(1 for path in paths if len(path) > len(scope.path) and path[: len(scope.path)] == scope.path)
            depths.setdefault(inside, []).append(scope)
        if len(depths) > 1:
            del members[kind]
            members.update({(kind, depth): scopes for depth, scopes in depths.items()})
    return list(members)


def _inner_first(members: dict[Hashable, list[Scope]]) -> list[Hashable]:
    """The kinds, each behind those that its scopes hold. A circle of kinds is cut where it is met."""
    of_path = {scope.path: kind for kind, scopes in members.items() for scope in scopes}
    order: dict[Hashable, None] = {}
    open_kinds: set[Hashable] = set()

    def visit(kind: Hashable) -> None:
        if kind in order or kind in open_kinds:
            return
        open_kinds.add(kind)
        for scope in members[kind]:
            for inner in scope.scopes():
                if inner is not scope and inner.path in of_path:
                    visit(of_path[inner.path])
        order[kind] = None

    for kind in members:
        visit(kind)
    return list(order)


def _kind(scope: Scope, strategy: Strategy) -> Hashable | None:
    """What scopes of one block have in common; None for those that stay in place."""
    named = scope.kind if strategy.by_class else None
    if named is not None and named not in CONTAINERS:
        return named
    if named in CONTAINERS and not strategy.containers:
        return None
    if _is_run(scope):
        return None
    children = tuple(_child_kind(child) for child in scope.children)
    numbers = re.sub(r"\d+", "#", scope.path[-1])
    return ("alike", numbers if not numbers.strip("#") else "", children)


def _is_run(scope: Scope) -> bool:
    """Whether a scope is a list of alike scopes: a stage."""
    return all(isinstance(child, Scope) for child in scope.children)


def _child_kind(child: Child) -> Hashable:
    return (child.key, child.node.op.op_name if isinstance(child, Leaf) else child.kind or "")
