"""What the arguments of an operator are: annotated fields of its class, checked when one is made.

    class Pad(AbstractArguments):
        padding: Count
        mode: Literal["zeros"] = "zeros"

A value is taken as it is or refused: `True`, `"8"` and `3.0` are no whole numbers. Every start of the program makes the
class of every operator, and a network uses few of them. So a class is no more than its body, and its annotations are
read when the first operator of it is made: pydantic alone would need a quarter of the time of `inspect`.
"""

from collections.abc import Iterator, Mapping
from math import isfinite
from types import UnionType
from typing import (
    Annotated,
    Any,
    ClassVar,
    Final,
    Literal,
    NamedTuple,
    NoReturn,
    Self,
    Union,
    dataclass_transform,
    get_args,
    get_origin,
)

__all__ = ["AbstractArguments", "ArgumentError", "Bounds", "Fault", "Field"]

REQUIRED: Final = object()


class Bounds(NamedTuple):
    """Between what a number lies: `Annotated[float, Bounds(gt=0)]`."""

    ge: float | None = None
    gt: float | None = None
    le: float | None = None


class Field(NamedTuple):
    """One argument of an operator."""

    annotation: Any
    default: Any

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is REQUIRED

    @property
    def words(self) -> tuple[str, ...]:
        """The words that it takes."""
        return tuple(_words(self.annotation))

    @property
    def takes_numbers(self) -> bool:
        """Whether it takes any number, among others."""
        return float in get_args(self.annotation)


def _words(annotation: Any) -> Iterator[str]:
    for part in get_args(annotation):
        if isinstance(part, str):
            yield part
        else:
            yield from _words(part)


class Fault(NamedTuple):
    """What is wrong with an argument, or with how several go together (its name is empty then)."""

    name: str
    reason: str
    whole: bool = True  # else the value that was given follows: "must be at least 1, not 0"


class ArgumentError(ValueError):
    """An operator cannot be made of these arguments: some are missing, some have faults."""

    def __init__(self, missing: list[str], faults: list[Fault]) -> None:
        reasons = [f"{name} is missing" for name in missing]
        super().__init__("; ".join([*reasons, *(f"{fault.name} {fault.reason}".strip() for fault in faults)]))
        self.missing = missing
        self.faults = faults


class _OtherKindError(Exception):
    """A value is not of the kind that an argument takes."""


class _OutOfBoundsError(Exception):
    """A number is too small or too large."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
class AbstractArguments:
    """A value made of named arguments: frozen, hashable, equal to others of its class with the same values."""

    words: ClassVar[tuple[str, ...]] = ()  # fields that take words, in which a string is not an expression
    per_axis: ClassVar[dict[str, int]] = {}  # fields with a whole number for each axis, and the smallest there is
    _fields: ClassVar[Mapping[str, Field]]

    def __init__(self, **arguments: Any) -> None:
        """Raises ArgumentError."""
        fields = self.fields()
        faults = [Fault(name, "is no argument of it") for name in arguments if name not in fields]
        missing = []
        values: dict[str, Any] = {}
        for name, field in fields.items():
            value = arguments.get(name, field.default)
            if value is REQUIRED:
                missing.append(name)
                continue
            try:
                values[name] = _checked(field.annotation, self.spread(name, value, values))
            except _OtherKindError as error:
                numbers = ["a whole number"] * (name in self.per_axis) or ["a number"] * field.takes_numbers
                choices = [*numbers, *(f"`{word}`" for word in field.words)]
                reason = f"wants {' or '.join(choices)}" if field.words or name in self.per_axis else str(error)
                faults.append(Fault(name, reason, whole=False))
            except _OutOfBoundsError as error:
                faults.append(Fault(name, str(error), whole=False))
            except ValueError as error:
                faults.append(Fault(name, str(error)))
        self.__dict__.update(values)
        if not missing and not faults:
            try:
                self.check_arguments()
            except ValueError as error:
                faults.append(Fault("", str(error)))
        if missing or faults:
            raise ArgumentError(missing, faults)

    @classmethod
    def fields(cls) -> Mapping[str, Field]:
        """What it takes, by name, in the order in which it is written."""
        if "_fields" not in cls.__dict__:  # but perhaps in those of its base
            cls._fields = _declared(cls)
        return cls._fields

    @classmethod
    def spread(cls, name: str, value: Any, known: Mapping[str, Any]) -> Any:
        """What stands for the value that was given, as one number for one per axis. `known` has the fields before.

        Raises ValueError with all that there is to say.
        """
        return value

    def check_arguments(self) -> None:
        """Raise ValueError where arguments do not go together."""

    def replaced(self, **arguments: Any) -> Self:
        """The same with other values for some arguments. Raises ArgumentError."""
        return type(self)(**{**self.__dict__, **arguments})

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} is frozen: `replaced` gives another one")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash((type(self), *self.__dict__.values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.__dict__.items())})"


def _declared(cls: type[AbstractArguments]) -> Mapping[str, Field]:
    annotations: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        annotations |= getattr(base, "__annotations__", {})
    return {
        name: Field(annotation, getattr(cls, name, REQUIRED))
        for name, annotation in annotations.items()
        if annotation is not ClassVar and get_origin(annotation) is not ClassVar
    }


def _checked(annotation: Any, value: Any) -> Any:
    """The value as its type has it: a list as a tuple, a whole number for a float as a float.

    Raises one of the two above.
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _within(parts[1], _checked(parts[0], value))
    if origin in (Union, UnionType):
        return _one_of(parts, value)
    if origin is Literal:
        if isinstance(value, str) and value in parts:
            return value
        raise _OtherKindError
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            raise _OtherKindError("wants a list of whole numbers")
        return tuple(_checked(parts[0], item) for item in value)
    if annotation is float and type(value) in (int, float):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if isfinite(number):
            return number
        raise _OtherKindError("wants a finite number")
    if type(value) is not annotation:
        raise _OtherKindError(_WANTED[annotation])
    return value


_WANTED: Final = {
    int: "wants a whole number",
    float: "wants a number",
    bool: "wants True or False",
    type(None): "wants None",
}


def _one_of(kinds: tuple[Any, ...], value: Any) -> Any:
    """The value as the first of these types that takes it. Raises what the first does."""
    refusal: _OtherKindError | _OutOfBoundsError | None = None
    for kind in kinds:
        try:
            return _checked(kind, value)
        except (_OtherKindError, _OutOfBoundsError) as error:
            refusal = refusal or error
    assert refusal is not None
    raise refusal


def _within(bounds: Bounds, number: Any) -> Any:
    if bounds.ge is not None and number < bounds.ge:
        raise _OutOfBoundsError(f"must be at least {bounds.ge}")
    if bounds.gt is not None and number <= bounds.gt:
        raise _OutOfBoundsError(f"must be above {bounds.gt}")
    if bounds.le is not None and number > bounds.le:
        raise _OutOfBoundsError(f"must be at most {bounds.le}")
    return number
