"""A tree as it stands: scopes in place where they can be, else a block of their own each."""

from __future__ import annotations

from dataclasses import replace

from cnnspec.outline.names import block_name
from cnnspec.outline.sketch import Block, Body, Item, body_of, can_stand_in_place, leaf_item
from cnnspec.outline.tree import Child, Leaf, Scope

__all__ = ["nested"]


def nested(tree: Scope) -> tuple[Body, list[Block]]:
    """The body of the network, and the blocks that it calls."""
    blocks: list[Block] = []
    used: set[str] = set()

    def item(child: Child) -> Item:
        if isinstance(child, Leaf):
            return leaf_item(child)
        body = body_of(child, [item(each) for each in child.children])
        if can_stand_in_place(body, len(child.reads)):
            return Item(child.key, child.reads, body=body, source=child)
        name = block_name(child.kind, child.path, used)
        used.add(name)
        blocks.append(Block(name, body, len(child.reads)))
        return Item(child.key, child.reads, name, source=child)

    return replace(Body("layers", [], True), items=[item(child) for child in tree.children]), blocks
