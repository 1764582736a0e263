"""The values of one number for which a steadily rising or falling size is what is wanted: found by halving."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["ENDLESS", "nearest_values", "solution_range"]

ENDLESS: Final = 2**31 - 1  # the largest number that a layer takes: a solution that reaches it has no end


def solution_range(
    out: Callable[[int], int], refusal: Callable[[int], str | None], least: int, wanted: int
) -> tuple[int, int | None] | None:
    """First and last value that give the wanted output and that the layer takes; None where there is none.

    `refusal` is the code of the reason for which the layer refuses a value, None where it takes it. Each reason holds
    up to some value or from some value on, so that those which are taken are neighbours too.
    """
    first, beyond = _giving(out, least, wanted)
    if first == beyond:
        return None
    low, high = refusal(first), refusal(beyond - 1)
    if low is not None and low == high:
        return None
    if low is not None:
        first = _first(lambda value: refusal(value) != low, first, beyond)
    if high is not None:
        beyond = _first(lambda value: refusal(value) == high, first, beyond)
    if first >= beyond:  # each value is refused for one reason or the other
        return None
    return first, (None if beyond > ENDLESS else beyond - 1)


def nearest_values(
    unknown: str, out: Callable[[int], int], refusal: Callable[[int], str | None], least: int, wanted: int
) -> str | None:
    """What the values to both sides of the missing one give."""
    edge, _ = _giving(out, least, wanted)
    near = [value for value in (edge - 1, edge) if least <= value <= ENDLESS and refusal(value) is None]
    given = [f"{unknown} {value} gives {out(value)}" for value in near if out(value) != wanted]
    return " and ".join(given) or None


def _giving(out: Callable[[int], int], least: int, wanted: int) -> tuple[int, int]:
    """The first value that gives the wanted output, and the first after it that does not."""
    rises = out(ENDLESS) >= out(least)
    first = _first(lambda value: (out(value) >= wanted) if rises else (out(value) <= wanted), least, ENDLESS + 1)
    return first, _first(lambda value: (out(value) > wanted) if rises else (out(value) < wanted), first, ENDLESS + 1)


def _first(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first value from `low` on for which it holds, given that it goes on holding; `high` where there is none."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low
