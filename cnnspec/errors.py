"""What cnnspec raises, and the exit code that each kind gets on the command line.

    CnnspecError                 1   failed while running
    ├── UsageError               2   wrong usage: a missing file, a bad flag
    │   └── MissingExtraError    2   an optional dependency is not installed
    ├── SpecError                3   the spec is invalid; carries one or more `Diagnostic`s
    ├── VerificationError        4   a check of the result failed
    └── Interrupted       130, 143   a signal ended a run (`training.signals`)

A ShapeError is a ValueError: the bare fact that an operator states. The boundary that knows the file, the line and the
blocks adds them once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

__all__ = [
    "EXTRAS",
    "CnnspecError",
    "Diagnostic",
    "MissingExtraError",
    "Place",
    "ShapeError",
    "Span",
    "SpecError",
    "UsageError",
    "VerificationError",
    "missing_extra",
    "needs_extra",
]


class CnnspecError(Exception):
    """Base of every error that a user can cause. `hint` says the way out, where there is one."""

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors go from process to process, whatever their constructors want."""
        return _remake, (type(self), self.args, self.__dict__)


def _remake(kind: type[CnnspecError], arguments: tuple[Any, ...], state: dict[str, Any]) -> CnnspecError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(state)
    return error


class UsageError(CnnspecError):
    """The program was called wrongly."""

    exit_code = 2


# Optional packages, and the extra that brings them; None where several do.
EXTRAS: Final[dict[str, str | None]] = {
    **dict.fromkeys(("torch", "torchvision", "torchmetrics", "matplotlib", "sklearn"), "train"),
    **dict.fromkeys(("onnx", "onnxruntime"), "onnx"),
    **dict.fromkeys(("numpy", "PIL", "safetensors"), None),
    "tensorboard": "tensorboard",
}

_INSTALLED_AS: Final = {"PIL": "pillow", "sklearn": "scikit-learn"}


class MissingExtraError(UsageError):
    """An optional dependency is needed and absent."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs `{_INSTALLED_AS.get(package, package)}`, which is not installed",
            hint=f"pip install 'cnnspec[{extra}]'",
        )


def missing_extra(error: ModuleNotFoundError, extra: str) -> MissingExtraError | None:
    """The error for an optional package that is not there, or for one that such a package wants; None for others.

    `extra` is named where several bring the package.
    """
    package = (error.name or "").partition(".")[0]
    trace = error.__traceback__
    importing = {package}
    while trace is not None:
        importing.add(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
        trace = trace.tb_next
    if importing.isdisjoint(EXTRAS) or package == "cnnspec":
        return None
    return MissingExtraError(package, EXTRAS.get(package) or extra)


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Around imports of what an extra brings, or a function that has them. Raises MissingExtraError."""
    try:
        yield
    except ModuleNotFoundError as error:
        missing = missing_extra(error, extra)
        if missing is None:
            raise
        raise missing from None


class VerificationError(CnnspecError):
    """A result was made and a check found it wrong; the result was not kept."""

    exit_code = 4


class ShapeError(ValueError):
    """An operator cannot take the shapes it is given. States the fact; elaboration adds the place."""

    def __init__(self, message: str, code: str = "E201") -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Span(NamedTuple):
    """From a first character to behind a last one: 1-based lines and columns."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Place:
    """A span of a spec's text: 1-based line and column, and a length in characters on that line.

    Where a text has escapes or goes over several lines, `letters` holds the line and column of each of its
    characters. `stop` is the line and column behind the last character, where `length` does not say it: of texts over
    several lines, and of lists and mappings, whose `length` is that of their mark.
    """

    line: int
    column: int
    length: int = 1
    letters: tuple[tuple[int, int], ...] = field(default=(), compare=False, repr=False)
    stop: tuple[int, int] | None = field(default=None, compare=False, repr=False)

    @property
    def span(self) -> Span:
        """From the first character to behind the last one, with columns in characters."""
        return Span(self.line, self.column, *(self.stop or (self.line, self.column + self.length)))

    def utf16_span(self, lines: Sequence[str]) -> Span:
        """The span with columns in UTF-16 units, as editors count. `lines` are those of the text, in its order."""
        line, column, end_line, end_column = self.span
        return Span(line, _utf16_column(lines, line, column), end_line, _utf16_column(lines, end_line, end_column))

    def shifted(self, offset: int, length: int = 1) -> Place:
        """The place `offset` characters further in the text."""
        if not self.letters:
            return Place(self.line, self.column + offset, length)
        rest = self.letters[min(max(offset, 0), len(self.letters) - 1) :]
        line, column = rest[0]
        taken = rest[: max(1, length)]
        last = max(there for row, there in taken if row == line)
        end_line, end_column = taken[-1]
        return Place(line, column, max(1, last - column + 1), rest, (end_line, end_column + 1))


def _utf16_column(lines: Sequence[str], line: int, column: int) -> int:
    """A column in UTF-16 units: letters beyond U+FFFF are two."""
    before = lines[line - 1][: column - 1] if line <= len(lines) else ""
    return column + sum(letter > "\uffff" for letter in before)


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One finding about a spec: what, where, why and the way out."""

    code: str
    message: str
    place: Place | None = None
    label: str | None = None  # under the caret: "did you mean `kernel_size`?"
    notes: tuple[str, ...] = ()
    help: str | None = None
    severity: str = "error"
    resizable: bool = False  # another input size may mend it, and the help says how to find one

    def order(self) -> tuple[int, int]:
        """What sorts diagnostics as the text has them; those without a place come first."""
        return (self.place.line, self.place.column) if self.place else (0, 0)

    def to_dict(self) -> dict[str, object]:
        """The finding as plain data, as `--format json` prints it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "line": self.place.line if self.place else None,
            "column": self.place.column if self.place else None,
            "length": self.place.length if self.place else None,
            "label": self.label,
            "notes": list(self.notes),
            "help": self.help,
        }


class SpecError(CnnspecError):
    """A spec is invalid. `diagnostics` holds every error found, in the order of the text."""

    exit_code = 3

    def __init__(self, diagnostics: list[Diagnostic], *, path: str, text: str = "") -> None:
        self.diagnostics = diagnostics
        self.path = path
        self.text = text
        first = diagnostics[0]
        where = f"{path}:{first.place.line}:{first.place.column}: " if first.place else f"{path}: "
        more = f" (and {len(diagnostics) - 1} more)" if len(diagnostics) > 1 else ""
        super().__init__(f"{where}{first.code}: {first.message}{more}")
