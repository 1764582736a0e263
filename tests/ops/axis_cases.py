"""Rows of operators that pad, merge, cut or reduce axes, or know constants alone; what each is in torch.

They are part of `cases.ROWS`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cnnspec.ops import Shape

__all__ = ["AXIS_ROWS", "PADDED_CONVS", "axis_reference"]

IMAGE = (4, 6, 5)
VOLUME = (2, 3, 4, 5)
SPACE = {1: (9,), 2: (9, 8), 3: (7, 6, 5)}
LONG = (1, 0, 2, 3, 4, 1)  # before and after, the last axis first
CROP = (-1, 2, 0, -2, 1, 1)
APART = (-1, 0, 0, -2, 1, 3)  # beside a crop torch may go round what it never wrote


def _reduced(name: str, x: Tensor, dim: int | tuple[int, ...], keepdim: bool = False) -> Tensor:
    dims = (dim,) if isinstance(dim, int) else tuple(dim)
    if 0 in (each % x.dim() for each in dims if -x.dim() <= each):
        raise ValueError("the batch stays")
    if not keepdim and len(dims) == x.dim() - 1:
        raise ValueError("no axis is left")
    return getattr(torch, name.lower())(x, dims, keepdim)


def _few_axes(x: Tensor) -> Tensor:
    if not 2 <= x.dim() <= 5:
        raise ValueError("a tensor has one to four axes behind the batch")
    return x


class Unflatten(nn.Unflatten):
    """Torch's, where the batch stays and there are not too many axes."""

    def forward(self, x: Tensor) -> Tensor:
        if self.dim in (0, -x.dim()):
            raise ValueError("the batch stays")
        return _few_axes(super().forward(x))


def axis_reference(name: str, args: dict[str, Any]) -> nn.Module | Callable[[Tensor], Tensor] | None:
    """What `name(**args)` is in torch: a module or a function; None for operators that have no rows here."""
    match name:
        case "Affine":
            return lambda x: x * args.get("scale", 1.0) + args.get("shift", 0.0)
        case "Mean" | "Sum" | "Amax" | "Amin":
            return lambda x: _reduced(name, x, **args)
        case "Unflatten":
            sizes = args["unflattened_size"]
            return Unflatten(args["dim"], (sizes,) if isinstance(sizes, int) else tuple(sizes))
        case "Reshape":
            sizes = (args["shape"],) if isinstance(args["shape"], int) else args["shape"]
            return lambda x: _few_axes(x.reshape(len(x), *sizes))
        case "ConstantPad1d" | "ConstantPad2d" | "ConstantPad3d":
            module: nn.Module = getattr(nn, name)(args["padding"], float(args["value"]))
            return module
        case _:
            return None


def _padded(
    family: str, last: tuple[int, ...], **more: Any
) -> dict[str, list[tuple[dict[str, Any], tuple[Shape, ...]]]]:
    return {
        f"{family}{rank}d": [
            ({"padding": padding, **more}, ((3, *SPACE[rank]),))
            for padding in (2, 0, LONG[: 2 * rank], last[: 2 * rank])
        ]
        for rank in SPACE
    }


PADDED_CONVS = [
    ({"out_channels": 4, "kernel_size": 3, "padding": 1, "padding_mode": "reflect"}, 4),
    ({"out_channels": 4, "kernel_size": 4, "padding": "same", "padding_mode": "replicate"}, 4),
    ({"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 2, "padding_mode": "circular", "groups": 2}, 4),
]

AXIS_ROWS: dict[str, list[tuple[dict[str, Any], tuple[Shape, ...]]]] = {
    **_padded("ConstantPad", CROP, value=1.5),
    **_padded("ReflectionPad", CROP),
    **_padded("ReplicationPad", CROP),
    **_padded("CircularPad", APART),
    "Affine": [
        ({"scale": 0.5, "shift": -1}, (IMAGE,)),
        ({"scale": 3}, ((7,),)),
        ({"shift": 0.25}, ((4, 9),)),
        ({"scale": -1.5, "shift": 2.0}, (VOLUME,)),
    ],
    **{
        name: [
            ({"dim": (2, 3)}, (IMAGE,)),
            ({"dim": (3, 1), "keepdim": True}, (IMAGE,)),
            ({"dim": 1}, (IMAGE,)),
            ({"dim": -1}, ((4, 9),)),
            ({"dim": 1, "keepdim": True}, ((7,),)),
            ({"dim": (2, -1)}, (VOLUME,)),
        ]
        for name in ("Mean", "Sum", "Amax", "Amin")
    },
    "Unflatten": [
        ({"dim": 1, "unflattened_size": (2, 2)}, (IMAGE,)),
        ({"dim": 1, "unflattened_size": (-1, 2)}, ((6, 9),)),
        ({"dim": -1, "unflattened_size": (3, -1)}, ((4, 9),)),
        ({"dim": 1, "unflattened_size": (4, 1, 1)}, ((4,),)),
        ({"dim": 2, "unflattened_size": 6}, (IMAGE,)),
    ],
    "Reshape": [
        ({"shape": (2, 2, 6, 5)}, (IMAGE,)),
        ({"shape": (4, -1)}, (IMAGE,)),
        ({"shape": -1}, (IMAGE,)),
        ({"shape": (5, 6, 4)}, (IMAGE,)),
        ({"shape": (-1, 1, 1)}, ((7,),)),
        ({"shape": (6, 20)}, (VOLUME,)),
    ],
}
for _rank, _sizes in SPACE.items():
    AXIS_ROWS[f"ConstantPad{_rank}d"].append(({"padding": 1, "value": "-inf"}, ((3, *_sizes),)))
