"""Random specs, valid or not: 1 to 3 dimensions, joins, dilation, groups, ceil_mode, transposed, asymmetric padding."""

from __future__ import annotations

import json
from random import Random

POOLS = ("MaxPool", "AvgPool")
ACTIVATIONS = ("ReLU", "Tanh", "GELU", "Hardswish")


def random_spec(rng: Random, *, nodes: int = 7) -> str:
    """The JSON text of a random spec. Sizes are small, so that every unit can be checked."""
    rank = rng.choice((1, 1, 2, 2, 3))
    size = {1: 24, 2: 12, 3: 7}[rank]
    shape = [rng.choice((1, 2, 4)), *(rng.randint(size // 2, size) for _ in range(rank))]
    layers: dict[str, object] = {}
    names = ["input"]
    for index in range(rng.randint(1, nodes)):
        name = f"n{index}"
        layers[name] = _node(rng, rank, names)
        names.append(name)
    return json.dumps({"cnnspec": 1, "name": "random", "input": shape, "layers": layers})


def _sizes(rng: Random, rank: int, choices: tuple[int, ...]) -> int | list[int]:
    return rng.choice(choices) if rng.random() < 0.6 else [rng.choice(choices) for _ in range(rank)]


def _node(rng: Random, rank: int, names: list[str]) -> dict[str, object]:
    recent = names[-1] if rng.random() < 0.75 else rng.choice(names)
    kind = rng.choices(
        ("conv", "same", "pool", "adaptive", "transposed", "upsample", "pad", "activation", "norm", "join", "branch"),
        (6, 2, 3, 1, 2, 2, 1, 1, 1, 3, 2),
    )[0]
    match kind:
        case "conv":
            groups = rng.choice((1, 1, 1, 2))
            return {
                "type": f"Conv{rank}d",
                "out_channels": rng.choice((2, 4)),
                "kernel_size": _sizes(rng, rank, (1, 2, 3, 3, 5)),
                "stride": _sizes(rng, rank, (1, 1, 1, 2, 3)),
                "padding": _sizes(rng, rank, (0, 1, 1, 2)),
                "dilation": _sizes(rng, rank, (1, 1, 1, 2, 3)),
                "groups": groups,
                "bias": rng.random() < 0.5,
                "in": recent,
            }
        case "same":
            kernel, dilation = _sizes(rng, rank, (1, 2, 3, 4)), _sizes(rng, rank, (1, 1, 2))
            call = {"type": f"Conv{rank}d", "out_channels": rng.choice((2, 4)), "kernel_size": kernel, "in": recent}
            return {**call, "dilation": dilation, "padding": rng.choice(("same", "same", "valid"))}
        case "pool":
            pool = rng.choice(POOLS)
            dilation = {"dilation": _sizes(rng, rank, (1, 1, 2))} if pool == "MaxPool" else {}
            return {
                "type": f"{pool}{rank}d",
                "kernel_size": _sizes(rng, rank, (1, 2, 3)),
                "stride": _sizes(rng, rank, (1, 2, 2, 3)),
                "padding": _sizes(rng, rank, (0, 0, 1)),
                "ceil_mode": rng.random() < 0.5,
                **dilation,
                "in": recent,
            }
        case "adaptive":
            return {"type": f"AdaptiveAvgPool{rank}d", "output_size": _sizes(rng, rank, (1, 2, 3, 4)), "in": recent}
        case "transposed":
            return {
                "type": f"ConvTranspose{rank}d",
                "out_channels": rng.choice((2, 4)),
                "kernel_size": _sizes(rng, rank, (1, 2, 3, 4)),
                "stride": _sizes(rng, rank, (1, 2, 2, 3)),
                "padding": _sizes(rng, rank, (0, 0, 1)),
                "output_padding": _sizes(rng, rank, (0, 0, 0, 1)),
                "dilation": _sizes(rng, rank, (1, 1, 2)),
                "in": recent,
            }
        case "upsample":
            linear = {1: "linear", 2: "bilinear", 3: "trilinear"}[rank]
            return {
                "type": "Upsample",
                "scale_factor": rng.choice((2, 2, 3, 1.5)),
                "mode": rng.choice(("nearest", linear)),
                "in": recent,
            }
        case "pad":
            padding = [rng.choice((0, 1, 2, -1)) for _ in range(2 * rank)]
            kind = rng.choice(("ZeroPad", "ZeroPad", "ReflectionPad", "ReplicationPad", "CircularPad"))
            if kind == "CircularPad":  # beside a crop torch may go round what it never wrote
                padding = [abs(size) for size in padding]
            return {"type": f"{kind}{rank}d", "padding": padding, "in": recent}
        case "activation":
            return {"type": rng.choice(ACTIVATIONS), "in": recent}
        case "norm":
            return {"type": f"BatchNorm{rank}d", "in": recent}
        case "branch":
            return {"type": f"Conv{rank}d", "out_channels": 4, "kernel_size": 3, "padding": 1, "in": recent}
        case _:
            kinds = ("Add", "Concat", "Mul", "Sub", "Div")
            reads = rng.sample(names, min(len(names), rng.choice((2, 2, 3))))
            return {"type": rng.choice(kinds if len(reads) == 2 else kinds[:3]), "in": reads}
