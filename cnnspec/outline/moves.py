"""Until every scope gives one value and its children can be ordered: nodes without weights move, scopes dissolve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cnnspec.graph import INPUT
from cnnspec.ops import JOINS
from cnnspec.ops.merge import Concat
from cnnspec.outline.places import Facts, Path, Places, is_weightless, survey

__all__ = ["settle"]

_ROUNDS: Final = 2000  # each moves a node or dissolves a scope; what is left then is written flat


def settle(places: Places) -> bool:
    """Move and dissolve until all scopes can be said. False where that does not come to an end."""
    _chain_concatenations(places)
    _lift_lone_nodes(places)
    for _ in range(_ROUNDS):
        facts = survey(places)
        scopes = [scope for scope in facts if scope]
        # The last first: what has gone out of a scope no longer makes the scope before it give more.
        several = [scope for scope in reversed(scopes) if len(facts[scope].outputs) > 1]
        if any(_sink(places, scope, facts[scope]) or _rise(places, scope, facts[scope]) for scope in several) or any(
            _hand_back(places, scope, facts) for scope in scopes if scope not in several
        ):
            _lift_lone_nodes(places)
            continue
        wrong = _wrong_scope(places, facts)
        if wrong is None:
            return True
        _dissolve(places, wrong)
    return False


# Concatenations -----------------------------------------------------------------------------------------------------


def _chain_concatenations(places: Places) -> None:
    """A concatenation whose beginning was concatenated before reads that one; one of a single value goes."""
    known: dict[tuple[Concat, tuple[str, ...]], str] = {}
    for name in list(places.nodes):
        reads = tuple(places.same.get(read, read) for read in places.reads[name])
        places.reads[name] = reads
        op = places.nodes[name].op
        if not isinstance(op, Concat):
            continue
        if len(reads) == 1 and name not in places.outputs:
            places.same[name] = reads[0]
            del places.nodes[name], places.reads[name], places.paths[name]
            continue
        for count in range(len(reads) - 1, 1, -1):
            if (op, reads[:count]) in known:
                places.reads[name] = (known[op, reads[:count]], *reads[count:])
                break
        known.setdefault((op, reads), name)


# Moves --------------------------------------------------------------------------------------------------------------


def _lift_lone_nodes(places: Places) -> None:
    """A scope with one node, without weights, and nothing else: the node takes its place."""
    members: dict[Path, list[str]] = {}
    for name, path in places.paths.items():
        for depth in range(1, len(path)):
            members.setdefault(path[:depth], []).append(name)
    for scope in sorted(members, key=len):
        name = members[scope][0]
        if len(members[scope]) == 1 and is_weightless(places.nodes[name]) and len(places.paths[name]) > len(scope):
            places.paths[name] = scope


def _readers(places: Places) -> dict[str, list[str]]:
    readers: dict[str, list[str]] = {}
    for name, reads in places.reads.items():
        for read in reads:
            readers.setdefault(read, []).append(name)
    return readers


def _is_in(path: Path, scope: Path) -> bool:
    return len(path) > len(scope) and path[: len(scope)] == scope


def _values(places: Places, inside: set[str], readers: dict[str, list[str]]) -> int:
    """How many values these nodes give to others."""
    return sum(any(reader not in inside for reader in readers.get(name, ())) for name in inside)


def _sink(places: Places, scope: Path, facts: Facts) -> bool:
    """A node without weights that reads what a scope gives goes into it, where that leaves fewer values."""
    readers = _readers(places)
    inside = {name for name, path in places.paths.items() if _is_in(path, scope)}
    outside = dict.fromkeys(r for value in facts.outputs for r in readers[value] if r not in inside)
    for name in outside:
        reads = set(places.reads[name])
        if not is_weightless(places.nodes[name]) or not reads <= inside | facts.inputs.keys():
            continue
        if _values(places, inside | {name}, readers) < len(facts.outputs):
            places.paths[name] = places.free((*scope, places.paths[name][-1]))
            return True
    return False


def _rise(places: Places, scope: Path, facts: Facts) -> bool:
    """A node without weights at the end of a scope goes out of it, where that leaves fewer values."""
    readers = _readers(places)
    inside = {name for name, path in places.paths.items() if _is_in(path, scope)}
    for name in facts.outputs:
        if not is_weightless(places.nodes[name]) or any(reader in inside for reader in readers.get(name, ())):
            continue
        if _values(places, inside - {name}, readers) < len(facts.outputs):
            places.paths[name] = places.free((*scope[:-1], places.paths[name][-1]))
            return True
    return False


def _hand_back(places: Places, scope: Path, facts: dict[Path, Facts]) -> bool:
    """A join at the head of a scope, of what the scope before it read and gave, goes to the end of that scope."""
    inputs = list(facts[scope].inputs)
    if len(inputs) < 2:
        return False
    for name in _children(places, scope):
        reads = places.reads[name]
        if not isinstance(places.nodes[name].op, JOINS) or not set(reads) <= set(inputs) or reads[-1] == INPUT:
            continue
        for before in _scopes_giving(places, reads, scope):
            known = facts.get(before)
            if known is None or not set(reads) <= known.inputs.keys() | known.outputs.keys():
                continue
            readers = _readers(places)
            inside = {each for each, path in places.paths.items() if _is_in(path, before)}
            here = {each for each, path in places.paths.items() if _is_in(path, scope)}
            if _values(places, inside | {name}, readers) <= len(known.outputs) and _fewer(places, here, name, inputs):
                places.paths[name] = places.free((*before, places.paths[name][-1]))
                return True
    return False


def _fewer(places: Places, here: set[str], name: str, inputs: list[str]) -> bool:
    """Whether a scope reads fewer values when `name` has gone."""
    rest = here - {name}
    reads = {read for each in rest for read in places.reads[each] if read not in rest}
    return len(reads) < len(inputs)


def _children(places: Places, scope: Path) -> Iterator[str]:
    depth = len(scope) + 1
    return (name for name, path in list(places.paths.items()) if len(path) == depth and path[:-1] == scope)


def _scopes_giving(places: Places, reads: tuple[str, ...], scope: Path) -> Iterator[Path]:
    """The sibling scopes that give one of these values."""
    for read in reads:
        path = places.paths.get(read, ())
        if len(path) > len(scope) and path[: len(scope) - 1] == scope[:-1] and path[: len(scope)] != scope:
            yield path[: len(scope)]


# Dissolving ---------------------------------------------------------------------------------------------------------


def _wrong_scope(places: Places, facts: dict[Path, Facts]) -> Path | None:
    """A scope that cannot be said as it is: of those in a circle the one that is entered most often."""
    for scope in sorted(facts, key=len, reverse=True):
        here = facts[scope]
        if here.circle:
            entered = _entries(places, scope)
            inner = [key for key in here.circle if (*scope, key) in facts]
            return (*scope, max(inner, key=lambda key: entered[key]))
        if scope and len(here.outputs) > 1:
            return scope
        if scope and here.outputs and {places.paths[name][len(scope)] for name in here.outputs} != {here.children[-1]}:
            return scope
    return None


def _entries(places: Places, scope: Path) -> dict[str, int]:
    """How often the running order comes into each child of a scope."""
    count: dict[str, int] = {}
    before = None
    for path in places.paths.values():
        if _is_in(path, scope):
            key = path[len(scope)]
            count[key] = count.get(key, 0) + (key != before)
            before = key
    return count


def _dissolve(places: Places, scope: Path) -> None:
    """The children of a scope go beside it: `downs.0` becomes `downs_0`."""
    depth = len(scope)
    renamed: dict[Path, Path] = {}
    for name, path in list(places.paths.items()):
        if not _is_in(path, scope):
            continue
        old = path[: depth + 1]
        if old not in renamed:
            renamed[old] = places.free((*scope[:-1], f"{scope[-1]}_{old[-1]}"))
        places.paths[name] = (*renamed[old], *path[depth + 1 :])
    for path in list(places.classes):
        if path[: depth + 1] in renamed:
            places.classes[(*renamed[path[: depth + 1]], *path[depth + 1 :])] = places.classes.pop(path)
    places.classes.pop(scope, None)
    old, new = next(iter(renamed.items()))
    places.notes.append(
        f"`{'.'.join(scope)}` is taken apart, since others run between its layers: `{'.'.join(old)}` is"
        f" `{'.'.join(new)}`"
    )
