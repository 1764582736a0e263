"""Rules for views, slices, reductions and paddings: what several moves of values come to."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final, NamedTuple

from cnnspec.foreign.primitives import Affine, Blurred, Cut, Joined, Padded, Reduced, Reshaped
from cnnspec.foreign.steps import Readers, Rule, Step, Steps, replace_op
from cnnspec.ops import AnyOp, Shape, make_op
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.norm import LayerNorm
from cnnspec.ops.pool import MaxPool
from cnnspec.ops.reshape import Flatten, Identity, Permute
from cnnspec.ops.unflatten import Unflatten

__all__ = ["SHAPES", "does_nothing", "flattened"]

_KINDS: Final = {"mean": "Mean", "sum": "Sum", "max": "Amax", "min": "Amin"}


_MOST_AXES: Final = 4  # that the language has


def does_nothing(step: Step, steps: Steps) -> bool:
    """Whether a step gives back what it reads."""
    op = step.op
    if len(step.inputs) != 1:
        return False
    if isinstance(op, (Dropout, StochasticDepth)):
        return op.p == 0
    if isinstance(op, Affine):
        return op == Affine()
    if isinstance(op, Reshaped):
        return op.shape == steps.shape(step.inputs[0])
    if isinstance(op, Permute):
        return op.dims == tuple(range(len(op.dims)))
    return isinstance(op, Identity)


def _shuffle(step: Step, steps: Steps, readers: Readers) -> bool:
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
    return replace_op(back, make_op("ChannelShuffle", groups=groups), *step.inputs)


def _layer_norm_2d(step: Step, steps: Steps, readers: Readers) -> bool:
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


def _turned_round(step: Step, steps: Steps, readers: Readers) -> bool:
    """More axes than the language has, put in another order and then fewer: neighbouring parts that change places."""
    turned = steps.only_reader(step.name, readers)
    back = turned and steps.only_reader(turned.name, readers)
    if not isinstance(step.op, Reshaped) or len(step.op.shape) <= _MOST_AXES or turned is None or back is None:
        return False
    if not isinstance(turned.op, Permute) or not isinstance(back.op, Reshaped):
        return False
    found = exchanges(step.op.shape, [dim - 1 for dim in turned.op.dims[1:]])
    if not found:
        return False
    step.op, step.shape, step.gives = Reshaped(found[0].shape), found[0].shape, ""
    turned.op, turned.shape, turned.gives = found[0].permute, found[0].given, ""
    before = turned
    for each in found[1:]:
        for op, shape in ((Reshaped(each.shape), each.shape), (each.permute, each.given)):
            new = Step(steps.free(turned.name), turned.source_op, (), op, "", {}, shape, "")
            steps.put_after(before, new)
            before = new
    return True


class Exchange(NamedTuple):
    """Two neighbouring parts of all values that change places: those before and behind them, if any, stay."""

    shape: Shape
    permute: Permute

    @property
    def given(self) -> Shape:
        """The shape behind it."""
        return self.permute.out_shape(self.shape)


def exchanges(sizes: Shape, order: Sequence[int]) -> list[Exchange]:
    """What puts axes of these sizes in this order, one after the other, each with four axes at most."""
    axes, found = list(range(len(sizes))), []
    for place, wanted in enumerate(order):
        at = axes.index(wanted)
        if at == place:
            continue
        end = at + 1  # what follows there as it does here comes along
        while end < len(axes) and axes[end] == order[place + end - at]:
            end += 1
        parts = [axes[:place], axes[place:at], axes[at:end], axes[end:]]
        shape = tuple(prod(sizes[axis] for axis in part) for part in parts if part)
        dims = list(range(len(shape) + 1))
        first = 2 if place else 1
        dims[first : first + 2] = first + 1, first
        found.append(Exchange(shape, Permute(dims=tuple(dims))))
        axes = [axis for part in (parts[0], parts[2], parts[1], parts[3]) for axis in part]
    return found


# Reductions ---------------------------------------------------------------------------------------------------------


def _reduce_twice(step: Step, steps: Steps, readers: Readers) -> bool:
    """A mean over one axis and then over another is one over both."""
    before = steps.by_name.get(step.inputs[0]) if step.inputs else None
    if before is None or not isinstance(step.op, Reduced) or not isinstance(before.op, Reduced):
        return False
    if step.op.how != before.op.how or steps.only_reader(before.name, readers) is None:
        return False
    dims = step.op.dims
    if step.op.keepdim != before.op.keepdim and len(dims) + len(before.op.dims) > 1:
        return False
    if not before.op.keepdim:  # axes are counted among those that were left
        left = [axis for axis in range(1, 8) if axis not in before.op.dims]
        dims = tuple(left[axis - 1] for axis in dims)
    step.op = Reduced(step.op.how, tuple(sorted((*before.op.dims, *dims))), step.op.keepdim)
    step.inputs = before.inputs
    return True


def _kept(step: Step, steps: Steps, readers: Readers) -> bool:
    """Axes that are taken away and put back with size 1 were kept."""
    before = steps.by_name.get(step.inputs[0]) if step.inputs else None
    if before is None or not isinstance(step.op, Reshaped) or not isinstance(before.op, Reduced) or before.op.keepdim:
        return False
    shape, dims = steps.shape(before.inputs[0]), before.op.dims
    if shape is None or steps.only_reader(before.name, readers) is None:
        return False
    if step.op.shape != tuple(1 if axis in dims else size for axis, size in enumerate(shape, 1)):
        return False
    before.op, before.shape, before.gives = Reduced(before.op.how, dims, True), step.shape, step.gives
    steps.leave_out(step)
    return True


def _reduce(step: Step, steps: Steps, readers: Readers) -> bool:
    """A mean or largest value over all spatial axes is an adaptive pool, without `keepdim` a flatten after it."""
    if not isinstance(step.op, Reduced) or step.op.how not in _KINDS:
        return False
    shape, keepdim = steps.shape(step.inputs[0]), step.op.keepdim
    everything = shape is not None and 2 <= len(shape) <= 4 and step.op.dims == tuple(range(2, len(shape) + 1))
    if shape is None or not everything or step.op.how not in ("mean", "max"):
        kept = {"keepdim": True} if keepdim else {}
        return replace_op(step, make_op(_KINDS[step.op.how], dim=step.op.dims, **kept))
    kind = "Avg" if step.op.how == "mean" else "Max"
    pool = make_op(f"Adaptive{kind}Pool{len(shape) - 1}d", output_size=1)
    pooled = (shape[0], *(1 for _ in shape[1:]))
    if keepdim:
        return replace_op(step, pool)
    scope = step.name.rpartition(".")[0]
    flat = steps.free(f"{scope}.flatten".lstrip("."))
    steps.put_after(step, Step(flat, step.source_op, (), make_op("Flatten"), "", {}, step.shape, step.gives))
    step.op, step.shape, step.gives = pool, pooled, ""
    return True


def _flatten(step: Step, steps: Steps, readers: Readers) -> bool:
    """A reshape that makes one axis of several neighbours, or several of one, or others; two in a row are one."""
    shape = steps.shape(step.inputs[0]) if step.inputs else None
    if not isinstance(step.op, Reshaped) or shape is None:
        return False
    wanted = step.op.shape
    before = steps.by_name.get(step.inputs[0])
    if before is not None and isinstance(before.op, Unflatten) and steps.only_reader(before.name, readers) is step:
        shape = steps.shape(before.inputs[0])
        found = shape and _reshape(shape, wanted)
        if found:  # `x[:, :, None, None]` is one after the other
            before.op, before.shape, before.gives = found, wanted, step.gives
            steps.leave_out(step)
            return True
        return False
    found = _reshape(shape, wanted)
    return found is not None and replace_op(step, found)


def _reshape(shape: Shape, wanted: Shape) -> AnyOp | None:
    """What makes `wanted` of `shape`."""
    found = flattened(shape, wanted)
    if found is not None or not wanted or len(wanted) > _MOST_AXES:
        return found
    return _unflattened(shape, wanted) or make_op("Reshape", shape=wanted)


def _unflattened(shape: Shape, wanted: Shape) -> AnyOp | None:
    """The Unflatten that makes `wanted` of `shape`, if there is one. The largest of the new axes is what is left."""
    more = len(wanted) - len(shape)
    if more < 1:
        return None
    for axis, size in enumerate(shape):
        cut = wanted[axis : axis + more + 1]
        if (*shape[:axis], *cut, *shape[axis + 1 :]) == wanted and prod(cut) == size:
            largest = cut.index(max(cut))
            sizes = tuple(-1 if number == largest else each for number, each in enumerate(cut))
            return make_op("Unflatten", dim=axis + 1, unflattened_size=sizes)
    return None


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


# Slices and paddings ------------------------------------------------------------------------------------------------


def _cut(step: Step, steps: Steps, readers: Readers) -> bool:
    """Neighbours along an axis are a Slice; every n-th place of the map is a pool of one place, behind a Slice where it
    does not begin with the first."""
    shape = steps.shape(step.inputs[0]) if step.inputs else None
    if not isinstance(step.op, Cut) or shape is None:
        return False
    cut, rank = step.op, len(shape) - 1
    size = shape[cut.dim - 1]
    if cut.step == 1:
        end = {} if cut.end == size else {"end": cut.end}
        return replace_op(step, make_op("Slice", start=cut.start, **end, **({} if cut.dim == 1 else {"dim": cut.dim})))
    whole = len(range(cut.start, cut.end, cut.step)) == len(range(cut.start, size, cut.step))
    if not whole or cut.dim == 1 or not 1 <= rank <= 3:
        return False
    stride = tuple(cut.step if axis == cut.dim - 2 else 1 for axis in range(rank))
    pool = make_op(f"MaxPool{rank}d", kernel_size=1, stride=stride)
    if cut.start == 0:
        return replace_op(step, pool)
    scope = step.name.rpartition(".")[0]
    new = Step(steps.free(f"{scope}.pool".lstrip(".")), step.source_op, (), pool, "", {}, step.shape, step.gives)
    steps.put_after(step, new)
    step.op = make_op("Slice", start=cut.start, dim=cut.dim)
    step.shape, step.gives = (*shape[: cut.dim - 1], size - cut.start, *shape[cut.dim :]), ""
    return True


def _join(step: Step, steps: Steps, readers: Readers) -> bool:
    return isinstance(step.op, Joined) and replace_op(step, make_op("Concat", dim=step.op.dim))


def _blur(step: Step, steps: Steps, readers: Readers) -> bool:
    """A blur of an image that is mirrored at its ends as far as the filter wants it."""
    before = steps.by_name.get(step.inputs[0]) if step.inputs else None
    if not isinstance(step.op, Blurred) or before is None or not isinstance(before.op, Padded):
        return False
    filt_size, stride = step.op.filt_size, step.op.stride
    around = (stride + filt_size - 2) // 2
    if before.op.mode != "reflect" or before.op.padding != (around,) * 4:
        return False
    return replace_op(step, make_op("BlurPool2d", filt_size=filt_size, stride=stride), *before.inputs)


def _crops(step: Step, steps: Steps, readers: Readers) -> bool:
    """Two crops, or two choices of every n-th place, one after the other."""
    before = steps.by_name.get(step.inputs[0]) if step.inputs else None
    if before is None or steps.only_reader(before.name, readers) is None or type(before.op) is not type(step.op):
        return False
    here: Any = step.op
    there: Any = before.op
    if isinstance(here, MaxPool) and isinstance(there, MaxPool) and here.rank == there.rank:
        if {*here.kernel_size, *there.kernel_size} != {1} or {*here.padding, *there.padding} != {0}:
            return False
        stride = tuple(one * other for one, other in zip(here.strides, there.strides, strict=True))
        return replace_op(step, make_op(here.op_name, kernel_size=1, stride=stride), *before.inputs)
    return False


def _pad(step: Step, steps: Steps, readers: Readers) -> bool:
    """A padding of the spatial axes."""
    shape = steps.shape(step.inputs[0]) if step.inputs else None
    if not isinstance(step.op, Padded) or shape is None or not 2 <= len(shape) <= 4:
        return False
    rank, op = len(shape) - 1, step.op
    padding, more = op.padding[: 2 * rank], op.padding[2 * rank :]
    if any(more):
        return False
    padding += (0,) * (2 * rank - len(padding))
    if op.mode != "constant":
        kind = {"reflect": "Reflection", "replicate": "Replication", "circular": "Circular"}[op.mode]
        return replace_op(step, make_op(f"{kind}Pad{rank}d", padding=padding))
    if op.value == 0:
        return replace_op(step, make_op(f"ZeroPad{rank}d", padding=padding))
    value = op.value if abs(op.value) != float("inf") else str(op.value)
    return replace_op(step, make_op(f"ConstantPad{rank}d", padding=padding, value=value))


SHAPES: Final[tuple[Rule, ...]] = (
    _blur,
    _shuffle,
    _turned_round,
    _layer_norm_2d,
    _reduce_twice,
    _kept,
    _reduce,
    _flatten,
    _cut,
    _join,
    _crops,
    _pad,
)
