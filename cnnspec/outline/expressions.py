"""Arguments that differ between instances as expressions: of the input's channels and of as few parameters as can be.

While parameters have no names yet, expressions name them by number, `<3>`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cnnspec.language.functions import make_divisible
from cnnspec.outline.kinds import CHANNELS
from cnnspec.outline.sketch import Code

__all__ = ["ABSENT", "Param", "Solver", "is_constant", "named", "token"]


class _Absent:
    """The value of an argument that an instance does not have."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
_LARGEST: Final = 128  # factor or divisor
_STEPS: Final = (2, 4, 8, 16, 3, 6, 12, 24)

# Kinds of which a list may be said part by part, and as what.
_PARTS: Final = {"padding": r"\d+|[\w<>]+ // [24]", "shape": r"-?\d+|[\w<>]+( // \d+)?|\d+ \* [\w<>]+"}

Vector = Sequence[Any]  # a value for each instance


@dataclass(slots=True)
class Param:
    """A parameter to be: what it is for each instance, and what it is first given to."""

    values: list[Any]
    kind: str
    argument: str
    path: tuple[str, ...]  # of the item
    default: Any = ABSENT  # that it must have
    name: str = ""
    part: int | None = None  # its place in a list of its kind


@dataclass(slots=True)
class _Base:
    """Something that an expression may be made of."""

    text: str
    values: Vector


@dataclass
class Solver:
    """Finds expressions, and makes parameters where there is none."""

    in_channels: Vector
    out_channels: Vector
    params: list[Param] = field(default_factory=list)
    said: list[_Base] = field(default_factory=list)  # what all instances have of channels

    def solve(self, vector: Vector, kind: str, argument: str, path: tuple[str, ...]) -> Any:
        """A constant, or `Code`; ABSENT where it is so for all instances."""
        if is_constant(vector):
            value = next((value for value in vector if value is not ABSENT), ABSENT)
            # Where only those with a stride have the item, its stride is theirs.
            stride = self.lookup(vector, kind, argument) if kind == "stride" and ABSENT in vector else None
            return value if stride is None or value in (1, ABSENT) else stride
        found = self.lookup(vector, kind, argument)
        if found is None and kind in (CHANNELS, "groups"):
            found = self.by_ratio(vector, path)
        if found is not None and kind == CHANNELS and re.search(r" (\*|//) ", found) and ABSENT not in vector:
            self.said.append(_Base(found, vector))
        if found is None and kind in _PARTS:
            found = self.by_parts(vector, _PARTS[kind])
        return self.new(vector, kind, argument, path) if found is None else found

    def by_parts(self, vector: Vector, pattern: str) -> Code | None:
        """Several numbers each as it is, or made of the channels: empty ones are padded like the others."""
        there = [value for value in vector if value is not ABSENT]
        if not all(isinstance(value, tuple) for value in there) or len({len(value) for value in there}) != 1:
            return None
        texts = []
        for part in range(len(there[0])):
            column = [ABSENT if value is ABSENT else value[part] for value in vector]
            text = repr(column[0]) if is_constant(column) else self.lookup(column, CHANNELS)
            if text is None or ABSENT in column or not re.fullmatch(pattern, text):
                return None
            texts.append(text)
        return Code(f"({', '.join(texts)})")

    def lookup(self, vector: Vector, kind: str, argument: str = "") -> Code | None:
        """An expression of what there is. That two stages are as deep as each other says nothing: none of counts."""
        if kind == "count":
            return None
        for param in sorted(self.params, key=lambda each: each.argument != argument):
            if param.kind == kind and _equal(vector, param.values):
                return Code(token(self.params.index(param)))
        if kind in (CHANNELS, "groups"):
            for known in self.said:
                if _equal(vector, known.values):
                    return Code(known.text)
            found = next(_channels(vector, list(self.bases((CHANNELS, "groups"), in_channels=True))), None)
            products = (known for known in self.said if not re.search(r" [-+] ", known.text))
            return found or next((text for known in products for text in _multiples(vector, known)), None)
        if kind == "padding":
            return next(self.paddings(vector), None)
        return None

    def paddings(self, vector: Vector) -> Iterator[Code]:
        """What keeps the size, with or without a stride."""
        kernels, dilations = list(self.bases(("kernel",))), list(self.bases(("dilation",)))
        yield from _paddings(vector, kernels, dilations)
        # Where the map was padded by itself before a stride, not every side by as much, there is nothing left to pad.
        for stride in self.bases(("stride",)):
            steps = zip(vector, stride.values, strict=True)
            moved = [value for value, step in steps if step != 1 and value is not ABSENT]
            kept = [ABSENT if step != 1 else value for value, step in zip(vector, stride.values, strict=True)]
            known = [value for value in kept if value is not ABSENT]
            if not known or not moved or any(moved) or isinstance(known[0], str):
                continue
            text = repr(known[0]) if is_constant(kept) else next(_paddings(kept, kernels, dilations), None)
            if text is not None:
                yield Code(f"{text} if {stride.text} == 1 else 0")

    def bases(self, kinds: tuple[str, ...], *, in_channels: bool = False) -> Iterator[_Base]:
        """Parameters of these kinds, and the channels of the input."""
        for number, param in enumerate(self.params):
            if param.kind in kinds:
                yield _Base(token(number), param.values)
        if in_channels:
            yield _Base("in_channels", self.in_channels)

    def by_ratio(self, vector: Vector, path: tuple[str, ...]) -> Code | None:
        """A multiple of the input's channels, by a parameter that takes few values."""
        pairs = [(v, c) for v, c in zip(vector, self.in_channels, strict=True) if v is not ABSENT]
        if not all(type(v) is int and v % c == 0 for v, c in pairs):
            return None
        factors = [ABSENT if v is ABSENT else v // c for v, c in zip(vector, self.in_channels, strict=True)]
        few, many = len({v // c for v, c in pairs}), len({v for v, _ in pairs})
        if few > 3 or 2 * few > many or self.out_channels == vector:
            return None
        known = next((n for n, p in enumerate(self.params) if p.kind == "expand" and _equal(factors, p.values)), None)
        if known is None:
            self.params.append(Param(factors, "expand", "expand", path))
            known = len(self.params) - 1
        return Code(f"in_channels * {token(known)}")

    def new(self, vector: Vector, kind: str, argument: str, path: tuple[str, ...]) -> Code:
        """A new parameter."""
        self.params.append(Param(list(vector), kind, argument, path))
        return Code(token(len(self.params) - 1))


def token(number: int) -> str:
    """How an expression names a parameter."""
    return f"<{number}>"


def named(text: str, params: Sequence[Param]) -> Code:
    """An expression with the names that parameters have now."""
    return Code(re.sub(r"<(\d+)>", lambda match: params[int(match[1])].name, text))


def is_constant(vector: Vector) -> bool:
    """Whether all values are one. True is not 1, nor is 1.0."""
    return len({repr(value) for value in vector if value is not ABSENT}) <= 1


def _equal(vector: Vector, other: Vector) -> bool:
    return all(repr(a) == repr(b) for a, b in zip(vector, other, strict=True) if a is not ABSENT)


def _fits(vector: Vector, bases: Sequence[_Base], function: Callable[..., Any], distinct: int) -> bool:
    """Whether a function of the bases is the vector, in at least so many different cases."""
    cases = set()
    for index, value in enumerate(vector):
        if value is ABSENT:
            continue
        operands = [base.values[index] for base in bases]
        if not all(type(operand) is int for operand in (value, *operands)):
            return False
        try:
            if function(*operands) != value:
                return False
        except ArithmeticError:
            return False
        cases.add((value, *operands))
    return len(cases) >= distinct


def _channels(vector: Vector, bases: list[_Base]) -> Iterator[Code]:
    """Expressions of channels, the plainest first."""
    for base in bases:
        if _fits(vector, [base], lambda b: b, 2):
            yield Code(base.text)
    for base in bases:
        yield from _multiples(vector, base)
    for base in bases:
        for step in _STEPS:
            if _fits(vector, [base], lambda b, step=step: make_divisible(b // step), 3):
                yield Code(f"make_divisible({base.text} // {step})")
            if _fits(vector, [base], lambda b, step=step: max(1, b // step), 3):
                yield Code(f"max(1, {base.text} // {step})")
    for one in bases:
        for other in bases:
            if one is not other and _fits(vector, [one, other], lambda a, b: a - b, 3):
                yield Code(f"{one.text} - {other.text}")
            if one is not other and _fits(vector, [one, other], lambda a, b: a // b, 3):
                yield Code(f"{one.text} // {other.text}")
    for index, one in enumerate(bases):
        for other in bases[index + 1 :]:
            if _fits(vector, [one, other], lambda a, b: a + b, 3):
                yield Code(f"{one.text} + {other.text}")
            if _fits(vector, [one, other], lambda a, b: a * b, 3):
                yield Code(f"{one.text} * {other.text}")


def _multiples(vector: Vector, base: _Base) -> Iterator[Code]:
    pairs = [(v, b) for v, b in zip(vector, base.values, strict=True) if v is not ABSENT and type(b) is int]
    if not pairs or any(type(v) is not int or v < 1 or b < 1 for v, b in pairs):
        return
    value, operand = max(pairs)
    if value > operand and value % operand == 0 and value // operand <= _LARGEST:
        factor = value // operand
        if _fits(vector, [base], lambda b: factor * b, 2):
            yield Code(f"{factor} * {base.text}")
    if operand > value and operand // value <= _LARGEST:
        part = operand // value
        even = all(b % part == 0 for _, b in pairs)
        if _fits(vector, [base], lambda b: b // part, 2 if even else 3):
            yield Code(f"{base.text} // {part}")


def _paddings(vector: Vector, kernels: list[_Base], dilations: list[_Base]) -> Iterator[Code]:
    """What keeps the size for a kernel, and for a dilation."""
    for kernel in kernels:
        if _fits(vector, [kernel], lambda k: k // 2, 2):
            yield Code(f"{kernel.text} // 2")
        for dilation in dilations:
            if _fits(vector, [kernel, dilation], lambda k, d: (k - 1) // 2 * d, 2):
                yield Code(f"({kernel.text} - 1) // 2 * {dilation.text}")
    for dilation in dilations:
        if _fits(vector, [dilation], lambda d: d, 2):
            yield Code(dilation.text)
