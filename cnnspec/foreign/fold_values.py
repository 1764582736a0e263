"""Rules for arithmetic: activations that a source spells out, constants, and trained numbers by themselves."""

from __future__ import annotations

from dataclasses import replace
from math import isclose
from typing import Final

from cnnspec.foreign.fold_norms import with_parameter
from cnnspec.foreign.network import Stored
from cnnspec.foreign.primitives import Affine, Clamped, Divided, Padded, Parameter, Power, Reduced, Reshaped, Subtracted
from cnnspec.foreign.steps import Readers, Rule, Step, Steps, replace_op
from cnnspec.ops import Add, Mul, make_op
from cnnspec.ops.activation import Hardsigmoid, Hardtanh, ReLU6, Sigmoid, Softplus, Tanh
from cnnspec.ops.pool import AvgPool
from cnnspec.ops.scale import Bias, Scale

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
    """A product or a sum with a trained number for each unit of an axis, or for all; it takes the parameter's name."""
    if not isinstance(step.op, (Mul, Add)) or len(step.inputs) != 2:
        return False
    for one, other in (step.inputs, step.inputs[::-1]):
        trained, shape = steps.by_name.get(other), steps.shape(one)
        if trained is None or not isinstance(trained.op, Parameter) or shape is None or len(readers[other]) != 1:
            continue
        along = [axis for axis, size in enumerate(trained.op.shape) if size != 1]
        if len(along) > 1 or any(shape[axis] != trained.op.shape[axis] for axis in along):
            continue
        (reference,) = trained.weights.values()
        if not isinstance(reference, Stored):
            continue
        seen = (shape[along[0]], *(1 for _ in shape[along[0] + 1 :])) if along else (1,)
        if not along and len(shape) and shape[0] == 1 and len(trained.op.shape) == len(shape):
            along = [0]  # one channel: a number for each is one for all
            seen = (1, *(1 for _ in shape[1:]))
        dim = None if not along else along[0] + 1
        trained.weights = {"": replace(reference, shape=seen)}
        kind, start = Scale if isinstance(step.op, Mul) else Bias, trained.op.start
        given = {} if start in (None, kind.init) else {"init": start}
        steps.take_name(step, trained)
        return replace_op(step, make_op(kind.__name__, **given, **({} if dim == 1 else {"dim": dim})), one)
    return False


def _response_norm(step: Step, steps: Steps, readers: Readers) -> bool:
    """`x + (bias + weight * (x * share))`, the share that of each channel's norm in the mean of all."""
    if not isinstance(step.op, Add) or len(step.inputs) != 2:
        return False
    for read, other in (step.inputs, step.inputs[::-1]):
        shift, bias = with_parameter(steps, other, Add)
        gained, weight = with_parameter(steps, shift, Mul)
        product = steps.by_name.get(gained)
        if bias is None or weight is None or product is None or not isinstance(product.op, Mul):
            continue
        share = steps.by_name.get(next((name for name in product.inputs if name != read), ""))
        if share is None or read not in product.inputs or not isinstance(share.op, Divided):
            continue
        norm, mean = (steps.by_name.get(name) for name in share.inputs)
        average = steps.by_name.get(mean.inputs[0]) if mean is not None and isinstance(mean.op, Affine) else None
        if norm is None or mean is None or average is None or average.inputs != (norm.name,) or norm.inputs != (read,):
            continue
        if not (isinstance(norm.op, Reduced) and norm.op.how == "norm" and isinstance(average.op, Reduced)):
            continue
        shape, dims = steps.shape(read), average.op.dims
        assert isinstance(mean.op, Affine)
        if shape is None or average.op.how != "mean" or len(dims) != 1 or mean.op.factor != 1:
            continue
        if sorted((*norm.op.dims, *dims)) != [*range(1, len(shape) + 1)]:
            continue
        (dim,), size = dims, (shape[dims[0] - 1],)
        found = {"weight": weight, "bias": bias}
        step.weights = {key: replace(each, shape=size) for key, each in found.items()}
        scope = bias.key.rpartition(".")[0]
        steps.rename(step, steps.free(scope or "grn"))
        return replace_op(step, make_op("GRN", eps=mean.op.shift, **({} if dim == 1 else {"dim": dim})), read)
    return False


def _two_reads(step: Step, steps: Steps, readers: Readers) -> bool:
    """Differences, quotients and squares."""
    if isinstance(step.op, Subtracted):
        return replace_op(step, make_op("Sub"))
    if isinstance(step.op, Divided):
        return replace_op(step, make_op("Div"))
    return step.op == Power(2.0) and replace_op(step, make_op("Mul"), *step.inputs * 2)


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
    _response_norm,
    _trained,
    _two_reads,
    _affine,
)
