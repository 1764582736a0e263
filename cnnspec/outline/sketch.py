"""A spec before it is text: blocks, bodies and items, whose reads are still keys and numbers of inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from cnnspec.language.expand import JOIN_OF
from cnnspec.language.read_body import JOIN_NAMES
from cnnspec.outline.places import free, is_weightless
from cnnspec.outline.tree import Child, Leaf, Read, Scope

__all__ = [
    "Block",
    "Body",
    "Code",
    "Item",
    "body_of",
    "can_stand_in_place",
    "is_join",
    "leaf_item",
    "may_be_renamed",
    "spliced",
]


class Code(str):
    """The text of an expression, where a value may stand too."""

    __slots__ = ()


@dataclass(slots=True)
class Item:
    """One child of a body: a call, or a body of its own."""

    key: str
    reads: tuple[Read, ...]
    target: str = ""  # an operator, a block, or a parameter that holds one
    args: dict[str, Any] = field(default_factory=dict)  # values, words, and `Code`
    body: Body | None = None
    count: int | Code | None = None  # of copies
    when: Code | None = None
    source: Child | None = None  # what it was in the tree


@dataclass(slots=True)
class Body:
    """`layers` in turn, or `add` | `mul` | `concat` side by side; as a list, or by name."""

    kind: str
    items: list[Item]
    named: bool


@dataclass(slots=True)
class Block:
    """A part that is called like a layer. A parameter without a default has a type."""

    name: str
    body: Body
    inputs: int = 1
    types: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)


def _side_by_side(scope: Scope) -> str | None:
    """The kind of body that a scope is, where its children all read its input and are then joined."""
    *branches, last = scope.children
    if not (isinstance(last, Leaf) and branches and len(scope.reads) == 1):
        return None
    kind = next((kind for kind, op in JOIN_OF.items() if last.node.op == op), None)
    alike = all(child.reads == (0,) for child in branches)
    joined = [*last.reads] if alike else []
    return kind if alike and len(set(joined)) == len(joined) and set(joined) == {c.key for c in branches} else None


def _is_list(items: list[Item], kind: str) -> bool:
    """Whether children are numbered in turn; those without weights may take the numbers that are left."""
    numbered = 0
    for index, item in enumerate(items):
        before: tuple[Read, ...] = (items[index - 1].key,) if index and kind == "layers" else (0,)
        if item.reads != before or is_join(item):
            return False
        if item.key == str(index):
            numbered += 1
        elif item.key.isdecimal() or not may_be_renamed(item):
            return False
    return numbered > 0


def may_be_renamed(item: Item) -> bool:
    """Whether an item is a node that keeps no weights."""
    return isinstance(item.source, Leaf) and is_weightless(item.source.node)


def is_join(item: Item) -> bool:
    """Whether an item's arguments are its reads."""
    return item.target in JOIN_NAMES


def body_of(scope: Scope, items: list[Item], *, chain: bool = False) -> Body:
    """The body of a scope, whose children are these items. With `chain` never one side by side."""
    kind = None if chain else _side_by_side(scope)
    if kind is not None:
        by_key = {item.key: item for item in items}
        items = [by_key[str(key)] for key in items[-1].reads]
        return (
            Body(kind, _numbered(items, kind), named=False) if _is_list(items, kind) else Body(kind, items, named=True)
        )
    if _is_list(items, "layers"):
        return Body("layers", _numbered(items, "layers"), named=False)
    return Body("layers", items, named=True)


def _numbered(items: list[Item], kind: str) -> list[Item]:
    """The children of a list, under their numbers."""
    chain = kind == "layers"
    return [
        replace(item, key=str(index), reads=(str(index - 1),) if chain and index else (0,))
        for index, item in enumerate(items)
    ]


def can_stand_in_place(body: Body, inputs: int) -> bool:
    """Whether a body need not name its input: then it may stand where it is called."""
    if inputs != 1:
        return False
    if body.kind != "layers":
        return True
    first, *others = body.items
    return first.reads == (0,) and not is_join(first) and not any(0 in item.reads for item in others)


def spliced(body: Body) -> Body:
    """A body in which chains that keep no weights are no more: their layers stand in their place, by whatever name."""
    if body.kind != "layers" or not body.named:
        return body
    items: list[Item] = []
    last: dict[Read, Read] = {}  # what gives the value of a chain
    used = {item.key for item in body.items}
    for item in body.items:
        reads = tuple(last.get(read, read) for read in item.reads)
        if item.body is None or not _is_weightless_chain(item.body):
            items.append(replace(item, reads=reads))
            continue
        for number, inner in enumerate(item.body.items):
            # The first is called after the chain, the others as they were.
            key = free(inner.key, used) if number else item.key
            used.add(key)
            items.append(replace(inner, key=key, reads=(items[-1].key,) if number else reads))
        last[item.key] = items[-1].key
    return replace(body, items=items)


def _is_weightless_chain(body: Body) -> bool:
    """Whether a body is operators in turn, without weights, that are called by what they are."""
    if body.kind != "layers" or not body.named:
        return False
    before: Read = 0
    for item in body.items:
        if not may_be_renamed(item) or is_join(item) or item.reads != (before,) or item.count is not None:
            return False
        before = item.key
    return True


def leaf_item(leaf: Leaf) -> Item:
    """A node as a call."""
    return Item(leaf.key, leaf.reads, leaf.node.op.op_name, leaf.node.op.arguments(), source=leaf)


def copied(body: Body) -> Body:
    """A body whose items may be changed."""
    return Body(
        body.kind,
        [replace(item, args=dict(item.args), body=item.body and copied(item.body)) for item in body.items],
        body.named,
    )


def calls(body: Body) -> Iterator[Item]:
    """All calls of a body and of the bodies inside."""
    for item in body.items:
        if item.body is not None:
            yield from calls(item.body)
        else:
            yield item
