"""What mends a finding, as edits of the text."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, TypeAlias

from cnnspec.places import LINE_BREAK, Diagnostic, Edit, Fix, LayerBefore, Span, Suggestion, split_lines

__all__ = ["Fixed", "apply", "disjoint", "fix_of", "line_ending", "mend", "sound_fix"]

_ITEM: Final = re.compile(r"(?P<indent> *)(?:- +|(?P<key>[\w{} +*-]+): +)(?=[A-Za-z\"'])")
_UNREAD: Final = ("E101", "E102")  # no YAML: nothing else is found then
MOST_LOOKS: Final = 40


class Fixed(NamedTuple):
    """A text in which what could be mended is mended, and what was done, in words."""

    text: str
    done: tuple[str, ...]


Find: TypeAlias = Callable[[str], Sequence[Diagnostic]]


def fix_of(diagnostic: Diagnostic, lines: Sequence[str]) -> Fix | None:
    """What mends a finding in a text of these lines, or None where that is not known."""
    return next(_fixes(diagnostic, lines), None)


def sound_fix(diagnostic: Diagnostic, text: str, found: Sequence[Diagnostic], find: Find) -> Fix | None:
    """What mends a finding of a text, tried: it is found no more, and no mistake is new where the fix writes.

    `found` is all that is found in the text, and `find` says what is found in others. Mistakes that show elsewhere may
    have been there before, hidden by this one.
    """
    before = Counter(map(_key, found))
    for fix in _fixes(diagnostic, split_lines(text)):
        found_then = find(apply(text, [fix]))
        after = Counter(map(_key, found_then))
        first = min(edit.span.line for edit in fix.edits)
        last = max(edit.span.end_line + edit.text.count("\n") for edit in fix.edits)
        new = [
            each
            for each in found_then
            if each.severity == "error" and each.place is not None and first <= each.place.line <= last
            if after[_key(each)] > before[_key(each)]
        ]
        if after[_key(diagnostic)] < before[_key(diagnostic)] and not new:
            return fix
    return None


def _key(diagnostic: Diagnostic) -> tuple[str, str]:
    return diagnostic.code, diagnostic.message


def _fixes(diagnostic: Diagnostic, lines: Sequence[str]) -> Iterator[Fix]:
    """What may mend a finding, the likeliest first."""
    fix, place = diagnostic.fix, diagnostic.place
    if isinstance(fix, Fix):
        yield fix
    elif place is not None and isinstance(fix, LayerBefore):
        made = _with_layer(fix, (fix.item or place).line, lines)
        if made is not None:
            yield made
    elif place is not None and isinstance(diagnostic.label, Suggestion):
        defined = _misspelt_where_defined(place.span, diagnostic.label.word, lines)
        if defined is not None:
            yield defined
        for word in (diagnostic.label.word, *diagnostic.label.others):
            yield Fix(f"write `{word}`", (Edit(place.span, word),))


def _misspelt_where_defined(used: Span, defined: str, lines: Sequence[str]) -> Fix | None:
    """The word of a definition as it is used, where that stands several times and the definition's own only there."""
    name = lines[used.line - 1][used.column - 1 : used.end_column - 1] if used.line == used.end_line else ""
    if not name.isidentifier() or not defined.isidentifier():
        return None
    word, uses = re.compile(rf"(?<!\w){defined}(?!\w)"), re.compile(rf"(?<!\w){name}(?!\w)")
    there = [(number, match) for number, line in enumerate(lines, 1) for match in word.finditer(line)]
    if len(there) != 1 or sum(len(uses.findall(line)) for line in lines) < 2:
        return None
    ((number, match),) = there
    if not re.match(r"['\"]?\s*:", lines[number - 1][match.end() :]):
        return None  # it defines nothing
    span = Span(number, match.start() + 1, number, match.end() + 1)
    return Fix(f"call `{defined}` `{name}`", (Edit(span, name),))


def _with_layer(more: LayerBefore, line: int, lines: Sequence[str]) -> Fix | None:
    """A line more above an item that has a line of its own; None for one between brackets or in long form."""
    written = lines[line - 1]
    match = _ITEM.match(written)
    if match is None:
        return None
    named = match["key"] is not None
    if not named and more.read is not None:
        return None  # an item of a list has no name to be read by
    key = _free(more.key, lines)
    reads = f"({more.read[0]})" if more.read is not None else ""
    head = f"{key}: " if named else "- "
    edits = [Edit(Span(line, 1, line, 1), f"{match['indent']}{head}{more.call}{reads}\n")]
    if more.read is not None:
        edits.append(Edit(more.read[1].span, key))
    elif ")(" in written:
        return None  # it names what it reads, and would go on reading that
    return Fix(f"insert `{more.call}{reads}`", tuple(edits))


def _free(key: str, lines: Sequence[str]) -> str:
    """The key, with a number where a line begins with it already."""
    taken = {line.strip().partition(":")[0] for line in lines}
    number, name = 1, key
    while name in taken:
        number += 1
        name = f"{key}{number}"
    return name


def disjoint(fixes: Iterable[Fix]) -> list[Fix]:
    """The fixes without those that overlap one before them."""
    made: list[Fix] = []
    taken: list[Span] = []
    for fix in fixes:
        spans = [edit.span for edit in fix.edits]
        if not any(_overlap(span, other) for span in spans for other in taken):
            made.append(fix)
            taken += spans
    return made


def _overlap(one: Span, other: Span) -> bool:
    """Whether two spans share a letter, or begin at one place."""
    return one[:2] == other[:2] or (one[:2] < other[2:] and other[:2] < one[2:])


def apply(text: str, fixes: Iterable[Fix]) -> str:
    """The text with these fixes made, which do not overlap. New lines end as those of the text do."""
    starts = [0, *(match.end() for match in LINE_BREAK.finditer(text))]
    ending = line_ending(text)
    edits = sorted((edit for fix in fixes for edit in fix.edits), key=lambda edit: edit.span, reverse=True)
    for (line, column, end_line, end_column), new in edits:
        start, end = starts[line - 1] + column - 1, starts[end_line - 1] + end_column - 1
        text = f"{text[:start]}{new.replace(chr(10), ending)}{text[end:]}"
    return text


def line_ending(text: str) -> str:
    """What ends the first line of a text; a new line where there is but one."""
    first = LINE_BREAK.search(text)
    return first[0] if first is not None else "\n"


def mend(text: str, find: Find) -> Fixed:
    """A text with all made that is known to mend what is found in it, and what was done, in turn.

    What is found anew behind a mistake that is mended is mended too. A fix after which there is no less to find than
    before is not made. `find` is asked at most MOST_LOOKS times.
    """
    done: list[str] = []
    found = find(text)
    left = MOST_LOOKS
    tries = _tries(found, text)
    while left and (fixes := next(tries, None)):
        left -= 1
        better = apply(text, fixes)
        found_then = find(better)
        if _weight(found_then) < _weight(found):
            text, found = better, found_then
            done += [fix.title for fix in fixes]
            tries = _tries(found, text)
    return Fixed(text, tuple(done))


def _tries(found: Iterable[Diagnostic], text: str) -> Iterator[list[Fix]]:
    """What to try in turn: all that is known at once and, should that not help, each alone."""
    lines = split_lines(text)
    fixes = disjoint(fix for each in found if (fix := fix_of(each, lines)) is not None)
    yield fixes
    if len(fixes) > 1:
        yield from ([fix] for fix in fixes)


def _weight(found: Sequence[Diagnostic]) -> tuple[bool, int, int]:
    """How bad findings are: a text that cannot be read at all is worse than any that has errors in it."""
    errors = [each for each in found if each.severity == "error"]
    return any(each.code in _UNREAD for each in errors), len(errors), len(found)
