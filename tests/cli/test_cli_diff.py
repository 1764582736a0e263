"""`cnnspec diff` as a person calls it, and how its rows are folded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_calls import call_line

import cnnspec
from cnnspec import api
from cnnspec.cli.render.diff import render_difference

Capture = pytest.CaptureFixture[str]

NET = """
cnnspec: 1
name: net
input: [3, 32, 32]
params: {width: 16}
variants:
  wide: {width: 24}
blocks:
  Basic:
    params: {channels: int}
    layers:
      conv1: Conv2d(channels, 3, padding=1, bias=False)
      bn1: BatchNorm2d
      relu1: ReLU
      conv2: Conv2d(channels, 3, padding=1, bias=False)
      bn2: BatchNorm2d
      add: Add(bn2, input)
layers:
  stem: Conv2d(width, 3, padding=1)
  stage1: Basic(width) * 3
  pool: MaxPool2d(2)
  grow: Conv2d(2 * width, 1)
  stage2: Basic(2 * width) * 3
  head: AdaptiveAvgPool2d(1)
  flatten: Flatten
  fc: Linear(10)
"""


def rows(text: str) -> list[list[str]]:
    """The rows of changes: sign, layer, what, size, as far as there is a size."""
    return [[part for part in line.split("  ") if part] for line in text.split("\n\n")[1].splitlines()]


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(NET)
    return path


def test_layers_that_changed_alike_are_one_row(net: Path, capsys: Capture) -> None:
    assert call_line(f"diff {net} {net} --set-b width=24") == 0
    found = [[cell.strip() for cell in row] for row in rows(capsys.readouterr().out)]
    # Stage 1 has six convolutions of 9 * 16 * 16 parameters, or 9 * 24 * 24, and six norms of 2 * 16; stage 2 is twice
    # as wide: 6 * (2 * 16 + 2 * 32) = 576.
    assert found == [
        ["~", "stem", "Conv2d out_channels 16 -> 24", "16x32x32 -> 24x32x32, 448 -> 672 parameters"],
        [
            *("~", "stage1.0 … stage1.2", "conv1, conv2: Conv2d out_channels 16 -> 24, in 3 blocks"),
            "16x32x32 -> 24x32x32, 13,824 -> 31,104 parameters",
        ],
        [">", "stage1.0 … stage2.2", "24 layers in 6 blocks", "576 -> 864 parameters"],
        [">", "pool", "MaxPool2d(2)", "16x16x16 -> 24x16x16"],
        ["~", "grow", "Conv2d out_channels 32 -> 48", "32x16x16 -> 48x16x16, 544 -> 1,200 parameters"],
        [
            *("~", "stage2.0 … stage2.2", "conv1, conv2: Conv2d out_channels 32 -> 48, in 3 blocks"),
            "32x16x16 -> 48x16x16, 55,296 -> 124,416 parameters",
        ],
        [">", "head", "AdaptiveAvgPool2d(1)", "32x1x1 -> 48x1x1"],
        [">", "flatten", "Flatten", "32 -> 48"],
        [">", "fc", "Linear(10)", "10, 330 -> 490 parameters"],
    ]


def test_folding_loses_no_layer(net: Path, capsys: Capture) -> None:
    call_line(f"diff {net} {net} --variant-b wide --format json")
    kinds = [change["kind"] for change in json.loads(capsys.readouterr().out)["changes"]]
    assert (kinds.count("changed"), kinds.count("resized")) == (14, 28)
    assert call_line(f"diff {net} {net} --variant-b wide") == 0
    assert "14 changed, 28 resized" in capsys.readouterr().out


def test_arguments_and_their_defaults() -> None:
    def one(layer: str) -> api.Spec:
        return cnnspec.loads(f"cnnspec: 1\ninput: [4, 8, 8]\nlayers:\n  a: {layer}\n")

    def what(before: str, after: str) -> str:
        ((_, _, text, *_),) = rows(render_difference(api.diff(one(before), one(after)), "table"))
        return text

    assert what("Conv2d(4, 3)", "Conv2d(4, 3, padding=1)") == "Conv2d padding 0 -> 1"
    assert what("Conv2d(4, 3, bias=False)", "Conv2d(4, [3, 1])") == "Conv2d kernel_size 3 -> (3, 1), bias False -> True"
    assert what("Dropout(1 / 3)", "Dropout(2 / 3)") == "Dropout p 0.333333 -> 0.666667"
    assert what("Dropout(0.1)", "Dropout(0.10000001)") == "Dropout p 0.1 -> 0.10000001"
    assert what("ReLU", "GELU") == "ReLU -> GELU"


def test_what_changed_alike_in_one_block_only_is_not_said_of_others(net: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(NET.replace("bn2: BatchNorm2d", "bn2: BatchNorm2d(eps=0.01)"))
    ((sign, name, what, _),) = rows(render_difference(api.diff(net, other), "table"))
    assert (sign, name.strip()) == ("~", "stage1.0 … stage2.2")
    assert what.strip() == "bn2: BatchNorm2d eps 1e-05 -> 0.01, in 6 blocks"


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("pair", [("resnet18", "resnet50"), ("densenet121", "densenet201"), ("lenet5", "vgg16")])
def test_the_lines_fit_the_terminal(pair: tuple[str, str], width: int) -> None:
    difference = api.diff(*pair)
    text = render_difference(difference, "table", width)
    assert max(map(len, text.splitlines())) <= width
    assert sorted(text.split()) == sorted(render_difference(difference, "table").split())


def test_networks_of_one_name_are_headed_by_what_tells_them_apart(net: Path, capsys: Capture) -> None:
    call_line(f"diff {net} {net} --set-b width=8")
    assert capsys.readouterr().out.splitlines()[0] == f"{net} -> {net}, width=8"
    call_line(f"diff {net} {net} --variant-b wide")  # a variant is a name
    assert capsys.readouterr().out.splitlines()[0] == "net -> wide"


def test_a_variant_or_parameter_that_there_is_not(net: Path, capsys: Capture) -> None:
    assert call_line(f"diff {net} {net} --variant-a wider") == 2
    assert "no variant" in capsys.readouterr().err
    assert call_line(f"diff {net} {net} --set-b widht=24") == 2
    assert "width" in capsys.readouterr().err
