"""Finds the bundled specs. Every variant of a bundled spec is also a name of its own."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from cnnspec.errors import UsageError
from cnnspec.hints import did_you_mean
from cnnspec.language import STDIN

__all__ = ["bundled", "bundled_path", "find", "folder", "names"]

SUFFIXES: Final = (".yaml", ".yml", ".json")


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


def _beside(path: Path) -> list[str]:
    """The specs in a path's folder."""
    try:
        return sorted(other.name for other in path.parent.iterdir() if other.suffix in SUFFIXES)
    except OSError:
        return []


def _named(name: str) -> tuple[Path, str | None] | None:
    stem = name.removesuffix(".yaml")
    return (bundled()[stem], None) if stem in bundled() else names().get(stem)


def bundled_path(name: str) -> Path:
    """The file of a bundled spec or variant. Raises UsageError."""
    named = _named(name)
    if named is None:
        hint = did_you_mean(name, names()) or "`cnnspec zoo` lists the bundled specs"
        raise UsageError(f"there is no bundled spec `{name:.200}`", hint=hint)
    return named[0]
