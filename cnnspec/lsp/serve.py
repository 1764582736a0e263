"""Running the language server until its editor leaves."""

from __future__ import annotations

import os

from cnnspec.errors import UsageError, needs_extra

__all__ = ["serve"]


@needs_extra("lsp")
def serve(port: int | None = None) -> None:
    """Answer an editor on stdin and stdout, or one on a port of the loopback address.

    Raises UsageError for a port that cannot be listened on, and MissingExtraError without the extra `lsp`.
    """
    from cnnspec.lsp.server import make_server

    server = make_server()
    if port is None:
        with os.fdopen(os.dup(1), "wb") as stdout:  # which the server closes, and the process closes its own
            server.start_io(stdout=stdout)
        return
    try:
        server.start_tcp("127.0.0.1", port)
    except (OSError, OverflowError) as error:
        raise UsageError(
            f"cannot listen on port {port}: {error}", hint="`--tcp` takes a free port, 1024 to 65535"
        ) from None
