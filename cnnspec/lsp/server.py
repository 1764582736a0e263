"""The language server: requests in, answers out. One server has one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any, Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer
from pygls.protocol import LanguageServerProtocol

from cnnspec.editor.snapshot import Choice
from cnnspec.errors import CnnspecError
from cnnspec.lsp import answers
from cnnspec.lsp.documents import Document, Documents, Settings
from cnnspec.version import __version__

__all__ = ["make_server"]

PAUSE: Final = 0.15  # seconds without an edit after which a text is looked through


def make_server() -> LanguageServer:
    """A server for one client; `start_io` or `start_tcp` runs it."""
    server = LanguageServer(
        "cnnspec",
        __version__,
        text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
        protocol_cls=_Protocol,
    )
    service = _Service(server)
    service.register()
    return server


class _Protocol(LanguageServerProtocol):
    """Answers requests that it cannot read too: nobody is left waiting."""

    def structure_message(self, data: dict[str, Any]) -> Any:
        """A message as a value. Raises JsonRpcException for one that is none."""
        try:
            return super().structure_message(data)
        except JsonRpcException as error:
            if "method" in data and isinstance(data.get("id"), (int, str)):
                self._send_response(data["id"], error=error.to_response_error())
            raise


class _Service:
    """What the server does for its client."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        self.documents = Documents()
        self.waiting: dict[str, asyncio.TimerHandle] = {}

    def register(self) -> None:
        self.answer(types.INITIALIZED, self.initialized)
        self.answer(types.WORKSPACE_DID_CHANGE_CONFIGURATION, self.configured)
        self.answer(types.TEXT_DOCUMENT_DID_OPEN, self.opened)
        self.answer(types.TEXT_DOCUMENT_DID_CHANGE, self.changed)
        self.answer(types.TEXT_DOCUMENT_DID_CLOSE, self.closed)
        self.answer(types.TEXT_DOCUMENT_INLAY_HINT, self.inlay_hints)
        self.answer(types.TEXT_DOCUMENT_HOVER, self.hover)
        options = types.CompletionOptions(trigger_characters=["(", ",", " ", "=", ":"])
        self.answer(types.TEXT_DOCUMENT_COMPLETION, self.completion, options)
        self.answer(types.TEXT_DOCUMENT_SIGNATURE_HELP, self.signature, types.SignatureHelpOptions(["(", ","]))
        self.answer(types.TEXT_DOCUMENT_DEFINITION, self.definition)
        self.answer(types.TEXT_DOCUMENT_REFERENCES, self.references)
        self.answer(types.TEXT_DOCUMENT_PREPARE_RENAME, self.prepare_rename)
        self.answer(types.TEXT_DOCUMENT_RENAME, self.rename)
        self.answer(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL, self.symbols)
        self.answer(types.TEXT_DOCUMENT_FOLDING_RANGE, self.folding)
        self.answer(types.TEXT_DOCUMENT_CODE_ACTION, self.actions)
        self.answer(types.TEXT_DOCUMENT_FORMATTING, self.formatting)
        self.answer(types.TEXT_DOCUMENT_CODE_LENS, self.lenses)
        self.server.command(answers.CHOOSE)(_function(self.choose))

    def answer(self, request: str, method: Callable[..., Any], options: Any = None) -> None:
        """Answer a kind of request with a method."""
        self.server.feature(request, options)(_function(method))

    # The texts

    def initialized(self, _: types.InitializedParams) -> None:
        """Take on what the client has asked for."""
        encoding = self.server.workspace.position_encoding
        self.documents.encoding = encoding or types.PositionEncodingKind.Utf16

    def configured(self, params: types.DidChangeConfigurationParams) -> None:
        """Other settings than before."""
        settings: Any = params.settings
        self.documents.settings = Settings.read(settings.get("cnnspec", settings) if isinstance(settings, dict) else {})
        self._refresh()

    def opened(self, params: types.DidOpenTextDocumentParams) -> None:
        """A text is open."""
        self._look_soon(self.documents.opened(params.text_document))

    def changed(self, params: types.DidChangeTextDocumentParams) -> None:
        """A text was edited."""
        document = self.documents.changed(params)
        if document is not None:
            self._look_soon(document)

    def closed(self, params: types.DidCloseTextDocumentParams) -> None:
        """A text is no longer open."""
        uri = params.text_document.uri
        if self.documents.open.pop(uri, None) is not None:
            if uri in self.waiting:
                self.waiting.pop(uri).cancel()
            self.server.text_document_publish_diagnostics(types.PublishDiagnosticsParams(uri, []))

    def _look_soon(self, document: Document) -> None:
        """Look through a text once nobody has typed for a moment."""
        if document.uri in self.waiting:
            self.waiting.pop(document.uri).cancel()
        loop = asyncio.get_running_loop()
        self.waiting[document.uri] = loop.call_later(PAUSE, self._publish, document)

    def _publish(self, document: Document) -> None:
        self.waiting.pop(document.uri, None)
        if self.documents.open.get(document.uri) is not document:
            return
        found = answers.diagnostics(document) if document.is_spec else []
        self.server.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(document.uri, found, document.version)
        )

    def _refresh(self) -> None:
        """Have the client ask again for what it shows."""
        capabilities = self.server.client_capabilities.workspace
        if capabilities is not None and capabilities.inlay_hint is not None and capabilities.inlay_hint.refresh_support:
            self.server.workspace_inlay_hint_refresh(None)
        if capabilities is not None and capabilities.code_lens is not None and capabilities.code_lens.refresh_support:
            self.server.workspace_code_lens_refresh(None)

    def choose(self, uri: str, variant: str | None = None) -> None:
        """Look at another variant of a text."""
        document = self.documents.spec(uri)
        if document is None:
            raise CnnspecError(f"{uri:.200} is not open as a spec")
        document.choice = Choice(variant)
        self._look_soon(document)
        self._refresh()

    # Answers

    def inlay_hints(self, params: types.InlayHintParams) -> list[types.InlayHint]:
        """The hints of the lines that are shown."""
        document = self.documents.spec(params.text_document.uri)
        return [] if document is None else answers.inlay_hints(document, self.documents.settings, params.range)

    def hover(self, params: types.HoverParams) -> types.Hover | None:
        """What there is to say about a word."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.hovered(document, params.position)

    def completion(self, params: types.CompletionParams) -> types.CompletionList | None:
        """What can be written."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.completions(document, params.position)

    def signature(self, params: types.SignatureHelpParams) -> types.SignatureHelp | None:
        """The signature of a call."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.signatures(document, params.position)

    def definition(self, params: types.DefinitionParams) -> types.Location | None:
        """Where a name is defined."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.definition(document, params.position)

    def references(self, params: types.ReferenceParams) -> list[types.Location]:
        """Where a name occurs."""
        document = self.documents.spec(params.text_document.uri)
        declared = params.context.include_declaration
        return [] if document is None else answers.references(document, params.position, declared=declared)

    def prepare_rename(self, params: types.PrepareRenameParams) -> types.Range | None:
        """The name that can have another."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.renamed_range(document, params.position)

    def rename(self, params: types.RenameParams) -> types.WorkspaceEdit | None:
        """Another name in all places."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.rename(document, params.position, params.new_name)

    def symbols(self, params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        """The outline."""
        document = self.documents.spec(params.text_document.uri)
        return [] if document is None else answers.symbols(document)

    def folding(self, params: types.FoldingRangeParams) -> list[types.FoldingRange]:
        """What can be folded."""
        document = self.documents.spec(params.text_document.uri)
        return [] if document is None else answers.folding(document)

    def actions(self, params: types.CodeActionParams) -> list[types.CodeAction]:
        """What mends what is wrong."""
        document = self.documents.spec(params.text_document.uri)
        return [] if document is None else answers.actions(document, params.range)

    def formatting(self, params: types.DocumentFormattingParams) -> list[types.TextEdit] | None:
        """The canonical form."""
        document = self.documents.spec(params.text_document.uri)
        return None if document is None else answers.formatting(document)

    def lenses(self, params: types.CodeLensParams) -> list[types.CodeLens]:
        """Which variant is looked at."""
        document = self.documents.spec(params.text_document.uri)
        return [] if document is None else answers.lenses(document)


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method as a function, on which the server can put its marks."""

    @wraps(method)
    def call(*arguments: Any) -> Any:
        return method(*arguments)

    return call
