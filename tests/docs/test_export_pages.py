"""The pages about export and inference name only flags and metadata that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from cnnspec.cli import VERBS, app
from cnnspec.exporting.proof import MOST_MACS
from cnnspec.images import MAX_PIXELS
from cnnspec.onnx_backend.guard import MAX_NODES
from cnnspec.onnx_backend.options import DEFAULT_OPSET, MAX_OPSET, MIN_OPSET
from cnnspec.onnx_backend.verify import TOLERANCES

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("export.md", "inference.md")
COMMANDS = [
    (page, verb, rest)
    for page in PAGES
    for verb, rest in re.findall(r"cnnspec ([a-z]+)((?: [^`\n]*)?)", (DOCS / page).read_text("utf-8"))
    if verb in VERBS
]


def flags(verb: str) -> set[str]:
    group = typer.main.get_command(app)
    command = group.get_command(None, verb)  # type: ignore[attr-defined]
    return {option for param in command.params for option in (*param.opts, *param.secondary_opts)}


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 10
    assert {verb for _, verb, _ in COMMANDS} == {"export", "import", "verify", "predict", "serve", "doctor", "bench"}


@pytest.mark.parametrize(("page", "verb", "rest"), COMMANDS, ids=[f"{v}{r}"[:50] for _, v, r in COMMANDS])
def test_every_flag_of_a_command_exists(page: str, verb: str, rest: str) -> None:
    assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) <= flags(verb)


def test_the_options_in_the_table_are_those_of_export() -> None:
    table = re.findall(r"^\| (`--.*?) \|", (DOCS / "export.md").read_text("utf-8"), re.MULTILINE)
    named = {flag for row in table for flag in re.findall(r"--[a-z-]+", row)}
    assert len(named) == 9
    assert named <= flags("export")


def test_the_figures_are_those_of_the_program() -> None:
    export, inference = ((DOCS / page).read_text("utf-8") for page in PAGES)
    assert f"{MIN_OPSET} to {MAX_OPSET}; {DEFAULT_OPSET} by default" in export
    allowed = re.search(r"magnitude, is (\S+) in fp32 and (\S+) in fp16", export)
    assert allowed is not None
    assert {"fp32": float(allowed[1]), "fp16": float(allowed[2])} == TOLERANCES
    most = re.search(r"more than 10\^(\d+) multiply-accumulates", export)
    assert most is not None
    assert 10 ** int(most[1]) == MOST_MACS
    assert f"{MAX_NODES:,} nodes" in inference
    assert f"{MAX_PIXELS // 10**6} million pixels" in inference
