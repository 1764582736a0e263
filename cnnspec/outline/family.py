"""Several networks of one family as one spec with variants: instances of one template, which is the document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cnnspec.errors import CnnspecError, SpecError
from cnnspec.graph import Graph
from cnnspec.language import read_spec
from cnnspec.language.format import format_text
from cnnspec.outline.expressions import ABSENT
from cnnspec.outline.folding import Strategy, fold
from cnnspec.outline.gate import is_same_network, matching_names
from cnnspec.outline.moves import settle
from cnnspec.outline.places import Places
from cnnspec.outline.refolding import STRATEGIES
from cnnspec.outline.templates import Template
from cnnspec.outline.tree import grow
from cnnspec.outline.write_spec import Header, write

__all__ = ["Family", "refold_family"]


@dataclass(frozen=True)
class Family:
    """A spec whose variants are several graphs; the first is the spec without a variant."""

    text: str
    names: tuple[Mapping[str, str], ...]  # for each graph, of each of its nodes, in the spec's
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Member:
    graph: Graph
    places: Places

    @property
    def kept(self) -> dict[str, str]:
        """The names of nodes with weights."""
        return {name: ".".join(path) for name, path in self.places.paths.items()}


def refold_family(members: Sequence[tuple[Graph, Mapping[str, str]]]) -> Family:
    """One spec for several graphs, each with the classes of its modules; variants bear the graphs' names.

    Raises CnnspecError where no one spec can say them all.
    """
    settled = [_Member(graph, Places.of(graph, classes)) for graph, classes in members]
    called = " and ".join(member.graph.name for member in settled)
    if not all(settle(member.places) for member in settled) or len({_head(member.graph) for member in settled}) != 1:
        raise CnnspecError(f"{called} have not the same input and outputs", hint="import them one by one")
    found = [each for strategy in STRATEGIES if (each := _family(settled, strategy))]
    if not found:
        raise CnnspecError(f"{called} are too different for one spec", hint="import them one by one")
    return min(found, key=lambda each: (each.text.count("\n"), len(each.text)))


def _head(graph: Graph) -> tuple[object, ...]:
    return (
        graph.input_shape,
        graph.mean,
        graph.std,
        graph.intake,
        graph.classes,
        len(graph.outputs),
        len(graph.aux_outputs),
    )


def _family(members: Sequence[_Member], strategy: Strategy) -> Family | None:
    """The text of one strategy, if every variant is its graph."""
    made = fold([grow(member.places, member.graph.input_shape) for member in members], strategy)
    if made is None:
        return None
    main, blocks = made
    header = _header(members, main)
    names = _names(members, write(header, blocks, main.block.body))
    if names is None:
        return None
    first = members[0].graph
    outputs, aux = (tuple(names[0][name] for name in each) for each in (first.outputs, first.aux_outputs))
    plain = _variant(write(header, blocks, main.block.body), None)
    listed = () if plain is not None and plain.outputs == outputs else outputs
    try:
        text = format_text(write(Header(first, listed, aux, header.params, header.variants), blocks, main.block.body))
    except CnnspecError:
        return None
    names = _names(members, text, whole=True)
    notes = dict.fromkeys(note for member in members for note in member.places.notes)
    return None if names is None else Family(text, tuple(names), tuple(notes))


def _header(members: Sequence[_Member], main: Template) -> Header:
    defaults = main.block.defaults
    values = [{n: defaults[n] if v is ABSENT else v for n, v in each.items()} for each in main.arguments]
    variants = {
        member.graph.name: {name: value for name, value in each.items() if repr(value) != repr(values[0][name])}
        for member, each in zip(members[1:], values[1:], strict=True)
    }
    return Header(members[0].graph, params=values[0], variants=variants)


def _variant(text: str, name: str | None) -> Graph | None:
    try:
        return read_spec("spec.yaml", text.encode()).elaborate(variant=name)
    except SpecError:
        return None


def _names(members: Sequence[_Member], text: str, *, whole: bool = False) -> list[dict[str, str]] | None:
    """For each member the names of its nodes; None where a variant is another network. `whole`: outputs as well."""
    found = []
    for number, member in enumerate(members):
        said = _variant(text, member.graph.name if number else None)
        names = matching_names(member.graph, said, member.kept) if said else None
        if said is None or names is None or (whole and not is_same_network(member.graph, said, names)):
            return None
        found.append(names)
    return found
