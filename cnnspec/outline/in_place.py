"""Blocks that are called in one place only, and whose scopes no class has named: their layers stand in that place."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from cnnspec.language.results import LayerName
from cnnspec.ops import operators
from cnnspec.outline.sketch import Block, Body, Code, Item, can_stand_in_place
from cnnspec.outline.write_spec import value_text

__all__ = ["put_in_place"]

_OF_INPUT = re.compile(r"\b(in_channels|in_features)\b")


def put_in_place(main: Body, blocks: list[Block], unnamed: Collection[str]) -> tuple[Body, list[Block]]:
    """The same network without those blocks that need not be. `unnamed` are the blocks that may go."""
    kept = {block.name: block for block in blocks}
    for block in blocks:
        if block.name not in unnamed or not can_stand_in_place(block.body, block.inputs):
            continue
        bodies = [main, *(each.body for each in kept.values())]
        found = [(body, at) for whole in bodies for body, at in _places(whole) if _names(body.items[at], block.name)]
        if len(found) == 1 and (made := _in_place(*found[0], block)) is not None:
            body, at = found[0]
            body.items[at] = made
            del kept[block.name]
    for name in list(kept):
        plain = name.rstrip("0123456789")
        if name in unnamed and plain not in kept and plain not in operators():
            _rename([main, *(block.body for block in kept.values())], name, plain)
            kept = {plain if key == name else key: block for key, block in kept.items()}
            kept[plain].name = plain
    return main, list(kept.values())


def _rename(bodies: list[Body], name: str, plain: str) -> None:
    """Another name for a block, whose number has lost what it was counted from."""
    for item in (item for body in bodies for item in _items(body)):
        item.target = plain if item.target == name else item.target
        item.args = {key: LayerName(plain) if value == LayerName(name) else value for key, value in item.args.items()}


def _names(item: Item, block: str) -> bool:
    """Whether an item calls a block, or hands it on."""
    return item.target == block or any(re.search(rf"\b{block}\b", value_text(value)) for value in item.args.values())


def _places(body: Body) -> Iterator[tuple[Body, int]]:
    """All items, by the body and the number there."""
    for at, item in enumerate(body.items):
        yield body, at
        if item.body is not None:
            yield from _places(item.body)


def _in_place(body: Body, at: int, block: Block) -> Item | None:
    """The block's layers with what the call gives it. None where that is no shorter, or says something else there."""
    item = body.items[at]
    alone = item.count is None or (item.count == 1 and len(body.items) > 1)
    if item.target != block.name or not (alone or body.kind == "concat"):
        return None
    before = (body.items[at - 1].key,) if at and body.kind == "layers" else (0,)
    bare = item.reads == before and item.when is None and block.body.kind == "layers" and not block.body.named
    # Of the block its name, its parameters and the word above its layers, and of the call its line; here a name, that
    # word, `in` and `when`.
    said = (not alone, item.reads != before, item.when is not None)
    saved = 3 + bool(block.types) - (body.named + (not (bare and alone)) + sum(said))
    if saved <= 0:
        return None
    given = {name: item.args.get(name, block.defaults.get(name)) for name in block.types}
    if any(_OF_INPUT.search(text) for text in _texts(block.body)) and item.reads != (0,):
        return None
    conditions = [str(inner.when) for inner in _items(block.body) if inner.when is not None]
    for name, value in given.items():
        plain = isinstance(value, Code) and str(value).isidentifier()
        if not plain and any(re.search(rf"\b{name}\b", text) for text in conditions):
            return None
        if any(inner.target == name for inner in _items(block.body)) and not _is_name(value):
            return None
    return replace(item, body=_replaced(block.body, given), target="", args={}, count=None if alone else item.count)


def _is_name(value: Any) -> bool:
    return isinstance(value, LayerName) or (isinstance(value, Code) and str(value).isidentifier())


def _items(body: Body) -> Iterator[Item]:
    return (inner.items[at] for inner, at in _places(body))


def _texts(body: Body) -> Iterator[str]:
    for item in _items(body):
        yield from (str(value) for value in (*item.args.values(), item.count, item.when) if isinstance(value, Code))


def _replaced(body: Body, given: Mapping[str, Any]) -> Body:
    items = []
    for item in body.items:
        args = {name: _said(value, given) for name, value in item.args.items()}
        target = value_text(given[item.target]) if item.target in given else item.target
        count = _said(item.count, given)
        when = None if item.when is None else Code(_said(item.when, given))
        inner = item.body and _replaced(item.body, given)
        items.append(replace(item, target=target, args=args, count=count, when=when, body=inner))
    return replace(body, items=items)


def _said(value: Any, given: Mapping[str, Any]) -> Any:
    """A value with what the call gives in place of the block's parameters."""
    if not isinstance(value, Code):
        return value
    if str(value) in given:
        return given[str(value)]

    def text(match: re.Match[str]) -> str:
        name = match[0]
        if name not in given:
            return name
        said = value_text(given[name])
        return said if re.fullmatch(r"[\w.]+", said) else f"({said})"

    return Code(re.sub(r"[A-Za-z_]\w*", text, str(value)))
