"""A calculation as text."""

from __future__ import annotations

from collections.abc import Sequence

from cnnspec.api import Calculation, Solution, StepResult
from cnnspec.api.terms import AXES, show_shape

__all__ = ["render_calculation"]


def render_calculation(calculation: Calculation) -> str:
    """Each layer with its formula, and what was solved for."""
    lines = []
    for solution in calculation.solutions:
        lines += [*_solution(solution, "", len(calculation.steps) > 1), ""]
    for step in calculation.steps:
        lines += _step(step)
    return "\n".join(lines)


def _step(step: StepResult) -> list[str]:
    arguments = ", ".join(f"{name}={_value(value)}" for name, value in step.arguments.items())
    weights = []
    if step.params is not None:
        weights = [f"  parameters  {step.params_formula} = {step.params:,}", f"  MACs        {step.macs:,}"]
    lines = [f"{step.op}({arguments}): {show_shape(step.input)} -> {show_shape(step.output)}"]
    lines += _per_axis("", step.formulas)
    held = "with stride=1: " if step.others else ""
    for index, solution in enumerate(step.solutions):
        lines += _solution(solution, f"  or {held}" if index else f"  {held}", False)
    for chosen, solution in step.others:
        given = ", ".join(f"{name}={value}" for name, value in chosen.items())
        lines += _solution(solution, f"  with {given}: ", False)
    return lines + weights


def _solution(solution: Solution, lead: str, first: bool) -> list[str]:
    texts = [_range(ends) for ends in solution.ranges]
    name = f"{solution.unknown} of the first layer" if first else solution.unknown
    return [f"{lead}{line.strip()}" for line in _per_axis(f"{name} = ", texts)]


def _range(ends: tuple[int, int | None]) -> str:
    first, last = ends
    if last is None:
        return f"{first} or more"
    return str(first) if first == last else f"{first} to {last}"


def _per_axis(lead: str, texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    if len(set(texts)) == 1:
        return [f"  {lead}{texts[0]}{'   (on every axis)' if len(texts) > 1 else ''}"]
    width = max(len(axis) for axis in AXES[len(texts)])
    return [f"  {axis.ljust(width)}  {lead}{text}" for axis, text in zip(AXES[len(texts)], texts, strict=True)]


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return str(value[0]) if len(set(value)) == 1 else show_shape(value)
    return str(value)
