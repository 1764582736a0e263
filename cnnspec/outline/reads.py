"""What the slots of a template read, so that it is right for every instance by the language's rule for absent nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import takewhile
from typing import Final

from cnnspec.outline.align import Slot, Slots
from cnnspec.outline.places import free
from cnnspec.outline.sketch import Item
from cnnspec.outline.tree import Read

__all__ = ["settle_reads"]

_STEPS: Final = 3000
_EITHER_WAY: Final = ("Add", "Mul")  # of two operands


class _Search:
    """Chooses reads slot by slot; where later ones cannot be right, earlier ones are chosen anew."""

    def __init__(self, slots: list[Slot]) -> None:
        self.slots = slots
        self.by_key = {slot.key: slot for slot in slots}
        self.instances = _different(slots)
        self.steps = 0
        self.keys = [
            {item.key: slot.key for slot in slots if (item := slot.items[number]) is not None}
            for number in self.instances
        ]

    def run(self, index: int = 0) -> bool:
        self.steps += 1
        if self.steps > _STEPS:
            return False
        if index == len(self.slots):
            return self.gives_the_same()
        slot = self.slots[index]
        for reads in self.choices(slot):
            slot.reads = reads
            if self.fits(slot) and self.run(index + 1):
                return True
        return False

    def choices(self, slot: Slot) -> Iterator[tuple[Read, ...]]:
        seen: dict[tuple[Read, ...], None] = {}
        order = sorted(range(len(self.instances)), key=lambda at: -len(self.keys[at]))
        for at in order:
            item = slot.items[self.instances[at]]
            if item is not None:
                seen[self.actual(at, item)] = None
        yield from seen
        if _is_either_way(slot.first):
            yield from (reads[::-1] for reads in seen)
            if slot.optional:
                yield from (each for reads in seen for each in self.through(slot, reads))

    def through(self, slot: Slot, reads: tuple[Read, ...]) -> Iterator[tuple[Read, ...]]:
        """The same two operands, the last by way of a join that is absent where this one is there."""
        for other in takewhile(lambda each: each is not slot, self.slots):
            apart = all(one is None or two is None for one, two in zip(slot.items, other.items, strict=True))
            if apart and _is_either_way(other.first) and other.reads[-1] in reads:
                rest = reads[1 - reads.index(other.reads[-1])]
                yield rest, other.key

    def actual(self, at: int, item: Item) -> tuple[Read, ...]:
        return tuple(read if isinstance(read, int) else self.keys[at][read] for read in item.reads)

    def fits(self, slot: Slot) -> bool:
        for at, number in enumerate(self.instances):
            item = slot.items[number]
            if item is None:
                continue
            resolved = tuple(self.resolved(number, read) for read in slot.reads)
            actual = self.actual(at, item)
            if resolved != actual and not (_is_either_way(item) and resolved == actual[::-1]):
                return False
        return True

    def resolved(self, number: int, read: Read) -> Read:
        """What an instance reads there: what is absent stands for the last of its reads."""
        while isinstance(read, str) and self.by_key[read].items[number] is None:
            read = self.by_key[read].reads[-1]
        return read

    def gives_the_same(self) -> bool:
        for number in self.instances:
            last = next(slot.key for slot in reversed(self.slots) if slot.items[number] is not None)
            if self.resolved(number, self.slots[-1].key) != last:
                return False
        return True


def _is_either_way(item: Item) -> bool:
    return item.target in _EITHER_WAY and len(item.reads) == 2


def _different(slots: list[Slot]) -> list[int]:
    """Instances of which no two have the same children that read the same."""
    found: dict[tuple[object, ...], int] = {}
    for number in range(len(slots[0].items)):
        items = [slot.items[number] for slot in slots]
        if any(items):
            found.setdefault(tuple(item and (item.key, item.reads) for item in items), number)
    return list(found.values())


def settle_reads(made: Slots) -> bool:
    """Choose the reads of all slots. False where there are none that are right for all instances."""
    if made.kind != "layers":
        for slot in made.slots:
            slot.reads = slot.first.reads
    elif not _Search(made.slots).run():
        found = next((slots for slots in _parted(made) if _Search(slots).run()), None)
        if found is None:
            return False
        made.slots = found
    return all(settle_reads(slot.inner) for slot in made.slots if slot.inner is not None)


def _parted(made: Slots) -> Iterator[list[Slot]]:
    """The slots with a sum as two of them, where some instances add the input and others what it was projected to."""
    slots = made.slots
    keys = {slot.key for slot in slots}
    for index, slot in enumerate(slots if made.named else []):
        if not _is_either_way(slot.first):
            continue
        plain = [item is not None and 0 in item.reads for item in slot.items]
        rest = [item is not None and not here for item, here in zip(slot.items, plain, strict=True)]
        if any(plain) and any(rest):
            projected = replace(slot, items=_where(slot, rest))
            yield [*slots[:index], projected, Slot(free(slot.key, keys), _where(slot, plain)), *slots[index + 1 :]]


def _where(slot: Slot, there: list[bool]) -> list[Item | None]:
    return [item if here else None for item, here in zip(slot.items, there, strict=True)]
