"""Somebody who edits a text at random, and counts columns as the protocol does by a rule of its own."""

from __future__ import annotations

import random
from typing import Any

SNIPPETS = (
    "  - Conv2d(8, 3)\n", "  extra: ReLU\n", "  x: Add(a, input)\n", ": ", "- ", "\n", "  ", "(", ")", "[", "]", "{",
    "}", ",", "#", '"', "'", "\t", "\r\n", "\r", "é", "🎈", "\u2028", "\u0085", "\ufeff", "\x00", "\ud800",
    " if i == 0 else 2", " * 3", "stride=2", "padding=same", "&a", "*a", "---\n", "params: {w: 8}\n",
    "blocks:\n  B:\n    layers: [ReLU]\n",
    "inpt", "0", "-1", "1e9", "Linear(10)", "search:\n  space: {w: {int: [1, 2]}}\n", "variants: {v: {w: 3}}\n",
)  # fmt: skip


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le", "surrogatepass")


class Typist:
    """Edits `text`: letters typed and taken away, fragments pasted and moved, and all of it undone."""

    def __init__(self, text: str, seed: int) -> None:
        self.draw = random.Random(seed)
        self.good = self.text = text
        self.past: list[str] = []

    def position(self, offset: int) -> dict[str, int]:
        """Where the protocol has an offset: lines end with a return, a new line or both, columns are 16 bits wide."""
        lines = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return {"line": len(lines) - 1, "character": len(utf16(lines[-1])) // 2}

    def somewhere(self) -> dict[str, int]:
        """Any position of the text."""
        return self.position(self.between(self.draw.randint(0, len(self.text))))

    def between(self, offset: int) -> int:
        """The offset, or the one before it where it would part the two halves of a line's end."""
        return offset - (self.text[offset - 1 : offset + 1] == "\r\n" if offset else 0)

    def edit(self) -> dict[str, Any]:
        """One change, made in `text` too."""
        draw = self.draw
        kind = draw.random()
        if kind < 0.03 or len(self.text) > 3 * len(self.good) + 1000:
            self.past.clear()
            return self.to(self.good)
        if kind < 0.25 and self.past:
            back = draw.randint(1, min(6, len(self.past)))
            before = self.past[-back]
            del self.past[-back:]
            return self.to(before)
        self.past.append(self.text)
        start = self.between(draw.randint(0, len(self.text)))
        length = 0 if kind < 0.55 else draw.choice((1, 1, 2, 5, 30, 200))
        end = max(start, self.between(min(len(self.text), start + length)))
        if kind < 0.75:
            new = draw.choice(SNIPPETS) if draw.random() < 0.6 else draw.choice("aCL(),:-# 0\n")
        elif kind < 0.9:
            at = draw.randint(0, len(self.good))
            new = self.good[at : at + draw.choice((5, 40, 300))]
        else:
            new = ""
        return self.replace(start, end, new)

    def replace(self, start: int, end: int, new: str) -> dict[str, Any]:
        """The change that puts a text in the place of another."""
        span = {"start": self.position(start), "end": self.position(end)}
        self.text = self.text[:start] + new + self.text[end:]
        return {"range": span, "text": new}

    def to(self, text: str) -> dict[str, Any]:
        """The change that gives this text: of what differs alone, as editors undo."""
        least = min(len(text), len(self.text))
        start = next((at for at in range(least) if text[at] != self.text[at]), least)
        start = self.between(start)
        least -= start
        same = next((at for at in range(least) if text[-1 - at] != self.text[-1 - at]), least)
        end = len(self.text) - same
        if self.between(end) != end:
            end, same = end + 1, same - 1
        return self.replace(start, end, text[start : len(text) - same])
