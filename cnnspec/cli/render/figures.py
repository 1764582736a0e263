"""Figures as people read them: in the unit that fits, and as shares of a whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["in_unit", "shares", "size_text"]

PREFIXES: Final = (("", 1), ("k", 10**3), ("M", 10**6), ("G", 10**9), ("T", 10**12), ("P", 10**15))


def in_unit(value: int, rounding: str, unit: str = "") -> str:
    """`value` with the first decimal prefix that leaves less than 1000 of it, once it is rounded by `rounding`.

    Numbers below 1000 are whole and stay so: 999,999 bytes are `1.0 MB`, 999 are `999 B`.
    """
    if value < 1000:
        return f"{value} {unit}".rstrip()
    text = ""
    for prefix, factor in PREFIXES[1:]:
        text = f"{format(value / factor, rounding).rstrip('.')} {prefix}{unit}"
        if float(text.split()[0]) < 1000:
            break
    return text


def size_text(size: int) -> str:
    """Bytes in the decimal unit that fits: `246.8 kB`."""
    return in_unit(size, ".1f", "B")


def shares(parts: Sequence[int]) -> list[str]:
    """The parts in per cent of their sum, with one decimal; rounded so that they sum to 100.0 exactly.

    By largest remainders (Hamilton's method): all are rounded down, and the tenths that are missing go to the parts
    that lost most; of equal ones to the first. Where the sum is 0 there are no shares, and the texts are empty.
    """
    total = sum(parts)
    if not total:
        return [""] * len(parts)
    tenths = [1000 * part // total for part in parts]
    by_loss = sorted(range(len(parts)), key=lambda number: -(1000 * parts[number] % total))
    for number in by_loss[: 1000 - sum(tenths)]:
        tenths[number] += 1
    return [f"{tenth // 10}.{tenth % 10} %" for tenth in tenths]
