"""Pipes and devices where files are expected: named in one error, and never waited for."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import numpy as np
import pytest
from cli_calls import call
from PIL import Image

from cnnspec.data.sets import decode
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.images import read_image
from cnnspec.language import read_spec
from cnnspec.runtime import sources
from cnnspec.runtime.sources import expand

SPEC = "cnnspec: 1\nname: small\ninput: [1, 8, 8]\nlayers: [Flatten, Linear(2)]\n"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of data with a pipe in it, and pipes of every name."""
    monkeypatch.chdir(tmp_path)
    Path("net.yaml").write_text(SPEC, "utf-8")
    for name in ("a", "b"):
        Path("data", name).mkdir(parents=True)
        for i in range(8):
            Image.fromarray(np.full((8, 8), 30 * i, np.uint8)).save(Path("data", name, f"{i}.png"))
    for suffix in ("yaml", "npz", "png", "onnx", "safetensors", "pt"):
        os.mkfifo(f"pipe.{suffix}")
    os.mkfifo("data/a/pipe.png")
    return tmp_path


@pytest.mark.parametrize(
    "line",
    [
        "check pipe.yaml",
        "fmt pipe.yaml",
        "train net.yaml --config pipe.yaml",
        "train net.yaml --data pipe.npz",
        "train net.yaml --data pipe.png",
        "train net.yaml --data data",
        "train net.yaml --data data --weights pipe.pt",
        "export net.yaml --weights pipe.safetensors -o out.onnx",
        "predict pipe.onnx data/b/0.png",
        "verify pipe.onnx",
        "check /dev/zero",
    ],
)
def test_every_verb_names_a_pipe(line: str, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(*line.split()) in (1, 2)
    message = capsys.readouterr().err
    assert "pipe" in message or "/dev/zero" in message
    assert "Traceback" not in message


def test_a_pipe_as_an_image_is_refused(here: Path) -> None:
    with pytest.raises(UsageError, match=r"pipe\.png is not a regular file"):
        read_image("pipe.png", (1, 8, 8))
    with pytest.raises(CnnspecError, match=r"data/a/pipe\.png is not a regular file"):
        decode(Path("data/a/pipe.png"), (1, 8, 8))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        with pytest.raises(UsageError, match=r"s\.png is not a regular file"):
            read_image("s.png", (1, 8, 8))
    with pytest.raises(UsageError, match="/dev/zero is not a regular file"):
        read_image("/dev/zero", (1, 8, 8))


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="needs names of open files")
def test_what_the_shell_opened_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def given(data: bytes) -> str:
        reader, writer = os.pipe()
        os.write(writer, data)
        os.close(writer)
        return f"/dev/fd/{reader}"

    assert read_spec(given(SPEC.encode())).elaborate().name == "small"
    assert [*expand([given(b"an image")])] == [b"an image"]
    monkeypatch.setattr(sources, "MAX_BYTES", 7)
    assert [*expand([given(b"1234567")])] == [b"1234567"]
    with pytest.raises(CnnspecError, match="the most that is read of it"):
        expand([given(b"12345678")])
