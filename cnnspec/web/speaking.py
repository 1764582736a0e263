"""The language server over a WebSocket: each socket has a server of its own."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from cnnspec.lsp.server import make_server

__all__ = ["speak"]

MOST_LETTERS: Final = 4_000_000  # of a message
MOST_MESSAGES: Final = 2_000  # within PERIOD
PERIOD: Final = 10.0  # seconds
REFUSED: Final = 1008  # a close code: against the rules


class _Writer:
    """What the server writes, sent in its order."""

    def __init__(self) -> None:
        self.waiting: asyncio.Queue[str | None] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        """Send a message as soon as those before it are sent."""
        self.waiting.put_nowait(data.decode())

    def close(self) -> None:
        """Nothing is sent after this."""
        self.waiting.put_nowait(None)

    async def send_to(self, socket: WebSocket) -> None:
        """Send all that is written, until it is closed."""
        while (text := await self.waiting.get()) is not None:
            await socket.send_text(text)


async def speak(socket: WebSocket) -> None:
    """Answer one editor until it leaves. A message that cannot be read is answered or passed over, and ends nothing."""
    await socket.accept()
    server, writer = make_server(), _Writer()
    protocol = server.protocol
    protocol.set_writer(writer, include_headers=False)
    sender = asyncio.create_task(writer.send_to(socket))
    started, count = time.monotonic(), 0
    try:
        while True:
            text = await socket.receive_text()
            now = time.monotonic()
            if now - started > PERIOD:
                started, count = now, 0
            count += 1
            if len(text) > MOST_LETTERS or count > MOST_MESSAGES:
                await socket.close(REFUSED)
                return
            if not protocol.take(text):
                return
    except (WebSocketDisconnect, RuntimeError, KeyError):
        pass  # it has left, or sent bytes
    finally:
        writer.close()
        sender.cancel()
        server.shutdown()  # type: ignore[no-untyped-call]
