"""Text from others on the terminal: names out of files, paths, what libraries say.

A terminal obeys escape sequences, a line break forges a row, and a spreadsheet works out what begins like a formula.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from typing import Final, TextIO

from cnnspec.api.terms import visible

__all__ = ["csv_line", "json_text", "say", "visible"]

_STRAY: Final = "[\ud800-\udfff]"
_NOT_PLAIN: Final = r"[^ -~\n]+"
_NUMBER: Final = r"[+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?"


def say(text: object, stream: TextIO | None = None) -> None:
    """Print text that may hold names from others, on stdout by default: its lines stay, all else is made visible."""
    print("\n".join(map(visible, str(text).split("\n"))), file=stream, flush=stream is not None)


def json_text(document: object, *, indent: int | None = None) -> str:
    """A document as JSON in ASCII. Stray bytes of names that are no UTF-8, which JSON cannot say, are spelt out."""
    import json  # no table waits for it

    text = json.dumps(document, ensure_ascii=False, indent=indent)
    text = re.sub(_STRAY, lambda letter: rf"\\u{ord(letter[0]):04x}", text)
    return re.sub(_NOT_PLAIN, lambda letters: json.dumps(letters[0])[1:-1].replace("\x7f", "\\u007f"), text)


def csv_line(cells: Iterable[object]) -> str:
    """One line of CSV without its end; a text that a spreadsheet would take for a formula gets a `'` in front."""
    import csv  # no table waits for it

    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return line.getvalue()


def _cell(text: str) -> str:
    shown = visible(text)
    harmless = not shown.startswith(("=", "+", "-", "@")) or shown == "-" or re.fullmatch(_NUMBER, shown)
    return shown if harmless else f"'{shown}"
