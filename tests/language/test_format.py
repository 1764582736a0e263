"""The canonical form: one way to write each layer, and every remark kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import cnnspec
from cnnspec import zoo
from cnnspec.api import format_text
from cnnspec.errors import SpecError
from cnnspec.language.shorthand import canonical_line
from cnnspec.language.starter import STARTER

MESSY = """\
# top remark

cnnspec:   1   # version
name: "messy"
input:
  shape: [3,32 , 32]
params: {w: 8,   act: 'ReLU', eps: 1e-6}



# about blocks
blocks:
    B:
        # inside
        params:
            out: int   # how many
            k: 3
        layers:
        - type: Conv2d          # a conv
          out_channels: out
          kernel_size: k
          # why
          padding: same
        - 'act'
layers:
  first: Conv2d( w,3,padding = 'same',bias=False )   # "#" is no remark here: '#'
  second: {type: B, out: w*2, repeat: 2}   # twice
  third: {layers: [ReLU, "Conv2d(4,1)"]}
  fourth:
    - [ReLU,
       # odd
       Tanh]
    # after
    - {type: MaxPool2d, kernel_size: [2,2], when: w>2}
    - {type: LeakyReLU, negative_slope: 1e-2}
  join: {type: Add, in: [fourth, fourth]}
  dash-ed: ReLU   if w  >2
  last: {type: Tanh, in: dash-ed}
  norm: >-
    LayerNorm2d(eps=eps)
# the end
"""
TIDY = """\
# top remark

cnnspec: 1  # version
name: "messy"
input:
  shape: [3, 32, 32]
params: {w: 8, act: ReLU, eps: 1e-6}

# about blocks
blocks:
  B:
    # inside
    params:
      out: int  # how many
      k: 3
    layers:
      # why
      - Conv2d(out, k, padding=same)  # a conv
      - act
layers:
  first: Conv2d(w, 3, padding=same, bias=False)  # "#" is no remark here: '#'
  second: B(out=w * 2) * 2  # twice
  third: [ReLU, "Conv2d(4, 1)"]
  fourth:
    - - ReLU
      # odd
      - Tanh
    # after
    - MaxPool2d([2, 2]) if w > 2
    - LeakyReLU(1e-2)
  join: Add(fourth, fourth)
  dash-ed: ReLU if w > 2
  last: {type: Tanh, in: dash-ed}
  norm: LayerNorm2d(eps=eps)
# the end
"""


def test_a_messy_spec_becomes_tidy() -> None:
    assert format_text(MESSY) == TIDY
    assert format_text(TIDY) == TIDY


def test_the_long_form_and_back() -> None:
    long = format_text(MESSY, long=True)
    assert "- {type: Conv2d, out_channels: out, kernel_size: k, padding: same}  # a conv" in long
    assert "dash-ed: {type: ReLU, when: w > 2}" in long
    assert "join: {type: Add, in: [fourth, fourth]}" in long
    assert "- {type: LeakyReLU, negative_slope: 1e-2}" in long
    assert format_text(long, long=True) == long
    assert cnnspec.loads(long).graph.nodes == cnnspec.loads(MESSY).graph.nodes == cnnspec.loads(TIDY).graph.nodes


def test_json_stays_json() -> None:
    text = json.dumps(cnnspec.loads(MESSY).source.plain())
    formatted = format_text(text, path="net.json")
    assert cnnspec.loads(formatted, path="net.json").graph.nodes == cnnspec.loads(MESSY).graph.nodes
    assert '"first": "Conv2d(w, 3, padding=same, bias=False)"' in formatted
    assert format_text(formatted, path="net.json") == formatted
    long = format_text(text, path="net.json", long=True)
    assert cnnspec.loads(long, path="net.json").graph.nodes == cnnspec.loads(MESSY).graph.nodes


@pytest.mark.parametrize("stem", sorted(zoo.bundled()))
def test_bundled_specs_say_the_same_in_every_form(stem: str) -> None:
    text = zoo.bundled()[stem].read_text("utf-8")
    nodes = cnnspec.loads(text).graph.nodes
    for long in (False, True):
        formatted = format_text(text, long=long)
        assert cnnspec.loads(formatted).graph.nodes == nodes
        assert formatted.count("#") == text.count("#")
    assert format_text(text) == text, "the bundled specs are canonical"


@pytest.mark.parametrize(
    ("line", "canonical"),
    [
        ("ReLU()", "ReLU"),
        ("ReLU( )( x )", "ReLU()(x)"),
        ("Conv2d(kernel_size=3, out_channels=8)", "Conv2d(8, 3)"),
        ("Conv2d(8, stride=2, kernel_size=3)", "Conv2d(8, 3, stride=2)"),
        ("Conv2d(kernel_size=3,stride=2)", "Conv2d(kernel_size=3, stride=2)"),
        ("Conv2d(8,3,padding='same')", "Conv2d(8, 3, padding=same)"),
        ("Conv2d((8),3)", "Conv2d(8, 3)"),
        ("MaxPool2d(kernel_size=(2,2))", "MaxPool2d((2, 2))"),
        ("B(k=3,out=2)", "B(k=3, out=2)"),
        ("B * (n)", "B * n"),
        ("B*(n+1)", "B * (n + 1)"),
        ("B*len(x)   if   not a", "B * len(x) if not a"),
        ("Add(a,b)", "Add(a, b)"),
        ("Scale(1e-06)", "Scale(1e-06)"),
        ("Conv2d(a if b else c, -1)", "Conv2d(a if b else c, -1)"),
        ("Conv2d((a + b)*c, x[1:])", "Conv2d((a + b) * c, x[1:])"),
        ("ReLU(inplace=True)", "ReLU(inplace=True)"),
        ("ReLU( True )", "ReLU(inplace=True)"),
        ("ELU(inplace=on, alpha=2.0)", "ELU(2.0, inplace=on)"),
        ("ReLU if i==1 or i==3 or i==6 or i==9 or not i", "ReLU if i == 1 or i == 3 or i == 6 or i == 9 or not i"),
        (
            "ReLU if (a or b) and c and (d<1) and (e if f else g)",
            "ReLU if (a or b) and c and d < 1 and (e if f else g)",
        ),
    ],
)
def test_lines(line: str, canonical: str) -> None:
    assert canonical_line(line) == canonical
    assert canonical_line(canonical) == canonical


def test_a_word_in_a_block_of_text_is_that_word() -> None:
    text = (
        "cnnspec: 1\ninput: [3, 8, 8]\nlayers:\n"
        "  - type: Conv2d\n    out_channels: 8\n    kernel_size: 3\n    padding: |  # why\n      same\n"
    )
    assert cnnspec.loads(text).analyze().layers[0].output_shape == (8, 8, 8)
    assert format_text(text).endswith("  - Conv2d(8, 3, padding=same)  # why\n")


def test_a_wrong_document_is_not_formatted() -> None:
    with pytest.raises(SpecError):
        format_text("cnnspec: 1\ninput: 3\nlayer: [ReLU]\n")
    with pytest.raises(SpecError):
        format_text("cnnspec: 1\ninput: 3\nlayers: [ReLU\n")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnspec", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_verb(tmp_path: Path) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(MESSY, "utf-8")
    result = run("fmt", "--check", path)
    assert (result.returncode, result.stdout) == (1, f"would change {path}\n")
    assert path.read_text("utf-8") == MESSY
    assert run("fmt", path).returncode == 0
    assert path.read_text("utf-8") == TIDY
    assert (run("fmt", "--check", path).returncode, list(tmp_path.iterdir())) == (0, [path])
    path.write_text("layers: [", "utf-8")
    assert run("fmt", path).returncode == 3
    assert path.read_text("utf-8") == "layers: ["
    assert run("fmt", tmp_path / "none.yaml").returncode == 2


def test_the_starter_is_canonical() -> None:
    text = STARTER.format(name="net")
    assert format_text(text) == text
