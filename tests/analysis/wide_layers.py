"""What the random networks are made of: each function adds a layer, or a few that belong together."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from wide_builder import MOST_UNITS, Args, Builder

__all__ = ["ELSEWHERE", "SPATIAL"]

INPLACE = ("ReLU", "LeakyReLU", "SiLU", "ReLU6", "ELU", "Hardsigmoid", "Hardswish", "Hardtanh", "Mish", "Dropout")
PLAIN = (
    "Affine",
    "Tanh",
    "GELU",
    "Sigmoid",
    "PReLU",
    "Softplus",
    "Identity",
    "StochasticDepth",
    *("Dropout", "Scale", "Bias") * 3,
)
ELEMENTWISE = ("Add", "Sub", "Mul", "Div")
LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


# Each of these adds layers behind `read` and says whether it did.


def _conv(b: Builder, read: str) -> bool:
    rng, out = b.rng, b.rng.choice((1, 2, 3, 4, 6))
    kernels = (7, 9, 6, 3, 5) if rng.random() < 0.15 else (1, 2, 3, 3, 4, 5)
    args: Args = {
        "out_channels": out,
        "kernel_size": b.sizes(kernels),
        "stride": b.sizes((1, 1, 1, 2, 3)),
        "padding": b.sizes((0, 1, 1, 2, 3)),
        "dilation": b.sizes((1, 1, 1, 2, 3)),
        "groups": b.groups(b.shapes[read][0], out),
        "bias": rng.random() < 0.5,
    }
    if rng.random() < 0.25:
        args |= {"stride": 1, "padding": rng.choice(("same", "same", "valid"))}
    kind = f"Conv{b.rank}d"
    if b.rank == 2 and rng.random() < 0.3:
        kind = rng.choice(("StdConv2d", "ScaledStdConv2d"))
    elif rng.random() < 0.15:
        args["padding_mode"] = rng.choice(("reflect", "replicate", "circular"))
    return b.put(kind, args, read) is not None


def _transposed(b: Builder, read: str) -> bool:
    out = b.rng.choice((1, 2, 4))
    stride = b.sizes((1, 2, 2, 3))
    lowest = min(stride) if isinstance(stride, list) else stride
    args = {
        "out_channels": out,
        "kernel_size": b.sizes((1, 2, 3, 4, 6)),
        "stride": stride,
        "padding": b.sizes((0, 0, 1)),
        "output_padding": b.rng.randrange(lowest),
        "dilation": b.sizes((1, 1, 2)),
        "groups": b.groups(b.shapes[read][0], out),
    }
    return b.put(f"ConvTranspose{b.rank}d", args, read) is not None


def _pool(b: Builder, read: str) -> bool:
    if b.rank == 2 and b.rng.random() < 0.45:
        args = {"filt_size": b.rng.choice((2, 3, 3, 4, 5)), "stride": b.rng.choice((1, 2, 2, 3))}
        return b.put("BlurPool2d", args, read) is not None
    kind = b.rng.choice(("MaxPool", "AvgPool", "LPPool"))
    args: Args = {
        "kernel_size": b.sizes((1, 2, 3, 3, 6)),
        "stride": b.sizes((1, 2, 2, 3)),
        "ceil_mode": b.rng.random() < 0.5,
    }
    if kind == "LPPool":
        args["norm_type"] = b.rng.choice((1, 2, 3.0))
        if b.rank == 1:
            args["kernel_size"], args["stride"] = (b.rng.choice((2, 3)), b.rng.choice((1, 2)))
    else:
        args["padding"] = b.sizes((0, 0, 1))
    if kind == "MaxPool":
        args["dilation"] = b.sizes((1, 1, 2))
    if kind == "AvgPool":
        args["count_include_pad"] = b.rng.random() < 0.5
    return b.put(f"{kind}{b.rank}d", args, read) is not None


def _adaptive(b: Builder, read: str) -> bool:
    kind = b.rng.choice(("AdaptiveAvgPool", "AdaptiveMaxPool"))
    return b.put(f"{kind}{b.rank}d", {"output_size": b.sizes((1, 2, 3, 4, 5, 6, 7, 9))}, read) is not None


def _upsample(b: Builder, read: str) -> bool:
    rng, axes = b.rng, len(b.shapes[read]) - 1
    modes = ["nearest", "nearest", "nearest-exact", LINEAR.get(axes, "nearest"), LINEAR.get(axes, "nearest")]
    mode = rng.choice([*modes, *["bicubic"] * 4] if axes == 2 else modes)
    args: Args = {"mode": mode}
    if not mode.startswith("nearest"):
        args["align_corners"] = rng.random() < 0.5
    if rng.random() < 0.3:
        sizes = [max(1, size + rng.randint(-3, 8)) for size in b.shapes[read][1:]]
        args["size"] = sizes if rng.random() < 0.7 else sizes[0]
    else:
        args["scale_factor"] = rng.choice((2, 2, 3, 1.5, 1.3, 1.05, 1.7, 2.5, 0.5, 0.75, 5))
        if rng.random() < 0.2:
            args["scale_factor"] = [rng.choice((1, 2, 3, 1.5, 1.25)) for _ in range(axes)]
    return b.put("Upsample", args, read) is not None


def _pad(b: Builder, read: str) -> bool:
    choices = (0, 1, 2, 4, -1, -2, -3, -5) if b.rank < 3 else (0, 0, 1, -1, -2)
    padding = [b.rng.choice(choices) for _ in range(2 * b.rank)]
    kind = b.rng.choice(("ZeroPad", "ConstantPad", *("ReflectionPad",) * 2, "ReplicationPad", "CircularPad"))
    if kind != "ZeroPad" and b.rng.random() < 0.7:
        padding = [max(0, size) for size in padding]
    more = {"value": b.rng.choice((-1, 0.5, "-inf"))} if kind == "ConstantPad" else {}
    return b.put(f"{kind}{b.rank}d", {"padding": padding, **more}, read) is not None


def _activation(b: Builder, read: str) -> bool:
    if b.rng.random() < 0.4:
        return b.put(b.rng.choice(INPLACE), {"inplace": True}, read) is not None
    kind = b.rng.choice(PLAIN)
    args: Args = {"p": 0.2} if kind == "StochasticDepth" else {}
    if kind in ("Scale", "Bias") and b.rng.random() < 0.5:
        args["dim"] = b.rng.choice((None, -1, 1, len(b.shapes[read])))
    if kind == "Affine":
        args = {"scale": b.rng.choice((1, 0.5)), "shift": b.rng.choice((0, 2))}
    return b.put(kind, args, read) is not None


def _norm(b: Builder, read: str) -> bool:
    rng, shape, rank = b.rng, b.shapes[read], b.rank
    kinds: list[tuple[str, Args]] = [
        (f"BatchNorm{rank}d", {"affine": rng.random() < 0.5}),
        (f"InstanceNorm{rank}d", {"affine": rng.random() < 0.5, "track_running_stats": rng.random() < 0.25}),
        ("GroupNorm", {"num_groups": rng.choice([g for g in (1, 2, 3) if shape[0] % g == 0])}),
        ("LayerNorm", {}),
        ("GRN", {"dim": rng.choice((1, -1))}),
        *[("LayerNorm2d", Args())] * (3 if rank == 2 else 0),
    ]
    if rank < 3 or not any("Permute" in str(entry) for entry in b.layers.values()):  # torch's views the axes as one
        kinds.append(("LocalResponseNorm", {"size": rng.choice((1, 2, 3, 5))}))
    return b.put(*rng.choice(kinds), read) is not None


def _softmax(b: Builder, read: str) -> bool:
    axes = len(b.shapes[read])
    dim = b.rng.choice([1, 2, *range(1, axes + 1), axes, axes, -axes])
    return b.put(b.rng.choice(["Softmax", "LogSoftmax"]), {"dim": dim}, read) is not None


def _channels(b: Builder, read: str) -> bool:
    """Layers that move channels, or keep some of them."""
    rng, channels = b.rng, b.shapes[read][0]
    match rng.randrange(4):
        case 3:
            return _cut(b, read)
        case 0 if channels > 1:
            start = rng.randrange(channels)
            end = rng.randint(start + 1, channels)
            if rng.random() < 0.3:
                return b.put("Slice", {"start": start - channels}, read) is not None
            return b.put("Slice", {"start": start, "end": end}, read) is not None
        case 1 if channels > 2:
            groups = rng.choice([g for g in range(1, channels + 1) if channels % g == 0])
            return b.put("ChannelShuffle", {"groups": groups}, read) is not None
        case 2 if b.rank == 2:
            factor = rng.choice((1, 2, 2, 3))
            if channels % factor**2:
                read = b.put("Conv2d", {"out_channels": factor**2 * 2, "kernel_size": 1}, read) or read
            return b.put("PixelShuffle", {"upscale_factor": factor}, read) is not None
    return False


def _cut(b: Builder, read: str) -> bool:
    """Some units of any axis."""
    rng, shape = b.rng, b.shapes[read]
    axis = rng.randrange(len(shape))
    start = rng.randrange(shape[axis])
    end = rng.choice((None, rng.randint(start + 1, shape[axis])))
    if rng.random() < 0.3:
        start -= shape[axis]
    return (
        b.put("Slice", {"start": start, "end": end, "dim": rng.choice((axis + 1, axis - len(shape)))}, read) is not None
    )


def _branches(b: Builder, read: str) -> bool:
    """Two branches of different fields side by side, and a layer that keeps their channels apart."""
    out = b.rng.choice((2, 3, 4))
    kernel = b.rng.choice((3, 5, 7))
    one = b.put(f"Conv{b.rank}d", {"out_channels": out, "kernel_size": 1}, read)
    other = b.put(f"Conv{b.rank}d", {"out_channels": out, "kernel_size": kernel, "padding": kernel // 2}, read)
    if one is None or other is None:
        return False
    cat = b.put("Concat", {}, *b.rng.sample((one, other), 2))
    if cat is None:
        return False
    match b.rng.randrange(5):
        case 0:
            start = b.rng.choice((0, out, 1))
            b.put("Slice", {"start": start, "end": start + out}, cat)
        case 1:
            b.put("ChannelShuffle", {"groups": b.rng.choice((2, out))}, cat)
        case 2 | 3 if b.rank == 2:
            b.put("PixelShuffle", {"upscale_factor": 2}, cat)
        case _:
            args = {"out_channels": 2 * out, "kernel_size": 3, "padding": 1, "groups": b.rng.choice((2, 2 * out))}
            b.put(f"Conv{b.rank}d", args, cat)
    return True


def _skip(b: Builder, read: str) -> bool:
    """A U: down, up again to the size of the skip by padding or cropping, and a join."""
    pool = b.put(f"{b.rng.choice(('MaxPool', 'AvgPool'))}{b.rank}d", {"kernel_size": 2}, read)
    up = pool and b.put("Upsample", {"scale_factor": b.rng.choice((2, 2, 2, 3))}, pool)
    if not up:
        return False
    padding: list[int] = []
    for size, wanted in zip(b.shapes[up][:0:-1], b.shapes[read][:0:-1], strict=True):
        before = b.rng.choice((0, 0, 1, -1, 3, wanted - size))
        padding += [before, wanted - size - before]
    fitted = b.put(f"ZeroPad{b.rank}d", {"padding": padding}, up) if any(padding) else up
    return fitted is not None and b.put(b.rng.choice((*ELEMENTWISE, "Concat")), {}, read, fitted) is not None


def _gate(b: Builder, read: str) -> bool:
    """Squeeze and excitation, over all axes or over some, of each channel or of all; or another such join."""
    out: int | list[int | None] = 1
    if b.rank > 1 and b.rng.random() < 0.4:
        out = [b.rng.choice((1, None)) for _ in range(b.rank)]
    pool = b.put(f"{b.rng.choice(('AdaptiveAvgPool', 'AdaptiveMaxPool'))}{b.rank}d", {"output_size": out}, read)
    if pool is None:
        return False
    channels = b.rng.choice((b.shapes[read][0], b.shapes[read][0], 1))
    gate = b.put(f"Conv{b.rank}d", {"out_channels": channels, "kernel_size": 1}, pool)
    if gate is None:
        return False
    reads = [read, b.put("Sigmoid", {}, gate) or gate]
    if b.rng.random() < 0.4:
        reads.reverse()
    return b.put(b.rng.choice(("Mul", *ELEMENTWISE)), {}, *reads) is not None


def _tokens(b: Builder, read: str) -> bool:
    """The axes in another order, or as one, with a layer on the last of them; perhaps back again."""
    rng, rank = b.rng, b.rank
    if rng.random() < 0.5:
        flat = b.put("Flatten", {"start_dim": rng.choice((1, 2, 2, 2)) if rank > 1 else 1}, read)
        if flat is None or len(b.shapes[flat]) != 2:
            return flat is not None
        order: list[int] = [0, 2, 1]
        read = flat
    else:
        order = [0, *range(2, rank + 2), 1]
        if rng.random() < 0.3:
            rest = order[1:]
            rng.shuffle(rest)
            order = [0, *rest]
    moved = b.put("Permute", {"dims": order}, read)
    if moved is None:
        return False
    width = b.shapes[moved][-1] if rng.random() < 0.5 else rng.choice((2, 3, 4))
    choices: list[tuple[str, Args]] = [
        ("LayerNorm", {}), ("Linear", {"out_features": width}), ("Softmax", {"dim": -1}), ("GELU", {}),
        ("Scale", {"dim": -1}),
        ("GRN", {"dim": -1}), ("Bias", {"dim": -1}), ("Slice", {"start": 0, "end": 1, "dim": -1}),
    ]  # fmt: skip
    inner = b.put(*rng.choice(choices), moved)
    if inner is not None and rng.random() < 0.3 and b.shapes[inner][:-1] == b.shapes[moved][:-1]:
        inner = b.put("Concat", {"dim": -1}, *rng.sample((inner, moved), 2))
    if inner is not None and rng.random() < 0.6:
        b.put("Permute", {"dims": [0, *(order.index(axis) for axis in range(1, len(order)))]}, inner)
    return True


def _reshaped(b: Builder, read: str) -> bool:
    """An axis as several, or all of them anew."""
    shape = b.shapes[read]
    if b.rng.random() < 0.6 and len(shape) < 4:
        axis = b.rng.choice((0, 0, b.rng.randrange(len(shape))))
        parts = [part for part in (1, 2, 3, 4) if shape[axis] % part == 0]
        sizes = b.rng.sample((b.rng.choice(parts), -1), 2)
        return b.put("Unflatten", {"dim": axis + 1, "unflattened_size": sizes}, read) is not None
    parts = [part for part in (2, 3, 4, 6, *shape) if prod(shape) % part == 0]
    return b.put("Reshape", {"shape": b.rng.sample((b.rng.choice(parts), -1), 2)}, read) is not None


def _reduction(b: Builder, read: str) -> bool:
    """Some axes as one value, which may go."""
    axes = range(1, len(b.shapes[read]) + 1)
    dims = b.rng.sample(axes, b.rng.choice((1, 1, min(2, len(axes)))))
    args = {"dim": dims if len(dims) > 1 else dims[0], "keepdim": b.rng.random() < 0.6}
    return b.put(b.rng.choice(("Mean", "Sum", "Amax", "Amin")), args, read) is not None


def _linear(b: Builder, read: str) -> bool:
    return b.put("Linear", {"out_features": b.rng.choice((1, 2, 3, 5)), "bias": b.rng.random() < 0.5}, read) is not None


def _flatten(b: Builder, read: str) -> bool:
    return b.put("Flatten", {"start_dim": b.rng.choice((1, 1, 2))}, read) is not None


def _join(b: Builder, read: str) -> bool:
    kind = b.rng.choice((*ELEMENTWISE, "Concat", "Concat"))
    shape, axes = b.shapes[read], b.axes[read]
    alike = [
        name
        for name in b.shapes
        if b.axes[name] == axes and (b.shapes[name][1:] == shape[1:] if kind == "Concat" else b.shapes[name] == shape)
    ]
    if kind == "Concat" and b.rng.random() < 0.1:
        return b.put(kind, {"dim": b.rng.randint(1, len(shape))}, read, b.rng.choice(alike)) is not None
    others = 1 if kind in ("Sub", "Div") else b.rng.choice((1, 1, 2))
    reads = [read, *(b.rng.choice(alike) for _ in range(others))]
    return (len(set(reads)) > 1 or b.rng.random() < 0.1) and b.put(kind, {}, *reads) is not None


def _structure(b: Builder, read: str) -> bool:
    """A block, a nested list, a body side by side, copies, or a width that a variant sets."""
    if b.broken:
        return False  # torch is asked about flat specs only
    rng, shape, axes = b.rng, b.shapes[read], b.axes[read]
    kernel = rng.choice((1, 3, 5))
    conv = {"type": f"Conv{b.rank}d", "out_channels": shape[0], "kernel_size": kernel, "padding": kernel // 2}
    if 2 * prod(shape) > MOST_UNITS:
        return False
    match rng.randrange(6):
        case 0:
            b.uses_block = True
            b.add(f"Residual({kernel}, grouped={rng.random() < 0.5})({read})", shape, axes)
        case 1:
            inner = [dict(conv), "ReLU(inplace=True)"]
            b.add({"layers": ["Tanh", {"inline": inner, "repeat": rng.randint(0, 2)}], "in": read}, shape, axes)
        case 2:
            other = rng.choice(("Identity", "Tanh", ["GELU", {**conv, "kernel_size": 1, "padding": 0}]))
            b.add({"concat": [conv, other], "in": read}, (2 * shape[0], *shape[1:]), axes)
        case 3:
            when = rng.choice((True, False, "2 > 1"))
            b.add({"add": [conv, {"type": "Tanh", "when": when}], "in": read}, shape, axes)
        case 4:
            repeat = {"repeat": rng.randint(1, 3), "when": rng.choice((True, "i != 1"))}
            b.add({**conv, **repeat, "in": read}, shape, axes)
        case _:
            b.uses_width = True
            b.add({**conv, "out_channels": "width", "in": read}, (4, *shape[1:]), axes)
    return True


_Kinds = list[tuple[Callable[[Builder, str], bool], int]]
SPATIAL: _Kinds = [
    (_conv, 8),
    (_transposed, 3),
    (_pool, 5),
    (_adaptive, 2),
    (_upsample, 6),
    (_pad, 5),
    (_activation, 5),
    (_norm, 6),
    (_softmax, 3),
    (_channels, 4),
    (_branches, 4),
    (_skip, 2),
    (_gate, 3),
    (_tokens, 6),
    (_linear, 1),
    (_reduction, 3),
    (_reshaped, 2),
    (_join, 5),
    (_structure, 7),
]
ELSEWHERE: _Kinds = [
    (_linear, 3),
    (_activation, 2),
    (_softmax, 1),
    (_flatten, 2),
    (_reduction, 1),
    (_reshaped, 1),
    (_join, 2),
    (_norm, 1),
    (_conv, 1),
    (_pool, 1),
]
