"""The language server: requests in, answers out. One server has one client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, TypeAlias

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.lsp.server import LanguageServer

from cnnspec.editor.snapshot import Choice
from cnnspec.errors import CnnspecError
from cnnspec.lsp import answers
from cnnspec.lsp.documents import Document, Documents, shown
from cnnspec.lsp.protocol import Protocol
from cnnspec.version import __version__

__all__ = ["Server", "make_server"]

PAUSE: Final = 0.15  # seconds without an edit after which a text is looked through


class Server(LanguageServer):
    """A language server as its transports see it."""

    protocol: Protocol


def make_server() -> Server:
    """A server for one client, whose messages its `protocol` takes on; `serve` reads them."""
    server = Server(
        "cnnspec",
        __version__,
        text_document_sync_kind=types.TextDocumentSyncKind.Incremental,
        protocol_cls=Protocol,
    )
    service = _Service(server)
    service.register()
    return server


Answer: TypeAlias = Callable[[Document, Any], Any]

_ANSWERS: Final[dict[str, Answer]] = {
    types.TEXT_DOCUMENT_HOVER: answers.hovered,
    types.TEXT_DOCUMENT_COMPLETION: answers.completions,
    types.TEXT_DOCUMENT_SIGNATURE_HELP: answers.signatures,
    types.TEXT_DOCUMENT_DEFINITION: answers.definition,
    types.TEXT_DOCUMENT_REFERENCES: answers.references,
    types.TEXT_DOCUMENT_PREPARE_RENAME: answers.renamed_range,
    types.TEXT_DOCUMENT_RENAME: answers.rename,
    types.TEXT_DOCUMENT_DOCUMENT_SYMBOL: answers.symbols,
    types.TEXT_DOCUMENT_FOLDING_RANGE: answers.folding,
    types.TEXT_DOCUMENT_CODE_ACTION: answers.actions,
    types.TEXT_DOCUMENT_FORMATTING: answers.formatting,
    types.TEXT_DOCUMENT_CODE_LENS: answers.lenses,
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: answers.colours,
}
_OPTIONS: Final[dict[str, Any]] = {
    types.TEXT_DOCUMENT_COMPLETION: types.CompletionOptions(trigger_characters=["(", ",", " ", "=", ":"]),
    types.TEXT_DOCUMENT_SIGNATURE_HELP: types.SignatureHelpOptions(["(", ","]),
    types.TEXT_DOCUMENT_SEMANTIC_TOKENS_FULL: answers.COLOURS,
}


class _Service:
    """What the server does for its client."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        self.documents = Documents()
        self.waiting: dict[str, asyncio.TimerHandle] = {}

    def register(self) -> None:
        hear = self.server.feature
        hear(types.INITIALIZED)(_function(self.initialized))
        hear(types.WORKSPACE_DID_CHANGE_CONFIGURATION)(_function(self.configured))
        hear(types.TEXT_DOCUMENT_DID_OPEN)(_function(self.opened))
        hear(types.TEXT_DOCUMENT_DID_CHANGE)(_function(self.changed))
        hear(types.TEXT_DOCUMENT_DID_CLOSE)(_function(self.closed))
        for request, answer in _ANSWERS.items():
            hear(request, _OPTIONS.get(request))(self.about_spec(answer))
        hear(types.TEXT_DOCUMENT_INLAY_HINT)(
            self.about_spec(lambda document, params: answers.inlay_hints(document, params, self.documents.show))
        )
        self.server.command(answers.CHOOSE)(_function(self.choose))

    def about_spec(self, answer: Answer) -> Callable[[Any], Any]:
        """An answer about a text that is open as a spec; about others there is nothing to say."""

        def call(params: Any) -> Any:
            document = self.documents.spec(params.text_document.uri)
            try:
                return None if document is None else answer(document, params)
            except CnnspecError as error:  # which is for people to read, without the name of a class before it
                raise JsonRpcException(error.message, types.LSPErrorCodes.RequestFailed.value) from None

        return call

    # The texts

    def initialized(self, _: types.InitializedParams) -> None:
        """Take on what the client has asked for."""
        encoding = self.server.workspace.position_encoding
        self.documents.encoding = encoding or types.PositionEncodingKind.Utf16

    def configured(self, params: types.DidChangeConfigurationParams) -> None:
        """Other settings than before."""
        settings: Any = params.settings
        self.documents.show = shown(settings.get("cnnspec", settings) if isinstance(settings, dict) else {})
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


def _function(method: Callable[..., Any]) -> Callable[..., Any]:
    """A method as a function, on which the server can put its marks."""

    @wraps(method)
    def call(*arguments: Any) -> Any:
        return method(*arguments)

    return call
