"""Bundled specs with mistakes put into them: what is offered to mend one takes it away, and brings no other."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from cnnspec import zoo
from cnnspec.analysis.check import check
from cnnspec.editor.fixes import apply, sound_fix
from cnnspec.language.spec_source import read_source
from cnnspec.places import Diagnostic

WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]{3,}")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def found_in(text: str) -> tuple[Diagnostic, ...]:
    return check(read_source("net.yaml", text.encode())).diagnostics


def misspelt(draw: random.Random, word: str) -> str:
    """A word as hurried people type it."""
    at = draw.randrange(1, len(word))
    return draw.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + draw.choice(LETTERS) + word[at:],
            word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
            word.swapcase() if word.swapcase() != word else word + "s",
        )
    )


def broken(draw: random.Random, text: str) -> str:
    """A text with one mistake of a kind that people make."""
    kind = draw.randrange(6)
    lines = text.split("\n")
    if kind == 0 and (spaced := [at for at, line in enumerate(lines) if re.match(r" *(- |[\w{}+]+: )\S", line)]):
        at = draw.choice(spaced)
        lines[at] = re.sub(r"^( *)(-|[\w{}+]+:) ", r"\1\2", lines[at], count=1)
        return "\n".join(lines)
    if kind == 1 and "Flatten" in text:
        return re.sub(r"\n *(- |\w+: )Flatten(?=\n)", "", text, count=1)
    if kind == 2 and (strided := list(re.finditer(r"stride=2, padding=\d", text))):
        match = draw.choice(strided)
        return f"{text[: match.start()]}stride=2, padding=same{text[match.end() :]}"
    words = [
        match for match in WORD.finditer(text) if "#" not in text[text.rfind("\n", 0, match.start()) : match.start()]
    ]
    match = draw.choice(words)
    return f"{text[: match.start()]}{misspelt(draw, match[0])}{text[match.end() :]}"


class Offered(NamedTuple):
    """A text that is right, that with a mistake, what is found there, and the text with that mended."""

    right: str
    text: str
    finding: Diagnostic
    mended: str


def offered(seed: int, count: int) -> Iterator[Offered]:
    draw = random.Random(seed)
    texts = [text for path in zoo.bundled().values() if len(text := path.read_text("utf-8")) < 4000]
    for _ in range(count):
        right = draw.choice(texts)
        text = broken(draw, right)
        found = found_in(text)
        for finding in found:
            fix = sound_fix(finding, text, found, found_in)
            if fix is not None:
                yield Offered(right, text, finding, apply(text, [fix]))


def kinds(text: str) -> Counter[tuple[str, str]]:
    return Counter((each.code, each.message) for each in found_in(text))


def tried(seed: int, count: int) -> tuple[int, int]:
    """How many fixes were offered, and how many of them brought a mistake that the right text does not have."""
    total = worse = 0
    for each in offered(seed, count):
        total += 1
        before, after = kinds(each.text), kinds(each.mended)
        key = each.finding.code, each.finding.message
        assert after[key] < before[key], each
        new = after - before - kinds(each.right)
        worse += any(code.startswith("E") for code, _ in new)
    return total, worse


def test_what_is_offered_mends() -> None:
    total, worse = tried(1, 30)
    assert total > 15
    assert worse == 0


@pytest.mark.long
def test_what_is_offered_mends_a_thousand_times() -> None:
    total, worse = tried(2, 1_000)
    assert total > 500
    assert worse <= total / 100  # a name that is misspelt where it is defined, and was taken for another
