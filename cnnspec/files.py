"""Writing files so that nobody ever sees half of one; and reading those of others, which may have no end."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

from cnnspec.errors import CnnspecError, UsageError

__all__ = [
    "atomic_path", "check_inflation", "check_regular", "check_rewritable", "expand_user", "is_open_pipe", "read_stream",
    "rewrite", "rewritten_path", "sync_folder", "write_atomic",
]  # fmt: skip

INFLATION: Final = 250  # bytes that one byte of a file may stand for, beyond what may be unpacked of any:
SMALL: Final = 2**27


def expand_user(path: str | os.PathLike[str]) -> Path:
    """The path with a home folder for `~` or `~name` at its start; as it is where nobody has that name."""
    return Path(os.path.expanduser(path))


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, sync: bool = False) -> Iterator[Path]:
    """A new file beside `path` to write to; it takes the name `path` when the block ends without an error.

    A unique name and a rename inside one folder: readers see the old file or the new one, and an error leaves the
    old one and nothing else. `sync` also brings file and folder to the disk before returning, against a power cut.
    Raises CnnspecError where the system refuses to write.
    """
    final = Path(path)
    mode = _mode(final)
    if stat.S_ISCHR(mode):
        with _for_device(final) as temporary:
            yield temporary
        return
    if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # which a rename would take away
        raise CnnspecError(f"cannot write {final}: it is not a regular file")
    if not final.name:  # nothing, `.` or `/`
        raise CnnspecError(f"cannot write {str(path)!r}: it names no file")
    temporary = _beside(final)
    try:
        try:
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except ValueError as error:  # a NUL in the path, or a letter that the system cannot write
            raise CnnspecError(f"cannot write {str(path)!r}: {error}") from None
        yield temporary
        if sync:
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
        os.replace(temporary, final)
        if sync:
            sync_folder(final.parent)
    except BaseException as error:
        with suppress(OSError, ValueError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise CnnspecError(f"cannot write {final}: {error.strerror or error}") from error
        raise


def _mode(path: Path) -> int:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return 0


@contextmanager
def _for_device(device: Path) -> Iterator[Path]:
    """A file whose content goes to a device, as `/dev/null`: a rename would put it in the device's place."""
    with _elsewhere() as temporary:
        yield temporary
        try:
            device.write_bytes(temporary.read_bytes())
        except OSError as error:
            raise CnnspecError(f"cannot write {device}: {error.strerror or error}") from error


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """A file that nobody else sees, and that is gone afterwards."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder, "content")
        temporary.touch()
        yield temporary


def write_atomic(path: str | os.PathLike[str], data: str | bytes, *, sync: bool = False) -> None:
    """Write a whole file at once; see `atomic_path`."""
    with atomic_path(path, sync=sync) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def _beside(final: Path) -> Path:
    """A unique name in the same folder; no longer than a name may be, for a `final` of any length."""
    return final.with_name(f".{final.name[:50]}.{os.getpid()}-{os.urandom(4).hex()}.tmp")


def rewrite(path: str | os.PathLike[str], data: bytes) -> None:
    """Give a file that somebody named other content; see `rewritten_path`."""
    with rewritten_path(path) as temporary:
        temporary.write_bytes(data)


@contextmanager
def rewritten_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new file to write to, whose content goes where somebody who names `path` means it, whole or not at all.

    What is there keeps all else: mode, owner, and where links lead. A link is followed, and the file that it names is
    written. A file of several hard links, or of another owner, has to keep its place on the disk, so that it is written
    over; until that has succeeded its old content is kept beside it, and is put back after an error. A path that names
    nothing becomes a new file. Raises CnnspecError as `check_rewritable`, and where the system refuses to write.
    """
    final = check_rewritable(path)
    if not stat.S_ISREG(_mode(final)):
        with atomic_path(final) as temporary:
            yield temporary
        return
    status = final.stat()
    if status.st_nlink > 1 or not _can_be_given(status):
        with _elsewhere() as temporary:
            yield temporary
            _write_over(final, temporary.read_bytes())
        return
    with atomic_path(final) as temporary:
        temporary.chmod(0o600)
        yield temporary
        if (status.st_uid, status.st_gid) != (temporary.stat().st_uid, temporary.stat().st_gid):
            os.chown(temporary, status.st_uid, status.st_gid)
        shutil.copystat(final, temporary)  # the mode, and what a system keeps besides
        os.utime(temporary)


def check_rewritable(path: str | os.PathLike[str]) -> Path:
    """The file that is written where somebody names `path`: it itself, or what a link leads to in the end.

    Raises CnnspecError where that is read-only, also for the superuser, whom the system would not stop; and for a link
    that leads in a circle.
    """
    try:
        final = Path(os.path.realpath(path))
        mode = final.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):  # whoever makes its folder tells of that
        return final
    except ValueError:  # a NUL, or a letter that the system cannot write: `atomic_path` tells of it
        return Path(path)
    except OSError as error:
        raise CnnspecError(f"cannot write {path}: {error.strerror or error}") from error
    if stat.S_ISREG(mode) and not (mode & 0o222 and os.access(final, os.W_OK)):
        raise CnnspecError(f"cannot write {path}: it is read-only", hint=f"`chmod u+w {path}` lets it be written")
    return final


def _can_be_given(status: os.stat_result) -> bool:
    """Whether a new file can have the owner and the group of this one."""
    if sys.platform == "win32" or os.geteuid() == 0:
        return True
    return status.st_uid == os.geteuid() and status.st_gid in (os.getegid(), *os.getgroups())


def _write_over(final: Path, data: bytes) -> None:
    """Write a file in its place; see `rewrite`."""
    kept = _beside(final)
    try:
        old = final.read_bytes()
        with open(os.open(kept, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(old)
            file.flush()
            os.fsync(file.fileno())
        with open(final, "rb+", buffering=0) as file:
            try:
                _fill(file, data)
            except BaseException:
                _fill(file, old)
                raise
    except OSError as error:
        raise CnnspecError(f"cannot write {final}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):
            kept.unlink()


def _fill(file: FileIO, data: bytes) -> None:
    file.seek(0)
    written = 0
    while written < len(data):
        written += file.write(data[written:])
    file.truncate()
    os.fsync(file.fileno())


def check_regular(path: str | os.PathLike[str]) -> int:
    """The size in bytes. Raises UsageError for a path that leads to a pipe, a socket or a device: to read those may
    never end; and OSError where there is nothing.
    """
    found = os.stat(path)
    if not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
        raise UsageError(
            f"{os.fspath(path)} is not a regular file", hint="where `-` is taken, it reads what another program writes"
        )
    return found.st_size


def is_open_pipe(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a pipe that this process holds open already, as the shell's `<(...)` and `/dev/stdin` are.

    One with a name of its own waits for somebody who opens the other end, perhaps for ever.
    """
    place = Path(path)
    if place.parent.as_posix() not in ("/dev/fd", "/proc/self/fd") and place.as_posix() != "/dev/stdin":
        return False
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def read_stream(stream: BinaryIO, limit: int, shown: str) -> bytes:
    """All that a pipe gives. Raises CnnspecError where that is more than `limit` bytes."""
    data = stream.read(limit + 1)
    if len(data) > limit:
        raise CnnspecError(f"{shown} gives more than {limit // 2**20} MiB, the most that is read of it")
    return data


def check_inflation(shown: str, packed: int, unpacked: int, small: int = SMALL) -> None:
    """Raise CnnspecError where a file of `packed` bytes unpacks to far more than what is packed comes to in earnest."""
    if unpacked > max(small, INFLATION * packed):
        raise CnnspecError(
            f"{shown} would unpack {packed:,} bytes to {unpacked:,}: at most {INFLATION} for one, beyond {small:,}"
        )


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
