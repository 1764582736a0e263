"""The weights that a run has written, held against the digests in its manifest. Importing it imports no torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydantic import BaseModel, RootModel

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import expand_user
from cnnspec.training.run_files import check_links, checked, read_json
from cnnspec.zoo import find_run

__all__ = [
    "BEST", "LAST", "MANIFEST", "WeightsRecord", "best_fault", "best_weights", "digest_of", "find_weights",
    "manifest_fault", "read_manifest",
]  # fmt: skip

BEST: Final = "best.safetensors"
LAST: Final = "last.safetensors"
MANIFEST: Final = "manifest.json"


class WeightsRecord(BaseModel):
    """One file of weights in manifest.json."""

    sha256: tuple[str, ...] = ()  # of what it may hold: that of before is there until the file is written
    epoch: int | None = None


class _Manifest(RootModel[dict[str, WeightsRecord]]):
    """manifest.json, by the names of the files."""


def best_weights(run: Path) -> Path:
    """The file of a run's best weights, its digest verified. Raises CnnspecError where there is none or it is bad."""
    path = run / BEST
    if not path.is_file():
        raise CnnspecError(f"{run} has no weights yet", hint=f"let it finish an epoch: `cnnspec train --resume {run}`")
    check_links(run)
    accepted = read_manifest(run / MANIFEST).get(BEST, WeightsRecord())
    if digest_of(path) not in accepted.sha256:
        raise CnnspecError(
            f"{path} is not what the run wrote: its digest is not in manifest.json",
            hint=f"`cnnspec train --resume {run}` continues from a checkpoint",
        )
    return path


def find_weights(source: str | os.PathLike[str]) -> Path:
    """The file of weights that is meant: one by its path, or the best of a run, by its folder or its name in `runs`.

    Raises UsageError where there is neither, and as `best_weights`.
    """
    path = expand_user(source)
    if path.is_file():
        return path
    run = find_run(path)
    if run is None:
        raise UsageError(f"there is no file of weights {path}, and no run", hint="`cnnspec runs` lists the runs")
    return best_weights(run)


def read_manifest(path: Path) -> dict[str, WeightsRecord]:
    """What a run's manifest says of its files of weights. Raises CnnspecError where it cannot be read."""
    return checked(_Manifest, read_json(path, dict), path).root


def best_fault(run: Path) -> str | None:
    """What is wrong with the best weights of a run, if anything."""
    return _fault(lambda: best_weights(run))


def manifest_fault(run: Path) -> str | None:
    """What is wrong with a run's manifest, if there is one."""
    path = run / MANIFEST
    return _fault(lambda: read_manifest(path)) if path.exists() else None


def _fault(read: Callable[[], object]) -> str | None:
    try:
        read()
    except CnnspecError as error:
        return error.message
    return None


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
