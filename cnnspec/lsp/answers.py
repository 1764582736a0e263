"""What editor services say, as the protocol has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from lsprotocol import types

from cnnspec.editor.complete import complete, signature
from cnnspec.editor.fixes import apply, disjoint, line_ending, sound_fix
from cnnspec.editor.hints import Show, hints
from cnnspec.editor.hover import hover
from cnnspec.editor.names import RENAMED, Names, Occurrence
from cnnspec.editor.snapshot import look
from cnnspec.editor.structure import Part, folds, structure
from cnnspec.errors import CnnspecError, SpecError
from cnnspec.graph import Graph
from cnnspec.language.format import format_text
from cnnspec.lsp.documents import Document
from cnnspec.lsp.positions import Positions
from cnnspec.lsp.training import training_options
from cnnspec.ops import AnyOp
from cnnspec.places import Diagnostic, Edit, Fix, Span

__all__ = [
    "CHOOSE",
    "COLOURS",
    "actions",
    "colours",
    "completions",
    "definition",
    "diagnostics",
    "folding",
    "formatting",
    "hovered",
    "inlay_hints",
    "lenses",
    "references",
    "rename",
    "renamed_range",
    "signatures",
    "symbols",
]

CHOOSE: Final = "cnnspec.choose"
MOST_TRIED: Final = 8  # findings for which a fix is tried at a time
_ITEM_KINDS: Final = {
    "key": types.CompletionItemKind.Keyword,
    "operator": types.CompletionItemKind.Class,
    "block": types.CompletionItemKind.Struct,
    "argument": types.CompletionItemKind.Property,
    "parameter": types.CompletionItemKind.Variable,
    "layer": types.CompletionItemKind.Field,
    "function": types.CompletionItemKind.Function,
    "word": types.CompletionItemKind.EnumMember,
}
_COLOURED: Final = {  # a kind of name, and what editors colour alike
    "operator": types.SemanticTokenTypes.Class,
    "block": types.SemanticTokenTypes.Type,
    "argument": types.SemanticTokenTypes.Parameter,
    "parameter": types.SemanticTokenTypes.Variable,
    "local": types.SemanticTokenTypes.Variable,
    "layer": types.SemanticTokenTypes.Property,
}
COLOURS: Final = types.SemanticTokensLegend(
    [kind.value for kind in dict.fromkeys(_COLOURED.values())], [types.SemanticTokenModifiers.Declaration.value]
)
_SYMBOL_KINDS: Final = {
    "block": types.SymbolKind.Class,
    "parameter": types.SymbolKind.Variable,
    "layer": types.SymbolKind.Field,
    "body": types.SymbolKind.Namespace,
}


def diagnostics(document: Document) -> list[types.Diagnostic]:
    """The findings, with what is beside them."""
    positions = document.positions
    return [_diagnostic(each, positions) for each in document.findings()]


def _diagnostic(finding: Diagnostic, positions: Positions) -> types.Diagnostic:
    parts = [finding.message, finding.label, *finding.notes, f"help: {finding.help}" if finding.help else None]
    severity = types.DiagnosticSeverity.Error if finding.severity == "error" else types.DiagnosticSeverity.Warning
    span = finding.place.span if finding.place is not None else Span(1, 1, 1, 1)
    where = positions.range(span)
    if where.start.line < where.end.line:  # the first line is enough to be underlined, and not all that stands below it
        end = positions.line_end(span.line)
        where = types.Range(where.start, end if where.start.character < end.character else where.start)
    return types.Diagnostic(where, "\n".join(filter(None, parts)), severity, finding.code, source="cnnspec")


def inlay_hints(document: Document, params: types.InlayHintParams, show: Show) -> list[types.InlayHint]:
    """The hints of the lines that are shown."""
    positions = document.positions
    first, last = params.range.start.line, params.range.end.line
    found = []
    for hint in hints(document.look(), show):
        at = positions.line_end(hint.line)
        if first <= at.line <= last:
            found.append(types.InlayHint(at, hint.text, padding_left=True, tooltip=hint.details))
    return found


def hovered(document: Document, params: types.HoverParams) -> types.Hover | None:
    """What there is to say about the word at a position."""
    snapshot = document.look()
    line, column = document.positions.place(params.position)
    found = hover(snapshot, line, column, document.findings(), training_options)
    if found is None:
        return None
    content = types.MarkupContent(types.MarkupKind.Markdown, found.markdown)
    return types.Hover(content, document.positions.range(found.span))


def completions(document: Document, params: types.CompletionParams) -> types.CompletionList:
    """What can be written at a position, best first."""
    positions = document.positions
    line, column = positions.place(params.position)
    end = positions.offset(params.position)
    items = []
    for number, each in enumerate(complete(document.look(), line, column, training_options)):
        replaced = types.Range(positions.position(end - each.replaces), params.position)
        items.append(
            types.CompletionItem(
                each.label,
                kind=_ITEM_KINDS[each.kind],
                detail=each.detail or None,
                documentation=types.MarkupContent(types.MarkupKind.Markdown, each.markdown) if each.markdown else None,
                sort_text=f"{number:04}",
                text_edit=types.TextEdit(replaced, each.text),
            )
        )
    return types.CompletionList(False, items)


def signatures(document: Document, params: types.SignatureHelpParams) -> types.SignatureHelp | None:
    """The signature of the call around a position."""
    found = signature(document.look(), *document.positions.place(params.position))
    if found is None:
        return None
    parameters = [types.ParameterInformation(name) for name in found.arguments]
    shown = types.SignatureInformation(found.label, parameters=parameters, active_parameter=found.active)
    return types.SignatureHelp([shown], 0, found.active)


def _named(document: Document, position: types.Position) -> tuple[Names, Occurrence | None]:
    snapshot = document.look()
    names = Names(snapshot.source.document, snapshot.lines)
    return names, names.at(*document.positions.place(position))


def definition(document: Document, params: types.DefinitionParams) -> types.Location | None:
    """Where the name at a position is defined."""
    names, found = _named(document, params.position)
    place = names.definition(found.symbol) if found is not None else None
    return None if place is None else types.Location(document.uri, document.positions.range(place.span))


def references(document: Document, params: types.ReferenceParams) -> list[types.Location]:
    """Where the name at a position occurs."""
    names, found = _named(document, params.position)
    if found is None:
        return []
    positions = document.positions
    return [
        types.Location(document.uri, positions.range(each.place.span))
        for each in names.of(found.symbol)
        if params.context.include_declaration or not each.defines
    ]


def renamed_range(document: Document, params: types.PrepareRenameParams | types.RenameParams) -> types.Range | None:
    """The name at a position, where it is one that the text defines."""
    names, found = _named(document, params.position)
    if found is None or found.symbol.kind not in RENAMED or names.definition(found.symbol) is None:
        return None
    return document.positions.range(found.place.span)


def rename(document: Document, params: types.RenameParams) -> types.WorkspaceEdit | None:
    """Another name in all its places. Raises CnnspecError for one with which the text says something else."""
    if renamed_range(document, params) is None:
        return None
    name = params.new_name
    names, found = _named(document, params.position)
    assert found is not None
    fix = Fix(f"call it `{name:.60}`", tuple(Edit(each.place.span, name) for each in names.of(found.symbol)))
    text = apply(document.text, [fix])
    before, after = document.look().outcome.graph, look(text, document.path, choice=document.choice).outcome.graph
    wrong = _errors(document.findings_in(text)) - _errors(document.findings())
    if not name or wrong or (before is not None and (after is None or _wired(before) != _wired(after))):
        raise CnnspecError(f"`{name:.60}` cannot be the name: the text would say something else")
    return _edited(document, [fix])


def _errors(found: Iterable[Diagnostic]) -> Counter[str]:
    """How many errors there are of each code."""
    return Counter(each.code for each in found if each.severity == "error")


def _wired(graph: Graph) -> list[tuple[AnyOp, tuple[int, ...]]]:
    """What a network computes, whatever its layers are called: each with the layers that it reads, by their places."""
    places = {name: place for place, name in enumerate(("input", *(node.name for node in graph)))}
    return [(node.op, tuple(places.get(name, 0) for name in node.inputs)) for node in graph]


def _edited(document: Document, fixes: Iterable[Fix]) -> types.WorkspaceEdit:
    positions, ending = document.positions, line_ending(document.text)
    edits = [
        types.TextEdit(positions.range(edit.span), edit.text.replace("\n", ending))
        for fix in fixes
        for edit in fix.edits
    ]
    return types.WorkspaceEdit(changes={document.uri: edits})


def symbols(document: Document, _: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
    """The outline of a text."""
    positions = document.positions
    return [_symbol(part, positions) for part in structure(document.look())]


def _symbol(part: Part, positions: Positions) -> types.DocumentSymbol:
    return types.DocumentSymbol(
        part.name or "-",
        _SYMBOL_KINDS[part.kind],
        positions.range(part.span),
        positions.range(part.name_span),
        detail=part.detail,
        children=[_symbol(child, positions) for child in part.children],
    )


def colours(document: Document, _: types.SemanticTokensParams) -> types.SemanticTokens:
    """The names of a text by what they name, each from where the one before begins."""
    positions, snapshot = document.positions, document.look()
    found = {}
    for each in Names(snapshot.source.document, snapshot.lines).all:
        where = positions.range(each.place.span)
        if each.symbol.kind in _COLOURED and where.start.line == where.end.line:
            found[where.start.line, where.start.character] = where.end.character, each
    data, line, column = [], 0, 0
    for (at, start), (end, each) in sorted(found.items(), key=lambda item: item[0]):
        kind = COLOURS.token_types.index(_COLOURED[each.symbol.kind].value)
        data += [at - line, start - column if at == line else start, end - start, kind, int(each.defines)]
        line, column = at, start
    return types.SemanticTokens(data)


def folding(document: Document, _: types.FoldingRangeParams) -> list[types.FoldingRange]:
    """What can be folded."""
    positions = document.positions
    return [
        types.FoldingRange(positions.line_end(first).line, positions.line_end(last).line)
        for first, last in folds(document.look().lines)
    ]


def actions(document: Document, params: types.CodeActionParams) -> list[types.CodeAction]:
    """What mends the findings in a range, tried; and all of them where there are several."""
    positions, found = document.positions, document.findings()
    start, end = positions.offset(params.range.start), positions.offset(params.range.end)
    wheres = [None if each.place is None else positions.range(each.place.span) for each in found]
    touched = [
        where is not None and positions.offset(where.start) <= end and start <= positions.offset(where.end)
        for where in wheres
    ]
    if not any(touched):
        return []
    near: list[types.CodeAction] = []
    every: list[Fix] = []
    for is_near, finding in sorted(zip(touched, found, strict=True), key=lambda pair: not pair[0])[:MOST_TRIED]:
        fix = sound_fix(finding, document.text, found, document.findings_in)
        if fix is None:
            continue
        every.append(fix)
        if is_near:
            action = _action(document, fix.title, [fix])
            action.diagnostics = [_diagnostic(finding, positions)]
            action.is_preferred = True
            near.append(action)
    together = disjoint(every)
    if near and len(together) > 1:
        near.append(_action(document, f"mend all {len(together)}", together))
    return near


def _action(document: Document, title: str, fixes: Iterable[Fix]) -> types.CodeAction:
    return types.CodeAction(title, types.CodeActionKind.QuickFix, edit=_edited(document, fixes))


def formatting(document: Document, _: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
    """The canonical form, as one edit; None where the text has errors."""
    try:
        formatted = format_text(document.text, path=document.path)
    except SpecError:
        return None
    positions = document.positions
    if formatted == document.text:
        return []
    whole = types.Range(types.Position(0, 0), positions.position(len(document.text)))
    return [types.TextEdit(whole, formatted)]


def lenses(document: Document, _: types.CodeLensParams) -> list[types.CodeLens]:
    """Above the network's first line: which variant is looked at, and the others to choose."""
    variants = document.look().source.document.variants
    place = document.look().source.document.places.get("variants")
    if not variants or place is None:
        return []
    where = document.positions.range(place.span)
    found = []
    for variant in (None, *variants):
        chosen = "● " if variant == document.choice.variant else ""
        arguments: list[Any] = [document.uri, variant]
        title = f"{chosen}as {variant or 'declared'}"
        found.append(types.CodeLens(where, types.Command(title, CHOOSE, arguments=arguments)))
    return found
