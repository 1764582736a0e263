"""What people would call things: blocks after their class, parameters after what they are given to."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container, Sequence
from typing import Final

from cnnspec.language.functions import FUNCTIONS
from cnnspec.ops import operators
from cnnspec.outline.expressions import Param
from cnnspec.outline.kinds import CHANNELS
from cnnspec.outline.places import free

__all__ = ["block_name", "name_params"]

_ARGUMENTS: Final = {
    "out_channels": "out",
    "out_features": "out",
    "kernel_size": "k",
    "num_groups": "groups",
    "output_size": "size",
    "elementwise_affine": "affine",
}
_ENDS: Final = ("start", "end")  # of a slice: channels that say by themselves what they are
_KEPT: Final = frozenset({"in_channels", "in_features", "input", "i", *FUNCTIONS})


def block_name(kind: str | None, path: Sequence[str], used: Container[str]) -> str:
    """The name of a block: its class, or the words of its path."""
    word = kind
    if not word:
        words = [part for part in path if not part.isdecimal()] or ["block"]
        word = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^A-Za-z0-9]+", words[-1]))
        word = word.rstrip("0123456789")
    name = re.sub(r"\W+", "_", word, flags=re.ASCII).strip("_") or "Block"
    name = name[:1].upper() + name[1:]
    if not name[0].isalpha():
        name = f"Block{name}"
    if name in operators() or keyword.iskeyword(name):
        name = f"{name}Block"
    found, number = name, 1
    while found in used or found in operators():
        number += 1
        found = f"{name}{number}"
    return found[:100]


def param_name(argument: str, used: Container[str]) -> str:
    """The name of a parameter that is given to this argument."""
    name = re.sub(r"\W+", "_", _ARGUMENTS.get(argument, argument), flags=re.ASCII)
    if not name[:1].isalpha() or keyword.iskeyword(name) or name in _KEPT:
        name = f"p_{name}"
    return free(name, used)


def name_params(params: Sequence[Param], out_channels: Sequence[object]) -> None:
    """Give parameters their names: channels by the part that they play, others by what they are given to."""
    used = {"depths"}
    channels = [param for param in params if param.kind == CHANNELS]
    out = [param for param in channels if list(param.values) == list(out_channels)]
    for param in out[:1]:
        param.name = "out"
        used.add("out")
    rest = [param for param in channels if not param.name]
    for param in rest:
        word = param.argument if param.argument in _ENDS else "hidden" if len(rest) == 1 else _place(param)
        param.name = param_name(word, used)
        used.add(param.name)
    for param in params:
        if not param.name:
            param.name = param_name(_word(param, params), used)
            used.add(param.name)


def _place(param: Param) -> str:
    """Where a parameter is first given, by the names on the way."""
    return "_".join(_told(param.path)) or "_".join(("out", *filter(str.isdecimal, param.path)))


def _told(path: Sequence[str]) -> list[str]:
    """The names among the parts of a path; of copies, what theirs have in common."""
    bare = (re.sub(r"_?\{[^}]*\}_?", "", part) for part in path)
    return [part for part in bare if part and not part.isdecimal()]


def _word(param: Param, params: Sequence[Param]) -> str:
    if param.kind == "flag":
        if last := _told(param.path[-1:]):
            return last[0]
        return param.argument or "_".join(("with", *_told(param.path)))
    word = _ARGUMENTS.get(param.argument, param.argument)
    alike = [other for other in params if _ARGUMENTS.get(other.argument, other.argument) == word]
    if len(alike) == 1 or alike[0] is param:
        return word
    return f"{word}_{_place(param)}"
