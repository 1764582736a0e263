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

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Final

from cnnspec.diagnostics import render_all
from cnnspec.places import Diagnostic, Place, Span

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
    "unreadable",
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
    "optuna": "search",
    "ray": "ray",
    "pyarrow": "parquet",
    "h5py": "keras",
    "pygls": "lsp",
    "timm": "timm",
    "lsprotocol": "lsp",
    **dict.fromkeys(("starlette", "uvicorn", "httptools", "websockets", "anyio"), "web"),
    **dict.fromkeys(("reportlab", "pypdfium2"), "draw"),
}

_INSTALLED_AS: Final = {"PIL": "pillow", "sklearn": "scikit-learn"}


def unreadable(error: OSError) -> UsageError | None:
    """What the system's refusal of a file comes to; None where it names no file, as for a stream that is full.

    All that is written is written by `cnnspec.files`, which tells of that itself; what is left was to be read.
    """
    if error.filename is None:
        return None
    return UsageError(f"cannot read {os.fsdecode(error.filename)}: {error.strerror or error}")


class MissingExtraError(UsageError):
    """An optional dependency is needed and absent."""

    def __init__(self, package: str, extra: str | None) -> None:
        """`extra` is None where none of ours brings the package."""
        super().__init__(
            f"this needs `{_INSTALLED_AS.get(package, package)}`, which is not installed",
            hint=f"pip install 'cnnspec[{extra}]'" if extra else f"pip install {package}",
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
    """An operator cannot take the shapes it is given. States the fact; elaboration adds the place.

    With `verb` the message is what the operator does, as `wants equal shapes`, and goes on from its name. `instead`
    are arguments with which it would take them.
    """

    def __init__(
        self, message: str, code: str = "E201", *, verb: bool = False, instead: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.verb = verb
        self.instead = instead

    def of(self, operator: str) -> str:
        """The message with the operator's name in front."""
        return f"{operator} {self.message}" if self.verb else f"{operator}: {self.message}"


class SpecError(CnnspecError):
    """A spec is invalid. `diagnostics` holds every error found, in the order of the text.

    As a text it is what `cnnspec check` prints, without colour; `message` is the first error in one line.
    """

    exit_code = 3

    def __init__(self, diagnostics: list[Diagnostic], *, path: str, text: str = "") -> None:
        self.diagnostics = diagnostics
        self.path = path
        self.text = text
        first = diagnostics[0]
        where = f"{path}:{first.place.line}:{first.place.column}: " if first.place else f"{path}: "
        more = f" (and {len(diagnostics) - 1} more)" if len(diagnostics) > 1 else ""
        super().__init__(f"{where}{first.code}: {first.message}{more}")

    def __str__(self) -> str:
        return render_all(self.diagnostics, self.path, self.text)
