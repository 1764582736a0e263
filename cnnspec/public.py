"""The boundary that people call across in Python: arguments are checked before anything is done with them.

The annotations of a function are the one list of what it takes. They are read at its first call, straight into
pydantic's core: building models of them would take as long as `inspect` takes for a small network.
"""

from __future__ import annotations

import collections.abc
import importlib
import inspect
import reprlib
from collections.abc import Callable
from functools import wraps
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, ParamSpec, TypeVar, Union, get_args, get_origin

from pydantic_core import ArgsKwargs, CoreSchema, SchemaValidator, ValidationError
from pydantic_core import core_schema as core

from cnnspec.errors import UsageError, unreadable

__all__ = ["OneOf", "public"]

P = ParamSpec("P")
R = TypeVar("R")

_PLAIN: Final[dict[Any, Callable[[], CoreSchema]]] = {
    Any: core.any_schema,
    object: core.any_schema,
    NoneType: core.none_schema,
    bool: lambda: core.bool_schema(strict=True),
    int: lambda: core.int_schema(strict=True),
    float: lambda: core.float_schema(strict=True),
}
_BOUNDS: Final = ("ge", "gt", "le", "lt")
# What Python itself says of a call that does not fit the signature.
_PYTHONS: Final = {
    "missing_argument", "missing_keyword_only_argument", "missing_positional_only_argument", "multiple_argument_values",
    "unexpected_keyword_argument", "unexpected_positional_argument",
}  # fmt: skip


class OneOf(NamedTuple):
    """In `Annotated[str, OneOf(words)]`: the words that an argument may be."""

    words: tuple[str, ...]


def public(**later: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """For a function or method that people call: wrong arguments and files that the system refuses are a UsageError.

    An argument that is missing or that there is not stays Python's TypeError. `later` are the modules of the types
    that the function's own module does not import, by their names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        validator: SchemaValidator | None = None

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            nonlocal validator
            if validator is None:
                validator = SchemaValidator(_arguments(function, later))
            try:
                validator.validate_python(ArgsKwargs(args, kwargs))
            except ValidationError as error:
                _refuse(function, error, args, kwargs)
            try:
                return function(*args, **kwargs)
            except OSError as error:
                if (told := unreadable(error)) is None:
                    raise
                raise told from error

        return call

    return decorate


def _arguments(function: Callable[..., object], later: dict[str, str]) -> CoreSchema:
    """What the annotations of a function's parameters say."""
    names = {**vars(inspect.getmodule(function)), **_types(later)}
    parameters = []
    rest = None
    for param in inspect.signature(function).parameters.values():
        annotation = Any if param.annotation is param.empty else eval(param.annotation, names)
        if param.kind is param.VAR_KEYWORD:
            rest = _schema(annotation)
        else:
            schema = _schema(annotation)
            if param.default is not param.empty:
                schema = core.with_default_schema(schema, default=param.default)
            mode: Literal["keyword_only", "positional_or_keyword"] = (
                "keyword_only" if param.kind is param.KEYWORD_ONLY else "positional_or_keyword"
            )
            parameters.append(core.arguments_parameter(param.name, schema, mode=mode))
    return core.arguments_schema(parameters, var_kwargs_schema=rest)


def _types(later: dict[str, str]) -> dict[str, Any]:
    return {name: getattr(importlib.import_module(module), name) for name, module in later.items()}


def _schema(annotation: Any) -> CoreSchema:
    """What a value of this annotation is held against. Nothing is converted, and no iterator is used up."""
    if annotation in _PLAIN:
        return _PLAIN[annotation]()
    kind, parts = get_origin(annotation), get_args(annotation)
    if annotation is None:
        return core.none_schema()
    if kind is Annotated and isinstance(parts[1], OneOf):
        return core.literal_schema([*parts[1].words])
    if kind is Annotated:
        notes = [note for field in parts[1:] for note in getattr(field, "metadata", [field])]
        bounds = {key: getattr(note, key) for note in notes for key in _BOUNDS if hasattr(note, key)}
        return {**_schema(parts[0]), **bounds}
    if kind is Literal:
        return core.literal_schema([*parts])
    if kind in (Union, UnionType):
        return core.union_schema([*map(_schema, parts)], mode="left_to_right")
    if kind in (tuple, collections.abc.Sequence):  # a list will do for a tuple
        count = None if kind is not tuple or Ellipsis in parts else len(parts)
        items = core.list_schema(_schema(parts[0]), min_length=count, max_length=count)
        return core.chain_schema([core.is_instance_schema(collections.abc.Sequence), items])
    if kind is collections.abc.Mapping:
        return core.dict_schema(_schema(parts[0]), _schema(parts[1]))
    if kind is collections.abc.Callable:
        return core.callable_schema()
    return core.is_instance_schema(kind or annotation)


def _refuse(
    function: Callable[..., object], error: ValidationError, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    """Raise UsageError that names the first argument that is wrong, unless Python itself refuses the call."""
    faults = error.errors(include_url=False, include_context=False)
    if any(fault["type"] in _PYTHONS for fault in faults):
        return
    place = faults[0]["loc"][0]
    wanted = [fault["msg"].removeprefix("Input should be ") for fault in faults if fault["loc"][0] == place]
    if isinstance(place, int):
        name, value = [*inspect.signature(function).parameters][place], args[place]
    else:
        name, value = place, kwargs[place]
    listed = " or ".join(dict.fromkeys(wanted))
    raise UsageError(f"`{name}` of `{function.__name__}` is to be {listed}, and not {reprlib.repr(value)}")
