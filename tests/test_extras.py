"""What an absent optional package gets: one and the same error from every public function and every verb."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import cnnspec
from cnnspec import api
from cnnspec.cli import VERBS
from cnnspec.errors import EXTRAS

# Every public function that needs an extra, as a person calls it, in a folder that holds what `prepare` makes.
CALLS = {
    "build": "cnnspec.build('mlp')",
    "Spec": "cnnspec.load('mlp').build()",
    "Predictor": "cnnspec.Predictor('a.onnx', device='cpu')('a.png')",
    "train": "cnnspec.train('mlp', epochs=1, batch_size=512, threads=1, channels_last=False)",
    "resume": "cnnspec.resume('runs/begun')",
    "evaluate": "cnnspec.evaluate('runs/done', sheet='sheet.png')",
    "step": "cnnspec.step('mlp', data='digits')",
    "export": "cnnspec.export('mlp')",
    "draw": "cnnspec.api.draw('mlp', 'a.pdf')",
    "draw_bytes": "cnnspec.api.draw_bytes('mlp', 'png')",
    "draw_why": "cnnspec.api.draw_why('a.onnx', ('a.png',), 'why.png')",
    "ready": "cnnspec.api.ready('mlp', 'runs/done', device='cpu')('a.png')",
    "verify": "cnnspec.verify('a.onnx')",
    "from_torch": "cnnspec.from_torch(cnnspec.build('mlp'), (1, 28, 28))",
    "import_network": "cnnspec.import_network('torchvision:alexnet')",
    "bench": "cnnspec.bench('mlp', batches=[1], threads=[1], seconds=0.01)",
    "search": "cnnspec.api.search('net.yaml', data='digits', searches=str(time.time_ns()))",
    "open_search": "cnnspec.api.open_search('made')",
    "write_best": "cnnspec.api.write_best('made', f'{time.time_ns()}.yaml')",
}
LIGHT = {
    "Assessment", "AxisSizes", "Bench", "Calculation", "Change", "Checked", "CnnspecError", "Code", "Diagnosis",
    "Difference", "Entry", "EpochMetrics", "Explanation", "ExportResult", "Figures", "Gap", "GapsError",
    "ImportResult", "ImportedSpec", "Layer", "LayerReport", "PICTURES", "PRECISIONS", "Prediction", "Progress",
    "Report", "Run", "Screen", "SearchProgress", "SearchResult", "Shared", "SizeRange", "Sizes", "Solution",
    "SpecError", "StepResult", "Total", "TrainConfig", "TrainResult", "TrainingStep", "TrialRecord", "UnitField",
    "UsageError", "Verdict", "VerificationError", "Violation", "LabelsPrediction", "MaskPrediction",
    "NumbersPrediction", "TaskAssessment", "draw_diff", "draw_step", "__version__", "bundled_networks",
    "bundled_remark",
    "bundled_text", "calculate", "check", "code", "diff", "examine_installation", "find_run", "fix", "format_text",
    "init", "is_run", "json_schema", "judge", "list_runs", "load", "loads", "open_run", "screen", "sizes",
    "spec_files",
}  # fmt: skip
VERB_CALLS = {
    "train": "train mlp --epochs 1",
    "eval": "eval runs/done",
    "step": "step mlp",
    "export": "export mlp",
    "verify": "verify a.onnx",
    "predict": "predict a.onnx a.png",
    "import": "import torchvision:alexnet",
    "lsp": "lsp",
    "draw": "draw mlp -o a.pdf",
    "serve": "serve --predict a.onnx",
    "search": "search net.yaml --data digits",
    "bench": "bench mlp --batches 1 --threads 1 --seconds 0.01",
}
LIGHT_VERBS = {
    "inspect", "calc", "sizes", "diff", "check", "explain", "fmt", "schema", "init", "zoo", "runs", "doctor", "code",
}  # fmt: skip

# A search whose limits have something measured among them.
SEARCHED = """\
cnnspec: 1
name: net
input: [1, 8, 8]
params: {width: 4}
train: {epochs: 1, batch_size: 512, threads: 1, channels_last: false}
layers: ["Conv2d(width, 3)", Flatten, Linear(10)]
search: {space: {width: [2, 4]}, limits: {latency: 1s}, trials: 1}
"""

BLOCKED = """
import json, sys
sys.modules.update(dict.fromkeys({blocked!r}))  # which imports and `find_spec` take for absent
"""
CALL_ALL = """
import time
import cnnspec, cnnspec.api
outcomes = {}
for name, call in json.loads(sys.argv[1]).items():
    try:
        eval(call)
        outcomes[name] = "done"
    except Exception as error:
        outcomes[name] = f"{type(error).__name__}: {error} / {getattr(error, 'hint', None)}"
print(json.dumps(outcomes))
"""
CALL_VERB = "from cnnspec.cli import main; main()"


def python(code: str, *arguments: str, without: set[str], folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BLOCKED.format(blocked=without) + code, *arguments]
    environment = {**os.environ, "CNNSPEC_CACHE": str(folder / "cache")}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=environment)


def outcomes(folder: Path, without: set[str]) -> dict[str, str]:
    done = python(CALL_ALL, json.dumps(CALLS), without=without, folder=folder)
    assert done.returncode == 0, done.stderr
    found: dict[str, str] = json.loads(done.stdout)
    return found


def prepare(folder: Path) -> None:
    """What looks like a run and a file that was exported, as far as anything looks without the extras."""
    for name in ("begun", "done"):
        (folder / "runs" / name).mkdir(parents=True)
        (folder / "runs" / name / "spec.yaml").write_text(api.bundled_text("mlp"))
        (folder / "runs" / name / "config.yaml").write_text("train: {epochs: 1}\n")
        (folder / "runs" / name / "classes.json").write_text(json.dumps([str(digit) for digit in range(10)]))
    (folder / "a.onnx").touch()
    (folder / "a.png").touch()
    (folder / "net.yaml").write_text(SEARCHED)


def test_every_public_name_and_verb_is_known_to_need_an_extra_or_not() -> None:
    assert {*cnnspec.__all__, *api.__all__} == {*CALLS, *LIGHT}
    assert {*VERBS} == {*VERB_CALLS, *LIGHT_VERBS}


def test_without_any_extra_every_public_function_says_what_to_install(tmp_path: Path) -> None:
    prepare(tmp_path)
    for name, outcome in outcomes(tmp_path, without={*EXTRAS}).items():
        assert outcome.startswith("MissingExtraError: this needs `"), (name, outcome)
        assert "pip install 'cnnspec[" in outcome


@pytest.mark.parametrize("verb", VERB_CALLS)
def test_without_any_extra_every_verb_says_what_to_install(verb: str, tmp_path: Path) -> None:
    prepare(tmp_path)
    done = python(CALL_VERB, *VERB_CALLS[verb].split(), without={*EXTRAS}, folder=tmp_path)
    assert done.returncode == 2
    first, second = done.stderr.splitlines()
    assert first.startswith("error: this needs `")
    assert second.startswith("  help: pip install 'cnnspec[")


def test_without_torch_what_needs_it_says_so(tmp_path: Path) -> None:
    prepare(tmp_path)
    found = outcomes(tmp_path, without={"torch"})
    missing = "MissingExtraError: this needs `torch`, which is not installed / pip install 'cnnspec[train]'"
    for name in ("build", "Spec", "train", "resume", "evaluate"):
        assert found[name] == missing
    assert found["export"] == f"{missing}; or `--no-verify` writes the file without the comparison"
    assert found["bench"] == "done"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which everything is there."""
    folder = tmp_path_factory.mktemp("trained")
    for name in ("begun", "done"):
        api.train("mlp", runs=folder / "runs", name=name, epochs=1, batch_size=512, threads=1, channels_last=False)
    api.export(folder / "runs" / "done", folder / "a.onnx")
    Image.new("L", (28, 28)).save(folder / "a.png")
    (folder / "net.yaml").write_text(SEARCHED)
    api.search(folder / "net.yaml", data="digits", name="made", searches=folder / "searches", progress=False)
    return folder


@pytest.mark.long
@pytest.mark.parametrize("package", [*EXTRAS, "nothing"])
def test_whichever_package_is_absent_it_is_named_or_not_needed(package: str, trained: Path) -> None:
    named = {"sklearn": "scikit-learn", "PIL": "pillow"}.get(package, package)
    for name, outcome in outcomes(trained, without={package}).items():
        assert outcome == "done" or outcome.startswith(f"MissingExtraError: this needs `{named}`"), (name, outcome)
