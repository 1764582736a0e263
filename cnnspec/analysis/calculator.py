"""The size arithmetic of one layer, or a few in a row, forwards and backwards.

Every size formula rises or falls steadily with each of its numbers, so that the values of one number that give a wanted
output are neighbours: the first and the last are found by halving, and that is all solutions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cnnspec.analysis.explain import AXES, size_formula
from cnnspec.errors import CnnspecError, ShapeError, UsageError
from cnnspec.ops import AnyOp, Shape, make_op, operators, show_shape
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.pool import AvgPool, LPPool, MaxPool
from cnnspec.ops.window import Sliding, Transposed
from cnnspec.spec.hints import did_you_mean

__all__ = ["UNKNOWNS", "Calculation", "Layer", "Solution", "StepResult", "calculate", "find_operator"]

FAMILIES: Final = (Conv, ConvTranspose, MaxPool, AvgPool, LPPool)
UNKNOWNS: Final = ("input", "kernel_size", "stride", "padding", "dilation")
LEAST: Final = {"input": 1, "kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
ENDLESS: Final = 2**31 - 1  # the largest number that a layer takes: a solution that reaches it has no end

Size = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a calculation: a windowed operator of the language, and the arguments that are known.

    `input` and `output` are sizes, one number or one per axis; arguments are torch's, the same way. `padding` may be
    `same` or `valid`.
    """

    op: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    input: Size | None = None
    output: Size | None = None


@dataclass(frozen=True, slots=True)
class Solution:
    """All values of one unknown that give the wanted output: `ranges[axis]` is first and last, None without end."""

    unknown: str
    ranges: tuple[tuple[int, int | None], ...]

    def to_dict(self) -> dict[str, Any]:
        """The solution as `--format json` prints it."""
        return {"unknown": self.unknown, "ranges": [list(ends) for ends in self.ranges]}


@dataclass(frozen=True, slots=True)
class StepResult:
    """One layer worked out. Where something was solved for, the formula has its smallest solution in it."""

    op: str
    arguments: dict[str, Any]
    input: Size
    output: Size
    formulas: tuple[str, ...]  # one per axis
    unread: Size  # pixels at the far border that no window reaches, padding included
    solutions: tuple[Solution, ...] = ()
    others: tuple[tuple[dict[str, int], Solution], ...] = ()  # with other arguments than torch's defaults

    def to_dict(self) -> dict[str, Any]:
        """The step as `--format json` prints it."""
        return {
            "op": self.op,
            "arguments": {
                name: list(value) if isinstance(value, tuple) else value for name, value in self.arguments.items()
            },
            "input": list(self.input),
            "output": list(self.output),
            "formulas": list(self.formulas),
            "unread": list(self.unread),
            "solutions": [solution.to_dict() for solution in self.solutions],
            "others": [{"arguments": arguments, **solution.to_dict()} for arguments, solution in self.others],
        }


@dataclass(frozen=True, slots=True)
class Calculation:
    """The layers in turn; `solutions` are for the input of the first, where the wanted output is that of the last."""

    steps: tuple[StepResult, ...]
    solutions: tuple[Solution, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The calculation as `--format json` prints it."""
        return {
            "cnnspec": 1,
            "steps": [step.to_dict() for step in self.steps],
            "solutions": [solution.to_dict() for solution in self.solutions],
        }


def find_operator(name: str) -> str:
    """The operator's name in a spec: `conv2d`, `max_pool2d` and `MaxPool2d` are `Conv2d` and `MaxPool2d`.

    Raises UsageError where there is no windowed operator of this name.
    """
    known = [f"{family.__name__}{rank}d" for family in FAMILIES for rank in family.ranks]
    plain = {op.lower(): op for op in known}
    found = plain.get(name.lower().replace("_", ""))
    if found is None:
        words = [*known, *(_snake(op) for op in known)]
        hint = did_you_mean(name, words) or f"there are: {', '.join(_snake(op) for op in known if op.endswith('2d'))}"
        raise UsageError(f"`{name:.60}` has no size formula", hint=f"{hint} (and 1d, 3d)" if "are:" in hint else hint)
    return found


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("LP", "Lp")).lower()


def calculate(layers: Sequence[Layer]) -> Calculation:
    """Work out the sizes of layers in turn; each after the first reads the one before.

    A layer with an `output` is solved: for its input, if that is missing; for its kernel, if that is; else for each of
    stride, padding and dilation that is left out, the others as torch has them. A first layer without input is solved
    from the output of the last. Raises UsageError where too little or too much is given, and CnnspecError where the
    question has no answer.
    """
    if not layers:
        raise UsageError("there is no layer to calculate", hint="cnnspec calc conv2d --input 32 --kernel-size 5")
    asked = [_Question(layer) for layer in layers]
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


def _backwards(asked: list[_Question]) -> Calculation:
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

        def valid(size: int, axis: int = axis) -> bool:
            for question in asked:
                if not question.accepts(axis, "input", size):
                    return False
                size = question.out(axis, "input", size)
            return True

        ends = _range(through, valid, 1, target)
        if ends is None:
            raise CnnspecError(
                f"no input gives {show_shape(wanted)} after {len(asked)} layers",
                hint=_nearest("input", through, valid, 1, target),
            )
        ranges.append(ends)
    size: Size = tuple(first for first, _ in ranges)
    steps = []
    for question in asked:
        steps.append(question.forwards(size))
        size = steps[-1].output
    return Calculation(tuple(steps), (Solution("input", tuple(ranges)),))


class _Question:
    """One layer with what is known of it, checked."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.op = find_operator(layer.op)
        self.family, rank = operators()[self.op]
        assert rank is not None
        self.rank = rank
        fields = self.family.model_fields
        for name in layer.arguments:
            if name not in fields:
                known = [word for word in (*UNKNOWNS, "output_padding", "ceil_mode") if word in fields]
                hint = did_you_mean(name, known) or f"it has: {', '.join(known)}"
                raise UsageError(f"{self.op} has no {name}", hint=hint)
        self.given = {name: self.spread(name, value) for name, value in layer.arguments.items()}
        self.size = None if layer.input is None else self.spread("input", layer.input)
        self.wanted = None if layer.output is None else self.spread("output", layer.output)

    def spread(self, name: str, value: Any) -> Any:
        """One value per axis. Raises UsageError."""
        if isinstance(value, str) and self.family is not Conv:
            raise UsageError(f"the padding of {self.op} is a number", hint="only convolutions take `same` and `valid`")
        if isinstance(value, (str, bool)):
            return value
        sizes = value if isinstance(value, tuple) else (value,)
        if len(sizes) == 1:
            sizes = sizes * self.rank
        if len(sizes) != self.rank:
            axes = ", ".join(AXES[self.rank])
            raise UsageError(
                f"{name} has {len(sizes)} numbers, but {self.op} has {len(AXES[self.rank])} axes ({axes})",
                hint="sizes are without batch and channels",
            )
        least = 0 if name in ("padding", "output_padding") else 1
        for size in sizes:
            if not least <= size <= ENDLESS:
                raise UsageError(f"{name} is {size}, and must be at least {least}")
        return sizes

    def on_axis(self, axis: int, unknown: str | None = None, value: int = 0) -> AnyOp:
        """The layer on one axis, as its one-dimensional sibling. Raises UsageError."""
        arguments = {name: one if isinstance(one, (str, bool)) else one[axis] for name, one in self.given.items()}
        if unknown not in (None, "input"):
            arguments[unknown] = value
        return self.operator(1, arguments)

    def operator(self, rank: int, arguments: Mapping[str, Any]) -> AnyOp:
        if "kernel_size" not in arguments:
            raise UsageError(
                f"{self.op} needs a kernel_size", hint="add `--kernel-size 3`, or `--output` to solve for it"
            )
        fixed: dict[str, Any] = {}
        if self.family in (Conv, ConvTranspose):
            fixed["out_channels"] = 1
        if self.family is LPPool:
            fixed["norm_type"] = 2.0
        return make_op(f"{self.family.__name__}{rank}d", **fixed, **arguments)

    def out(self, axis: int, unknown: str | None, value: int, size: int | None = None) -> int:
        """The output size, also where torch would refuse the layer: so that it rises or falls steadily."""
        length = value if unknown == "input" else (size or 1)
        (window,) = self.on_axis(axis, unknown, value).windows((1, length))
        assert isinstance(window, (Sliding, Transposed))
        return window.out_size(length)

    def accepts(self, axis: int, unknown: str | None, value: int, size: int | None = None) -> bool:
        length = value if unknown == "input" else (size or 1)
        try:
            self.on_axis(axis, unknown, value).out_shape((1, length))
        except ShapeError:
            return False
        return True

    def answer(self, size: Size | None) -> StepResult:
        """This layer for an input of this size, or solved."""
        if self.wanted is None:
            assert size is not None
            return self.forwards(size)
        if size is None:
            if "kernel_size" not in self.given:
                raise UsageError("input and kernel_size are both left out: only one number can be solved for")
            unknowns = ["input"]
        elif "kernel_size" not in self.given:
            unknowns = ["kernel_size"]
        else:
            fields = self.family.model_fields
            unknowns = [name for name in ("stride", "padding", "dilation") if name in fields and name not in self.given]
        if not unknowns:
            step = self.forwards(size or ())
            if step.output != self.wanted:
                raise CnnspecError(
                    f"{self.op} gives {show_shape(step.output)}, not {show_shape(self.wanted)}: {step.formulas[0]}",
                    hint="leave one number out to solve for it",
                )
            return step
        step = self.solve(size, unknowns)
        return replace(step, others=self.other_strides(size)) if size and unknowns == ["kernel_size"] else step

    def other_strides(self, size: Size) -> tuple[tuple[dict[str, int], Solution], ...]:
        """The kernels for the stride that the sizes suggest, where none is given: 2 where they are halved."""
        if self.wanted is None or self.family not in (Conv, ConvTranspose) or "stride" in self.given:
            return ()  # a pool's stride follows its kernel
        pairs = zip(size, self.wanted, strict=True)
        ratios = {round(wanted / read if self.family is ConvTranspose else read / wanted) for read, wanted in pairs}
        stride = ratios.pop()
        if ratios or stride < 2:
            return ()
        found = []
        for padding in (0, 1) if "padding" not in self.given else (None,):
            arguments = {"stride": stride} | ({"padding": padding} if padding else {})
            asked = _Question(Layer(self.op, {**self.given, **arguments}, size, self.wanted))
            with suppress(CnnspecError):  # where no kernel gives it
                found.append((arguments, asked.solve(size, ["kernel_size"]).solutions[0]))
        return tuple(found)

    def solve(self, size: Size | None, unknowns: list[str]) -> StepResult:
        wanted = self.wanted
        assert wanted is not None
        solutions, hints = [], []
        for unknown in unknowns:
            ranges = []
            for axis, target in enumerate(wanted):
                length = None if size is None else size[axis]

                def out(value: int, axis: int = axis, unknown: str = unknown, length: int | None = length) -> int:
                    return self.out(axis, unknown, value, length)

                def valid(value: int, axis: int = axis, unknown: str = unknown, length: int | None = length) -> bool:
                    return self.accepts(axis, unknown, value, length)

                ends = _range(out, valid, LEAST[unknown], target)
                if ends is None:
                    hints.append(_nearest(unknown, out, valid, LEAST[unknown], target))
                    break
                ranges.append(ends)
            else:
                solutions.append(Solution(unknown, tuple(ranges)))
        if not solutions:
            reads = f" from an input of {show_shape(size)}" if size else ""
            names = " or ".join(unknowns)
            hint = "; ".join(text for text in hints if text)
            raise CnnspecError(f"no {names} gives {show_shape(wanted)}{reads}", hint=hint or None)
        best = solutions[0]
        least = tuple(first for first, _ in best.ranges)
        arguments = self.given if best.unknown == "input" else {**self.given, best.unknown: least}
        solved = _Question(Layer(self.op, arguments))
        step = solved.forwards(least if best.unknown == "input" else size or ())
        return StepResult(
            step.op, step.arguments, step.input, step.output, step.formulas, step.unread, tuple(solutions)
        )

    def forwards(self, size: Size) -> StepResult:
        """The output for an input of this size. Raises CnnspecError where the layer refuses it."""
        op = self.operator(self.rank, self.given)
        shape: Shape = (1, *size)
        try:
            output = op.out_shape(shape)[1:]
        except ShapeError as error:
            raise CnnspecError(f"{self.op}: {error.message}") from None
        windows = op.windows(shape)
        formulas = tuple(size_formula(window, length) for window, length in zip(windows, size, strict=True))
        unread = tuple(
            window.unread(length) if isinstance(window, Sliding) else 0
            for window, length in zip(windows, size, strict=True)
        )
        return StepResult(self.op, dict(self.given), size, output, formulas, unread)


def _range(
    out: Callable[[int], int], valid: Callable[[int], bool], least: int, wanted: int
) -> tuple[int, int | None] | None:
    """First and last value that give the wanted output and that the layer takes; None where there is none."""
    rises = out(ENDLESS) >= out(least)
    first = _halve(lambda value: (out(value) >= wanted) if rises else (out(value) <= wanted), least, ENDLESS + 1)
    last = _halve(lambda value: (out(value) > wanted) if rises else (out(value) < wanted), first, ENDLESS + 1) - 1
    if last < first:
        return None
    if not valid(first):  # layers refuse numbers below some bound, or above one
        if not valid(last):
            return None
        first = _halve(valid, first, last)
    elif not valid(last):
        last = _halve(lambda value: not valid(value), first, last) - 1
    return first, (None if last == ENDLESS else last)


def _halve(holds: Callable[[int], bool], low: int, high: int) -> int:
    """The first value from `low` on for which it holds, given that it goes on holding; `high` where there is none."""
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low


def _nearest(
    unknown: str, out: Callable[[int], int], valid: Callable[[int], bool], least: int, wanted: int
) -> str | None:
    """What the values to both sides of the missing one give."""
    rises = out(ENDLESS) >= out(least)
    edge = _halve(lambda value: (out(value) >= wanted) if rises else (out(value) <= wanted), least, ENDLESS + 1)
    near = [value for value in (edge - 1, edge) if least <= value <= ENDLESS and valid(value)]
    given = [f"{unknown} {value} gives {out(value)}" for value in near if out(value) != wanted]
    return " and ".join(given) or None
