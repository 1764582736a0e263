"""Where each node of a flat network stands: in which scope, under which key. Places may change; the network does not.

A text can say a tree of scopes only if each scope gives one value and the children of a scope can be put in an order.
`survey` tells where that is not so; `moves.py` puts it right.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cnnspec.graph import INPUT, Graph, Node
from cnnspec.language.names import RESERVED

__all__ = ["Facts", "Path", "Places", "free", "is_weightless", "survey"]

Path: TypeAlias = tuple[str, ...]

_LONGEST: Final = 80  # of a key, so that a word may be put behind it


@dataclass
class Places:
    """The nodes in running order, what they read, and where they stand."""

    nodes: dict[str, Node]
    reads: dict[str, tuple[str, ...]]
    paths: dict[str, Path]
    outputs: tuple[str, ...]
    classes: dict[Path, str]  # of scopes
    same: dict[str, str] = field(default_factory=dict)  # nodes that are left out, and whose value they give
    notes: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, graph: Graph, module_classes: Mapping[str, str]) -> Places:
        """The places that the names of a graph say."""
        clean = _Clean()
        paths = {node.name: clean.path(node.name) for node in graph}
        classes = {clean.path(path) if path else (): kind for path, kind in module_classes.items()}
        places = cls(
            {node.name: node for node in graph},
            {node.name: node.inputs for node in graph},
            paths,
            (*graph.outputs, *graph.aux_outputs),
            classes,
        )
        places._part_leaves_from_scopes()
        return places

    def _part_leaves_from_scopes(self) -> None:
        """No node may bear the name of a scope. One without weights goes into it; where one has weights, as a norm that
        its activation is a part of, what is inside goes beside it, or is it a whole network the node is renamed."""
        scopes = {path[:end] for path in self.paths.values() for end in range(1, len(path))}
        leaves = sorted((name for name, path in self.paths.items() if path in scopes), key=lambda name: name.count("."))
        for name in leaves:
            if is_weightless(self.nodes[name]):
                self.paths[name] = self.free((*self.paths[name], word_of(self.nodes[name])))
            elif self._weighted(self.paths[name]) > 1:
                path = self.paths[name]
                self.paths[name] = self.free((*path[:-1], f"{path[-1]}_"))
                self.notes.append(f"`{name}` is `{'.'.join(self.paths[name])}`: the name is one of a scope as well")
            else:
                self._empty_scope(self.paths[name])

    def _weighted(self, scope: Path) -> int:
        """How many nodes with weights are inside."""
        inside = (n for n, path in self.paths.items() if len(path) > len(scope) and path[: len(scope)] == scope)
        return sum(not is_weightless(self.nodes[name]) for name in inside)

    def _empty_scope(self, scope: Path) -> None:
        """What is inside goes beside it: `bn1.act` is `act1`."""
        depth, number = len(scope), re.sub(r".*\D", "", scope[-1])
        moved: dict[Path, Path] = {}
        for name, path in self.paths.items():
            if len(path) <= depth or path[:depth] != scope:
                continue
            old = path[: depth + 1]
            if old not in moved:
                key = f"{old[-1]}{number}"
                taken = key in self.taken(scope[:-1])
                moved[old] = self.free((*scope[:-1], f"{scope[-1]}_{old[-1]}" if taken else key))
            self.paths[name] = (*moved[old], *path[depth + 1 :])
            if not is_weightless(self.nodes[name]):
                self.notes.append(f"`{name}` is `{'.'.join(self.paths[name])}`, since `{'.'.join(scope)}` is a layer")
        for path in list(self.classes):
            if path[: depth + 1] in moved:
                self.classes[(*moved[path[: depth + 1]], *path[depth + 1 :])] = self.classes.pop(path)
        self.classes.pop(scope, None)

    def taken(self, scope: Path) -> set[str]:
        """The keys that are used in a scope."""
        depth = len(scope)
        return {path[depth] for path in self.paths.values() if len(path) > depth and path[:depth] == scope}

    def free(self, path: Path) -> Path:
        """The path, or with a number the first that is not used."""
        return (*path[:-1], free(path[-1], self.taken(path[:-1])))


def free(name: str, used: Container[str]) -> str:
    """The name, or with a number the first that is not used. No longer than a key may be."""
    name = name[-_LONGEST:]
    found, number = name, 1
    while found in used:
        number += 1
        found = f"{name}_{number}"
    return found


class _Clean:
    """Names as the language takes them, no two of a scope alike."""

    def __init__(self) -> None:
        self.parts: dict[tuple[Path, str], str] = {}
        self.used: dict[Path, set[str]] = {}

    def path(self, name: str) -> Path:
        path: Path = ()
        for part in name.split("."):
            path = (*path, self.part(path, part))
        return path

    def part(self, scope: Path, part: str) -> str:
        if (scope, part) not in self.parts:
            key = re.sub(r"[^A-Za-z0-9_-]+", "_", part)[:_LONGEST] or "_"
            key = f"{key}_" if key in RESERVED or key == INPUT else key
            used = self.used.setdefault(scope, set())
            self.parts[scope, part] = free(key, used)
            used.add(self.parts[scope, part])
        return self.parts[scope, part]


def is_weightless(node: Node) -> bool:
    """Whether nothing is kept under a node's name, so that it may have another."""
    return not node.tensors


def word_of(node: Node) -> str:
    """What a node may be called after what it does: `add`, `relu`."""
    name = re.sub(r"\d+d$", "", node.op.op_name)
    return {"Concat": "cat"}.get(name, name.lower())


@dataclass(slots=True)
class Facts:
    """A scope: its children in an order in which they can run, and the values that go in and out."""

    children: list[str] = field(default_factory=list)
    circle: list[str] = field(default_factory=list)  # children that cannot be put in an order
    inputs: dict[str, None] = field(default_factory=dict)
    outputs: dict[str, None] = field(default_factory=dict)  # the names of nodes that are read outside


def survey(places: Places) -> dict[Path, Facts]:
    """The facts of every scope, the network itself as `()`."""
    found: dict[Path, Facts] = {(): Facts()}
    edges: dict[Path, dict[str, set[str]]] = {}
    first: dict[Path, dict[str, int]] = {}
    for index, (name, path) in enumerate(places.paths.items()):
        for depth in range(len(path)):
            found.setdefault(path[:depth], Facts())
            first.setdefault(path[:depth], {}).setdefault(path[depth], index)
        for read in places.reads[name]:
            source = places.paths[read] if read != INPUT else ()
            common = _common(source, path)
            for depth in range(common + 1, len(source)):
                found[source[:depth]].outputs[read] = None
            for depth in range(common + 1, len(path)):
                found[path[:depth]].inputs[read] = None
            if source:
                edges.setdefault(path[:common], {}).setdefault(source[common], set()).add(path[common])
    finals = [places.paths[name] for name in places.outputs[:1]]
    for scope, facts in found.items():
        last = {places.paths[name][len(scope)] for name in facts.outputs}
        if not facts.outputs:
            last = {path[len(scope)] for path in finals if path[: len(scope)] == scope and len(path) > len(scope)}
        facts.children, facts.circle = _ordered(first.get(scope, {}), edges.get(scope, {}), last)
    return found


def _common(one: Path, other: Path) -> int:
    """How many parts two paths of nodes have in common, short of a whole one."""
    count = 0
    for a, b in zip(one[:-1], other[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count


def _ordered(
    first: Mapping[str, int], after: Mapping[str, Iterable[str]], last: set[str]
) -> tuple[list[str], list[str]]:
    """The children by their first node, each behind what it reads, `last` as late as can be; and those in circles."""
    waiting = dict.fromkeys(first, 0)
    for targets in after.values():
        for target in targets:
            waiting[target] += 1
    ready = [(key in last, index, key) for key, index in first.items() if not waiting[key]]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        _, _, key = heapq.heappop(ready)
        order.append(key)
        for target in after.get(key, ()):
            waiting[target] -= 1
            if not waiting[target]:
                heapq.heappush(ready, (target in last, first[target], target))
    done = set(order)
    return order, [key for key in first if key not in done]
