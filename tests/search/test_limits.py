"""Limits as people write them, and verdicts on networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cnnspec
from cnnspec.errors import UsageError
from cnnspec.language.figures import FIGURES, parse_limit, show_figure


@pytest.mark.parametrize(
    ("figure", "written", "bound", "least"),
    [
        ("params", "500k", 500_000, False),
        ("params", 61706, 61706, False),
        ("macs", "20M", 20e6, False),
        ("flops", "<= 1.5 G", 1.5e9, False),
        ("peak", "1MB", 1e6, False),
        ("peak", "1MiB", 2**20, False),
        ("size", "64 kib", 2**16, False),
        ("latency", "2ms", 0.002, False),
        ("latency", "500µs", 0.0005, False),
        ("field", ">= 28", 28, True),
        ("field", "<= 64px", 64, False),
        ("macs", ">= 1k", 1000, True),
    ],
)
def test_a_limit_is_a_number_with_its_unit(figure: str, written: object, bound: float, least: bool) -> None:
    limit = parse_limit(figure, written)
    assert (limit.figure, limit.bound, limit.least) == (figure, pytest.approx(bound), least)


@pytest.mark.parametrize(
    ("figure", "written", "words"),
    [
        ("parms", "5k", "there is no limit on `parms`"),
        ("params", "5MB", "has the unit `MB`"),
        ("peak", "20M", "has the unit `M`"),
        ("peak", 1_000_000, "has no unit"),
        ("latency", 2, "has no unit"),
        ("latency", "2 min", "has the unit `min`"),
        ("field", 28, "says which way"),
        ("params", "many", "is no limit"),
        ("params", "-5", "is no limit"),
        ("params", 0, "above 0"),
        ("params", True, "a number with its unit"),
        ("params", [1], "a number with its unit"),
        ("params", "9" * 100, "is no limit"),
    ],
)
def test_what_is_no_limit_is_told(figure: str, written: object, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        parse_limit(figure, written)
    assert caught.value.hint


def test_figures_are_shown_in_the_unit_that_fits() -> None:
    shown = [show_figure("params", 999), show_figure("macs", 416_520), show_figure("peak", 1e6)]
    assert shown == ["999", "416.5 k", "1 MB"]
    assert [show_figure("latency", 0.0021), show_figure("field", 28)] == ["2.1 ms", "28"]


@pytest.mark.parametrize("stem", ["lenet5", "simple_cnn", "mlp", "resnet18", "googlenet", "unet", "m5", "c3d"])
def test_a_verdict_has_the_figures_of_the_analysis(stem: str) -> None:
    spec = cnnspec.load(stem)
    report = spec.analyze()
    figures, violations = cnnspec.judge(spec, {})
    totals = report.totals
    assert not violations
    assert (figures.params, figures.macs, figures.flops) == (totals.params, totals.macs, totals.flops)
    assert (figures.peak, figures.size, figures.training) == (
        totals.peak_inference_bytes, totals.param_bytes, totals.training_bytes,
    )  # fmt: skip
    rows = [row for row in report.layers if len(row.output_shape) > 1]  # maps, and no vectors
    maps = [row.receptive_field for row in rows if not row.sees_everything]
    assert totals.receptive_field == (maps[-1] if maps else ())
    assert figures.field == (min(maps[-1]) if maps and maps[-1] else None)


def test_violations_say_by_how_much_the_worst_first() -> None:
    verdict = cnnspec.judge("lenet5", {"params": "50k", "macs": 208_260, "field": ">= 56", "peak": "1MB"})
    assert [violation.limit.figure for violation in verdict.violations] == ["macs", "field", "params"]
    field = min(cnnspec.load("lenet5").analyze().layer("C5").receptive_field)
    excesses = [violation.excess for violation in verdict.violations]
    assert excesses == pytest.approx([1.0, (56 - field) / 56, 11_706 / 50_000])
    assert str(verdict.violations[0]) == "macs is 416.5 k, and the limit macs <= 208.3 k"
    assert not verdict.fits
    assert cnnspec.judge("lenet5", {"params": 61_706, "macs": 416_520, "field": ">= 16"}).fits


def test_who_sees_the_whole_input_sees_without_end() -> None:
    assert cnnspec.judge("mlp", {"field": ">= 1000"}).fits
    assert not cnnspec.judge("mlp", {"field": "<= 1000"}).fits


def test_a_limit_on_what_is_measured_is_not_judged() -> None:
    with pytest.raises(UsageError, match="follows from no declaration"):
        cnnspec.judge("mlp", {"latency": "2ms"})


def test_a_verdict_and_a_screen_import_neither_torch_nor_optuna() -> None:
    script = (
        "import sys, cnnspec; from cnnspec import api; cnnspec.judge('lenet5', {'params': '500k'});"
        "spec = cnnspec.loads(sys.stdin.read()); api.screen(spec, sample=3);"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    from search_support import SPEC

    done = subprocess.run([sys.executable, "-c", script], input=SPEC, capture_output=True, text=True, check=True)
    assert {"torch", "optuna", "onnx", "onnxruntime", "numpy"}.isdisjoint(done.stdout.split())


def test_a_screen_on_the_command_line_needs_no_optuna(tmp_path: Path) -> None:
    from search_support import SPEC

    (tmp_path / "net.yaml").write_text(SPEC)
    script = (
        "import sys; sys.modules['optuna'] = sys.modules['torch'] = None; from cnnspec.cli import main;"
        "main(['search', 'screen', 'net.yaml', '--sample', '5'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "5 of them, drawn at random" in done.stdout


def test_every_figure_has_a_meaning_and_a_place() -> None:
    figures, _ = cnnspec.judge("lenet5", {})
    assert figures.to_dict().keys() == FIGURES.keys()
