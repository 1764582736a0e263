"""The package as Python programs and notebooks see it."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from training.small_runs import OPTIONS, TEXT

import cnnspec
from cnnspec import api
from cnnspec.errors import MissingExtraError
from cnnspec.training.progress import listening

PAGE = (Path(__file__).parents[1] / "docs" / "python.md").read_text("utf-8")
WRONG = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(4, kernal_size=3)\n  - Cnv2d(6, 16, 5)\n"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_spec_error_as_a_text_is_what_check_prints(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(WRONG)
    command = [sys.executable, "-m", "cnnspec", "inspect", "wrong.yaml"]
    printed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stderr
    with pytest.raises(cnnspec.SpecError) as caught:
        cnnspec.loads(WRONG, path="wrong.yaml")
    assert len(caught.value.diagnostics) > 1
    assert str(caught.value) + "\n" == printed
    assert "\n" not in caught.value.message


def test_the_page_runs_and_shows_what_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    given: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    for block in blocks:
        capsys.readouterr()
        exec(block, given)
        printed = capsys.readouterr().out
        for shown in re.findall(r"# (<.*>)$", block, re.MULTILINE):
            assert re.sub(r"[\d.]+%", "", shown) in re.sub(r"[\d.]+%", "", printed)
        if "error" in block:
            (text,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
            assert printed == text
    assert len(blocks) == 4


def test_public_objects_say_in_one_line_what_they_are(tmp_path: Path) -> None:
    from PIL import Image

    spec = cnnspec.loads(TEXT)
    result = api.train(spec, runs=tmp_path, name="a", **{**OPTIONS, "epochs": 1})
    exported = api.export(result.run, tmp_path / "a.onnx")
    predictor = cnnspec.Predictor(tmp_path / "a.onnx", device="cpu")
    run = api.open_run(result.run)
    shown = [
        *(spec, spec.source, spec.graph, spec.analyze(), spec.analyze().layers[0], spec.explain("conv")),
        *(run, run.network, run.config, result, exported, api.verify(tmp_path / "a.onnx")),
        *(predictor, predictor(Image.new("L", (8, 8)))[0], api.evaluate(run), api.Shared()),
        *(api.check("lenet5"), api.diff("resnet18", "resnet34"), api.sizes("lenet5")),
        api.bench(spec, batches=(1,), threads=(1,), seconds=0.01, torch=False),
    ]
    for one in shown:
        assert len(repr(one)) < 300 + len(str(tmp_path)), repr(one)
        assert "\n" not in repr(one)
        assert " object at 0x" not in repr(one)
    assert repr(run.network) == "<Network of small: 1x8x8 to 10, 7 layers>"


def test_a_spec_in_a_notebook_is_its_page_in_a_frame_or_its_table() -> None:
    spec = cnnspec.loads('cnnspec: 1\nname: n\ninput: [1, 8, 8]\nlayers: {c-b: "Conv2d(4, 3)"}\n')
    frame = spec._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts"')
    assert frame.count("<") == 2
    page = unescape(frame.partition('srcdoc="')[2].rpartition('"></iframe>')[0])
    assert page == api.draw_bytes(spec, "html").decode()
    large = cnnspec.load("efficientnet_b0", variant="efficientnet_b7")._repr_html_()
    assert large.startswith("<table>")


def test_without_pandas_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match="needs `pandas`") as caught:
        cnnspec.load("lenet5").analyze().to_pandas()
    assert caught.value.hint == "pip install pandas"


def train(folder: Path, **options: object) -> None:
    cnnspec.train(cnnspec.loads(TEXT), runs=folder, **{**OPTIONS, "epochs": 2, **options})


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    monkeypatch.setattr(sys, "stderr", stream)


def in_a_notebook(monkeypatch: pytest.MonkeyPatch, stream: io.StringIO) -> None:
    shell = SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]
    monkeypatch.setattr(sys, "stdout", stream)


@pytest.mark.parametrize("where", [on_a_terminal, in_a_notebook])
def test_training_is_shown_to_a_person_unless_unwanted(
    where: Callable[[pytest.MonkeyPatch, io.StringIO], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = Terminal()
    where(monkeypatch, stream)
    train(tmp_path)
    assert [line[:9] for line in stream.getvalue().splitlines()][1:] == ["epoch   1", "epoch   2"]
    for unwanted in (None, False):
        with listening(unwanted) as progress:
            assert progress is None


def test_training_is_silent_where_nobody_looks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_running_epoch_is_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Terminal()
    on_a_terminal(monkeypatch, stream)
    monkeypatch.setenv("COLUMNS", "80")
    with listening(True) as progress:
        assert progress is not None
        progress.step(1, 3, 400, 1000, 0.75, 100.0)
        progress.message("a word")
        progress.step(1, 3, 500, 1000, 0.5, 100.0)
    first = "epoch 1/3   40%  loss 0.7500  100/s  0:00:26 left"
    second = "epoch 1/3   50%  loss 0.5000  100/s  0:00:25 left"
    blank = " " * len(first)
    assert stream.getvalue() == f"\r{first}\r{blank}\ra word\n\r{second}\r{blank}\r"
