"""`.npz` files of somebody who wants to see the program fall: one clear error each, and little memory."""

from __future__ import annotations

import io
import random
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cnnspec.data.npz import LONGEST_HEADER, read_npz
from cnnspec.errors import CnnspecError
from cnnspec.tasks import TASKS

MOST = 8 * 2**20  # bytes that a file of a few kilobytes may take


def npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


X, Y = npy(np.zeros((4, 8, 8), np.uint8)), npy(np.arange(4) % 2)


def packed(x: bytes = X, y: bytes = Y, kind: int = zipfile.ZIP_DEFLATED, **others: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        for name, content in {"x.npy": x, "y.npy": y, **others}.items():
            archive.writestr(name, content)
    return file.getvalue()


def header(text: str, version: int = 1) -> bytes:
    body = text.encode() + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(body).to_bytes(2 if version == 1 else 4, "little") + body


def shaped(shape: str, version: int = 1) -> bytes:
    return header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}}}", version) + bytes(64)


def overlapping() -> bytes:
    """Both members are the same bytes of the file, under both names."""
    content = packed(y=b"")
    start = content.rindex(b"PK\1\2")
    first = content.index(b"PK\1\2")
    one = content[first:start]
    end = bytearray(content[content.rindex(b"PK\5\6") :])
    end[12:16] = (2 * len(one)).to_bytes(4, "little")
    return content[:first] + one + one.replace(b"x.npy", b"y.npy") + bytes(end)


def as_zip64(x: bytes = X, *, size: int | None = None) -> bytes:
    """With the sizes in the fields for more than four gigabytes; `size` is what is said of `x`."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in (("x.npy", x), ("y.npy", Y)):
            with archive.open(name, "w", force_zip64=True) as member:
                member.write(content)
        if size is not None:
            archive.infolist()[0].file_size = size
    return file.getvalue()


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "an array alone": (lambda: X, "cannot be read as .npz"),
    "a pickle": (lambda: b"\x80\4]\x94.", "cannot be read as .npz"),
    "empty": (lambda: b"", "cannot be read as .npz"),
    "no members": (lambda: b"PK\5\6" + bytes(18), "it has: none"),
    "cut off": (lambda: packed()[:-30], "cannot be read as .npz"),
    "an archive in an archive": (lambda: packed(x=packed()), "cannot be read as .npz"),
    "a header of 64 MB": (lambda: packed(x=header("{" + " " * 2**26, 2)), f"more than {LONGEST_HEADER:,} bytes"),
    "a header that says 4 GB": (lambda: packed(x=b"\x93NUMPY\2\0\xff\xff\xff\xff{"), f"more than {LONGEST_HEADER:,}"),
    "a header of version 3": (lambda: packed(x=header("{" + " " * 2**24, 3)), f"more than {LONGEST_HEADER:,}"),
    "brackets": (lambda: packed(x=header("(" * 9000)), "cannot be read as .npz"),
    "less than nothing": (lambda: packed(x=shaped("(-1, 8, 8)")), "cannot be read as .npz"),
    "very much": (lambda: packed(x=shaped("(1099511627776, 8, 8)")), "`x` is cut off"),
    "beyond 64 bits": (lambda: packed(x=shaped(f"({10**30}, 8, 8)", 2)), "`x` is cut off"),
    "a large zip64": (lambda: as_zip64(shaped("(1099511627776, 8, 8)"), size=2**62), "would unpack"),
    "members over each other": (overlapping, "cannot be read as .npz"),
    "LZMA": (lambda: packed(kind=zipfile.ZIP_LZMA), "packed in a way that numpy does not write"),
    "bzip2": (lambda: packed(kind=zipfile.ZIP_BZIP2), "packed in a way that numpy does not write"),
    "no npy": (lambda: packed(x=b"pixels"), "cannot be read as .npz"),
    "objects": (lambda: packed(y=npy(np.array([{}], dtype=object))), "`y` is one whole number"),
}


@pytest.mark.filterwarnings("ignore:Reading `.npy`")
@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD)
def test_a_hostile_file_is_one_error(content: Callable[[], bytes], message: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content())
    tracemalloc.start()
    try:
        with pytest.raises(CnnspecError, match=message) as caught:
            read_npz(path, TASKS["classification"])
        assert tracemalloc.get_traced_memory()[1] < MOST
    finally:
        tracemalloc.stop()
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 400 + len(str(path))


def test_what_numpy_and_others_write_is_read(tmp_path: Path) -> None:
    for content in (
        packed(),
        packed(kind=zipfile.ZIP_STORED),
        as_zip64(),
        packed(more=b"1"),
        packed(x=shaped("(1, 8, 8)", 2)),
    ):
        (tmp_path / "a.npz").write_bytes(content)
        x, y = read_npz(tmp_path / "a.npz", TASKS["classification"])
        assert x.dtype == np.uint8
        assert y.tolist() == [0, 1, 0, 1]


def test_changed_bytes_are_an_error_or_arrays(tmp_path: Path) -> None:
    rng, path = random.Random(1), tmp_path / "a.npz"
    told: list[str] = []
    whole = packed(kind=zipfile.ZIP_STORED)
    for _ in range(600):
        content = bytearray(whole)
        for _ in range(rng.choice((1, 1, 3))):
            content[rng.randrange(len(content))] = rng.choice((0, 0xFF, rng.randrange(256)))
        path.write_bytes(content[: rng.choice((len(content), rng.randrange(len(content))))])
        try:
            read_npz(path, TASKS["classification"])
        except CnnspecError as error:
            told.append(error.message)
    assert len(told) > 300
    assert not any("\n" in message for message in told)
