"""Bad files of every kind, each with the code it must give: the first word of its name."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

import cnnspec
from cnnspec.diagnostics import render_all
from cnnspec.errors import SpecError, UsageError
from cnnspec.language import read_spec
from cnnspec.language.source import MAX_JSON_BYTES, MAX_YAML_BYTES

CORPUS = sorted((Path(__file__).parents[1] / "corpus").iterdir())
HEAD = "cnnspec: 1\ninput: [3, 32, 32]\n"


def test_there_are_many() -> None:
    assert len(CORPUS) >= 200
    assert len({path.name[:4] for path in CORPUS}) >= 25
    assert max(path.stat().st_size for path in CORPUS) < 10_000


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_a_bad_file_gives_its_code(path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.load(path)
    error = caught.value
    found = [diagnostic.code for diagnostic in error.diagnostics]
    assert set(found) == {path.name[:4]}, render_all(error.diagnostics, error.path, error.text)
    text = render_all(error.diagnostics, error.path, error.text)
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert len(text) < 12_000


LARGE = {
    "E117-yaml-bytes.yaml": lambda: HEAD + "#" * MAX_YAML_BYTES,
    "E117-json-bytes.json": lambda: "{" + " " * MAX_JSON_BYTES + "}",
    "E117-many-values.yaml": lambda: HEAD + "layers: [" + "ReLU, " * 200_000 + "]\n",
    "E117-many-values.json": lambda: '{"a": [' + "1," * 200_000 + "1]}",
    "E107-many-unknown-keys.yaml": lambda: HEAD + "layers: [ReLU]\n" + "".join(f"x{n}: 1\n" for n in range(60_000)),
    "E103-many-unknown-layers.yaml": lambda: HEAD + "layers:\n" + "  - Reul\n" * 60_000,
    "E110-many-open-brackets.yaml": lambda: HEAD + "layers:\n" + "  - Conv2d(8\n" * 60_000,
    "E109-many-dangling-reads.yaml": lambda: (
        HEAD + "layers:\n" + "".join(f"  a{n}: Tanh()(b{n})\n" for n in range(19_000))
    ),
    "E102-many-tag-directives.yaml": lambda: "".join(f"%TAG !a{n}! x\n" for n in range(100_000)) + "---\na: 1\n",
    "E102-many-brackets.yaml": lambda: HEAD + "layers: " + "[" * 60 + "]" * 1_000_000,
    "E118-brackets.yaml": lambda: "[" * 1_000_000,
    "E118-braces.yaml": lambda: "{a: " * 300_000,
    "E118-brackets.json": lambda: "[" * 1_000_000,
    "E102-question-marks.yaml": lambda: "? " * 500_000,
    "E118-dashes.yaml": lambda: "- " * 500_000,
    "E101-long-line-of-nul.yaml": lambda: "\0" * 1_000_000,
    "E110-long-line.yaml": lambda: HEAD + "layers:\n  - Conv2d(" + "8," * 400_000 + ")\n",
    "E110-long-name.yaml": lambda: HEAD + "layers:\n  - " + "a" * 1_000_000 + "\n",
    "E108-long-key.yaml": lambda: HEAD + "layers:\n  ? " + "a" * 1_000_000 + "\n  : ReLU\n",
    "E107-long-unknown-key.yaml": lambda: HEAD + "layers: [ReLU]\n? " + "a" * 1_000_000 + "\n: 1\n",
    "E105-wide-call.json": lambda: (
        '{"cnnspec": 1, "input": 3, "layers": ["Linear(' + ", ".join("1" * 300) + ')"]}'
    ),
    "E106-wide-list.json": lambda: (
        '{"cnnspec": 1, "input": [3, 8, 8], "layers": [{"type": "Conv2d", "out_channels": 8, "kernel_size": ['
        + ",".join("1" * 400)
        + "]}]}"
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LARGE)
def test_a_large_bad_file_gives_its_code(name: str) -> None:
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(LARGE[name](), path=name)
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {name[:4]}
    assert len(caught.value.diagnostics) <= 50
    assert len(caught.value.message) < 1000


def test_what_is_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "dangling.yaml").symlink_to("nowhere.yaml")
    (tmp_path / "folder.yaml").mkdir()
    server = socket.socket(socket.AF_UNIX)
    server.bind(os.path.relpath(tmp_path / "socket.yaml"))
    try:
        for name in ("fifo", "loop", "dangling", "folder", "socket", "missing", "x" * 5000):
            with pytest.raises(UsageError):
                cnnspec.load(tmp_path / f"{name}.yaml")
    finally:
        server.close()
    for path in ("/dev/zero", "/dev/null", "", ".", "a\0b", tmp_path / "folder.yaml" / "x"):
        with pytest.raises(UsageError):
            cnnspec.load(path)
    with pytest.raises(UsageError):
        read_spec("a\0b.yaml")


def test_a_symlink_to_a_spec_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HEAD + "layers: [ReLU]\n", "utf-8")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert len(cnnspec.load(tmp_path / "b.yaml").graph) == 1


def test_crlf_and_a_byte_order_mark_are_welcome(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbf" + (HEAD + "layers:\n  - ReLU\n").replace("\n", "\r\n").encode())
    assert len(cnnspec.load(tmp_path / "a.yaml").graph) == 1
