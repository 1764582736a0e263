"""The files that the live editor may open and save: specs in one folder and below, and nothing outside of it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from cnnspec.errors import CnnspecError, UsageError
from cnnspec.files import rewrite, write_atomic

__all__ = ["ChangedError", "Folder", "Text"]

SUFFIXES: Final = (".yaml", ".yml", ".json")
MOST_FILES: Final = 2_000  # that are listed
MOST_BYTES: Final = 4_000_000  # of a file that is opened
MOST_FOLDERS: Final = 5_000  # that are looked through
_LEFT_OUT: Final = frozenset({"node_modules", "__pycache__"})


class Text(NamedTuple):
    """A file's text, and a digest by which is known whether it is still the same."""

    text: str
    digest: str


class ChangedError(CnnspecError):
    """A file is no longer what it was when it was opened. `now` is what it holds, None where it is gone."""

    def __init__(self, path: str, now: Text | None) -> None:
        super().__init__(f"{path} has changed on the disk")
        self.now = now


@dataclass(frozen=True)
class Folder:
    """A folder; with `only` set, that one file of it."""

    root: Path
    only: str | None = None

    @classmethod
    def of(cls, path: Path) -> Folder:
        """What a path names: a folder, or the folder of a file, which is then the only one. Raises UsageError."""
        if path.is_dir():
            return cls(path.resolve())
        if not path.exists():
            raise UsageError(f"there is no file and no folder {path}")
        if path.suffix not in SUFFIXES:
            raise UsageError(f"{path} is no spec", hint=f"specs end with {', '.join(SUFFIXES)}")
        return cls(path.resolve().parent, path.resolve().name)

    def names(self) -> list[str]:
        """The files that can be opened, by their paths in the folder. Hidden folders and links are passed over."""
        if self.only is not None:
            return [self.only]
        found: list[str] = []
        for seen, (place, folders, files) in enumerate(os.walk(self.root)):
            folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in _LEFT_OUT)
            below = Path(place).relative_to(self.root)
            for name in sorted(files):
                if name.endswith(SUFFIXES) and not name.startswith(".") and not Path(place, name).is_symlink():
                    found.append((below / name).as_posix())
            if len(found) >= MOST_FILES or seen >= MOST_FOLDERS:
                break
        return found[:MOST_FILES]

    def read(self, name: str) -> Text:
        """The text of a file. Raises UsageError for what may not be opened."""
        path = self._path(name)
        try:
            if path.stat().st_size > MOST_BYTES:
                raise UsageError(f"{name} is larger than {MOST_BYTES:,} bytes")
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"cannot read {name}: {error.strerror or error}") from None
        return Text(data.decode("utf-8", "replace"), _digest(data))

    def write(self, name: str, text: str, digest: str | None) -> str:
        """Save a text, and give its digest; `digest` is that of the file as it was opened, None for a new file.

        Raises ChangedError where the file is another one by now, and UsageError for what may not be saved.
        """
        path, data = self._path(name), text.encode("utf-8", "replace")
        if len(data) > MOST_BYTES:
            raise UsageError(f"the text is larger than {MOST_BYTES:,} bytes")
        now = self.read(name) if path.exists() else None
        if (now.digest if now is not None else None) != digest:
            raise ChangedError(name, now)
        if now is None:
            write_atomic(path, data)
        else:
            rewrite(path, data)
        return _digest(data)

    def _path(self, name: str) -> Path:
        """The path of a file in the folder; no part of it may be a link or lead out. Raises UsageError."""
        parts = PurePosixPath(name).parts
        is_plain = bool(parts) and not any(
            part in ("..", "/") or part.startswith(".") or "\\" in part for part in parts
        )
        is_named = self.only is None or name == self.only
        if not is_plain or not is_named or "\0" in name or ":" in name or not name.endswith(SUFFIXES):
            raise UsageError(f"`{name:.200}` is no spec of this folder", hint=f"specs end with {', '.join(SUFFIXES)}")
        path = self.root
        for part in parts:
            path = path / part
            if path.is_symlink():
                raise UsageError(f"`{name:.200}` is a link, which is not followed")
        if path.exists() and not path.is_file():
            raise UsageError(f"`{name:.200}` is no file")
        return path


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
