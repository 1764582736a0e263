"""The functions of the language: the only list of them.

Each raises ValueError for values that it does not take, and TypeError for another number of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from cnnspec.language.results import is_number, kind

__all__ = ["FUNCTIONS", "Function", "make_divisible"]


class Function(NamedTuple):
    """What a function does, and the names that its arguments may be given by."""

    call: Callable[..., Any]
    arguments: tuple[str, ...] = ()


def _number(value: Any) -> Any:
    if not is_number(value):
        raise ValueError(f"wants numbers, not {kind(value)}")
    return value


def _numbers(values: tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    """The numbers of `max(a, b)` or of `max(list)`."""
    listed = values[0] if len(values) == 1 and isinstance(values[0], (list, tuple)) else values
    if not listed:
        raise ValueError("wants at least one number")
    return _all_numbers(listed)


def _all_numbers(values: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    """The values, all of which are numbers: looked at by their types at once, since a spec may ask often."""
    if not {int, float}.issuperset(map(type, values)):
        for value in values:
            _number(value)
    return values


def _list(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"wants a list, not {kind(value)}")
    return value


def _round(value: Any, digits: int = 0) -> Any:
    if type(digits) is not int or not 0 <= digits <= 15:
        raise ValueError("rounds to 0 to 15 digits")
    return round(_number(value), digits) if digits else round(_number(value))


def make_divisible(v: float, d: int = 8, min: int | None = None) -> int:  # the papers' code calls it so
    """`v` rounded to a multiple of `d`, not below `min` and not more than 10 % down (MobileNet's rule)."""
    if type(d) is not int or d < 1 or not (min is None or type(min) is int):
        raise ValueError("wants whole numbers for `d`, above 0, and `min`")
    least = d if min is None else min
    rounded = max(least, int(_number(v) + d / 2) // d * d)
    return rounded + d if rounded < 0.9 * v else rounded


FUNCTIONS: Final[dict[str, Function]] = {
    "min": Function(lambda *values: min(_numbers(values))),
    "max": Function(lambda *values: max(_numbers(values))),
    "sum": Function(lambda values: sum(_all_numbers(_list(values)))),
    "len": Function(lambda values: len(_list(values))),
    "round": Function(_round),
    "ceil": Function(lambda value: math.ceil(_number(value))),
    "floor": Function(lambda value: math.floor(_number(value))),
    "int": Function(lambda value: int(_number(value))),
    "make_divisible": Function(make_divisible, ("v", "d", "min")),
}
