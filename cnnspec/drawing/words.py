"""What a box says of its layers, and of which kind they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias, get_args

from cnnspec.ops import AbstractOp, AnyOp
from cnnspec.ops.conv import Conv, ConvTranspose

__all__ = ["KINDS", "details", "kind_of"]

Kind: TypeAlias = str

# The kinds by the name of an operator's family, as legends have them.
KINDS: Final[dict[Kind, str]] = {
    "conv": "convolution",
    "linear": "dense",
    "pool": "pooling",
    "norm": "norm",
    "activation": "activation",
    "merge": "join",
    "resample": "resampling",
    "reshape": "reshape",
    "dropout": "dropout",
    "pad": "padding",
    "scale": "scale",
}

_KIND_OF: Final[dict[type[AbstractOp], Kind]] = {op: op.__module__.rpartition(".")[2] for op in get_args(AnyOp)}


def kind_of(op: AnyOp) -> Kind:
    """The kind of a layer: the name of its family."""
    return _KIND_OF[type(op)]


def details(op: AnyOp) -> str:
    """What tells a layer from others of its operator, as figures in papers have it: `7×7, 64, /2`.

    Padding and bias are left out: the shapes beside it say what the one does, and the other shows nowhere.
    """
    given = op.arguments()
    words = []
    for name in ("kernel_size", "output_size", "normalized_shape"):
        if name in given:
            words.append(_times(given.pop(name), getattr(op, "rank", 1)))
    for name in ("out_channels", "out_features"):
        if name in given:
            words.append(str(given.pop(name)))
    stride = given.pop("stride", None)
    if stride is not None and stride != op.arguments().get("kernel_size"):  # the default of pools
        words.append(f"/{_times(stride, 1)}")
    if isinstance(op, (Conv, ConvTranspose)):
        groups = given.pop("groups", 1)
        if groups == op.out_channels:
            words.append("depthwise")
        elif groups != 1:
            words.append(f"{groups} groups")
        if "dilation" in given:
            words.append(f"dilation {_times(given.pop('dilation'), 1)}")
        return ", ".join(words)
    for name in op.positional:
        if name in given:
            words.append(_plain(given.pop(name)))
    return ", ".join(words)


def _times(value: Any, rank: int) -> str:
    """`3×3` for a window, given as one number or one for each axis."""
    sizes: Sequence[Any] = value if isinstance(value, (tuple, list)) else (value,) * rank
    return "×".join(map(str, sizes))


def _plain(value: Any) -> str:
    return _times(value, 1) if isinstance(value, (tuple, list)) else str(value)
