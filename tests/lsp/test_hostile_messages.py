"""Messages of ill will on stdin: each ends in an answer or in nothing, as the protocol says, and the server goes on."""

from __future__ import annotations

import pytest
from editing_client import Client, running
from hostile_messages import hostile

TEXT = "cnnspec: 1\ninput: [1, 8, 8]\nlayers:\n  - Conv2d(4, 3)\n  - ReLU\n"
HINTS = ["→ 4x6x6  rf 3x3", "→ 4x6x6  rf 3x3"]
HEADS = (
    b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"Content-Length: -5\r\n\r\n",
    b"Content-Length: 99999999999999999999999\r\n\r\n",
    b"Content-Length: x\r\n\r\n{}",
    b"x" * 100_000 + b"\r\n\r\n",
    b"Content-Length: 3\r\n\r\n{}{}{}{}\r\n\r\n",
    b"\x00\xff\n\n",
)


def survives(client: Client, count: int, seed: int) -> None:
    client.open(TEXT)
    answered: set[object] = set()
    wanted = set()
    for turn, message in enumerate(hostile(count, seed)):
        client.raw(message.body)
        if message.number is not None:
            wanted.add(message.number)
        if turn % 20 == 19:  # the pipes hold only so much
            assert client.hints() == HINTS
            answered |= {note["id"] for note in client.notes if "id" in note and "method" not in note}
            client.notes.clear()
    assert client.hints() == HINTS
    answered |= {note["id"] for note in client.notes if "id" in note and "method" not in note}
    assert wanted - answered == set()


def test_a_hundred_messages_end_in_answers() -> None:
    with running() as client:
        survives(client, 100, seed=1)


@pytest.mark.long
def test_a_thousand_messages_end_in_answers() -> None:
    with running() as client:
        survives(client, 1_000, seed=2)


def test_what_cannot_be_read_is_answered_and_the_next_message_too() -> None:
    with running() as client:
        client.open(TEXT)
        for head in HEADS:
            client.notes.clear()
            client.bytes(head)
            assert client.hints() == HINTS, head
            assert {note["error"]["code"] for note in client.notes if "error" in note} == {-32700}, head


def test_messages_come_in_their_order() -> None:
    with running() as client:
        assert client.answer("initialize", {"processId": None, "rootUri": None, "capabilities": {}})["error"][
            "code"
        ] == (-32600)
        for body, code in ((b"{", -32700), (b"[]", -32600), (b"1", -32600), (b'{"jsonrpc": "1.0", "id": 1}', -32600)):
            client.raw(body)
            answer = client.read()
            assert answer["error"]["code"] == code, body
        nested = {"textDocument": {"jsonrpc": "2.0", "id": 7, "method": "shutdown"}}
        assert "error" in client.answer("textDocument/hover", nested)
        client.open(TEXT)
        assert client.hints() == HINTS
