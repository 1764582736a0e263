"""A text as it stands, and what is known of its layers: now, or from before the line was broken.

Three rules keep a mistake from darkening the rest. What no error touches is worked out as the text stands. A line that
is broken counts as it was before, and a new one as absent. And where the text is no document, or the mistake shows in
lines that nobody has touched, the last text without errors speaks, its lines moved with the edit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from cnnspec.analysis.field_state import TensorField
from cnnspec.analysis.network_report import analyze
from cnnspec.analysis.receptive_field import fields
from cnnspec.analysis.report import Report
from cnnspec.analysis.view import FieldViews
from cnnspec.editor.lines import changes, revert
from cnnspec.errors import SpecError, UsageError
from cnnspec.graph import INPUT, Graph, Node
from cnnspec.language.elaborate import Outcome
from cnnspec.language.expand import Use
from cnnspec.language.spec_source import Source, read_source
from cnnspec.ops import Shape
from cnnspec.places import Place, split_lines

__all__ = ["Choice", "Fact", "Snapshot", "line_of", "look", "place_of"]


class Choice(NamedTuple):
    """What of a spec is looked at: a variant, and parameters that are set."""

    variant: str | None = None
    params: Mapping[str, Any] = MappingProxyType({})


class Fact(NamedTuple):
    """What one copy of an item comes to."""

    name: str  # of the layer, or of the block that was called
    result: str  # the node whose output it is
    shape: Shape
    field: str  # the receptive field as tables have it, empty where it is not known
    params: int
    macs: int
    kept: bool = False  # from before the text had errors


Facts: TypeAlias = dict[int, tuple[Fact, ...]]


class _Figures(NamedTuple):
    sums: dict[str, tuple[int, int]]  # parameters and MACs, also of all nodes below a name
    states: dict[str, TensorField]  # empty where a field is too irregular to be worked out
    fields: dict[str, str]  # as tables have them


MOST_TYPED: Final = 5  # lines that may all be others than before


@dataclass(frozen=True)
class Snapshot:
    """A text and what it comes to. `good` is the last text without errors, for one that has some."""

    text: str
    path: str
    choice: Choice
    source: Source
    outcome: Outcome
    good: Snapshot | None = field(default=None, repr=False)
    settled: _Figures | None = field(default=None, repr=False, compare=False)  # its figures where they were known

    @cached_property
    def lines(self) -> list[str]:
        """The lines of the text, as places count them."""
        return split_lines(self.text)

    @property
    def is_good(self) -> bool:
        """Whether the text has no errors."""
        return self.outcome.graph is not None

    @cached_property
    def known(self) -> Graph:
        """The network as far as it is known: its nodes without errors."""
        if self.outcome.graph is not None:
            return self.outcome.graph
        nodes = self.outcome.nodes
        read = (zip(node.inputs, node.input_shapes, strict=True) for node in nodes)
        shape = next((shape for pairs in read for name, shape in pairs if name == INPUT), ())
        return Graph("network", shape, nodes, ())

    @cached_property
    def figures(self) -> _Figures:
        """The figures of what is known."""
        return self.settled or _figures(self.known)

    @cached_property
    def report(self) -> Report:
        """The report on what is known, all that training has included. Raises SpecError for a field too irregular."""
        return analyze(self.known, purpose="train")

    @cached_property
    def fresh(self) -> Facts:
        """What is known as the text stands, by the line (from 1) that an item begins in."""
        found: dict[int, list[Fact]] = defaultdict(list)
        for use in self.outcome.uses:
            node = self.known.by_name.get(use.result.name)
            if node is None and use.result.name != INPUT:
                continue
            shape = node.shape if node is not None else self.known.input_shape
            params, macs = self.figures.sums.get(use.name, (0, 0))
            text = self.figures.fields.get(use.result.name, "")
            found[line_of(use)].append(Fact(use.name, use.result.name, shape, text, params, macs))
        return {line: tuple(facts) for line, facts in found.items()}

    @cached_property
    def facts(self) -> Facts:
        """What there is to show by line: what is known now and, where that is nothing, what was."""
        if self.is_good or self.good is None:
            return self.fresh
        mended, lines = self._mended(self.good)
        if all(mended.known.by_name.get(node.name) == node for node in self.known.nodes):
            now = {node.name for node in self.known.nodes} | {INPUT}  # and what they see is the same too
            return {
                lines[line]: tuple(fact._replace(kept=fact.result not in now) for fact in facts)
                for line, facts in mended.fresh.items()
                if line in lines
            }
        found = dict(self.fresh)
        for line, facts in mended.fresh.items():
            if line in lines:
                now_known = {fact.name: fact for fact in self.fresh.get(lines[line], ())}
                if len(now_known) < len(facts):  # else all are known, perhaps by other numbers than before
                    merged = {fact.name: fact._replace(kept=True) for fact in facts} | now_known
                    found[lines[line]] = tuple(merged.values())
        return dict(sorted(found.items()))

    def _mended(self, good: Snapshot) -> tuple[Snapshot, dict[int, int]]:
        """The text with its mistakes taken back, or else the last good one, and the lines that its lines are now."""
        made = changes(good.lines, self.lines)
        wrong = {each.place.line - 1 for each in self.outcome.diagnostics if each.place is not None}
        back = revert(good.lines, self.lines, made, wrong)
        if list(back.lines) == good.lines and self.path == good.path:
            mended = good  # nothing else has changed since
        else:
            mended = _after(_read("\n".join(back.lines), self.path, self.choice), good)
        if not mended.is_good:
            back, mended = revert(good.lines, self.lines, made, None), good
        return mended, {line: now + 1 for line, now in enumerate(back.stands_for, 1) if now is not None}


def line_of(use: Use) -> int:
    """The line that an item begins in: that of its call."""
    return place_of(use).line


def place_of(use: Use) -> Place:
    """Where an item is written."""
    return use.item.call.place if use.item.call is not None else use.item.place


def look(text: str, path: str = "spec.yaml", before: Snapshot | None = None, choice: Choice | None = None) -> Snapshot:
    """A text, with what was known of the one before it. Another choice than before begins anew."""
    if choice is None:
        choice = before.choice if before is not None else Choice()
    snapshot = _read(text, path, choice)
    last = before if before is None or before.is_good else before.good
    return snapshot if last is None or last.choice != choice or _is_another(last, snapshot) else _after(snapshot, last)


def _is_another(last: Snapshot, snapshot: Snapshot) -> bool:
    """Whether a text is so different that nothing of the last one can be kept: another branch was checked out."""
    if snapshot.is_good:
        return False
    changed = sum(end - start for _, (start, end) in changes(last.lines, snapshot.lines))
    return changed > MOST_TYPED and 4 * (len(snapshot.lines) - changed) < changed


def _after(snapshot: Snapshot, good: Snapshot) -> Snapshot:
    """A snapshot that knows the last good one or, where it is good itself, what still holds of it."""
    if not snapshot.is_good:
        return replace(snapshot, good=good)
    return replace(snapshot, settled=good.figures) if snapshot.known == good.known else snapshot


def _read(text: str, path: str, choice: Choice) -> Snapshot:
    source = read_source(path, text.encode("utf-8", "surrogatepass"))
    variant = choice.variant if choice.variant in source.document.variants else None
    if variant is None and not source.stands_alone:
        variant = next(iter(source.document.variants))
    try:
        outcome = source.outcome(variant=variant, params=choice.params)
    except UsageError:  # a parameter that is chosen is no longer there
        outcome = source.outcome(variant=variant)
    return Snapshot(text, path, choice, source, outcome)


def _sums(nodes: Iterable[Node]) -> dict[str, tuple[int, int]]:
    """Parameters and MACs by the name of a node, or of what nodes lie below."""
    sums: dict[str, tuple[int, int]] = {}
    costs: dict[tuple[int, tuple[Shape, ...]], tuple[int, int]] = {}
    for node in nodes:
        key = id(node.op), node.input_shapes
        if key not in costs:
            costs[key] = node.params, node.macs
        params, macs = costs[key]
        name = node.name
        while name:
            more = sums.get(name, (0, 0))
            sums[name] = more[0] + params, more[1] + macs
            name = name.rpartition(".")[0]
    return sums


def _figures(graph: Graph) -> _Figures:
    try:
        states, views = fields(graph), FieldViews()
    except SpecError:
        return _Figures(_sums(graph.nodes), {}, {})
    texts = {node.name: views.of(states[node.name], node.shape)[0].text for node in graph.nodes}
    return _Figures(_sums(graph.nodes), states, texts)
