"""`cnnspec inspect` as a person calls it."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
from cli_calls import call, call_line

Capture = pytest.CaptureFixture[str]


def test_several_layers_are_explained_in_turn(capsys: Capture) -> None:
    assert call_line("inspect lenet5 --explain F6 --explain C1") == 0
    heads = [line for line in capsys.readouterr().out.splitlines() if line and line[0] != " "]
    assert heads == ["F6: Linear(84)", "C1: Conv2d(6, 5, padding=2)"]
    assert call_line("inspect lenet5 --explain F6 --explain C1 --format json") == 0
    assert [one["layer"] for one in json.loads(capsys.readouterr().out)] == ["F6", "C1"]
    assert call_line("inspect lenet5 --explain F6 --format json") == 0
    assert json.loads(capsys.readouterr().out)["layer"] == "F6"


def test_the_largest_batch_is_found_and_not_given(capsys: Capture) -> None:
    assert call_line("inspect lenet5 --fits 1GiB") == 0
    assert "inference  batch" in capsys.readouterr().out
    assert call_line("inspect lenet5 --fits 1GiB --batch 8") == 2
    assert "leave `--batch` out" in capsys.readouterr().err
    assert call_line("inspect lenet5 --batch 8") == 0
    assert "(batch 8, fp32, sgd-momentum)" in capsys.readouterr().out
    assert call_line("inspect lenet5") == 0
    assert "(batch 1, fp32, sgd-momentum)" in capsys.readouterr().out


def test_the_figures_of_inference_or_those_of_training(capsys: Capture) -> None:
    assert call_line("inspect googlenet --depth 1") == 0
    text = capsys.readouterr().out
    assert "aux1" not in text
    assert text.count("6,624,904") == 2  # the total, and the summary
    assert "training    13,004,888 parameters" in text
    assert call_line("inspect googlenet --depth 1 --for train") == 0
    text = capsys.readouterr().out
    assert "aux1" in text
    assert text.count("13,004,888") == 2
    assert "inference   6,624,904 parameters" in text
    assert call_line("inspect googlenet --for training") == 2
    assert "`--for training` is not known" in capsys.readouterr().err


def test_an_input_that_only_inference_takes(capsys: Capture) -> None:
    assert call_line("inspect inception_v3 --input 3x224x224") == 0
    assert "training    not at this input" in capsys.readouterr().out
    assert call_line("inspect inception_v3 --input 3x224x224 --fits 1GiB --format json") == 0
    assert json.loads(capsys.readouterr().out)["training_batch"] is None
    assert call_line("inspect inception_v3 --input 3x224x224 --for train") == 3
    assert "AuxLogits.conv1.conv" in capsys.readouterr().err
    assert call_line("inspect inception_v3 --input 3x64x64") == 3
    assert call_line("sizes inception_v3") == 0
    assert "smallest input  75x75   (for inference; 299x299 for training)" in capsys.readouterr().out


@pytest.mark.parametrize("flags", ["--explain C1 --field C3", "--fits 1GiB --explain C1", "--field C3 --fits 1GiB"])
def test_one_question_at_a_time(flags: str, capsys: Capture) -> None:
    assert call_line(f"inspect lenet5 {flags}") == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "print different things" in captured.err


def test_latex_has_sizes_as_formulas_and_says_what_it_needs(capsys: Capture) -> None:
    from matplotlib.mathtext import MathTextParser

    assert call_line("inspect resnet18 --format latex --columns layer,output,field,stride,MACs") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    rows = [line.removesuffix(r" \\").split(" & ") for line in lines if line.endswith(r"\\")]
    assert rows[0] == ["layer", "output", "field", "stride", "MACs"]
    assert rows[1] == ["conv1", r"$64 \times 112 \times 112$", r"$7 \times 7$", "2", "118,013,952"]
    assert len(rows) == 1 + 69 + 1  # a heading and a total
    formulas = {cell for row in rows for cell in row if "$" in cell}
    for formula in formulas:
        MathTextParser("agg").parse(formula)


def test_names_in_latex_are_text(capsys: Capture, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text(
        "cnnspec: 1\nname: net\ninput: [3, 8, 8]\nlayers:\n  3x3_a: Conv2d(4, 3)\n  3x3: Conv2d(4, [3, 1])\n"
    )
    assert call("inspect", tmp_path / "net.yaml", "--format", "latex") == 0
    text = capsys.readouterr().out
    assert "\n3x3\\_a & Conv2d & $4 \\times 6 \\times 6$ & " in text
    assert "\n3x3 & Conv2d & $4 \\times 4 \\times 6$ & " in text


def test_columns_are_chosen_in_their_order(capsys: Capture) -> None:
    assert call_line("inspect lenet5 --columns params,layer") == 0
    assert capsys.readouterr().out.splitlines()[2].split() == ["params", "layer"]
    assert call_line("inspect lenet5 --columns layer,macs --format markdown") == 2
    assert "did you mean `MACs`?" in capsys.readouterr().err
    assert call_line("inspect lenet5 --columns name,macs --format csv") == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["name,macs", "C1,117600"]
    assert call_line("inspect lenet5 --columns name --format json") == 2
    assert call_line("inspect lenet5 --columns layer --explain C1") == 2


def test_the_warnings_that_check_prints_are_counted_below_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    head = "cnnspec: 1\ninput: [3, 33, 33]\nparams: {n: 8}\nlayers:\n  a: Conv2d(n, 3)\n  pool: MaxPool2d(2)\n"
    for name, text, count in (
        ("none.yaml", head.replace("33", "32"), 0),
        ("one.yaml", head, 1),
        ("two nets.yaml", head + "  b: Conv2d(n, 4)\n  pool2: MaxPool2d(2)\n  c: Conv2d(8, 2)\n  d: MaxPool2d(2)\n", 2),
    ):
        Path(name).write_text(text)
        assert call("inspect", name, "--set", "n=9") == 0
        last = capsys.readouterr().out.splitlines()[-1]
        if not count:
            assert "warning" not in last
            continue
        said, _, words = last.partition(": `")
        assert said == f"{count} warning{'s' * (count > 1)}"
        assert call(*shlex.split(words.rstrip("`"))[1:], "--format", "json") == 0
        assert json.loads(capsys.readouterr().out)["totals"] == {"errors": 0, "warnings": count}
    assert call("inspect", "one.yaml", "--format", "csv") == 0
    assert "warning" not in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["inspect", "train", "check", "sizes", "export"])
def test_a_parameter_that_a_bundled_network_lacks(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    """The copy that is offered can be changed as the error says."""
    monkeypatch.chdir(tmp_path)
    assert call(verb, "lenet5", "--set", "num_classes=2") == 2
    err = " ".join(capsys.readouterr().err.split())
    assert "error: lenet5 has no parameter `num_classes`" in err
    assert "`cnnspec zoo lenet5 > net.yaml` gives a copy of your own" in err
    assert "add `params: {num_classes: …}` to it, and write `num_classes` where the number stands" in err
    assert call("zoo", "lenet5") == 0
    text = capsys.readouterr().out.replace("layers:", "params: {num_classes: 10}\nlayers:", 1)
    text = re.sub(r"^classes: .*\n", "", text, flags=re.MULTILINE)  # the names of ten digits
    Path("net.yaml").write_text(text.replace("Linear(10)", "Linear(num_classes)"))
    assert call("inspect", "net.yaml", "--set", "num_classes=2", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["layers"][-1]["output_shape"] == [2]
