"""The JSON Schema for editors, against an independent validator."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

import cnnspec
from cnnspec import zoo
from cnnspec.api import format_text, init, json_schema
from cnnspec.errors import UsageError
from cnnspec.ops import operators
from cnnspec.training.config import TrainConfig, option_faults

VALIDATOR = Draft7Validator(json_schema())


def faults(layers: Any, **more: Any) -> list[str]:
    document = {"cnnspec": 1, "input": [3, 8, 8], "layers": layers, **more}
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_it_is_a_schema_of_draft_7() -> None:
    Draft7Validator.check_schema(json_schema())
    assert set(operators()) <= set(json_schema()["definitions"])


@pytest.mark.parametrize("stem", sorted(zoo.bundled()))
def test_bundled_specs_are_valid_in_every_form(stem: str) -> None:
    text = zoo.bundled()[stem].read_text("utf-8")
    for form in (text, format_text(text, long=True)):
        assert not [error.message for error in VALIDATOR.iter_errors(yaml.safe_load(form))]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([{"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "kernal_size": 3}], "kernal_size"),
        ({"a": {"type": "MaxPool2d", "kernel_size": 2, "strid": 2}}, "strid"),
        ([{"type": "Linear"}], "out_features"),
        ([{"layers": [{"type": "ReLU", "inplce": True}]}], "inplce"),
        ([["ReLU", {"type": "Dropout", "q": 1}]], "q"),
        ([{"type": "Conv2d", "out_channels": 8, "kernel_size": 3, "bias": 3}], "3 is not of type"),
        ([3], "3 is not of type 'string'"),
        ([{"type": "Add"}], "'in'"),
    ],
)
def test_a_fault_is_named_and_no_union(layers: Any, words: str) -> None:
    (message,) = faults(layers)
    assert words in message
    assert len(message) < 120


def test_blocks_and_headers() -> None:
    block = {
        "params": {"out": "int"},
        "layers": ["Conv2d(out, 3)", {"type": "Linear", "out_featurs": 2, "out_features": 1}],
    }
    assert faults(["B(3)"], blocks={"B": block}) == [
        "Additional properties are not allowed ('out_featurs' was unexpected)"
    ]
    assert not faults([{"type": "B", "anything": 3, "in": ["a", "b"], "repeat": "n", "when": "x > 1"}])
    assert faults(["ReLU"], inputt=3) == ["Additional properties are not allowed ('inputt' was unexpected)"]
    assert faults(["ReLU"], input={"shape": [3], "men": 1}) == [
        "Additional properties are not allowed ('men' was unexpected)"
    ]
    assert len(faults(["ReLU"], classes=[1])) == 1


def test_check_jsonschema_names_the_argument(tmp_path: Path) -> None:
    init(tmp_path / "net.yaml")
    spec = tmp_path / "net.yaml"
    spec.write_text(spec.read_text("utf-8") + "  more: {type: Conv2d, out_channels: 8, kernal_size: 3}\n", "utf-8")
    command = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--schemafile",
        str(tmp_path / "cnnspec.schema.json"),
        str(spec),
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "'kernal_size' was unexpected" in result.stdout
    assert len(result.stdout) < 600


def run(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cnnspec", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def test_init_schema_check_and_zoo_as_verbs(tmp_path: Path) -> None:
    result = run("init", folder=tmp_path)
    assert (result.returncode, result.stdout) == (0, "net.yaml\ncnnspec.schema.json\n")
    text = (tmp_path / "net.yaml").read_text("utf-8")
    assert text.startswith("# yaml-language-server: $schema=cnnspec.schema.json\n# vim: ")
    assert format_text(text).splitlines()[2:4] == ["cnnspec: 1", "name: net"]
    assert run("check", "--strict", "net.yaml", folder=tmp_path).returncode == 0
    assert run("init", folder=tmp_path).returncode == 2
    assert run("init", "--force", "other.yml", folder=tmp_path).returncode == 0
    assert json.loads(run("schema", folder=tmp_path).stdout) == json_schema()
    result = run("zoo", "resnet18", folder=tmp_path)
    assert (result.stdout, result.stderr) == (zoo.bundled_path("resnet18").read_text("utf-8"), "")
    assert run("zoo", "resnet35", folder=tmp_path).returncode == 2
    (tmp_path / "bad.yaml").write_text("cnnspec: 1\ninput: 3\nlayers: [Reul]\n", "utf-8")
    result = run("check", "net.yaml", "bad.yaml", "--format", "json", folder=tmp_path)
    assert (result.returncode, json.loads(result.stdout)["totals"]) == (3, {"errors": 1, "warnings": 0})
    assert run("check", "none.yaml", folder=tmp_path).returncode == 2
    assert "E103" in run("explain", "e103", folder=tmp_path).stdout
    assert run("explain", "E999", folder=tmp_path).returncode == 2


def test_the_file_of_a_variant_says_that_it_is_its_familys(tmp_path: Path) -> None:
    result = run("zoo", "resnet34", folder=tmp_path)
    remark, text = result.stdout.split("\n", 1)
    assert text == zoo.bundled_path("resnet18").read_text("utf-8")
    assert remark == "# By itself this is resnet18: `--variant resnet34` makes it resnet34."
    assert result.stderr == remark.removeprefix("# ") + "\n"
    (tmp_path / "net.yaml").write_text(result.stdout, "utf-8")
    assert cnnspec.load(tmp_path / "net.yaml").graph.state_shapes() == cnnspec.load("resnet18").graph.state_shapes()
    variant = cnnspec.load(tmp_path / "net.yaml", variant="resnet34")
    assert variant.graph.state_shapes() == cnnspec.load("resnet34").graph.state_shapes()


def test_init_refuses_what_is_no_yaml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="yaml"):
        init(tmp_path / "net.json")
    assert not list(tmp_path.iterdir())


def test_the_catalogue_has_every_name() -> None:
    from cnnspec.api import bundled_networks

    listed = {entry.name: entry for entry in bundled_networks()}
    assert set(listed) == set(zoo.names())
    assert listed["resnet50"].params == 25_557_032
    assert listed["lenet5"].to_dict()["receptive_field"] == [32, 32]


def test_options_of_training_are_in_it_and_what_it_refuses_is_refused() -> None:
    known = json_schema()["properties"]["train"]["properties"]
    assert known.keys() == TrainConfig.model_fields.keys()
    assert known["batch_size"]["default"] == 32
    assert all(each["description"] for each in known.values())
    for options in (
        {"batch_size": 0}, {"optimizer": "sdg"}, {"flip": 1}, {"lr": 0}, {"epoch": 3}, {"class_weights": "even"},
        {"unfreeze": {"a": 1}}, {"batch_size": 8, "lr": 0.1, "loss": "dice", "freeze": ["a"], "threads": None},
        {"class_weights": [1, 2.5], "lr_scale": {"*": 0.5}, "flip": True}, {"lr": None}, {},
    ):  # fmt: skip
        refused = bool(faults(["ReLU"], train=options))
        assert refused == bool(option_faults(options)), options
    document = cnnspec.load("lenet5").source.document  # one with such a section
    assert document.header.train
    assert not faults(["ReLU"], train=dict(document.header.train))
