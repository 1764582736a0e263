"""The size arithmetic of a few layers in a row, forwards, and backwards from the output of the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

from cnnspec.analysis.layer_sizes import Layer, Question, Size, Solution, StepResult, find_operator
from cnnspec.analysis.layer_weights import LINEAR, dense, weighed
from cnnspec.analysis.solving import nearest_values, solution_range
from cnnspec.errors import CnnspecError, UsageError
from cnnspec.ops import show_shape

__all__ = ["Calculation", "calculate"]


@dataclass(frozen=True, slots=True)
class Calculation:
    """The layers in turn; `solutions` are for the input of the first, where the wanted output is that of the last."""

    steps: tuple[StepResult, ...]
    solutions: tuple[Solution, ...] = ()

    def __repr__(self) -> str:
        sizes = [self.steps[0].input, *(step.output for step in self.steps)] if self.steps else []
        return f"<Calculation: {' -> '.join(map(show_shape, sizes))}>"

    def to_dict(self) -> dict[str, Any]:
        """The calculation as `--format json` prints it."""
        return {
            "cnnspec": 1,
            "steps": [step.to_dict() for step in self.steps],
            "solutions": [solution.to_dict() for solution in self.solutions],
        }


def calculate(layers: Sequence[Layer]) -> Calculation:
    """Work out the sizes of layers in turn; each after the first reads the one before.

    A layer with an `output` is solved: for its input, if that is missing; for its kernel, if that is; else for each of
    stride, padding and dilation that is left out, the others as torch has them. A first layer without input is solved
    from the output of the last. Raises UsageError where too little or too much is given, and CnnspecError where the
    question has no answer.

    Parameters are counted of layers whose channels are given, or follow from the layer before. Behind all others there
    may be dense layers.
    """
    if not layers:
        raise UsageError("there is no layer to calculate", hint="cnnspec calc conv2d --input 32 --kernel-size 5")
    count = next((at for at, layer in enumerate(layers) if find_operator(layer.op) == LINEAR), len(layers))
    asked = [Question(layer) for layer in layers[:count]]
    found = _windowed(asked) if asked else Calculation(())
    steps: list[StepResult] = []
    features = channels = None
    for question, step in zip(asked, found.steps, strict=True):
        counted, channels = weighed(question, step, channels)
        steps.append(counted)
    if channels is not None:
        features = channels * prod(steps[-1].output)
    for layer in layers[count:]:
        if find_operator(layer.op) != LINEAR:
            raise UsageError(f"{find_operator(layer.op)} cannot follow {LINEAR}: a dense layer gives a vector")
        if features is not None and layer.input is not None:
            raise UsageError(f"{LINEAR} reads the layer before it: only the first takes an input")
        steps.append(dense(layer, features))
        (features,) = steps[-1].output
    return Calculation(tuple(steps), found.solutions)


def _windowed(asked: list[Question]) -> Calculation:
    """The sizes of layers with windows. Raises as `calculate`."""
    for question in asked[1:]:
        if question.layer.input is not None:
            raise UsageError(f"{question.op} reads the layer before it: only the first takes an input")
        if question.rank != asked[0].rank:
            raise UsageError(f"{question.op} cannot follow {asked[0].op}: they have different numbers of axes")
    first = asked[0]
    if first.size is None and first.wanted is None:
        if asked[-1].wanted is None:
            raise UsageError(f"{first.op} needs an input", hint="add `--input 32`, or `--output` to solve for it")
        return _backwards(asked)
    steps: list[StepResult] = []
    size = first.size
    for question in asked:
        step = question.answer(size)
        steps.append(step)
        size = step.output
    return Calculation(tuple(steps))


def _backwards(asked: list[Question]) -> Calculation:
    """All inputs of the first layer for which the last gives what is wanted."""
    for question in asked:
        if "kernel_size" not in question.given:
            raise UsageError(f"{question.op} needs a kernel_size: only one number can be solved for")
        if question.wanted is not None and question is not asked[-1]:
            raise UsageError("give the output of one layer only, when there is no input")
    wanted = asked[-1].wanted
    assert wanted is not None
    ranges = []
    for axis, target in enumerate(wanted):

        def through(size: int, axis: int = axis) -> int:
            for question in asked:
                size = question.out(axis, "input", size)
                if size < 1:
                    return 0
            return size

        def refusal(size: int, axis: int = axis) -> str | None:
            for question in asked:
                if code := question.refusal(axis, "input", size):
                    return code
                size = question.out(axis, "input", size)
            return None

        ends = solution_range(through, refusal, 1, target)
        if ends is None:
            raise CnnspecError(
                f"no input gives {show_shape(wanted)} after {len(asked)} layers",
                hint=nearest_values("input", through, refusal, 1, target),
            )
        ranges.append(ends)
    size: Size = tuple(first for first, _ in ranges)
    steps = []
    for question in asked:
        steps.append(question.forwards(size))
        size = steps[-1].output
    return Calculation(tuple(steps), (Solution("input", tuple(ranges)),))
