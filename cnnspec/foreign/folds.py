"""Chains of calls that are one operator of the language, and calls that do nothing.

Each rule looks at one step and what is around it, and says whether it has changed anything. Rules that need a whole
chain come before those that make an operator of a single primitive.
"""

from __future__ import annotations

from typing import Final

from cnnspec.foreign.fold_norms import NORMS
from cnnspec.foreign.fold_shapes import SHAPES, does_nothing
from cnnspec.foreign.fold_values import VALUES
from cnnspec.foreign.steps import Readers, Rule, Step, Steps
from cnnspec.ops import ArgumentError

__all__ = ["fold"]

_RULES: Final[tuple[Rule, ...]] = (*NORMS, *VALUES, *SHAPES)


def fold(steps: Steps) -> None:
    """Make operators of what the steps compute, as far as there are any."""
    for step in steps:
        if does_nothing(step, steps):
            steps.leave_out(step)
    for rule in _RULES:
        readers = steps.readers()
        for step in steps:
            if step.name in steps.by_name and _applies(rule, step, steps, readers):
                readers = steps.readers()


def _applies(rule: Rule, step: Step, steps: Steps, readers: Readers) -> bool:
    """Whether a rule has made something. What no operator can be made of stays as it is, and is a gap in the end."""
    try:
        return rule(step, steps, readers)
    except ArgumentError:
        return False
