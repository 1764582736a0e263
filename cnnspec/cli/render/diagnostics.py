"""Diagnostics on a terminal, in colour where it has some, and as JSON, GitHub's annotations, SARIF and JUnit."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TextIO

from cnnspec.api.terms import Paint, count, render, render_all, visible
from cnnspec.cli.render.foreign import json_text
from cnnspec.errors import Diagnostic
from cnnspec.version import __version__

if TYPE_CHECKING:
    from cnnspec.api import Checked

__all__ = ["FORMS", "Listing", "painter", "show"]

SARIF_SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
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


@dataclass(frozen=True)
class Listing:
    """What was found, and how it is to be told."""

    checked: Sequence[Checked]
    stream: TextIO
    strict: bool = False  # warnings fail too
    quiet: bool = False  # findings, and nothing else


def _as_text(listing: Listing) -> str:
    stream = listing.stream
    parts = [show(file.diagnostics, file.path, file.text, stream) for file in listing.checked if file.diagnostics]
    if listing.quiet:
        return "\n\n".join(parts)
    files = f"{len(listing.checked)} file{'s' * (len(listing.checked) > 1)} checked"
    everything = [diagnostic for file in listing.checked for diagnostic in file.diagnostics]
    return "\n\n".join([*parts, f"{files}: {count(everything)}"])


def _as_json(listing: Listing) -> str:
    severities = [diagnostic.severity for file in listing.checked for diagnostic in file.diagnostics]
    document = {
        "cnnspec": 1,
        "files": [
            {"path": file.path, "findings": [diagnostic.to_dict() for diagnostic in file.diagnostics]}
            for file in listing.checked
        ],
        "totals": {"errors": severities.count("error"), "warnings": severities.count("warning")},
    }
    return json_text(document, indent=1)


def _as_github(listing: Listing) -> str:
    """Workflow commands: GitHub shows each beside its line."""
    lines = []
    for file in listing.checked:
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
            lines.append(visible(f"::{diagnostic.severity} {listed}::{_escape(_words(diagnostic))}"))
    return "\n".join(lines)


def _words(diagnostic: Diagnostic) -> str:
    """The message, and below it the label, the notes and the way out."""
    way_out = diagnostic.help and f"help: {diagnostic.help}"
    return "\n".join(part for part in (diagnostic.message, diagnostic.label, *diagnostic.notes, way_out) if part)


def _escape(text: str, more: str = "") -> str:
    for letter in "%\r\n" + more:
        text = text.replace(letter, f"%{ord(letter):02X}")
    return text


def _as_sarif(listing: Listing) -> str:
    """SARIF 2.1.0, as code-scanning services read it."""
    pairs = [(file, diagnostic) for file in listing.checked for diagnostic in file.diagnostics]
    codes = sorted({diagnostic.code for _, diagnostic in pairs})
    driver = {"name": "cnnspec", "version": __version__, "rules": [_rule(code) for code in codes]}
    results = [_result(file, diagnostic, codes.index(diagnostic.code)) for file, diagnostic in pairs]
    run = {"tool": {"driver": driver}, "columnKind": "unicodeCodePoints", "results": results}
    document = {"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}
    return json_text(document, indent=1)


def _rule(code: str) -> dict[str, Any]:
    """A code with its title, its page and its level."""
    from cnnspec.codes import codes, explain_code

    page = explain_code(code)
    first = next(part for part in page.split("\n\n")[1:] if part.strip())
    return {
        "id": code,
        "shortDescription": {"text": codes()[code]},
        "fullDescription": {"text": " ".join(first.split())},
        "help": {"text": page, "markdown": page},
        "defaultConfiguration": {"level": "warning" if code.startswith("W") else "error"},
    }


def _result(file: Checked, diagnostic: Diagnostic, rule: int) -> dict[str, Any]:
    from urllib.parse import quote

    uri = quote(os.fsencode(file.path.replace(os.sep, "/")))
    location: dict[str, Any] = {"artifactLocation": {"uri": uri}}
    if diagnostic.place:
        end = diagnostic.place.column + diagnostic.place.length
        location["region"] = {
            "startLine": diagnostic.place.line,
            "startColumn": diagnostic.place.column,
            "endColumn": end,
        }
    return {
        "ruleId": diagnostic.code,
        "ruleIndex": rule,
        "level": diagnostic.severity,
        "message": {"text": _words(diagnostic)},
        "locations": [{"physicalLocation": location}],
    }


def _as_junit(listing: Listing) -> str:
    """JUnit's XML, as CI servers read it: a suite for each file, a case for each finding, one that passed for none."""
    suites, cases, failures = [], 0, 0
    for file in listing.checked:
        found = [(one, listing.strict or one.severity == "error") for one in file.diagnostics]
        failed = sum(fails for _, fails in found)
        attributes = {"name": file.path, "tests": max(1, len(found)), "failures": failed, "errors": 0, "skipped": 0}
        lines = [_case(file, one, fails) for one, fails in found] or [
            _tag("testcase", {"name": "check", "classname": file.path})
        ]
        suites += [_tag("testsuite", attributes, end=">"), *lines, "</testsuite>"]
        cases, failures = cases + max(1, len(found)), failures + failed
    whole = _tag("testsuites", {"name": "cnnspec check", "tests": cases, "failures": failures, "errors": 0}, end=">")
    text = "\n".join(['<?xml version="1.0" encoding="utf-8"?>', whole, *suites, "</testsuites>"])
    return text.encode("ascii", "xmlcharrefreplace").decode()  # so that it is itself on every stdout


def _case(file: Checked, diagnostic: Diagnostic, fails: bool) -> str:
    """One finding: a failure, or where it is none a case that passed and says what was found."""
    from xml.sax.saxutils import escape

    attributes: dict[str, object] = {"name": diagnostic.code, "classname": file.path}
    if diagnostic.place:
        attributes |= {"file": file.path, "line": diagnostic.place.line}
    told = escape("\n".join(map(visible, render(diagnostic, file.path, file.text).split("\n"))))
    about = {"type": f"{diagnostic.severity} {diagnostic.code}", "message": diagnostic.message}
    inner = f"{_tag('failure', about, end='>')}{told}</failure>" if fails else f"<system-out>{told}</system-out>"
    return f"{_tag('testcase', attributes, end='>')}{inner}</testcase>"


def _tag(name: str, attributes: Mapping[str, object], end: str = "/>") -> str:
    from xml.sax.saxutils import quoteattr

    return f"<{name}{''.join(f' {key}={quoteattr(visible(str(value)))}' for key, value in attributes.items())}{end}"


FORMS: Final[dict[str, Callable[[Listing], str]]] = {
    "text": _as_text,
    "json": _as_json,
    "github": _as_github,
    "sarif": _as_sarif,
    "junit": _as_junit,
}
