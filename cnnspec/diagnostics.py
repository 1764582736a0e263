"""Diagnostics as people read them: the place, the line, a caret under the word, the reason and the way out."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from cnnspec.places import Diagnostic, split_lines

__all__ = ["Paint", "count", "render", "render_all", "visible"]

WIDTH: Final = 160  # a longer line of the spec is cut around the caret

# Paints a text: "error" and "warning" the title, "mark" carets and label, "dim" the frame.
Paint = Callable[[str, str], str]


def _unpainted(text: str, style: str) -> str:
    return text


def render(diagnostic: Diagnostic, path: str, text: str, paint: Paint = _unpainted) -> str:
    """One diagnostic as text. `text` is what the file at `path` holds."""
    return _render(diagnostic, path, split_lines(text), paint)


def _render(diagnostic: Diagnostic, path: str, source: Sequence[str], paint: Paint) -> str:
    title = paint(f"{diagnostic.severity}[{diagnostic.code}]", diagnostic.severity)
    lines = [f"{title}: {visible(diagnostic.message)}"]
    place = diagnostic.place
    arrow = paint("-->", "dim")
    margin = " " * len(str(place.line)) if place else ""
    bar = paint(f"{margin} |", "dim")
    if place is None:
        lines.append(f"  {arrow} {visible(path)}")
        if diagnostic.label:
            lines.append(f"  = {visible(diagnostic.label)}")
    else:
        lines.append(f"  {arrow} {visible(path)}:{place.line}:{place.column}")
        if place.line <= len(source):
            shown, column = _cut(source[place.line - 1], place.column)
            marked = shown[column - 1 : column - 1 + place.length]
            caret = "^" * max(1, _columns(marked))
            label = f" {visible(diagnostic.label)}" if diagnostic.label else ""
            number = paint(f"{place.line} |", "dim")
            lines += [bar, f"{number} {shown}".rstrip()]
            lines.append(f"{bar} {' ' * _columns(shown[: column - 1])}{paint(caret + label, 'mark')}")
    equals = paint(f"{margin} =", "dim")
    lines += [f"{equals} {visible(note)}" for note in diagnostic.notes]
    if diagnostic.help:
        lines.append(f"{equals} help: {visible(diagnostic.help)}")
    return "\n".join(lines)


def visible(text: str) -> str:
    r"""The text without characters that a terminal would obey, line breaks among them: each as `\u001b`, as in JSON."""
    return text if text.isprintable() else "".join(map(_shown, text))


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))


def _columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(unicodedata.combining(letter) > 0 for letter in text)


def _cut(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around the column, and the column in it; control characters as blanks."""
    start = max(0, min(column - WIDTH // 2, len(line) - WIDTH))
    shown = line[start : start + WIDTH]
    return "".join(letter if letter.isprintable() else " " for letter in shown), column - start


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """`2 errors, 1 warning`."""
    kinds = [diagnostic.severity for diagnostic in diagnostics]
    parts = [f"{n} {kind}{'s' * (n > 1)}" for kind in ("error", "warning") if (n := kinds.count(kind))]
    return ", ".join(parts) or "nothing wrong"


def render_all(diagnostics: Sequence[Diagnostic], path: str, text: str, paint: Paint = _unpainted) -> str:
    """Every diagnostic of a file, in the order given, and a count where there are several."""
    source = split_lines(text)
    parts = [_render(diagnostic, path, source, paint) for diagnostic in diagnostics]
    if len(parts) > 1:
        parts.append(f"{count(diagnostics)} in {visible(path)}")
    return "\n\n".join(parts)
