"""What changed from one network to another: layers aligned by what they are, and totals side by side.

Position means nothing: a layer that is put in front shifts the numbers of a list and the place of everything. So layers
are first matched by their name, where it is more than a number, then, between the matches, by the words of their name
(`layer3.17.conv2` and `layer3.4.conv2` read alike), and at last by what they call.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any, Final

from cnnspec.analysis.explain import call_text
from cnnspec.analysis.layer_report import LayerReport
from cnnspec.analysis.report import Report, Totals
from cnnspec.graph import INPUT, Graph, Node, Purpose
from cnnspec.ops import AnyOp, Shape

__all__ = ["Change", "Difference", "Total", "diff"]

Pair = tuple[int, int]

MOST_WORK: Final = 20_000_000  # about a second


@dataclass(frozen=True, slots=True)
class Change:
    """A layer that is in one network only, or in both and not the same.

    `kind` is `added`, `removed`, `changed` (another call, or other layers are read), or `resized`: the call is the
    same, and shape or parameters follow from what is before it.
    """

    kind: str
    before: LayerReport | None
    after: LayerReport | None
    call_before: str | None
    call_after: str | None
    reads: bool  # it reads other layers than before
    place: int  # in running order: of the second network, or of the first for what was removed
    arguments: tuple[tuple[str, str, str], ...] = ()  # name, before, after: of one operator with other arguments

    def to_dict(self) -> dict[str, Any]:
        """The change as `--format json` prints it."""

        def side(row: LayerReport | None, call: str | None) -> dict[str, Any] | None:
            if row is None:
                return None
            return {
                "name": row.name,
                "call": call,
                "inputs": list(row.inputs),
                "output_shape": list(row.output_shape),
                "params": row.params,
                "macs": row.macs,
            }

        return {
            "kind": self.kind,
            "reads_changed": self.reads,
            "before": side(self.before, self.call_before),
            "after": side(self.after, self.call_after),
        }


@dataclass(frozen=True, slots=True)
class Total:
    """One figure of both networks; the ratio is after over before, None where there is none."""

    name: str
    before: int | None
    after: int | None

    @property
    def ratio(self) -> float | None:
        """How many times the one before."""
        return self.after / self.before if self.before and self.after is not None else None


@dataclass(frozen=True, slots=True)
class Difference:
    """Two networks of one purpose against each other."""

    purpose: Purpose
    before: str
    after: str
    inputs: tuple[Shape, Shape]
    same: int  # layers that are alike in everything but perhaps their name
    renamed: int  # those of them that have another name
    changes: tuple[Change, ...]
    totals: tuple[Total, ...]
    other_totals: tuple[Total, ...]  # of the other purpose
    outputs_moved: bool  # other layers are outputs, or auxiliary heads
    training_differs: bool = False  # so do layers that only training has, which are not among the changes

    def __repr__(self) -> str:
        changes = f"{len(self.changes):,} change{'s' * (len(self.changes) != 1)}"
        return f"<Difference of {self.before} and {self.after}: {changes}, {self.same:,} layers alike>"

    @property
    def equal(self) -> bool:
        """Whether both declare the same network, names of layers aside."""
        alike = self.inputs[0] == self.inputs[1] and not self.outputs_moved and not self.training_differs
        return alike and not self.changes

    def of(self, kind: str) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    def to_dict(self) -> dict[str, Any]:
        """The difference as `--format json` prints it."""

        def plain(totals: tuple[Total, ...]) -> dict[str, Any]:
            return {one.name: {"before": one.before, "after": one.after, "ratio": one.ratio} for one in totals}

        other = "train" if self.purpose == "inference" else "inference"
        return {
            "cnnspec": 1,
            "for": self.purpose,
            "before": {"name": self.before, "input": list(self.inputs[0])},
            "after": {"name": self.after, "input": list(self.inputs[1])},
            "equal": self.equal,
            "outputs_moved": self.outputs_moved,
            "training_differs": self.training_differs,
            "same": self.same,
            "renamed": self.renamed,
            "changes": [change.to_dict() for change in self.changes],
            "totals": {**plain(self.totals), other: plain(self.other_totals)},
        }


def diff(first: Graph, first_report: Report, second: Graph, second_report: Report) -> Difference:
    """What is different in the second network, in the running order of both; the reports are for one purpose."""
    purpose = first_report.purpose
    first, second = first.network(purpose), second.network(purpose)
    pairs = _aligned(first.nodes, second.nodes)
    partner = {first.nodes[i].name: second.nodes[j].name for i, j in pairs} | {INPUT: INPUT}
    known = set(partner.values())
    rows = (first_report.layers, second_report.layers)
    changes: list[Change] = []
    same = renamed = start = to = 0
    for i, j in [*pairs, (len(first), len(second))]:
        changes += [_one_sided("removed", rows[0][k], first.nodes[k], k) for k in range(start, i)]
        changes += [_one_sided("added", rows[1][k], second.nodes[k], k) for k in range(to, j)]
        start, to = i + 1, j + 1
        if i == len(first):
            break
        change = _compared(first.nodes[i], rows[0][i], second.nodes[j], rows[1][j], partner, known)
        if change is not None:
            changes.append(replace(change, place=j))
            continue
        same += 1
        renamed += first.nodes[i].name != second.nodes[j].name
    reports = first_report, second_report
    sums = [report.train if purpose == "inference" else report.inference for report in reports]
    totals, others = _totals(first_report.totals, second_report.totals), _totals(*sums)
    moved = any(
        [partner.get(name) for name in was] != list(now)
        for was, now in ((first.outputs, second.outputs), (first.aux_outputs, second.aux_outputs))
    )
    shapes = first.input_shape, second.input_shape
    names = first.name, second.name
    return Difference(purpose, *names, shapes, same, renamed, tuple(changes), totals, others, moved)


def _totals(first: Totals | None, second: Totals | None) -> tuple[Total, ...]:
    before, after = (totals.to_dict() if totals else {} for totals in (first, second))
    counts = [name for name in before or after if name != "receptive_field"]  # of several axes: no number, no ratio
    pairs = [Total(name, before.get(name), after.get(name)) for name in counts]
    return tuple(total for total in pairs if total.before or total.after)


def _one_sided(kind: str, row: LayerReport, node: Node, place: int) -> Change:
    call = call_text(node.op)
    if kind == "removed":
        return Change(kind, row, None, call, None, reads=False, place=place)
    return Change(kind, None, row, None, call, reads=False, place=place)


def _compared(
    one: Node, before: LayerReport, other: Node, after: LayerReport, partner: dict[str, str], known: set[str]
) -> Change | None:
    calls = call_text(one.op), call_text(other.op)
    pairs = zip((partner.get(name) for name in one.inputs), other.inputs, strict=False)
    # What reads a layer that was put in, or read one that was taken out, has not changed itself.
    reads = len(one.inputs) != len(other.inputs) or any(
        was is not None and now in known and was != now for was, now in pairs
    )
    if calls[0] != calls[1]:
        kind = "changed"
    elif before.output_shape != after.output_shape or before.params != after.params:
        kind = "resized"
    elif reads:
        kind = "changed"
    else:
        return None
    return Change(kind, before, after, *calls, reads=reads, place=0, arguments=_arguments(one.op, other.op))


def _arguments(one: AnyOp, other: AnyOp) -> tuple[tuple[str, str, str], ...]:
    """The arguments in which two layers of one operator differ, defaults written out."""
    if one.op_name != other.op_name:
        return ()
    given = {**one.arguments(), **other.arguments()}
    values = [(name, getattr(one, name), getattr(other, name)) for name in given]
    return tuple((name, *_told_apart(was, now)) for name, was, now in values if was != now)


def _told_apart(was: object, now: object) -> tuple[str, str]:
    """Both values, as short as a person would write them."""
    short = _short(was), _short(now)
    return short if short[0] != short[1] else (str(was), str(now))


def _short(value: object) -> str:
    if isinstance(value, tuple) and len(set(value)) == 1:
        return str(value[0])
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _aligned(first: Sequence[Node], second: Sequence[Node]) -> list[Pair]:
    """Which node of the first network is which of the second: pairs of indices, both rising.

    Where as many nodes are left over between two pairs on both sides, those of one name or number took each other's
    place.
    """
    sides = [_keys(first), _keys(second)]
    pairs: list[Pair] = []
    gaps = [(0, len(first), 0, len(second))]
    for one, other in zip(*sides, strict=True):
        between = [pair for gap in gaps for pair in _matched(one, other, gap)]
        pairs = sorted(pairs + between)
        ends = [(-1, -1), *pairs, (len(first), len(second))]
        gaps = [(a + 1, b, c + 1, d) for (a, c), (b, d) in pairwise(ends)]
    replaced = [
        (low + k, start + k)
        for low, high, start, end in gaps
        if high - low == end - start
        for k in range(high - low)
        if _leaf(first[low + k]) == _leaf(second[start + k])
    ]
    return sorted(pairs + replaced)


def _leaf(node: Node) -> str:
    return node.name.rpartition(".")[2]


def _keys(nodes: Sequence[Node]) -> list[list[Hashable]]:
    """What nodes are matched by, the surest first. A name that ends in `.3` says little: it is a place in a list."""
    calls = [call_text(node.op) for node in nodes]
    words = [re.sub(r"\d+", "#", node.name) for node in nodes]
    names = [object() if _leaf(node).isdigit() else node.name for node in nodes]
    ops = [node.op.op_name for node in nodes]
    return [
        list(zip(names, calls, strict=True)),
        list(zip(names, ops, strict=True)),
        list(zip(words, calls, strict=True)),
        list(zip(words, ops, strict=True)),
        list(names),
        list(calls),
        list(ops),
    ]


def _work(one: Sequence[Hashable], other: Sequence[Hashable]) -> int:
    """A bound for the steps of SequenceMatcher: pairs of equal keys, looked through for every block that it finds."""
    counts = Counter(other)
    return min(len(one), len(other)) * sum(counts[key] for key in one)


def _matched(one: Sequence[Hashable], other: Sequence[Hashable], gap: tuple[int, int, int, int]) -> list[Pair]:
    """Equal keys within a gap. What both ends share is taken first, which is all there is to most comparisons."""
    low, high, start, end = gap
    pairs = []
    while low < high and start < end and one[low] == other[start]:
        pairs.append((low, start))
        low, start = low + 1, start + 1
    while low < high and start < end and one[high - 1] == other[end - 1]:
        high, end = high - 1, end - 1
        pairs.append((high, end))
    if _work(one[low:high], other[start:end]) > MOST_WORK:  # thousands of layers that are alike: by position after all
        return pairs + [
            (low + k, start + k) for k in range(min(high - low, end - start)) if one[low + k] == other[start + k]
        ]
    if low < high and start < end:
        matcher = SequenceMatcher(None, one[low:high], other[start:end], autojunk=False)
        pairs += [
            (low + block.a + k, start + block.b + k)
            for block in matcher.get_matching_blocks()
            for k in range(block.size)
        ]
    return pairs
