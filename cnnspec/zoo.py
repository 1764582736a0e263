"""Finds what a name stands for: a file, a bundled spec or one of its variants, a run."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean
from cnnspec.language import STDIN, NoParameterError
from cnnspec.public import public

__all__ = ["RUNS", "bundled", "bundled_path", "find", "find_run", "folder", "is_bundled", "is_run", "names", "own_copy"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
RUNS: Final = "runs"  # the folder of all runs


def folder() -> Path:
    """Where the bundled specs are: inside an installed package, or beside it in a checkout."""
    here = Path(__file__).parent
    installed = here / "_specs"
    return installed if installed.is_dir() else here.parent / "specs"


@cache
def bundled() -> dict[str, Path]:
    """The bundled files by their stem."""
    return {path.stem: path for path in sorted(folder().glob("*.yaml"))}


@cache
def names() -> dict[str, tuple[Path, str | None]]:
    """Every bundled name: the file, and the variant it stands for."""
    by_name: dict[str, tuple[Path, str | None]] = {}
    for stem, path in bundled().items():
        by_name[stem] = (path, None)
    for path in bundled().values():
        section = re.search(r"^variants:\n((?:[ #].*\n|\n)+)", path.read_text("utf-8"), re.MULTILINE)
        for variant in re.findall(r"^  ([\w-]+):", section[1], re.MULTILINE) if section else []:
            by_name.setdefault(variant, (path, variant))
    return by_name


def find(spec: str) -> tuple[Path, str | None]:
    """The file that SPEC names, and the variant. An existing path beats a bundled name; `-` is stdin.

    Raises UsageError.
    """
    path = Path(spec)
    if spec == STDIN:
        return path, None
    try:
        exists = path.exists() or path.is_symlink()
    except OSError as error:  # a name that is too long, or a folder that may not be looked into
        raise UsageError(f"cannot read {spec:.200}: {error.strerror}") from None
    if exists:
        return path, None
    named = _named(spec)
    if named is None:
        if path.suffix in SUFFIXES or len(path.parts) > 1:
            raise UsageError(f"there is no file {spec:.200}", hint=did_you_mean(path.name, _beside(path)))
        hint = did_you_mean(spec, names()) or "`cnnspec zoo` lists the bundled specs"
        raise UsageError(f"there is no file and no bundled spec `{spec:.200}`", hint=hint)
    return named


@public()
def is_run(path: str | os.PathLike[str]) -> bool:
    """Whether this is the folder of a run."""
    return (Path(path) / "config.yaml").is_file()


@public()
def find_run(name: str | os.PathLike[str], *, or_spec: bool = False) -> Path | None:
    """The folder of a run: by its path, or by its name where it is below `runs`; None where there is no such run.

    A path that exists beats a name. With `or_spec` a spec may be meant too: then a bundled name beats that of a run.
    """
    path = Path(name)
    try:
        if path.exists() or path.is_symlink():
            return path if is_run(path) else None
        if len(path.parts) != 1 or (or_spec and _named(str(path)) is not None):
            return None
        below = RUNS / path
        return below if is_run(below) else None
    except (OSError, ValueError):  # a name that is too long, or holds a NUL
        return None


@contextmanager
def own_copy(spec: str, path: Path) -> Iterator[None]:
    """For working out the spec at `path`: where a bundled one lacks a parameter, the error has the way to a copy."""
    try:
        yield
    except NoParameterError as error:
        if error.near is not None or path.parent != folder():
            raise
        hint = f"{error.listed}; `cnnspec zoo {spec} > net.yaml` gives a copy of your own: {error.way}"
        raise UsageError(f"{spec} has no parameter `{error.name:.60}`", hint=hint) from None


def _beside(path: Path) -> list[str]:
    """The specs in a path's folder."""
    try:
        return sorted(other.name for other in path.parent.iterdir() if other.suffix in SUFFIXES)
    except OSError:
        return []


def _named(name: str) -> tuple[Path, str | None] | None:
    stem = name.removesuffix(".yaml")
    return (bundled()[stem], None) if stem in bundled() else names().get(stem)


def is_bundled(name: str) -> bool:
    """Whether a bundled spec, or a variant of one, has this name."""
    return _named(name) is not None


def bundled_path(name: str) -> Path:
    """The file of a bundled spec or variant. Raises UsageError."""
    named = _named(name)
    if named is None:
        hint = did_you_mean(name, names()) or "`cnnspec zoo` lists the bundled specs"
        raise UsageError(f"there is no bundled spec `{name:.200}`", hint=hint)
    return named[0]
