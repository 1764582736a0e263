"""Chains of calls that are one operator of the language, and calls that do nothing."""

from __future__ import annotations

from math import prod

from cnnspec.foreign.primitives import Clamped, Parameter, Reduced, Reshaped
from cnnspec.foreign.steps import Step, Steps
from cnnspec.ops import AnyOp, Mul, Shape, make_op
from cnnspec.ops.activation import Hardtanh, Sigmoid
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.norm import LayerNorm
from cnnspec.ops.reshape import Flatten, Identity, Permute

__all__ = ["fold"]


def fold(steps: Steps) -> None:
    """Make operators of what the steps compute, as far as there are any."""
    for step in steps:
        if _does_nothing(step, steps):
            steps.leave_out(step)
    for each in (_shuffle, _reduce, _gate, _flatten, _scale, _clamp, _layer_norm_2d):
        readers = steps.readers()
        for step in steps:
            if step.name in steps.by_name and each(step, steps, readers):
                readers = steps.readers()


def _does_nothing(step: Step, steps: Steps) -> bool:
    op = step.op
    if len(step.inputs) != 1:
        return False
    if isinstance(op, (Dropout, StochasticDepth)):
        return op.p == 0
    if isinstance(op, Reshaped):
        return op.shape == steps.shape(step.inputs[0])
    if isinstance(op, Permute):
        return op.dims == tuple(range(len(op.dims)))
    return isinstance(op, Identity)


def _replace(step: Step, op: AnyOp, *inputs: str) -> bool:
    step.op = op
    step.inputs = inputs or step.inputs
    return True


def _shuffle(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """`(C, *W) -> (g, C/g, *W)`, the two turned round, and back to `(C, *W)`."""
    whole = steps.shape(step.inputs[0]) if len(step.inputs) == 1 else None
    if not isinstance(step.op, Reshaped) or whole is None or len(step.op.shape) != len(whole) + 1:
        return False
    groups, rest = step.op.shape[:2]
    if step.op.shape[2:] != whole[1:] or groups * rest != whole[0]:
        return False
    turned = steps.only_reader(step.name, readers)
    back = turned and steps.only_reader(turned.name, readers)
    if turned is None or back is None or not isinstance(turned.op, Permute):
        return False
    if turned.op.dims != (0, 2, 1, *range(3, len(whole) + 2)) or not isinstance(back.op, Reshaped):
        return False
    if back.op.shape != whole:
        return False
    return _replace(back, make_op("ChannelShuffle", groups=groups), *step.inputs)


def _reduce(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """A mean or largest value over all spatial axes is an adaptive pool, without `keepdim` a flatten after it."""
    if not isinstance(step.op, Reduced) or step.op.how not in ("mean", "max"):
        return False
    shape = steps.shape(step.inputs[0])
    if shape is None or not 2 <= len(shape) <= 4 or step.op.dims != tuple(range(2, len(shape) + 1)):
        return False
    kind = "Avg" if step.op.how == "mean" else "Max"
    pool = make_op(f"Adaptive{kind}Pool{len(shape) - 1}d", output_size=1)
    pooled = (shape[0], *(1 for _ in shape[1:]))
    if step.op.keepdim:
        return _replace(step, pool)
    scope = step.name.rpartition(".")[0]
    flat = steps.free(f"{scope}.flatten".lstrip("."))
    steps.put_after(step, Step(flat, step.source_op, (), make_op("Flatten"), "", {}, step.shape, step.gives))
    step.op, step.shape, step.gives = pool, pooled, ""
    return True


def _flatten(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """A reshape that makes one axis of several neighbours."""
    shape = steps.shape(step.inputs[0]) if step.inputs else None
    if not isinstance(step.op, Reshaped) or shape is None:
        return False
    found = flattened(shape, step.op.shape)
    return found is not None and _replace(step, found)


def flattened(shape: Shape, wanted: Shape) -> Flatten | None:
    """The Flatten that makes `wanted` of `shape`, if there is one."""
    merged = len(shape) - len(wanted)
    if merged < 1:
        return None
    for start in range(len(wanted)):
        end = start + merged
        if (*shape[:start], prod(shape[start : end + 1]), *shape[end + 1 :]) == wanted:
            return Flatten(start_dim=start + 1, end_dim=-1 if end == len(shape) - 1 else end + 1)
    return None


def _gate(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """`x * sigmoid(x)`."""
    if not isinstance(step.op, Mul) or len(step.inputs) != 2:
        return False
    for one, other in (step.inputs, step.inputs[::-1]):
        gate = steps.by_name.get(other)
        if gate is not None and isinstance(gate.op, Sigmoid) and gate.inputs == (one,):
            return _replace(step, make_op("SiLU"), one)
    return False


def _scale(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """A product with a trained factor for each channel, whose name it takes."""
    if not isinstance(step.op, Mul) or len(step.inputs) != 2:
        return False
    for one, other in (step.inputs, step.inputs[::-1]):
        factor, shape = steps.by_name.get(other), steps.shape(one)
        if factor is None or not isinstance(factor.op, Parameter) or shape is None:
            continue
        if factor.op.shape == (shape[0], *(1 for _ in shape[1:])) and len(readers[factor.name]) == 1:
            _take_name(step, factor, steps)
            return _replace(step, make_op("Scale"), one)
    return False


def _take_name(step: Step, parameter: Step, steps: Steps) -> None:
    """Give a step the name and the weights of the parameter that it uses."""
    old, new = step.name, parameter.name
    step.weights, step.name = parameter.weights, new
    steps.by_name = {new if name == old else name: each for name, each in steps.by_name.items() if name != new}
    steps.same[old] = new
    for other in steps.by_name.values():
        other.inputs = tuple(new if name == old else name for name in other.inputs)


def _clamp(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    if isinstance(step.op, Hardtanh) and (step.op.min_val, step.op.max_val) == (0.0, 6.0):
        return _replace(step, make_op("ReLU6"))
    if isinstance(step.op, Clamped):
        if step.op.high is None and step.op.low == 0:
            return _replace(step, make_op("ReLU"))
        if step.op.low is not None and step.op.high is not None:
            if (step.op.low, step.op.high) == (0, 6):
                return _replace(step, make_op("ReLU6"))
            return _replace(step, make_op("Hardtanh", min_val=step.op.low, max_val=step.op.high))
    return False


def _layer_norm_2d(step: Step, steps: Steps, readers: dict[str, list[Step]]) -> bool:
    """Channels put last, normalised, and put back."""
    if not isinstance(step.op, Permute) or step.op.dims != (0, 2, 3, 1):
        return False
    norm = steps.only_reader(step.name, readers)
    back = norm and steps.only_reader(norm.name, readers)
    if norm is None or back is None or not isinstance(norm.op, LayerNorm):
        return False
    if not isinstance(back.op, Permute) or back.op.dims != (0, 3, 1, 2):
        return False
    norm.op = make_op("LayerNorm2d", **norm.op.arguments())
    norm.inputs, norm.shape, norm.gives = step.inputs, back.shape, back.gives
    steps.leave_out(back)
    return True
