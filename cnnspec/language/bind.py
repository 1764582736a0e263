"""From the arguments of a call to an operator: positions, words, its own verdict, and errors with their place."""

from __future__ import annotations

import ast
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

from cnnspec.errors import Diagnostic
from cnnspec.hints import did_you_mean
from cnnspec.language.document import Argument, Call, Expr
from cnnspec.language.results import show
from cnnspec.language.unparse import unparse
from cnnspec.language.values import UnknownValue
from cnnspec.ops import AnyOp, ArgumentError, Shape, make_op, operators
from cnnspec.ops.arguments import Fault
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.pool import MaxPool
from cnnspec.places import Edit, Fix, Span

__all__ = ["argument_names", "bind_operator", "check_names", "name_arguments", "words_of"]

# Where a call pasted from torch has its arguments, for those whose fields stand in another order.
_TORCH_ORDER: Final[dict[type, tuple[str, ...]]] = {
    Conv: ("out_channels", "kernel_size", "stride", "padding", "dilation", "groups", "bias"),
    ConvTranspose: ("out_channels", "kernel_size", "stride", "padding", "output_padding", "groups", "bias", "dilation"),
    MaxPool: ("kernel_size", "stride", "padding", "dilation"),
}


@lru_cache(maxsize=1024)
def argument_names(target: str) -> tuple[str, ...]:
    """The arguments that an operator takes."""
    op, _ = operators()[target]
    return tuple(name for name in op.fields() if name != "rank")


@lru_cache(maxsize=8192)
def _cached_op(target: str, arguments: tuple[tuple[str, Any, str], ...]) -> AnyOp | ArgumentError:
    return _tried_op(target, {name: value for name, value, _ in arguments})


@lru_cache(maxsize=1024)
def _bare_op(target: str) -> AnyOp | None:
    """The operator without arguments, if it needs none."""
    try:
        return make_op(target)
    except ArgumentError:
        return None


def name_arguments(
    call: Call,
    positional: tuple[str, ...],
    report: Callable[[Diagnostic], None],
    is_inferred: Callable[[Expr], bool | None] = lambda _: None,
) -> dict[str, Argument]:
    """Every argument under its name. Reports too many positions and arguments given twice.

    `is_inferred` says whether the first argument may be the one that torch has there and that follows from the input;
    None where the input is not known.
    """
    named: dict[str, Argument] = {}
    for index, arg in enumerate(call.args):
        if arg.name is None and index >= len(positional):
            count = sum(1 for other in call.args if other.name is None)
            allowed = f"{len(positional)} argument{'s' * (len(positional) > 1)}" if positional else "no argument"
            listed = f" ({', '.join(positional)})" if positional else ""
            message = f"{call.target} takes {allowed} by position{listed}, not {count}"
            hint, fix = _as_written_here(call, positional, is_inferred)
            if hint is None and isinstance(arg.expr.value, ast.Name):
                brackets = "(…)" if positional else "()"
                hint = f"to read the node `{arg.expr.word}` write `{call.target}{brackets}({arg.expr.word})`"
            report(Diagnostic("E105", message, arg.place, help=hint, fix=fix))
            break
        name = arg.name if arg.name is not None else positional[index]
        if name in named:
            report(Diagnostic("E104", f"the argument `{name}` is given twice", arg.place))
        named[name] = arg
    return named


def _as_written_here(
    call: Call, positional: tuple[str, ...], is_inferred: Callable[[Expr], bool | None]
) -> tuple[str | None, Fix | None]:
    """How to write a call whose arguments stand where torch has them: without the inferred one, the rest by name."""
    entry = operators().get(call.target)
    if entry is None:
        return None, None
    op_type, _ = entry
    order = _TORCH_ORDER.get(op_type, argument_names(call.target))
    given = [arg for arg in call.args if arg.name is None]
    rest = [f"{arg.name}={_spelled(arg.expr)}" for arg in call.args if arg.name is not None]
    way = "write the others by name:"
    edits: list[Edit] = []
    inferred = op_type not in _TORCH_ORDER or is_inferred(given[0].expr)
    if op_type.inferred is not None and inferred is None:
        return f"what follows `{positional[-1]}` is written by name, and `{op_type.inferred}` is left out", None
    # A number too many is the inferred one for a dense layer or a norm, but may be the stride for a convolution.
    if op_type.inferred is not None and inferred:
        way = f"`{op_type.inferred}` follows from the input: write"
        first = given.pop(0).place.span
        following = [arg.place.span[:2] for arg in call.args[1:2]]  # up to it, with the comma
        edits.append(Edit(Span(*first[:2], *(following[0] if following else first[2:])), ""))
    elif not positional:
        return None, None
    if len(given) > len(order):
        return None, None
    texts = [_spelled(arg.expr) for arg in given]
    named = [f"{name}={text}" for name, text in zip(order, texts, strict=False) if name not in positional]
    written = ", ".join([*texts[: len(positional)], *named, *rest])
    for name, arg in zip(order, given, strict=False):
        if name not in positional:
            start = arg.place.span[:2]
            edits.append(Edit(Span(*start, *start), f"{name}="))
    text = f"`{call.target}({written:.60})`"
    return f"{way} {text}", Fix(f"write {text}", tuple(edits))


def _spelled(expr: Expr) -> str:
    return unparse(expr.value) if isinstance(expr.value, ast.AST) else str(expr.word)


def check_names(
    call: Call, named: dict[str, Argument], known: tuple[str, ...], report: Callable[[Diagnostic], None]
) -> bool:
    """Report arguments that do not exist."""
    good = True
    for name, arg in named.items():
        if name not in known:
            good = False
            label = did_you_mean(name, known)
            there_are = f"it takes {', '.join(f'`{other}`' for other in known)}" if known else "it takes none"
            report(
                Diagnostic(
                    "E104",
                    f"{call.target} has no argument `{name}`",
                    arg.place,
                    label,
                    help=None if label else there_are,
                )
            )
    return good


def bind_operator(
    call: Call,
    target: str,
    evaluate: Callable[[Expr], Any],
    defined: Callable[[str], bool],
    report: Callable[[Diagnostic], None],
    shape: Shape | None = None,
) -> AnyOp | None:
    """The operator of a call, or None after reporting why there is none. `shape` is what it reads, where known."""
    if not call.args and (bare := _bare_op(target)) is not None:
        return bare
    op_type, _ = operators()[target]
    lost: list[str] = []

    def note(diagnostic: Diagnostic) -> None:
        lost.append(diagnostic.code)
        report(diagnostic)

    def is_inferred(expr: Expr) -> bool | None:
        if shape is None:
            return None
        try:
            return bool(evaluate(expr) == shape[0])
        except UnknownValue:
            return True

    known = argument_names(target)
    named = name_arguments(call, op_type.positional, note, is_inferred)
    check_names(call, named, known, note)
    misnamed = bool(lost)
    values: dict[str, Any] = {}
    for name, arg in named.items():
        if name not in known:
            continue
        words = words_of(target, name) if name in op_type.words else ()
        word = arg.expr.word
        if word is not None and word in words:
            values[name] = word
        elif word is not None and (
            arg.expr.value is None
            or word.lower() in words
            or (isinstance(arg.expr.value, ast.Name) and not defined(word) and did_you_mean(word, words))
        ):
            choices = f": it takes {' or '.join(f'`{known}`' for known in words)}" if words else ": it takes no words"
            label = did_you_mean(word, words)
            note(Diagnostic("E106", f"`{name}` cannot be `{word:.40}`{choices}", arg.expr.place, label))
        else:
            try:
                value = evaluate(arg.expr)
            except UnknownValue:
                lost.append(name)
                continue
            values[name] = tuple(value) if isinstance(value, list) else value
    op = _made_op(target, values)
    if isinstance(op, ArgumentError):
        missing, faults = op.missing, op.faults
        if lost:  # then the others alone have been looked at
            missing = [] if misnamed else [name for name in missing if name not in named]
            faults = [fault for fault in faults if fault.name in values]
        _report_faults(missing, faults, call, target, named, values, report)
        return None
    return None if lost else op


def _made_op(target: str, values: dict[str, Any]) -> AnyOp | ArgumentError:
    """The operator, or why there is none: worked out once for all copies of a line either way."""
    try:
        return _cached_op(target, tuple([(name, value, repr(value)) for name, value in values.items()]))
    except TypeError:  # an unhashable value: the operator says what is wrong with it
        return _tried_op(target, values)


def _tried_op(target: str, values: dict[str, Any]) -> AnyOp | ArgumentError:
    try:
        return make_op(target, **values)
    except ArgumentError as error:
        return error.with_traceback(None)  # which would hold what was under way


@lru_cache(maxsize=512)
def words_of(target: str, name: str) -> tuple[str, ...]:
    """The words that a field takes, from its type."""
    return operators()[target][0].fields()[name].words


def _report_faults(
    missing: list[str],
    faults: list[Fault],
    call: Call,
    target: str,
    named: dict[str, Argument],
    values: dict[str, Any],
    report: Callable[[Diagnostic], None],
) -> None:
    if missing:
        needed = " and ".join(f"`{name}`" for name in missing)
        positional = operators()[target][0].positional
        example = (
            f"{call.target}({', '.join([*positional, *(f'{name}=…' for name in missing if name not in positional)])})"
        )
        report(Diagnostic("E105", f"{call.target} needs {needed}", call.place, help=f"write `{example}`"))
    for name, reason, whole in faults:
        place = named[name].expr.place if name in named else call.place
        subject = f"`{name}`" if name else call.target
        value = "" if whole else f", not {show(values.get(name))}"
        report(Diagnostic("E106", f"{subject} {reason}{value}", place))
