"""How much work something is, counted and not timed: the calls that it makes."""

from __future__ import annotations

import cProfile
import pstats
from collections.abc import Callable

__all__ = ["calls_of"]


def calls_of(function: Callable[[], object]) -> int:
    """How many calls of functions, and resumptions of generators, happen while `function` runs."""
    profile = cProfile.Profile()
    profile.runcall(function)
    total: int = getattr(pstats.Stats(profile), "total_calls")  # noqa: B009  # typeshed does not know it
    return total
