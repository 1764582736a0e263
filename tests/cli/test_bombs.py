"""Small files and numbers that would take all memory: refused before anything is made of them."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest
from cli_calls import call
from PIL import Image

import cnnspec
from cnnspec import files, images, limits
from cnnspec.data import npz as npz_reader
from cnnspec.data import open as data_open
from cnnspec.data.sets import OpenOptions, decode
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import prepare, read_image

SHAPE = (1, 8, 8)
SPEC = "cnnspec: 1\nname: small\ninput: [1, 8, 8]\nlayers: [Flatten, Linear(2)]\n"


def png(side: int, channels: int = 4) -> bytes:
    """A transparent square of one colour: a thousand times as large as its file."""
    packer = zlib.compressobj(9)
    row = b"\0" + b"\x80" * (side * channels)
    packed = b"".join([packer.compress(row) for _ in range(side)]) + packer.flush()

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", side, side, 8, {4: 6, 1: 0}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def test_a_tiny_image_of_very_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(6000))
    monkeypatch.setattr(images, "prepare", lambda *_: pytest.fail("it is decoded"))
    for source in (path, path.read_bytes()):
        with pytest.raises(CnnspecError, match=r"would unpack .* bytes to 144,000,000"):
            read_image(source, SHAPE)


def test_a_bomb_in_a_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png(1000))
    monkeypatch.setattr(files, "SMALL", 2**20)
    monkeypatch.setattr(files.check_inflation, "__defaults__", (2**20,))
    with pytest.raises(CnnspecError, match=r"bomb\.png.* would unpack"):
        decode(path, SHAPE)


def test_a_large_blank_page_is_read() -> None:
    assert read_image(png(4000, channels=1), SHAPE).shape == (8, 8, 1)


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P", "I;16", "PA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_what_is_converted_strip_by_strip_is_the_same(
    kind: str, channels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    if kind == "I;16":
        image = Image.fromarray(random.integers(0, 65536, (37, 23), np.uint16))
    else:
        image = Image.fromarray(random.integers(0, 256, (37, 23, 4), np.uint8), "RGBA").convert(kind)
    if kind == "P":
        image.info["transparency"] = 3
    whole = prepare(image, (channels, 37, 23))
    monkeypatch.setattr(images, "STRIP", 50)
    np.testing.assert_array_equal(prepare(image, (channels, 37, 23)), whole)


def npz(path: Path, **arrays: np.ndarray) -> Path:
    np.savez_compressed(path, **arrays)
    return path


def opened(path: Path) -> None:
    data_open.open_data(str(path), cnnspec.loads(SPEC).graph, OpenOptions(folder=path.parent))


def test_arrays_are_looked_at_before_they_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = np.arange(4000) % 2
    wide = npz(tmp_path / "wide.npz", x=np.zeros((4000, 8, 8)), y=labels)
    words = npz(tmp_path / "words.npz", x=np.zeros((4000, 8, 8), np.uint8), y=labels.astype(str))
    bomb = npz(tmp_path / "bomb.npz", x=np.zeros((4000, 64, 64), np.uint8), y=labels)
    cut = tmp_path / "cut.npz"
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "|u1", "fortran_order": False, "shape": (2**40, 8, 8)})
    with ZipFile(cut, "w") as archive:
        archive.writestr("x.npy", head.getvalue())
        archive.writestr("y.npy", head.getvalue())
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: pytest.fail("it is read"))
    monkeypatch.setattr(npz_reader, "SMALL", 2**20)
    for path, message in (
        (wide, "would unpack"),
        (bomb, "`x` and `y` of .* would unpack .* bytes to 16,416,000"),
        (cut, "`x` is cut off"),
    ):
        with pytest.raises(CnnspecError, match=message):
            opened(path)
    monkeypatch.undo()
    with pytest.raises(CnnspecError, match="`y` is one whole number per image"):
        opened(words)
    opened(npz(tmp_path / "good.npz", x=np.zeros((40, 8, 8), np.uint8), y=labels[:40]))


@pytest.mark.parametrize(
    "line", ["train net.yaml --threads 200000", "train net.yaml --workers 200000", "bench net.yaml --threads 200000"]
)
def test_more_threads_than_a_process_can_have(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC, "utf-8")
    assert call(*line.split()) == 2
    assert "1,024" in capsys.readouterr().err.replace("1024", "1,024")


def test_a_batch_that_does_not_fit_is_not_tried() -> None:
    network = cnnspec.loads("cnnspec: 1\ninput: [3, 224, 224]\nlayers:\n  - Conv2d(64, 3)\n")
    with pytest.raises(UsageError, match=r"a batch of 1,000,000 does not fit into the .* GB there are: at most"):
        cnnspec.bench(network, batches=(1, 1_000_000), device="cpu")
    assert limits.machine_memory() > 2**28
