"""What a SOURCE is, that code runs only where it is asked for, and what the verb writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from safetensors.numpy import load_file

import cnnspec
from cnnspec import api
from cnnspec.cli import main
from cnnspec.errors import UsageError
from cnnspec.importing.sources import parse_source

NET = """
from pathlib import Path
import torch
from torch import nn
Path("ran").touch()


def net(width=4, *, kernel=3):
    return nn.Sequential(nn.Conv2d(3, width, kernel), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))


def made(width=4):
    module = net(width)
    module(torch.zeros(2, 3, 8, 8))
    return module


def broken():
    raise ValueError("no such luck")


number = 3


class Odd(nn.Module):
    def forward(self, x):
        return torch.cumsum(x, 2)


class Two(nn.Module):
    def forward(self, x, y):
        return x + y
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main([*arguments])
    assert isinstance(caught.value.code, int)
    return caught.value.code


@pytest.mark.parametrize(
    ("text", "kind", "names"),
    [
        ("net.py:factory", "python", ["factory"]),
        ("a/b/net.py:Net(width=64, kernels=[3, 5])", "python", ["Net"]),
        ("timm:resnet26,resnet50", "timm", ["resnet26", "resnet50"]),
        ("torchvision:fcn_resnet50(aux_loss=True)", "torchvision", ["fcn_resnet50"]),
        ("timm:a(x=(1, 2)),b", "timm", ["a", "b"]),
        ("pt2:model.pt2", "pt2", []),
        ("model.onnx", "file", []),
    ],
)
def test_sources_are_taken_apart(text: str, kind: str, names: list[str]) -> None:
    source = parse_source(text)
    assert source is not None
    assert (source.kind, [each.name for each in source.named]) == (kind, names)
    assert (source.warning is None) == (kind == "file")


@pytest.mark.parametrize("text", ["resnet50", "net.yaml", "runs/demo", "-", "net.json", "a:b", "", "x.py.yaml"])
def test_specs_and_runs_are_no_sources(text: str) -> None:
    assert parse_source(text) is None


@pytest.mark.parametrize(
    "text",
    ["net.py", "model.pt2", "net.py:f(", "net.py:f(open('x'))", "net.py:f(**{})", "timm:", "net.py:f(__import__('os'))",
     "tim:resnet50", "torchvison:resnet18"],
)  # fmt: skip
def test_what_is_not_well_written_is_told(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_source(text)
    assert caught.value.hint


def test_arguments_are_plain_values() -> None:
    source = parse_source("net.py:f(1, 'a', width=64, sizes=[1, (2, 3)], on=True, none=None, less=-1.5)")
    assert source is not None
    (named,) = source.named
    assert named.positional == (1, "a")
    assert named.arguments == {"width": 64, "sizes": [1, (2, 3)], "on": True, "none": None, "less": -1.5}


def test_the_verb_writes_the_spec_and_its_weights(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = "net.py:made(width=6)"
    assert call("import", source, "--input", "3x8x8", "-o", "net.yaml", "--weights", "net.safetensors") == 0
    said = capsys.readouterr()
    assert "runs the code in net.py" in said.err
    assert said.out.count("ok  ") == 5
    spec = cnnspec.load("net.yaml")
    assert spec.graph.by_name["0"].shape == (6, 6, 6)
    assert load_file("net.safetensors").keys() == spec.graph.state_shapes().keys()


def test_without_a_file_the_text_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "net.py:made", "--input", "3x8x8") == 0
    assert cnnspec.loads(capsys.readouterr().out).name == "made"


def test_json_has_all(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "net.py:made", "--input", "3x8x8", "--format", "json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["layers"] == 5
    assert all(check["passed"] for check in told["checks"])


def test_gaps_are_a_table_and_nothing_is_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("import", "net.py:Odd", "--input", "3x8x8", "-o", "net.yaml") == 1
    said = capsys.readouterr()
    assert said.out.splitlines()[0].split() == ["layer", "call", "what", "is", "missing"]
    assert "aten.cumsum" in said.out
    assert not (folder / "net.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["net.py:made"], 2, "does not say what it reads"),
        (["net.py:nothing", "--input", "3x8x8"], 2, "has no `nothing`"),
        (["net.py:number", "--input", "3x8x8"], 2, "no function and no class"),
        (["net.py:broken", "--input", "3x8x8"], 1, "raises ValueError in line 19 of net.py: no such luck"),
        (["net.py:nothing", "--input", "3x8x8"], 2, "it has `net`, `made`, `broken`, `Odd`, `Two`"),
        (["net.py:net(widht=3)", "--input", "3x8x8"], 2, "did you mean `width`?"),
        (["net.py:made(1, 2)", "--input", "3x8x8"], 2, "takes other arguments: too many positional arguments"),
        (["net.py:Two", "--input", "3x8x8"], 1, "reads several inputs, and a spec has one"),
        (["net.py:made", "--input", "4x8x8"], 1, "cannot export"),
        (["net.py:net", "--input", "3x8x8"], 2, "lazy layers"),
        (["nothing.py:made", "--input", "3x8x8"], 2, "there is no file nothing.py"),
        (["net.py:made", "--input", "3x8x8", "-o", "net.json"], 2, "does not end in .yaml"),
        (["net.py:made", "--input", "3x8x8", "--weights", "net.pt"], 2, "does not end in .safetensors"),
        (["net.py:made", "--input", "3x8x8", "-o", "no/net.yaml"], 2, "there is no folder no"),
        (["torchvision:resnet19"], 2, "has no model `resnet19`"),
        (["torchvision:alexnet,vgg11", "--weights", "w.safetensors"], 2, "weights are of one network"),
        (["lenet5"], 2, "is no source"),
        (["model.pt2"], 2, "can run code"),
        (["model.pth"], 2, "names the code that makes the network"),
        (["nothing.onnx"], 2, "there is no file nothing.onnx"),
    ],
)
def test_what_is_wrong_is_one_error(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    assert call("import", *arguments) == code
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_a_file_of_a_package_may_import_its_neighbours(folder: Path) -> None:
    package = folder / "nets_of_mine"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "parts.py").write_text("from torch import nn\n\ndef part():\n    return nn.Conv2d(3, 4, 3)\n")
    (package / "net.py").write_text("from .parts import part\n\ndef net():\n    return part()\n")
    assert call("import", "nets_of_mine/net.py:net", "--input", "3x8x8", "-o", "net.yaml") == 0
    assert "Conv2d(4, 3)" in (folder / "net.yaml").read_text()


def test_several_inputs_are_told_in_python() -> None:
    import torch

    with pytest.raises(UsageError, match="is 2 inputs, and a spec has one"):
        cnnspec.from_torch(torch.nn.Bilinear(2, 2, 1), (torch.zeros(1, 2), torch.zeros(1, 2)))
    assert cnnspec.from_torch(torch.nn.Linear(2, 3), (torch.zeros(1, 2),)).text.count("Linear") == 1


def test_other_verbs_take_a_source_and_say_that_code_runs(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("inspect", "net.py:made", "--input", "3x8x8") == 0
    said = capsys.readouterr()
    assert "BatchNorm2d" in said.out
    assert "runs the code in net.py" in said.err


@pytest.mark.parametrize("verb", ["inspect", "check", "sizes"])
def test_no_file_of_python_is_run_by_its_path_alone(folder: Path, verb: str) -> None:
    assert call(verb, "net.py") == 2
    assert not (folder / "ran").exists()


def test_a_spec_cannot_make_training_run_code(folder: Path) -> None:
    text = api.bundled_text("lenet5").replace("train: {", "train: {weights: 'net.py:made', ", 1)
    assert "net.py:made" in text
    (folder / "net.yaml").write_text(text)
    with pytest.raises(UsageError, match="runs the code"):
        cnnspec.train("net.yaml", data="digits", progress=None)
    assert not (folder / "ran").exists()


def test_an_export_is_read_from_what_it_carries(folder: Path) -> None:
    source = cnnspec.export("mlp", "mlp.onnx", verify=False)
    result = cnnspec.import_network("mlp.onnx", "net.yaml", weights="net.safetensors")
    assert result.text == api.bundled_text("mlp")
    with pytest.raises(UsageError, match="is there already"):
        cnnspec.import_network("mlp.onnx", "net.yaml")
    assert cnnspec.import_network("mlp.onnx", "net.yaml", force=True).text == result.text
    assert load_file("net.safetensors").keys() == cnnspec.load("net.yaml").graph.state_shapes().keys()
    assert cnnspec.load("mlp.onnx").graph.macs == cnnspec.load("mlp").graph.macs
    damaged = bytearray(Path(source.path).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    Path("damaged.onnx").write_bytes(damaged)
    with pytest.raises(cnnspec.CnnspecError, match="damaged"):
        cnnspec.import_network("damaged.onnx")


@pytest.mark.long
def test_a_family_is_one_spec(folder: Path) -> None:
    result = cnnspec.import_network("torchvision:resnet18,resnet34", "resnet.yaml", input_shape=(3, 64, 64))
    assert result.variants == ("resnet34",)
    for name in ("resnet18", "resnet34"):
        spec = cnnspec.load("resnet.yaml", variant=name if name in result.variants else None)
        bundled = cnnspec.load(name, input_shape=(3, 64, 64))
        assert spec.graph.macs == bundled.graph.macs
        assert spec.graph.state_shapes() == bundled.graph.state_shapes()
