"""Which instances have an item, as a condition: by a stride, by shapes, by a parameter, else by a flag of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from cnnspec.outline.align import Slot
from cnnspec.outline.expressions import ABSENT, Param, Solver, token
from cnnspec.outline.kinds import CHANNELS
from cnnspec.outline.sketch import Code, is_join

__all__ = ["condition", "is_joined"]


def condition(
    solver: Solver, slot: Slot, present: Sequence[bool | None], own: Sequence[str], path: tuple[str, ...], joined: bool
) -> Code:
    """What holds where the item is present; None stands for instances where it does not matter.

    `own` are the item's own expressions, `joined` says whether its presence follows from shapes: it is a join, or is
    read by one.
    """  # fmt: skip
    for text, holds in _candidates(solver, own, joined):
        if all(wanted is None or wanted == value for wanted, value in zip(present, holds, strict=True)):
            return Code(text)
    numbered = _only_here(solver, slot, present, own)
    if numbered is not None:
        return numbered
    values = [ABSENT if wanted is None else wanted for wanted in present]
    known = solver.lookup(values, "flag")
    if known is not None:
        return known
    other = solver.lookup([value if value is ABSENT else not value for value in values], "flag")
    return solver.new(values, "flag", _flag(slot), path) if other is None else Code(f"not {other}")


def _flag(slot: Slot) -> str:
    """What a flag is called where its item has no name: after what it calls."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", slot.first.target).lower()


def _candidates(solver: Solver, own: Sequence[str], joined: bool) -> Iterator[tuple[str, list[bool]]]:
    strides = [(token(n), p.values) for n, p in enumerate(solver.params) if p.kind == "stride"]
    if joined:
        yield from _by_shapes(solver, strides)
    for text, values in strides:
        yield f"{text} != 1", [value != 1 for value in values]
        yield f"{text} == 1", [value == 1 for value in values]
    for number, param in enumerate(solver.params):
        used = any(token(number) in text for text in own)
        if ABSENT in param.values or not used or param.kind == "stride":
            continue
        for value in dict.fromkeys(param.values):
            if type(value) is int and param.kind != CHANNELS:
                yield f"{token(number)} != {value}", [each != value for each in param.values]
        if param.kind == CHANNELS:
            pairs = zip(param.values, solver.in_channels, strict=True)
            yield f"{token(number)} != in_channels", [one != other for one, other in pairs]


def _by_shapes(solver: Solver, strides: list[tuple[str, list[object]]]) -> Iterator[tuple[str, list[bool]]]:
    out = solver.lookup(solver.out_channels, CHANNELS) if not _same(solver) else None
    if out is None:
        return
    wrapped = f"({out})" if " + " in out or " - " in out else out
    same = [one == other for one, other in zip(solver.in_channels, solver.out_channels, strict=True)]
    for text, values in strides:
        kept = [value == 1 and each for value, each in zip(values, same, strict=True)]
        yield f"{text} != 1 or in_channels != {wrapped}", [not each for each in kept]
        yield f"{text} == 1 and in_channels == {wrapped}", kept
    yield f"in_channels != {wrapped}", [not each for each in same]
    yield f"in_channels == {wrapped}", same


def _same(solver: Solver) -> bool:
    return list(solver.in_channels) == list(solver.out_channels)


def _only_here(solver: Solver, slot: Slot, present: Sequence[bool | None], own: Sequence[str]) -> Code | None:
    """A parameter of this item alone is 0 where the item is absent."""
    for number, param in enumerate(solver.params):
        if own == [token(number)] or (len(own) > 1 and token(number) in own):
            known = [value for value in param.values if value is not ABSENT]
            absent = [value is ABSENT for value in param.values]
            fits = all(wanted is None or wanted != gone for wanted, gone in zip(present, absent, strict=True))
            if fits and any(absent) and all(type(value) is int and value > 0 for value in known):
                _fill(param)
                return Code(f"{token(number)} > 0")
    return None


def _fill(param: Param) -> None:
    param.values = [0 if value is ABSENT else value for value in param.values]
    param.default = 0


def is_joined(slots: Sequence[Slot], slot: Slot) -> bool:
    """Whether a slot is a join or read by one, through others that may be absent as well."""
    if is_join(slot.first):
        return True
    return any(
        slot.key in other.reads and (is_join(other.first) or (other.optional and is_joined(slots, other)))
        for other in slots
        if other is not slot
    )
