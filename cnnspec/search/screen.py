"""What a space holds, before anything is trained: how much of it is valid and within the limits, and what binds."""

from __future__ import annotations

import random
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cnnspec.errors import UsageError
from cnnspec.language import Network
from cnnspec.language.document import SearchSection
from cnnspec.language.figures import MEASURED
from cnnspec.search.space import Looked, draw, every, look

__all__ = ["SAMPLE", "Binding", "Screen", "merged", "nothing_fits", "screen"]

SAMPLE: Final = 200  # candidates that are looked at where nobody says how many
FIGURES_SHOWN: Final = ("params", "macs", "field", "peak")


class Binding(NamedTuple):
    """How many valid candidates break a limit, and how many break no other."""

    limit: str
    broken: int
    alone: int


class Spread(NamedTuple):
    """The least, the middle and the largest of a figure over the valid candidates."""

    least: float
    median: float
    most: float


@dataclass(frozen=True)
class Screen:
    """What was seen of a space."""

    name: str
    size: int | None  # candidates of the space; None where there is no end of them
    looked: tuple[Looked, ...]  # those that were looked at
    limits: tuple[str, ...]
    left_out: tuple[str, ...]  # limits on what has to be measured

    def __repr__(self) -> str:
        return f"<Screen of {self.name}: {len(self.fitting)} of {len(self.looked)} candidates fit>"

    @property
    def whole(self) -> bool:
        """Whether every candidate of the space was looked at."""
        return self.size == len(self.looked)

    @property
    def valid(self) -> list[Looked]:
        """The candidates that make a network."""
        return [each for each in self.looked if each.verdict is not None]

    @property
    def fitting(self) -> list[Looked]:
        """The candidates within the limits."""
        return [each for each in self.looked if each.fits]

    @property
    def bindings(self) -> list[Binding]:
        """The limits by how many candidates fail by them alone, then by how many fail by them at all."""
        broken: Counter[str] = Counter()
        alone: Counter[str] = Counter()
        for each in self.valid:
            names = [violation.limit.figure for violation in each.verdict.violations] if each.verdict else []
            broken.update(names)
            alone.update(names if len(names) == 1 else ())
        found = [Binding(limit, broken[limit], alone[limit]) for limit in self.limits]
        return sorted(found, key=lambda each: (-each.alone, -each.broken))

    @property
    def faults(self) -> list[tuple[str, int]]:
        """Why candidates make no network, and how many for each reason; the commonest first.

        Reasons that differ in their numbers alone are one, worded as the first of them was.
        """
        faults = [each.fault for each in self.looked if each.fault is not None]
        counts = Counter(map(_unnumbered, faults))
        worded = {_unnumbered(fault): fault for fault in reversed(faults)}
        return [(worded[reason], count) for reason, count in counts.most_common()]

    @property
    def nearest(self) -> Looked | None:
        """The valid candidate that misses the limits by least, where none keeps them; sooner one that was measured."""
        if self.fitting or not self.valid:
            return None
        measured = [name for name in MEASURED if name in self.limits]
        return min(self.valid, key=lambda each: (any(each.value(name) is None for name in measured), _miss(each)))

    def spread(self, figure: str) -> Spread | None:
        """How a figure is spread over the valid candidates; None where it is not known of any."""
        values = [value for each in self.valid if each.verdict and (value := each.verdict.figures.value(figure))]
        return Spread(min(values), statistics.median(values), max(values)) if values else None

    def to_dict(self) -> dict[str, Any]:
        """What was seen, as plain data."""
        spreads = {figure: self.spread(figure) for figure in FIGURES_SHOWN}
        return {
            "name": self.name,
            "space": self.size,
            "looked_at": len(self.looked),
            "valid": len(self.valid),
            "within_limits": len(self.fitting),
            "limits": [each._asdict() for each in self.bindings],
            "not_measured": list(self.left_out),
            "invalid": [{"reason": reason, "candidates": count} for reason, count in self.faults],
            "figures": {name: None if spread is None else spread._asdict() for name, spread in spreads.items()},
            "nearest_miss": None if self.nearest is None else _as_dict(self.nearest),
            "candidates": [_as_dict(each) for each in self.looked],
        }


def _unnumbered(reason: str) -> str:
    where, _, said = reason.partition(": ")
    return where + re.sub(r"-?\d+(\.\d+)?(e-?\d+)?", "#", said)


def _miss(looked: Looked) -> float:
    """By what shares of their bounds a valid candidate is beyond its limits, together."""
    return sum(violation.excess for violation in looked.verdict.violations) if looked.verdict else 0.0


def _as_dict(looked: Looked) -> Mapping[str, Any]:
    verdict = looked.verdict
    return {
        "values": dict(looked.candidate.values),
        "figures": None if verdict is None else verdict.figures.to_dict(),
        "violations": [] if verdict is None else [violation.limit.figure for violation in verdict.violations],
        "fault": looked.fault,
    }


def screen(network: Network, section: SearchSection, *, sample: int = SAMPLE, seed: int = 0) -> Screen:
    """Look at the whole space where it has at most `sample` candidates, else at so many of it, drawn with `seed`."""
    whole = section.size is not None and section.size <= sample
    source = random.Random(seed)
    candidates = every(section) if whole else (draw(section, source) for _ in range(sample))
    looked = tuple(look(network, candidate, section.limits) for candidate in candidates)
    judged = tuple(name for name in section.limits if name not in MEASURED)
    return Screen(network.name, section.size, looked, judged, tuple(set(section.limits) - set(judged)))


def nothing_fits(seen: Screen, tried: int, spec: str) -> UsageError:
    """The error for a space in which nothing was found within the limits, with the nearest miss."""
    look = f"`cnnspec search screen {spec}` says"
    where = "no candidate of the space" if seen.whole else f"none of {tried:,} candidates"
    if not seen.valid:
        reason, _ = seen.faults[0]
        return UsageError(f"{where} makes a network: {reason}", hint=f"{look} more")
    nearest = seen.nearest
    assert nearest is not None
    assert nearest.verdict is not None
    worst = seen.bindings[0].limit
    misses = "; ".join(map(str, nearest.verdict.violations))
    return UsageError(
        f"{where} keeps the limits, mostly because of `{worst}`; the nearest is {nearest.candidate}: {misses}",
        hint="raise it, or widen the space"
        if worst in MEASURED
        else f"{look} which limit binds; raise it, or widen the space",
    )


def merged(first: Screen, more: Sequence[Looked]) -> Screen:
    """A screen with further candidates that were looked at."""
    return Screen(first.name, first.size, (*first.looked, *more), first.limits, first.left_out)
