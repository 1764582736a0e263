"""Standardised weights as constants, and back from constants to weights that are standardised to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.graph import Node
from cnnspec.ops.std_conv import ScaledStdConv, StdConv

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["standardised", "unstandardised"]

_LEAST = 1e-12  # of what a variance lacks to 1


def standardised(
    op: StdConv | ScaledStdConv, node: Node, weight: NDArray[Any], gain: NDArray[Any] | None
) -> NDArray[np.float64]:
    """The weight that a convolution of these parameters uses. Worked out in float64."""
    rows = weight.astype(np.float64).reshape(weight.shape[0], -1)
    centred = rows - rows.mean(1, keepdims=True)
    unit = centred / np.sqrt(centred.var(1, keepdims=True) + op.eps)
    if isinstance(op, ScaledStdConv) and gain is not None:
        unit = unit * gain.astype(np.float64).reshape(-1, 1) * op.scale(*node.input_shapes)
    whole: NDArray[np.float64] = unit.reshape(weight.shape)
    return whole


def unstandardised(op: StdConv | ScaledStdConv, node: Node, weight: NDArray[Any]) -> dict[str, NDArray[np.float64]]:
    """Parameters whose standardised weight is this one, by their names. Many are; these are as good as any other.

    Raises nothing: a weight that no parameters lead to gives the nearest ones.
    """
    rows = weight.astype(np.float64).reshape(weight.shape[0], -1)
    variance = rows.var(1, keepdims=True)
    if isinstance(op, ScaledStdConv):
        gain = np.sqrt(variance)
        unit = rows / np.where(gain > 0, gain, 1)
        factor = np.sqrt(1 + op.eps) / op.scale(*node.input_shapes)
        return {"weight": unit.reshape(weight.shape), "gain": (gain * factor).reshape(-1, 1, 1, 1)}
    # `a*w / √(a²v + eps)` is `w` for a² = eps / (1 - v)
    return {"weight": (rows * np.sqrt(op.eps / np.maximum(1 - variance, _LEAST))).reshape(weight.shape)}
