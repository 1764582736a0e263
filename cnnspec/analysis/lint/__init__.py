"""Warnings about valid networks: what an experienced reader of the spec would ask about.

Every rule is a function of its own in the file of its kind, which `@rule` gives its code and its title; `RULES` gathers
them. `docs/codes` has a page for each code.
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

RULES: Final = tuple(
    sorted(
        (value for file in (cost, fields, order, windows) for value in vars(file).values() if isinstance(value, Rule)),
        key=lambda rule: rule.code,
    )
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
    by_line: dict[tuple[str, object], list[Found]] = {}
    for rule in RULES:
        if (not select or rule.code in select) and rule.code not in ignore:
            for one in rule.check(network):
                by_line.setdefault((rule.code, one.node.origin.place or one.node.name), []).append(one)
    findings = [_finding(code, together, network) for (code, _), together in by_line.items()]
    return sorted(findings, key=lambda finding: (finding.order(), finding.code))


def _known(codes: Iterable[str]) -> frozenset[str]:
    names = frozenset(str(code).upper() for code in codes)
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
        fix=first.fix,
    )
