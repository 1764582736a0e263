"""Short ways to say a spec and to look at what comes of it."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

import cnnspec
from cnnspec.errors import Diagnostic, SpecError
from cnnspec.graph import Graph

HEAD = "cnnspec: 1\ninput: [3, 32, 32]\n"


def graph(body: str, head: str = HEAD, path: str = "net.yaml", **settings: Any) -> Graph:
    """The graph of a spec without its header."""
    return cnnspec.loads(head + dedent(body), path=path, **settings).graph


def rows(body: str, **settings: Any) -> list[tuple[str, str, tuple[str, ...]]]:
    """Name, operator and reads of every node."""
    return [(node.name, node.op.op_name, node.inputs) for node in graph(body, **settings)]


def found(body: str, head: str = HEAD, path: str = "net.yaml", **settings: Any) -> list[Diagnostic]:
    """Everything that is wrong with a spec."""
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(head + dedent(body), path=path, **settings)
    return caught.value.diagnostics


def codes(body: str, **settings: Any) -> list[str]:
    """The codes of everything that is wrong with a spec."""
    return [diagnostic.code for diagnostic in found(body, **settings)]


def marked(text: str, path: str = "net.yaml") -> list[tuple[str, str]]:
    """The code of every error, and the part of the text that its caret is under."""
    with pytest.raises(SpecError) as caught:
        cnnspec.loads(text, path=path)
    lines = text.splitlines()
    out = []
    for diagnostic in caught.value.diagnostics:
        place = diagnostic.place
        assert place is not None
        out.append((diagnostic.code, lines[place.line - 1][place.column - 1 : place.column - 1 + place.length]))
    return out
