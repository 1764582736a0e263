"""The parameters of calculated layers, and dense layers, which have no size formula but parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import prod
from typing import Any, Final

from cnnspec.analysis.layer_sizes import CHANNELS, Layer, Question, StepResult
from cnnspec.errors import CnnspecError, ShapeError, UsageError
from cnnspec.ops import AnyOp, ArgumentError, Shape, make_op

__all__ = ["LINEAR", "dense", "weighed"]

LINEAR: Final = "Linear"


@dataclass(frozen=True, slots=True)
class _Shapes:
    """What a layer reads, for counting: its channels and sizes."""

    op: AnyOp
    read: Shape

    def onto(self, step: StepResult) -> StepResult:
        """The step with what follows from its channels. Raises CnnspecError where they do not fit."""
        try:
            self.op.out_shape(self.read)
        except ShapeError as error:
            raise CnnspecError(f"{step.op}: {error.message}") from None
        params = sum(map(prod, self.op.parameter_shapes(self.read).values()))
        formula = self.op.parameter_formula(self.read)
        return replace(step, params=params, params_formula=formula, macs=self.op.macs(self.read))


def _make(op: str, arguments: Mapping[str, Any]) -> AnyOp:
    try:
        return make_op(op, **arguments)
    except ArgumentError as error:
        raise UsageError(f"{op}: {error}") from None


def weighed(question: Question, step: StepResult, channels: int | None) -> tuple[StepResult, int | None]:
    """A step with its parameters, where its channels are known, and the channels that it gives.

    `channels` are those of the layer before. Raises UsageError for channels that do not go together, or half of them.
    """
    given = question.channels
    if not question.has_weights:
        return step, channels
    read, made = given.get("in_channels", channels), given.get("out_channels")
    if channels is not None and read != channels:
        raise UsageError(f"{step.op} has in_channels={read}, and the layer before gives {channels}")
    if read is None or made is None:
        if set(given) - {"in_channels"} or (made is None and "in_channels" in given):
            missing = "out_channels" if made is None else "in_channels"
            flag = f"--{missing.replace('_', '-')}"
            raise UsageError(f"{step.op}: parameters are counted from both channels", hint=f"add `{flag} 64`")
        return step, None
    arguments = {name: value for name, value in given.items() if name in CHANNELS and name != "in_channels"}
    op = _make(step.op, {**arguments, **step.arguments})
    return _Shapes(op, (read, *step.input)).onto(step), made


def dense(layer: Layer, features: int | None) -> StepResult:
    """A dense layer, which reads `features` numbers of the layer before, or what it says itself.

    Raises UsageError where something is missing, and CnnspecError where it reads other numbers.
    """
    arguments = dict(layer.arguments)
    for name in arguments:
        if name not in ("in_features", "out_features", "bias"):
            raise UsageError(f"{LINEAR} has no {name}", hint="it has: in_features, out_features, bias")
    for name, size in (("in_features", layer.input), ("out_features", layer.output)):
        if size is not None:
            arguments.setdefault(name, prod(size))
    if "out_features" not in arguments:
        raise UsageError(f"{LINEAR} needs out_features", hint="add `--out-features 10`")
    if features is None and "in_features" not in arguments:
        hint = "add `--in-features 512`, or the channels of the layers before: `--in-channels 3 --out-channels 64`"
        raise UsageError(f"how many numbers does {LINEAR} read?", hint=hint)
    op = _make(LINEAR, arguments)
    read = features if features is not None else int(arguments.pop("in_features"))
    step = StepResult(LINEAR, arguments, (read,), (int(arguments["out_features"]),), (), ())
    return _Shapes(op, (read,)).onto(step)
