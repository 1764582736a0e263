"""The size arithmetic of one layer, forwards and solved for a number that is missing.

Every size formula rises or falls steadily with each of its numbers, so that the values of one number that give a wanted
output are neighbours: the first and the last are found by halving, and that is all solutions.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cnnspec.analysis.explain import size_formula
from cnnspec.analysis.solving import ENDLESS, nearest_values, solution_range
from cnnspec.errors import CnnspecError, ShapeError, UsageError
from cnnspec.hints import did_you_mean
from cnnspec.ops import AXES, AnyOp, Shape, make_op, operators, show_shape
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.pool import AvgPool, LPPool, MaxPool
from cnnspec.ops.window import Sliding, Transposed

__all__ = ["CHANNELS", "Layer", "Question", "Size", "Solution", "StepResult", "find_operator"]

FAMILIES: Final = (Conv, ConvTranspose, MaxPool, AvgPool, LPPool)
UNKNOWNS: Final = ("input", "kernel_size", "stride", "padding", "dilation")
LEAST: Final = {"input": 1, "kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1, "output_padding": 0}
CHANNELS: Final = ("in_channels", "out_channels", "groups", "bias")  # what sizes do not depend on, and parameters do
MOST_TRIED: Final = 64  # output paddings, each with its own padding

Size = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer of a calculation: a windowed operator of the language or `Linear`, and the arguments that are known.

    `input` and `output` are sizes, one number or one per axis; arguments are torch's, the same way. `padding` may be
    `same` or `valid`. With `in_channels` and `out_channels` its parameters are counted.
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
    params: int | None = None  # where the channels are known, as the two below
    params_formula: str | None = None
    macs: int | None = None

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
            "params": self.params,
            "params_formula": self.params_formula,
            "macs": self.macs,
        }


def find_operator(name: str) -> str:
    """The operator's name in a spec: `conv2d`, `max_pool2d` and `MaxPool2d` are `Conv2d` and `MaxPool2d`.

    Raises UsageError where there is no windowed operator of this name.
    """
    known = [f"{family.__name__}{rank}d" for family in FAMILIES for rank in family.ranks]
    plain = {op.lower(): op for op in (*known, "Linear")}
    operator = plain.get(name.lower().replace("_", ""))
    if operator is None:
        words = [*known, *(_snake(op) for op in known)]
        listed = ", ".join([*(_snake(op) for op in known if op.endswith("2d")), "linear"])
        hint = did_you_mean(name, [*words, "linear"]) or f"there are: {listed}"
        raise UsageError(f"`{name:.60}` has no size formula", hint=f"{hint} (and 1d, 3d)" if "are:" in hint else hint)
    return operator


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("LP", "Lp")).lower()


class Question:
    """One layer with what is known of it, checked."""

    def __init__(self, layer: Layer) -> None:
        self.layer = layer
        self.op = find_operator(layer.op)
        self.family, rank = operators()[self.op]
        assert rank is not None
        self.rank = rank
        fields = self.family.fields()
        self.has_weights = self.family in (Conv, ConvTranspose)
        self.channels = {name: value for name, value in layer.arguments.items() if name in CHANNELS}
        for name in layer.arguments:
            if name not in fields:
                known = [word for word in (*UNKNOWNS, "output_padding", "ceil_mode", *CHANNELS) if word in fields]
                hint = did_you_mean(name, known) or f"it has: {', '.join(known)}"
                raise UsageError(f"{self.op} has no {name}", hint=hint)
        arguments = {name: value for name, value in layer.arguments.items() if name not in CHANNELS}
        self.given = {name: self.spread(name, value) for name, value in arguments.items()}
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
        """The layer as if all axes were like this one: torch's rules are those of its rank. Raises UsageError."""
        arguments = {name: one if isinstance(one, (str, bool)) else one[axis] for name, one in self.given.items()}
        if unknown not in (None, "input"):
            arguments[unknown] = value
        return self.operator(arguments)

    def operator(self, arguments: Mapping[str, Any]) -> AnyOp:
        if "kernel_size" not in arguments:
            raise UsageError(
                f"{self.op} needs a kernel_size", hint="add `--kernel-size 3`, or `--output` to solve for it"
            )
        fixed: dict[str, Any] = {}
        if self.family in (Conv, ConvTranspose):
            fixed["out_channels"] = 1
        if self.family is LPPool:
            fixed["norm_type"] = 2.0
        return make_op(f"{self.family.__name__}{self.rank}d", **fixed, **arguments)

    def out(self, axis: int, unknown: str, value: int, size: int | None = None) -> int:
        """The output size, also where torch would refuse the layer: so that it rises or falls steadily."""
        shape = self.cube(unknown, value, size)
        window = self.on_axis(axis, unknown, value).windows(shape)[0]
        assert isinstance(window, (Sliding, Transposed))
        return window.out_size(shape[1])

    def refusal(self, axis: int, unknown: str, value: int, size: int | None = None) -> str | None:
        """The code of the reason for which torch refuses the layer; None where it takes it."""
        try:
            self.on_axis(axis, unknown, value).out_shape(self.cube(unknown, value, size))
        except ShapeError as error:
            return error.code
        return None

    def cube(self, unknown: str, value: int, size: int | None) -> Shape:
        """One channel with all axes of this size, or of the value that is tried."""
        return (1, *(value if unknown == "input" else size or 1,) * self.rank)

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
            fields = self.family.fields()
            unknowns = [name for name in ("stride", "padding", "dilation") if name in fields and name not in self.given]
        if not unknowns:
            step = self.forwards(size or ())
            if step.output != self.wanted:
                raise CnnspecError(
                    f"{self.op} gives {show_shape(step.output)}, not {show_shape(self.wanted)}: {step.formulas[0]}",
                    hint="leave one number out to solve for it",
                )
            return step
        try:
            step = self.solve(size, unknowns)
        except CnnspecError:
            if (found := self.with_output_padding(size)) is None:
                raise
            step = found
        return replace(step, others=self.other_strides(size)) if size and unknowns == ["kernel_size"] else step

    def with_output_padding(self, size: Size | None) -> StepResult | None:
        """The smallest output padding that gives the wanted output, with the padding that is given or one that fits.

        With a stride above 1 a transposed convolution gives all other sizes by it alone.
        """
        if (
            self.family is not ConvTranspose
            or size is None
            or {"output_padding", "kernel_size"} - {*self.given} != {"output_padding"}
        ):
            return None
        if "padding" in self.given:
            with suppress(CnnspecError):
                return self.solve(size, ["output_padding"])
            return None
        reach = max(1, *self.given.get("stride", (1,)), *self.given.get("dilation", (1,)))
        for extra in range(1, min(reach, MOST_TRIED)):
            arguments = {**self.given, "output_padding": extra}
            with suppress(CnnspecError):
                return Question(Layer(self.op, arguments, size, self.wanted)).solve(size, ["padding"])
        return None

    def other_strides(self, size: Size) -> tuple[tuple[dict[str, int], Solution], ...]:
        """The kernels for the stride that the sizes suggest, where none is given: 2 where they are halved."""
        if self.wanted is None or self.family not in (Conv, ConvTranspose) or "stride" in self.given:
            return ()  # a pool's stride follows its kernel
        pairs = zip(size, self.wanted, strict=True)
        ratios = {round(wanted / read if self.family is ConvTranspose else read / wanted) for read, wanted in pairs}
        stride = ratios.pop()
        if ratios or stride < 2:
            return ()
        solutions = []
        for padding in (0, 1) if "padding" not in self.given else (None,):
            arguments = {"stride": stride} | ({"padding": padding} if padding else {})
            asked = Question(Layer(self.op, {**self.given, **arguments}, size, self.wanted))
            with suppress(CnnspecError):  # where no kernel gives it
                solutions.append((arguments, asked.solve(size, ["kernel_size"]).solutions[0]))
        return tuple(solutions)

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

                def refusal(
                    value: int, axis: int = axis, unknown: str = unknown, length: int | None = length
                ) -> str | None:
                    return self.refusal(axis, unknown, value, length)

                ends = solution_range(out, refusal, LEAST[unknown], target)
                if ends is None:
                    hints.append(nearest_values(unknown, out, refusal, LEAST[unknown], target))
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
        solved = Question(Layer(self.op, arguments))
        step = solved.forwards(least if best.unknown == "input" else size or ())
        return StepResult(
            step.op, step.arguments, step.input, step.output, step.formulas, step.unread, tuple(solutions)
        )

    def forwards(self, size: Size) -> StepResult:
        """The output for an input of this size. Raises CnnspecError where the layer refuses it."""
        op = self.operator(self.given)
        shape: Shape = (1, *size)
        try:
            output = op.out_shape(shape)[1:]
        except ShapeError as error:
            raise CnnspecError(error.of(self.op)) from None
        windows = op.windows(shape)
        formulas = tuple(size_formula(window, length) for window, length in zip(windows, size, strict=True))
        unread = tuple(
            window.unread(length) if isinstance(window, Sliding) else 0
            for window, length in zip(windows, size, strict=True)
        )
        return StepResult(self.op, dict(self.given), size, output, formulas, unread)
