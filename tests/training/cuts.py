"""Ends a process at a chosen moment of its work with files, as a kill or a power cut would.

What a killed process leaves behind changes only where it calls the file system. So there are two kinds of moments:
before one of these calls, where the process ends itself, and at a byte of a write, where the system ends it because a
file would grow past that length: this needs no help of whatever library writes.
"""

from __future__ import annotations

import os
import resource
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = ("mkdir", "open", "fsync", "replace", "rename", "unlink", "remove", "rmdir")
UNLIMITED = resource.RLIM_INFINITY


class Cut:
    """While armed, the end of this process at its `call`-th call below `folder`, or at byte `byte` of a file.

    `lost` adds what a power cut may take of the work that was not brought to the disk: half of a file's "data", or new
    "names". Every call is told to `report` as two words, the call and its object, before it is made.
    """

    def __init__(
        self,
        folder: Path,
        *,
        call: int | None = None,
        byte: int | None = None,
        lost: str = "",
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.folder, self.call, self.byte, self.lost, self.report = folder, call, byte, lost, report
        self.count = 0
        self.safe: dict[int, int] = {}  # inode: time of its last change that is on the disk
        self.renamed: list[tuple[Path, Path, bytes | None]] = []  # with what had the name before
        self.genuine = {name: getattr(os, name) for name in CALLS}
        if byte is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores it, and takes this in the main thread only

    def arm(self) -> None:
        self.safe = {found.st_ino: found.st_mtime_ns for found in (path.stat() for path in self._files())}
        for name in CALLS:
            setattr(os, name, self._watched(name))
        if self.byte is not None:
            resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
            resource.setrlimit(resource.RLIMIT_FSIZE, (self.byte, UNLIMITED))

    def end(self) -> None:
        """The last moment: all calls have been made."""
        self.report("end -")
        self._die()

    def _watched(self, name: str) -> Callable[..., Any]:
        def watched(target: Any, *arguments: Any, **options: Any) -> Any:
            path = Path(os.readlink(f"/proc/self/fd/{target}") if name == "fsync" else target)
            if not path.is_relative_to(self.folder):
                return self.genuine[name](target, *arguments, **options)
            self.report(f"{name} {kind(name, path)}")
            if self.count == self.call:
                self._die()
            self.count += 1
            if name in ("replace", "rename"):
                final = Path(arguments[0])
                self.renamed.append((path, final, final.read_bytes() if final.exists() else None))
            if name in ("unlink", "remove") and path.exists():
                self.safe.pop(path.stat().st_ino, None)
            found = self.genuine[name](target, *arguments, **options)
            if name == "fsync":
                status = os.fstat(target)
                self.safe[status.st_ino] = status.st_mtime_ns
                if stat.S_ISDIR(status.st_mode):
                    self.renamed = [entry for entry in self.renamed if entry[1].parent != path]
            return found

        return watched

    def _files(self) -> list[Path]:
        return [path for path in self.folder.rglob("*") if path.is_file() and path.name != ".lock"]

    def _die(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (UNLIMITED, UNLIMITED))
        if self.lost == "data":
            for path in self._files():
                found = path.stat()
                if self.safe.get(found.st_ino) != found.st_mtime_ns:
                    os.truncate(path, found.st_size // 2)
        if self.lost == "names":
            for temporary, final, before in reversed(self.renamed):
                self.genuine["replace"](final, temporary)
                if before is not None:
                    final.write_bytes(before)
        os.kill(os.getpid(), signal.SIGKILL)


def kind(name: str, path: Path) -> str:
    """What the object of a call is to a save."""
    if name == "unlink" and path.suffix == ".tmp":
        return "leftover"
    if path.is_dir():
        return "folder"
    return "checkpoint" if ".pt" in path.suffixes else "pointer" if "latest" in path.name else "file"
