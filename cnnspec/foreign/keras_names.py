"""Names for the layers of a Keras model: what their own names begin with together is a scope.

Keras writes a path into a name (`conv2_block1_1_conv`). Where it made the names up itself (`conv2d_17`) they say nothing,
and the places where one tensor passes tell the scopes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.foreign.cuts import parts_of, words_in, with_names
from cnnspec.foreign.network import Call
from cnnspec.foreign.primitives import Affine, Padded, Primitive, Reduced

__all__ = ["named_by_layers"]

_PATH: Final = re.compile(r"(.*?\d+[a-z]?)_(?=.)")  # up to the first word with a number in it
_FEWEST: Final = 3  # calls that are worth a scope
_WORDS: Final = {Padded: "pad", Affine: "scale", Reduced: "pool"}


@dataclass
class _Group:
    """Calls in a row that stand in one scope, whose name may be said by their names."""

    scope: str
    calls: list[Call]
    branches: bool


def named_by_layers(
    calls: Sequence[Call], outputs: Sequence[str], made_up: Collection[str]
) -> tuple[list[Call], dict[str, str]]:
    """The calls under their new names, and these by the old ones. Of layers in `made_up` the names say nothing."""
    names: dict[str, str] = {}
    plain: list[Call] = []
    stage, block, size = 0, 0, None
    for group in _groups(parts_of(calls, outputs), made_up):
        if group.scope and len(group.calls) >= _FEWEST:
            names.update((call.name, f"{group.scope}.{call.name[len(group.scope) + 1 :]}") for call in group.calls)
            size = None
        elif group.branches and not group.scope:
            shape = group.calls[-1].shape
            here = shape[1:] if shape else None
            if here != size or size is None:
                stage, block, size = stage + 1, 0, here
            names.update(words_in(f"stage{stage}.{block}", group.calls, _word))
            block += 1
        else:
            plain += group.calls
            size = None
    said = [call for call in plain if not _says_nothing(call, made_up)]
    names.update((call.name, call.name) for call in said)
    rest = words_in("", [call for call in plain if _says_nothing(call, made_up)], _word)
    used = Counter(names.values())
    names.update((name, word if not used[word] else f"{word}_") for name, word in rest)
    return with_names(calls, names), names


def _groups(parts: Sequence[list[Call]], made_up: Collection[str]) -> list[_Group]:
    groups: list[_Group] = []
    for part in parts:
        scope = "" if any(_says_nothing(call, made_up) for call in part) else _scope([call.name for call in part])
        last = groups[-1] if groups else None
        shared = _shared(last.scope, scope) if last and last.scope and scope else ""
        if last is not None and shared:
            last.scope, last.branches = shared, last.branches or len(part) > 1
            last.calls += part
        else:
            groups.append(_Group(scope, list(part), len(part) > 1))
    return groups


def _scope(names: Sequence[str]) -> str:
    """What names of layers say of the scope that these are in."""
    if any("." in name for name in names):
        return ""
    if len(names) == 1:
        found = _PATH.match(names[0])
        return found[1] if found else ""
    words = [name.split("_") for name in names]
    count = 0
    while all(len(each) > count + 1 for each in words) and len({each[count] for each in words}) == 1:
        count += 1
    return "_".join(words[0][:count])


def _shared(one: str, other: str) -> str:
    """The outer of two scopes of which one is in the other."""
    if f"{one}_".startswith(f"{other}_"):
        return other
    return one if f"{other}_".startswith(f"{one}_") else ""


def _says_nothing(call: Call, made_up: Collection[str]) -> bool:
    return call.name in made_up


def _word(call: Call) -> str:
    """What a call may be called where its layer's name says nothing."""
    op = call.op
    if op is None:
        return call.source_op.lower()
    if isinstance(op, Primitive):
        return _WORDS.get(type(op), call.source_op.lower())
    return _OURS.get(type(op).__name__, type(op).__name__.lower())


_OURS: Final = {"BatchNorm": "bn", "LayerNorm": "norm", "LayerNorm2d": "norm", "Concat": "cat", "Linear": "fc"}
