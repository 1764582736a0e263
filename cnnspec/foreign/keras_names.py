"""Names for the layers of a Keras model: what their own names begin with together is a scope.

Keras writes a path into a name (`conv2_block1_1_conv`). Where it made the names up itself (`conv2d_17`) they say
nothing, and the places where one tensor passes tell the scopes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from cnnspec.foreign.cuts import parts_of, with_names, words_in
from cnnspec.foreign.keras_config import KerasLayer
from cnnspec.foreign.network import Call
from cnnspec.foreign.primitives import Affine, Padded, Primitive, Reduced

__all__ = ["is_made_up", "named_by_layers"]

_PATH: Final = re.compile(r"(.*?\d+[a-z]?)(?:_|$)")  # up to the first word with a number in it
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
) -> tuple[list[Call], dict[str, str], dict[str, str]]:
    """The calls under their new names, these by the old ones, and of what kind each scope is.

    Of layers in `made_up` the names say nothing.
    """
    names: dict[str, str] = {}
    kinds: dict[str, str] = {}
    plain: list[Call] = []
    stage, block, size = 0, 0, None
    for group in _groups(parts_of(calls, outputs), made_up):
        if group.scope and len(group.calls) >= _FEWEST:
            names.update(_names_in(group))
            kinds[group.scope] = kind_of(group.scope)
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
    return with_names(calls, names), names, kinds


def _groups(parts: Sequence[list[Call]], made_up: Collection[str]) -> list[_Group]:
    """What stands together: a block that branches, with what is called like it before and behind; else a row of layers
    whose names begin alike, with blocks inside that are called so too."""
    groups = [_Group(_scope(part, made_up), list(part), len(part) > 1) for part in parts]
    for before, group, behind in zip(groups, groups[1:], groups[2:], strict=False):
        if not group.scope and not group.branches and _says_nothing(group.calls[0], made_up):
            group.scope = _in_a_row(before, behind)  # an activation between layers of one block
    for near in (_called_alike, _in_a_row):
        joined: list[_Group] = []
        for group in groups:
            scope = near(joined[-1], group) if joined else ""
            if scope:
                last = joined[-1]
                last.scope, last.branches = scope, last.branches or group.branches
                last.calls += group.calls
            else:
                joined.append(group)
        groups = joined
    return groups


def _names_in(group: _Group) -> dict[str, str]:
    """The names of a scope's calls: what theirs say behind its own, and of what they are where they say nothing."""
    start = len(group.scope) + 1
    said = [call for call in group.calls if call.name.startswith(f"{group.scope}_")]
    names = {call.name: f"{group.scope}.{call.name[start:]}" for call in said}
    used = set(names.values())
    for name, word in words_in(group.scope, [call for call in group.calls if call.name not in names], _word):
        names[name] = f"{word}_" if word in used else word
    return names


def _called_alike(one: _Group, other: _Group) -> str:
    """The scope of a block that a layer beside it is called after."""
    for block, layer in ((one, other), (other, one)):
        if block.branches and block.scope and all(call.name.startswith(f"{block.scope}_") for call in layer.calls):
            return block.scope
    return ""


def _in_a_row(one: _Group, other: _Group) -> str:
    """The scope of layers that are called alike."""
    first, second = one.scope, other.scope
    if not first or not second or (one.branches and other.branches):
        return ""
    if f"{first}_".startswith(f"{second}_"):
        return second
    return first if f"{second}_".startswith(f"{first}_") else ""


def _scope(part: Sequence[Call], made_up: Collection[str]) -> str:
    """What the names of layers say of the scope that these are in."""
    names = [call.name for call in part if not _says_nothing(call, made_up)]
    if not names or any("." in name for name in names):
        return ""
    if len(names) == 1:
        found = _PATH.match(names[0])
        return found[1] if found else ""
    words = [name.split("_") for name in names]
    count = 0
    while all(len(each) > count + 1 for each in words) and len({each[count] for each in words}) == 1:
        count += 1
    return "_".join(words[0][:count])


def kind_of(scope: str) -> str:
    """What scopes that are numbered alike are called together: `Block` of `block4b`."""
    words = re.findall(r"[A-Za-z]{2,}", scope)
    return "".join(word[:1].upper() + word[1:] for word in words) or "Block"


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


def is_made_up(layer: KerasLayer) -> bool:
    """Whether Keras has made the name of a layer out of its class and a number."""
    word = re.sub(r"\W+", "", layer.kind)
    word = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", word)
    word = re.sub(r"([a-z])([A-Z])", r"\1_\2", word).lower()
    return not layer.scope and re.fullmatch(rf"{re.escape(word)}(_\d+)?", layer.path) is not None
