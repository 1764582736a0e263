"""Which line of a text is which of an older one, and what becomes of lines that are taken back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from difflib import SequenceMatcher
from typing import Final, NamedTuple

__all__ = ["Change", "Reverted", "changes", "revert"]

MOST_COMPARED: Final = 400  # lines on either side between which alike ones are looked for


class Change(NamedTuple):
    """Lines `old` of the older text, which are lines `new` of the text: half-open ranges, counted from 0."""

    old: tuple[int, int]
    new: tuple[int, int]


class Reverted(NamedTuple):
    """A text with changes taken back, and the line of the text that each of its lines stands for."""

    lines: tuple[str, ...]
    stands_for: tuple[int | None, ...]


def changes(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """What was changed, in order. What both texts begin and end with is found in one pass."""
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    before, after = old[start : len(old) - end], new[start : len(new) - end]
    if not before and not after:
        return []
    if max(len(before), len(after)) > MOST_COMPARED:
        return [Change((start, len(old) - end), (start, len(new) - end))]
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    return [
        Change((start + a, start + b), (start + c, start + d))
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal"
    ]


def revert(old: Sequence[str], new: Sequence[str], made: Sequence[Change], wrong: Collection[int] | None) -> Reverted:
    """The new text with its `wrong` lines as they were, or all changed lines with None.

    A change of as many lines as there were is taken back line by line; lines that are new are left out.
    """
    lines: list[str] = []
    stands_for: list[int | None] = []

    def keep(start: int, end: int) -> None:
        lines.extend(new[start:end])
        stands_for.extend(range(start, end))

    at = 0
    for change in made:
        (old_start, old_end), (new_start, new_end) = change
        keep(at, new_start)
        at = new_end
        if wrong is not None and not any(new_start <= line < new_end for line in wrong):
            keep(new_start, new_end)
            continue
        paired = old_end - old_start == new_end - new_start
        for offset in range(new_end - new_start):
            line = new_start + offset
            if wrong is not None and line not in wrong:
                keep(line, line + 1)
            elif paired:
                lines.append(old[old_start + offset])
                stands_for.append(line)
        if not paired and (wrong is None or old_start < old_end):
            lines.extend(old[old_start:old_end])
            stands_for.extend(_stretched(old_end - old_start, new_start, new_end))
    keep(at, len(new))
    return Reverted(tuple(lines), tuple(stands_for))


def _stretched(count: int, start: int, end: int) -> list[int | None]:
    """The lines that `count` old ones stand for where there are now others: one by one, as far as they go."""
    return [start + index if start + index < end else None for index in range(count)]
