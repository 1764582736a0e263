"""Specs with faults put into them at random: bytes, words, lines and values of good ones."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from cnnspec import zoo
from cnnspec.api import format_text
from cnnspec.language import read_spec

PRINTABLE = r"""
0 -1 1 2 3.5 1e9 -1e-9 .nan .inf 9223372036854775807 99999999999999999999 True False None null ~ i n out stride input
in_channels in_features Conv2d ReLU Add Concat BatchNorm2d Linear Flatten MaxPool2d layers add mul concat inline
type in repeat when params let blocks inputs outputs variants [ ] { } ( ) : , - * / // % if else not and == < 'x' "y"
# & &a *a !tag <<: | > @ % ? --- ... \\ \\u0000 é
"""
WORDS = (*PRINTABLE.split(), "\x00", "\t", "\r", "\n", "\u202e", "\u0441", "\ufeff", "\U0001f600")
VALUES: tuple[Any, ...] = (
    None, True, -1, 0, 1.5, 10**30, 1e308, "", "x", "ReLU", "Conv2d(", "1 +", "input", [], {}, [[]], ["ReLU"] * 3,
    {"type": "ReLU"}, {"layers": ["ReLU"], "repeat": 1000}, {"a": {"b": {"c": 1}}}, "ReLU * 10000", "[1] + [2]",
)  # fmt: skip


def seeds() -> list[str]:
    """The bundled specs, as they are and in long form."""
    texts = [path.read_text("utf-8") for path in zoo.bundled().values()]
    short = [text for text in texts if len(text) < 6000]
    return [*short, *(format_text(text, long=True) for text in short)]


def _byte(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    match rng.randrange(3):
        case 0:
            data[at] = rng.randrange(256)
        case 1:
            del data[at]
        case _:
            data.insert(at, rng.randrange(256))


def _word(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    end = min(len(data), at + rng.choice((0, 0, 1, 3, 8)))
    data[at:end] = rng.choice(WORDS).encode()


def _line(rng: random.Random, data: bytearray) -> None:
    lines = bytes(data).split(b"\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(5):
        case 0:
            del lines[at]
        case 1:
            lines.insert(at, lines[other])
        case 2:
            lines[at], lines[other] = lines[other], lines[at]
        case 3:
            lines[at] = b" " * rng.randrange(6) + lines[at].lstrip()
        case _:
            lines[at] = lines[at] * rng.choice((2, 50))
    data[:] = b"\n".join(lines) or b" "


def _cut(rng: random.Random, data: bytearray) -> None:
    del data[rng.randrange(len(data)) :]
    data += b" "


EDITS: tuple[Callable[[random.Random, bytearray], None], ...] = (_byte, _byte, _word, _word, _word, _line, _line, _cut)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place of a tree that holds a value: the collection, and the key or index."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in pairs:
        yield value, key
        yield from _places(item)


def _value(rng: random.Random, tree: Any) -> None:
    holder, key = rng.choice(list(_places(tree)))
    match rng.randrange(4):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[rng.choice(WORDS)] = holder.pop(key)
        case 2:
            _, other = rng.choice(list(_places(tree)) or [(holder, key)])
            holder[key] = json.loads(json.dumps(other))
        case _:
            holder[key] = rng.choice(VALUES)


def mutants(seed: int, count: int) -> Iterator[tuple[str, bytes]]:
    """`count` names and texts: two of three are YAML."""
    rng = random.Random(seed)
    texts = seeds()
    trees = [json.dumps(read_spec("x.yaml", text.encode()).plain()) for text in texts]
    for number in range(count):
        if number % 3 < 2:
            data = bytearray(rng.choice(texts).encode())
            name = "mutant.yaml"
        else:
            tree = json.loads(rng.choice(trees))
            for _ in range(rng.choice((1, 1, 2, 4))):
                if next(_places(tree), None) is not None:
                    _value(rng, tree)
            data = bytearray(json.dumps(tree, indent=rng.choice((None, 1))).encode())
            name = "mutant.json"
        for _ in range(rng.choice((1, 1, 2, 3, 8)) if name == "mutant.yaml" else rng.choice((0, 0, 0, 1))):
            if data:
                rng.choice(EDITS)(rng, data)
        yield name, bytes(data)
