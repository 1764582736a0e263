"""Diagnostics on a terminal, in colour where it has some, and as JSON, GitHub's annotations and SARIF."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, TextIO

from cnnspec.api.terms import Paint, count, render_all, visible
from cnnspec.errors import Diagnostic
from cnnspec.version import __version__

if TYPE_CHECKING:
    from cnnspec.api import Checked

__all__ = ["FORMS", "painter", "show"]

_ANSI: Final = {"error": "1;31", "warning": "1;33", "mark": "1;31", "dim": "2;36"}


def painter(stream: TextIO) -> Paint:
    """Colours for a terminal that has them; https://no-color.org is honoured."""
    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    if plain:
        return lambda text, style: text
    return lambda text, style: f"\x1b[{_ANSI[style]}m{text}\x1b[0m"


def show(diagnostics: Sequence[Diagnostic], path: str, text: str, stream: TextIO) -> str:
    """The diagnostics of one file, for this stream."""
    return render_all(diagnostics, path, text, painter(stream))


def _as_text(checked: Sequence[Checked], stream: TextIO) -> str:
    parts = [show(file.diagnostics, file.path, file.text, stream) for file in checked if file.diagnostics]
    files = f"{len(checked)} file{'s' * (len(checked) > 1)} checked"
    everything = [diagnostic for file in checked for diagnostic in file.diagnostics]
    return "\n\n".join([*parts, f"{files}: {count(everything)}"])


def _as_json(checked: Sequence[Checked], _: TextIO) -> str:
    severities = [diagnostic.severity for file in checked for diagnostic in file.diagnostics]
    document = {
        "cnnspec": 1,
        "files": [
            {"path": file.path, "findings": [diagnostic.to_dict() for diagnostic in file.diagnostics]}
            for file in checked
        ],
        "totals": {"errors": severities.count("error"), "warnings": severities.count("warning")},
    }
    return json.dumps(document, indent=1)


def _as_github(checked: Sequence[Checked], _: TextIO) -> str:
    """Workflow commands: GitHub shows each beside its line."""
    lines = []
    for file in checked:
        for diagnostic in file.diagnostics:
            fields = {"file": file.path, "title": f"cnnspec {diagnostic.code}"}
            if diagnostic.place:
                end = diagnostic.place.column + diagnostic.place.length
                fields |= {
                    "line": f"{diagnostic.place.line}",
                    "col": f"{diagnostic.place.column}",
                    "endColumn": f"{end}",
                }
            listed = ",".join(f"{key}={_escape(value, ':,')}" for key, value in fields.items())
            parts = [
                diagnostic.message,
                diagnostic.label,
                *diagnostic.notes,
                diagnostic.help and f"help: {diagnostic.help}",
            ]
            message = "\n".join(part for part in parts if part)
            lines.append(visible(f"::{diagnostic.severity} {listed}::{_escape(message)}"))
    return "\n".join(lines)


def _escape(text: str, more: str = "") -> str:
    for letter in "%\r\n" + more:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _as_sarif(checked: Sequence[Checked], _: TextIO) -> str:
    """SARIF 2.1.0, as code-scanning services read it."""
    pairs = [(file, diagnostic) for file in checked for diagnostic in file.diagnostics]
    codes = sorted({diagnostic.code for _, diagnostic in pairs})
    driver = {"name": "cnnspec", "version": __version__, "rules": [{"id": code} for code in codes]}
    results = [_result(file, diagnostic, codes.index(diagnostic.code)) for file, diagnostic in pairs]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {"version": "2.1.0", "runs": [run]}
    return json.dumps(document, indent=1)


def _result(file: Checked, diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    location: dict[str, Any] = {"artifactLocation": {"uri": file.path.replace(os.sep, "/")}}
    if diagnostic.place:
        end = diagnostic.place.column + diagnostic.place.length
        location["region"] = {
            "startLine": diagnostic.place.line,
            "startColumn": diagnostic.place.column,
            "endColumn": end,
        }
    parts = [diagnostic.message, diagnostic.label, *diagnostic.notes, diagnostic.help]
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": "\n".join(part for part in parts if part)},
        "locations": [{"physicalLocation": location}],
    }


FORMS: Final[dict[str, Callable[[Sequence[Checked], TextIO], str]]] = {
    "text": _as_text,
    "json": _as_json,
    "github": _as_github,
    "sarif": _as_sarif,
}
