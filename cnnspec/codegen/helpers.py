"""Functions and classes that a source may need and torch does not have. Their texts are those that we run ourselves."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Container
from functools import cache
from pathlib import Path
from typing import Final

from cnnspec.language.functions import make_divisible

__all__ = ["helper_names", "helpers"]

_MODULES: Final = Path(__file__).parent.parent / "torch_backend" / "modules.py"  # read, not imported: it needs torch

_FUNCTION: Final = '''\
class Function(nn.Module):
    """A function of a tensor as a module."""

    def __init__(self, function, *arguments, **named):
        super().__init__()
        self.function, self.arguments, self.named = function, arguments, named

    def forward(self, input: Tensor) -> Tensor:
        return self.function(input, *self.arguments, **self.named)
'''
_SLICE: Final = '''\
class Slice(nn.Module):
    """Of the axis `dim` what lies from `start` up to `end`."""

    def __init__(self, start, end, dim=1):
        super().__init__()
        self.start, self.end, self.dim = start, end, dim

    def forward(self, input: Tensor) -> Tensor:
        return input[(slice(None),) * self.dim + (slice(self.start, self.end),)]
'''
_JOINED: Final = '''\
class {name}(nn.Sequential):
    """Modules side by side: all read the input, and what they give is {done}."""

    def forward(self, input: Tensor) -> Tensor:
{body}
'''
_FOLDED: Final = """\
        first, *others = [module(input) for module in self]
        for other in others:
            first = first {sign} other
        return first"""


@cache
def _texts() -> dict[str, str]:
    own = {
        "Function": _FUNCTION,
        "Slice": _SLICE,
        "Added": _JOINED.format(name="Added", done="added", body=_FOLDED.format(sign="+")),
        "Multiplied": _JOINED.format(name="Multiplied", done="multiplied", body=_FOLDED.format(sign="*")),
        "Concatenated": _JOINED.format(
            name="Concatenated",
            done="concatenated",
            body="        return torch.cat([module(input) for module in self], 1)",
        ),
        "make_divisible": _make_divisible(),
    }
    text = re.sub(r"  # type: ignore.*", "", _MODULES.read_text("utf-8"))
    modules = {
        node.name: f"{ast.get_source_segment(text, node)}\n"
        for node in ast.parse(text).body
        if isinstance(node, (ast.ClassDef, ast.FunctionDef))
    }
    return {**own, **modules}


def _make_divisible() -> str:
    """The language's function, without what it refuses."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(make_divisible)))
    (function,) = tree.body
    assert isinstance(function, ast.FunctionDef)
    doc = ast.get_docstring(function) or ""
    return (
        "def make_divisible(v, d=8, min=None):\n"
        f'    """{doc}"""\n'
        "    least = d if min is None else min\n"
        "    rounded = max(least, int(v + d / 2) // d * d)\n"
        "    return rounded + d if rounded < 0.9 * v else rounded\n"
    )


def helper_names() -> frozenset[str]:
    """What there is."""
    return frozenset(_texts())


def helpers(needed: Container[str]) -> list[str]:
    """The texts of these functions and classes, and of those that they call themselves."""
    texts = _texts()
    waiting = [name for name in texts if name in needed]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            used = {node.id for node in ast.walk(ast.parse(texts[name])) if isinstance(node, ast.Name)}
            waiting += sorted(used & texts.keys())
    return [texts[name] for name in sorted(found)]
