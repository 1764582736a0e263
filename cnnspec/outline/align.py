"""Several bodies of one kind laid over each other: slots, each with what every instance has there.

Children of lists are laid over each other in turn; named ones by name, where a name without weights may change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cnnspec.ops import operators
from cnnspec.outline.places import free
from cnnspec.outline.sketch import Body, Item, may_be_renamed
from cnnspec.outline.tree import Read

__all__ = ["Slot", "align"]


@dataclass(slots=True)
class Slot:
    """One child of a template."""

    key: str
    items: list[Item | None]  # by instance
    reads: tuple[Read, ...] = ()  # by the keys of slots
    inner: Slots | None = None  # of bodies

    @property
    def first(self) -> Item:
        """One that is there."""
        return next(item for item in self.items if item is not None)

    @property
    def optional(self) -> bool:
        """Whether instances lack it."""
        return None in self.items


@dataclass(slots=True)
class Slots:
    """A body of several instances."""

    kind: str
    named: bool
    slots: list[Slot] = field(default_factory=list)


def align(bodies: Sequence[Body | None]) -> Slots | None:
    """The bodies over each other (None where an instance has none), or None where they are too different."""
    there = [body for body in bodies if body is not None]
    if len({body.kind for body in there}) != 1:
        return None
    if len({body.named for body in there}) != 1:  # a list that others have with gaps: by its numbers
        if any(item.count is not None for body in there if not body.named for item in body.items):
            return None
        bodies = [body and replace(body, named=True) for body in bodies]
        there = [body for body in bodies if body is not None]
    groups: dict[tuple[object, ...], list[int]] = {}
    for number, body in enumerate(bodies):
        if body is not None:
            groups.setdefault(_shape_of(body), []).append(number)
    ordered = sorted(groups.values(), key=lambda numbers: -_size(bodies[numbers[0]]))
    made = Slots(there[0].kind, there[0].named)
    for numbers in ordered:
        body = bodies[numbers[0]]
        assert body is not None
        matches = _matches(made, body) if made.slots else [(None, index) for index in range(len(body.items))]
        if matches is None or not _merge(made, matches, numbers, bodies):
            return None
    if made.kind != "layers" and any(len(_there(slot)) < len(there) for slot in made.slots):
        return None  # side by side an absent child is not nothing
    for slot in made.slots:
        if slot.first.body is not None:
            slot.inner = align([None if item is None else item.body for item in slot.items])
            if slot.inner is None:
                return None
    return made


def _there(slot: Slot) -> list[Item]:
    return [item for item in slot.items if item is not None]


def _size(body: Body | None) -> int:
    return sum(1 if item.body is None else 1 + _size(item.body) for item in body.items) if body else 0


def _shape_of(body: Body) -> tuple[object, ...]:
    """What two bodies have in common that are aligned alike."""
    return (
        body.kind,
        *(
            (item.key if body.named else "", item.target, item.count is None, item.body and _shape_of(item.body))
            for item in body.items
        ),
    )


def _matches(made: Slots, body: Body) -> list[tuple[int | None, int | None]] | None:
    """Which slot each item belongs to, in turn; None where less than half have one."""
    rows, columns = len(made.slots), len(body.items)
    scores = [[_score(slot, item, made.named) for item in body.items] for slot in made.slots]
    best = [[0.0] * (columns + 1) for _ in range(rows + 1)]
    for row in range(rows - 1, -1, -1):
        for column in range(columns - 1, -1, -1):
            skip = max(best[row + 1][column], best[row][column + 1])
            score = scores[row][column]
            best[row][column] = max(skip, best[row + 1][column + 1] + score) if score > 0 else skip
    pairs: list[tuple[int | None, int | None]] = []
    row = column = common = 0
    while row < rows or column < columns:
        inside = row < rows and column < columns
        if inside and scores[row][column] > 0 and best[row][column] == best[row + 1][column + 1] + scores[row][column]:
            pairs.append((row, column))
            row, column, common = row + 1, column + 1, common + 1
        elif column == columns or (row < rows and best[row][column] == best[row + 1][column]):
            pairs.append((row, None))
            row += 1
        else:
            pairs.append((None, column))
            column += 1
    return pairs if 2 * common >= min(rows, columns) and common else None


def _score(slot: Slot, item: Item, named: bool) -> float:
    """How well an item fits into a slot; 0 for not at all."""
    other = slot.first
    same_key = slot.key == item.key
    if named and not same_key and not (may_be_renamed(other) and may_be_renamed(item)):
        return 0
    bonus = 2.0 * same_key * named
    if (other.body is None) != (item.body is None):
        return 0
    if item.body is not None and other.body is not None:
        return 4 + bonus if item.body.kind == other.body.kind else 0
    if other.target == item.target:
        alike = sum(_likeness(other.args.get(name), value) for name, value in item.args.items())
        return 4 + bonus + alike / (1 + len(item.args))
    if other.args == item.args and _interchangeable(other.target, item.target):
        return 2 + bonus
    return 0


def _likeness(one: object, other: object) -> float:
    """How alike two values of an argument are: two that are both not 1 say more than one that is."""
    if repr(one) == repr(other):
        return 1
    return 0.5 if type(one) is int and type(other) is int and 1 not in (one, other) else 0


def _interchangeable(one: str, other: str) -> bool:
    """Whether a parameter may hold either: two activations."""
    known = operators()
    return one in known and other in known and known[one][0].activation and known[other][0].activation


def _merge(
    made: Slots,
    matches: Sequence[tuple[int | None, int | None]],
    numbers: list[int],
    bodies: Sequence[Body | None],
) -> bool:
    """Put the items of some instances into their slots. False where two slots would have one name."""
    old, made.slots = made.slots, []
    keys = {slot.key for slot in old}
    for row, column in matches:
        if row is not None:
            slot = old[row]
        else:
            body = bodies[numbers[0]]
            assert body is not None
            assert column is not None
            item = body.items[column]
            key = item.key
            if key in keys:
                if made.named and not may_be_renamed(item):
                    return False
                key = free(key, keys)
            keys.add(key)
            slot = Slot(key, [None] * len(bodies))
        if column is not None:
            for number in numbers:
                body = bodies[number]
                assert body is not None
                slot.items[number] = body.items[column]
        made.slots.append(slot)
    return True
