"""Chosen configurations of every operator. `references` has the torch module of each, `draws` has random ones."""

from __future__ import annotations

from typing import Any

from axis_cases import AXIS_ROWS, PADDED_CONVS

from cnnspec.ops import Shape

Row = tuple[dict[str, Any], tuple[Shape, ...]]  # the arguments, and the shapes of the inputs

SPACE = {1: (9,), 2: (9, 8), 3: (7, 6, 5)}  # spatial sizes for the rows


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
_TRAINED: list[Row] = [
    ({}, ((7,),)),
    ({"init": 2}, ((4, 9),)),
    ({"init": -0.5}, ((2, 3, 4, 5),)),
    ({"dim": -1}, (IMAGE,)),
    ({"init": 0.1, "dim": 2}, (IMAGE,)),
    ({"init": 0.5, "dim": None}, (IMAGE,)),
]
_STD_CONV: list[Row] = [
    ({"out_channels": 6, "kernel_size": 3}, (IMAGE,)),
    ({"out_channels": 8, "kernel_size": (3, 1), "stride": (2, 1), "padding": (1, 0), "bias": True}, (IMAGE,)),
    ({"out_channels": 8, "kernel_size": 3, "groups": 4, "padding": "same", "dilation": 2, "eps": 1e-5}, (IMAGE,)),
    ({"out_channels": 4, "kernel_size": 2, "groups": 2, "padding": "valid", "in_channels": 4}, (IMAGE,)),
]
_FACES: tuple[Shape, ...] = ((1, 6, 5), (4, 1, 5), (4, 6, 1))
_BROADCAST: list[Row] = [
    ({}, (IMAGE, IMAGE)),
    ({}, ((4, 1, 1), IMAGE)),
    ({}, ((1, 6, 5), (4, 1, 5))),
    ({}, ((7,), (1,))),
    ({}, ((4, 9), (1, 9))),
]
_POINTWISE: tuple[Shape, ...] = ((7,), (4, 9), IMAGE, (2, 3, 4, 5))

ROWS: dict[str, list[Row]] = {
    **AXIS_ROWS,
    **_per_rank(
        "Conv",
        ({"out_channels": 6, "kernel_size": 3}, 4),
        ({"out_channels": 8, "kernel_size": (3, 1, 2), "stride": (2, 1, 3), "padding": (1, 0, 2), "bias": False}, 4),
        ({"out_channels": 8, "kernel_size": 3, "groups": 4, "padding": "same", "dilation": 2}, 4),
        ({"out_channels": 4, "kernel_size": 2, "groups": 4, "padding": "valid", "in_channels": 4}, 4),
        ({"out_channels": 4, "kernel_size": 4, "padding": "same"}, 4),
        *PADDED_CONVS,
    ),
    "StdConv2d": _STD_CONV,
    "ScaledStdConv2d": [
        *_STD_CONV,
        ({"out_channels": 6, "kernel_size": 3, "gamma": 1.7, "eps": 1e-3, "gain_init": 0.5, "bias": False}, (IMAGE,)),
    ],
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
    "BlurPool2d": [
        ({}, (IMAGE,)),
        ({"filt_size": 5}, ((1, 7, 6),)),
        ({"filt_size": 4, "stride": 1}, (IMAGE,)),
        ({"filt_size": 2, "stride": 3}, (IMAGE,)),
    ],
    "GRN": [
        ({}, (IMAGE,)),
        ({"eps": 1e-3}, ((8, 9),)),
        ({"dim": -1}, (IMAGE,)),
        ({"dim": 2}, ((2, 3, 4, 5),)),
    ],
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
    "Scale": [({"init": 1e-6}, (IMAGE,)), *_TRAINED],
    "Bias": [({}, (IMAGE,)), *_TRAINED],
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
        ({"start": 1, "end": -1, "dim": 2}, (IMAGE,)),
        ({"start": -3, "dim": -1}, ((2, 3, 4, 5),)),
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
        ({}, ((4, 9),)),  # where torch would choose another axis
        ({}, ((10,),)),
        ({"dim": -1}, ((4, 9),)),
        ({"dim": 2}, (IMAGE,)),
        ({"dim": 1}, ((2, 3, 4, 5),)),
    ],
    "LogSoftmax": [
        ({}, ((4, 9),)),  # where torch would choose another axis
        ({}, ((10,),)),
        ({"dim": -1}, ((4, 9),)),
        ({"dim": 2}, (IMAGE,)),
        ({"dim": 1}, ((2, 3, 4, 5),)),
    ],
    "Add": [({}, (IMAGE,)), ({}, ((7,),) * 3), ({}, ((4, 9),) * 4), *_BROADCAST, ({}, _FACES)],
    "Sub": _BROADCAST,
    "Mul": [*_BROADCAST, ({}, _FACES)],
    "Div": _BROADCAST,
    "Concat": [
        ({}, (IMAGE, (2, 6, 5))),
        ({}, (IMAGE,)),
        ({}, ((7,), (3,), (1,))),
        ({}, ((4, 9), (5, 9))),
        ({"dim": 2}, (IMAGE, (4, 3, 5))),
        ({"dim": -1}, ((2, 6, 4), (2, 6, 1), (2, 6, 3))),
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
    ROWS[f"ZeroPad{_rank}d"] += [
        ({"padding": (1, 0, 2, 3, 4, 1)[: 2 * _rank]}, (_shape,)),
        ({"padding": (-1, 2, 0, -2, 1, 1)[: 2 * _rank]}, (_shape,)),
    ]
ROWS["BatchNorm1d"].append(({}, ((6,),)))
ROWS["AvgPool2d"].append(({"kernel_size": 2, "divisor_override": 3}, ((3, 9, 8),)))
ROWS["AvgPool3d"].append(({"kernel_size": 2, "divisor_override": 3}, ((3, 7, 6, 5),)))
