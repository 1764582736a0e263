"""Nothing out of a file, a name or an argument reaches the terminal as more than text."""

from __future__ import annotations

import json
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import onnx
import pytest
from cli_calls import call
from onnx import TensorProto, helper
from PIL import Image
from safetensors.numpy import save_file

from cnnspec import api
from cnnspec.cli import VERBS
from cnnspec.cli.render.foreign import csv_line, say, visible
from cnnspec.onnx_backend.metadata import UNSEALED, seal

ESC = "\x1b[31m"
EVIL = f"a{ESC}b\nQ\x9bd\u202ee"
CSI = f"e{ESC}v"  # where a name may have no line break


def evil_model(name: str, node: onnx.NodeProto) -> str:
    given, gives = (helper.make_tensor_value_info(value, TensorProto.FLOAT, [1, 4]) for value in ("x", "y"))
    graph = helper.make_graph([node], EVIL, [given], [gives])
    Path(name).write_bytes(helper.make_model(graph, ir_version=9).SerializeToString())
    return name


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run, an exported file, images and specs, with escape sequences wherever somebody else gives a name."""
    place = tmp_path_factory.mktemp("work")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("CNNSPEC_CACHE", str(place / "cache"))
        api.train("mlp", name="one", batch_size=256, epochs=1, threads=1, channels_last=False)
        shutil.move("runs/one", f"runs/{EVIL}")
        Path("spec").mkdir()
        spec = "cnnspec: 1\nname: n\ninput: [1, 8, 8]\nlayers:\n  a: Conv2d(4, 3)\n  f: Flatten\n  out: Linear(10)\n"
        Path(f"{CSI}.yaml").write_text(spec)
        Path(f"{CSI}-bad.yaml").write_text('cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  a: "Conv2d(\\e[31m)"\n')
        Path(f"{CSI}-fix.yaml").write_text(
            'cnnspec: 1\nname: "n\\e[31m"\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(4, kernel=3)\n'
        )
        path = Path(api.export("mlp", "m.onnx", verify=False).path)
        model = onnx.load(path)
        for entry in model.metadata_props:
            if entry.key == "cnnspec.classes":
                entry.value = json.dumps([f"{place}{EVIL}" for place in range(10)])
            if entry.key == "cnnspec.sha256":
                entry.value = UNSEALED
        Path(f"{CSI}.onnx").write_bytes(b"".join(seal(model.SerializeToString())[0]))
        Image.fromarray(np.zeros((28, 28), np.uint8)).save(f"{EVIL}.png")
        Path("broken").mkdir()
        Path(f"broken/{EVIL}.png").write_bytes(b"x")
        evil_model("domain.onnx", helper.make_node("Relu", ["x"], ["y"], domain=EVIL))
        evil_model("kind.onnx", helper.make_node(EVIL, ["x"], ["y"]))
        evil_model("tensor.onnx", helper.make_node("Relu", [EVIL], ["y"]))
        np.savez(f"{CSI}.npz", **{CSI: np.zeros(3)})
        for name in (f"{EVIL}a", f"{EVIL}b"):
            Path("folder", name).mkdir(parents=True)
            for picture in range(5):
                Image.fromarray(np.zeros((8, 8), np.uint8)).save(Path("folder", name, f"{EVIL}{picture}.png"))
        shutil.copytree("folder", "spoilt")
        Path("spoilt", f"{EVIL}a", f"{EVIL}.png").write_bytes(b"x")
        Path("two.yaml").write_text(spec.replace("10", "2"))
        Path(f"{CSI}.json").write_text(json.dumps({EVIL: EVIL}))
        Path("value.json").write_text(json.dumps({"optimizer": EVIL}))
        save_file({EVIL: np.zeros(3, np.float32)}, f"{CSI}.safetensors")
        for entry in model.metadata_props:
            if entry.key in ("cnnspec.name", "cnnspec.weights", "cnnspec.variant"):
                entry.value = EVIL if entry.key != "cnnspec.variant" else json.dumps(EVIL)
            if entry.key in ("cnnspec.training", "cnnspec.tools", "cnnspec.settings"):
                entry.value = json.dumps({EVIL: EVIL})
        Path("told.onnx").write_bytes(b"".join(seal(model.SerializeToString())[0]))
        for file, text in (
            ("result.json", json.dumps({"test_accuracy": EVIL})),
            ("metrics.jsonl", json.dumps({"epoch": EVIL})),
            ("classes.json", json.dumps({EVIL: EVIL})),
            ("config.yaml", json.dumps({"spec": {"variant": EVIL}, "train": {}})),
        ):
            shutil.copytree(f"runs/{EVIL}", f"spoilt-runs/{file}{EVIL}")
            Path(f"spoilt-runs/{file}{EVIL}", file).write_text(text)
    return place


@pytest.fixture(autouse=True)
def _there(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(made)
    monkeypatch.setenv("CNNSPEC_CACHE", str(made / "cache"))


CALLS: dict[str, list[list[str]]] = {
    "inspect": [
        [f"{CSI}.yaml"],
        [f"{CSI}-bad.yaml"],
        [EVIL],
        [f"{CSI}.yaml", "--explain", EVIL],
        ["mlp", "--fits", EVIL],
    ],
    "calc": [[EVIL], ["Conv2d(4, 3)", "--input", EVIL]],
    "sizes": [[f"{CSI}.yaml"], [f"{CSI}-bad.yaml"], [EVIL]],
    "diff": [[f"{CSI}.yaml", "mlp"], [EVIL, "mlp"], ["mlp", f"{CSI}-bad.yaml"]],
    "check": [
        [EVIL, "--fix"],
        [f"{CSI}-bad.yaml", "--fix"],
        *([f"{CSI}-fix.yaml", "--fix", "--format", form] for form in ("github", "json")),
        [f"{CSI}.yaml", f"{CSI}-bad.yaml"],
        *([f"{CSI}-bad.yaml", "--format", form] for form in ("json", "github", "sarif", "junit")),
        [EVIL],
    ],
    "explain": [[EVIL]],
    "fmt": [[f"{CSI}.yaml", "--check"], [f"{CSI}-bad.yaml", "--check"], [EVIL]],
    "schema": [[EVIL]],
    "init": [[f"{CSI}-new.yaml"], [f"{CSI}.txt"], [f"no{CSI}/{CSI}.yaml"]],
    "zoo": [[EVIL]],
    "step": [
        ["mlp", "--label", EVIL],
        ["mlp", "--data", EVIL],
        ["mlp", "--image", f"{EVIL}.png", "--label", "1"],
        [f"runs/{EVIL}"],
        [f"runs/{EVIL}", "--format", "json"],
        ["two.yaml", "--data", "folder", "--label", f"{EVIL}a"],
        [EVIL],
    ],
    "import": [
        [EVIL],
        [f"{CSI}.onnx"],
        ["domain.onnx"],
        ["kind.onnx"],
        ["tensor.onnx"],
        [f"timm:{EVIL}"],
        [f"{EVIL}.py:{EVIL}"],
        [f"{CSI}.json"],
        [f"{EVIL}.keras"],
    ],
    "search": [
        [EVIL],
        [f"{CSI}.yaml", "--data", "digits", "--search", EVIL],
        [f"{CSI}.yaml", "--data", "digits", "--search", f"{CSI}.json"],
        ["front", EVIL],
        ["best", EVIL],
        ["screen", f"{CSI}-bad.yaml"],
    ],
    "train": [
        ["mlp", "--data", EVIL],
        ["mlp", "--data", f"{CSI}.npz"],
        ["--resume", EVIL],
        ["mlp", "--name", EVIL],
        ["two.yaml", "--data", "folder", "--name", "f", "--epochs", "1", "--threads", "1", "--no-channels-last"],
        ["two.yaml", "--data", "folder", "--format", "json", "--epochs", "1", "--threads", "1", "--no-channels-last"],
        ["two.yaml", "--data", "spoilt"],
        ["two.yaml", "--data", "spoilt", "--skip-bad", "--epochs", "1", "--threads", "1", "--no-channels-last"],
        ["mlp", "--config", f"{CSI}.json"],
        ["mlp", "--config", "value.json"],
        ["mlp", "--config", EVIL],
        ["mlp", "--weights", f"{CSI}.safetensors"],
        ["mlp", "--weights", EVIL],
        ["mlp", "--runs", f"m.onnx/{EVIL}"],
        ["mlp", "--device", EVIL],
    ],
    "eval": [
        [f"runs/{EVIL}"],
        [f"{CSI}.onnx", "--data", "digits"],
        [EVIL],
        ["runs/f"],
        ["runs/f", "--format", "json", "--sheet", f"{CSI}.png"],
        ["runs/f", "--data", EVIL],
        ["told.onnx", "--data", "digits"],
    ],
    "runs": [[], ["--format", "json"], [EVIL], ["--runs", EVIL], ["--runs", "spoilt-runs"]],
    "export": [
        [f"{CSI}.yaml", "-o", f"{CSI}-out.onnx", "--no-verify"],
        [EVIL],
        [f"{CSI}.yaml", "--outputs", EVIL],
        [f"runs/{EVIL}", "-o", "out.onnx", "--no-verify"],
        ["mlp", "--weights", f"{CSI}.safetensors", "--no-verify"],
        ["mlp", "--weights", EVIL],
        ["mlp", "-o", f"m.onnx/{EVIL}.onnx"],
    ],
    "code": [
        [f"{CSI}.yaml"],
        [f"{CSI}.yaml", "-o", f"{CSI}-out.py"],
        [EVIL],
        ["mlp", "-o", EVIL],
        ["mlp", "-o", f"m.onnx/{EVIL}.py"],
        ["mlp", "--variant", EVIL],
    ],
    "verify": [
        [f"{CSI}.onnx"],
        ["told.onnx"],
        ["told.onnx", "--format", "json"],
        ["domain.onnx"],
        ["kind.onnx"],
        ["tensor.onnx"],
        [EVIL],
        ["m.onnx", "--against", f"runs/{EVIL}"],
    ],
    "predict": [
        *([f"{CSI}.onnx", f"{EVIL}.png", "--format", form] for form in ("table", "json", "csv")),
        [f"{CSI}.onnx", "broken"],
        ["domain.onnx", f"{EVIL}.png"],
        [f"{CSI}.onnx", EVIL],
    ],
    "bench": [
        [f"{CSI}.onnx", "--seconds", "0.01", "--batches", "1", "--threads", "1"],
        ["told.onnx", "--seconds", "0.01", "--batches", "1", "--threads", "1", "--no-torch"],
        [EVIL],
        ["mlp", "--batches", EVIL],
    ],
    "doctor": [["--format", EVIL]],
    "draw": [[EVIL], ["mlp", "-o", f"{EVIL}.svg"], ["mlp", "-o", f"a.{CSI}"], ["mlp", "--format", EVIL]],
    "serve": [
        ["--predict", f"no{EVIL}"],
        [EVIL],
        [f"{CSI}.onnx", "--no-open"],
        ["--port", EVIL],
        ["--predict", f"{CSI}.onnx", "--device", EVIL],
        ["--host", EVIL, "--predict", "x"],
    ],
    "lsp": [["--tcp", EVIL], ["--tcp", "-1"]],
}


def dangerous(text: str) -> set[str]:
    """Characters that a terminal obeys; our own line breaks are none."""
    return {letter for letter in text if unicodedata.category(letter) in ("Cc", "Cf", "Zl", "Zp") and letter != "\n"}


@pytest.mark.parametrize("verb", VERBS)
def test_no_escape_sequence_reaches_the_terminal(verb: str, capfd: pytest.CaptureFixture[str]) -> None:
    for arguments in CALLS[verb]:
        call(verb, *arguments)
        printed = capfd.readouterr()
        whole = printed.out + printed.err
        assert whole, arguments
        assert (dangerous(whole), "\nQ" in whole) == (set(), False), (arguments, whole)
        assert "Traceback" not in whole, arguments


def test_a_verb_that_there_is_not_is_told_without_its_escapes(capfd: pytest.CaptureFixture[str]) -> None:
    call(EVIL)
    assert not dangerous(capfd.readouterr().err)


def test_a_name_makes_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    call("runs", f"{EVIL}")
    head, row = capsys.readouterr().out.splitlines()
    assert row.startswith(r"a\u001b[31mb\u000aQ\u009bd\u202ee  mlp")
    assert head.index("network") == row.index("mlp")


def test_json_says_the_names_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    call("predict", f"{CSI}.onnx", f"{EVIL}.png", "--format", "json")
    assert json.loads(capsys.readouterr().out)["image"] == f"{EVIL}.png"


@pytest.mark.parametrize("text", ["plain", "naïve 図", "\x00", "\U000e0041", "\udc80", "\x7f\x85\u2028"])
def test_what_is_made_visible_is_what_json_calls_it(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    assert json.loads(f'"{shown}"') == text


def test_say_keeps_lines_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    say("one\r\x07\ntwo\t")
    assert capsys.readouterr().out == "one\\u000d\\u0007\ntwo\\u0009\n"


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"), ("@SUM(A1)", "'@SUM(A1)"), ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"), ("-a", "'-a"),
        ("-", "-"), ("-0.5", "-0.5"), ("+1e-6", "+1e-6"), ("a=b", "a=b"), (-3, "-3"), ("\t=1", "\\u0009=1"),
    ],
)  # fmt: skip
def test_a_cell_is_no_formula(cell: object, written: str) -> None:
    assert csv_line([cell]) == written
