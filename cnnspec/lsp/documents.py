"""The texts that an editor has open, and what is known of each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from lsprotocol import types

from cnnspec.analysis.check import check
from cnnspec.editor.hints import SHOWN, Show
from cnnspec.editor.snapshot import Choice, Snapshot, look
from cnnspec.lsp.positions import Positions, changed
from cnnspec.lsp.training import training_faults
from cnnspec.places import Diagnostic

__all__ = ["Document", "Documents", "shown"]

MOST_LETTERS: Final = 4_000_000  # of a text that is looked at
_SPEC: Final = re.compile(r"^[\"']?cnnspec[\"']?\s*:", re.MULTILINE)
_OWN: Final = (".cnnspec.yaml", ".cnnspec.yml", ".cnnspec.json")


def shown(options: Any) -> Show:
    """What hints are to say, as editors send it: `{"hints": {"shape": true, "params": true}}`.

    What is no such setting is passed over.
    """
    hints = options.get("hints") if isinstance(options, Mapping) else None
    if hints is False:
        return Show(False, False, False, False)
    if not isinstance(hints, Mapping):
        return SHOWN
    return SHOWN._replace(**{key: hints[key] for key in Show._fields if isinstance(hints.get(key), bool)})


@dataclass
class Document:
    """One open text."""

    uri: str
    language: str
    text: str
    version: int | None
    encoding: types.PositionEncodingKind | str
    choice: Choice = field(default_factory=Choice)
    _seen: Snapshot | None = None
    _found: tuple[Snapshot, Sequence[Diagnostic]] | None = None

    @property
    def path(self) -> str:
        """Its name in messages."""
        return Path(unquote(urlsplit(self.uri).path)).name or "spec.yaml"

    @property
    def is_spec(self) -> bool:
        """Whether it is a spec, which other files that are open are not."""
        if len(self.text) > MOST_LETTERS:
            return False
        own = self.language == "cnnspec" or unquote(self.uri).lower().endswith(_OWN)
        return self._seen is not None or own or _SPEC.search(self.text) is not None

    @property
    def positions(self) -> Positions:
        """Converts between places and positions of the text as it stands."""
        return Positions(self.text, self.encoding)

    def look(self) -> Snapshot:
        """What is known of the text as it stands."""
        seen = self._seen
        if seen is None or seen.text != self.text or seen.choice != self.choice:
            self._seen = look(self.text, self.path, seen, self.choice)
            return self._seen
        return seen

    def findings(self) -> Sequence[Diagnostic]:
        """All that is wrong with the text: with the network that is looked at, or else with any variant."""
        snapshot = self.look()
        if self._found is None or self._found[0] is not snapshot:
            self._found = snapshot, _found_in(snapshot, warn=True)
        return self._found[1]

    def findings_in(self, text: str) -> Sequence[Diagnostic]:
        """What would be wrong with another text; warnings only where there is no more to say of this one."""
        return _found_in(look(text, self.path, choice=self.choice), warn=self.look().is_good)


def _found_in(snapshot: Snapshot, *, warn: bool) -> Sequence[Diagnostic]:
    """What is wrong with a text; of one without errors in its network also with its variants, where `warn` says so."""
    faults = training_faults(snapshot.source)
    if snapshot.is_good and warn:
        return check(snapshot.source, faults).diagnostics
    return sorted([*snapshot.outcome.diagnostics, *faults], key=Diagnostic.order)


class Documents:
    """The open texts by their URI."""

    def __init__(self) -> None:
        self.open: dict[str, Document] = {}
        self.encoding: types.PositionEncodingKind | str = types.PositionEncodingKind.Utf16
        self.show = SHOWN

    def opened(self, item: types.TextDocumentItem) -> Document:
        """Keep a text."""
        document = Document(item.uri, item.language_id, item.text, item.version, self.encoding)
        self.open[item.uri] = document
        return document

    def changed(self, params: types.DidChangeTextDocumentParams) -> Document | None:
        """Take changes on; None for a text that is not open."""
        document = self.open.get(params.text_document.uri)
        if document is None:
            return None
        for change in params.content_changes:
            document.text = changed(document.text, change, document.encoding)
        document.version = params.text_document.version
        return document

    def spec(self, uri: str) -> Document | None:
        """The open text, where it is a spec."""
        document = self.open.get(uri)
        return document if document is not None and document.is_spec else None
