"""Diagnostics as people read them: the place, the line, a caret under the word, the reason and the way out."""

from __future__ import annotations

from cnnspec.errors import Diagnostic, SpecError

__all__ = ["render", "render_all"]

WIDTH = 160  # a longer line of the spec is cut around the caret


def render(diagnostic: Diagnostic, path: str, text: str) -> str:
    """One diagnostic as text."""
    lines = [f"{diagnostic.severity}[{diagnostic.code}]: {diagnostic.message}"]
    place = diagnostic.place
    if place is None:
        lines.append(f"  --> {path}")
    else:
        lines.append(f"  --> {path}:{place.line}:{place.column}")
        source = text.splitlines()
        if place.line <= len(source):
            number = str(place.line)
            shown, column = _cut(source[place.line - 1], place.column)
            margin = " " * len(number)
            length = max(1, min(place.length, len(shown) - column + 1))
            label = f" {diagnostic.label}" if diagnostic.label else ""
            lines += [f"{margin} |", f"{number} | {shown}", f"{margin} | {' ' * (column - 1)}{'^' * length}{label}"]
    gutter = " " * len(str(place.line)) if place else ""
    lines += [f"{gutter} = {note}" for note in diagnostic.notes]
    if place is None and diagnostic.label:
        lines.append(f"{gutter} = {diagnostic.label}")
    if diagnostic.help:
        lines.append(f"{gutter} = help: {diagnostic.help}")
    return "\n".join(lines)


def _cut(line: str, column: int) -> tuple[str, int]:
    """The part of a long line around the column, and the column in it; control characters as blanks."""
    shown = "".join(letter if letter.isprintable() else " " for letter in line)
    if len(shown) <= WIDTH:
        return shown, column
    start = max(0, min(column - WIDTH // 2, len(shown) - WIDTH))
    return shown[start : start + WIDTH], column - start


def render_all(error: SpecError) -> str:
    """Every diagnostic of an error, in the order of the text, and a count where there are several."""
    parts = [render(diagnostic, error.path, error.text) for diagnostic in error.diagnostics]
    if len(parts) > 1:
        parts.append(f"{len(parts)} errors in {error.path}")
    return "\n\n".join(parts)
