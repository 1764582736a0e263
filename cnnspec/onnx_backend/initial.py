"""Random weights for a network that has not been trained, without torch."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from cnnspec.graph import Graph
from cnnspec.ops.activation import PReLU
from cnnspec.ops.conv import Conv, ConvTranspose
from cnnspec.ops.linear import Linear
from cnnspec.ops.scale import Scale

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["initial_weights", "varied_weights"]


def initial_weights(graph: Graph, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Weights by `state_dict` name, drawn from the distributions that torch's layers start from (not its numbers).

    Convolutions and linear layers: uniform within `1/√fan_in`. Normalisation: 1 and 0, mean 0, variance 1.
    """
    random = np.random.default_rng(seed)
    state: dict[str, NDArray[Any]] = {}
    for node in graph:
        op = node.op
        parameters = op.parameter_shapes(*node.input_shapes)
        for key, shape in (parameters | op.buffer_shapes(*node.input_shapes)).items():
            name = f"{node.name}.{key}" if key else node.name
            if isinstance(op, Conv | ConvTranspose | Linear):
                bound = prod(parameters["weight"][1:]) ** -0.5
                state[name] = (random.random(shape, np.float32) * 2 - 1) * np.float32(bound)
            elif isinstance(op, PReLU | Scale):
                state[name] = np.full(shape, op.init, np.float32)
            elif key == "num_batches_tracked":
                state[name] = np.zeros(shape, np.int64)
            else:
                state[name] = np.full(shape, key in ("weight", "running_var"), np.float32)
    return state


def varied_weights(graph: Graph, weights: Mapping[str, NDArray[Any]], seed: int = 0) -> dict[str, NDArray[Any]]:
    """The same weights, made harder to be right with by accident.

    A fresh network's statistics, gains and shifts are 0 and 1, which would hide one in the wrong place: here they are
    random, for a signal with a mean square of 1. Shifts of up to a half keep images that are alike so; without them a
    deep random network magnifies rounding as it magnifies every difference (Schoenholz et al. 2017, Deep information
    propagation). And its layers make the signal smaller and smaller: here their weights are those of He et al. 2015,
    with the variance `2/fan_in`, which is 6 times that of torch's.
    """
    random = np.random.default_rng(seed)
    state = dict(weights)
    for node in graph:
        op = node.op
        shapes = op.parameter_shapes(*node.input_shapes) | op.buffer_shapes(*node.input_shapes)
        if isinstance(op, Conv | ConvTranspose | Linear):
            state[f"{node.name}.weight"] = state[f"{node.name}.weight"] * np.float32(6**0.5)
            continue
        if isinstance(op, PReLU | Scale):
            continue
        for key, shape in shapes.items():
            spread = random.random(shape, np.float32)
            if key in ("weight", "running_var"):
                state[f"{node.name}.{key}"] = spread / 2 + np.float32(0.75)
            elif key in ("bias", "running_mean"):
                state[f"{node.name}.{key}"] = spread - np.float32(0.5)
    return state
