"""How the value of one unit comes of those that it reads, as plain data: what a page needs to show the sum."""

from __future__ import annotations

from typing import Any

from cnnspec.graph import Node
from cnnspec.ops.activation import ReLU, Sigmoid, Tanh
from cnnspec.ops.affine import Affine
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.dropout import Dropout, StochasticDepth
from cnnspec.ops.linear import Linear
from cnnspec.ops.merge import Add, Concat, Div, Mul, Sub
from cnnspec.ops.norm import BatchNorm
from cnnspec.ops.pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool
from cnnspec.ops.reshape import Flatten, Identity

__all__ = ["follows", "rule_of"]

_JOINED = {Add: "+", Sub: "−", Mul: "×", Div: "/"}


def rule_of(node: Node) -> dict[str, Any] | None:
    """What a page does to work out a unit of a layer; None where it only shows the value.

    `by` says which rule; `groups`, `eps` and the like are what it takes. Where a window reaches into a padding that is
    not of zeros, there is none.
    """
    op = node.op
    match op:
        case Conv() if op.padding_mode == "zeros":
            return {"by": "conv", "groups": op.groups}
        case ConvTranspose():
            return {"by": "transposed", "groups": op.groups}
        case Linear() if len(node.shape) == 1:
            return {"by": "linear"}
        case MaxPool() | AdaptiveMaxPool():
            return {"by": "max"}
        case AvgPool() if not op.ceil_mode:
            return {"by": "mean", "padded": op.count_include_pad, "divisor": op.divisor_override}
        case AdaptiveAvgPool():
            return {"by": "mean", "padded": False, "divisor": None}
        case BatchNorm() if not op.global_statistics and op.affine:
            return {"by": "norm", "eps": op.eps}
        case Affine():
            return {"by": "affine", "scale": op.scale, "shift": op.shift}
        case Add() | Sub() | Mul() | Div():
            return {"by": "join", "sign": _JOINED[type(op)]}
        case Concat():
            return {"by": "concat"}
        case Flatten() | Identity() | Dropout() | StochasticDepth():
            return {"by": "same"}
        case ReLU() | Tanh() | Sigmoid():
            return {"by": "function", "known": type(op).__name__}
        case _ if op.activation and op.pointwise:
            return {"by": "function"}
    return None


def follows(rule: dict[str, Any]) -> bool:
    """Whether a page works out a whole layer by this rule, where it has what the layer reads and its weights.

    What only hands on what it reads is no values of its own.
    """
    return rule["by"] not in ("same", "function") or "known" in rule
