"""Names for the calls of a file that tells no scopes: by the places where one tensor passes.

Between two such places stands a layer by itself, or a block of several that branch. Blocks in a row whose maps have one
size are a stage. Within its scope a call is called after what it is, with a number where there are several.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

from cnnspec.foreign.network import Call
from cnnspec.foreign.primitives import Primitive
from cnnspec.graph import INPUT
from cnnspec.ops import Add, Concat

__all__ = ["named_by_cuts", "parts_of", "with_names", "words_in"]


def named_by_cuts(
    calls: Sequence[Call], outputs: Sequence[str], word: Callable[[Call], str]
) -> tuple[list[Call], dict[str, str]]:
    """The calls under their new names, and these by the old ones. Names stay where most of them say scopes.

    `word` is what a call may be called.
    """
    told = ["." in call.name for call in calls if call.weights]
    if 3 * told.count(True) > 2 * len(told):
        return list(calls), {}
    names: dict[str, str] = {}
    for scope, part in _scopes(parts_of(calls, outputs)):
        names.update(words_in(scope, part, word))
    return with_names(calls, names), names


def with_names(calls: Sequence[Call], names: Mapping[str, str]) -> list[Call]:
    """The calls under their new names."""
    return [
        replace(call, name=names[call.name], inputs=tuple(names.get(name, name) for name in call.inputs))
        for call in calls
    ]


def words_in(scope: str, part: Sequence[Call], word: Callable[[Call], str]) -> Iterator[tuple[str, str]]:
    """Names for the calls of a scope, by their own: words, with numbers where one is there several times."""
    words = [word(call) for call in part]
    counts, seen = Counter(words), Counter[str]()
    for call, each in zip(part, words, strict=True):
        seen[each] += 1
        name = f"{each}{seen[each]}" if counts[each] > 1 else each
        yield call.name, f"{scope}.{name}" if scope else name


def parts_of(calls: Sequence[Call], outputs: Sequence[str]) -> list[list[Call]]:
    """The calls between places where one tensor passes. A join's activation is part of its block."""
    last = {name: number for number, call in enumerate(calls) for name in call.inputs}
    last.update(dict.fromkeys(outputs, len(calls)))
    alive = {INPUT} & set(last)
    parts: list[list[Call]] = [[]]
    for number, call in enumerate(calls):
        parts[-1].append(call)
        alive.add(call.name)
        alive = {name for name in alive if last.get(name, -1) > number}
        if alive == {call.name} and call.inputs:
            parts.append([])
    joined: list[list[Call]] = []
    for part in filter(None, parts):
        before = joined[-1] if joined else []
        ends_in_join = _branches(before) and isinstance(before[-1].op, (Add, Concat))
        if ends_in_join and len(part) == 1 and _is_activation(part[0]):
            before += part
        else:
            joined.append(part)
    return joined


def _branches(part: Sequence[Call]) -> bool:
    """Whether there are several layers in it; a tensor of weights that one reads is none."""
    return sum(bool(call.inputs) for call in part) > 1


def _is_activation(call: Call) -> bool:
    return call.op is not None and not isinstance(call.op, Primitive) and call.op.activation


def _scopes(parts: Sequence[list[Call]]) -> Iterator[tuple[str, list[Call]]]:
    """Each block with its scope, and what stands between blocks together, in none."""
    plain: list[Call] = []
    stage, block, size = 0, 0, None
    for part in parts:
        if not _branches(part):
            plain += part
            size = None
            continue
        given = part[-1].shape
        here = given[1:] if given else None
        if here != size or size is None:
            stage, block, size = stage + 1, 0, here
        yield f"stage{stage}.{block}", part
        block += 1
    yield "", plain
