"""Rules for arithmetic: activations that a source spells out, constants, and trained numbers by themselves."""

from __future__ import annotations

from math import isclose
from typing import Final

from cnnspec.foreign.primitives import Affine, Clamped, Divided, Padded, Parameter, Power, Reshaped
from cnnspec.foreign.steps import Readers, Rule, Step, Steps, replace_op
from cnnspec.ops import Mul, make_op
from cnnspec.ops.activation import Hardsigmoid, Hardtanh, ReLU6, Sigmoid, Softplus, Tanh
from cnnspec.ops.pool import AvgPool

__all__ = ["VALUES"]

_CLOSE: Final = 1e-6  # of constants that a source may have rounded to 32 bits


def _clamp(step: Step, steps: Steps, readers: Readers) -> bool:
    """Limits are ReLU, ReLU6 or Hardtanh."""
    op = step.op
    if isinstance(op, Hardtanh):
        return (op.min_val, op.max_val) == (0.0, 6.0) and replace_op(step, make_op("ReLU6"))
    if not isinstance(op, Clamped) or op.low is None:
        return False
    if op.high is None:
        return op.low == 0 and replace_op(step, make_op("ReLU"))
    if (op.low, op.high) == (0, 6):
        return replace_op(step, make_op("ReLU6"))
    return op.low < op.high and replace_op(step, make_op("Hardtanh", min_val=op.low, max_val=op.high))


def _affine_twice(step: Step, steps: Steps, readers: Readers) -> bool:
    """Constants after constants, which nobody else reads: the two in the order of reading."""
    before = steps.by_name.get(step.inputs[0]) if len(step.inputs) == 1 else None
    if before is None or not isinstance(step.op, Affine) or not isinstance(before.op, Affine):
        return False
    if steps.only_reader(before.name, readers) is None:
        return False
    factor, shift = before.op.factor * step.op.factor, before.op.shift * step.op.factor + step.op.shift
    step.op, step.inputs = Affine(factor, shift), before.inputs
    return True


def _hardsigmoid(step: Step, steps: Steps, readers: Readers) -> bool:
    """`relu6(x + 3) / 6`, or `clamp(x / 6 + 1 / 2, 0, 1)`."""
    before = steps.by_name.get(step.inputs[0]) if len(step.inputs) == 1 else None
    if before is None:
        return False
    if isinstance(step.op, Affine) and isinstance(before.op, ReLU6):
        first = steps.by_name.get(before.inputs[0])
        if first is None or first.op != Affine(1.0, 3.0) or step.op.shift != 0:
            return False
        if not isclose(step.op.factor, 1 / 6, rel_tol=_CLOSE):
            return False
        return replace_op(step, make_op("Hardsigmoid"), *first.inputs)
    if isinstance(step.op, Hardtanh) and (step.op.min_val, step.op.max_val) == (0.0, 1.0):
        given = before.op
        if not isinstance(given, Affine) or given.shift != 0.5 or not isclose(given.factor, 1 / 6, rel_tol=_CLOSE):
            return False
        return replace_op(step, make_op("Hardsigmoid"), *before.inputs)
    return False


def _gate(step: Step, steps: Steps, readers: Readers) -> bool:
    """`x` times a function of it: SiLU, Hardswish, Mish."""
    if not isinstance(step.op, Mul) or len(step.inputs) != 2:
        return False
    for one, other in (step.inputs, step.inputs[::-1]):
        gate = steps.by_name.get(other)
        if gate is None:
            continue
        if gate.inputs == (one,) and isinstance(gate.op, Sigmoid):
            return replace_op(step, make_op("SiLU"), one)
        if gate.inputs == (one,) and isinstance(gate.op, Hardsigmoid):
            return replace_op(step, make_op("Hardswish"), one)
        before = steps.by_name.get(gate.inputs[0]) if isinstance(gate.op, Tanh) else None
        if before is not None and before.inputs == (one,) and before.op == Softplus():
            return replace_op(step, make_op("Mish"), one)
    return False


def _hardswish(step: Step, steps: Steps, readers: Readers) -> bool:
    """`x * relu6(x + 3) / 6`, the division last."""
    product = steps.by_name.get(step.inputs[0]) if len(step.inputs) == 1 else None
    if product is None or not isinstance(step.op, Affine) or not isinstance(product.op, Mul):
        return False
    if step.op.shift != 0 or not isclose(step.op.factor, 1 / 6, rel_tol=_CLOSE):
        return False
    for one, other in (product.inputs, product.inputs[::-1]):
        gate = steps.by_name.get(other)
        if gate is not None and isinstance(gate.op, ReLU6):
            first = steps.by_name.get(gate.inputs[0])
            if first is not None and first.op == Affine(1.0, 3.0) and first.inputs == (one,):
                return replace_op(step, make_op("Hardswish"), one)
    return False


def _local_response(step: Step, steps: Steps, readers: Readers) -> bool:
    """`x / (k + alpha * mean of squares of neighbouring channels) ** beta`, the mean a pool over an added axis."""
    if not isinstance(step.op, Divided):
        return False
    read, name = step.inputs
    chain: list[Step] = []
    while (here := steps.by_name.get(name)) is not None and len(here.inputs) == 1 and len(chain) < 7:
        chain.append(here)
        name = here.inputs[0]
    last = steps.by_name.get(name)
    squared = last is not None and isinstance(last.op, Mul) and last.inputs == (read, read)
    if not squared and chain and chain[-1].op == Power(2.0) and name == read:
        chain.pop()
    elif not squared:
        return False
    ops = [each.op for each in chain]
    if len(ops) != 6:
        return False
    power, affine, seen, pool, pad, split = ops
    if not (isinstance(power, Power) and isinstance(affine, Affine) and isinstance(seen, Reshaped)):
        return False
    if not (isinstance(pool, AvgPool) and isinstance(pad, Padded) and isinstance(split, Reshaped)):
        return False
    size, shape = pool.kernel_size[0], steps.shape(read)
    around = pad.padding[-2:] == (size // 2, (size - 1) // 2) and not any(pad.padding[:-2])
    if shape is None or not around or pad.mode != "constant" or pad.value or len(pad.padding) != 2 * pool.rank:
        return False
    if {*pool.kernel_size[1:], *pool.strides} != {1} or any(pool.padding) or split.shape[:2] != (1, shape[0]):
        return False
    op = make_op("LocalResponseNorm", size=size, alpha=affine.factor, beta=power.exponent, k=affine.shift)
    return replace_op(step, op, read)


def _trained(step: Step, steps: Steps, readers: Readers) -> bool:
    """A product with a trained factor for each channel, whose name it takes."""
    if not isinstance(step.op, Mul) or len(step.inputs) != 2:
        return False
    for one, other in (step.inputs, step.inputs[::-1]):
        factor, shape = steps.by_name.get(other), steps.shape(one)
        if factor is None or not isinstance(factor.op, Parameter) or shape is None:
            continue
        if factor.op.shape == (shape[0], *(1 for _ in shape[1:])) and len(readers[factor.name]) == 1:
            steps.take_name(step, factor)
            return replace_op(step, make_op("Scale"), one)
    return False


def _affine(step: Step, steps: Steps, readers: Readers) -> bool:
    """Constants by themselves."""
    if not isinstance(step.op, Affine):
        return False
    given = {} if step.op.factor == 1 else {"scale": step.op.factor}
    return replace_op(step, make_op("Affine", **given, **({"shift": step.op.shift} if step.op.shift else {})))


VALUES: Final[tuple[Rule, ...]] = (
    _clamp,
    _affine_twice,
    _hardsigmoid,
    _gate,
    _hardswish,
    _local_response,
    _trained,
    _affine,
)
