"""The entry: a flat graph to the shortest of several texts, each held against the graph before it is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain, islice
from types import MappingProxyType
from typing import Final

from cnnspec.errors import CnnspecError, SpecError
from cnnspec.graph import Graph
from cnnspec.language import read_spec
from cnnspec.language.format import format_text
from cnnspec.outline.blocks import nested
from cnnspec.outline.folding import Strategy, fold
from cnnspec.outline.gate import is_same_network, matching_names
from cnnspec.outline.moves import settle
from cnnspec.outline.periods import shortened
from cnnspec.outline.places import Places, free
from cnnspec.outline.sketch import Block, Body, leaf_item
from cnnspec.outline.tree import Leaf, grow
from cnnspec.outline.write_spec import Header, write

__all__ = ["STRATEGIES", "Refolded", "refold"]

STRATEGIES: Final = tuple(
    Strategy(by_class, containers, small)
    for by_class in (True, False)
    for containers in (False, True)
    for small in (False, True)
)


@dataclass(frozen=True)
class Refolded:
    """A spec that says a graph."""

    text: str
    names: Mapping[str, str]  # of each node of the graph, in the spec's
    notes: tuple[str, ...] = ()  # what is called otherwise and has to be said


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A text that may say the graph."""

    main: Body
    blocks: list[Block]
    kept: Mapping[str, str]  # the names of nodes with weights
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A text that says the graph, and by which names."""

    text: str
    names: Mapping[str, str]
    attempt: _Attempt


def refold(graph: Graph, module_classes: Mapping[str, str] = MappingProxyType({}), *, quick: bool = False) -> Refolded:
    """The text of a spec that is exactly this graph, as a person would have written it.

    `module_classes` has the class of each module by its path, as far as they are known. With `quick` it is the first
    text that is found, for who wants the names only. Raises CnnspecError for a graph that no text can say.
    """
    candidates = (each for attempt in _attempts(graph, module_classes) if (each := _checked(graph, attempt)))
    found = list(islice(candidates, 1 if quick else None))
    found.sort(key=lambda each: (each.text.count("\n"), len(each.text)))
    for best in chain(found, _flat(graph)):
        if (formatted := _formatted(graph, best)) is not None:
            return formatted
    raise CnnspecError(f"{graph.name} cannot be written as a spec", hint="please report it")


def _attempts(graph: Graph, module_classes: Mapping[str, str]) -> Iterator[_Attempt]:
    places = Places.of(graph, module_classes)
    if settle(places):
        tree = grow(places, graph.input_shape)
        kept = {name: ".".join(path) for name, path in places.paths.items()}
        for strategy in STRATEGIES:
            made = fold([tree], strategy)
            if made is None:
                continue
            main, blocks = made[0].block.body, made[1]
            if (short := shortened(main, blocks)) is not None:
                yield _Attempt(*short, kept, tuple(places.notes))
            yield _Attempt(main, blocks, kept, tuple(places.notes))
        main, blocks = nested(tree)
        yield _Attempt(main, blocks, kept, tuple(places.notes))


def _checked(graph: Graph, attempt: _Attempt) -> _Candidate | None:
    """The text of an attempt, if it is the graph."""
    header = Header(graph)
    for _ in range(2):  # which nodes are the outputs is known by what they are, once all have names
        text = write(header, attempt.blocks, attempt.main)
        said = _elaborated(text)
        names = matching_names(graph, said, attempt.kept) if said else None
        if said is None or names is None:
            return None
        if is_same_network(graph, said, names):
            return _Candidate(text, names, attempt)
        outputs, aux = (tuple(names[name] for name in each) for each in (graph.outputs, graph.aux_outputs))
        header = Header(graph, outputs, aux)
        if header.outputs == said.outputs:
            header = replace(header, outputs=())
    return None


def _elaborated(text: str) -> Graph | None:
    try:
        return read_spec("spec.yaml", text.encode()).elaborate()
    except SpecError:
        return None


def _formatted(graph: Graph, candidate: _Candidate) -> Refolded | None:
    """A text in its canonical form, if that is the graph."""
    try:
        text = format_text(candidate.text)
    except CnnspecError:
        return None
    said = _elaborated(text)
    names = matching_names(graph, said, candidate.attempt.kept) if said else None
    if said is None or names is None or not is_same_network(graph, said, names):
        return None
    return Refolded(text, names, candidate.attempt.notes)


def _flat(graph: Graph) -> Iterator[_Candidate]:
    """The text with every node under its own name, `_` for dots: what can always be said."""
    places = Places.of(graph, {})
    used: set[str] = set()
    for name, path in places.paths.items():
        key = free("_".join(path), used)
        used.add(key)
        places.paths[name] = (key,)
    items = [leaf_item(leaf) for leaf in grow(places, graph.input_shape).children if isinstance(leaf, Leaf)]
    kept = {name: ".".join(path) for name, path in places.paths.items()}
    note = "its scopes could not be said: every layer has a name of its own"
    said = _checked(graph, _Attempt(Body("layers", items, True), [], kept, (*places.notes, note)))
    if said is not None:
        yield said
