"""Messages of ill will, and what the protocol says that becomes of each."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any, NamedTuple

METHODS = (
    "hover", "completion", "signatureHelp", "definition", "references", "prepareRename", "rename", "documentSymbol",
    "foldingRange", "codeAction", "formatting", "codeLens", "inlayHint", "semanticTokens/full", "nonsense", "",
)  # fmt: skip
NOTES = ("didOpen", "didChange", "didClose", "didSave", "willSave", "nonsense")
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 2**31 - 1, 2**63, -(2**70), 1.5, 1e308, "", "x", "\ud800", "file:///", [], [[]], {}, {"a": {}},
    {"line": 10**9, "character": 10**9}, {"line": -1, "character": -1}, {"line": "0", "character": None},
    {"start": {"line": 9**9, "character": 0}, "end": {"line": 0, "character": 9**9}},
)  # fmt: skip
URIS = (
    "file:///specs/net.cnnspec.yaml", "file:///no/such.yaml", "file:///dev/zero", "file:///etc/passwd", "untitled:x",
    "", "http://[::1", "file:///%00", "file:///%ff%fe.yaml", "\\\\host\\share\\x.yaml", "data:,x",
    "file://host/x.cnnspec.yaml",
)  # fmt: skip


class Message(NamedTuple):
    """A message as text, and the number that an answer to it has to bear; None where none is due."""

    body: bytes
    number: int | None


def hostile(count: int, seed: int) -> Iterator[Message]:
    """`count` messages, whose numbers begin at 10,000."""
    draw = random.Random(seed)
    for turn in range(count):
        number = 10_000 + turn
        kind = draw.randrange(10)
        if kind == 0:
            yield Message(broken(draw), None)
        elif kind == 1:
            yield Message(json.dumps(draw.choice(VALUES)).encode(), None)
        elif kind == 2:
            yield Message(request(draw, number)[: draw.randrange(1, 60)], None)
        elif kind == 3:
            method = f"textDocument/{draw.choice(NOTES)}"
            yield Message(dumped({"method": method, "params": note(draw)}), None)
        elif kind == 4:
            odd = {"id": draw.choice(VALUES[2:]), "method": draw.choice(VALUES), "params": draw.choice(VALUES)}
            yield Message(dumped({key: odd[key] for key in odd if draw.random() < 0.7}), None)
        elif kind == 5:
            yield Message(dumped({"id": draw.choice((number, "x", None)), draw.choice(("result", "error")): {}}), None)
        elif kind == 6 and draw.random() < 0.05:
            text = draw.choice(("x" * 10_000_000, "cnnspec: 1\n" + "- a\n" * 2_500_000, "[" * 10_000_000))
            item = {"uri": "file:///specs/big.cnnspec.yaml", "languageId": "cnnspec", "version": 1, "text": text}
            yield Message(dumped({"method": "textDocument/didOpen", "params": {"textDocument": item}}), None)
        else:
            yield Message(request(draw, number), number)


def broken(draw: random.Random) -> bytes:
    """No JSON."""
    return draw.choice(
        (
            draw.randbytes(draw.randrange(1, 200)),
            b"[" * 200_000,
            b'{"jsonrpc": "2.0", "id": 1, "method": "shutdown"',
            b'{"jsonrpc": "2.0"}' * 2,
            b"\xff\xfe{\x00}\x00",
            b'{"a": ' * 5_000,
            b"9" * 100_000,
            b"-",
        )
    )


def request(draw: random.Random, number: int) -> bytes:
    """A request of a known method with parameters that are none, or of positions that no text has."""
    uri = draw.choice(URIS)
    params: Any = {
        "textDocument": draw.choice(({"uri": uri}, {"uri": uri}, draw.choice(VALUES))),
        "position": draw.choice(VALUES),
        "range": draw.choice(VALUES),
        "context": draw.choice(({"diagnostics": []}, {"includeDeclaration": True}, draw.choice(VALUES))),
        "newName": draw.choice(("x" * 100_000, "a: b", "", *VALUES)),
        "options": draw.choice(({"tabSize": 2, "insertSpaces": True}, draw.choice(VALUES))),
    }
    if draw.random() < 0.1:
        params = draw.choice(VALUES)
    method = f"textDocument/{draw.choice(METHODS)}"
    if draw.random() < 0.1:
        method = draw.choice(("workspace/executeCommand", "initialize", "workspace/symbol", "$/x", "window/x"))
        params = {"command": draw.choice(("cnnspec.choose", "rm", "")), "arguments": draw.choice(([], [1], [uri, "v"]))}
    return dumped({"id": number, "method": method, "params": params})


def note(draw: random.Random) -> Any:
    """What a text may have become."""
    change: dict[str, Any] = {"text": draw.choice(("x", "\ud800", "\x00" * 1000, draw.choice(VALUES)))}
    if draw.random() < 0.7:
        change["range"] = draw.choice(VALUES)
    uri = draw.choice(URIS[1:])
    document = {"uri": uri, "version": draw.choice((1, -1, *VALUES)), "languageId": "yaml", "text": change["text"]}
    return {"textDocument": document, "contentChanges": draw.choice(([change], [change] * 50, draw.choice(VALUES)))}


def dumped(message: dict[str, Any]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **message}).encode()
