"""Every heading of a table and every key of a document has an entry, and the formulas are those of the program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cli.cli_calls import call

import cnnspec
from cnnspec.cli.render.report import COLUMNS, CSV_COLUMNS
from cnnspec.glossary import explain_term, names_of, page

BRANCHES = """cnnspec: 1
name: branches
input: [3, 16, 16]
layers:
  cat:
    concat:
      - Conv2d(4, 3, padding=1)
      - Conv2d(4, 5, padding=2)
  relu: ReLU
  again: ReLU
"""


def keys(document: object) -> Iterator[str]:
    """Every key of a document, however deep."""
    if isinstance(document, dict):
        for key, value in document.items():
            yield key
            yield from keys(value)
    elif isinstance(document, list):
        for value in document:
            yield from keys(value)


def reported() -> set[str]:
    """The keys of reports, of either purpose, with fields of channels and with findings."""
    spec = cnnspec.loads(BRANCHES)
    report = spec.analyze()
    assert report.layers[-1].channel_fields
    findings = tuple(spec.lint(report=report))
    assert findings
    documents = [
        replace(report, findings=findings).to_dict(),
        cnnspec.load("lenet5").analyze(purpose="train").to_dict(),
    ]
    return {key for document in documents for key in keys(document)}


def test_every_word_of_a_table_and_every_key_is_explained() -> None:
    words = reported() | set(CSV_COLUMNS) | {column.heading for column in COLUMNS} | {"total"}
    assert len(words) > 60
    assert [word for word in sorted(words) if explain_term(word) is None] == []


def test_a_name_stands_for_one_entry() -> None:
    names = [name.lower() for title, names in names_of().items() for name in dict.fromkeys((title.lower(), *names))]
    assert sorted(names) == sorted(set(names))
    assert set(re.findall(r"\(#([\w-]+)\)", page().read_text("utf-8"))) <= {
        title.lower().replace(",", "").replace(" ", "-") for title in names_of()
    }


@pytest.mark.parametrize("words", ["receptive field", "receptive_field", "Receptive-Field", "field"])
def test_a_word_is_found_however_it_is_written(words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("explain", words) == 0
    assert capsys.readouterr().out.startswith("# Receptive field\n\n`field`")
    assert call("explain", *words.split()) == 0  # without quotes


def test_a_slip_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("explain", "receptive feild") == 2
    assert "did you mean `Receptive field`?" in capsys.readouterr().err
    assert call("explain", "global") == 2
    assert "did you mean `Global context`?" in capsys.readouterr().err


def test_the_list_has_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert call("explain") == 0
    out = capsys.readouterr().out
    assert all(title in out for title in names_of())


def test_the_formulas_are_those_of_the_program() -> None:
    spec = cnnspec.load("lenet5")
    report = spec.analyze(batch=8, precision="bf16")
    before, conv = report.layer("S2"), report.layer("C3")  # 5x5, stride 1
    assert conv.receptive_field[0] == before.receptive_field[0] + (5 - 1) * 1 * before.effective_stride[0]
    assert conv.effective_stride[0] == before.effective_stride[0] * 1
    assert conv.params == 16 * 6 * 5 * 5 + 16
    assert conv.macs == (16 * 10 * 10) * 6 * 5 * 5
    assert conv.output_bytes == 8 * 16 * 10 * 10 * 2
    assert report.totals.param_bytes == 4 * report.totals.params
    first = report.layer("C1")  # padding 2, on the input
    assert first.effective_padding[0] == 0 + 2 * 1


@pytest.mark.parametrize(("optimizer", "bytes_each"), [("sgd", 0), ("sgd-momentum", 4), ("adam", 8), ("adamw", 8)])
def test_the_optimizers_state_is_as_told(optimizer: str, bytes_each: int) -> None:
    report = cnnspec.load("mlp").analyze(optimizer=optimizer)
    assert report.memory.training is not None
    rest = report.memory.training.optimizer - bytes_each * report.totals.params
    assert 0 <= rest <= 8 * 2 * len(report.layers)  # a counter for each tensor


def test_an_installed_package_has_the_page() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    assert '"docs/glossary.md" = "cnnspec/_glossary.md"' in text
