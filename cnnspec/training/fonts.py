"""Names that are drawn: in fonts of this machine that have their letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from matplotlib import font_manager, rcParams
from matplotlib.ft2font import FT2Font

__all__ = ["drawable"]

_BOX: Final = "\u25a1"  # in place of a letter that no font has
_PLACEHOLDERS: Final = "Last Resort"  # a font that has a box of its own for every letter


def drawable(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names as they can be drawn, and the families of fonts to draw them in, each for what those before lack.

    A letter that no font of this machine has is a box.
    """
    families = list(rcParams["font.family"])
    known = {"\n", *_letters(font_manager.findfont(font_manager.FontProperties()))}
    missing = {letter for name in names for letter in name} - known
    for family, letters in _families() if missing else ():
        if missing & letters:
            families.append(family)
            known |= letters
            missing -= letters
    return ["".join(letter if letter in known else _BOX for letter in name) for name in names], families


def _families() -> Iterable[tuple[str, frozenset[str]]]:
    """The upright, regular fonts of this machine."""
    for entry in font_manager.fontManager.ttflist:
        if entry.style == "normal" and entry.weight in (400, "normal") and _PLACEHOLDERS not in entry.name:
            yield entry.name, _letters(font_manager.findfont(entry.name))


@cache
def _letters(path: str) -> frozenset[str]:
    """The letters that a font has."""
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError):  # a font that cannot be read
        return frozenset()
