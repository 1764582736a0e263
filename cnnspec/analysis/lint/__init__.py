"""Warnings about valid networks: what an experienced reader of the spec would ask about.

Every rule is a function of its own in the file of its kind; `RULES` is the only list of them. A page of the
documentation explains each code.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from cnnspec.analysis import analyze
from cnnspec.analysis.lint import cost, fields, order, windows
from cnnspec.analysis.lint.base import Finding, Found, MeasuredNetwork, Rule
from cnnspec.analysis.report import Report
from cnnspec.errors import UsageError
from cnnspec.graph import Graph
from cnnspec.hints import did_you_mean

__all__ = ["CODES", "RULES", "Finding", "Rule", "lint"]

RULES: Final = (
    Rule("W301", "border pixels are dropped", windows.border_pixels_dropped),
    Rule("W302", "a layer whose input already sees everything", fields.field_exceeds_input),
    Rule("W303", "a classifier that never sees the whole input", fields.narrow_classifier),
    Rule("W304", "gridding: dilation leaves pixels unread", fields.gridding),
    Rule("W305", "a bias before batch norm", order.bias_before_norm),
    Rule("W306", "an activation straight after an activation", order.activation_twice),
    Rule("W307", "softmax before cross-entropy", order.softmax_output),
    Rule("W308", "a dense layer holds most of the parameters", cost.dense_holds_most),
    Rule("W309", "a window smaller than its stride skips pixels", windows.pixels_skipped),
    Rule("W310", "channels that are slow on tensor cores", cost.slow_channels),
    Rule("W311", "padding larger than half the window", windows.padding_beyond_half),
    Rule("W312", "a node that nothing depends on", order.dead_nodes),
    Rule("W313", "downsampling later than the receptive field needs", fields.late_downsampling),
    Rule("W314", "branches that are not aligned", fields.misaligned_branches),
    Rule("W315", "dropout straight before batch norm", order.dropout_before_norm),
    Rule("W316", "two dense layers without an activation between", order.dense_twice),
    Rule("W317", "an even window with padding=same", windows.even_same_padding),
    Rule("W318", "a transposed convolution that overlaps unevenly", windows.checkerboard),
    Rule("W319", "weights that read only padding", windows.weights_on_padding),
    Rule("W320", "groups that never mix", order.groups_never_mix),
    Rule("W321", "a dense layer on a feature map", order.dense_on_map),
)
CODES: Final = tuple(rule.code for rule in RULES)

SHOWN = 3  # layers of one line that a note names


def lint(
    graph: Graph,
    report: Report,
    *,
    select: Iterable[str] = (),
    ignore: Iterable[str] = (),
    silenced: Iterable[str] = (),
) -> list[Finding]:
    """The findings about a network, in the order of its text; one for all layers that one line expands to.

    `select` names the only codes to look for (all, where empty), `ignore` those to leave out. `silenced` are those that
    the spec leaves out: unless codes are selected, and codes of other versions do no harm there. The whole graph is
    looked at: a `report` of a part of it is made anew. Raises UsageError for a code that there is not.
    """
    select, ignore = _known(select), _known(ignore)
    if not select:
        ignore |= frozenset(silenced)
    if len(report.layers) < len(graph):
        report = analyze(graph, purpose="train")
    network = MeasuredNetwork(graph, report)
    found: dict[tuple[str, object], list[Found]] = {}
    for rule in RULES:
        if (not select or rule.code in select) and rule.code not in ignore:
            for one in rule.check(network):
                found.setdefault((rule.code, one.node.origin.place or one.node.name), []).append(one)
    findings = [_finding(code, together, network) for (code, _), together in found.items()]
    return sorted(findings, key=lambda finding: (finding.order(), finding.code))


def _known(codes: Iterable[str]) -> frozenset[str]:
    names = frozenset(code.upper() for code in codes)
    for name in sorted(names - set(CODES)):
        hint = did_you_mean(name, CODES) or f"there are {CODES[0]} to {CODES[-1]}"
        raise UsageError(f"there is no rule `{name}`", hint=hint)
    return names


def _finding(code: str, together: Sequence[Found], network: MeasuredNetwork) -> Finding:
    first = together[0]
    layers = tuple(one.node.name for one in together)
    notes = [first.note] if first.note else []
    if network.live.issuperset(layers) and network.inference.isdisjoint(layers):
        notes.append("only training runs it: it is part of an auxiliary head")
    if len(layers) > 1:
        more = f" and {len(layers) - 1 - SHOWN} more" if len(layers) - 1 > SHOWN else ""
        notes.append(f"the same line also gives {', '.join(layers[1 : SHOWN + 1])}{more}")
    return Finding(
        code,
        first.message,
        first.node.origin.place,
        notes=tuple(notes),
        help=first.help,
        severity="warning",
        layers=layers,
    )
