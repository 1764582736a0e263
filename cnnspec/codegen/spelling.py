"""Values, and functions of what they read, as the source spells them."""

from __future__ import annotations

from typing import Any, Final

from cnnspec.ops.torch_call import Kind, TorchCall, spelled

__all__ = ["forward_text", "literal", "trained_text"]

_SIGNS: Final = {"operator.add": "+", "operator.mul": "*", "operator.sub": "-", "operator.truediv": "/"}


def forward_text(call: TorchCall, reads: list[str]) -> str:
    """What a call without a module of its own makes of what it reads."""
    sign = _SIGNS.get(call.name)
    if call.kind == "fold":
        if sign is not None:
            return f" {sign} ".join(reads)
        text = reads[0]
        for read in reads[1:]:
            text = f"{call.name}({text}, {read})"
        return text
    if sign is not None:
        (constant,) = call.arguments
        less = sign == "+" and constant < 0
        return f"{reads[0]} - {literal(-constant)}" if less else f"{reads[0]} {sign} {literal(constant)}"
    if call.name == "operator.getitem":
        (places,) = call.arguments
        return f"{reads[0]}[{', '.join(map(_place, places))}]"
    read = f"[{', '.join(reads)}]" if call.kind == "reads" else reads[0]
    named = [f"{name}={literal(value)}" for name, value in call.named.items()]
    return f"{call.name}({', '.join([read, *map(literal, call.arguments), *named])})"


def trained_text(kind: Kind, read: str, parameter: str) -> str:
    """A value with a parameter that multiplies it, or is added to it."""
    return f"{read} * {parameter}" if kind == "factor" else f"{read} + {parameter}"


def _place(place: Any) -> str:
    if not isinstance(place, slice):
        return repr(place)
    ends = [place.start, place.stop, *([place.step] if place.step is not None else [])]
    return ":".join("" if end is None else repr(end) for end in ends)


def literal(value: Any) -> str:
    """A value as a formatter writes it."""
    if isinstance(value, str):
        return '"' + value + '"'
    if isinstance(value, slice):
        whole = value.start is None and value.step is None
        given = [value.stop] if whole else [value.start, value.stop, *([value.step] if value.step is not None else [])]
        return f"slice({', '.join(map(literal, given))})"
    if isinstance(value, (tuple, list)):
        items = ", ".join(map(literal, value))
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    return spelled(value)
