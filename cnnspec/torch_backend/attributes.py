"""Layers named by a word of Python's, as `if`: torch.fx writes `self.if`, which is no Python."""

from __future__ import annotations

import keyword
import re
from typing import Any, Final

import torch
from torch import fx

from cnnspec.graph import Graph

__all__ = ["empty_graph"]

_WORDS: Final = frozenset(keyword.kwlist)
_TEXT_OR_WORD: Final = re.compile(
    rf"""'[^']*'|"[^"]*"|\.(?P<word>{"|".join(keyword.kwlist)})\b"""
)  # no name has a quote


def empty_graph(graph: Graph) -> fx.Graph:
    """A graph for the layers of `graph`, whose source reaches all of them, and so does that of pickled copies."""
    if not any(not _WORDS.isdisjoint(node.name.split(".")) for node in graph):
        return fx.Graph()
    return _reaching(fx.Graph(tracer_cls=WordTracer))


class WordTracer(fx.Tracer):
    """What a pickled module is traced with when it comes back."""

    def trace(self, root: torch.nn.Module | Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        """The graph of a module, whose source reaches layers that are named by words of Python's."""
        return _reaching(super().trace(root, concrete_args))


def _reaching(graph: fx.Graph) -> fx.Graph:
    graph.on_generate_code(lambda _: _spelled)
    return graph


def _spelled(lines: list[str]) -> list[str]:
    """Lines of source with `getattr(self, "if")` for `self.if`."""
    return [_with_getattr(line) for line in lines]


def _with_getattr(line: str) -> str:
    place = 0
    while (found := _TEXT_OR_WORD.search(line, place)) is not None:
        place = found.end()
        if found["word"] is not None:  # and no text, as the name of an output
            place = _start(line, found.start())
            line = f'{line[:place]}getattr({line[place : found.start()]}, "{found["word"]}"){line[found.end() :]}'
    return line


def _start(line: str, end: int) -> int:
    """Where the expression begins that ends at `end`: names, dots, and calls with all that is in their brackets."""
    place, depth = end, 0
    while place and (depth or re.match(r"[\w.()]", line[place - 1]) is not None):
        place -= 1
        depth += (line[place] == ")") - (line[place] == "(")
        if depth < 0:
            return place + 1
    return place
