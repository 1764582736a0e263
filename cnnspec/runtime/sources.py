"""Which images the arguments of a call name."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Final

from cnnspec.errors import UsageError
from cnnspec.files import is_open_pipe, read_stream
from cnnspec.images import SUFFIXES
from cnnspec.runtime.array_files import ARRAY_SUFFIXES
from cnnspec.sounds import SOUND_SUFFIXES

__all__ = ["expand"]

MAX_BYTES: Final = 2**28  # of an image that a pipe gives
_KINDS: Final = (SUFFIXES, SOUND_SUFFIXES, ARRAY_SUFFIXES)  # of files that a folder is searched for, in turn


def expand(arguments: Sequence[str]) -> Iterator[str | bytes]:
    """Paths of images for paths, folders (with all below them, in order of their names) and patterns; `-` is stdin.

    A folder without an image is searched for sounds, and one without these for arrays.
    A pipe that the shell opened, `<(...)`, gives the bytes of one image as stdin does.

    Raises UsageError at once for an argument that names nothing. Folders are listed while they are read.
    """
    return chain.from_iterable([_expand_one(argument) for argument in arguments])


def _expand_one(argument: str) -> Iterator[str | bytes]:
    if argument == "-":
        return iter([read_stream(sys.stdin.buffer, MAX_BYTES, "stdin")])
    if is_open_pipe(argument):
        with open(argument, "rb") as pipe:
            return iter([read_stream(pipe, MAX_BYTES, argument)])
    path = Path(argument)
    if path.is_dir():
        for suffixes in _KINDS:
            files = _below(argument, suffixes)
            if (first := next(files, None)) is not None:
                return chain([first], files)
        searched = ", ".join(chain.from_iterable(_KINDS))
        raise UsageError(f"{argument} holds no images, sounds or arrays", hint=f"it is searched for {searched}")
    if not path.exists() and glob.has_magic(argument):
        matches = sorted(glob.glob(argument, recursive=True))
        found = [match for match in matches if not Path(match).is_dir()]
        if not found:
            raise UsageError(f"no file matches `{argument}`")
        return iter(found)
    if not path.exists():
        raise UsageError(f"there is no file {argument}")
    return iter([argument])


def _below(folder: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield os.path.join(place, name)
