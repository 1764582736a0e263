"""Lists in which a few layers come again and again, as in VGG: written once, with the channels of each time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final

from cnnspec.outline.expressions import ABSENT
from cnnspec.outline.kinds import Kinds
from cnnspec.outline.series import completed, series, which
from cnnspec.outline.sketch import Block, Body, Code, Item
from cnnspec.outline.write_spec import value_text

__all__ = ["shortened"]

_LONGEST: Final = 6  # layers
_MOST: Final = 32  # times
_WORTH: Final = 2  # lines that have to be saved; by what differs from time to time more, since it is harder to read


@dataclass(frozen=True, slots=True)
class _Period:
    """Items from one place on, as copies of a pattern."""

    item: Item
    covered: int
    saved: int


def shortened(main: Body, blocks: Sequence[Block]) -> tuple[Body, list[Block]] | None:
    """The same network with what comes again said once. None where nothing does."""
    kinds = Kinds({block.name: block for block in blocks})
    bodies = [main, *(block.body for block in blocks)]
    made = [_shortened(body, kinds) for body in bodies]
    if all(new is old for new, old in zip(made, bodies, strict=True)):
        return None
    return made[0], [replace(block, body=body) for block, body in zip(blocks, made[1:], strict=True)]


def _shortened(body: Body, kinds: Kinds) -> Body:
    items = []
    for item in body.items:
        inner = item.body and _shortened(item.body, kinds)
        items.append(item if inner is item.body else replace(item, body=inner))
    if body.kind == "layers" and not body.named:
        items = _best(items, kinds)
    same = len(items) == len(body.items) and all(new is old for new, old in zip(items, body.items, strict=True))
    return body if same else replace(body, items=items)


def _best(items: list[Item], kinds: Kinds) -> list[Item]:
    """The items in as few lines as can be."""
    count = len(items)
    saved = [0] * (count + 1)
    chosen: list[_Period | None] = [None] * count
    for start in range(count - 1, -1, -1):
        saved[start] = saved[start + 1]
        for period in _periods(items, start, kinds):
            total = period.saved + saved[start + period.covered]
            if total > saved[start]:
                saved[start], chosen[start] = total, period
    made, start = [], 0
    while start < count:
        taken = chosen[start]
        made.append(items[start] if taken is None else taken.item)
        start += 1 if taken is None else taken.covered
    return made


def _periods(items: list[Item], start: int, kinds: Kinds) -> Iterator[_Period]:
    """What begins here and comes again, each time from the first layer's name on."""
    heads = [at for at in range(start, len(items)) if items[at].target == items[start].target]
    for times in range(2, min(len(heads), _MOST) + 1):
        parts = [items[one:other] for one, other in pairwise(heads[:times])]
        if max(map(len, parts)) > _LONGEST or not all(map(_may_come_again, parts[-1])):
            return
        end = heads[times] if times < len(heads) else len(items)
        pattern = max(parts, key=len)
        last = _beginning(items[heads[times - 1] : end], pattern)
        made = _period([*parts, last], pattern, kinds)
        if made is not None:
            covered = heads[times - 1] + len(last) - start
            saved = covered - len(pattern) - 2
            if saved >= _WORTH + made[1]:
                first, until = items[start], items[start + covered - 1]
                yield _Period(replace(made[0], key=until.key, reads=first.reads, count=times), covered, saved)


def _may_come_again(item: Item) -> bool:
    return item.body is None and item.when is None and item.count in (None, 1)


def _beginning(items: list[Item], pattern: list[Item]) -> list[Item]:
    """As many of the items as the pattern has."""
    at = taken = 0
    for item in items:
        while at < len(pattern) and pattern[at].target != item.target:
            at += 1
        if at == len(pattern) or not _may_come_again(item):
            break
        at, taken = at + 1, taken + 1
    return items[:taken]


def _period(parts: list[list[Item]], pattern: list[Item], kinds: Kinds) -> tuple[Item, int] | None:
    """The parts as copies of the pattern, and how much differs. None where that is more than one argument, and one
    layer that is not always there."""
    rows = [row for part in parts if (row := _placed(part, pattern)) is not None]
    if len(rows) < len(parts):
        return None
    made: list[Item] = []
    varied: set[str] = set()
    absent: set[str] = set()
    for number, slot in enumerate(pattern):
        column = [row[number] for row in rows]
        there = [item for item in column if item is not None]
        if not there:
            return None
        args = {}
        for name in kinds.arguments(slot.target, there):
            values = [ABSENT if item is None else kinds.value(item, name) for item in column]
            value = _said(values)
            if value is None:
                return None
            if isinstance(value[0], Code) and len(set(map(repr, values))) > 1:
                varied.add(str(value[0]))
            args[name] = value[0]
        when = None
        if len(there) < len(column):
            text = which([item is not None for item in column])
            if text is None:
                return None
            when = Code(text)
            absent.add(text)
        reads = (made[-1].key,) if made else (0,)
        made.append(Item(str(number), reads, slot.target, args, when=when))
    if len(varied) > 1 or len(absent) > 1:
        return None
    return Item("", (), body=Body("inline", made, named=False)), len(varied) + 2 * len(absent)


def _placed(part: list[Item], pattern: list[Item]) -> list[Item | None] | None:
    """The items of a part in the places of the pattern."""
    left = list(part)
    row = [left.pop(0) if left and left[0].target == slot.target else None for slot in pattern]
    return None if left else row


def _said(values: list[Any]) -> tuple[Any] | None:
    """The value of an argument in all copies. None where it is not said."""
    known = [value for value in values if value is not ABSENT]
    if len(set(map(repr, known))) <= 1:
        return (known[0] if known else ABSENT,)
    if not all(type(value) is int for value in known):
        return None
    return (series(values) or Code(f"{value_text(completed(values))}[i]"),)
