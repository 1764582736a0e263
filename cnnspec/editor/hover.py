"""What is said of the word under the cursor, as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from cnnspec.analysis.explain import explain
from cnnspec.codes import explain_code
from cnnspec.editor.names import Names, Occurrence
from cnnspec.editor.sections import Options, no_options, section_key
from cnnspec.editor.snapshot import Fact, Snapshot
from cnnspec.errors import SpecError, UsageError
from cnnspec.graph import MAX_NODES
from cnnspec.language.bind import argument_names
from cnnspec.language.document import Expr
from cnnspec.language.expand import Use
from cnnspec.language.results import LayerName, show
from cnnspec.language.values import Log, UnknownValue, Values
from cnnspec.ops import operators, show_shape
from cnnspec.ops.describe import argument_line, describe
from cnnspec.places import Diagnostic, Place, Span
from cnnspec.tasks import TASKS

__all__ = ["Hover", "hover"]

MOST_COPIES: Final = 24  # that a table lists
TOLD: Final = 3  # different values of an expression in a sentence; more become a table


class Hover(NamedTuple):
    """A text about a span of the document."""

    span: Span
    markdown: str


def hover(
    snapshot: Snapshot,
    line: int,
    column: int,
    findings: Iterable[Diagnostic] = (),
    options: Options = no_options,
) -> Hover | None:
    """What there is to say about the word at a place (from 1); None where there is nothing.

    `findings` are what is wrong with the text: their pages are shown where no word has anything to say. `options`
    gives the options of training, by name.
    """
    place, parts = None, []
    for finding in findings:
        if finding.place is not None and finding.place.covers(line, column):
            place = finding.place
            parts.append(_page(finding))
    names = Names(snapshot.source.document, snapshot.lines)
    occurrence = names.at(line, column)
    if occurrence is not None:
        place = occurrence.place
        parts += _about(snapshot, names, occurrence)
    elif (key := _task_key(snapshot, line, column) or section_key(snapshot.lines, line, column, options)) is not None:
        place = key[0]
        parts.append(key[1])
    elif (value := _expression_at(snapshot, line, column)) is not None:
        place = value[0].place
        parts += _values(snapshot, *value)
    if place is None or not parts:
        return None
    return Hover(place.span, "\n\n---\n\n".join(parts))


def _page(finding: Diagnostic) -> str:
    try:
        return explain_code(finding.code).strip()
    except UsageError:  # of a place that has no pages of its own
        return finding.message


def _task_key(snapshot: Snapshot, line: int, column: int) -> tuple[Place, str] | None:
    """The key `task` at a place, and what the network is taught, which losses and figures there are."""
    place = snapshot.source.document.places.get("task")
    if place is None or not place.covers(line, column):
        return None
    options = snapshot.source.document.header.task
    if options is None:
        return place, f"`task`: what the network is for: {', '.join(f'`{name}`' for name in TASKS)}"
    task = TASKS[options.name]
    rows = [("taught", task.taught), ("gives", task.output), ("losses", ", ".join(task.losses))]
    rows.append(("figures", ", ".join(figure.title for figure in task.figures)))
    return place, f"`task`: {task.name}\n\n" + "\n".join(f"- {head}: {text}" for head, text in rows)


def _about(snapshot: Snapshot, names: Names, found: Occurrence) -> list[str]:
    symbol, item = found.symbol, found.item
    uses = [use for use in snapshot.outcome.uses if use.item is item]
    if symbol.kind == "operator":
        return [*_arithmetic(snapshot, uses), describe(symbol.name).strip()]
    if symbol.kind == "argument":
        called = dict.fromkeys(filter(None, map(_called, uses))) or [symbol.owner]  # a parameter may hold several
        return [argument_line(name, symbol.name) for name in called if _takes(name, symbol.name)]
    if symbol.kind == "layer":
        if found.defines:
            return _arithmetic(snapshot, uses)
        return [_copies(_facts_of(snapshot, names, found))]
    if symbol.kind == "block":
        calls = [use for use in snapshot.outcome.uses if _called(use) == symbol.name]
        chosen = uses or calls
        facts = [fact for fact in _all_facts(snapshot) if fact.name in {use.name for use in chosen}]
        told = f"block `{symbol.name}`" + ("" if facts else ", which no layer calls")
        if uses and uses[0].result.name == uses[0].name:  # its branches are joined, and it is a layer itself
            return [told, *_arithmetic(snapshot, uses)]
        return [told, *([_copies(facts)] if facts else [])]
    if symbol.kind == "parameter" and not symbol.owner:
        return [_parameter(snapshot, symbol.name)]
    if symbol.kind in ("parameter", "local"):
        values = {
            show(use.frame.scope[symbol.name]): None for use in snapshot.outcome.uses if symbol.name in use.frame.scope
        }
        return [f"`{symbol.name}` = {_listed(values)}"] if values else []
    return []


def _called(use: Use) -> str | None:
    """What the call of an item makes, by its own name where a parameter holds it."""
    if use.item.call is None:
        return None
    held = use.frame.scope.get(use.item.call.target)
    return held.name if isinstance(held, LayerName) else use.item.call.target


def _takes(target: str, argument: str) -> bool:
    """Whether a target is an operator that takes an argument: both may be misspelt."""
    return target in operators() and argument in argument_names(target)


def _arithmetic(snapshot: Snapshot, uses: Sequence[Use]) -> list[str]:
    """The arithmetic of the first copy, and all copies where there are several."""
    graph = snapshot.outcome.graph
    if not uses:
        return []
    parts = []
    if graph is not None:
        try:
            name = uses[0].result.name if uses[0].item.call else uses[0].name
            told = explain(graph, snapshot.report, name, snapshot.figures.states)
        except (SpecError, UsageError):  # too irregular, or the input itself
            told = None
        if told is not None:
            width = max((len(heading) for heading, _ in told.lines), default=0)
            rows = "\n".join(f"{heading.ljust(width)}  {text}" for heading, text in told.lines)
            parts.append(f"**{told.layer}**: `{told.call}`\n\n```text\n{rows}\n```")
    names = {use.name for use in uses}
    facts = [fact for fact in _all_facts(snapshot) if fact.name in names]
    if len(facts) > 1 or (facts and graph is None):
        parts.append(_copies(facts))
    return parts


def _all_facts(snapshot: Snapshot) -> list[Fact]:
    return [fact for facts in snapshot.facts.values() for fact in facts]


def _facts_of(snapshot: Snapshot, names: Names, found: Occurrence) -> list[Fact]:
    place = names.definition(found.symbol)
    return list(snapshot.facts.get(place.line, ())) if place is not None else []


def _copies(facts: Sequence[Fact]) -> str:
    rows = ["| layer | output | receptive field | params | MACs |", "|---|---|---|--:|--:|"]
    rows += [
        f"| {fact.name} | {show_shape(fact.shape)} | {fact.field or '-'} | {fact.params:,} | {fact.macs:,} |"
        for fact in facts[:MOST_COPIES]
    ]
    more = len(facts) - MOST_COPIES
    return "\n".join(rows) + (f"\n\n… and {more} more" if more > 0 else "")


def _parameter(snapshot: Snapshot, name: str) -> str:
    """A parameter of the network: its value, and that in every variant."""
    document = snapshot.source.document
    defaults = {param.name: param.default for param in document.main.params}
    default = defaults.get(name)
    rows = [("as declared", "no value" if default is None else _written(snapshot, default))]
    for variant, settings in document.variants.items():
        rows += [(variant, _written(snapshot, setting.expr)) for setting in settings if setting.name == name]
    return f"parameter `{name}`\n\n" + "\n".join(f"- {who}: {value}" for who, value in rows)


def _written(snapshot: Snapshot, expr: Expr) -> str:
    """An expression as it stands in the text."""
    line, column, end_line, end_column = expr.place.span
    if line != end_line:
        return "a list over several lines"
    return f"`{snapshot.lines[line - 1][column - 1 : end_column - 1]}`"


def _expression_at(snapshot: Snapshot, line: int, column: int) -> tuple[Expr, list[Use]] | None:
    """The expression at a place that is more than a number, and the copies of the item that it stands in."""
    found: dict[int, tuple[Expr, list[Use]]] = {}
    for use in snapshot.outcome.uses:
        item = use.item
        args = [arg.expr for arg in item.call.args] if item.call is not None else []
        for expr in (*args, item.when, item.repeat):
            if expr is not None and expr.value is not None and expr.place.covers(line, column):
                found.setdefault(id(expr), (expr, []))[1].append(use)
    return min(found.values(), key=lambda each: each[0].place.length, default=None)


def _values(snapshot: Snapshot, expr: Expr, uses: Sequence[Use]) -> list[str]:
    """What an expression comes to, in each copy where they differ."""
    values = Values(snapshot.source.document, Log(), MAX_NODES)
    found: dict[str, list[str]] = {}
    for use in uses:
        try:
            found.setdefault(show(values.value(expr, use.frame)), []).append(use.name)
        except UnknownValue:
            continue
    written = _written(snapshot, expr)
    if not found or set(found) == {written.strip("`")}:
        return []
    if len(found) <= TOLD:
        return [f"{written} = {_listed(found)}"]
    rows = [f"- {value}: {', '.join(names[:4])}{', …' if len(names) > 4 else ''}" for value, names in found.items()]
    return [f"{written}\n\n" + "\n".join(rows[:MOST_COPIES])]


def _listed(values: Iterable[str]) -> str:
    shown = [f"`{value}`" for value in values]
    return " or ".join(shown[:MOST_COPIES]) + (", …" if len(shown) > MOST_COPIES else "")
