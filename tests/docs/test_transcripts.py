"""What the pages about training, export and inference show is what the commands print, but for the figures.

The last two tell of MNIST; here the same commands run on the embedded digits, and their name is read as the other's.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cnnspec import api
from cnnspec.cli import main
from cnnspec.runtime import session

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("training.md", "export.md", "inference.md")
TEXTS = {page: (DOCS / page).read_text("utf-8") for page in PAGES}
BLOCKS = [
    (command, output.rstrip("\n"))
    for page in PAGES
    for command, output in re.findall(r"```console\n\$ cnnspec (.*?)\n(.*?)```", TEXTS[page], re.DOTALL)
]
EXIT_CODES = {"export mlp --size dynamic": 2, "predict exports/lenet5.onnx scans/00000.png --device cuda": 1}
WORDS = {"packages", "torch", "onnxruntime", "NVIDIA driver", "CPUExecutionProvider"}  # whatever is installed


def furnish(folder: Path) -> None:
    """Put a trained LeNet-5 and some digits as images into a folder, as the pages have them."""
    api.train("lenet5", data="digits", epochs=6, name="lenet5", runs=folder / "runs", device="cpu")
    digits = load_digits()
    (folder / "scans").mkdir()
    for at, digit in enumerate((7, 2, 1, 0, 4, 1)):
        image = digits.images[np.flatnonzero(digits.target == digit)[at]]
        Image.fromarray((image * 15.9375).astype("uint8")).save(folder / "scans" / f"{at:05}.png")
    for name in ("seven.png", "two.png"):
        (folder / name).write_bytes((folder / "scans" / "00000.png").read_bytes())


def run(command: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What a command prints: messages first, then data."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main([part.replace("mnist", "digits") for part in shlex.split(command)])
    printed = capsys.readouterr()
    assert end.value.code == EXIT_CODES.get(command, 0), printed.err
    return (printed.err + printed.out).rstrip("\n")


def masked(text: str) -> list[str]:
    """The lines without figures, digests and widths of columns."""
    plain = re.sub(r"\b[0-9a-f]{12}…", "#", text.replace("mnist", "digits"))
    return [re.sub(r"[\d.,]+(e-?\d+)?", "#", " ".join(line.split())) for line in plain.splitlines()]


def subjects(lines: list[str]) -> list[str]:
    """What each line of the doctor is about."""
    return [line.partition(" ")[2].partition(":")[0] for line in lines]


def test_there_are_examples() -> None:
    assert [command.split()[0] for command, _ in BLOCKS] == [
        *("train", "runs"),
        *("export", "export", "export", "verify", "verify"),
        *("predict", "predict", "doctor", "bench"),
    ]


def test_every_command_prints_what_its_page_shows_and_the_python_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CNNSPEC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(session, "cuda_devices", lambda: 0)
    for command, shown in BLOCKS:  # in their order: what one writes, the next reads
        if command.startswith("export") and not (tmp_path / "scans").exists():
            furnish(tmp_path)
        printed = masked(run(command, capsys))
        if command == "doctor":
            assert set(subjects(printed)) >= WORDS
            assert set(subjects(masked(shown))) >= WORDS
        else:
            assert printed == masked(shown), command
    given = {"np": np, "paths": ["seven.png"] * 3, "array": np.zeros((2, 1, 28, 28), np.float32)}
    for page in PAGES:
        (code,) = re.findall(r"```python\n(.*?)```", TEXTS[page], re.DOTALL)
        exec(code, dict(given))
