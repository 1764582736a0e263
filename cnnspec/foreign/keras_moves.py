"""Keras's layers without weights: activations, joins, and what moves values."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, Final, Literal

from cnnspec.foreign.keras_config import KerasLayer
from cnnspec.foreign.keras_values import KerasGap, KerasRule, LayerReader, Seen, each_axis
from cnnspec.foreign.primitives import Affine, Clamped, Joined, Padded, Reduced, Reshaped, Subtracted
from cnnspec.ops import AnyOp, Shape, make_op

__all__ = ["MOVES", "activation_of"]


def activation_of(given: Any, shape: Shape) -> AnyOp | None:
    """The operator of an activation by its name; None for one that does nothing. Raises KerasGap."""
    name = given.get("config", given.get("class_name")) if isinstance(given, dict) else given
    if name in (None, "linear"):
        return None
    if name in ("softmax", "log_softmax"):
        return make_op("Softmax" if name == "softmax" else "LogSoftmax", dim=1)
    known = {
        "relu": "ReLU",
        "relu6": "ReLU6",
        "sigmoid": "Sigmoid",
        "tanh": "Tanh",
        "elu": "ELU",
        "gelu": "GELU",
        "silu": "SiLU",
        "swish": "SiLU",
        "hard_sigmoid": "Hardsigmoid",
        "hard_silu": "Hardswish",
        "hard_swish": "Hardswish",
        "mish": "Mish",
        "softplus": "Softplus",
    }
    if name == "leaky_relu":
        return make_op("LeakyReLU", negative_slope=0.2)
    if not isinstance(name, str) or name not in known:
        raise KerasGap(f"there is no operator for Keras's activation {name!r:.60}")
    return make_op(known[name])


def _each(reader: LayerReader, layer: KerasLayer, value: Seen, op: Any) -> Seen:
    return reader.add(layer, op, (value,), shape=value.shape, columns=value.columns)


def _activation(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    op = activation_of(layer.config["activation"], values[0].shape)
    return values[0] if op is None else _each(reader, layer, values[0], op)


def _relu(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    config = layer.config
    slope, most = _number(config.get("negative_slope")), config.get("max_value")
    if _number(config.get("threshold")) or (slope and most is not None):
        raise KerasGap("a ReLU with a threshold, or with a slope and an upper limit")
    if slope:
        return _each(reader, layer, values[0], make_op("LeakyReLU", negative_slope=slope))
    return _each(reader, layer, values[0], make_op("ReLU") if most is None else Clamped(0.0, float(most)))


def _number(given: Any) -> float:
    return float(given or 0.0)


def _leaky(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    slope = layer.config.get("negative_slope", layer.config.get("alpha", 0.3))
    return _each(reader, layer, values[0], make_op("LeakyReLU", negative_slope=_number(slope)))


def _elu(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    return _each(reader, layer, values[0], make_op("ELU", alpha=float(layer.config.get("alpha", 1.0))))


def _softmax(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    axis = layer.config.get("axis", -1)
    if type(axis) is not int:
        raise KerasGap("a softmax over several axes")
    return _each(reader, layer, values[0], make_op("Softmax", dim=_axis(reader, values[0], axis)))


def _axis(reader: LayerReader, value: Seen, axis: int) -> int:
    """Which axis of ours is this one of Keras. Both count the batch."""
    count = len(value.shape) + 1
    if not -count <= axis < count or axis % count == 0:
        raise KerasGap(f"an operation along the axis {axis}")
    axis %= count
    return axis if not reader.channels_last or count == 2 else 1 if axis == count - 1 else axis + 1


def _dropout(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    rate, shape = (
        float(layer.config.get("rate", layer.config.get("drop_path_rate", 0.0))),
        layer.config.get("noise_shape"),
    )
    whole = layer.kind == "StochasticDepth" or (isinstance(shape, list) and shape[1:] == [1] * len(values[0].shape))
    return _each(reader, layer, values[0], make_op("StochasticDepth" if whole else "Dropout", p=rate))


def _nothing(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    return values[0]


def _rescaling(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    scale, offset = layer.config["scale"], layer.config.get("offset", 0.0)
    if not isinstance(scale, (int, float)) or not isinstance(offset, (int, float)):
        raise KerasGap("a scale for each channel")
    return _each(reader, layer, values[0], Affine(float(scale), float(offset)))


# Joins --------------------------------------------------------------------------------------------------------------


def _join(name: str) -> KerasRule:
    def rule(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
        if layer.numbers:
            return _with_number(reader, layer, values)
        if len({len(value.shape) for value in values}) > 1 or len({value.columns for value in values}) > 1:
            raise KerasGap("a join of values with different numbers of axes")
        if len(values) < 2:
            raise ValueError("it joins nothing")
        op = Subtracted() if name == "Sub" else make_op(name)
        shape = tuple(max(sizes) for sizes in zip(*(value.shape for value in values), strict=True))
        return reader.add(layer, op, values, shape=shape, columns=values[0].columns)

    return rule


def _with_number(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,), (number,) = values, layer.numbers
    op = {"Add": Affine(1.0, number), "Multiply": Affine(number), "Subtract": Affine(1.0, -number)}.get(layer.kind)
    if op is None:
        raise KerasGap(f"{layer.kind} with a number")
    return _each(reader, layer, value, op)


def _average(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    total = reader.add(layer, make_op("Add"), values, word="sum", shape=values[0].shape, columns=values[0].columns)
    return _each(reader, layer, total, Affine(1 / len(values)))


def _scaled_sum(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    """Inception-ResNet's: the first, and the second times a number."""
    one, other = values
    scaled = reader.add(layer, Affine(float(layer.config["scale"])), (other,), word="scale", shape=other.shape)
    return reader.add(layer, make_op("Add"), (one, scaled))


def _concatenate(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    axis = _axis(reader, values[0], layer.config.get("axis", -1))
    if any(value.columns for value in values):
        raise KerasGap("a concatenation of flattened maps")
    if len({len(value.shape) for value in values}) > 1:
        raise ValueError("it joins values with different numbers of axes")
    first = values[0].shape
    total = sum(value.shape[axis - 1] for value in values)
    shape = (*first[: axis - 1], total, *first[axis:])
    return reader.add(layer, make_op("Concat") if axis == 1 else Joined(axis), values, shape=shape)


# Shapes -------------------------------------------------------------------------------------------------------------


def _flatten(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    if len(value.shape) == 1:
        return value
    last = reader.channels_last
    if layer.kind == "Flatten" and layer.config.get("data_format") == "channels_first":  # it puts them last first
        if last:
            raise KerasGap("a flattening of maps with their channels first in a network that has them last")
        last = True
    apart = last and prod(value.shape[1:]) > 1 and value.shape[0] > 1
    columns = (*value.shape[1:], value.shape[0]) if apart else ()
    return reader.add(layer, make_op("Flatten"), (value,), columns=columns)


def _reshape(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    wanted = tuple(layer.config["target_shape"])
    rest = prod(size for size in wanted if size != -1)
    if wanted.count(-1) > 1 or any(type(size) is not int for size in wanted) or not rest:
        raise ValueError(f"no value has the shape {wanted}")
    wanted = tuple(prod(value.shape) // rest if size == -1 else size for size in wanted)
    if prod(wanted) != prod(value.shape):
        raise ValueError(f"{value.shape} cannot be seen as {wanted}")
    if len(wanted) == 1:
        return _flatten(reader, layer, values)
    if value.columns:
        raise KerasGap("a reshape of flattened maps")
    first = (wanted[-1], *wanted[:-1]) if reader.channels_last else wanted
    if value.shape == first:
        return value
    plain = not reader.channels_last or (prod(wanted[:-1]) == 1 and prod(value.shape[1:]) == 1)
    if plain:
        return reader.add(layer, Reshaped(first), (value,), shape=first)
    if len(value.shape) > 1:
        order = (0, *range(2, len(value.shape) + 1), 1)
        value = reader.add(layer, make_op("Permute", dims=order), (value,), word="last")
    value = reader.add(layer, Reshaped(wanted), (value,), word="reshape", shape=wanted)
    return reader.add(layer, make_op("Permute", dims=(0, len(wanted), *range(1, len(wanted)))), (value,))


def _permute(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    dims = each_axis(layer.config["dims"], len(values[0].shape), "dims")
    if reader.channels_last:
        count = len(dims)
        moved = [_axis(reader, values[0], dim) for dim in dims]
        dims = (moved[count - 1], *moved[: count - 1])
    return reader.add(layer, make_op("Permute", dims=(0, *dims)), values)


def _global(how: Literal["mean", "max"]) -> KerasRule:
    def rule(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
        (value,) = values
        keeps = bool(layer.config.get("keepdims", False))
        shape = (value.shape[0], *(1 for _ in value.shape[1:])) if keeps else value.shape[:1]
        return reader.add(layer, Reduced(how, tuple(range(2, len(value.shape) + 1)), keeps), values, shape=shape)

    return rule


def _ends(layer: KerasLayer, field: str, rank: int) -> list[tuple[int, int]]:
    """Two numbers for each axis."""
    given = layer.config[field]
    pairs = [given] if rank == 1 and not isinstance(given[0] if isinstance(given, list) else given, list) else given
    pairs = [pairs] * rank if type(pairs) is int else pairs
    found = []
    for pair in pairs:
        before, after = (pair, pair) if type(pair) is int else pair
        if type(before) is not int or type(after) is not int or min(before, after) < 0:
            raise ValueError(f"`{field}` is to be whole numbers")
        found.append((before, after))
    if len(found) != rank:
        raise ValueError(f"`{field}` is not for {rank} axes")
    return found


def _padding(sign: int, field: str) -> KerasRule:
    def rule(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
        (value,) = values
        rank = len(value.shape) - 1
        ends = [(sign * before, sign * after) for before, after in _ends(layer, field, rank)]
        padding = tuple(size for pair in reversed(ends) for size in pair)
        shape = (value.shape[0], *(size + b + a for size, (b, a) in zip(value.shape[1:], ends, strict=True)))
        return reader.add(layer, Padded(padding), values, shape=shape)

    return rule


def _upsampling(reader: LayerReader, layer: KerasLayer, values: Sequence[Seen]) -> Seen:
    (value,) = values
    rank = len(value.shape) - 1
    factor = tuple(float(each) for each in each_axis(layer.config["size"], rank, "size"))
    kind = layer.config.get("interpolation", "nearest")
    modes = {"nearest": "nearest", "bilinear": "bilinear"}
    if kind not in modes:
        raise KerasGap(f"an upsampling by `{kind!s:.40}`")
    op = make_op("Upsample", scale_factor=factor[0] if len(set(factor)) == 1 else factor, mode=modes[kind])
    return reader.add(layer, op, values)


MOVES: Final[dict[str, KerasRule]] = {
    "Activation": _activation,
    "ReLU": _relu,
    "LeakyReLU": _leaky,
    "ELU": _elu,
    "Softmax": _softmax,
    **dict.fromkeys(("Dropout", "AlphaDropout", "StochasticDepth", "SpatialDropout1D"), _dropout),
    **dict.fromkeys(("SpatialDropout2D", "SpatialDropout3D"), _dropout),
    **dict.fromkeys(("GaussianNoise", "GaussianDropout", "ActivityRegularization", "Identity"), _nothing),
    "Rescaling": _rescaling,
    "Add": _join("Add"),
    "Multiply": _join("Mul"),
    "Subtract": _join("Sub"),
    "Average": _average,
    "CustomScaleLayer": _scaled_sum,
    "Concatenate": _concatenate,
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    **dict.fromkeys((f"GlobalAveragePooling{rank}D" for rank in (1, 2, 3)), _global("mean")),
    **dict.fromkeys((f"GlobalMaxPooling{rank}D" for rank in (1, 2, 3)), _global("max")),
    **dict.fromkeys((f"ZeroPadding{rank}D" for rank in (1, 2, 3)), _padding(1, "padding")),
    **dict.fromkeys((f"Cropping{rank}D" for rank in (1, 2, 3)), _padding(-1, "cropping")),
    **dict.fromkeys((f"UpSampling{rank}D" for rank in (1, 2, 3)), _upsampling),
}
