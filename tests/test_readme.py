"""README's commands are run, and what they print is what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

README = (Path(__file__).parent.parent / "README.md").read_text("utf-8")


def console_blocks() -> list[tuple[list[str], str]]:
    """Every command that README shows, and what it shows below."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL):
        for part in re.split(r"^\$ cnnspec ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command.split(), output.rstrip("\n")))
    return found


def without_numbers(text: str) -> list[str]:
    return [re.sub(r"[\d.,]+(e-\d+)?", "#", " ".join(line.split())) for line in text.splitlines()]


def run(folder: Path, *arguments: str) -> str:
    command = [sys.executable, "-m", "cnnspec", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
    return done.stderr + done.stdout


def test_every_command_prints_what_is_shown(tmp_path: Path) -> None:
    for text, name in re.findall(r"```yaml\n(# (\S+)\n.*?)```", README, re.DOTALL):
        (tmp_path / name).write_text(text, "utf-8")
    (tmp_path / "exports" / "digits").mkdir(parents=True)
    for digit in (3, 7):
        pixels = (load_digits().images[digit] * 15.9375).astype("uint8")
        Image.fromarray(pixels).save(tmp_path / "exports" / "digits" / f"{digit}.png")
    blocks = console_blocks()
    verbs = [command[0] for command, _ in blocks]
    assert verbs == ["inspect", "inspect", "inspect", "train", "export", "predict", "inspect"]
    for command, shown in blocks:
        printed = run(tmp_path, *command).rstrip("\n")
        if command[0] == "inspect":
            assert printed == shown
            continue
        shown_lines, printed_lines = without_numbers(shown), without_numbers(printed)
        for line in shown_lines:
            assert line == "…" or line in printed_lines, (line, printed)


def test_the_example_network_is_valid(tmp_path: Path) -> None:
    text = re.search(r"```yaml\n(# net.yaml\n.*?)```", README, re.DOTALL)
    assert text
    (tmp_path / "net.yaml").write_text(text[1], "utf-8")
    assert "stage.1.0" in run(tmp_path, "inspect", "net.yaml")


def test_the_python_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4089184256 ")
