"""Locks that end with the process that holds them, however it ends: files of a shared folder, locked by the system."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cnnspec.errors import CnnspecError

__all__ = ["FileLock", "held"]

_OPEN: weakref.WeakSet[FileLock] = weakref.WeakSet()  # of this process


class FileLock:
    """One lock of one holder. On a system without `flock`, as Windows, it holds nobody off."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1

    def __repr__(self) -> str:
        return f"<FileLock {self.path}{'' if self._file < 0 else ', held'}>"

    def acquire(self, *, wait: bool) -> bool:
        """Whether the lock is ours now; with `wait` it is, as soon as its holder lets go. Raises CnnspecError."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        except OSError as error:
            raise CnnspecError(f"cannot lock {self.path}: {error.strerror or error}") from None
        except ValueError as error:  # a null byte in the path
            raise CnnspecError(f"cannot lock {str(self.path)!r}: {error}") from None
        _OPEN.add(self)
        try:
            import fcntl

            fcntl.flock(self._file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except ImportError:
            pass
        except BlockingIOError:
            self.release()
            return False
        except OSError as error:
            self.release()
            raise CnnspecError(f"cannot lock {self.path}: {error.strerror or error}") from None
        return True

    def release(self) -> None:
        """Let go of the lock."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        _OPEN.discard(self)


@contextmanager
def held(lock: FileLock) -> Iterator[None]:
    """Wait for a lock, and hold it."""
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()


def _release_all() -> None:
    """In a forked process, as one that decodes images: it would go on holding what died with its parent."""
    for lock in list(_OPEN):
        lock.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_release_all)
