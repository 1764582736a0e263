"""Messages out of a stream of bytes: `Content-Length: N`, an empty line, and N bytes of JSON."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final, NamedTuple

__all__ = ["MOST_BYTES", "Spoilt", "bodies"]

MOST_BYTES: Final = 64_000_000  # of a message
MOST_HEAD: Final = 8_192  # of what stands before it
_END: Final = re.compile(rb"\r?\n\r?\n")
_LENGTH: Final = re.compile(rb"content-length:[ \t]*(\d{1,12})[ \t]*\r?(?:\n|$)", re.IGNORECASE)


class Spoilt(NamedTuple):
    """Bytes that are no message, and why."""

    reason: str


async def bodies(more: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes | Spoilt]:
    """The messages of a stream, until it ends. `more` gives its next bytes, as many as there are; none at its end.

    After bytes that are no message the next header that says a length begins one.
    """
    held = bytearray()
    while True:
        end = _END.search(held)
        if end is None:
            if len(held) > MOST_HEAD:
                del held[: -MOST_HEAD // 2]
                yield Spoilt("a header has no end")
            data = await more()
            if not data:
                return
            held += data
            continue
        lengths = _LENGTH.findall(held, 0, end.start())
        del held[: end.end()]
        if not lengths:
            yield Spoilt("a header says no `Content-Length`")
            continue
        left = int(lengths[-1])
        if left > MOST_BYTES:
            while left > len(held):
                left -= len(held)
                held.clear()
                data = await more()
                if not data:
                    return
                held += data
            del held[:left]
            yield Spoilt(f"a message may have {MOST_BYTES:,} bytes")
            continue
        while len(held) < left:
            data = await more()
            if not data:
                return
            held += data
        body = bytes(held[:left])
        del held[:left]
        yield body
