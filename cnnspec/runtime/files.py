"""Reading model files that nobody vouches for.

A file is read once, so that what is checked is what runs. A file whose digest is not known on this machine is tried in
a child process first (`cnnspec.runtime.trial`); one that passed, or that was exported here, is known from then on.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from cnnspec.errors import CnnspecError, UsageError

__all__ = ["MAX_MODEL_BYTES", "is_known", "read_model", "remember"]

MAX_MODEL_BYTES: Final = 2**31 - 1  # of one protobuf message


def read_model(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a model file. Raises UsageError where there is none, and CnnspecError where it is too large."""
    path = Path(path)
    try:
        if path.is_dir():
            hint = f"`cnnspec export {path}` writes the ONNX file of a run"
            raise UsageError(f"{path} is a directory, not an ONNX file", hint=hint)
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "does not exist"
            raise UsageError(f"{path} {what}", hint="`cnnspec export SPEC -o FILE.onnx` makes one")
        size = path.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise CnnspecError(f"{path} is {size:,} bytes, and an ONNX file has at most {MAX_MODEL_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from None


def _mark(digest: str) -> Path:
    folder = os.environ.get("CNNSPEC_CACHE")
    base = Path(folder) if folder else Path.home() / ".cache" / "cnnspec"
    return base / "known-models" / digest


def is_known(digest: str) -> bool:
    """Whether the file of this digest was exported on this machine, or has passed its trial here."""
    return _mark(digest).is_file()


def remember(digest: str) -> None:
    """Note a file as known. Where there is nowhere to note it, it will be tried again the next time."""
    mark = _mark(digest)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
