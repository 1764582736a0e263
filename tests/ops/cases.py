"""Chosen configurations of every operator, and the torch module that each one must equal.

`reference` builds the module from `torch.nn` and torchvision alone, so that it is a truth from outside. Random
configurations are in `draws`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import ops as vision
from torchvision.models.convnext import LayerNorm2d

from cnnspec.ops import Shape

Row = tuple[dict[str, Any], tuple[Shape, ...]]  # the arguments, and the shapes of the inputs

SPACE = {1: (9,), 2: (9, 8), 3: (7, 6, 5)}  # spatial sizes for the rows


class Function(nn.Module):
    """A function of tensors as a module."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.function(*inputs)


class ScaleReference(nn.Module):
    """Torch has no such module: this is the line `self.layer_scale * x` of torchvision's ConvNeXt."""

    def __init__(self, shape: Shape, init: float = 1.0) -> None:
        super().__init__()
        self.register_parameter("layer_scale", nn.Parameter(torch.ones(shape[0], *[1] * (len(shape) - 1)) * init))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer_scale * x


def _product(*inputs: Tensor) -> Tensor:
    out = inputs[0]
    for other in inputs[1:]:
        out = out * other
    return out


def _equal_sum(*inputs: Tensor) -> Tensor:
    if len({tuple(x.shape) for x in inputs}) > 1:
        raise ValueError("Add wants equal shapes")  # torch broadcasts, the language does not
    return sum(inputs[1:], inputs[0])


def reference(name: str, args: dict[str, Any], shapes: tuple[Shape, ...]) -> nn.Module:
    """What `name(**args)` is in torch, for inputs of these shapes."""
    shape = shapes[0]
    match name:
        case "Add":
            return Function(_equal_sum)
        case "Mul":
            return Function(_product)
        case "Concat":
            return Function(lambda *inputs: torch.cat(inputs, 1))
        case "Slice":
            start, end = args["start"], args.get("end")
            length = (shape[0] if end is None else end) - start
            length += shape[0] * (end is not None and end < 0) - shape[0] * (start < 0)
            return Function(lambda x: x.narrow(1, start, length))
        case "Affine":
            return Function(lambda x: x * args.get("scale", 1.0) + args.get("shift", 0.0))
        case "ConstantPad1d" | "ConstantPad2d" | "ConstantPad3d":
            return getattr(nn, name)(args["padding"], float(args["value"]))
        case "Permute":
            return vision.Permute(list(args["dims"]))
        case "Scale":
            return ScaleReference(shape, **args)
        case "StochasticDepth":
            return vision.StochasticDepth(args["p"], args.get("mode", "row"))
        case "LayerNorm2d":
            return LayerNorm2d(**{"normalized_shape": shape[0], **args})
        case "LayerNorm":
            return nn.LayerNorm(**{"normalized_shape": shape[-1], **args})
        case "GroupNorm":
            return nn.GroupNorm(**{"num_channels": shape[0], **args})
        case "Linear":
            return nn.Linear(**{"in_features": shape[-1], **args})
        case "Softmax":
            return nn.Softmax(args.get("dim", 1))
        case _ if name.startswith("Conv"):
            return getattr(nn, name)(**{"in_channels": shape[0], **args})
        case _ if name.startswith(("BatchNorm", "InstanceNorm")):
            return getattr(nn, name)(**{"num_features": shape[0], **args})
        case _:
            return getattr(nn, name)(**args)


# Chosen rows ---------------------------------------------------------------------------------------------------------


def _per_rank(
    family: str, *rows: tuple[dict[str, Any], int], ranks: tuple[int, ...] = (1, 2, 3)
) -> dict[str, list[Row]]:
    """The same rows for each rank; a row is the arguments and the number of channels. A list is cut to the rank."""
    found: dict[str, list[Row]] = {}
    for rank in ranks:
        cut = [
            ({key: value[:rank] if isinstance(value, tuple) else value for key, value in args.items()}, channels)
            for args, channels in rows
        ]
        found[f"{family}{rank}d"] = [(args, ((channels, *SPACE[rank]),)) for args, channels in cut]
    return found


IMAGE = (4, 6, 5)
_POINTWISE: tuple[Shape, ...] = ((7,), (4, 9), IMAGE, (2, 3, 4, 5))

ROWS: dict[str, list[Row]] = {
    **_per_rank(
        "Conv",
        ({"out_channels": 6, "kernel_size": 3}, 4),
        ({"out_channels": 8, "kernel_size": (3, 1, 2), "stride": (2, 1, 3), "padding": (1, 0, 2), "bias": False}, 4),
        ({"out_channels": 8, "kernel_size": 3, "groups": 4, "padding": "same", "dilation": 2}, 4),
        ({"out_channels": 4, "kernel_size": 2, "groups": 4, "padding": "valid", "in_channels": 4}, 4),
        ({"out_channels": 4, "kernel_size": 4, "padding": "same"}, 4),
    ),
    **_per_rank(
        "ConvTranspose",
        ({"out_channels": 6, "kernel_size": 2, "stride": 2}, 4),
        ({"out_channels": 4, "kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 2}, 4),
        ({"out_channels": 3, "kernel_size": (4, 3, 2), "stride": (3, 2, 1), "padding": (1, 0, 0), "bias": False}, 2),
        ({"out_channels": 2, "kernel_size": 3, "dilation": 2, "in_channels": 3}, 3),
    ),
    **_per_rank(
        "MaxPool",
        ({"kernel_size": 2}, 3),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, 3),
        ({"kernel_size": 3, "stride": 2, "ceil_mode": True}, 3),
        ({"kernel_size": (2, 3, 2), "stride": (1, 2, 3), "dilation": 2}, 3),
    ),
    **_per_rank(
        "AvgPool",
        ({"kernel_size": 2}, 3),
        ({"kernel_size": 3, "stride": 2, "padding": 1}, 3),
        ({"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False}, 3),
        ({"kernel_size": (2, 3, 2), "stride": (1, 2, 3)}, 3),
    ),
    **_per_rank(
        "LPPool",
        ({"norm_type": 2.0, "kernel_size": 2}, 3),
        ({"norm_type": 1, "kernel_size": 3, "stride": 2}, 3),
        ({"norm_type": 2, "kernel_size": 3, "stride": 2, "ceil_mode": True}, 3),
        ({"norm_type": 4.0, "kernel_size": 5, "stride": 1}, 3),
    ),
    **_per_rank(
        "AdaptiveAvgPool",
        ({"output_size": 1}, 3),
        ({"output_size": 3}, 3),
        ({"output_size": (9, None, 2)}, 3),
        ({"output_size": (4, 11, 7)}, 3),
    ),
    **_per_rank(
        "AdaptiveMaxPool",
        ({"output_size": 1}, 3),
        ({"output_size": 2}, 3),
        ({"output_size": (3, None, 5)}, 3),
        ({"output_size": (5, 4, 3)}, 3),
    ),
    **_per_rank(
        "BatchNorm",
        ({}, 5),
        ({"eps": 1e-3, "momentum": 0.03}, 5),
        ({"affine": False, "momentum": None}, 5),
        ({"track_running_stats": False, "num_features": 5}, 5),
    ),
    **_per_rank(
        "InstanceNorm",
        ({}, 5),
        ({"affine": True, "eps": 1e-3}, 5),
        ({"track_running_stats": True}, 5),
        ({"affine": True, "track_running_stats": True, "num_features": 5}, 5),
    ),
    **_per_rank("ZeroPad", ({"padding": 2}, 3), ({"padding": 0}, 3)),
    **_per_rank("ConstantPad", ({"padding": 2, "value": 1.5}, 3), ({"padding": 1, "value": "-inf"}, 3)),
    **_per_rank("ReflectionPad", ({"padding": 2}, 3), ({"padding": 0}, 3)),
    **_per_rank("ReplicationPad", ({"padding": 2}, 3), ({"padding": 0}, 3)),
    **_per_rank("CircularPad", ({"padding": 2}, 3), ({"padding": 0}, 3)),
    "GroupNorm": [
        ({"num_groups": 2}, (IMAGE,)),
        ({"num_groups": 1, "eps": 1e-3}, ((6, 9),)),
        ({"num_groups": 4, "affine": False}, (IMAGE,)),
        ({"num_groups": 3, "num_channels": 6}, ((6,),)),
    ],
    "LayerNorm": [
        ({}, ((8,),)),
        ({"eps": 1e-6}, (IMAGE,)),
        ({"bias": False}, ((3, 9),)),
        ({"elementwise_affine": False, "normalized_shape": 5}, (IMAGE,)),
    ],
    "LayerNorm2d": [
        ({}, (IMAGE,)),
        ({"eps": 1e-6}, ((8, 3, 3),)),
        ({"bias": False}, (IMAGE,)),
        ({"elementwise_affine": False, "normalized_shape": 4}, (IMAGE,)),
    ],
    "LocalResponseNorm": [
        ({"size": 5}, ((8, 6, 5),)),
        ({"size": 2, "alpha": 1e-2, "beta": 0.5, "k": 2.0}, ((5, 9),)),
        ({"size": 1}, (IMAGE,)),
        ({"size": 9, "k": 2}, ((4, 3, 4, 5),)),
    ],
    "Linear": [
        ({"out_features": 5}, ((7,),)),
        ({"out_features": 3, "bias": False}, ((4, 7),)),
        ({"out_features": 2, "in_features": 5}, (IMAGE,)),
        ({"out_features": 1}, ((2, 3, 4, 5),)),
        ({"out_features": 4}, ((8,),)),
    ],
    "Scale": [({"init": 1e-6}, (IMAGE,)), ({}, ((7,),)), ({"init": 2}, ((4, 9),)), ({"init": -0.5}, ((2, 3, 4, 5),))],
    "Affine": [
        ({"scale": 0.5, "shift": -1}, (IMAGE,)),
        ({"scale": 3}, ((7,),)),
        ({"shift": 0.25}, ((4, 9),)),
        ({"scale": -1.5, "shift": 2.0}, ((2, 3, 4, 5),)),
    ],
    "Flatten": [
        ({}, (IMAGE,)),
        ({"start_dim": 2}, (IMAGE,)),
        ({"start_dim": 1, "end_dim": 2}, ((2, 3, 4, 5),)),
        ({"start_dim": -2, "end_dim": -1}, ((3, 9),)),
        ({}, ((7,),)),
    ],
    "Permute": [
        ({"dims": (0, 2, 3, 1)}, (IMAGE,)),
        ({"dims": (0, 3, 1, 2)}, (IMAGE,)),
        ({"dims": (0, -1, 1)}, ((3, 9),)),
        ({"dims": (0, 4, 3, 2, 1)}, ((2, 3, 4, 5),)),
    ],
    "ChannelShuffle": [
        ({"groups": 2}, (IMAGE,)),
        ({"groups": 3}, ((6, 4),)),
        ({"groups": 1}, (IMAGE,)),
        ({"groups": 4}, ((8, 2, 3, 4),)),
    ],
    "Slice": [
        ({"start": 1, "end": 3}, (IMAGE,)),
        ({"start": 2}, ((7,),)),
        ({"start": -3, "end": -1}, ((4, 9),)),
        ({"start": 0, "end": 2}, ((2, 3, 4, 5),)),
        ({"start": 0, "end": 4}, ((8, 9),)),
    ],
    "Upsample": [
        ({"scale_factor": 2}, (IMAGE,)),
        ({"size": (7, 9), "mode": "bilinear"}, (IMAGE,)),
        ({"scale_factor": (1.5, 2.0), "mode": "bilinear", "align_corners": True}, (IMAGE,)),
        ({"scale_factor": 3.0, "mode": "linear"}, ((4, 9),)),
        ({"size": 8, "mode": "trilinear", "align_corners": False}, ((2, 3, 4, 5),)),
        ({"scale_factor": 1.7, "mode": "bicubic"}, (IMAGE,)),
        ({"size": 11, "mode": "nearest-exact"}, (IMAGE,)),
    ],
    "PixelShuffle": [
        ({"upscale_factor": 2}, (IMAGE,)),
        ({"upscale_factor": 3}, ((18, 2, 3),)),
        ({"upscale_factor": 1}, (IMAGE,)),
        ({"upscale_factor": 4}, ((16, 1, 5),)),
    ],
    "Dropout": [({}, (IMAGE,)), ({"p": 0.0}, ((7,),)), ({"p": 1}, ((4, 9),)), ({"p": 0.2, "inplace": True}, (IMAGE,))],
    "StochasticDepth": [
        ({"p": 0.2}, (IMAGE,)),
        ({"p": 0, "mode": "batch"}, ((7,),)),
        ({"p": 0.5, "mode": "row"}, ((4, 9),)),
        ({"p": 0.9, "mode": "batch"}, (IMAGE,)),
    ],
    "PReLU": [
        ({}, (IMAGE,)),
        ({"num_parameters": 4, "init": 0.1}, (IMAGE,)),
        ({"num_parameters": 7}, ((7,),)),
        ({"init": 0}, ((4, 9),)),
    ],
    "Softmax": [
        ({}, ((10,),)),
        ({"dim": -1}, ((4, 9),)),
        ({"dim": 2}, (IMAGE,)),
        ({"dim": 1}, ((2, 3, 4, 5),)),
    ],
    "Add": [({}, (IMAGE, IMAGE)), ({}, (IMAGE,)), ({}, ((7,),) * 3), ({}, ((4, 9),) * 4)],
    "Mul": [
        ({}, (IMAGE, IMAGE)),
        ({}, ((4, 1, 1), IMAGE)),
        ({}, ((1, 6, 5), (4, 1, 5), (4, 6, 1))),
        ({}, ((7,), (1,))),
    ],
    "Concat": [
        ({}, (IMAGE, (2, 6, 5))),
        ({}, (IMAGE,)),
        ({}, ((7,), (3,), (1,))),
        ({}, ((4, 9), (5, 9))),
    ],
    **{name: [({}, (shape,)) for shape in _POINTWISE] for name in ("Identity", "Tanh", "Sigmoid")},
    **{
        name: [*(({}, (shape,)) for shape in _POINTWISE), ({"inplace": True}, (IMAGE,))]
        for name in ("ReLU", "ReLU6", "SiLU", "Mish", "Hardswish", "Hardsigmoid")
    },
    "GELU": [({"approximate": word}, (shape,)) for word, shape in zip(("none", "tanh") * 2, _POINTWISE, strict=True)],
    "ELU": [({"alpha": alpha}, (shape,)) for alpha, shape in zip((1, 0.5, -1.0, 2.0), _POINTWISE, strict=True)],
    "LeakyReLU": [
        ({"negative_slope": slope}, (shape,)) for slope, shape in zip((0.01, 0, 1, 0.3), _POINTWISE, strict=True)
    ],
    "Hardtanh": [
        ({"min_val": low, "max_val": high}, (shape,))
        for low, high, shape in zip((-1.0, 0, -3, 1), (1.0, 6, -1, 1.5), _POINTWISE, strict=True)
    ],
    "Softplus": [
        ({"beta": beta, "threshold": limit}, (shape,))
        for beta, limit, shape in zip((1, 2.0, 0.5, 1), (20, 20.0, 5, 0), _POINTWISE, strict=True)
    ],
}
for _rank in (1, 2, 3):
    _shape = (3, *SPACE[_rank])
    for _name in ("ZeroPad", "ConstantPad", "ReflectionPad", "ReplicationPad", "CircularPad"):
        _more = {"value": -2} if _name == "ConstantPad" else {}
        _crop = (-1, 2, 0, -2, 1, 1) if _name != "CircularPad" else (-1, 0, 0, -2, 1, 3)
        ROWS[f"{_name}{_rank}d"] += [
            ({"padding": (1, 0, 2, 3, 4, 1)[: 2 * _rank], **_more}, (_shape,)),
            ({"padding": _crop[: 2 * _rank], **_more}, (_shape,)),
        ]
ROWS["BatchNorm1d"].append(({}, ((6,),)))
ROWS["AvgPool2d"].append(({"kernel_size": 2, "divisor_override": 3}, ((3, 9, 8),)))
ROWS["AvgPool3d"].append(({"kernel_size": 2, "divisor_override": 3}, ((3, 7, 6, 5),)))
