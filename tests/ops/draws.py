"""Random configurations for every operator, some of them invalid."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from cases import Row

from cnnspec.ops import Shape


def _some(rng: Random, rank: int, *values: int) -> Any:
    """One number, or one per axis."""
    if rng.random() < 0.5:
        return rng.choice(values)
    return tuple(rng.choice(values) for _ in range(rank))


def _space(rng: Random, rank: int, low: int = 1, high: int = 12) -> Shape:
    return tuple(rng.randint(low, high) for _ in range(rank))


def _any_shape(rng: Random, least: int = 1) -> Shape:
    return tuple(rng.randint(1, 9) for _ in range(rng.randint(least, 4)))


def _maybe(rng: Random, args: dict[str, Any], **more: Callable[[], Any]) -> dict[str, Any]:
    """Some of the optional arguments."""
    return {**args, **{key: make() for key, make in more.items() if rng.random() < 0.5}}


def _dim(rng: Random, shape: Shape) -> int:
    """An axis of a tensor with its batch, sometimes one that there is not."""
    return rng.choice(
        (*range(1, len(shape) + 1), *range(-len(shape), 0), 0, len(shape) + 1)[: None if rng.random() < 0.3 else -2]
    )


def _flag(rng: Random) -> Callable[[], bool]:
    return lambda: rng.random() < 0.5


def _written(rng: Random, name: str, actual: int) -> dict[str, int]:
    """An argument that follows from the input, sometimes written, sometimes wrongly."""
    roll = rng.random()
    return {} if roll < 0.7 else {name: actual if roll < 0.95 else actual + 1}


def _strict(args: dict[str, Any], name: str, actual: int) -> dict[str, Any]:
    """Torch looks at a wrong number of channels only where there are weights."""
    return {**args, "affine": True} if args.get(name, actual) != actual else args


def draw(name: str, rng: Random) -> Row:  # one arm per family
    """A random configuration of the operator `name`; perhaps an invalid one."""
    rank = int(name[-2]) if name.endswith(("1d", "2d", "3d")) and name != "LayerNorm2d" else 0
    family = name[:-2] if rank else name
    # One axis less is an unbatched input to torch, and these two do not look at the number of axes.
    wrong_rank = (
        rank
        and family != "BlurPool"
        and family not in ("ZeroPad", "ConstantPad", "AdaptiveAvgPool")
        and rng.random() < 0.04
    )
    shape = (rng.choice((1, 2, 3, 4, 6)), *_space(rng, rank + 1 if wrong_rank else rank))
    real = lambda: round(rng.uniform(0.001, 2), 3)  # noqa: E731  # short on purpose
    match family:
        case "Conv" | "ConvTranspose" | "StdConv" | "ScaledStdConv":
            groups = rng.choice((1, 1, 1, 2, 3))
            channels = shape[0] if rng.random() < 0.1 else groups * rng.choice((1, 2, 3))
            shape = (channels, *shape[1:])
            args = {"out_channels": groups * rng.choice((1, 2, 4)) + (rng.random() < 0.05), "groups": groups}
            args |= {"kernel_size": _some(rng, rank, 1, 2, 3, 4)} | _written(rng, "in_channels", channels)
            args = _maybe(
                rng, args, stride=lambda: _some(rng, rank, 1, 2, 3), dilation=lambda: _some(rng, rank, 1, 2, 3)
            )
            args = _maybe(rng, args, bias=_flag(rng), padding=lambda: _some(rng, rank, 0, 1, 2))
            if family == "ConvTranspose":
                return _maybe(rng, args, output_padding=lambda: _some(rng, rank, 0, 0, 1, 2)), (shape,)
            if family.endswith("StdConv"):
                args = _maybe(rng, args, eps=real, **({"gamma": real, "gain_init": real} if family[1] == "c" else {}))
            if rng.random() < 0.25:
                args["padding"] = rng.choice(("same", "valid"))
            if family == "Conv" and rng.random() < 0.25:
                args["padding_mode"] = rng.choice(("reflect", "replicate", "circular"))
            return args, (shape,)
        case "MaxPool" | "AvgPool" | "LPPool":
            some = (
                (lambda *sizes: rng.choice(sizes)) if name == "LPPool1d" else (lambda *sizes: _some(rng, rank, *sizes))
            )
            args = {"kernel_size": some(1, 2, 3, 4)}
            args = _maybe(rng, args, stride=lambda: some(1, 2, 3), ceil_mode=_flag(rng))
            if family == "LPPool":
                return {"norm_type": rng.choice((1, 2.0, 3)), **args}, (shape,)
            args = _maybe(rng, args, padding=lambda: _some(rng, rank, 0, 1, 2))
            if family == "MaxPool":
                return _maybe(rng, args, dilation=lambda: _some(rng, rank, 1, 2, 3)), (shape,)
            return _maybe(rng, args, count_include_pad=_flag(rng)), (shape,)
        case "AdaptiveAvgPool" | "AdaptiveMaxPool":
            wanted = [rng.choice((None, 0, 1, 2, 3, 5, 8, 9)[rank == 1 :]) for _ in range(rank)]
            return {"output_size": tuple(wanted) if rng.random() < 0.6 else wanted[0] or 4}, (shape,)
        case "BatchNorm" | "InstanceNorm":
            args = _maybe(rng, _written(rng, "num_features", shape[0]), eps=real, momentum=real)
            args = _maybe(rng, args, affine=_flag(rng), track_running_stats=_flag(rng))
            return _strict(args, "num_features", shape[0]), (shape,)
        case "ZeroPad" | "ConstantPad" | "ReflectionPad" | "ReplicationPad" | "CircularPad":
            many = [rng.choice((-2, -1, 0, 1, 2, 3)) for _ in range(2 * rank)]
            if family == "CircularPad":  # beside a crop torch may go round what it never wrote
                many = [min(size, 0) for size in many] if rng.random() < 0.2 else [abs(size) for size in many]
            args = {"padding": tuple(many) if rng.random() < 0.7 else many[0]}
            return args | ({"value": rng.choice((0, -1.5, 2, "-inf", "inf"))} if family == "ConstantPad" else {}), (
                shape,
            )
        case "BlurPool":
            return _maybe(rng, {}, filt_size=lambda: rng.randint(2, 7), stride=lambda: rng.choice((1, 2, 2, 3))), (
                shape,
            )
        case "GRN":
            shape = _any_shape(rng, 1 + (rng.random() < 0.9))
            return _maybe(rng, {}, eps=real, dim=lambda: _dim(rng, shape)), (shape,)
        case "GroupNorm":
            shape = (rng.choice((1, 2, 4, 6, 8, 12)), *_any_shape(rng)[1:])
            args = {"num_groups": rng.choice((1, 2, 3, 4, 6))} | _written(rng, "num_channels", shape[0])
            return _strict(_maybe(rng, args, eps=real, affine=_flag(rng)), "num_channels", shape[0]), (shape,)
        case "LayerNorm" | "LayerNorm2d":
            shape = _any_shape(rng) if family == "LayerNorm" else (rng.randint(1, 9), *_space(rng, 2))
            args = _written(rng, "normalized_shape", shape[-1 if family == "LayerNorm" else 0])
            return _maybe(rng, args, eps=real, elementwise_affine=_flag(rng), bias=_flag(rng)), (shape,)
        case "LocalResponseNorm":
            args = {"size": rng.randint(1, 9)}
            return _maybe(rng, args, alpha=real, beta=real, k=real), (_any_shape(rng),)
        case "Linear":
            shape = _any_shape(rng)
            args = {"out_features": rng.randint(1, 9)} | _written(rng, "in_features", shape[-1])
            return _maybe(rng, args, bias=_flag(rng)), (shape,)
        case "Scale" | "Bias":
            shape = _any_shape(rng)
            return _maybe(rng, {}, init=real, dim=lambda: rng.choice((None, _dim(rng, shape)))), (shape,)
        case "Affine":
            return _maybe(rng, {}, scale=real, shift=real), (_any_shape(rng),)
        case "Mean" | "Sum" | "Amax" | "Amin":
            shape = _any_shape(rng)
            dims = rng.sample(range(1, len(shape) + 1), rng.randint(1, len(shape)))
            dims = [dim - len(shape) - 1 if rng.random() < 0.3 else dim for dim in dims]
            if rng.random() < 0.15:
                dims.append(rng.choice((0, 1, -1, 3)))
            return _maybe(rng, {"dim": tuple(dims) if len(dims) > 1 else dims[0]}, keepdim=_flag(rng)), (shape,)
        case "Unflatten":
            shape = tuple(rng.choice((1, 2, 4, 6, 12)) for _ in range(rng.randint(1, 4)))
            dim = rng.choice((*range(-len(shape), 0), *range(1, len(shape) + 1))) if rng.random() < 0.95 else 5
            sizes = [rng.choice((1, 2, 2, 4)) for _ in range(rng.randint(0, 2))]
            sizes.insert(rng.randint(0, len(sizes)), -1 if rng.random() < 0.9 else 3)
            return {"dim": dim, "unflattened_size": tuple(sizes) if len(sizes) > 1 else sizes[0]}, (shape,)
        case "Reshape":
            shape = tuple(rng.choice((1, 2, 4, 6, 12)) for _ in range(rng.randint(1, 4)))
            sizes = [rng.choice((1, 2, 3, 4)) for _ in range(rng.randint(0, 4))]
            sizes.insert(rng.randint(0, len(sizes)), -1 if rng.random() < 0.9 else rng.choice((6, 12)))
            return {"shape": tuple(sizes) if len(sizes) > 1 else sizes[0]}, (shape,)
        case "Flatten":
            shape = _any_shape(rng)
            dim = lambda: rng.choice((*range(-len(shape), 0), -1, 1, 2, 3, 4))  # noqa: E731  # 0 is the batch
            return _maybe(rng, {}, start_dim=dim, end_dim=dim), (shape,)
        case "Permute":
            shape = _any_shape(rng)
            dims = list(range(1, len(shape) + 1))
            rng.shuffle(dims)
            dims = [dim - len(shape) - 1 if rng.random() < 0.3 else dim for dim in dims]
            if rng.random() < 0.15:
                dims[0] = 1
            return {"dims": (0, *dims[: None if rng.random() < 0.95 else -1])}, (shape,)
        case "ChannelShuffle":
            return {"groups": rng.choice((1, 2, 3, 4))}, ((rng.choice((2, 4, 6, 12)), *_any_shape(rng)[1:]),)
        case "Slice":
            shape = _any_shape(rng)
            args = {} if rng.random() < 0.5 else {"dim": _dim(rng, shape)}
            size = (0, *shape, *[1] * 9)[args.get("dim", 1)] or 1
            start = rng.randint(-size - 1, size - 1)
            end = rng.choice((None, rng.randint(1, size + 1), -1))
            first, last = start % size, size if end is None else end if end > 0 else end + size
            return args | {"start": start} | ({} if first == last else {"end": end}), (shape,)
        case "Upsample":
            mode = rng.choice(("nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear"))
            axes = {"linear": 1, "trilinear": 3, "bilinear": 2, "bicubic": 2}.get(mode, rng.randint(1, 3))
            args: dict[str, Any] = _maybe(rng, {"mode": mode}, align_corners=_flag(rng)) if axes else {}
            if mode.startswith("nearest") and rng.random() < 0.8:
                args.pop("align_corners", None)
            if rng.random() < 0.5:
                args["size"] = _some(rng, axes, 1, 2, 5, 9)
            if "size" not in args or rng.random() < 0.03:
                args["scale_factor"] = rng.choice((2, 0.5, 1.5, 3.0, (2.0, 0.4, 1.25)[:axes], (1.7,) * axes))
            return args, (_any_shape(rng) if rng.random() < 0.2 else (rng.randint(1, 4), *_space(rng, axes)),)
        case "PixelShuffle":
            factor = rng.choice((1, 2, 3))
            channels = factor**2 * rng.randint(1, 3) + (rng.random() < 0.2)
            return {"upscale_factor": factor}, ((channels, *_space(rng, 2)),)
        case "Dropout" | "StochasticDepth":
            args = {"p": rng.choice((0, 0.1, 0.5, 1, 1.0, 1.5, -0.1))}
            more = {"inplace": _flag(rng)} if family == "Dropout" else {"mode": lambda: rng.choice(("row", "batch"))}
            return _maybe(rng, args, **more), (_any_shape(rng),)
        case "PReLU":
            shape = _any_shape(rng)
            return _maybe(rng, {}, num_parameters=lambda: rng.choice((1, shape[0], shape[0], 5)), init=real), (shape,)
        case "Softmax" | "LogSoftmax":
            shape = _any_shape(rng)
            return _maybe(rng, {}, dim=lambda: rng.choice((*range(-len(shape), 0), 1, 1, 2, 3))), (shape,)
        case "Add" | "Sub" | "Mul" | "Div" | "Concat":
            first = _any_shape(rng)
            shapes = []
            args = {"dim": _dim(rng, first)} if family == "Concat" and rng.random() < 0.5 else {}
            along = args.get("dim", 1) - 1 if args.get("dim", 1) > 0 else args["dim"]
            for _ in range(2 if family in ("Sub", "Div") else rng.randint(1, 4)):
                other = list(first)
                if family == "Concat" and -len(first) <= along < len(first):
                    other[along] = rng.randint(1, 9)
                axis = rng.randrange(len(other))
                if rng.random() < (0.15 if family == "Concat" else 0.5):
                    other[axis] = 1
                elif rng.random() < 0.15:
                    other[axis] += 1
                shapes.append(tuple(other))
            return args, tuple(shapes)
        case "ELU":
            return _maybe(rng, {}, alpha=real, inplace=_flag(rng)), (_any_shape(rng),)
        case "LeakyReLU":
            return _maybe(rng, {}, negative_slope=real, inplace=_flag(rng)), (_any_shape(rng),)
        case "Softplus":
            return _maybe(rng, {}, beta=real, threshold=real), (_any_shape(rng),)
        case "Hardtanh":
            return _maybe(rng, {}, min_val=real, max_val=real, inplace=_flag(rng)), (_any_shape(rng),)
        case "GELU":
            return _maybe(rng, {}, approximate=lambda: rng.choice(("none", "tanh"))), (_any_shape(rng),)
        case "ReLU" | "ReLU6" | "SiLU" | "Mish" | "Hardswish" | "Hardsigmoid":
            return _maybe(rng, {}, inplace=_flag(rng)), (_any_shape(rng),)
        case "Identity" | "Tanh" | "Sigmoid":
            return {}, (_any_shape(rng),)
        case _:
            raise NotImplementedError(f"no random configurations for {name}")
