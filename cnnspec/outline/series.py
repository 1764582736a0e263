"""Values that differ from copy to copy as an expression of `i`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeAlias

from cnnspec.outline.expressions import ABSENT
from cnnspec.outline.sketch import Code
from cnnspec.outline.write_spec import value_text

__all__ = ["completed", "either", "series", "which"]

_Series: TypeAlias = tuple[str, list[Any]]  # an expression of `i`, and what it is in every copy
_PARTS: Final = 128  # of a rate that grows from copy to copy
_DIGITS: Final = 4  # that such a rate has
_ROUNDED: Final = 12  # digits of a rate that was worked out from what is kept
_USUAL: Final = (0.1, 0.2)
_NAMED: Final = 5  # copies that a condition may name


def series(values: Sequence[Any]) -> Code | None:
    """The expression of `i` that is exactly these numbers, where they go up or down in equal steps."""
    found = _series(values)
    return None if found is None else Code(found[0])


def either(values: Sequence[Any]) -> Code | None:
    """The expression of `i` that is exactly these: flags by one condition, two numbers that take turns."""
    if all(type(value) is bool for value in values):
        return next((Code(text) for text, holds in _conditions(len(values)) if holds == _numbers(values, True)), None)
    kinds = {repr(value): value for value in values}
    if len(kinds) != 2 or not all(type(value) in (int, float) for value in values):
        return None
    # What is named is the rarer of the two, or the larger.
    other, wanted = sorted(kinds.values(), key=lambda each: (-len(_numbers(values, each)), each))
    for text, holds in _turns(len(values)):
        if holds == _numbers(values, wanted):
            return Code(f"{value_text(wanted)} if {text} else {value_text(other)}")
    return None


def _numbers(values: Sequence[Any], wanted: Any) -> list[int]:
    """Of which copies a value is."""
    return [number for number, value in enumerate(values) if repr(value) == repr(wanted)]


def completed(values: Sequence[Any]) -> list[Any]:
    """The values with those that do not matter (ABSENT) such as go best with the others."""
    if ABSENT not in values:
        return list(values)
    found = _series(values)
    if found is not None:
        return found[1]
    known = next(value for value in values if value is not ABSENT)
    made = []
    for value in values:
        known = known if value is ABSENT else value
        made.append(known)
    return made


def _series(values: Sequence[Any]) -> _Series | None:
    known = [(at, value) for at, value in enumerate(values) if value is not ABSENT]
    if len(known) < 2:
        return None
    (at, first), (last_at, last) = known[0], known[-1]
    if all(type(value) is int for _, value in known):
        step, left = divmod(last - first, last_at - at)
        made = [first + step * (number - at) for number in range(len(values))]
        if step and not left and all(made[number] == value for number, value in known):
            return _whole(made[0], step), made
    elif all(type(value) is float for _, value in known):
        step = (last - first) / (last_at - at)
        for text, rates in _rates(first - at * step, step, len(values)):
            if rates[0] >= 0 and all(rates[number] == value for number, value in known):
                return text, rates
        for text, rates in _rates(first - at * step, step, len(values)):
            rounded = [round(rate, _ROUNDED) for rate in rates]
            if rates[0] >= 0 and all(rounded[number] == value for number, value in known):
                return f"round({text}, {_ROUNDED})", rounded
    return None


def _whole(start: int, step: int) -> str:
    if start and start % step == 0 and step > 1:
        return f"{step} * ({_sum(start // step)})"
    by = {1: "i", -1: "i"}.get(step, f"{abs(step)} * i")
    if step < 0:
        return f"{start} - {by}"
    return by if not start else f"{by} + {start}" if start > 0 else f"{by} - {-start}"


def _sum(start: int) -> str:
    return "i" if not start else f"i + {start}" if start > 0 else f"i - {-start}"


def _rates(start: float, step: float, count: int) -> Iterator[_Series]:
    """A part of a round number for each copy, as networks give the rates of their depth: `0.2 * (i + 3) / 16`."""
    if step <= 0:
        return
    ahead = round(start / step)
    counted = f"({_sum(ahead)})" if ahead else "i"
    for whole, parts in _round_numbers(step):
        text = f"{counted} / {parts}" if whole == 1 else f"{whole!r} * {counted}" + (f" / {parts}" if parts > 1 else "")
        yield text, [whole * (number + ahead) / parts for number in range(count)]


def _round_numbers(step: float) -> list[tuple[float, int]]:
    """Round numbers, and into how many parts each is divided to be the step; those that people choose first."""
    tried = [(round(step * parts, _DIGITS), parts) for parts in range(1, _PARTS + 1)]
    found = [(whole, parts) for whole, parts in tried if abs(whole - step * parts) <= 1e-8 * whole and whole > 0]
    found.sort(key=lambda each: (each[1] > 1, each[0] not in _USUAL, len(repr(each[0])), each[1]))
    usual = sum(parts == 1 or whole in _USUAL for whole, parts in found)
    parts = round(1 / step)
    return found[:usual] + [(1, parts)] * (abs(parts * step - 1) < 1e-8) + found[usual:]


def which(chosen: Sequence[bool]) -> str | None:
    """The condition on `i` that holds for these copies; None where it is too long to be read."""
    count = len(chosen)
    numbers = [number for number in range(count) if chosen[number]]
    others = [number for number in range(count) if not chosen[number]]
    for text, holds in _conditions(count):
        if holds == numbers:
            return text
    for text, holds in _conditions(count):
        beside = [number for number in numbers if number not in holds]
        if len(beside) == 1 and set(holds) <= set(numbers):
            return f"i == {beside[0]} or {text}"
    if len(others) <= 2:
        return " and ".join(f"i != {number}" for number in others)
    return " or ".join(f"i == {number}" for number in numbers) if len(numbers) <= _NAMED else None


def _conditions(count: int) -> Iterator[tuple[str, list[int]]]:
    for number in range(count):
        yield f"i == {number}", [number]
        yield f"i != {number}", [other for other in range(count) if other != number]
    for number in range(1, count - 1):
        yield f"i > {number}", list(range(number + 1, count))
        yield f"i < {number}", list(range(number))
    yield from _turns(count)


def _turns(count: int) -> Iterator[tuple[str, list[int]]]:
    for parts in range(2, count // 2 + 1):
        for rest in range(parts):
            yield f"i % {parts} == {rest}", list(range(rest, count, parts))
