"""What a person asks about an operator, from its class: the call, the arguments, what each takes, the output shape."""

from __future__ import annotations

import inspect
import re
import sys
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from cnnspec.ops import AbstractOp, AnyOp, operators
from cnnspec.ops.arguments import Bounds, Field
from cnnspec.ops.base import LIMIT

__all__ = ["argument_line", "call_line", "describe", "families", "siblings", "summary"]

KINDS: Final = {int: ["a whole number"], float: ["a number"], bool: ["`True`", "`False`"], NoneType: ["`None`"]}
BOUNDS: Final = {"gt": "above", "ge": "from", "le": "up to"}


def families() -> dict[str, list[type[AnyOp]]]:
    """The operators, file by file: what a file is about, and its classes."""
    classes: dict[str, list[type[AnyOp]]] = {}
    for op in dict.fromkeys(op for op, _ in operators().values()):
        about = re.split(r"\.(?:\s|$)", inspect.getdoc(sys.modules[op.__module__]) or "")[0]
        classes.setdefault(about, []).append(op)
    return classes


def siblings(op: type[AbstractOp]) -> list[str]:
    """The names that a class has in specs: `Conv1d`, `Conv2d` and `Conv3d`."""
    return [f"{op.__name__}{rank}d" for rank in op.ranks] or [op.__name__]


def summary(op: type[AbstractOp]) -> str:
    """What an operator does: the first sentence about it, without its full stop."""
    text = " ".join(_about(op).split("\n\n")[0].split())
    return re.split(r"(?<!et al)\. |\.$", text)[0]


def describe(name: str) -> str:
    """The operator called `name`, as Markdown: what it does, how it is called, and what each argument takes."""
    op, _ = operators()[name]
    fields = {key: field for key, field in op.fields().items() if key != "rank"}
    parts = [f"# {', '.join(siblings(op))}", _about(op)]
    rule = inspect.getdoc(op.out_shape) or ""
    if rule != inspect.getdoc(AbstractOp.out_shape):
        parts.append(rule)
    parts.append(f"    {_call(name, op, fields)}")
    if fields:
        parts.append(_arguments(op, fields))
    return "\n\n".join(parts) + "\n"


def call_line(name: str) -> str:
    """The call of the operator called `name`, with its arguments and their defaults."""
    op, _ = operators()[name]
    return _call(name, op, {key: field for key, field in op.fields().items() if key != "rank"})


def argument_line(name: str, argument: str) -> str:
    """One argument of an operator: its default, and what it takes."""
    op, _ = operators()[name]
    field = op.fields()[argument]
    default = "required" if field.required else f"by default `{field.default}`"
    return f"`{argument}` of {name}, {default}: {_takes(op, argument, field)}"


def _about(op: type[AbstractOp]) -> str:
    """The docstring, without the names in front of it."""
    text = re.sub(r"^`\w+`(?:, `\w+`)*: ", "", inspect.getdoc(op) or "")
    return text[:1].upper() + text[1:]


def _call(name: str, op: type[AbstractOp], fields: dict[str, Field]) -> str:
    """The call as Python writes signatures: what comes after `*` is given by name."""
    reads = [] if op.arity == (1, 1) else ["node", "node"] if op.arity[1] else ["node", "node", "…"]
    written = {key: key if field.required else f"{key}={field.default}" for key, field in fields.items()}
    by_name = [text for key, text in written.items() if key not in op.positional]
    by_name = by_name if reads else [*["*"][: len(by_name)], *by_name]
    return f"{name}({', '.join([*reads, *(written[key] for key in op.positional), *by_name])})"


def _arguments(op: type[AbstractOp], fields: dict[str, Field]) -> str:
    """The arguments as a table, those that may be given by position first."""
    rows = [("argument", "default", "takes")]
    for key in dict.fromkeys([*op.positional, *fields]):
        default = "required" if fields[key].required else f"`{fields[key].default}`"
        rows.append((f"`{key}`", default, _takes(op, key, fields[key])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |" for row in rows]
    lines.insert(1, f"|{'|'.join('-' * (width + 2) for width in widths)}|")
    return "\n".join(lines)


def _takes(op: type[AbstractOp], key: str, field: Field) -> str:
    if key == op.inferred:
        return "follows from the input; checked where it is written"
    choices = _choices(field.annotation, Bounds(), op.per_axis.get(key))
    return " or ".join([", ".join(choices[:-1]), choices[-1]] if len(choices) > 1 else choices)


def _choices(annotation: Any, bounds: Bounds, least: int | None) -> list[str]:
    """What values of this type are, in words; `least` is the smallest of an argument that has a value per axis."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _choices(parts[0], parts[1], least)
    if origin in (Union, UnionType):
        return [choice for part in parts for choice in _choices(part, bounds, least)]
    if origin is Literal:
        return [f"`{word}`" for word in parts]
    if least is not None and origin is tuple:
        return [f"a whole number from {least}", "one per axis"]
    if annotation == tuple[int, ...]:  # one number stands for all
        return ["a whole number", "a list of them"]
    if origin is tuple:
        return [f"a list of {kind[2:].replace('number', 'numbers')}" for kind in _choices(parts[0], bounds, None)]
    return [kind + _range(bounds) for kind in KINDS[annotation]]


def _range(bounds: Bounds) -> str:
    """` from 0 up to 1`; the largest number that there is goes without saying."""
    limits = [(word, getattr(bounds, key)) for key, word in BOUNDS.items()]
    return "".join(f" {word} {limit}" for word, limit in limits if limit is not None and abs(limit) != LIMIT)
