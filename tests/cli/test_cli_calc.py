"""`cnnspec calc`, `sizes` and `diff` as a person calls them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_calls import call_line

Capture = pytest.CaptureFixture[str]


def test_the_formula_with_the_numbers_in(capsys: Capture) -> None:
    assert call_line("calc conv2d --input 32 --kernel-size 5 --padding 2") == 0
    assert capsys.readouterr().out.splitlines() == [
        "Conv2d(kernel_size=5, padding=2): 32x32 -> 32x32",
        "  (32 - 5 + 2*2)/1 + 1 = 32   (on every axis)",
    ]


def test_layers_in_a_row_and_rectangles(capsys: Capture) -> None:
    words = "calc Conv2d --input=32x48 --kernel-size 5 then max_pool2d --kernel-size 2x3 --ceil-mode"
    assert call_line(words) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Conv2d(kernel_size=5): 32x48 -> 28x44",
        "  height  (32 - 5)/1 + 1 = 28",
        "  width   (48 - 5)/1 + 1 = 44",
        "MaxPool2d(kernel_size=2x3, ceil_mode=True): 28x44 -> 14x15",
        "  height  (28 - 2)/2 + 1 = 14",
        "  width   ceil((44 - 3)/3) + 1 = 15",
    ]


def test_it_solves_for_what_is_left_out(capsys: Capture) -> None:
    assert call_line("calc conv2d --kernel-size 3 --stride 2 --padding 1 --output 16") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  input = 31 to 32   (on every axis)"
    assert call_line("calc conv1d --input 8 --kernel-size 3 --padding 0 --dilation 1 --output 1") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  stride = 6 or more"
    assert call_line("calc conv1d --input 32 --kernel-size 5 --output 28") == 0
    assert capsys.readouterr().out.splitlines()[-3:] == ["  stride = 1", "  or padding = 0", "  or dilation = 1"]
    assert call_line("calc conv1d --kernel-size 5 then max_pool1d --kernel-size 2 --output 5") == 0
    assert capsys.readouterr().out.splitlines()[0] == "input of the first layer = 14 to 15"


def test_a_kernel_is_solved_for_with_the_stride_that_the_sizes_suggest_too(capsys: Capture) -> None:
    assert call_line("calc conv2d --input 224 --output 112") == 0
    assert capsys.readouterr().out.splitlines()[2:] == [
        "  with stride=1: kernel_size = 113   (on every axis)",
        "  with stride=2: kernel_size = 1 to 2   (on every axis)",
        "  with stride=2, padding=1: kernel_size = 3 to 4   (on every axis)",
    ]
    assert call_line("calc conv_transpose1d --input 14 --output 28 --format json") == 0
    (step,) = json.loads(capsys.readouterr().out)["steps"]
    assert step["others"] == [
        {"arguments": {"stride": 2}, "unknown": "kernel_size", "ranges": [[2, 2]]},
        {"arguments": {"stride": 2, "padding": 1}, "unknown": "kernel_size", "ranges": [[4, 4]]},
    ]
    for words in (
        "conv1d --input 32 --output 28",
        "conv1d --input 32 --stride 2 --output 16",
        "max_pool1d --input 8 --output 4",
    ):
        assert call_line(f"calc {words}") == 0
        assert "with stride" not in capsys.readouterr().out


def test_json_holds_nothing_else(capsys: Capture) -> None:
    assert call_line("calc conv2d --input 224 --kernel-size 7 --stride 2 --output 112 --format json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"][0]["solutions"] == [{"unknown": "padding", "ranges": [[3, 3], [3, 3]]}]
    assert found["steps"][0]["unread"] == [1, 1]
    assert call_line("calc --format json conv2d --input 9 --kernel-size 3 --padding same") == 0
    assert json.loads(capsys.readouterr().out)["steps"][0]["output"] == [9, 9]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("conv2d --input 32 --kernal-size 5", "did you mean `--kernel-size`?"),
        ("conv2d --input 3,2 --kernel-size 5", "wants whole numbers"),
        ("conv2d --input 32 --kernel-size", "wants a value"),
        ("conv2d --input 32 --input 33 --kernel-size 5", "given twice"),
        ("conv2d --input 32 --kernel-size -5", "wants whole numbers"),
        ("conv2d --input 32 --kernel-size 5 --format yaml", "not known"),
        ("conv2d --input 32 --kernel-size 5 then", "no operator after `then`"),
        ("then conv2d", "no operator before `then`"),
        ("conv2d 5", "knows no word `5`"),
        ("--input 32 conv2d", "stands where an operator is wanted"),
        ("dense --input 32", "has no size formula"),
        ("conv2d --input 32 --padding same", "needs a kernel_size"),
        ("max_pool2d --input 32 --kernel-size 2 --padding same", "is a number"),
        ("conv2d --input 99999999999 --kernel-size 2", "wants whole numbers"),
    ],
)
def test_wrong_usage_is_said_and_exits_with_2(words: str, message: str, capsys: Capture) -> None:
    assert call_line(f"calc {words}") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert message in captured.err


def test_a_question_without_answer_exits_with_1(capsys: Capture) -> None:
    assert call_line("calc conv2d --input 3 --kernel-size 5") == 1
    assert "does not fit" in capsys.readouterr().err
    assert call_line("calc max_pool1d --input 30 --kernel-size 2 --padding 0 --dilation 1 --output 14") == 1
    assert "stride 2 gives 15 and stride 3 gives 10" in capsys.readouterr().err


def test_help_is_help(capsys: Capture) -> None:
    assert call_line("calc conv2d --help") == 0
    assert "--output-padding" in capsys.readouterr().out
    assert call_line("calc") == 2


def test_sizes(capsys: Capture) -> None:
    assert call_line("sizes lenet5 --output 2") == 0
    out = capsys.readouterr().out
    assert "smallest input  28x28" in out
    assert "output 2 from      32 to 35" in out
    assert "every 4 from 28 to 56" in out
    assert "`F6` is as wide as the input makes it" in out
    assert call_line("sizes resnet18 --range 200:230 --format json") == 0
    (height, _) = json.loads(capsys.readouterr().out)["axes"]
    assert height["outputs"] == [
        {"from": 200, "to": 224, "step": 1, "output": 7},
        {"from": 225, "to": 230, "step": 1, "output": 8},
    ]
    assert call_line("sizes resnet18 --input 3x64x96 --output 5") == 0
    out = capsys.readouterr().out
    assert out.splitlines()[4] == "height"
    assert out.count("output 5 from      129 to 160") == 2


def test_the_table_of_outputs_is_left_out_where_one_output_is_asked_for(capsys: Capture) -> None:
    call_line("sizes resnet50")
    assert "193 to 224  7" in capsys.readouterr().out
    call_line("sizes resnet50 --output 10")
    out = capsys.readouterr().out
    assert "output 10 from      289 to 320" in out
    assert "output of" not in out
    call_line("sizes resnet50 --output 10 --range 200:300")
    assert "289 to 300  10" in capsys.readouterr().out


def test_sizes_of_a_network_without_a_feature_map(capsys: Capture) -> None:
    assert call_line("sizes mlp") == 0
    out = capsys.readouterr().out
    assert "weights fit        28" in out
    assert "There is no feature map" in out
    assert "output of" not in out
    assert call_line("sizes mlp --output 10") == 2
    assert "mlp has no feature map" in capsys.readouterr().err


def test_sizes_of_a_network_that_is_too_small_as_declared(tmp_path: Path, capsys: Capture) -> None:
    path = tmp_path / "net.yaml"
    path.write_text(
        "cnnspec: 1\nname: net\ninput: [1, 4, 4]\nlayers:\n- Conv2d(2, 3)\n- Conv2d(2, 3)\n- Conv2d(2, 5)\n"
    )
    assert call_line(f"inspect {path}") == 3
    capsys.readouterr()
    assert call_line(f"sizes {path}") == 0
    out = capsys.readouterr().out
    assert "smallest input  9x9" in out
    assert "The declared input is too small" in out


@pytest.mark.parametrize(
    "words",
    [
        "--output 0",
        "--output 7xx",
        "--range 5",
        "--range 9:3",
        "--range 1:999999",
        "--format csv",
        "--layer nix",
        "--output a",
    ],
)
def test_sizes_with_wrong_flags(words: str, capsys: Capture) -> None:
    assert call_line(f"sizes lenet5 {words}") == 2
    assert capsys.readouterr().out == ""


def test_diff(capsys: Capture) -> None:
    assert call_line("diff resnet18 resnet34") == 0
    out = capsys.readouterr().out
    assert "56 added, 69 the same" in out
    assert "1.86x" in out
    assert call_line("diff resnet18 resnet34 --exit-code --format markdown") == 1
    assert capsys.readouterr().out.count("| :-- |") >= 1
    assert call_line("diff lenet5 lenet5.yaml --exit-code --format json") == 0
    assert json.loads(capsys.readouterr().out)["equal"] is True
    assert call_line("diff lenet5 lenet6") == 2
