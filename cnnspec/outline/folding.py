"""A tree to blocks, innermost first: scopes of one class become calls of one block, or of as few as can be."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from cnnspec.ops import operators
from cnnspec.outline.in_place import put_in_place
from cnnspec.outline.kinds import Kinds
from cnnspec.outline.names import block_name
from cnnspec.outline.repeats import folded
from cnnspec.outline.sketch import Block, Body, Item, body_of, can_stand_in_place, leaf_item, spliced
from cnnspec.outline.templates import Instance, Template, laid_over, template
from cnnspec.outline.tree import Child, Leaf, Scope

__all__ = ["Strategy", "fold"]

CONTAINERS: Final = frozenset({"Sequential", "ModuleList", "ModuleDict"})


@dataclass(frozen=True, slots=True)
class Strategy:
    """How scopes are taken for instances of one block."""

    by_class: bool = True  # by the names of classes, where they are known
    containers: bool = False  # containers of equal children are blocks as well
    small: bool = False  # so is a list of copies


def fold(trees: Sequence[Scope], strategy: Strategy) -> tuple[Template, list[Block]] | None:
    """The network of these trees as one template, and the blocks that it calls. None where they are too different."""
    return _Folder(trees, strategy).run()


@dataclass
class _Folder:
    trees: Sequence[Scope]
    strategy: Strategy
    kinds: Kinds = field(default_factory=Kinds)
    calls: dict[int, Item] = field(default_factory=dict)  # of scopes that are blocks, by their identity
    unnamed: set[str] = field(default_factory=set)  # blocks that no class has named

    def run(self) -> tuple[Template, list[Block]] | None:
        for group in _groups(self.trees, self.strategy):
            self.make_block(group)
        mains = [Instance(self.body(tree), tree.input_shapes, tree.shape) for tree in self.trees]
        slots = laid_over(mains)
        if slots is None:
            return None
        made = template("", slots, mains, self.kinds)
        made.block.body, blocks = put_in_place(made.block.body, list(self.kinds.blocks.values()), self.unnamed)
        return made, blocks

    def body(self, scope: Scope, *, chain: bool = False) -> Body:
        """The body of a scope, with calls of the blocks that there are; with `chain` not side by side."""
        items = [self.item(child) for child in scope.children]
        body = body_of(scope, items, chain=chain) if scope.path else Body("layers", items, True)
        return folded(spliced(body), self.kinds)

    def item(self, child: Child) -> Item:
        if isinstance(child, Leaf):
            return leaf_item(child)
        call = self.calls.get(id(child))
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
        if len({each.body.kind for each in instances}) > 1:
            instances = [
                replace(each, body=self.body(scope, chain=True)) for each, scope in zip(instances, group, strict=True)
            ]
        for numbers in _clusters(instances):
            members = [instances[number] for number in numbers]
            slots = laid_over(members)
            assert slots is not None
            known = Counter(group[number].kind for number in numbers if group[number].kind not in CONTAINERS)
            kind = next((kind for kind, _ in known.most_common() if kind is not None), None)
            name = block_name(kind, group[numbers[0]].path, self.kinds.blocks)
            made = template(name, slots, members, self.kinds)
            if len(members) > 1 and _is_given_lists(made) and all(map(_may_stay, members)):
                continue
            if kind is None:
                self.unnamed.add(name)
            self.note(made, [group[number] for number in numbers])

    def note(self, made: Template, scopes: list[Scope]) -> None:
        self.kinds.blocks[made.block.name] = made.block
        self.kinds.params[made.block.name] = made.kinds
        for scope, args in zip(scopes, made.arguments, strict=True):
            self.calls[id(scope)] = Item(scope.key, (), made.block.name, args)

    def stay_in_place(self, group: list[Scope], instances: list[Instance]) -> bool:
        """Whether scopes are shorter where they are."""
        if not all(map(_may_stay, instances)):
            return False
        if len(group) == 1:
            return True
        alone = [each.body.items[0] for each in instances if len(each.body.items) == 1]
        return bool(alone) and not (self.strategy.small and all(map(_is_copies, alone)))


def _may_stay(instance: Instance) -> bool:
    return can_stand_in_place(instance.body, len(instance.input_shapes))


def _is_given_lists(made: Template) -> bool:
    """Whether calls of a block say something for each copy inside: then those are plainer where they are."""
    return any(kind.startswith("list of") for kind in made.kinds.values())


def _is_copies(item: Item) -> bool:
    """Whether an item is copies of one call, or a list of nothing else."""
    inner = item.body.items if item.body is not None else [item]
    return len(inner) == 1 and inner[0].count is not None


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
            if laid_over([instances[number] for number in sorted(cluster + numbers)]) is not None:
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


def _groups(trees: Sequence[Scope], strategy: Strategy) -> list[list[Scope]]:
    """Scopes of one block, inner blocks first."""
    members: dict[Hashable, list[Scope]] = {}
    for tree in trees:
        for scope in tree.scopes():
            kind = _kind(scope, strategy) if scope.path else None
            if kind is not None:
                members.setdefault(kind, []).append(scope)
    if not strategy.by_class or not any(scope.kind for tree in trees for scope in tree.scopes()):
        _join_by_path(members)
        _join_by_activation(members)
    _split_nested(members)
    return [members[kind] for kind in _inner_first(members)]


def _join_by_path(members: dict[Hashable, list[Scope]]) -> None:
    """Scopes whose paths differ in numbers only are of one kind, as are those of the same children."""
    by_path: dict[str, Hashable] = {}
    for kind in list(members):
        for pattern in dict.fromkeys(re.sub(r"\d+", "#", ".".join(scope.path)) for scope in members[kind]):
            known = by_path.setdefault(pattern, kind) if "#" in pattern else kind
            if known != kind and known in members and kind in members:
                members[known] += members.pop(kind)
                by_path |= {path: known for path, each in by_path.items() if each == kind}
                kind = known


def _join_by_activation(members: dict[Hashable, list[Scope]]) -> None:
    """Scopes of a few layers that others have with an activation behind them are of one kind with those."""
    short = {kind: _few_layers(scopes) for kind, scopes in members.items()}
    by_layers = {layers: kind for kind, layers in short.items() if layers is not None}
    for kind, layers in short.items():
        longer = [other for rest, other in by_layers.items() if rest[:-1] == layers and _is_activation(rest[-1][1])]
        if layers and len(longer) == 1:
            members[longer[0]] += members.pop(kind)


def _few_layers(scopes: list[Scope]) -> tuple[tuple[str, str], ...] | None:
    """The layers that all of these scopes have, and nothing else: their keys and operators. None where they differ."""
    found = {
        tuple((child.key, child.node.op.op_name) for child in scope.children if isinstance(child, Leaf))
        for scope in scopes
    }
    flat = all(isinstance(child, Leaf) for scope in scopes for child in scope.children)
    return found.pop() if flat and len(found) == 1 else None


def _is_activation(name: str) -> bool:
    return operators()[name][0].activation


def _split_nested(members: dict[Hashable, list[Scope]]) -> None:
    """Blocks may not call themselves: a class with instances inside of its own is one block for each depth."""
    for kind in list(members):
        own = {id(scope) for scope in members[kind]}
        depths: dict[int, list[Scope]] = {}
        for scope in members[kind]:
            depths.setdefault(_depth(scope, own), []).append(scope)
        if len(depths) > 1:
            del members[kind]
            members.update({(kind, depth): scopes for depth, scopes in depths.items()})


def _depth(scope: Scope, own: Container[int]) -> int:
    """How many of these scopes are inside of each other here, this one included."""
    inner = max((_depth(child, own) for child in scope.children if isinstance(child, Scope)), default=0)
    return inner + (id(scope) in own)


def _inner_first(members: dict[Hashable, list[Scope]]) -> list[Hashable]:
    """The kinds, each behind those that its scopes hold. A circle of kinds is cut where it is met."""
    kind_of = {id(scope): kind for kind, scopes in members.items() for scope in scopes}
    order: dict[Hashable, None] = {}
    open_kinds: set[Hashable] = set()

    def visit(kind: Hashable) -> None:
        if kind in order or kind in open_kinds:
            return
        open_kinds.add(kind)
        for scope in members[kind]:
            for inner in scope.scopes():
                if inner is not scope and id(inner) in kind_of:
                    visit(kind_of[id(inner)])
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
    return ("alike", children)


def _is_run(scope: Scope) -> bool:
    """Whether a scope is a list of alike scopes: a stage."""
    return all(isinstance(child, Scope) and child.key.isdecimal() for child in scope.children)


def _child_kind(child: Child) -> Hashable:
    """Its operator or class. Words as `same` belong to it: a block has no parameters that are words."""
    if not isinstance(child, Leaf):
        return child.key, child.kind or ""
    op = child.node.op
    return child.key, op.op_name, *((name, word) for name, word in op.arguments().items() if isinstance(word, str))
