"""Neighbours that are equal calls become copies; what differs from copy to copy is a function of `i`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from cnnspec.outline.expressions import ABSENT
from cnnspec.outline.kinds import Kinds
from cnnspec.outline.series import completed, either, series
from cnnspec.outline.sketch import Body, Item, is_join
from cnnspec.outline.tree import Read

__all__ = ["Each", "First", "folded"]

_LONGEST: Final = 128  # copies of which one may differ from the next
_MOST: Final = 1.2  # lines that all may cost that differs from copy to copy: more is hard to read
_FLAG: Final = 0.3  # of a line is what a flag costs that only some copies have
_RATE: Final = 0.4  # a rate that is another one in the first


@dataclass(frozen=True, slots=True)
class First:
    """An argument that is another one in copy 0."""

    first: Any
    rest: Any


@dataclass(frozen=True, slots=True)
class Each:
    """An argument that is another one in every copy."""

    values: tuple[Any, ...]


def folded(body: Body, kinds: Kinds) -> Body:
    """The body with its neighbours folded, where nobody reads one of them by name."""
    if body.kind != "layers":
        return body if body.named else Body(body.kind, _side_by_side(body.items, kinds), named=False)
    items: list[Item] = []
    renamed: dict[Read, Read] = {}  # what is read is the whole run
    for start, end in _segments(body):
        for run in _best(body.items[start:end], kinds):
            made = _run(run, body.named, kinds)
            made.reads = tuple(renamed.get(read, read) for read in made.reads)
            renamed[run[-1].key] = made.key
            items.append(made)
    return Body(body.kind, items, body.named)


def _side_by_side(items: list[Item], kinds: Kinds) -> list[Item]:
    """Branches that are calls of one name as copies."""
    found: list[list[Item]] = []
    for item in items:
        if found and item.body is None and item.target == found[-1][-1].target and item.count is None:
            found[-1].append(item)
        else:
            found.append([item])
    runs = [run for segment in found for run in _best(segment, kinds)]
    return [run[0] if len(run) == 1 else _run(run, False, kinds) for run in runs]


def _segments(body: Body) -> list[tuple[int, int]]:
    """Where chains of calls of one name begin and end."""
    readers: dict[object, list[int]] = {}
    for index, item in enumerate(body.items):
        for read in item.reads:
            readers.setdefault(read, []).append(index)
    found = []
    start = 0
    for index in range(1, len(body.items) + 1):
        if index < len(body.items) and _continues(body, index, readers):
            continue
        if body.named and index < len(body.items) and index - start > 1 and not _is_next(body, index, readers):
            found += [(at, at + 1) for at in range(start, index)]  # its last copy is read by name
        else:
            found.append((start, index))
        start = index
    return found


def _is_next(body: Body, index: int, readers: dict[object, list[int]]) -> bool:
    """Whether only the next item reads the one before, and need not name it."""
    before, item = body.items[index - 1], body.items[index]
    return readers.get(before.key, []) == [index] and item.reads == (before.key,) and not is_join(item)


def _continues(body: Body, index: int, readers: dict[object, list[int]]) -> bool:
    before, item = body.items[index - 1], body.items[index]
    alike = item.body is None and item.target == before.target and item.count is None and before.count is None
    return alike and _is_next(body, index, readers) and (not body.named or _counts(before.key, item.key))


def _counts(before: str, key: str) -> bool:
    """Whether the number in a key is one more than in the key before."""
    one, other = _numbered(before), _numbered(key)
    return one is not None and other is not None and other == (one[0], one[1] + 1, one[2])


def _numbered(key: str) -> tuple[str, int, str] | None:
    match = re.fullmatch(r"(.*?)(0|[1-9]\d{0,5})(\D*)", key)
    return None if match is None or match[1][-1:].isdecimal() else (match[1], int(match[2]), match[3])


def _best(items: list[Item], kinds: Kinds) -> list[list[Item]]:
    """The items in as few runs as read well."""
    count = len(items)
    cost = [0.0] * (count + 1)
    step = [1] * (count + 1)
    for start in range(count - 1, -1, -1):
        cost[start], step[start] = 1 + cost[start + 1], 1
        for size in range(2, min(count - start, _LONGEST) + 1):
            price = _price(items[start : start + size], kinds)
            if price is not None and price + cost[start + size] < cost[start]:
                cost[start], step[start] = price + cost[start + size], size
    made, start = [], 0
    while start < count:
        made.append(items[start : start + step[start]])
        start += step[start]
    return made


def _price(run: list[Item], kinds: Kinds) -> float | None:
    """How many lines copies are worth, or None where an argument differs in a way that is not said."""
    price = 1.0
    for name in kinds.arguments(run[0].target, run):
        values = [kinds.value(item, name) for item in run]
        kind = kinds.of(run[0].target, name)
        varied = _varied(values)
        flag = all(value is ABSENT or isinstance(value, bool) for value in values)
        if isinstance(varied, Each):
            worth = _price_of_each(varied.values, kind)
            if worth is None:
                return None
            price += worth
        elif isinstance(varied, First):
            usual = _FLAG if flag else _RATE if isinstance(varied.first, float) else 1.0
            price += {"stride": 0.1, "channels": 2.0}.get(kind, usual)
    return price if price - 1 <= _MOST else None


def _price_of_each(values: Sequence[Any], kind: str) -> float | None:
    """What an argument costs that is another one in every copy; None where that is not said."""
    if kind == "count" and all(type(value) is int for value in values):
        return 0.8  # a list of them
    if series(values) or all(isinstance(value, float) for value in values):
        return 0.2
    if either(values):
        return _FLAG if isinstance(values[0], bool) else 0.5
    return None


def _varied(values: list[Any]) -> Any:
    """The values of copies as one. Those that do not matter (ABSENT) are any."""
    known = [value for value in values if value is not ABSENT]
    rest = [value for value in values[1:] if value is not ABSENT]
    if len(set(map(repr, known))) <= 1:
        return known[0] if known else ABSENT
    if values[0] is not ABSENT and len(set(map(repr, rest))) == 1:
        return First(values[0], rest[0])
    return Each(tuple(completed(values)))


def _run(run: list[Item], named: bool, kinds: Kinds) -> Item:
    first = run[0]
    if len(run) == 1:
        alone = named or first.body is not None or not kinds.is_block(first.target)
        return replace(first, count=None if alone else 1)
    args = {name: _varied([kinds.value(item, name) for item in run]) for name in kinds.arguments(first.target, run)}
    key = first.key
    if named:
        head, number, tail = _numbered(key) or (key, 0, "")
        key = f"{head}{{i{f' + {number}' if number else ''}}}{tail}"
    return Item(key, first.reads, first.target, args, count=len(run), source=run[-1].source)
