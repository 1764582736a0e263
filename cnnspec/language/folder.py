"""The specs in a folder: which of its files are some, and which are something else in YAML or JSON."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Final

from cnnspec.errors import UsageError
from cnnspec.language.document import BODIES
from cnnspec.language.source import MAX_JSON_BYTES

__all__ = ["spec_files"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
# The key at the left margin or first in a brace: seen also in a file that is no YAML by a slip somewhere else.
_KEY: Final = re.compile(rb"""^\{?[ \t\r\n]*["']?cnnspec["']?[ \t]*:""", re.MULTILINE)


def spec_files(folder: str | os.PathLike[str]) -> tuple[list[Path], list[Path]]:
    """The specs below a folder, by name, and the files in YAML or JSON that are none.

    A spec has the key `cnnspec:` at its top; in JSON, where results have it too, also a body and no `totals`. Hidden
    files and folders are passed over, and links to folders are not followed. Raises UsageError where a folder cannot be
    read.
    """
    if not Path(folder).is_dir():
        raise UsageError(f"there is no folder {os.fsdecode(folder)!r:.200}")
    specs: list[Path] = []
    others: list[Path] = []
    for place, folders, files in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(place, name)
            if path.suffix.lower() in SUFFIXES and not name.startswith("."):
                (specs if _is_spec(path) else others).append(path)
    return specs, others


def _refuse(error: OSError) -> None:
    raise UsageError(f"cannot read {error.filename}: {error.strerror}") from None


def _is_spec(path: Path) -> bool:
    """Whether a file is meant as a spec; one that cannot be read is, and what reads it says so."""
    try:
        if not path.is_file():
            return False
        with open(path, "rb") as file:
            data = file.read(MAX_JSON_BYTES)
    except OSError:
        return True
    if path.suffix.lower() == ".json":
        try:
            content = json.loads(data)
        except (ValueError, RecursionError):
            pass
        else:
            has = content.__contains__ if isinstance(content, dict) else lambda key: False
            return has("cnnspec") and any(map(has, BODIES)) and not has("totals")
    return _KEY.search(data) is not None
