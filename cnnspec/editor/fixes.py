"""What mends a finding, as edits of the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from cnnspec.places import Diagnostic, Edit, Fix, LayerBefore, Span, Suggestion, split_lines

__all__ = ["Fixed", "apply", "fix_of", "mend"]

_ITEM: Final = re.compile(r"(?P<indent> *)(?:(?P<dash>- +)|(?P<key>[\w{} +*-]+): +)(?=[A-Za-z\"'])")
_UNREAD: Final = ("E101", "E102")  # no YAML: nothing else is found then
MOST_ROUNDS: Final = 20
_BREAKS: Final = re.compile("(\r\n|[\r\n\x85\u2028\u2029])")


class Fixed(NamedTuple):
    """A text in which what could be mended is mended, and what was done, in words."""

    text: str
    done: tuple[str, ...]


def fix_of(diagnostic: Diagnostic, lines: Sequence[str]) -> Fix | None:
    """What mends a finding in a text of these lines, or None where that is not known."""
    fix, place = diagnostic.fix, diagnostic.place
    if isinstance(fix, Fix):
        return fix
    if place is None:
        return None
    if isinstance(fix, LayerBefore):
        return _with_layer(fix, place.line, lines)
    if not isinstance(diagnostic.label, Suggestion):
        return None
    word = diagnostic.label.word
    return Fix(f"write `{word}`", (Edit(place.span, word),))


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
    elif written.rstrip().count("(") > 1 and written.rstrip().endswith(")") and ")(" in written:
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


def apply(text: str, fixes: Iterable[Fix]) -> str:
    """The text with fixes made, of which none overlaps one before it. New lines end as those of the text do."""
    parts = _BREAKS.split(text)
    lines, breaks = parts[::2], parts[1::2]
    starts = [0]
    for written, ending in zip(lines, breaks, strict=False):
        starts.append(starts[-1] + len(written) + len(ending))
    edits: list[tuple[int, int, str]] = []
    for fix in fixes:
        made = [
            (
                starts[edit.span.line - 1] + edit.span.column - 1,
                starts[edit.span.end_line - 1] + edit.span.end_column - 1,
                edit.text,
            )
            for edit in fix.edits
        ]
        if not any(
            (start < end_ and start_ < end) or start == start_ for start, end, _ in made for start_, end_, _ in edits
        ):
            edits += made
    ending = breaks[0] if breaks else "\n"
    for start, end, new in sorted(edits, reverse=True):
        text = f"{text[:start]}{new.replace(chr(10), ending)}{text[end:]}"
    return text


def mend(text: str, find: Callable[[str], Iterable[Diagnostic]]) -> tuple[str, list[Fix]]:
    """A text with all made that is known to mend what is found in it, and what was done, in turn.

    What is found anew behind a mistake that is mended is mended too. A fix after which there is more to find than
    before is not made.
    """
    made: list[Fix] = []
    diagnostics = list(find(text))
    for _ in range(MOST_ROUNDS):
        lines = split_lines(text)
        fixes = [fix for each in diagnostics if (fix := fix_of(each, lines)) is not None]
        for tried in (fixes, *([fix] for fix in fixes)):
            better = apply(text, tried)
            left = list(find(better)) if better != text else diagnostics
            if _weight(left) < _weight(diagnostics):
                text, diagnostics = better, left
                made += tried
                break
        else:
            break
    return text, made


def _weight(diagnostics: Iterable[Diagnostic]) -> tuple[bool, int, int]:
    """How bad findings are: a text that cannot be read at all is worse than any that has errors in it."""
    found = list(diagnostics)
    errors = [each for each in found if each.severity == "error"]
    return any(each.code in _UNREAD for each in errors), len(errors), len(found)
