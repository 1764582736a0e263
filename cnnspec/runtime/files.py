"""Opening model files that nobody vouches for.

A file is read once, so that what is checked is what runs. A file whose digest is not known on this machine is tried in
a child process first (`cnnspec.runtime.trial`); one that passed, or that was exported here, is known from then on.
"""

from __future__ import annotations

import io
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cnnspec.errors import CnnspecError
from cnnspec.files import expand_user
from cnnspec.onnx_backend.guard import read_model_bytes
from cnnspec.onnx_backend.metadata import check_seal, has_seal
from cnnspec.ops import Shape
from cnnspec.runtime.trial import Trial

__all__ = ["ModelFile", "is_known", "open_model", "remember"]

KNOWN: Final = "known-models-2"  # counted up where the trial becomes stricter: what passed before is tried again


@dataclass(frozen=True)
class ModelFile:
    """A model file whose content may be loaded: it was written on this machine, or has passed its trial here."""

    path: str  # as it was given
    data: bytes
    digest: str | None  # None: cnnspec did not write it, or not so
    damage: CnnspecError | None = None  # where it carries another digest than its own


def open_model(path: str | os.PathLike[str], *, any_origin: bool = False, input_shape: Shape = ()) -> ModelFile:
    """Read a model file, check its digest, and try it in a child process where this machine does not know it.

    Raises UsageError where there is no such file, and CnnspecError for one that is too large, that does not pass the
    trial, or that is not as cnnspec wrote it. With `any_origin` the last is no error: `digest` and `damage` tell.
    `input_shape` is what it is tried at where it takes several sizes; by default the one that it tells of.
    """
    shown = os.fspath(path)
    data = read_model_bytes(Path(path))
    digest, damage = None, None
    if not any_origin:
        digest = check_seal(data, shown)
    elif has_seal(io.BytesIO(data)):
        try:
            digest = check_seal(data, shown)
        except CnnspecError as error:
            damage = error
    if digest is None or not is_known(digest):
        with Trial() as trial:
            trial.run(data, shown, input_shape)
        if digest is not None:
            remember(digest)
    return ModelFile(shown, data, digest, damage)


def _mark(digest: str) -> Path:
    folder = os.environ.get("CNNSPEC_CACHE")
    base = Path(folder) if folder else expand_user("~/.cache/cnnspec")
    return base / KNOWN / digest


def is_known(digest: str) -> bool:
    """Whether the file of this digest was exported on this machine, or has passed its trial here."""
    return _mark(digest).is_file()


def remember(digest: str) -> None:
    """Note a file as known. Where there is nowhere to note it, it will be tried again the next time."""
    mark = _mark(digest)
    with suppress(OSError):
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
