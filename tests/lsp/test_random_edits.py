"""Texts that are edited at random: no request fails, and the server's text is the editor's, letter by letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from editing_client import URI, Client, running
from typist import Typist

import cnnspec
from cnnspec import zoo
from cnnspec.analysis.check import check
from cnnspec.errors import CnnspecError
from cnnspec.language.spec_source import read_source
from cnnspec.ops import show_shape
from cnnspec.places import Diagnostic, split_lines
from cnnspec.training.config import spec_faults

FEW = ("lenet5", "unet", "m5")
DOCUMENT = {"textDocument": {"uri": URI}}
ABOUT_TEXTS = ("documentSymbol", "foldingRange", "codeLens", "semanticTokens/full")
AT_PLACES = ("hover", "completion", "signatureHelp", "definition", "prepareRename")


def ask_something(client: Client, typist: Typist) -> None:
    """One request of any kind at any place; an error in the answer fails."""
    draw = typist.draw
    start, end = typist.somewhere(), typist.somewhere()
    kind = draw.randrange(5)
    if kind == 0:
        client.ask(f"textDocument/{draw.choice(ABOUT_TEXTS)}", DOCUMENT)
    elif kind == 1:
        client.ask(f"textDocument/{draw.choice(AT_PLACES)}", {**DOCUMENT, "position": start})
    elif kind == 2:
        client.ask("textDocument/codeAction", {**DOCUMENT, "range": span(start, end), "context": {"diagnostics": []}})
    elif kind == 3:
        where = {**DOCUMENT, "position": start}
        client.ask("textDocument/references", {**where, "context": {"includeDeclaration": draw.random() < 0.5}})
        answer = client.answer("textDocument/rename", {**where, "newName": draw.choice(["width", "x", "ReLU", "é"])})
        assert "error" not in answer or "cannot be the name" in answer["error"]["message"], answer
    else:
        client.ask("textDocument/formatting", {**DOCUMENT, "options": {"tabSize": 2, "insertSpaces": True}})


def span(start: dict[str, int], end: dict[str, int]) -> dict[str, Any]:
    first, last = sorted((start, end), key=lambda each: (each["line"], each["character"]))
    return {"start": first, "end": last}


def found_in(text: str) -> list[tuple[str, str]]:
    """What the command line finds: codes, and how messages begin."""
    source = read_source("net.cnnspec.yaml", text.encode("utf-8", "surrogatepass"))
    variant = None if source.stands_alone else next(iter(source.document.variants))
    outcome, faults = source.outcome(variant=variant), spec_faults(source)
    if outcome.graph is not None:
        found = [*check(source, faults).diagnostics]
    else:
        found = sorted([*outcome.diagnostics, *faults], key=Diagnostic.order)
    return [(each.code, each.message) for each in found]


def hints_of(text: str) -> list[str]:
    """What `inspect` says of each line, as hints have it: first and last layer of a line, and how many."""
    spec = cnnspec.loads(text)
    written = split_lines(text)
    lines: dict[int, list[str]] = {}
    for row in spec.analyze(purpose="train").layers:
        if row.op in ("Add", "Mul", "Concat") and row.op not in written[(row.line or 1) - 1]:
            continue  # branches that are joined: shown where their block is called
        said = show_shape(row.output_shape)
        lines.setdefault(row.line or 0, []).append(said + (f"  rf {row.field_text}" if row.field_text != "-" else ""))
    found = []
    for _, rows in sorted(lines.items()):
        more = f" … {rows[-1]}" if set(rows) != {rows[0]} else ""
        found.append(f"→ {rows[0]}{more}" + (f"  ×{len(rows)}" if len(rows) > 1 else ""))
    return found


def held(client: Client, typist: Typist, version: int) -> None:
    """The server's findings are those of the editor's text; so are its hints, where it has no errors."""
    told = [(each["code"], each["message"].partition("\n")[0]) for each in client.diagnostics(version)]
    wanted = found_in(typist.text)
    assert told == [(code, message.partition("\n")[0]) for code, message in wanted]
    if all(code.startswith("W") for code, _ in wanted):
        try:
            hints = hints_of(typist.text)
        except CnnspecError:  # it needs a variant to be chosen
            return
        shown = client.hints()
        assert [each for each in hints if each not in shown] == []


def edited(name: str, count: int, seed: int, log: Path) -> None:
    typist = Typist(zoo.find(name)[0].read_text("utf-8"), seed)
    with log.open("wb") as stderr, running(stderr) as client:
        client.open(typist.text)
        version, made = 1, 0
        while made < count:
            burst = typist.draw.choice((1, 1, 1, 2, 4))
            version += 1
            client.edit(version, *(typist.edit() for _ in range(burst)))
            made += burst
            ask_something(client, typist)
            if typist.draw.random() < 0.1:
                held(client, typist, version)
        client.edit(version + 1, typist.to(typist.good))
        held(client, typist, version + 1)
    assert log.read_text() == ""


@pytest.mark.parametrize("name", FEW)
def test_a_hundred_edits(name: str, tmp_path: Path) -> None:
    edited(name, 100, 1, tmp_path / "log")


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(path.stem for path in zoo.bundled().values()))
def test_many_edits_of_every_bundled_text(name: str, tmp_path: Path) -> None:
    edited(name, EACH, 2, tmp_path / "log")


EACH = 20_000 // len(zoo.bundled()) + 1
