"""The boundary that people call across in Python: arguments are checked before anything is done with them.

The annotations of a function are the one list of what it takes. They are read at its first call, and without pydantic:
one model of it would take as long as `inspect` takes for a small network.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import os
import reprlib
from collections.abc import Callable
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, ParamSpec, TypeVar, Union, get_args, get_origin

from cnnspec.errors import UsageError, unreadable

__all__ = ["Most", "OneOf", "public", "shown", "wanted_kinds"]

P = ParamSpec("P")
R = TypeVar("R")

_ANYTHING: Final = (Any, object)
_MOST_BITS: Final = 10_000  # of a whole number: Python writes none of more than 4,300 digits, and so no error could
_TEXTS: Final = (str, bytes, bytearray, memoryview)
_PLAIN: Final[dict[Any, str]] = {
    None: "None",
    NoneType: "None",
    bool: "a valid boolean",
    int: "a valid integer",
    float: "a valid number",
}
_BOUNDS: Final[dict[str, tuple[str, Callable[[Any, Any], bool]]]] = {
    "ge": ("greater than or equal to", lambda value, bound: value >= bound),
    "gt": ("greater than", lambda value, bound: value > bound),
    "le": ("less than or equal to", lambda value, bound: value <= bound),
    "lt": ("less than", lambda value, bound: value < bound),
}


class OneOf(NamedTuple):
    """In `Annotated[str, OneOf(words)]`: the words that an argument may be."""

    words: tuple[str, ...]


class Most(NamedTuple):
    """In `Annotated[str, Most(100)]`: how many letters or items there may be."""

    length: int


def public(**later: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function or method that people call: wrong arguments and files that the system refuses are a UsageError.

    An argument that is missing or that there is not stays Python's TypeError. `later` are the modules of the types
    that the function's own module does not import, by their names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature: inspect.Signature | None = None

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal signature
            if signature is None:
                signature = _signature(function, later)
            _check(function, signature, args, kwargs)
            try:
                return function(*args, **kwargs)
            except OSError as error:
                if (told := unreadable(error)) is None:
                    raise
                raise told from error

        return call

    return decorate


def _signature(function: Callable[..., object], later: dict[str, str]) -> inspect.Signature:
    """The signature with annotations for what are texts in the code."""
    types = {name: getattr(importlib.import_module(module), name) for name, module in later.items()}
    names = {**vars(inspect.getmodule(function)), **types}
    written = inspect.signature(function)
    parameters = [
        param.replace(annotation=Any if param.annotation is param.empty else eval(param.annotation, names))
        for param in written.parameters.values()
    ]
    return written.replace(parameters=parameters, return_annotation=written.empty)


def _check(
    function: Callable[..., object], signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise UsageError that names the first argument that is wrong."""
    try:
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:  # which Python raises itself, when it is called
        return
    for name, value in given.items():
        param = signature.parameters[name]
        several = value if param.kind is param.VAR_KEYWORD else {name: value}
        for key, one in several.items():
            if wanted := wanted_kinds(param.annotation, one):
                listed = " or ".join(dict.fromkeys(wanted))
                called = function.__qualname__.removesuffix(".__init__").rpartition(".")[2]
                raise UsageError(f"`{key}` of `{called}` is to be {listed}, and not {shown(one)}")


def shown(value: object) -> str:
    """A value as an error shows it: cut where it is long, and whatever it is."""
    try:
        return reprlib.repr(value)
    except ValueError:  # a whole number too long to be written
        return f"{type(value).__name__} with a number of too many digits"


def wanted_kinds(annotation: Any, value: Any) -> list[str]:
    """What a value of this annotation is to be; nothing where it is. No iterator is used up."""
    kind, parts = get_origin(annotation), get_args(annotation)
    if annotation in _ANYTHING:
        return []
    if annotation in _PLAIN:
        kinds = {None: (NoneType,), float: (float, int)}.get(annotation, (annotation,))
        endless = type(value) is int and value.bit_length() > _MOST_BITS
        return [] if type(value) in kinds and not endless else [_PLAIN[annotation]]
    if kind is Annotated:
        notes = [note for field in parts[1:] for note in getattr(field, "metadata", [field])]  # of pydantic's, or ours
        return wanted_kinds(parts[0], value) or [text for note in notes for text in _outside(note, value)]
    if kind is Literal:
        return _one_of(parts, value)
    if kind in (Union, UnionType):
        wanted = [wanted_kinds(part, value) for part in parts]
        return [] if [] in wanted else [text for texts in wanted for text in texts]
    if kind in (tuple, collections.abc.Sequence):  # a list will do for a tuple
        return _wanted_items(parts, value, kind is tuple and Ellipsis not in parts)
    if kind is collections.abc.Mapping:
        if not isinstance(value, collections.abc.Mapping):
            return ["a valid dictionary"]
        pairs = [(part, item) for pair in value.items() for part, item in zip(parts, pair, strict=True)]
        return next((texts for part, item in pairs if (texts := wanted_kinds(part, item))), [])
    if kind is collections.abc.Callable:
        return [] if callable(value) else ["callable"]
    wanted_type = kind or annotation
    return [] if _is_a(value, wanted_type) else [f"an instance of {wanted_type.__name__}"]


def _is_a(value: Any, wanted: Any) -> bool:
    """Whether a value is of a type and does what that is for: an array of no axes has nothing to go through."""
    if not isinstance(value, wanted):
        return False
    try:
        if wanted is collections.abc.Iterable:
            iter(value)
        return wanted is not os.PathLike or isinstance(os.fspath(value), str)
    except TypeError:
        return False


def _outside(note: Any, value: Any) -> list[str]:
    """What a note beside a type asks for besides, and the value is not."""
    if isinstance(note, OneOf):
        return _one_of(note.words, value)
    if isinstance(note, Most):
        return [f"at most {note.length:,} long"] if len(value) > note.length else []
    limits = [(words, getattr(note, key, None), holds) for key, (words, holds) in _BOUNDS.items()]
    return [f"{words} {limit}" for words, limit, holds in limits if limit is not None and not holds(value, limit)]


def _one_of(words: tuple[Any, ...], value: Any) -> list[str]:
    if any(type(word) is type(value) and word == value for word in words):
        return []
    *most, last = map(repr, words)
    return [f"{', '.join(most)} or {last}" if most else last]


def _wanted_items(parts: tuple[Any, ...], value: Any, counted: bool) -> list[str]:
    if not isinstance(value, collections.abc.Sequence) or isinstance(value, _TEXTS):
        return ["an instance of Sequence"]
    if counted and len(value) != len(parts):
        return [f"{len(parts)} values"]
    kinds = parts if counted else parts[:1] * len(value)
    return next((texts for part, item in zip(kinds, value, strict=True) if (texts := wanted_kinds(part, item))), [])
