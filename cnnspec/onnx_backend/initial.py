"""Random weights for a network that has not been trained, without torch."""

from __future__ import annotations

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

__all__ = ["initial_weights", "with_random_statistics"]


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


def with_random_statistics(graph: Graph, weights: dict[str, NDArray[Any]], seed: int = 0) -> dict[str, NDArray[Any]]:
    """The weights with other running statistics, gains and shifts in the normalisation layers.

    A fresh network's are 0 and 1, which would hide a mean or a variance in the wrong place.
    """
    random = np.random.default_rng(seed)
    state = dict(weights)
    for node in graph:
        if isinstance(node.op, Conv | ConvTranspose | Linear | PReLU | Scale):
            continue
        shapes = node.op.parameter_shapes(*node.input_shapes) | node.op.buffer_shapes(*node.input_shapes)
        for key, shape in shapes.items():
            spread = random.random(shape, np.float32)
            if key in ("weight", "running_var"):
                state[f"{node.name}.{key}"] = spread / 2 + np.float32(0.75)
            elif key in ("bias", "running_mean"):
                state[f"{node.name}.{key}"] = (spread - np.float32(0.5)) / 5
    return state
