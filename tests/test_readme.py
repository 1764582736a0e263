"""README's commands are run, and what they print is what it shows."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_digits

from cnnspec.cli import VERBS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")


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


def test_the_table_of_verbs_is_the_programs() -> None:
    assert tuple(re.findall(r"^\| `([a-z]+)` \|", README, re.MULTILINE)) == VERBS


def test_every_page_is_linked_and_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", README)
    assert all((ROOT / link).exists() for link in links), links
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= set(links)


CODES = {  # what README says beside a code, and calls that end with it
    1: {
        "`calc` finds no solution": [
            "calc conv2d --input 4 --kernel-size 9",
            "calc max_pool2d --input 10 --padding 0 --output 50",
        ],
        "`fmt --check` a file that would change": ["fmt --check net.yaml"],
        "`diff --exit-code` a difference": ["diff lenet5 mlp --exit-code"],
        "a foreign ONNX file": ["predict foreign.onnx foreign.onnx"],
    },
    2: {"a missing file": ["inspect none.yaml"], "a bad flag": ["inspect lenet5 --wrong"]},
    3: {"the spec is invalid": ["check wrong.yaml"], "with `check --strict`": ["check --strict warned.yaml"]},
    0: {"done": ["diff lenet5 mlp", "check warned.yaml"]},
}


def test_the_exit_codes_are_those_of_the_table(tmp_path: Path) -> None:
    head = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n"
    (tmp_path / "net.yaml").write_text(head + "  - {type: Conv2d, out_channels: 3, kernel_size: 3}\n", "utf-8")
    (tmp_path / "warned.yaml").write_text(head + "  - Conv2d(3, 3)\n  - BatchNorm2d\n", "utf-8")
    (tmp_path / "wrong.yaml").write_text(head + "  - Conv2d(3, 9)\n", "utf-8")
    (tmp_path / "foreign.onnx").write_bytes(b"x")
    rows = dict(re.findall(r"^\| (\d+)[ ,\d]* \| (.*) \|$", README, re.MULTILINE))
    assert list(rows) == ["0", "1", "2", "3", "4", "130"]
    for code, said in CODES.items():
        for words, calls in said.items():
            assert words in rows[str(code)]
            for call in calls:
                command = [sys.executable, "-m", "cnnspec", *call.split()]
                done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
                assert done.returncode == code, (call, done.stderr)


def test_the_python_example_runs() -> None:
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code
    done = subprocess.run([sys.executable, "-c", code[1]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("4089184256 ")
