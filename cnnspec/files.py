"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cnnspec.errors import CnnspecError

__all__ = ["atomic_path", "sync_folder", "write_atomic"]


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[Path]:
    """A new file beside `path` to write to; it takes the name `path` when the block ends without an error.

    A unique name and a rename inside one folder: readers see the old file or the new one, and an error leaves the
    old one and nothing else. `sync` also brings file and folder to the disk before returning, against a power cut.
    Raises CnnspecError where the system refuses to write.
    """
    final = Path(path)
    temporary = final.with_name(f".{final.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        if sync:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, final)
        if sync:
            sync_folder(final.parent)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise CnnspecError(f"cannot write {final}: {error.strerror or error}") from error
        raise


def write_atomic(path: str | os.PathLike[str], data: str | bytes, *, sync: bool = False) -> None:
    """Write a whole file at once; see `atomic_path`."""
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def sync_folder(folder: Path) -> None:
    """Bring a folder's entries to the disk. Does nothing where the system cannot open folders."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
