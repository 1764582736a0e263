"""Messages of the protocol, one by one: whatever comes in ends in an answer or is passed over, and never in the end."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any, Final

from lsprotocol import types
from pygls.exceptions import JsonRpcException
from pygls.protocol import LanguageServerProtocol

if TYPE_CHECKING:
    from cattrs import Converter
    from pygls.lsp.server import LanguageServer

__all__ = ["Protocol"]

_log: Final = logging.getLogger(__name__)
# The texts are kept in one place, by what is registered for these: the workspace would read files from the disk when a
# client says that they have changed.
_KEPT_ELSEWHERE: Final = (
    types.TEXT_DOCUMENT_DID_OPEN, types.TEXT_DOCUMENT_DID_CHANGE, types.TEXT_DOCUMENT_DID_CLOSE,
    types.NOTEBOOK_DOCUMENT_DID_OPEN, types.NOTEBOOK_DOCUMENT_DID_CHANGE, types.NOTEBOOK_DOCUMENT_DID_CLOSE,
)  # fmt: skip
_NO_JSON: Final = types.ErrorCodes.ParseError
_NO_MESSAGE: Final = types.ErrorCodes.InvalidRequest
_TOO_EARLY: Final = types.ErrorCodes.ServerNotInitialized


class Protocol(LanguageServerProtocol):
    """Takes messages on in the order of the protocol: `initialize`, all others, `shutdown`, `exit`."""

    _begun = False

    def __init__(self, server: LanguageServer, converter: Converter) -> None:
        super().__init__(server, converter)
        for method in _KEPT_ELSEWHERE:
            del self.fm.builtin_features[method]

    def take(self, body: bytes | str) -> bool:
        """Take one message on; False after the one that says that the client has gone."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            self._refuse(None, _NO_JSON, f"this is no JSON: {type(error).__name__}")
            return True
        method, number = (data.get("method"), data.get("id")) if isinstance(data, dict) else (None, None)
        if not isinstance(number, (int, str)) or isinstance(number, bool):
            number = None
        if not isinstance(data, dict) or data.get("jsonrpc") != self.VERSION or not _is_message(data):
            self._refuse(number, _NO_MESSAGE, "this is no message of JSON-RPC 2.0")
            return True
        if method == types.EXIT:
            return False
        if isinstance(method, str) and not self._is_in_turn(method, number):
            return True
        try:
            self.handle_message(self.structure_message(data))
        except JsonRpcException as error:  # parameters that are none of this method
            if method is not None and number is not None:
                self._send_response(number, error=error.to_response_error())
        except Exception:  # whatever a message brings about, the next one is answered
            _log.exception("a message was not understood")
        return True

    def spoilt(self, reason: str) -> None:
        """Answer bytes in which there is no message."""
        self._refuse(None, _NO_JSON, reason)

    def _is_in_turn(self, method: str, number: int | str | None) -> bool:
        """Whether a message may come now. A request that may not is answered, a notification passed over."""
        if self._shutdown:
            self._refuse_request(number, _NO_MESSAGE, "nothing is answered after `shutdown`")
            return False
        if method == types.INITIALIZE:
            if self._begun:
                self._refuse_request(number, _NO_MESSAGE, "`initialize` is for the first message alone")
                return False
            self._begun = number is not None
            return self._begun
        if not self._begun:
            self._refuse_request(number, _TOO_EARLY, "`initialize` comes first")
        return self._begun

    def _refuse_request(self, number: int | str | None, code: types.ErrorCodes, message: str) -> None:
        if number is not None:
            self._refuse(number, code, message)

    def _refuse(self, number: int | str | None, code: types.ErrorCodes, message: str) -> None:
        self._send_data(types.ResponseErrorMessage(id=number, error=types.ResponseError(code, message)))

    @property
    def exit_code(self) -> int:
        """What a process for this client ends with: 0 where the client has said so in time."""
        return 0 if self._shutdown else 1


def _is_message(data: dict[str, Any]) -> bool:
    """Whether it is a request, a notification or an answer by its keys."""
    if "method" in data:
        number = data.get("id", 0)
        return isinstance(data["method"], str) and isinstance(number, (int, str)) and not isinstance(number, bool)
    return "result" in data or "error" in data
